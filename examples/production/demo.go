package main

import (
	_ "embed"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/cmmv-hive/resilience/chaos"
)

//go:embed resilience.json
var example string

const sky = "The sky looks blue because air scatters short waves of light far more than long ones."

// A demo is fakes of the two models of the example, of which the first fails
// one attempt in four, and a copy of the file with their addresses.
type demo struct {
	config string
	stop   []func()
}

func newDemo() (*demo, error) {
	d, text := &demo{}, example
	for host, m := range map[string]chaos.Model{
		"https://api.atlas.example":  {Name: "atlas-large", Text: sky, Rate: chaos.Always(10), Failures: []chaos.Failure{{Fault: chaos.Fault{Status: 503}, Share: 0.25}}},
		"https://api.boreal.example": {Name: "boreal-chat", Text: sky, Rate: chaos.Always(10)},
	} {
		p, err := chaos.NewProvider(chaos.ProviderConfig{Models: []chaos.Model{m}})
		if err != nil {
			d.close()
			return nil, err
		}
		srv := httptest.NewServer(p)
		d.stop = append(d.stop, srv.Close, p.Close)
		text = strings.ReplaceAll(text, host, srv.URL)
	}
	dir, err := os.MkdirTemp("", "production")
	d.stop = append(d.stop, func() { _ = os.RemoveAll(dir) })
	d.config = filepath.Join(dir, "resilience.json")
	if err = errors.Join(err, os.WriteFile(d.config, []byte(text), 0o600)); err != nil {
		d.close()
	}
	return d, err
}

func (d *demo) close() {
	for i := range d.stop {
		d.stop[len(d.stop)-1-i]()
	}
}

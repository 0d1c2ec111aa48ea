package resilience

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	maxConfig       = 1 << 20
	defaultInterval = 5 * time.Second
)

// ConfigFile reads path when the pool is made and again, inside [Pool.Run],
// whenever its content changes, looking at it every so often: 5 s if that is
// zero, never if it is negative. See [Pool.Reload] for what it says.
//
// A file that cannot be read or is refused is an error of NewPool at first;
// later it leaves the configuration in force as it is, and is logged once. A
// change is taken up when two looks in a row found the same content, so a file
// half written is not.
func ConfigFile(path string, every time.Duration) Feature {
	if every == 0 {
		every = defaultInterval
	}
	return installer(func(s *Setup) error {
		if path == "" {
			return &ConfigError{"configFile", "the path is empty"}
		}
		f := &file{path: path, every: every}
		s.files = append(s.files, f)
		if every > 0 {
			s.Background("config file "+path, func(ctx context.Context) error { return f.watch(ctx, s.pool) })
		}
		return nil
	})
}

// file is a configuration file and what was last tried of it.
type file struct {
	path  string
	every time.Duration
	tried []byte
}

func (f *file) read() ([]byte, error) {
	r, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxConfig {
		return nil, fmt.Errorf("%s is larger than 1 MiB", f.path)
	}
	return data, nil
}

// begin reads the file for a pool that is being made.
func (f *file) begin(p *Pool) (*plan, error) {
	data, err := f.read()
	if err != nil {
		return nil, &ConfigError{"configFile", err.Error()}
	}
	f.tried = data
	return p.prepare(data)
}

// watch applies what changes.
func (f *file) watch(ctx context.Context, p *Pool) error {
	t := time.NewTicker(f.every)
	defer t.Stop()
	seen, failing := f.tried, false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		data, err := f.read()
		if err != nil {
			if !failing {
				p.log.ErrorContext(ctx, "configuration file cannot be read", "path", f.path, "err", err)
			}
			failing = true
			continue
		}
		failing = false
		settled := bytes.Equal(data, seen)
		seen = data
		if !settled || bytes.Equal(data, f.tried) {
			continue
		}
		f.tried = data
		if p.Reload(ctx, data, Control{Actor: "file", Reason: f.path + " changed"}) == nil {
			p.log.InfoContext(ctx, "configuration applied", "path", f.path, "generation", p.Generation())
		}
	}
}

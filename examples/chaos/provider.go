package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/cmmv-hive/resilience/chaos"
)

// serve serves a fake provider until ctx ends: a model that is well, a model for
// each fault, by its name, and those of Failover Bench.
func serve(ctx context.Context, addr string, out io.Writer) error {
	models := append(chaos.FailoverBench(), chaos.Model{Name: "well", Text: words})
	for _, name := range chaos.Faults() {
		if !name.AtWire() {
			continue
		}
		fault := chaos.Fault{Name: name}
		switch name {
		case chaos.Cut, chaos.CutByReset, chaos.Stall, chaos.StreamError, chaos.Malformed, chaos.Length:
			fault.Tokens = 3
		case chaos.RateLimited:
			fault.Wait = 2 * time.Second
		case chaos.Slow, chaos.Throttled: // a model is slow, or throttled, for a time
			in := chaos.Incident{Fault: chaos.Fault{Name: name}, For: 1000 * time.Hour}
			if name == chaos.Slow {
				in.Slower = 20
			}
			models = append(models, chaos.Model{Name: string(name), Text: words, FirstToken: chaos.Always(1), Incidents: []chaos.Incident{in}})
			continue
		}
		model := chaos.Model{Name: string(name), Text: words, Failures: []chaos.Failure{{Fault: fault, Share: 1}}}
		if name == chaos.ArgumentsCut {
			model.Arguments = `{"color": "blue"}`
		}
		models = append(models, model)
	}
	p, err := chaos.NewProvider(chaos.ProviderConfig{Models: models})
	if err != nil {
		return err
	}
	defer p.Close()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, `A fake provider that speaks as OpenAI, Anthropic and Gemini do, at %s
Any key will do. %d models: "well", one for each fault, and those of Failover Bench; GET /v1/models lists them.

curl %[1]s/v1/chat/completions -d '{"model": "well", "stream": true, "messages": [{"role": "user", "content": "Why is the sky blue?"}]}'
curl -i %[1]s/v1/chat/completions -d '{"model": "rate_limited", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}'
`, baseURL(listener.Addr()), len(models))
	server := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// baseURL is where a client on this machine finds what listens at addr.
func baseURL(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("http://localhost:%d", tcp.Port)
	}
	return "http://" + addr.String()
}

const words = "Because air scatters blue light most."

// Command gateway is a proxy with OpenAI's API before models, or two fake ones.
//
//	go run ./examples/gateway [-addr 127.0.0.1:8080] [-config models.json]
//
// Clients ask for a model's ID, or for a name that several share:
//
//	{"models": [{"id": "gpt-5", "name": "chat", "labels": {"url": "https://api.openai.com/v1", "keyEnv": "OPENAI_API_KEY"}},
//		{"id": "own", "name": "chat", "tier": 1, "labels": {"url": "http://own:8000/v1", "model": "qwen3"}}]}
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/chaos"
)

func main() {
	addr, config := flag.String("addr", "127.0.0.1:8080", "to listen at"), flag.String("config", "", "file of models and settings")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal does not wait
	ln, err := net.Listen("tcp", *addr)
	if err == nil && *config != "" {
		err = serve(ctx, ln, http.DefaultTransport, resilience.ConfigFile(*config, 0))
	} else if err == nil {
		err = offline(ctx, ln)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// offline serves a model whose every other answer breaks off, and one that is well.
func offline(ctx context.Context, ln net.Listener) error {
	well := chaos.Model{Name: "boreal", Text: "Air scatters blue light more than red.", Rate: chaos.Always(10)}
	ill := chaos.Model{Name: "atlas", Text: well.Text, Rate: well.Rate, Failures: []chaos.Failure{{Fault: chaos.Fault{Name: chaos.Cut, Tokens: 4}, Share: 0.5}}}
	fake, err := chaos.NewProvider(chaos.ProviderConfig{Models: []chaos.Model{ill, well}})
	if err != nil {
		return err
	}
	defer fake.Close()
	fmt.Printf(`curl -N http://%s/v1/chat/completions -d '{"model": "atlas", "fallbacks": ["boreal"], "stream": true, `+
		`"messages": [{"role": "user", "content": "Why is the sky blue?"}]}'`+"\n", ln.Addr())
	at := map[string]string{"url": "http://fake/v1"}
	return serve(ctx, ln, fake.Client().Transport, resilience.Models(
		resilience.ModelInfo{ID: ill.Name, Labels: at},
		resilience.ModelInfo{ID: well.Name, Labels: at}))
}

// serve returns http.ErrServerClosed when ctx is done and what was open has ended.
func serve(ctx context.Context, ln net.Listener, base http.RoundTripper, models resilience.Feature) error {
	g, err := newGateway(base, models)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: g, ReadHeaderTimeout: 1e10} // 10 s
	ctx, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { _ = g.pool.Run(ctx) })
	background.Go(func() {
		<-ctx.Done()
		_ = errors.Join(g.pool.Drain(context.WithoutCancel(ctx)), server.Shutdown(context.WithoutCancel(ctx)))
	})
	err = server.Serve(ln)
	stop()
	background.Wait()
	return err
}

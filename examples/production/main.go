// Command production is what a service around the library looks like: models
// and settings from a file that is read again when it changes, models that die are
// held and brought back, the less important is given up first, readiness, and an end
// that cuts no stream. To copy it, leave demo.go out and put your SDK in the place of
// openai.go.
//
//	go run ./examples/production                  fake models on this machine
//	go run ./examples/production -config FILE     yours
//
//	curl -d 'q=Why is the sky blue?' http://127.0.0.1:8080/chat
//	curl -N -H 'Accept: text/event-stream' -d 'q=Why is the sky blue?' http://127.0.0.1:8080/chat
//	curl -i -H 'X-Priority: low' -d 'q=Why is the sky blue?' http://127.0.0.1:8080/chat
//	curl http://127.0.0.1:8080/readyz
//	curl http://127.0.0.1:8080/metrics
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// options are what was asked for.
type options struct {
	config, audit, addr string
	every, grace        time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stderr))
}

// run serves until ctx ends, and returns the exit code: 2 if it was asked for
// something it cannot do, 1 if it failed or had to cut calls.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	var o options
	fs := flag.NewFlagSet("production", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.config, "config", "", "`file` with models and settings; without it there are two fake models")
	fs.DurationVar(&o.every, "every", 5*time.Second, "how often to look at it")
	fs.StringVar(&o.audit, "audit", "", "`file` that takes a line for each change of configuration")
	fs.StringVar(&o.addr, "addr", "127.0.0.1:8080", "`address` to listen at")
	fs.DurationVar(&o.grace, "grace", 30*time.Second, "for open calls to end in, after SIGTERM")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(stderr, "unexpected argument %q\n", fs.Arg(0))
		return 2
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	if err := start(ctx, o, log); err != nil {
		log.Error("stopped", "err", err)
		return 1
	}
	log.Info("stopped")
	return 0
}

func start(ctx context.Context, o options, log *slog.Logger) error {
	if o.config == "" {
		d, err := newDemo()
		if err != nil {
			return err
		}
		defer d.close()
		o.config = d.config
	}
	models := newAPI(nil)
	metrics := prometheus.NewRegistry()
	pool, checker, err := newPool(o, models, metrics, log)
	if err != nil {
		return err
	}
	s, err := newService(pool, checker, models, metrics, log)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", o.addr)
	if err != nil {
		return err
	}
	log.Info("listening", "addr", l.Addr().String(), "config", o.config)
	return serve(ctx, pool, s.handler(), l, o.grace, log)
}

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
)

// serve serves until ctx ends. Then it refuses new calls, and is not ready any
// more, while open ones go on to their end, for as long as grace at most. The
// pool's background work ends last.
func serve(ctx context.Context, pool *resilience.Pool, h http.Handler, l net.Listener, grace time.Duration, log *slog.Logger) error {
	srv := &http.Server{
		Handler: h, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	failed := make(chan error, 2)
	var work sync.WaitGroup
	work.Go(func() { failed <- pool.Run(background) })
	work.Go(func() { failed <- srv.Serve(l) })
	defer work.Wait()
	defer stop()

	select {
	case <-ctx.Done():
	case err := <-failed:
		_ = srv.Close()
		return err
	}
	log.Info("draining", "calls", pool.InFlight(), "grace", grace)
	ending, cancel := context.WithTimeoutCause(background, grace, fmt.Errorf("the %v of grace are over", grace))
	defer cancel()
	err := pool.Drain(ending)
	if err == nil && srv.Shutdown(ending) != nil {
		err = fmt.Errorf("answers were still on their way to clients: %w", context.Cause(ending))
	}
	if err != nil {
		_ = srv.Close() // cuts what is open
	}
	return err
}

package degrade_test

import (
	"bytes"
	"context"
	"flag"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/degrade"
)

var long = flag.Bool("long", false, "run the heavy checks whole")

var by = resilience.Control{Actor: "a test", Reason: "to see"}

// A rig is a pool with a controller on the clock of a test. What models do is said
// by do; without it they answer at once.
type rig struct {
	*testing.T
	controller *degrade.Controller
	pool       *resilience.Pool
	client     *resilience.Client[string, string]
	levels     *resilience.Subscription
	rejects    *resilience.Subscription
	do         func(ctx context.Context, m *resilience.Model, question string) (string, error)
	calls      sync.WaitGroup
	log        *lines
}

// lines is a log of the pool.
type lines struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(l.String())
	l.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func ids(names ...string) (infos []resilience.ModelInfo) {
	for _, name := range names {
		infos = append(infos, resilience.ModelInfo{ID: name})
	}
	return infos
}

// degraded runs f on a rig, whose calls have all ended when it returns.
func degraded(t *testing.T, cfg degrade.Config, infos []resilience.ModelInfo, f func(r *rig), features ...resilience.Feature) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, cfg, infos, features...)
		f(r)
		r.calls.Wait()
		require.Zero(t, r.pool.InFlight())
		r.levels.Close()
		r.rejects.Close()
	})
}

func newRig(t *testing.T, cfg degrade.Config, infos []resilience.ModelInfo, features ...resilience.Feature) *rig {
	t.Helper()
	r := &rig{T: t, controller: degrade.New(cfg), log: &lines{}}
	r.do = func(context.Context, *resilience.Model, string) (string, error) { return "fine", nil }
	noTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	logger := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{ReplaceAttr: noTime}))
	var err error
	r.pool, err = resilience.NewPool(append(features, r.controller, resilience.Models(infos...), resilience.Logger(logger))...)
	require.NoError(t, err)
	r.client = r.with(resilience.Hooks[string, string]{})
	r.levels = r.pool.Subscribe(100_000, resilience.EventDegrade)
	r.rejects = r.pool.Subscribe(1000, resilience.EventReject)
	return r
}

// with returns a client with hooks.
func (r *rig) with(hooks resilience.Hooks[string, string]) *resilience.Client[string, string] {
	r.Helper()
	client, err := resilience.NewClient(r.pool, hooks,
		resilience.BindAll(func(ctx context.Context, m *resilience.Model, q string) (string, error) { return r.do(ctx, m, q) }))
	require.NoError(r, err)
	return client
}

// run runs the pool until stop is called.
func (r *rig) run() (stop func()) {
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan error, 1)
	go func() { done <- r.pool.Run(ctx) }()
	synctest.Wait()
	return func() {
		cancel()
		require.NoError(r, <-done)
	}
}

// ask makes a call of a priority.
func (r *rig) ask(p resilience.Priority) error {
	_, _, err := r.client.Do(r.Context(), "?", resilience.CallOptions{Priority: p})
	return err
}

// override sets a level for a time.
func (r *rig) override(l degrade.Level, d time.Duration) (release func()) {
	r.Helper()
	control := by
	control.Until = time.Now().Add(d)
	release, err := r.controller.Override(r.Context(), l, control)
	require.NoError(r, err)
	return release
}

// hold takes models out of rotation for a time.
func (r *rig) hold(d time.Duration, ids ...string) {
	for _, id := range ids {
		r.pool.Model(id).Hold(r.Context(), resilience.Hold{By: resilience.HoldBreaker, Reason: "a test", Until: time.Now().Add(d)})
	}
}

// changes are the level changes since, as "from to reason".
func (r *rig) changes() (list []string) {
	for {
		select {
		case e := <-r.levels.C:
			text := e.From + " → " + e.To + ": " + e.Reason
			if e.Would {
				text += " (would)"
			}
			list = append(list, text)
		default:
			return list
		}
	}
}

// asks makes calls of a priority and counts those that are let in.
func (r *rig) asks(n int, p resilience.Priority) (in int) {
	for range n {
		if err := r.ask(p); err == nil || resilience.KindOf(err) != resilience.Rejected {
			in++
		}
	}
	return in
}

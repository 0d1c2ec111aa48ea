package health_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/health"
)

var long = flag.Bool("long", false, "run the heavy checks whole")

var by = resilience.Control{Actor: "operator", Reason: "a test"}

// A rig is a pool whose models answer calls and probes as a test says.
type rig struct {
	*testing.T
	pool    *resilience.Pool
	checker *health.Checker
	client  *resilience.Client[string, string]
	events  *resilience.Subscription
	start   time.Time

	mu     sync.Mutex
	probes []probe
	asks   map[string]func(ctx context.Context) error // a probe, by ID; well if nil
	calls  map[string]func(ctx context.Context) error // a call
}

type probe struct {
	id string
	at time.Duration
}

// begin makes a rig in a bubble; features come beside the checker.
func begin(t *testing.T, cfg health.Config, infos []resilience.ModelInfo, features ...resilience.Feature) *rig {
	t.Helper()
	r := &rig{
		T: t, checker: health.New(cfg), start: time.Now(),
		asks: map[string]func(context.Context) error{}, calls: map[string]func(context.Context) error{},
	}
	var err error
	r.pool, err = resilience.NewPool(append([]resilience.Feature{
		r.checker, resilience.Models(infos...), resilience.Seed(rand.NewPCG(1, 2)), resilience.Probe(r.ask),
	}, features...)...)
	require.NoError(t, err)
	var bindings []resilience.ClientOption[string, string]
	for _, info := range infos {
		bindings = append(bindings, resilience.BindFunc(info.ID, func(ctx context.Context, _ string) (string, error) {
			if fn := r.callOf(info.ID); fn != nil {
				return "", fn(ctx)
			}
			return "", nil
		}))
	}
	r.client, err = resilience.NewClient(r.pool, bindings...)
	require.NoError(t, err)
	r.events = r.pool.Subscribe(1<<16, resilience.EventHealth, resilience.EventHold, resilience.EventRelease, resilience.EventWarning, resilience.EventPanic)
	t.Cleanup(r.events.Close)
	return r
}

// bubble runs fn with a rig whose pool runs.
func bubble(t *testing.T, cfg health.Config, infos []resilience.ModelInfo, fn func(r *rig), features ...resilience.Feature) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, cfg, infos, features...)
		stop := r.run()
		defer stop()
		fn(r)
	})
}

// run runs the pool until the returned function is called.
func (r *rig) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.pool.Run(ctx) })
	return func() { cancel(); wg.Wait() }
}

func (r *rig) ask(ctx context.Context, m *resilience.Model) error {
	r.mu.Lock()
	r.probes = append(r.probes, probe{m.ID(), time.Since(r.start)})
	fn := r.asks[m.ID()]
	r.mu.Unlock()
	if fn != nil {
		return fn(ctx)
	}
	return nil
}

func (r *rig) callOf(id string) func(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls[id]
}

// set makes a model's probes and calls end so from now on.
func (r *rig) set(err error, ids ...string) { r.setBoth(fails(err), fails(err), ids...) }

func (r *rig) setBoth(ask, call func(context.Context) error, ids ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		r.asks[id], r.calls[id] = ask, call
	}
}

func fails(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

func hangs(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// asked counts the probes of models since an instant.
func (r *rig) asked(since time.Duration, ids ...string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.probes {
		if p.at < since {
			continue
		}
		if len(ids) == 0 {
			n++
		}
		for _, id := range ids {
			if id == p.id {
				n++
			}
		}
	}
	return n
}

// call makes n calls to a model, one after the other.
func (r *rig) call(id string, n int) {
	for range n {
		_, _ = r.client.Pin(id).Call(context.Background(), "?")
	}
}

// told drains the events, as lines.
func (r *rig) told(kinds ...resilience.EventKind) (lines []string) {
	synctest.Wait()
	for {
		select {
		case e := <-r.events.C:
			for _, k := range kinds {
				if e.Kind == k {
					lines = append(lines, line(e))
				}
			}
		default:
			return lines
		}
	}
}

func line(e resilience.Event) string {
	id := "pool"
	if e.Model != nil {
		id = e.Model.ID()
	}
	text := fmt.Sprintf("%s %s>%s: %s", id, e.From, e.To, e.Reason)
	if e.Would {
		text += " (would)"
	}
	return text
}

func (r *rig) status(id string) resilience.Status { return r.checker.Last(r.pool.Model(id)).Status }

func (r *rig) held(id string) bool {
	_, held := r.pool.Model(id).HeldSince(resilience.HoldHealth)
	return held
}

func models(ids ...string) (infos []resilience.ModelInfo) {
	for _, id := range ids {
		infos = append(infos, resilience.ModelInfo{ID: id})
	}
	return infos
}

func many(n int, info resilience.ModelInfo) (infos []resilience.ModelInfo) {
	for i := range n {
		info.ID = fmt.Sprintf("%sm%d", info.Provider, i)
		infos = append(infos, info)
	}
	return infos
}

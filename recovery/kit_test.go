package recovery_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/recovery"
)

var by = resilience.Control{Actor: "mia", Reason: "a test"}

// world is a pool of models that fail as they are told to.
type world struct {
	*resilience.Client[string, string]
	*recovery.Recoverer
	t    bubble
	pool *resilience.Pool
	stop func() // of Run
	open *breaker.Breakers

	mu     sync.Mutex
	fails  map[string]error
	probe  map[string]func(ctx context.Context) error // else as calls do
	probes map[string][]time.Duration
	calls  map[string]int
	events []resilience.Event
}

// errHang is a failure that takes as long as it may.
var errHang = fmt.Errorf("%w: hung", resilience.TimedOut)

func newWorld(t bubble, cfg recovery.Config, ids []string, features ...resilience.Feature) *world {
	return newProbedWorld(t, cfg, ids, true, features...)
}

func newProbedWorld(t bubble, cfg recovery.Config, ids []string, probes bool, features ...resilience.Feature) *world {
	t.Helper()
	w := &world{
		t: t, Recoverer: recovery.New(cfg), open: breaker.New(breaker.Config{}), fails: map[string]error{}, probe: map[string]func(context.Context) error{},
		probes: map[string][]time.Duration{}, calls: map[string]int{},
	}
	var infos []resilience.ModelInfo
	for _, id := range ids {
		infos = append(infos, resilience.ModelInfo{ID: id, Provider: "p"})
	}
	all := append([]resilience.Feature{
		resilience.Models(infos...), resilience.Seed(rand.NewPCG(1, 2)), w.Recoverer,
		w.open, balance.New(balance.Config{Algorithm: balance.RoundRobin}), resilience.Timeouts{Attempt: 10 * time.Second}, inTurn{},
		watcher(func(e resilience.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		}),
	}, features...)
	if probes {
		all = append(all, resilience.Probe(func(ctx context.Context, m *resilience.Model) error {
			w.mu.Lock()
			w.probes[m.ID()] = append(w.probes[m.ID()], w.pool.Now())
			err, own := w.fails[m.ID()], w.probe[m.ID()]
			w.mu.Unlock()
			if own != nil {
				return own(ctx)
			}
			return w.ask(ctx, err)
		}))
	}
	var err error
	w.pool, err = resilience.NewPool(all...)
	require.NoError(t, err)
	w.Client, err = resilience.NewClient(w.pool, resilience.BindProvider("p", func(ctx context.Context, m *resilience.Model, _ string) (string, error) {
		w.mu.Lock()
		w.calls[m.ID()]++
		err := w.fails[m.ID()]
		if key := resilience.KeyFrom(ctx); w.fails[m.ID()+" by "+key] != nil {
			err = w.fails[m.ID()+" by "+key]
		}
		w.mu.Unlock()
		return m.ID(), w.ask(ctx, err)
	}))
	require.NoError(t, err)
	return w
}

func (w *world) ask(ctx context.Context, err error) error {
	if err == errHang {
		<-ctx.Done()
		return ctx.Err()
	}
	time.Sleep(10 * time.Millisecond)
	return err
}

// run runs the pool until the test ends, or stop.
func (w *world) run() *world {
	ctx, cancel := context.WithCancel(w.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.pool.Run(ctx); err != nil {
			w.t.Error(err)
		}
	})
	w.stop = func() {
		cancel()
		wg.Wait()
	}
	w.t.Cleanup(w.stop)
	synctest.Wait()
	return w
}

func (w *world) fail(err error, ids ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		w.fails[id] = err
	}
}

func (w *world) breakers() *breaker.Breakers { return w.open }

func (w *world) model(id string) *resilience.Model { return w.pool.Model(id) }

// call makes calls at a rate for some time.
func (w *world) call(perSecond float64, d time.Duration) {
	var wg sync.WaitGroup
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Duration(float64(time.Second) / perSecond)) {
		wg.Go(func() { _, _ = w.Call(w.t.Context(), "") })
	}
	wg.Wait()
}

// trip makes calls until the model is held, and waits until that was noticed.
func (w *world) trip(id string) {
	w.t.Helper()
	for range 100 {
		if !w.model(id).Available() {
			synctest.Wait()
			return
		}
		_, _, _ = w.Do(w.t.Context(), "", resilience.CallOptions{Model: id})
	}
	require.Fail(w.t, "it is never held")
}

// steps are the steps of a model's recovery, and how often it was probed meanwhile.
func (w *world) steps(id string) (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Kind == resilience.EventRecovery && e.Model.ID() == id {
			list = append(list, e.To)
		}
	}
	return list
}

func (w *world) last(id string) (last resilience.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Kind == resilience.EventRecovery && e.Model.ID() == id {
			last = e
		}
	}
	return last
}

// probed is when a model was probed, or any.
func (w *world) probed(id string) (at []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for m, list := range w.probes {
		if m == id || id == "" {
			at = append(at, list...)
		}
	}
	return at
}

// asked is how many calls a model got.
func (w *world) asked(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[id]
}

func (w *world) count(match func(e resilience.Event) bool) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if match(e) {
			n++
		}
	}
	return n
}

func (w *world) reload(config string) {
	w.t.Helper()
	require.NoError(w.t, w.pool.Reload(w.t.Context(), []byte(config), by))
}

// A bubble is a test in virtual time.
type bubble struct{ *testing.T }

func virtual(t *testing.T, name string, fn func(t bubble)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { fn(bubble{t}) })
	})
}

// watcher hands on all events but those of calls.
type watcher func(e resilience.Event)

func (f watcher) Install(s *resilience.Setup) error {
	s.Observe(func(_ context.Context, e resilience.Event) { f(e) },
		resilience.EventHold, resilience.EventRelease, resilience.EventBreaker, resilience.EventControl, resilience.EventRecovery)
	return nil
}

// inTurn goes through models until one answers.
type inTurn struct{}

func (inTurn) Install(s *resilience.Setup) error {
	s.Route(func(ctx context.Context, r *resilience.Route, next resilience.Handler) error {
		var last error
		for r.Next(ctx, false) != nil {
			if last = next(ctx, r.Call()); last == nil || !r.Extra(last) {
				return last
			}
		}
		if last == nil {
			return r.None()
		}
		return last
	})
	return nil
}

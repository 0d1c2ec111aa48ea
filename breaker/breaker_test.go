package breaker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
)

// A bench is a pool of one model with a breaker, on the clock of a test. What
// the model does is in do.
type bench struct {
	*testing.T
	*breaker.Breakers
	client *resilience.Client[string, string]
	pool   *resilience.Pool
	model  *resilience.Model
	asked  int
	do     func(ctx context.Context) error
	heard  *resilience.Subscription
}

func answer(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

// with makes the pool.
func (b *bench) with(cfg breaker.Config, features ...resilience.Feature) {
	b.Helper()
	b.Breakers, b.do = breaker.New(cfg), answer(nil)
	features = append(features, b.Breakers, resilience.Seed(rand.NewPCG(1, 2)))
	pool, err := resilience.NewPool(features...)
	require.NoError(b, err)
	b.pool = pool
	b.client, err = resilience.NewClient(pool, resilience.BindFunc("m", func(ctx context.Context, _ string) (string, error) {
		b.asked++
		return "", b.do(ctx)
	}))
	require.NoError(b, err)
	b.model = pool.Model("m")
	b.heard = pool.Subscribe(1000, resilience.EventBreaker)
	b.Cleanup(b.heard.Close)
}

// call makes a call whose model does what is given.
func (b *bench) call(do func(context.Context) error) error {
	b.do = do
	_, err := b.client.Call(b.Context(), "")
	return err
}

func (b *bench) fail(n int, err error) {
	b.Helper()
	for range n {
		require.ErrorIs(b, b.call(answer(err)), err)
	}
}

func (b *bench) is(s breaker.State) {
	b.Helper()
	require.Equal(b, s.String(), b.State(b.model).String())
}

// trip opens the breaker, and half waits until it probes.
func (b *bench) trip() {
	b.Helper()
	b.fail(5, resilience.Unreachable)
	b.is(breaker.Open)
}

func (b *bench) half() {
	b.Helper()
	b.trip()
	time.Sleep(time.Until(b.hold().Until))
	b.is(breaker.HalfOpen)
}

// lift lifts whatever holds the model but its breaker.
func (b *bench) lift() {
	for _, h := range b.model.Holds() {
		if h.By != resilience.HoldBreaker {
			b.model.Release(b.Context(), h.By)
		}
	}
}

func (b *bench) hold() resilience.Hold {
	b.Helper()
	holds := b.model.Holds()
	require.Len(b, holds, 1)
	require.Equal(b, resilience.HoldBreaker, holds[0].By)
	return holds[0]
}

// events drains what was heard, in one line each.
func (b *bench) events() (lines []string) {
	for {
		select {
		case e := <-b.heard.C:
			would := ""
			if e.Would {
				would = "would: "
			}
			lines = append(lines, would+e.From+" → "+e.To+", "+e.Reason)
		default:
			return lines
		}
	}
}

func virtual(t *testing.T, name string, f func(b *bench)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(&bench{T: t}) })
	})
}

var kinds = []resilience.Kind{
	resilience.Canceled, resilience.TimedOut, resilience.RateLimited, resilience.Overloaded, resilience.Unreachable,
	resilience.Unauthorized, resilience.QuotaSpent, resilience.NotFound, resilience.Invalid, resilience.TooLong,
	resilience.Filtered, resilience.Malformed, resilience.Truncated, resilience.Rejected, resilience.Unknown,
}

// What a kind does in a closed breaker and to a probe follows from the table.
func TestKinds(t *testing.T) {
	for _, kind := range kinds {
		virtual(t, kind.String(), func(b *bench) {
			for n := range 21 {
				b.with(breaker.Config{FailureRate: -1})
				require.NoError(b, b.call(answer(nil)))
				for range n {
					b.lift()
					_ = b.call(answer(kind))
				}
				opens := n >= 5 && kind.Against()
				if kind == resilience.Unknown || kind == resilience.Canceled { // not by our caller: nobody we know
					opens = n >= 10
				}
				want := breaker.Closed
				if opens {
					want = breaker.Open
				}
				require.Equal(b, want.String(), b.State(b.model).String(), "%d calls", n)
			}
		})
	}
}

func TestProbeKinds(t *testing.T) {
	for _, kind := range kinds {
		if kind == resilience.Canceled {
			continue // TestCallerGivesUp
		}
		virtual(t, kind.String(), func(b *bench) {
			b.with(breaker.Config{})
			require.NoError(b, b.call(answer(nil)))
			b.half()
			_ = b.call(answer(kind))
			switch {
			case kind == resilience.Unknown:
				b.is(breaker.HalfOpen)
				_ = b.call(answer(kind))
				b.is(breaker.Open)
			case kind.Against():
				b.is(breaker.Open)
			default:
				b.is(breaker.HalfOpen)
			}
		})
	}
}

// What is wrong with requests says nothing about a model, whether it has ever
// answered or not.
func TestRequestsNeverOpen(t *testing.T) {
	for _, kind := range []resilience.Kind{resilience.Invalid, resilience.TooLong, resilience.Filtered, resilience.Malformed} {
		virtual(t, kind.String(), func(b *bench) {
			b.with(breaker.Config{})
			b.fail(50, kind)
			b.is(breaker.Closed)
			require.True(b, b.model.Available())
		})
	}
}

func TestCallerGivesUp(t *testing.T) {
	waits := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	gone := func(b *bench) {
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		b.do = waits
		_, err := b.client.Call(ctx, "")
		require.ErrorIs(b, err, resilience.Canceled)
	}
	virtual(t, "in a closed breaker", func(b *bench) {
		b.with(breaker.Config{})
		for range 50 {
			gone(b)
		}
		b.is(breaker.Closed)
	})
	virtual(t, "as a probe, which gives back its place", func(b *bench) {
		b.with(breaker.Config{})
		b.half()
		for range 20 {
			gone(b)
			b.is(breaker.HalfOpen)
		}
		require.NoError(b, b.call(answer(nil)))
		require.NoError(b, b.call(answer(nil)))
		b.is(breaker.Closed)
	})
	virtual(t, "our own timer is the model's failure", func(b *bench) {
		b.with(breaker.Config{}, resilience.Timeouts{Attempt: time.Second})
		for range 5 {
			require.ErrorIs(b, b.call(waits), resilience.TimedOut)
		}
		b.is(breaker.Open)
	})
}

func TestSlow(t *testing.T) {
	takes := func(d time.Duration, err error) func(context.Context) error {
		return func(context.Context) error { time.Sleep(d); return err }
	}
	cfg := breaker.Config{SlowRate: 0.5, SlowAfter: 2 * time.Second, MinCalls: 4, Window: time.Hour, FailureRate: -1}
	virtual(t, "opens", func(b *bench) {
		b.with(cfg)
		for _, d := range []time.Duration{time.Second, 3 * time.Second, time.Second} {
			require.NoError(b, b.call(takes(d, nil)))
		}
		b.is(breaker.Closed)
		require.NoError(b, b.call(takes(3*time.Second, nil)))
		b.is(breaker.Open)
		require.Equal(b, []string{"closed → open, 50% of 4 calls were slow"}, b.events())
	})
	virtual(t, "is longer than SlowAfter", func(b *bench) {
		b.with(cfg)
		for range 20 {
			require.NoError(b, b.call(takes(2*time.Second, nil)))
		}
		b.is(breaker.Closed)
	})
	virtual(t, "is off", func(b *bench) {
		b.with(breaker.Config{})
		for range 20 {
			require.NoError(b, b.call(takes(time.Hour, nil)))
		}
		b.is(breaker.Closed)
	})
	virtual(t, "was off until a reload", func(b *bench) {
		b.with(breaker.Config{FailureRate: -1, Consecutive: -1, Window: time.Hour, MinCalls: 4})
		for range 20 {
			_ = b.call(takes(time.Minute, resilience.Unreachable))
		}
		require.NoError(b, b.pool.Reload(b.Context(), []byte(`{"breaker": {"slowRate": 0.5}}`), ops))
		_ = b.call(takes(time.Minute, resilience.Unreachable))
		b.is(breaker.Closed)
	})
	virtual(t, "without an attempt", func(b *bench) {
		b.with(cfg, layer(func(context.Context) error { time.Sleep(3 * time.Second); return resilience.TooLong }))
		for range 4 {
			require.ErrorIs(b, b.call(nil), resilience.TooLong)
		}
		b.is(breaker.Closed)
		b.with(cfg, layer(func(context.Context) error { time.Sleep(3 * time.Second); return resilience.Unreachable }))
		for range 4 {
			require.ErrorIs(b, b.call(nil), resilience.Unreachable)
		}
		b.is(breaker.Open)
		require.Equal(b, []string{"closed → open, 100% of 4 calls were slow"}, b.events())
	})
	virtual(t, "fails a probe", func(b *bench) {
		b.with(cfg)
		b.half()
		require.NoError(b, b.call(takes(3*time.Second, nil)))
		b.is(breaker.Open)
	})
}

// layer is a feature that stands in for the model.
type layer func(ctx context.Context) error

func (f layer) Install(s *resilience.Setup) error {
	s.Wrap(resilience.LayerTimeout, func(*resilience.Model, resilience.Handler) resilience.Handler {
		return func(ctx context.Context, _ *resilience.Call) error { return f(ctx) }
	})
	return nil
}

func TestHoldAndRefusal(t *testing.T) {
	virtual(t, "while open", func(b *bench) {
		b.with(breaker.Config{})
		b.trip()
		left := time.Until(b.hold().Until)
		require.GreaterOrEqual(b, left, 15*time.Second)
		require.LessOrEqual(b, left, 16500*time.Millisecond)
		require.Equal(b, "5 failures in a row", b.hold().Reason)
		require.False(b, b.model.Available())
		err := b.call(answer(nil))
		require.ErrorIs(b, err, resilience.Rejected)
		require.InDelta(b, left.Seconds(), resilience.RetryAfter(err).Seconds(), .1)
		require.Equal(b, 5, b.asked)

		time.Sleep(left)
		require.True(b, b.model.Available())
		require.NoError(b, b.call(answer(nil)))
		require.NoError(b, b.call(answer(nil)))
		b.is(breaker.Closed)
		require.Equal(b, []string{
			"closed → open, 5 failures in a row", "open → half-open, open time is over", "half-open → closed, probes succeeded",
		}, b.events())
	})
	virtual(t, "of a call whose model is not held", func(b *bench) { // such as one picked a moment before
		b.with(breaker.Config{})
		b.trip()
		left := time.Until(b.hold().Until)
		b.model.Release(b.Context(), resilience.HoldBreaker)
		rejects := b.pool.Subscribe(9, resilience.EventReject)
		defer rejects.Close()
		err := b.call(answer(nil))
		require.ErrorIs(b, err, resilience.Rejected)
		require.ErrorContains(b, err, "breaker open")
		require.Equal(b, left, resilience.RetryAfter(err))
		require.Equal(b, "m", (<-rejects.C).Model.ID())
		require.Equal(b, 5, b.asked)
	})
	virtual(t, "of more probes than there may be", func(b *bench) {
		b.with(breaker.Config{})
		b.half()
		var inside error
		require.NoError(b, b.call(func(context.Context) error {
			b.do = func(context.Context) error {
				b.do = answer(nil)
				_, inside = b.client.Call(context.Background(), "")
				return nil
			}
			_, err := b.client.Call(context.Background(), "")
			return err
		}))
		require.ErrorIs(b, inside, resilience.Rejected)
		require.ErrorContains(b, inside, "half-open")
		b.is(breaker.Closed)
	})
}

func TestOverloadedAsksForTime(t *testing.T) {
	virtual(t, "and gets it", func(b *bench) {
		b.with(breaker.Config{})
		for range 5 {
			_ = b.call(answer(&resilience.Error{Kind: resilience.Overloaded, RetryAfter: time.Minute}))
		}
		b.is(breaker.Open)
		require.GreaterOrEqual(b, time.Until(b.hold().Until), time.Minute)
	})
}

func TestProbeThatDoesNotReturn(t *testing.T) {
	for name, end := range map[string]func(){
		"panics":  func() { panic("probe") },
		"Goexits": func() { runtime.Goexit() },
	} {
		virtual(t, name, func(b *bench) {
			b.with(breaker.Config{Probes: 1})
			b.half()
			done := make(chan any)
			go func() {
				defer func() { done <- recover() }()
				_ = b.call(func(context.Context) error { end(); return nil })
			}()
			if v := <-done; name == "panics" {
				require.Equal(b, "probe", v, "it passes through")
			}
			b.is(breaker.Open)
			time.Sleep(time.Until(b.hold().Until))
			require.NoError(b, b.call(answer(nil)), "its place is free")
			b.is(breaker.Closed)
		})
		virtual(t, name+" in a closed breaker", func(b *bench) {
			b.with(breaker.Config{})
			for range 5 {
				done := make(chan any)
				go func() {
					defer func() { done <- recover() }()
					_ = b.call(func(context.Context) error { end(); return nil })
				}()
				<-done
			}
			b.is(breaker.Open)
		})
	}
	virtual(t, "takes long where that is normal", func(b *bench) {
		b.with(breaker.Config{Probes: 1, SlowAfter: time.Minute})
		b.half()
		require.NoError(b, b.call(func(context.Context) error { time.Sleep(4*time.Minute - 1); return nil }))
		b.is(breaker.Closed)
		b.half()
		require.NoError(b, b.call(func(context.Context) error { time.Sleep(4 * time.Minute); return nil }))
		b.is(breaker.Open)
	})
	virtual(t, "hangs", func(b *bench) {
		b.with(breaker.Config{Probes: 1})
		b.half()
		release := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { _ = b.call(func(context.Context) error { <-release; return nil }) })
		synctest.Wait()
		time.Sleep(2*time.Minute - 1)
		require.ErrorIs(b, b.call(answer(nil)), resilience.Rejected)
		b.is(breaker.HalfOpen)
		time.Sleep(1)
		require.ErrorIs(b, b.call(answer(nil)), resilience.Rejected)
		b.is(breaker.Open)
		require.GreaterOrEqual(b, time.Until(b.hold().Until), 30*time.Second)
		close(release)
		wg.Wait()
		b.is(breaker.Open)
		require.Equal(b, "half-open → open, probe hung", b.events()[2])
	})
}

func TestLastResort(t *testing.T) {
	virtual(t, "passes an open breaker, uncounted", func(b *bench) {
		b.with(breaker.Config{}, lastResort())
		b.trip()
		for range 10 {
			require.NoError(b, b.call(answer(nil)))
			b.is(breaker.Open)
		}
		b.fail(10, resilience.Unreachable)
		require.Len(b, b.events(), 1)
	})
	virtual(t, "does not pass what people closed", func(b *bench) {
		b.with(breaker.Config{}, lastResort())
		require.NoError(b, b.Isolate(b.Context(), b.model, ops))
		require.ErrorIs(b, b.call(answer(nil)), resilience.Rejected)
		require.Zero(b, b.asked)
	})
}

// lastResort is a feature that makes do with a held model.
func lastResort() resilience.Feature {
	return router(func(ctx context.Context, r *resilience.Route, next resilience.Handler) error {
		if r.Next(ctx, true) == nil {
			return r.None()
		}
		return next(ctx, r.Call())
	})
}

// nothing is a feature that adds nothing.
type nothing struct{}

func (nothing) Install(*resilience.Setup) error { return nil }

// router is a feature that goes through models.
type router func(ctx context.Context, r *resilience.Route, next resilience.Handler) error

func (f router) Install(s *resilience.Setup) error { s.Route(f); return nil }

func TestObserveOnly(t *testing.T) {
	virtual(t, "refuses and holds nothing", func(b *bench) {
		b.with(breaker.Config{ObserveOnly: true})
		rejects := b.pool.Subscribe(100, resilience.EventReject)
		defer rejects.Close()
		b.trip()
		require.Empty(b, b.model.Holds())
		b.fail(5, resilience.Unreachable)
		require.NoError(b, b.call(answer(nil)))
		b.is(breaker.Open)
		require.Equal(b, 11, b.asked)
		require.Len(b, rejects.C, 6)
		require.True(b, (<-rejects.C).Would)
		time.Sleep(17 * time.Second)
		b.is(breaker.HalfOpen)
		require.NoError(b, b.call(answer(nil)))
		require.NoError(b, b.call(answer(nil)))
		b.is(breaker.Closed)
		require.Equal(b, []string{
			"would: closed → open, 5 failures in a row", "would: open → half-open, open time is over",
			"would: half-open → closed, probes succeeded",
		}, b.events())
	})
	virtual(t, "switched while open", func(b *bench) {
		b.with(breaker.Config{})
		b.trip()
		until := b.hold().Until
		require.NoError(b, b.pool.Reload(b.Context(), []byte(`{"breaker": {"observeOnly": true}}`), ops))
		require.Empty(b, b.model.Holds())
		require.NoError(b, b.call(answer(nil)))
		b.is(breaker.Open)
		require.NoError(b, b.pool.Reload(b.Context(), []byte(`{}`), ops))
		require.Equal(b, until, b.hold().Until)
		require.ErrorIs(b, b.call(answer(nil)), resilience.Rejected)
	})
}

func TestModelsHaveBreakersOfTheirOwn(t *testing.T) {
	virtual(t, "and settings", func(b *bench) {
		breakers := breaker.New(breaker.Config{Consecutive: 3, Models: map[string]breaker.Config{
			"twins": {Consecutive: 2}, "b": {Consecutive: 4, OpenFor: time.Minute}, "d": {Consecutive: -1, FailureRate: -1},
		}})
		pool, err := resilience.NewPool(breakers, resilience.Models(
			resilience.ModelInfo{ID: "a"}, resilience.ModelInfo{ID: "b", Name: "twins"},
			resilience.ModelInfo{ID: "c", Name: "twins"}, resilience.ModelInfo{ID: "d"}))
		require.NoError(b, err)
		down := func(context.Context, string) (string, error) { return "", resilience.Unreachable }
		client, err := resilience.NewClient(pool, resilience.BindFunc("a", down), resilience.BindFunc("b", down),
			resilience.BindFunc("c", down), resilience.BindFunc("d", down))
		require.NoError(b, err)
		for id, n := range map[string]int{"a": 3, "b": 4, "c": 2, "d": 100} {
			for i := range n {
				require.Equal(b, breaker.Closed, breakers.State(pool.Model(id)), "%s after %d", id, i)
				_, err := client.Pin(id).Call(b.Context(), "")
				require.ErrorIs(b, err, resilience.Unreachable)
			}
			want := breaker.Open
			if id == "d" {
				want = breaker.Closed
			}
			require.Equal(b, want, breakers.State(pool.Model(id)), id)
		}
		require.GreaterOrEqual(b, time.Until(pool.Model("b").Holds()[0].Until), time.Minute)
		require.Less(b, time.Until(pool.Model("c").Holds()[0].Until), 20*time.Second)
	})
}

func TestReload(t *testing.T) {
	virtual(t, "changes settings and keeps states", func(b *bench) {
		b.with(breaker.Config{Consecutive: 4, Probes: 7})
		b.fail(2, resilience.Unreachable)
		reload := func(config string) error { return b.pool.Reload(b.Context(), []byte(config), ops) }
		require.NoError(b, reload(`{"breaker": {"consecutive": 3, "models": {"m": {"openFor": "2m"}}}}`))
		b.fail(1, resilience.Unreachable)
		b.is(breaker.Open)
		require.GreaterOrEqual(b, time.Until(b.hold().Until), 2*time.Minute)
		require.Contains(b, b.String(), "consecutive=3")
		require.Contains(b, b.String(), "probes=7", "it lies over what New was given")
		require.NoError(b, reload(`{}`))
		b.is(breaker.Open)
		require.GreaterOrEqual(b, time.Until(b.hold().Until), 2*time.Minute, "an open time that has begun goes on")
		require.Contains(b, b.String(), "consecutive=4", "back to what New was given")

		require.Error(b, reload(`{"breaker": {"consecutive": 0.5}}`))
		require.Error(b, reload(`{"breaker": {"openFor": "1h"}}`))
		require.Contains(b, b.String(), "consecutive=4", "nothing has changed")
	})
	virtual(t, "reaches models that it adds", func(b *bench) {
		breakers := breaker.New(breaker.Config{})
		pool, err := resilience.NewPool(breakers, resilience.Models(resilience.ModelInfo{ID: "a", Provider: "p"}))
		require.NoError(b, err)
		client, err := resilience.NewClient(pool, resilience.BindProvider("p",
			func(context.Context, *resilience.Model, string) (string, error) { return "", resilience.Unreachable }))
		require.NoError(b, err)
		require.NoError(b, pool.Reload(b.Context(), []byte(`{
			"models": [{"id": "a", "provider": "p"}, {"id": "b", "provider": "p", "name": "second"}],
			"breaker": {"consecutive": 3, "models": {"second": {"consecutive": 1}}}}`), ops))
		for id, n := range map[string]int{"a": 3, "b": 1} {
			for range n {
				require.Equal(b, breaker.Closed, breakers.State(pool.Model(id)))
				_, _ = client.Pin(id).Call(b.Context(), "")
			}
			require.Equal(b, breaker.Open, breakers.State(pool.Model(id)), id)
		}
	})
}

func TestConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		cfg  breaker.Config
		path string
	}{
		{breaker.Config{FailureRate: 1.5}, "breaker.failureRate"},
		{breaker.Config{SlowRate: -1}, "breaker.slowRate"},
		{breaker.Config{SlowRate: 2}, "breaker.slowRate"},
		{breaker.Config{SlowAfter: -1}, "breaker.slowAfter"},
		{breaker.Config{MinCalls: -1}, "breaker.minCalls"},
		{breaker.Config{Window: time.Millisecond}, "breaker.window"},
		{breaker.Config{OpenFor: -1}, "breaker.openFor"},
		{breaker.Config{OpenFor: time.Hour}, "breaker.openFor"},
		{breaker.Config{MaxOpenFor: 10000 * time.Hour}, "breaker.maxOpenFor"},
		{breaker.Config{MaxOpenFor: time.Second}, "breaker.openFor"},
		{breaker.Config{Probes: -1}, "breaker.probes"},
		{breaker.Config{Models: map[string]breaker.Config{"m": {OpenFor: time.Hour}}}, "breaker.models.m.openFor"},
		{breaker.Config{Models: map[string]breaker.Config{"m": {FailureRate: 9}}}, "breaker.models.m.failureRate"},
		{breaker.Config{Models: map[string]breaker.Config{"m": {Models: map[string]breaker.Config{"x": {}}}}}, "breaker.models.m.models"},
	} {
		_, err := resilience.NewPool(breaker.New(tt.cfg))
		var problem *resilience.ConfigError
		require.ErrorAs(t, err, &problem, "%+v", tt.cfg)
		require.Equal(t, tt.path, problem.Path)
		require.Panics(t, func() {
			breaker.Wrap(resilience.FuncOf(func(context.Context, string) (string, error) { return "", nil }), tt.cfg)
		})
	}
	for _, cfg := range []breaker.Config{
		{}, {FailureRate: -1, Consecutive: -1}, {FailureRate: 1, SlowRate: 1}, {OpenFor: time.Hour, MaxOpenFor: time.Hour},
		{Models: map[string]breaker.Config{"m": {SlowRate: -1, Drift: -1}}},
	} {
		_, err := resilience.NewPool(breaker.New(cfg))
		require.NoError(t, err)
	}
	b := breaker.New(breaker.Config{})
	_, err := resilience.NewPool(b)
	require.NoError(t, err)
	_, err = resilience.NewPool(b)
	require.ErrorContains(t, err, "another pool")
	_, err = resilience.NewPool(breaker.New(breaker.Config{}), breaker.New(breaker.Config{}))
	require.Error(t, err, "one pool, one owner of the section")
}

func TestStack(t *testing.T) {
	pool, err := resilience.NewPool(breaker.New(breaker.Config{SlowRate: 0.8, Consecutive: -1}))
	require.NoError(t, err)
	line := strings.Join(pool.Stack(), "\n")
	for _, want := range []string{"failureRate=0.5", "slowRate=0.8", "consecutive=off", "drift=off", "openFor=15s", "maxOpenFor=5m", "probes=2"} {
		require.Contains(t, line, want)
	}
}

// A breaker holds one lock for moments only: calls, controls, reloads, resets
// and readers at once are safe, and changes are published in order.
func TestConcurrent(t *testing.T) {
	virtual(t, "everything at once", func(b *bench) {
		breakers := breaker.New(breaker.Config{Consecutive: 3, OpenFor: time.Second, MaxOpenFor: 4 * time.Second})
		pool, err := resilience.NewPool(breakers, resilience.Seed(rand.NewPCG(3, 4)))
		require.NoError(b, err)
		client, err := resilience.NewClient(pool, resilience.BindFunc("m", func(ctx context.Context, req string) (string, error) {
			time.Sleep(time.Duration(len(req)) * 10 * time.Millisecond)
			if len(req)%3 != 0 {
				return "", resilience.Unreachable
			}
			return "", nil
		}))
		require.NoError(b, err)
		m := pool.Model("m")
		sub := pool.Subscribe(100000, resilience.EventBreaker)
		defer sub.Close()
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				for n := range 200 {
					_, _ = client.Call(b.Context(), strings.Repeat("x", (i*7+n*3)%50))
					time.Sleep(time.Duration(i+n%7) * 10 * time.Millisecond)
				}
			})
		}
		wg.Go(func() {
			for i := range 100 {
				until := ops
				until.Until = time.Now().Add(300 * time.Millisecond)
				_ = breakers.Open(b.Context(), m, until)
				time.Sleep(200 * time.Millisecond)
				_ = breakers.Isolate(b.Context(), m, ops)
				_ = pool.Reload(b.Context(), fmt.Appendf(nil, `{"breaker": {"probes": %d, "window": "%dms"}}`, i%3+1, 100+i), ops)
				_ = breakers.Close(b.Context(), m, ops)
				_ = breakers.State(m)
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				_ = pool.Reset(b.Context(), m, ops)
			}
		})
		wg.Wait()
		require.NoError(b, breakers.Close(b.Context(), m, ops))
		at, n := "closed", 0
		for len(sub.C) > 0 {
			e := <-sub.C
			require.Equal(b, at, e.From)
			at = e.To
			n++
		}
		require.Equal(b, "closed", at)
		require.Greater(b, n, 200)
		require.Zero(b, sub.Dropped())
		require.Empty(b, m.Holds())
		_, err = client.Call(b.Context(), "")
		require.NoError(b, err)
	})
}

// Adding a feature to a client builds its layers anew, and keeps what is known.
func TestWrapTwice(t *testing.T) {
	virtual(t, "keeps the past", func(b *bench) {
		breakers := breaker.New(breaker.Config{Consecutive: -1})
		down := resilience.FuncOf(func(context.Context, string) (string, error) { return "", resilience.Unreachable })
		client := resilience.Wrap(down, breakers)
		m := client.Models()[0]
		for i := range 10 {
			require.Equal(b, breaker.Closed, breakers.State(m), i)
			_, err := client.Call(b.Context(), "")
			require.ErrorIs(b, err, resilience.Unreachable)
			client = resilience.Wrap(client, nothing{})
		}
		require.Equal(b, breaker.Open, breakers.State(m))
	})
}

func TestReset(t *testing.T) {
	virtual(t, "closes", func(b *bench) {
		b.with(breaker.Config{})
		b.trip()
		require.NoError(b, b.pool.Reset(b.Context(), b.model, ops))
		b.is(breaker.Closed)
		require.Empty(b, b.model.Holds())
		require.Equal(b, "open → closed, reset", b.events()[1])
	})
}

func TestStateNames(t *testing.T) {
	require.Equal(t, "closed half-open open isolated unknown unknown",
		fmt.Sprint(breaker.Closed, " ", breaker.HalfOpen, " ", breaker.Open, " ", breaker.Isolated, " ", breaker.Isolated+1, " ", breaker.State(9)))
}

// The keys of a section are the lower camel case names of the fields.
func TestConfigKeys(t *testing.T) {
	raw, err := json.Marshal(breaker.Config{})
	require.NoError(t, err)
	var keys map[string]any
	require.NoError(t, json.Unmarshal(raw, &keys))
	for _, key := range []string{
		"failureRate", "slowRate", "slowAfter", "minCalls", "window", "consecutive", "drift", "openFor", "maxOpenFor",
		"probes", "observeOnly",
	} {
		require.Contains(t, keys, key)
	}
	require.Len(t, keys, 11)
}

// A model whose probes are out is not usable, though nothing holds it.
func TestExplainKnowsOfProbesUnderWay(t *testing.T) {
	virtual(t, "both hang", func(b *bench) {
		b.with(breaker.Config{})
		b.half()
		done := make(chan struct{})
		client, err := resilience.NewClient(b.pool, resilience.BindFunc("m", func(context.Context, string) (string, error) {
			<-done
			return "", nil
		}))
		require.NoError(b, err)
		for range 2 {
			go func() { _, _ = client.Call(context.Background(), "") }()
		}
		synctest.Wait()
		require.Equal(b, "m refused: breaker half-open, probes under way", b.pool.Explain("m")[0].String())
		close(done)
		synctest.Wait()
		require.Equal(b, "m usable", b.pool.Explain("m")[0].String())
	})
}

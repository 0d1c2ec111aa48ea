package retry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
)

// byTest is who changes things by hand here.
var byTest = resilience.Control{Actor: "test", Reason: "to see what happens"}

type client = resilience.Client[string, string]

// newClient returns a client of models named a, b and so on, that do as their
// scripts say.
func newClient(t *testing.T, scripts []*script, features ...resilience.Feature) *client {
	t.Helper()
	pool, err := resilience.NewPool(append(features, resilience.Seed(rand.NewPCG(1, 2)))...)
	require.NoError(t, err)
	var bindings []resilience.ClientOption[string, string]
	for i, s := range scripts {
		bindings = append(bindings, resilience.BindFunc(string(rune('a'+i)), func(ctx context.Context, _ string) (string, error) {
			return s.call(ctx)
		}))
	}
	c, err := resilience.NewClient(pool, bindings...)
	require.NoError(t, err)
	return c
}

// path is a report's attempts, such as "a a b".
func path(rep resilience.Report) string {
	var names []string
	for _, a := range rep.Attempts {
		names = append(names, a.Model.ID())
	}
	return strings.Join(names, " ")
}

// The same model again, by kind: what the layer does when it is alone.
func TestLayerAlone(t *testing.T) {
	const second = time.Second
	for name, tt := range map[string]struct {
		cfg  Config
		opts resilience.CallOptions
		errs []error
		at   []time.Duration
		kind resilience.Kind
	}{
		"success":                {Config{}, resilience.CallOptions{}, nil, []time.Duration{0}, 0},
		"overloaded":             {Config{}, resilience.CallOptions{}, times(failed(resilience.Overloaded), 9), []time.Duration{0, 500 * ms, 1500 * ms}, resilience.Overloaded},
		"unreachable":            {Config{}, resilience.CallOptions{}, times(failed(resilience.Unreachable), 9), []time.Duration{0, 50 * ms, 1050 * ms}, resilience.Unreachable},
		"timed out":              {Config{}, resilience.CallOptions{}, times(failed(resilience.TimedOut), 1), []time.Duration{0, 500 * ms}, 0},
		"limited, asked":         {Config{}, resilience.CallOptions{}, []error{askedFor(resilience.RateLimited, 2*second)}, []time.Duration{0, 2 * second}, 0},
		"limited, asked much":    {Config{}, resilience.CallOptions{}, []error{askedFor(resilience.RateLimited, 9*second)}, []time.Duration{0}, resilience.RateLimited},
		"limited":                {Config{}, resilience.CallOptions{}, []error{failed(resilience.RateLimited)}, []time.Duration{0, 500 * ms}, 0},
		"invalid":                {Config{}, resilience.CallOptions{}, []error{failed(resilience.Invalid)}, []time.Duration{0}, resilience.Invalid},
		"unknown":                {Config{}, resilience.CallOptions{}, []error{errors.New("what")}, []time.Duration{0}, resilience.Unknown},
		"the caller's limit":     {Config{}, resilience.CallOptions{Attempts: 2}, times(failed(resilience.Overloaded), 9), []time.Duration{0, 500 * ms}, resilience.Overloaded},
		"the call's limit":       {Config{Attempts: 99, Base: -1}, resilience.CallOptions{}, times(failed(resilience.Overloaded), 99), make([]time.Duration, 6), resilience.Overloaded},
		"no attempt fits":        {Config{}, resilience.CallOptions{Timeout: 1500 * ms}, times(failed(resilience.Overloaded), 9), []time.Duration{0, 500 * ms}, resilience.Overloaded},
		"once, accepted":         {Config{}, resilience.CallOptions{Once: true}, []error{failed(resilience.Overloaded)}, []time.Duration{0}, resilience.Overloaded},
		"another setting, op":    {Config{Ops: map[string]Config{"chat": {Base: second}}}, resilience.CallOptions{Op: "chat"}, []error{failed(resilience.Overloaded)}, []time.Duration{0, second}, 0},
		"another op":             {Config{Ops: map[string]Config{"chat": {Base: second}}}, resilience.CallOptions{Op: "embed"}, []error{failed(resilience.Overloaded)}, []time.Duration{0, 500 * ms}, 0},
		"another setting, model": {Config{Models: map[string]Config{"a": {Attempts: 1}}}, resilience.CallOptions{}, []error{failed(resilience.Overloaded)}, []time.Duration{0}, resilience.Overloaded},
		"model over op": {
			Config{Ops: map[string]Config{"chat": {Base: second, Attempts: 2}}, Models: map[string]Config{"a": {Base: 2 * second}}},
			resilience.CallOptions{Op: "chat"}, times(failed(resilience.Overloaded), 9), []time.Duration{0, 2 * second}, resilience.Overloaded,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(tt.errs...)
				c := newClient(t, []*script{s}, exactly(tt.cfg))
				v, rep, err := c.Do(t.Context(), "", tt.opts)
				require.Equal(t, tt.kind, resilience.KindOf(err), "%v", err)
				require.Equal(t, tt.at, s.at)
				require.Equal(t, tt.at[len(tt.at)-1], rep.Duration, "no time is spent after the last attempt")
				require.Len(t, rep.Attempts, len(tt.at))
				if err == nil {
					require.Equal(t, "ok", v)
				}
				for i, a := range rep.Attempts[1:] {
					require.Equal(t, tt.at[i+1]-tt.at[i], a.Wait)
				}
			})
		})
	}
}

// Failures that come with a status, through the classification of errors.
func TestLayerClassifies(t *testing.T) {
	for name, tt := range map[string]struct {
		err error
		at  []time.Duration
	}{
		"429 with a delay":    {answered(429, http.Header{"Retry-After": {"2"}}), []time.Duration{0, 2 * time.Second}},
		"500":                 {answered(500, nil), []time.Duration{0, 50 * ms}},
		"503 with a delay":    {answered(503, http.Header{"Retry-After": {"3"}}), []time.Duration{0, 3 * time.Second}},
		"400":                 {answered(400, nil), []time.Duration{0}},
		"401":                 {answered(401, nil), []time.Duration{0}},
		"a plea not to retry": {answered(500, http.Header{"X-Should-Retry": {"false"}}), []time.Duration{0}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(tt.err)
				_, _ = newClient(t, []*script{s}, exactly(Config{})).Call(t.Context(), "")
				require.Equal(t, tt.at, s.at)
			})
		})
	}
}

// httpError has the shape of the official SDKs' errors.
type httpError struct {
	StatusCode int
	Response   *http.Response
}

func (e *httpError) Error() string { return fmt.Sprintf("status %d", e.StatusCode) }

func answered(status int, header http.Header) error {
	return &httpError{status, &http.Response{StatusCode: status, Header: header}}
}

// With another model to go to, a model is asked twice at most, and only where
// that is likely to help.
func TestLayerWithOthers(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b []error
		path string
		took time.Duration
	}{
		"overloaded":        {times(failed(resilience.Overloaded), 9), nil, "a a b", 500 * ms},
		"overloaded, both":  {times(failed(resilience.Overloaded), 9), times(failed(resilience.Overloaded), 9), "a a b b b", 2000 * ms},
		"unreachable":       {times(failed(resilience.Unreachable), 9), nil, "a a b", 50 * ms},
		"timed out":         {times(failed(resilience.TimedOut), 9), nil, "a b", 0},
		"timed out, both":   {times(failed(resilience.TimedOut), 9), times(failed(resilience.TimedOut), 1), "a b b", 500 * ms},
		"limited":           {times(failed(resilience.RateLimited), 9), nil, "a b", 0},
		"limited for short": {times(askedFor(resilience.RateLimited, 2*time.Second), 1), nil, "a a", 2 * time.Second},
		"limited for long":  {times(askedFor(resilience.RateLimited, 9*time.Second), 9), nil, "a b", 0},
		"unauthorized":      {times(failed(resilience.Unauthorized), 9), nil, "a b", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, []*script{newScript(tt.a...), newScript(tt.b...)}, fallback.New(fallback.Config{}), exactly(Config{}))
				_, rep, _ := c.Do(t.Context(), "", resilience.CallOptions{})
				require.Equal(t, tt.path, path(rep))
				require.Equal(t, tt.took, rep.Duration)
			})
		})
	}
}

// A wait that does not fit goes elsewhere instead.
func TestLayerGoesElsewhereRatherThanWaitInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newScript(askedFor(resilience.RateLimited, 2*time.Second)), newScript()
		c := newClient(t, []*script{a, b}, fallback.New(fallback.Config{}), exactly(Config{}))
		_, rep, err := c.Do(t.Context(), "", resilience.CallOptions{Timeout: 2 * time.Second})
		require.NoError(t, err)
		require.Equal(t, "a b", path(rep))
		require.Zero(t, rep.Duration)
	})
}

func TestLayerCancelledWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(200*ms, cancel)
		s := newScript(times(failed(resilience.Overloaded), 9)...)
		_, rep, err := newClient(t, []*script{s}, exactly(Config{})).Do(ctx, "", resilience.CallOptions{})
		require.Equal(t, 200*ms, rep.Duration)
		require.ErrorIs(t, err, resilience.Overloaded)
		require.ErrorIs(t, err, context.Canceled)
		require.Len(t, s.at, 1)
	})
}

// A caller that goes away during an attempt is not answered for.
func TestLayerCancelledInAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		c := Wrap(resilience.FuncOf(func(ctx context.Context, _ string) (string, error) {
			calls++
			cancel()
			return "", failed(resilience.Overloaded)
		}), Config{})
		_, err := c.Call(ctx, "")
		require.Equal(t, resilience.Canceled, resilience.KindOf(err))
		require.Equal(t, 1, calls)
	})
}

// The budget is one for all models and calls of a pool.
func TestLayerBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newScript(times(failed(resilience.Overloaded), 2000)...), newScript(times(failed(resilience.Overloaded), 2000)...)
		c := newClient(t, []*script{a, b}, New(Config{Base: -1}))
		for range 500 {
			_, _ = c.Pin("a").Call(t.Context(), "")
			_, _ = c.Pin("b").Call(t.Context(), "")
		}
		require.Equal(t, 1000+burst, len(a.at)+len(b.at))
	})
}

func TestLayerBudgetIsFundedBySuccesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(times(failed(resilience.Overloaded), 100)...)
		c := newClient(t, []*script{s}, New(Config{Base: -1, Budget: 0.5}))
		for len(s.at) < 100 {
			_, err := c.Call(t.Context(), "")
			require.Error(t, err)
		}
		for range 6 {
			_, err := c.Call(t.Context(), "")
			require.NoError(t, err)
		}
		s.at = nil
		for range 10 {
			_, err := c.Call(t.Context(), "")
			require.Error(t, err)
		}
		require.Len(t, s.at, 10+3)
	})
}

// A call that succeeds at its second attempt has succeeded.
func TestLayerRetriedSuccessFundsTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Config{Base: -1, Budget: 1})
		s := newScript(failed(resilience.Overloaded))
		c := newClient(t, []*script{s}, p)
		require.Equal(t, burst, drain(&p.budget, p.now(), 1))
		p.budget.deposit()
		_, err := c.Call(t.Context(), "")
		require.NoError(t, err)
		require.Len(t, s.at, 2)
		require.Equal(t, 1, drain(&p.budget, p.now(), 1))
	})
}

// A stream has succeeded when it is whole, not when it has begun.
func TestLayerStreamsFundTheBudgetAtTheirEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		breaks error
		want   int
	}{
		"whole":  {nil, 1},
		"broken": {io.ErrUnexpectedEOF, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := New(Config{Budget: 1})
				pool, err := resilience.NewPool(p)
				require.NoError(t, err)
				c, err := resilience.NewClient(pool, resilience.BindStream("a", func(context.Context, string) iter.Seq2[string, error] {
					return func(yield func(string, error) bool) {
						if yield("so far", nil) && tt.breaks != nil {
							yield("", tt.breaks)
						}
					}
				}))
				require.NoError(t, err)
				drain(&p.budget, p.now(), 1)
				stream, err := c.Call(t.Context(), "")
				require.NoError(t, err)
				require.Zero(t, drain(&p.budget, p.now(), 1), "it has only begun")
				for _, err = range stream.All() {
					if err != nil {
						require.ErrorIs(t, err, tt.breaks)
					}
				}
				require.Equal(t, tt.want, drain(&p.budget, p.now(), 1))
			})
		})
	}
}

// What Do has spent of a policy's budget is of another clock than the pool's.
func TestInstallFillsTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Config{})
		time.Sleep(time.Hour)
		require.Equal(t, burst, drain(&p.budget, p.now(), 0.1))
		_, err := resilience.NewPool(p)
		require.NoError(t, err)
		require.Equal(t, burst, drain(&p.budget, p.now(), 0.1))
	})
}

// Pools in pools, and Do in a pool: the innermost alone retries.
func TestLayerNested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for layers := 1; layers <= 4; layers++ {
			require.Equal(t, 3, nested(t, layers, Config{}), "%d layers", layers)
		}
		s := newScript(times(failed(resilience.Overloaded), 99)...)
		p := exactly(Config{})
		c := Wrap(resilience.FuncOf(func(ctx context.Context, _ string) (string, error) {
			return Do(ctx, p, s.call)
		}), Config{})
		_, err := c.Call(t.Context(), "")
		require.ErrorIs(t, err, resilience.Overloaded)
		require.Len(t, s.at, 3)

		s = newScript(times(failed(resilience.Overloaded), 99)...)
		inner := newClient(t, []*script{s}, New(Config{}))
		_, err = Do(t.Context(), p, func(ctx context.Context) (string, error) { return inner.Call(ctx, "") })
		require.ErrorIs(t, err, resilience.Overloaded)
		require.Len(t, s.at, 3)
	})
}

// The inner pool goes through its models; the last refusal is not retried
// outside, though it comes without a mark of its own.
func TestLayerNestedAroundFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newScript(times(failed(resilience.Overloaded), 99)...)
		b := newScript(times(failed(resilience.Unauthorized), 99)...)
		inner := newClient(t, []*script{a, b}, fallback.New(fallback.Config{}), New(Config{}))
		_, err := Wrap[string, string](resilience.FuncOf(inner.Call), Config{}).Call(t.Context(), "")
		require.Error(t, err)
		require.Len(t, a.at, 2)
		require.Len(t, b.at, 1)
	})
}

// A retry layer that only observes does not own the failure.
func TestLayerObserveOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(times(failed(resilience.Overloaded), 99)...)
		c := newClient(t, []*script{s}, exactly(Config{ObserveOnly: true, Pace: true}))
		events := c.Pool().Subscribe(9, resilience.EventRetry)
		defer events.Close()
		_, err := c.Call(t.Context(), "")
		require.ErrorIs(t, err, resilience.Overloaded)
		require.Len(t, s.at, 1)
		e := <-events.C
		require.True(t, e.Would)
		require.Equal(t, 500*ms, e.Duration)
		require.Empty(t, events.C)

		_, err = Wrap[string, string](resilience.FuncOf(c.Call), Config{}).Call(t.Context(), "")
		require.Error(t, err)
		require.Len(t, s.at, 1+3, "an outer layer retries")
	})
}

func TestLayerEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(failed(resilience.Unreachable), failed(resilience.Overloaded), failed(resilience.Invalid))
		c := newClient(t, []*script{s}, exactly(Config{}))
		events := c.Pool().Subscribe(9, resilience.EventRetry)
		_, _, err := c.Do(t.Context(), "", resilience.CallOptions{Op: "chat"})
		require.ErrorIs(t, err, resilience.Invalid)
		events.Close()
		var got []string
		for e := range events.C {
			require.Equal(t, "chat", e.Op)
			require.False(t, e.Would)
			got = append(got, fmt.Sprintf("%s %d %v %s", e.Model.ID(), e.Attempt, e.Duration, e.Reason))
		}
		require.Equal(t, []string{"a 1 50ms unreachable, try 2 of 3", "a 2 1s overloaded, try 3 of 3"}, got)
	})
}

// A breaker that opens between two attempts ends the retrying, and what the
// model said is what the caller hears.
func TestLayerStopsWhenTheBreakerOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen error
		s := newScript(times(failed(resilience.Overloaded), 99)...)
		c := newClient(t, []*script{s}, outside(&seen), New(Config{Attempts: 6}), breaker.New(breaker.Config{Consecutive: 2}))
		_, err := c.Call(t.Context(), "")
		require.Equal(t, resilience.Overloaded, resilience.KindOf(err))
		require.Equal(t, resilience.Overloaded, resilience.KindOf(seen))
		require.Len(t, s.at, 2)
		start := time.Now()
		_, err = c.Call(t.Context(), "")
		require.Equal(t, resilience.Rejected, resilience.KindOf(err))
		require.Equal(t, start, time.Now(), "a refusal is not waited out")
		require.Len(t, s.at, 2)
	})
}

// A refusal at the first attempt passes as it is, and costs nothing.
func TestLayerPassesRefusals(t *testing.T) {
	refusal := resilience.Reject("no room", 0)
	var seen error
	refuse := probe(func(s *resilience.Setup) error {
		s.Wrap(resilience.LayerLimit, func(*resilience.Model, resilience.Handler) resilience.Handler {
			return func(context.Context, *resilience.Call) error { return refusal }
		})
		return nil
	})
	_, err := newClient(t, []*script{newScript()}, outside(&seen), New(Config{}), refuse).Call(t.Context(), "")
	require.Equal(t, resilience.Rejected, resilience.KindOf(err))
	require.Same(t, refusal, seen)
}

// outside keeps what comes out of the retry layer.
func outside(seen *error) resilience.Feature {
	return probe(func(s *resilience.Setup) error {
		s.Wrap(resilience.LayerRetry, func(_ *resilience.Model, next resilience.Handler) resilience.Handler {
			return func(ctx context.Context, c *resilience.Call) error {
				*seen = next(ctx, c)
				return *seen
			}
		})
		return nil
	})
}

func TestLayerPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c := Wrap(resilience.FuncOf(func(context.Context, string) (string, error) {
			if calls++; calls == 2 {
				panic("boom")
			}
			return "", failed(resilience.Overloaded)
		}), Config{Pace: true})
		require.PanicsWithValue(t, "boom", func() { _, _ = c.Call(t.Context(), "") })
		require.Equal(t, 2, calls)
		require.Zero(t, c.Pool().InFlight())
		_, err := c.Call(t.Context(), "")
		require.ErrorIs(t, err, resilience.Overloaded)
	})
}

// Paced retries of concurrent calls start one at a time; those of another
// model do not wait for them.
func TestLayerPaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := New(Config{Pace: true, Base: -1, Attempts: 2, Budget: -1})
		var mu sync.Mutex
		starts := map[string][]time.Duration{}
		begin := time.Now()
		call := func(ctx context.Context, m *resilience.Model, _ string) (string, error) {
			mu.Lock()
			starts[m.ID()] = append(starts[m.ID()], time.Since(begin))
			mu.Unlock()
			time.Sleep(40 * ms)
			return "", failed(resilience.Overloaded)
		}
		pool, err := resilience.NewPool(policy, resilience.Models(
			resilience.ModelInfo{ID: "a", Provider: "p"}, resilience.ModelInfo{ID: "b", Provider: "p"}))
		require.NoError(t, err)
		c, err := resilience.NewClient(pool, resilience.BindProvider("p", call))
		require.NoError(t, err)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { _, _ = c.Pin("a").Call(t.Context(), "") })
		}
		wg.Go(func() { _, _ = c.Pin("b").Call(t.Context(), "") })
		wg.Wait()
		require.Equal(t, []time.Duration{0, 40 * ms}, starts["b"])
		retries := starts["a"][20:]
		require.Len(t, retries, 20)
		require.Equal(t, 40*ms, retries[0])
		for i := range retries[1:] {
			gap := retries[i+1] - retries[i]
			require.True(t, gap >= 20*ms && gap <= 40*ms, "%v", gap)
		}

		require.NoError(t, pool.Reset(t.Context(), pool.Model("a"), byTest))
		require.Zero(t, policy.pacers.Of(pool.Model("a")).gap())
		require.NotZero(t, policy.pacers.Of(pool.Model("b")).gap())
	})
}

// Whoever took a place in the queue and does not use it gives it back.
func TestLayerGivesPlacesBack(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg  Config
		opts resilience.CallOptions
	}{
		"cancelled":        {Config{}, resilience.CallOptions{}},
		"not paid for":     {Config{}, resilience.CallOptions{Attempts: 1}},
		"observed only":    {Config{ObserveOnly: true}, resilience.CallOptions{}},
		"beyond the limit": {Config{Attempts: 1}, resilience.CallOptions{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := tt.cfg
				cfg.Pace, cfg.Base = true, -1
				p := exactly(cfg)
				c := newClient(t, []*script{newScript(times(failed(resilience.Overloaded), 99)...)}, p)
				pacer := settle(p.pacers.Of(c.Models()[0]), 40*ms)
				for range 5 {
					_, ok := pacer.reserve(p.now(), time.Hour)
					require.True(t, ok)
				}
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(50*ms, cancel)
				_, _, err := c.Do(ctx, "", tt.opts)
				require.ErrorIs(t, err, resilience.Overloaded)
				wait, ok := pacer.reserve(p.now(), time.Hour)
				require.True(t, ok)
				require.InDelta(t, 100*ms-p.now(), wait, float64(time.Millisecond))
			})
		})
	}
}

// An attempt's failure is not taken for work.
func TestLayerMeasuresWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Config{})
		pacer := settle(&pacer{}, 40*ms)
		for _, err := range times(failed(resilience.Overloaded), 9) {
			_ = p.measured(pacer, func(context.Context, *resilience.Call) error {
				time.Sleep(ms)
				return err
			})(t.Context(), nil)
		}
		require.InDelta(t, 20*ms, pacer.gap(), float64(time.Microsecond))
	})
}

func TestLayerConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		c := Wrap(resilience.FuncOf(func(context.Context, string) (string, error) {
			time.Sleep(ms)
			if n.Add(1)%2 == 0 {
				return "", &resilience.Error{Kind: resilience.Overloaded}
			}
			return "ok", nil
		}), Config{Pace: true, Attempts: 5})
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				for range 200 {
					_, _ = c.Call(t.Context(), "")
				}
				if i == 0 {
					if err := c.Pool().Reload(t.Context(), []byte(`{"retry": {"attempts": 2, "budget": 0.2}}`), byTest); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		require.Zero(t, c.Pool().InFlight())
		require.Greater(t, n.Load(), int64(16*200+100), "there were retries")
	})
}

// Settings for a name hold for every deployment of that name, and those for an
// ID come first.
func TestOverridesByNameAndID(t *testing.T) {
	pool, err := resilience.NewPool(resilience.Models(
		resilience.ModelInfo{ID: "gpt-5@azure", Name: "gpt-5"}, resilience.ModelInfo{ID: "gpt-5@openai", Name: "gpt-5"}, resilience.ModelInfo{ID: "claude"}))
	require.NoError(t, err)
	p, err := newPlan(Config{Models: map[string]Config{"gpt-5": {Attempts: 4}, "gpt-5@azure": {Attempts: 5}}})
	require.NoError(t, err)
	require.Equal(t, 5, p.of("", pool.Model("gpt-5@azure")).Attempts)
	require.Equal(t, 4, p.of("", pool.Model("gpt-5@openai")).Attempts)
	require.Equal(t, 3, p.of("", pool.Model("claude")).Attempts)
	require.Equal(t, 3, p.of("", nil).Attempts)
	require.Equal(t, 500*ms, p.of("", pool.Model("gpt-5@azure")).Base, "the rest is as beside the map")
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(times(failed(resilience.Overloaded), 99)...)
		p := New(Config{Attempts: 2, Base: -1})
		c := newClient(t, []*script{s}, p)
		attempts := func() int {
			s.at = nil
			_, err := c.Call(t.Context(), "")
			require.Error(t, err)
			return len(s.at)
		}
		reload := func(config string) error {
			return c.Pool().Reload(t.Context(), []byte(config), byTest)
		}
		require.Equal(t, 2, attempts())
		require.NoError(t, reload(`{"retry": {"attempts": 4, "base": "10ms"}}`))
		require.Equal(t, 4, attempts())
		require.Contains(t, p.String(), "attempts=4 base=10ms")
		require.NoError(t, reload(`{"retry": {"base": "10ms"}}`))
		require.Equal(t, 2, attempts(), "a section lies over what the policy was made with")
		require.ErrorContains(t, reload(`{"retry": {"atempts": 5}}`), "retry.atempts")
		require.ErrorContains(t, reload(`{"retry": {"jitter": 1.5}}`), "retry.jitter")
		require.NoError(t, reload(`{}`))
		require.Equal(t, 2, attempts(), "a section that is absent is as it was given")
	})
}

func TestBadConfig(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg  Config
		want string
	}{
		"multiplier":          {Config{Multiplier: 0.9}, "retry.multiplier"},
		"multiplier off":      {Config{Multiplier: -1}, "retry.multiplier"},
		"jitter":              {Config{Jitter: 1.1}, "retry.jitter"},
		"in an override":      {Config{Models: map[string]Config{"gpt-5": {Jitter: 2}}}, "retry.models.gpt-5.jitter"},
		"budget of a model":   {Config{Models: map[string]Config{"gpt-5": {Budget: 1}}}, "retry.models.gpt-5.budget"},
		"budget of an op":     {Config{Ops: map[string]Config{"chat": {Budget: -1}}}, "retry.ops.chat.budget"},
		"override overridden": {Config{Ops: map[string]Config{"chat": {Models: map[string]Config{"a": {}}}}}, "retry.ops.chat.models"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := resilience.NewPool(New(tt.cfg))
			require.ErrorContains(t, err, tt.want)
			var bad *resilience.ConfigError
			require.ErrorAs(t, err, &bad)
			require.Panics(t, func() { Wrap(resilience.FuncOf(newScript().call2), tt.cfg) })
		})
	}
}

func (s *script) call2(ctx context.Context, _ string) (string, error) { return s.call(ctx) }

func TestOnePoolOnly(t *testing.T) {
	p := New(Config{})
	_, err := resilience.NewPool(p)
	require.NoError(t, err)
	_, err = resilience.NewPool(p)
	require.ErrorContains(t, err, "another pool")
	_, err = resilience.NewPool(New(Config{}), New(Config{}))
	require.Error(t, err, "two policies own the retries")
}

func TestStackShowsTheSettings(t *testing.T) {
	pool, err := resilience.NewPool(New(Config{Attempts: 4, Budget: -1}))
	require.NoError(t, err)
	i := slices.IndexFunc(pool.Stack(), func(line string) bool { return strings.HasPrefix(line, "retry") })
	require.GreaterOrEqual(t, i, 0)
	require.Contains(t, pool.Stack()[i], "attempts=4 base=500ms max=20s multiplier=2 jitter=1 patience=5s budget=off")
}

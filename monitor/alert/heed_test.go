package alert_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/budget"
	"github.com/cmmv-hive/resilience/degrade"
	"github.com/cmmv-hive/resilience/health"
	"github.com/cmmv-hive/resilience/monitor/alert"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

// The pool's own budget is told of, a tenant's is the tenant's.
func TestBudgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := build(t, alert.Config{}, infos("a-1"), budget.New(budget.Config{Limits: []budget.Limit{
			{Requests: 10, Window: budget.Every(time.Hour)}, {Scope: budget.Tenant, Requests: 2, Window: budget.Every(time.Hour)},
		}})).run()
		ask := func(n int, tenant string) {
			for range n {
				_, _, _ = r.Do(t.Context(), "", resilience.CallOptions{Tenant: tenant})
			}
			time.Sleep(20 * time.Second)
		}
		ask(5, "x")
		require.Empty(t, r.inbox.take())
		for i := range 12 {
			ask(1, fmt.Sprint(i))
		}
		lines := r.inbox.take()
		require.Contains(t, lines, "new critical: budget_spent")
		time.Sleep(2 * time.Hour)
		require.Contains(t, r.inbox.take(), "resolved critical: -budget_spent")
	})
}

func TestDegradation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := degrade.New(degrade.Config{})
		r := build(t, alert.Config{}, infos("a-1"), d).run()
		until := by
		until.Until = time.Now().Add(10 * time.Minute)
		_, err := d.Override(t.Context(), degrade.Severe, until)
		require.NoError(t, err)
		time.Sleep(2 * time.Minute)
		require.Equal(t, []string{"new warning: degraded"}, r.inbox.take())
		time.Sleep(20 * time.Minute)
		require.Equal(t, []string{"resolved warning: -degraded"}, r.inbox.take())
	})
}

// A breaker that opens again and again is an info, which goes where it is asked for.
func TestBreakerFlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quiet := &inbox{name: "quiet"}
		b := breaker.New(breaker.Config{})
		all := &inbox{name: "all"}
		r := build(t, alert.Config{Routes: []alert.Route{{Channel: quiet}, {Channel: all, Severity: notify.Info}}}, infos("a-1", "b-1"), b).run()
		m := r.pool.Model("a-1")
		for range 5 {
			until := by
			until.Until = time.Now().Add(time.Minute)
			require.NoError(t, b.Open(t.Context(), m, until))
			time.Sleep(time.Minute)
			require.NoError(t, b.Close(t.Context(), m, by))
			time.Sleep(time.Minute)
		}
		require.Contains(t, all.lines(), "new info: breaker_flapping/a-1")
		require.Empty(t, quiet.lines())
	})
}

// Work that panics is told of.
type panics struct{ left atomic.Int64 }

func (p *panics) Install(s *resilience.Setup) error {
	s.Background("panics", func(context.Context) error {
		if p.left.Add(-1) >= 0 {
			panic("secret")
		}
		return nil
	})
	return nil
}

func TestBackgroundPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &panics{}
		p.left.Store(1)
		r := build(t, alert.Config{}, infos("a-1"), p).run()
		time.Sleep(20 * time.Second)
		require.Equal(t, []string{"new warning: background_panic"}, r.inbox.take())
		time.Sleep(2 * time.Hour)
		require.Equal(t, []string{"resolved warning: -background_panic"}, r.inbox.take())
	})
}

// prober fails as it is told to.
type prober struct {
	err  atomic.Pointer[error]
	asks atomic.Int64
}

func (p *prober) set(err error) { p.err.Store(&err) }

func (p *prober) probe(context.Context, *resilience.Model) error {
	p.asks.Add(1)
	return *p.err.Load()
}

// A model that nobody calls is known by its probes.
func TestProbesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &prober{}
		p.set(nil)
		r := build(t, alert.Config{}, named("a-1"), health.New(health.Config{}), resilience.Probe(p.probe)).run()
		time.Sleep(2 * time.Minute)
		p.set(errDown)
		time.Sleep(4 * time.Minute)
		require.NotEmpty(t, r.inbox.take())
		p.set(nil)
		time.Sleep(10 * time.Minute)
		require.Empty(t, r.active())
		p.set(resilience.RateLimited)
		time.Sleep(10 * time.Minute)
		require.Empty(t, r.active(), "which says nothing of the model")
		p.set(resilience.Unauthorized)
		time.Sleep(10 * time.Minute)
		require.Equal(t, []string{"key_refused provider=a"}, r.active())
		p.set(nil)
		time.Sleep(10 * time.Minute)
		require.Empty(t, r.active())
	})
}

// A failed attempt that is the last for long is confirmed by two probes, which may also
// show that all is well.
func TestConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &prober{}
		p.set(errDown)
		r := build(t, alert.Config{}, named("a-1", "b-1"), resilience.Probe(p.probe)).run()
		r.calls(5*time.Second, "a-1", "b-1")
		r.fail("a-1", errDown)
		_, _, _ = r.Do(t.Context(), "", resilience.CallOptions{Model: "a-1"})
		time.Sleep(20 * time.Second)
		require.Equal(t, []string{"new warning: model_unavailable/a-1"}, r.inbox.take())
		require.Equal(t, int64(2), p.asks.Load())
		time.Sleep(time.Hour)
		require.Equal(t, int64(2), p.asks.Load())
		require.NoError(t, r.pool.Reset(t.Context(), r.pool.Model("a-1"), by))
		p.set(nil)
		time.Sleep(10 * time.Minute)
		require.Equal(t, []string{"resolved warning: -model_unavailable/a-1"}, r.inbox.take())
		p.asks.Store(0)
		_, _, _ = r.Do(t.Context(), "", resilience.CallOptions{Model: "a-1"})
		time.Sleep(time.Minute)
		require.Equal(t, int64(1), p.asks.Load())
		require.Empty(t, r.active())
	})
}

// A stream that breaks has failed, when it does.
func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{name: "in"}
		alerts := alert.New(alert.Config{Routes: []alert.Route{{Channel: in}}})
		pool, err := resilience.NewPool(alerts, resilience.Models(named("a-1", "b-1")...))
		require.NoError(t, err)
		streams, err := resilience.NewClient(pool, resilience.BindAllStreams(func(_ context.Context, m *resilience.Model, _ string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				if yield("x", nil) && m.ID() == "a-1" {
					yield("", errors.New("broke"))
				}
			}
		}))
		require.NoError(t, err)
		r := &rig{T: t, pool: pool, alerts: alerts, inbox: in}
		r.run()
		for range 30 {
			for _, id := range []string{"a-1", "b-1"} {
				s, _, err := streams.Do(t.Context(), "", resilience.CallOptions{Model: id})
				require.NoError(t, err)
				for range s.All() {
				}
			}
			time.Sleep(time.Second)
		}
		require.Equal(t, []string{"new warning: model_unavailable/a-1"}, in.take())
	})
}

// A queue that is full keeps nothing from being told later.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ids []string
		for i := range 200 {
			ids = append(ids, fmt.Sprintf("a-%d", i))
		}
		r := queueing(t, alert.Config{GroupBy: "model", Timeout: 10 * time.Minute}, ids...)
		r.inbox.set(nil, true, false)
		for _, id := range ids {
			r.queue(id, 11)
		}
		time.Sleep(5 * time.Minute)
		c := r.alerts.Counts().Channels[0]
		require.NotZero(t, c.Postponed)
		require.Equal(t, 64, c.Waiting)
		r.inbox.set(nil, false, false)
		time.Sleep(20 * time.Minute)
		require.Len(t, r.inbox.take(), 200)
	})
}

package alert

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

// A process that was stopped counts none of that time: nothing fires, ends, escalates or
// is repeated for it.
func TestSkip(t *testing.T) {
	a := New(Config{})
	ready := &entry{phase: firing, rule: &rule{}, clear: 5, climbs: 100, ready: 7}
	about := &entry{phase: pending, rule: &rule{}, since: 5}
	again := &entry{phase: ended, rule: &rule{}, since: 5}
	a.entries = map[key]*entry{{name: "1"}: ready, {name: "2"}: about, {name: "3"}: again}
	g := &group{routes: []standing{{sent: 10}, {}}}
	a.groups["g"] = g
	a.skip(1000, 900)
	require.Zero(t, ready.clear)
	require.Equal(t, time.Duration(1000), ready.climbs)
	require.Equal(t, []time.Duration{1000, 1000, 1000}, []time.Duration{ready.ready, about.since, again.since})
	require.Equal(t, time.Duration(910), g.routes[0].sent)
	require.Zero(t, g.routes[1].sent)
}

// TestBurnRates has the workbook's table: what burns at a rate for the short window and
// long enough for the long one.
func TestBurnRates(t *testing.T) {
	for _, p := range pairs {
		o := &objective{Objective: Objective{Target: 0.99, Period: 720 * time.Hour, MinCalls: 20}, began: -100 * time.Hour}
		want := map[time.Duration]float64{time.Hour: 14.4, 6 * time.Hour: 6, 24 * time.Hour: 3, 72 * time.Hour: 1}[p.long]
		at := time.Duration(0)
		spend := func(d time.Duration, bad int64) {
			for end := at + d; at < end; {
				at += fineBucket
				o.total.Add(1000)
				o.bad.Add(bad)
				o.turn(at)
			}
		}
		spend(80*time.Hour, 0)
		beyond := int64(math.Ceil(1000*.01*want)) + 2
		spend(p.long, beyond)
		rate, limit, ok := o.burn(p.rule)
		require.True(t, ok)
		require.GreaterOrEqual(t, rate, limit, "%v", p)
		spend(p.short, 0)
		total, bad := o.sum(p.short)
		require.Positive(t, total)
		require.LessOrEqual(t, bad/total, .05, "the short window lets go")
		require.InDelta(t, want, p.spent*720/p.long.Hours(), 1e-9)
	}
	require.LessOrEqual(t, int(fineBuckets+coarses)*8, 10<<10)
}

// What a process that has just begun has spent is little of a budget.
func TestBurnBeginsSlowly(t *testing.T) {
	o := &objective{Objective: Objective{Target: 0.99, Period: 720 * time.Hour, MinCalls: 20}}
	o.total.Add(100)
	o.bad.Add(50)
	o.turn(5 * time.Minute)
	rate, limit, ok := o.burn(budgetBurn)
	require.True(t, ok)
	require.Less(t, rate, limit, "50 times as fast, for a twelfth of the hour")
	o.turn(30 * time.Minute)
	_, _, ok = o.burn(budgetBurn)
	require.True(t, ok, "of half an hour there are still enough calls")
	o.turn(100 * time.Hour)
	_, _, ok = o.burn(budgetDrain)
	require.False(t, ok)
}

func TestObjectiveRemembers(t *testing.T) {
	o := &objective{Objective: Objective{Target: 0.99, Period: 720 * time.Hour, MinCalls: 20}}
	for at := time.Duration(0); at < 10*time.Hour; at += time.Minute {
		o.total.Add(60)
		o.bad.Add(30)
		o.turn(at)
	}
	saved := o.save(10 * time.Hour)
	next := &objective{Objective: o.Objective}
	next.restore(saved, 3*time.Second, time.Minute)
	for _, window := range []time.Duration{30 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour} {
		total, bad := o.sum(window)
		total2, bad2 := next.sum(window)
		require.InEpsilon(t, total, total2, .2, "%v", window)
		require.InEpsilon(t, bad, bad2, .2, "%v", window)
	}
	later := &objective{Objective: o.Objective}
	later.restore(saved, time.Second, 80*time.Hour)
	total, _ := later.sum(72 * time.Hour)
	require.Zero(t, total)
}

func TestConfigTags(t *testing.T) { require.NoError(t, settings.Lint(Config{})) }

func TestCompare(t *testing.T) {
	for op, want := range map[string][3]bool{">": {false, false, true}, ">=": {false, true, true}, "<": {true, false, false}, "<=": {true, true, false}} {
		require.Equal(t, want, [3]bool{compare(1, op, 2), compare(2, op, 2), compare(3, op, 2)}, op)
	}
}

func TestRing(t *testing.T) {
	var r ring
	for i := range 10 {
		r.add(notify.Alert{Value: float64(i)}, 4)
	}
	values := func(n int) (list []float64) {
		for _, a := range r.latest(n) {
			list = append(list, a.Value)
		}
		return list
	}
	require.Equal(t, []float64{9, 8, 7, 6}, values(100))
	require.Equal(t, []float64{9}, values(1))
	require.Empty(t, values(-1))
	r.add(notify.Alert{Value: 10}, 2)
	require.Equal(t, []float64{10, 9}, values(2)[:2])
}

// Every metric measures something of every subject that it is for, and says it.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(Config{})
		pool, err := resilience.NewPool(a, resilience.Models(
			resilience.ModelInfo{ID: "a", Name: "n", Provider: "p", Limits: resilience.Limits{Concurrency: 10}, Price: resilience.Price{Input: 1000, Output: 1000}},
			resilience.ModelInfo{ID: "b", Name: "n"}))
		require.NoError(t, err)
		n := 0
		client, err := resilience.NewClient(pool, resilience.BindAll(func(ctx context.Context, m *resilience.Model, _ string) (string, error) {
			resilience.ReportUsage(ctx, resilience.Usage{Input: 100, Output: 100})
			time.Sleep(time.Second)
			if n++; n%4 == 0 {
				return "", [...]resilience.Kind{resilience.Unreachable, resilience.RateLimited}[n/4%2]
			}
			return "", nil
		}))
		require.NoError(t, err)
		for range 120 {
			_, _, _ = client.Do(t.Context(), "", resilience.CallOptions{Model: "a"})
		}
		a.subjects.renew(pool)
		a.ask()
		read := func(metric, per string) (float64, bool) {
			r := &rule{Rule: Rule{Metric: metric, Per: per}, metric: metricOf(metric)}
			settings.Fill(&r.Rule)
			list := a.subjects.of[per]
			require.NotEmpty(t, list)
			v, ok := r.metric.measure(a.reader(a.now()), list[0], r)
			require.NotEmpty(t, r.metric.say(v))
			return v, ok
		}
		for _, m := range metrics {
			for _, per := range []string{"model", "name", "provider", "pool"} {
				if m.per == "" || m.per == per {
					v, ok := read(m.name, per)
					require.False(t, ok && math.IsNaN(v), m.name)
				}
			}
		}
		near := func(want float64, metric, per string) {
			v, ok := read(metric, per)
			require.True(t, ok, metric)
			require.InDelta(t, want, v, .1*math.Abs(want)+1e-9, metric)
		}
		near(.125, "error_rate", "model")
		near(.125, "throttled", "provider")
		near(.4, "calls_per_second", "model")
		near(1, "p95", "name")
		near(.25, "call_error_rate", "pool")
		near(1, "amplification", "pool")
		near(1, "failures_in_row", "model")
		near(0, "down", "pool")
		near(0, "in_flight_ratio", "model")
		near(.2*120*12, "cost_per_hour", "model")
		near(200*120/5, "tokens_per_minute", "model")
		_, ok := read("first_token", "model")
		require.False(t, ok, "nothing streams")
	})
}

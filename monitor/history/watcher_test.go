package history

import (
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/window"
	"github.com/cmmv-hive/resilience/monitor/alert"
)

// traffic makes minutes of a model.
type traffic struct {
	rnd     *rand.Rand
	calls   float64 // a minute, on average
	failing float64 // the share of them that fails
	took    time.Duration
	at      int64
}

func (tr *traffic) minute() *record {
	r := &record{start: tr.at}
	tr.at += 60
	r.n[atSpan] = 60_000
	for left := tr.rnd.ExpFloat64(); left < tr.calls; left += tr.rnd.ExpFloat64() {
		kind := 0
		if tr.rnd.Float64() < tr.failing {
			kind = int(resilience.Overloaded)
		}
		r.n[atKind+kind]++
		r.took.put(window.BucketOf(int64(float64(tr.took)*(0.5+tr.rnd.ExpFloat64()))), 1)
	}
	return r
}

func watching(t *testing.T, cfg Config) *History {
	t.Helper()
	h := New(cfg)
	_, err := resilience.NewPool(h, resilience.Models(resilience.ModelInfo{ID: "a"}, resilience.ModelInfo{ID: "b"}))
	require.NoError(t, err)
	return h
}

func (tr *traffic) goesOn(h *History, s *series, minutes int) {
	for range minutes {
		h.watch(s, tr.minute())
	}
}

func TestAnomalies(t *testing.T) {
	usual := traffic{calls: 60, failing: 0.02, took: time.Second, at: 600_000}
	for name, tt := range map[string]struct {
		change func(*traffic)
		says   string // of which incident, or of none
	}{
		"failures":       {func(tr *traffic) { tr.failing = 0.3 }, "error rate"},
		"slow":           {func(tr *traffic) { tr.took *= 3 }, "p95"},
		"some failures":  {func(tr *traffic) { tr.failing = 0.12 }, "error rate"},
		"slower":         {func(tr *traffic) { tr.took *= 2 }, "p95"},
		"few":            {func(tr *traffic) { tr.calls = 3 }, "calls per minute"},
		"none":           {func(tr *traffic) { tr.calls = 0 }, "calls per minute"},
		"many":           {func(tr *traffic) { tr.calls = 400 }, "calls per minute"},
		"as ever":        {func(*traffic) {}, ""},
		"fewer failures": {func(tr *traffic) { tr.failing = 0 }, ""},
		"quicker":        {func(tr *traffic) { tr.took /= 3 }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := watching(t, Config{})
			s, tr := &series{id: "a"}, usual
			tr.rnd = rand.New(rand.NewPCG(1, 2))
			tr.goesOn(h, s, 300)
			require.Empty(t, h.incidents.list)
			tt.change(&tr)
			began := time.Unix(tr.at, 0)
			tr.goesOn(h, s, 10)
			if tt.says == "" {
				require.Empty(t, h.Anomalies())
				return
			}
			in := h.Anomalies(h.pool.Model("a"))
			require.Len(t, in, 1)
			require.Empty(t, h.Anomalies(h.pool.Model("b")))
			require.Equal(t, tt.says, in[0].What)
			require.Less(t, in[0].Begin.Sub(began), 5*time.Minute)
			require.Contains(t, in[0].String(), "a unusual: "+tt.says+" from ")
			require.Contains(t, in[0].Reason, ", of late ")
			tr.calls, tr.failing, tr.took = usual.calls, usual.failing, usual.took
			tr.goesOn(h, s, 100)
			require.Empty(t, h.Anomalies(), "it is over")
		})
	}
}

// Of what does not change little is told.
func TestAnomaliesOfNoise(t *testing.T) {
	days := 30
	if testing.Short() {
		days = 3
	}
	for _, calls := range []float64{0.2, 3, 20, 100} {
		h := watching(t, Config{})
		s := &series{id: "a"}
		tr := traffic{rnd: rand.New(rand.NewPCG(3, uint64(calls))), calls: calls, failing: 0.02, took: time.Second, at: 600_000}
		for hour := range days * 24 {
			tr.calls = calls * (1 - 0.8*math.Cos(2*math.Pi*float64(hour)/24))
			tr.goesOn(h, s, 60)
		}
		by := map[string]int{}
		for _, in := range h.incidents.list {
			by[in.What]++
		}
		t.Logf("%g calls a minute: %v in %d days", calls, by, days)
		require.Empty(t, by, "of noise nothing is told")
	}
}

func TestWhatIsWatched(t *testing.T) {
	h := watching(t, Config{Watched: 1})
	tr := traffic{rnd: rand.New(rand.NewPCG(1, 2)), calls: 60, at: 600_000}
	one, two, idle := &series{id: "a"}, &series{id: "b"}, &series{id: "c"}
	tr.goesOn(h, &h.whole, 1)
	tr.goesOn(h, &series{id: Others}, 1)
	h.watch(idle, &record{n: [numbers]int64{atSpan: 60_000}})
	require.Zero(t, h.watched)
	tr.goesOn(h, one, 1)
	tr.goesOn(h, two, 1)
	require.NotNil(t, one.watcher)
	require.Nil(t, two.watcher, "there is no room")
	h.models["a"], h.order = one, []string{"a"}
	h.drop(one)
	tr.goesOn(h, two, 1)
	require.NotNil(t, two.watcher)

	h.incidents.begin("b", "p95", "", time.Unix(1, 0))
	two.watcher.of[watchTimes].until = time.Unix(2, 0)
	never := *h.config.Load()
	never.Watched = -1
	h.config.Store(&never) // by a reload
	tr.goesOn(h, two, 1)
	require.Nil(t, two.watcher)
	require.Empty(t, h.Anomalies(), "nobody would see its end")

	off := watching(t, Config{Watched: -1})
	tr.goesOn(off, idle, 1)
	require.Nil(t, idle.watcher)

	held := Row{Step: time.Minute, Observed: time.Minute, Held: 40 * time.Second, Calls: 20}
	_, ok := measure(&held, watchCalls)
	require.False(t, ok, "that there are few is not unusual")
	held.Held = 20 * time.Second
	v, ok := measure(&held, watchCalls)
	require.True(t, ok)
	require.InDelta(t, 30, v, 1e-9)
	_, ok = measure(&Row{Step: time.Minute, Calls: few - 1}, watchErrors)
	require.False(t, ok)
	require.False(t, worth(watchErrors, 1, math.NaN()), "nothing was before")
}

func TestWatcherOutlivesARestart(t *testing.T) {
	h := watching(t, Config{})
	s := &series{id: "a", name: "a"}
	tr := traffic{rnd: rand.New(rand.NewPCG(1, 2)), calls: 60, failing: 0.02, took: time.Second, at: 600_000}
	tr.goesOn(h, s, 300)
	h.models["a"], h.order = s, []string{"a"}
	data, err := encode(h.state())
	require.NoError(t, err)
	back, err := decode(data, time.Now())
	require.NoError(t, err)
	next := watching(t, Config{})
	next.take(back)
	require.Equal(t, 1, next.watched)
	tr.failing = 0.5
	tr.goesOn(next, next.models["a"], 5)
	require.NotEmpty(t, next.Anomalies(), "it knows what was usual before")

	var other decoder
	other.data = appendBytes(appendBytes(appendBytes(nil, []byte("of another version")), nil), []byte{1})
	require.Zero(t, other.watcher().of[0].detector.Observe(time.Unix(1, 0), 1), "it begins anew")
	require.NoError(t, other.err)
}

// What ends after a model has left the pool, or as the pool stops, is in its rows.
func TestLeavesWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{}, "a", "b")
		w.took = 25 * time.Second
		by := resilience.Control{Actor: "mia", Reason: "a test"}
		w.during(t, func() {
			var ended atomic.Int64
			for range 3 {
				go func() {
					_, _ = w.Call(resilience.WithOptions(t.Context(), resilience.CallOptions{Model: "a"}), "")
					ended.Add(1)
				}()
			}
			time.Sleep(5 * time.Second)
			require.NoError(t, w.pool.Reload(t.Context(), []byte(`{"models":[{"id":"b"}]}`), by))
			time.Sleep(time.Minute)
			require.EqualValues(t, 3, ended.Load())
			w.mu.Lock()
			require.Len(t, w.members, 1, "nothing is kept of what is done")
			w.mu.Unlock()
			require.NoError(t, w.pool.Reload(t.Context(), []byte(`{"models":[{"id":"b"},{"id":"a"}]}`), by))
			require.NoError(t, w.ask(t, "a"))
		})
		from, to := day(time.Now())
		for _, of := range []Series{{Model: "a"}, {}} {
			rows := w.Rows(of, from, to, time.Hour)
			calls, _ := sum(rows)
			require.EqualValues(t, 4, calls, "of the first and of the second")
			require.EqualValues(t, 400, rows[0].Usage.Input)
		}
	})
}

func TestCallsOfThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{}, "a", "b")
		w.fail["a"] = resilience.Overloaded
		w.during(t, func() {
			for range 5 { // one attempt of each: there is no fallback
				require.Error(t, w.ask(t, "a"))
				require.NoError(t, w.ask(t, "b"))
			}
			ctx, stop := context.WithTimeout(t.Context(), time.Millisecond)
			defer stop()
			_, err := w.Call(ctx, "")
			require.Error(t, err)
		})
		from, to := day(time.Now())
		rows := w.Rows(Series{}, from, to, time.Hour)
		require.EqualValues(t, 10, rows[0].Calls+rows[0].Canceled-1)
		require.EqualValues(t, 5, rows[0].Kinds["overloaded"])
		require.Positive(t, rows[0].P95)
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{File: filepath.Join(t.TempDir(), "history")}, "a")
		w.during(t, func() { time.Sleep(11 * time.Minute) })
		w.incidents.begin("a", "p95", "", time.Now())
		got := map[string]float64{}
		for _, m := range w.pool.Metrics() {
			m.Read(func(s resilience.Sample) {
				name := m.Name + " " + s.Label
				if m.Model {
					name += " " + s.Model.ID()
				}
				got[name] = s.Value
			})
		}
		require.Equal(t, map[string]float64{"history_saves_total ok": 3, "history_saves_total failed": 0, "anomalies p95 a": 1, "failure_probability_ratio  a": 0}, got)
	})
}

func TestAlertsOfAnomalies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{})
		alerts := alert.New(alert.Config{Rules: map[string]alert.Rule{
			"unusual": {KeepFiringFor: -1, Func: func(_ context.Context, s alert.Subject) (float64, bool) {
				return float64(len(h.Anomalies(s.Models...))), true
			}},
		}})
		pool, err := resilience.NewPool(h, alerts, resilience.Models(resilience.ModelInfo{ID: "a"}, resilience.ModelInfo{ID: "b"}))
		require.NoError(t, err)
		w := &world{History: h, pool: pool}
		w.during(t, func() {
			time.Sleep(time.Minute)
			require.Empty(t, alerts.Active())
			require.Empty(t, h.Anomalies())
			h.incidents.begin("a", "p95", "9.6s, of late 3.6s (shape)", time.Now())
			time.Sleep(time.Minute)
			require.Len(t, alerts.Active(), 1)
			require.Equal(t, "a", alerts.Active()[0].Labels["model"])
			h.incidents.end("a", "p95", time.Now())
			time.Sleep(time.Minute)
			require.Empty(t, alerts.Active())
		})
	})
}

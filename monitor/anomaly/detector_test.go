package anomaly_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/settings"
	"github.com/cmmv-hive/resilience/monitor/anomaly"
)

var start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// feed observes n values a step apart and returns what was said of each.
func feed(d *anomaly.Detector, from time.Time, step time.Duration, n int, value func(i int) float64) []anomaly.Result {
	all := make([]anomaly.Result, n)
	for i := range all {
		all[i] = d.Observe(from.Add(time.Duration(i)*step), value(i))
	}
	return all
}

// begun are the rows with which incidents began.
func begun(results []anomaly.Result) (rows []int) {
	for i, r := range results {
		if r.Began {
			rows = append(rows, i)
		}
	}
	return rows
}

// noise is around 100, with a deviation of 5.
func noise(seed uint64) func(int) float64 {
	rng := rand.New(rand.NewPCG(seed, 1))
	return func(int) float64 { return 100 + 5*rng.NormFloat64() }
}

func requireSane(t *testing.T, results []anomaly.Result) {
	t.Helper()
	for i, r := range results {
		require.True(t, r.Score >= 0 && r.Score <= 1, "row %d: %v", i, r.Score)
		for _, x := range r.Signals {
			require.False(t, math.IsNaN(x) || math.IsInf(x, 0), "row %d: %v", i, r.Signals)
		}
		require.False(t, r.Began && (!r.Anomalous || r.Incident == 0 || r.Why == ""), "row %d: %+v", i, r)
	}
}

func TestConfigTags(t *testing.T) {
	require.NoError(t, settings.Lint(anomaly.Config{}))
	require.NoError(t, anomaly.Config{}.Check())
	bad := anomaly.Config{Hold: -1, Threshold: 2000}
	require.ErrorContains(t, bad.Check(), "anomaly.hold: -1 must not be negative")
	require.ErrorContains(t, bad.Check(), "anomaly.threshold: 2000")
	require.Equal(t, anomaly.New(anomaly.Config{}), anomaly.New(bad))
}

func TestAStepIsOneIncident(t *testing.T) {
	for name, to := range map[string]float64{"up": 140, "down": 60} {
		t.Run(name, func(t *testing.T) {
			d, base := anomaly.New(anomaly.Config{}), noise(1)
			results := feed(d, start, time.Minute, 3000, func(i int) float64 {
				if i >= 2500 {
					return base(i) + to - 100
				}
				return base(i)
			})
			requireSane(t, results)
			after := results[2500:]
			rows := begun(after)
			require.Less(t, rows[0], 5)
			for i := range 200 {
				require.Equal(t, after[rows[0]].Incident, after[rows[0]+i].Incident)
			}
			if len(rows) > 1 {
				require.Greater(t, rows[1]-rows[0], 240)
			}
		})
	}
}

func TestADriftIsNoticed(t *testing.T) {
	d, base := anomaly.New(anomaly.Config{}), noise(2)
	feed(d, start, time.Minute, 5000, base)
	rows := begun(feed(d, start.Add(5000*time.Minute), time.Minute, 200, func(i int) float64 { return base(i) + 10 }))
	require.NotEmpty(t, rows)
	require.Less(t, rows[0], 60)
}

// Each signal alone finds what it is for, and nothing where it is off.
func TestSignals(t *testing.T) {
	off := anomaly.Config{Spike: -1, Drop: -1, Shift: -1, Drift: -1, Shape: -1}
	for _, c := range []struct {
		signal anomaly.Signal
		set    func(*anomaly.Config)
		value  func(i int, base float64) float64
	}{
		{anomaly.Spike, func(c *anomaly.Config) { c.Spike = 0.5 }, func(_ int, base float64) float64 { return base + 200 }},
		{anomaly.Drop, func(c *anomaly.Config) { c.Drop = 0.3 }, func(int, float64) float64 { return 0 }},
		{anomaly.Shift, func(c *anomaly.Config) { c.Shift = 0.5 }, func(_ int, base float64) float64 { return base + 15 }},
		{anomaly.Drift, func(c *anomaly.Config) { c.Drift = 0 }, func(_ int, base float64) float64 { return base + 10 }},
		{anomaly.Shape, func(c *anomaly.Config) { c.Shape = 0 }, func(i int, base float64) float64 { return base + 40*math.Sin(float64(i)/10) }},
	} {
		t.Run(c.signal.String(), func(t *testing.T) {
			cfg := off
			c.set(&cfg)
			for _, cfg := range []anomaly.Config{cfg, off} {
				d, base := anomaly.New(cfg), noise(3)
				feed(d, start, time.Minute, 3000, base)
				results := feed(d, start.Add(3000*time.Minute), time.Minute, 120, func(i int) float64 { return c.value(i, base(i)) })
				if cfg == off {
					require.Empty(t, begun(results))
					continue
				}
				rows := begun(results)
				require.Len(t, rows, 1)
				require.Equal(t, c.signal, results[rows[0]].Signal)
				require.Contains(t, results[rows[0]].Why, c.signal.String())
			}
		})
	}
	require.Equal(t, "Signal(9)", anomaly.Signal(9).String())
}

func TestAConstantSeries(t *testing.T) {
	for _, v := range []float64{0, 1, -40, 1e-300, 1e300, -1e300} {
		d := anomaly.New(anomaly.Config{})
		results := feed(d, start, time.Minute, 2000, func(int) float64 { return v })
		requireSane(t, results)
		for _, r := range results {
			require.Zero(t, r.Score)
		}
		changed := d.Observe(start.Add(2000*time.Minute), v/2+1)
		requireSane(t, []anomaly.Result{changed})
		require.Less(t, changed.Score, 0.97)
	}
	d := anomaly.New(anomaly.Config{})
	feed(d, start, time.Minute, 2000, func(int) float64 { return 100 })
	require.False(t, d.Observe(start.Add(2000*time.Minute), 100.001).Anomalous, "a change too small to matter")
	require.True(t, d.Observe(start.Add(2001*time.Minute), 200).Began)
}

func TestWhatIsNotANumberIsIgnored(t *testing.T) {
	clean, dirty := anomaly.New(anomaly.Config{}), anomaly.New(anomaly.Config{})
	base := noise(4)
	for i := range 2000 {
		at, v := start.Add(time.Duration(i)*time.Minute), base(i)
		want := clean.Observe(at, v)
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			r := dirty.Observe(at, bad)
			require.Zero(t, r.Score)
			require.Equal(t, "ignored: not a finite number", r.Why)
		}
		require.Equal(t, want, dirty.Observe(at, v))
	}
}

func TestWildValues(t *testing.T) {
	values := []float64{0, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 1, -1, 1e100, 1e-100}
	rng := rand.New(rand.NewPCG(5, 5))
	d := anomaly.New(anomaly.Config{})
	requireSane(t, feed(d, start, time.Minute, 5000, func(int) float64 { return values[rng.IntN(len(values))] }))
}

// A wild value among the first does not become usual.
func TestColdStart(t *testing.T) {
	for row := range 32 {
		d, base := anomaly.New(anomaly.Config{}), noise(6)
		results := feed(d, start, time.Minute, 1000, func(i int) float64 {
			if i == row {
				return 1e12
			}
			return base(i)
		})
		for _, r := range results[:100] {
			require.False(t, r.Anomalous)
		}
		require.True(t, d.Observe(start.Add(1000*time.Minute), 1000).Anomalous, "row %d", row)
	}
}

// Time may stand still, go back or be far from now.
func TestTimes(t *testing.T) {
	for name, at := range map[string]func(i int) time.Time{
		"still":   func(int) time.Time { return start },
		"back":    func(i int) time.Time { return start.Add(-time.Duration(i) * time.Hour) },
		"zero":    func(int) time.Time { return time.Time{} },
		"jumping": func(i int) time.Time { return time.Unix(int64(i%2)*math.MaxInt64-int64(i%3)*math.MaxInt64, 0) },
		"old":     func(i int) time.Time { return time.Date(-5000, 1, 1, 0, i, 0, 0, time.UTC) },
	} {
		t.Run(name, func(t *testing.T) {
			d, base := anomaly.New(anomaly.Config{}), noise(7)
			var results []anomaly.Result
			for i := range 1500 {
				results = append(results, d.Observe(at(i), base(i)))
			}
			requireSane(t, results)
			results = nil
			for i := range 10 {
				results = append(results, d.Observe(at(1500+i), 300))
			}
			requireSane(t, results)
			require.True(t, slices.ContainsFunc(results, func(r anomaly.Result) bool { return r.Anomalous }))
		})
	}
}

// What was before a gap is not part of a shape after it.
func TestAGap(t *testing.T) {
	d, base := anomaly.New(anomaly.Config{}), noise(8)
	feed(d, start, time.Minute, 3000, base)
	after := feed(d, start.Add(30*24*time.Hour), time.Minute, 300, base)
	require.Empty(t, begun(after))
	for _, r := range after[:63] {
		require.Zero(t, r.Signals[anomaly.Shape])
	}
	require.NotZero(t, after[63].Signals[anomaly.Shape])
}

// Where hours explain the value, a night at the level of the day is a drift,
// and a day is none.
func TestHours(t *testing.T) {
	base := noise(9)
	daily := func(i int) float64 { return base(i) + 60*math.Sin(2*math.Pi*float64(i)/288) }
	drift := func(value func(i int) float64) float64 {
		d := anomaly.New(anomaly.Config{})
		feed(d, start, 5*time.Minute, 288*10, daily)
		var most float64
		for _, r := range feed(d, start.Add(10*24*time.Hour), 5*time.Minute, 288, value) {
			most = max(most, r.Signals[anomaly.Drift])
		}
		return most
	}
	require.Less(t, drift(daily), 4.0)
	require.Greater(t, drift(func(i int) float64 { return daily(i + 144) }), 10.0)
}

func TestNoiseIsQuiet(t *testing.T) {
	var incidents int
	for seed := range uint64(20) {
		d := anomaly.New(anomaly.Config{})
		incidents += len(begun(feed(d, start, time.Minute, 5000, noise(100+seed))))
	}
	t.Logf("%d incidents in 100,000 rows of noise", incidents)
	require.LessOrEqual(t, incidents, 60)
}

func TestSize(t *testing.T) { require.LessOrEqual(t, unsafe.Sizeof(anomaly.Detector{}), uintptr(8192)) }

func TestNoAllocations(t *testing.T) {
	d, base := anomaly.New(anomaly.Config{}), noise(10)
	feed(d, start, time.Minute, 1000, base)
	at := start.Add(1000 * time.Minute)
	require.Zero(t, testing.AllocsPerRun(100, func() { at = at.Add(time.Minute); d.Observe(at, 100) }))
}

func BenchmarkObserve(b *testing.B) {
	d := anomaly.New(anomaly.Config{})
	rng := rand.New(rand.NewPCG(1, 1))
	values := make([]float64, 4096)
	for i := range values {
		values[i] = math.Exp(rng.NormFloat64())
	}
	b.ReportAllocs()
	at := start
	for i := 0; b.Loop(); i++ {
		at = at.Add(time.Minute)
		d.Observe(at, values[i%len(values)])
	}
	b.ReportMetric(float64(unsafe.Sizeof(*d)), "B/series")
}

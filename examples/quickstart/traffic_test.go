package main

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/datasets"
	"github.com/cmmv-hive/resilience/internal/trace"
)

// every returns n calls, each gap after the one before.
func every(gap time.Duration, n int) []trace.Call {
	calls := make([]trace.Call, n)
	for i := range calls {
		calls[i] = trace.Call{At: time.Duration(i) * gap, Input: i}
	}
	return calls
}

func TestFit(t *testing.T) {
	l := Limits{Wall: 10 * time.Second, Slowest: 50, Fastest: 100, Calls: 100}
	for name, c := range map[string]struct {
		calls  []trace.Call
		kept   int
		second int // which call is kept after the first
		span   time.Duration
		pace   pace
		notes  []string
	}{
		"one":           {every(0, 1), 1, 0, time.Minute, 50, nil},
		"all at once":   {every(0, 100), 100, 1, time.Minute, 50, nil},
		"fits":          {every(10*time.Second, 81), 81, 1, 800 * time.Second, 80, nil},
		"just fits":     {every(10*time.Second, 100), 100, 1, 990 * time.Second, 99, nil},
		"too many":      {every(time.Second, 101), 51, 2, 100 * time.Second, 50, []string{"only one call in 2: 51 of 101"}},
		"far too many":  {every(time.Second, 1000), 100, 10, 990 * time.Second, 99, []string{"only one call in 10: 100 of 1000"}},
		"too long":      {every(time.Minute, 61), 17, 1, 16 * time.Minute, 96, []string{"only its first 16:40 of 60:00: 17 of 61 calls"}},
		"nothing first": {[]trace.Call{{}, {At: 1000 * time.Hour, Input: 1}}, 1, 0, time.Minute, 50, []string{"only its first 16:40 of 60000:00: 1 of 2 calls"}},
		"too many and too long": {every(time.Second, 5000), 91, 11, 990 * time.Second, 99,
			[]string{"only its first 16:40 of 83:19: 1001 of 5000 calls", "only one call in 11: 91 of 1001"}},
	} {
		t.Run(name, func(t *testing.T) {
			before := slices.Clone(c.calls)
			got := fit(c.calls, l)
			require.Len(t, got.Calls, c.kept)
			require.Zero(t, got.Calls[0].Input)
			if c.kept > 1 {
				require.Equal(t, c.second, got.Calls[1].Input)
			}
			require.Equal(t, c.span, got.Span)
			require.InDelta(t, float64(c.pace), float64(got.Pace), 1e-9)
			require.Equal(t, c.notes, got.Notes)
			require.Equal(t, before, c.calls)
		})
	}
}

// What limits say of a run of three rows: it ends within 40 s.
func TestLimitsAddUp(t *testing.T) {
	worst := limits.Wall + limits.Late + limits.Slowest.of(patience)
	require.Less(t, worst, 38*time.Second)
	require.Less(t, grain.Seconds()*float64(limits.Fastest), 0.2)
	require.GreaterOrEqual(t, float64(limits.Fastest)*limits.Wall.Seconds(), 3600.0, "an hour fits")
}

func TestSyntheticIsLikeTheTrace(t *testing.T) {
	calls := synthetic(1, time.Hour)
	require.InDelta(t, 5.53*3600, len(calls), 600)
	require.True(t, slices.IsSortedFunc(calls, func(a, b trace.Call) int { return int(a.At - b.At) }))
	require.Less(t, calls[len(calls)-1].At, time.Hour)
	median := func(of func(trace.Call) int) int {
		v := make([]int, len(calls))
		for i, c := range calls {
			v[i] = of(c)
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	require.InDelta(t, 1020, median(func(c trace.Call) int { return c.Input }), 30)
	require.InDelta(t, 129, median(func(c trace.Call) int { return c.Output }), 5)
	require.Equal(t, calls, synthetic(1, time.Hour))
	require.NotEqual(t, calls[0], synthetic(2, time.Hour)[0])
}

// The real traces, where they are.
func TestAzureTraces(t *testing.T) {
	for _, c := range []struct {
		file     string
		calls    int
		span     time.Duration
		replayed int // 0: not all
		pace     pace
	}{
		{file: "2023_conv.csv.gz", calls: 19_366, span: 3502 * time.Second, replayed: 19_366, pace: 134.7},
		{file: "2023_code.csv.gz", calls: 8_819, span: 3436 * time.Second, replayed: 8_819, pace: 132.2},
		{file: "2024_sample.csv.gz", calls: 5_880, span: 26 * time.Hour, pace: 148.9},
	} {
		calls, err := readTrace(datasets.Path(t, "azure_llm/"+c.file))
		require.NoError(t, err)
		require.Len(t, calls, c.calls)
		require.InDelta(t, c.span.Seconds(), calls[len(calls)-1].At.Seconds(), 0.01*c.span.Seconds())
		got := fit(calls, limits)
		require.InDelta(t, float64(c.pace), float64(got.Pace), 0.2)
		if c.replayed != 0 {
			require.Len(t, got.Calls, c.replayed)
			require.Empty(t, got.Notes)
		} else {
			require.Len(t, got.Notes, 1)
		}
	}
}

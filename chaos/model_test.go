package chaos

import (
	"fmt"
	"hash/fnv"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// plan has one of everything, an hour long.
var plan = Model{
	Name:       "fake",
	FirstToken: Law{{0.1, 1}, {0.5, 2}, {0.9, 4}},
	Rate:       Law{{0.1, 20}, {0.9, 100}},
	Failures:   []Failure{{Fault{Name: RateLimited}, 0.01, Always(2)}, {Fault{Name: Blank}, 0.01, nil}},
	Incidents: []Incident{
		{Fault: Fault{Name: Unavailable}, From: 10 * time.Minute, For: 5 * time.Minute, After: Always(5)},
		{Fault: Fault{Name: Overloaded}, From: 20 * time.Minute, For: 5 * time.Minute, Share: 0.3, After: Always(5)},
		{Fault: Fault{Name: Throttled}, From: 30 * time.Minute, For: 5 * time.Minute, Share: 0.75, After: Always(1)},
		{Fault: Fault{Name: Slow}, From: 40 * time.Minute, For: 5 * time.Minute, Slower: 5},
		{Fault: Fault{Name: Silent}, From: 50 * time.Minute, For: 5 * time.Minute},
	},
}

func try(call, n int, at time.Duration) Try {
	return Try{Call: fmt.Sprint(call), N: n, At: at, Tokens: 100}
}

// shares counts what a thousand calls meet at time at.
func shares(p *Model, at time.Duration) map[FaultName]float64 {
	s := map[FaultName]float64{}
	for i := range 1000 {
		s[p.Outcome(1, try(i, 0, at)).Fault.Name] += 1.0 / 1000
	}
	return s
}

func TestOutcomeDependsOnItsArgumentsAlone(t *testing.T) {
	again := plan
	for i := range 200 {
		at := time.Duration(i) * 18 * time.Second
		require.Equal(t, plan.Outcome(1, try(i, 0, at)), again.Outcome(1, try(i, 0, at)))
	}
}

func TestOutcomeDependsOnEachOfThem(t *testing.T) {
	const at = time.Minute
	base := plan.Outcome(1, try(1, 0, at))
	other := plan
	other.Name = "other"
	for name, got := range map[string]Outcome{
		"seed":   plan.Outcome(2, try(1, 0, at)),
		"model":  other.Outcome(1, try(1, 0, at)),
		"call":   plan.Outcome(1, try(2, 0, at)),
		"try":    plan.Outcome(1, try(1, 1, at)),
		"time":   plan.Outcome(1, try(1, 0, 11*time.Minute)),
		"tokens": plan.Outcome(1, Try{Call: "1", At: at, Tokens: 101}),
	} {
		require.NotEqual(t, base, got, name)
	}
}

// Two that differ in the incidents alone agree about every attempt that no
// incident strikes.
func TestOutcomeOutsideOfIncidentsIsTheSame(t *testing.T) {
	calm := plan
	calm.Incidents = nil
	struck := 0
	for i := range 2000 {
		at := time.Duration(i) * 1800 * time.Millisecond
		got, want := plan.Outcome(3, try(i, 0, at)), calm.Outcome(3, try(i, 0, at))
		switch got.Fault.Name {
		case Unavailable, Overloaded, Throttled, Silent:
			struck++
		case Slow:
			require.InDelta(t, 5*want.After.Seconds(), got.After.Seconds(), 1e-6)
			struck++
		default:
			require.Equal(t, want, got)
		}
	}
	require.Greater(t, struck, 500)
}

func TestOutcomeByIncident(t *testing.T) {
	for _, c := range []struct {
		at    time.Duration
		fault FaultName
		share float64
	}{
		{5 * time.Minute, None, 0.98}, // what the failures leave
		{10 * time.Minute, Unavailable, 1},
		{15*time.Minute - 1, Unavailable, 1},
		{15 * time.Minute, Unavailable, 0},
		{22 * time.Minute, Overloaded, 0.3},
		{30 * time.Minute, Throttled, 0},
		{30*time.Minute + 14*time.Second, Throttled, 0}, // a quarter of the minute is allowed
		{30*time.Minute + 16*time.Second, Throttled, 1},
		{42 * time.Minute, Slow, 0.98},
		{52 * time.Minute, Silent, 1},
		{56 * time.Minute, RateLimited, 0.01},
		{56 * time.Minute, Blank, 0.01},
	} {
		require.InDelta(t, c.share, shares(&plan, c.at)[c.fault], 0.05*c.share+0.02*c.share*(1-c.share)+0.005, "%v at %v", c.fault, c.at)
	}
}

func TestOutcomeThrottledSaysWhenTheMinuteEnds(t *testing.T) {
	for _, second := range []int{15, 30, 59} {
		out := plan.Outcome(1, try(1, 0, 31*time.Minute+time.Duration(second)*time.Second))
		want := Outcome{Fault{Name: Throttled, After: time.Second}, time.Second, time.Second, time.Duration(60-second) * time.Second}
		require.Equal(t, want, out)
	}
}

func TestOutcomeFollowsTheLaw(t *testing.T) {
	p := Model{FirstToken: plan.FirstToken}
	below := 0
	for i := range 4000 {
		out := p.Outcome(7, Try{Call: fmt.Sprint(i), Tokens: 1000})
		require.GreaterOrEqual(t, out.After, time.Second)
		require.LessOrEqual(t, out.After, 4*time.Second)
		if out.After <= 2*time.Second {
			below++
		}
	}
	require.InDelta(t, 2000, below, 130) // 4 standard deviations
}

func TestOutcomeGrowsWithTheAnswer(t *testing.T) {
	p := Model{FirstToken: Always(1), Rate: Always(50)}
	require.Equal(t, 3*time.Second, p.Outcome(1, Try{Tokens: 100}).After)
	require.Equal(t, time.Second, p.Outcome(1, Try{}).After)
}

func TestZeroModelAnswersAtOnce(t *testing.T) {
	var m Model
	require.Equal(t, Outcome{}, m.Outcome(0, Try{Tokens: 1 << 40}))
}

// The draws are part of what a seed promises: this hash was taken before models
// had scripts.
func TestOutcomesOfASeedStayTheSame(t *testing.T) {
	h := fnv.New64a()
	for i := range 5000 {
		out := plan.Outcome(9, try(i/2, i%2, time.Duration(i)*700*time.Millisecond))
		fmt.Fprintln(h, out.Fault.Name.Status(), out.After, out.RetryAfter)
	}
	require.Equal(t, "d75f5bae18d95ea8", fmt.Sprintf("%x", h.Sum(nil)))
}

func BenchmarkOutcome(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		plan.Outcome(1, Try{Call: "12345", At: time.Minute, Tokens: 100})
	}
}

// A time that is too long is long, and not over before it began.
func TestTimesWithoutEnd(t *testing.T) {
	require.True(t, Incident{From: time.Second, For: math.MaxInt64}.Active(time.Minute))
	require.False(t, Incident{From: time.Second, For: math.MaxInt64}.Active(0))
	for name, m := range map[string]Model{
		"first token": {FirstToken: Always(1e12)},
		"rate":        {Rate: Always(1e-300)},
		"slower":      {FirstToken: Always(1e6), Incidents: []Incident{{Fault: Fault{Name: Slow}, For: 1, Slower: 1e300}}},
		"after":       {Rate: Always(1), Failures: []Failure{{Fault: Fault{Name: Duplicate, After: math.MaxInt64}, Share: 1}}},
	} {
		require.Greater(t, m.Outcome(1, Try{Tokens: 5}).After, 1000*time.Hour, name)
	}
	for _, c := range []struct {
		speed float64
		clock time.Duration // a second of the model's
		now   time.Duration // after a second
	}{{1e-12, longest, 0}, {1e300, 0, longest}} {
		synctest.Test(t, func(t *testing.T) {
			p, err := NewProvider(ProviderConfig{Speed: c.speed})
			require.NoError(t, err)
			time.Sleep(time.Second)
			require.Equal(t, c.clock, p.clock(time.Second))
			require.Equal(t, c.now, p.cfg.Now())
		})
	}
}

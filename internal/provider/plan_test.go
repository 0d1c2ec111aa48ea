package provider

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// plan has one of everything, an hour long.
var plan = Plan{
	Model:      "fake",
	FirstToken: Law{{0.1, 1}, {0.5, 2}, {0.9, 4}},
	Rate:       Law{{0.1, 20}, {0.9, 100}},
	Failures:   []Failure{{RateLimited, 0.01, Always(2)}, {Blank, 0.01, nil}},
	Incidents: []Incident{
		{Fault: Unavailable, From: 10 * time.Minute, For: 5 * time.Minute, After: Always(5)},
		{Fault: Overloaded, From: 20 * time.Minute, For: 5 * time.Minute, Share: 0.3, After: Always(5)},
		{Fault: Throttled, From: 30 * time.Minute, For: 5 * time.Minute, Share: 0.75, After: Always(1)},
		{Fault: Slow, From: 40 * time.Minute, For: 5 * time.Minute, Slower: 5},
		{Fault: Silent, From: 50 * time.Minute, For: 5 * time.Minute},
	},
}

func try(call, n int, at time.Duration) Try {
	return Try{Call: fmt.Sprint(call), N: n, At: at, Tokens: 100}
}

// shares counts what a thousand calls meet at time at.
func shares(p *Plan, at time.Duration) map[Fault]float64 {
	s := map[Fault]float64{}
	for i := range 1000 {
		s[p.Outcome(1, try(i, 0, at)).Fault] += 1.0 / 1000
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
	other.Model = "other"
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
		switch got.Fault {
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
		fault Fault
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
		require.Equal(t, Outcome{Throttled, time.Second, time.Duration(60-second) * time.Second}, out)
	}
}

func TestOutcomeFollowsTheLaw(t *testing.T) {
	p := Plan{FirstToken: plan.FirstToken}
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
	p := Plan{FirstToken: Always(1), Rate: Always(50)}
	require.Equal(t, 3*time.Second, p.Outcome(1, Try{Tokens: 100}).After)
	require.Equal(t, time.Second, p.Outcome(1, Try{}).After)
}

func TestZeroPlanAnswersAtOnce(t *testing.T) {
	var p Plan
	require.NoError(t, p.Check())
	require.Equal(t, Outcome{}, p.Outcome(0, Try{Tokens: 1 << 40}))
}

func TestPlanCheck(t *testing.T) {
	require.NoError(t, plan.Check())
	incident := func(i Incident) Plan { return Plan{Incidents: []Incident{i}} }
	for want, p := range map[string]Plan{
		"first token: the quantity":             {FirstToken: Always(-1)},
		"rate: quantiles":                       {Rate: Law{{0.5, 2}, {0.1, 1}}},
		"reset: a share of 1.5":                 {Failures: []Failure{{Fault: Reset, Share: 1.5}}},
		"blank answer: a share of NaN":          {Failures: []Failure{{Fault: Blank, Share: math.NaN()}}},
		"failures together: a share of 1.2":     {Failures: []Failure{{Fault: Reset, Share: 0.6}, {Fault: Blank, Share: 0.6}}},
		"throttled: needs an incident":          {Failures: []Failure{{Fault: Throttled, Share: 0.1}}},
		"slow: needs an incident":               {Failures: []Failure{{Fault: Slow, Share: 0.1}}},
		"none: not a fault":                     incident(Incident{For: time.Second}),
		"unknown fault: not a fault":            incident(Incident{Fault: 99, For: time.Second}),
		"silent: from 0s for 0s":                incident(Incident{Fault: Silent}),
		"silent: from -1s for 1s":               incident(Incident{Fault: Silent, From: -time.Second, For: time.Second}),
		"slow: a factor of 1":                   incident(Incident{Fault: Slow, For: time.Second, Slower: 1}),
		"unavailable: a share of -1":            incident(Incident{Fault: Unavailable, For: time.Second, Share: -1}),
		"unavailable: the quantity at 0.5 is 0": incident(Incident{Fault: Unavailable, For: time.Second, After: Always(0)}),
	} {
		require.ErrorContains(t, p.Check(), want)
	}
	bad := Plan{FirstToken: Always(-1), Rate: Always(-1)}
	require.ErrorContains(t, bad.Check(), "first token")
	require.ErrorContains(t, bad.Check(), "rate", "all at once")
}

func TestFaultStrings(t *testing.T) {
	seen := map[string]bool{}
	for f := range Fault(len(meanings)) {
		require.NotEmpty(t, f.String())
		require.False(t, seen[f.String()], "%v twice", f)
		seen[f.String()] = true
	}
	require.Equal(t, "unknown fault", Fault(200).String())
	require.Zero(t, Fault(200).Status())
	require.Equal(t, 200, None.Status())
	require.Equal(t, 529, Overloaded.Status())
}

func BenchmarkOutcome(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		plan.Outcome(1, Try{Call: "12345", At: time.Minute, Tokens: 100})
	}
}

package analytics_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/monitor/analytics"
)

const step = 5 * time.Second

// A provider has a load that goes with the hours, noise, slow times that pass, and
// outages: brownouts, in which it becomes busy until it fails, and sudden ones.
type provider struct {
	*rand.Rand
	base    float64 // seconds
	calls   float64 // a step
	spread  float64 // of latencies
	now     time.Time
	browned bool // the next outage is a brownout

	outage, from, until time.Time // the next one; brownouts begin at from
	slowUntil           time.Time
	slowBy              float64
}

func newProvider(seed uint64) *provider {
	r := rand.New(rand.NewPCG(seed, 1))
	p := &provider{
		Rand: r, base: .4 + 3*r.Float64(), calls: 3 + 40*r.Float64(), spread: .1 + .25*r.Float64(),
		now: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC),
	}
	p.plan()
	return p
}

func (p *provider) between(low, high time.Duration) time.Duration {
	return low + time.Duration(p.Float64()*float64(high-low))
}

func (p *provider) plan() {
	p.browned = p.Float64() < .7
	p.outage = p.now.Add(p.between(time.Hour, 12*time.Hour))
	p.from = p.outage
	if p.browned {
		p.from = p.outage.Add(-p.between(2*time.Minute, 6*time.Minute))
	}
	p.until = p.outage.Add(p.between(time.Minute, 10*time.Minute))
}

// next is what is seen in a step.
func (p *provider) next() analytics.Sign {
	p.now = p.now.Add(step)
	if !p.now.Before(p.until) {
		p.plan()
	}
	if p.now.After(p.slowUntil) && p.Float64() < 1./2000 { // longer prompts, a deployment
		p.slowUntil, p.slowBy = p.now.Add(p.between(2*time.Minute, 30*time.Minute)), 1.1+.5*p.Float64()
	}
	day := 1 + .6*math.Sin(2*math.Pi*float64(p.now.Hour()*60+p.now.Minute())/1440)
	busy := .2 + .3*day*.6
	if p.browned && p.now.After(p.from) {
		part := float64(p.now.Sub(p.from)) / float64(p.outage.Sub(p.from))
		busy += (.97 - busy) * part
	}
	latency := p.base / (1 - busy) * math.Exp(p.spread*p.NormFloat64()*.4)
	if p.now.Before(p.slowUntil) {
		latency *= p.slowBy
	}
	if p.Float64() < .002 { // a blip
		latency *= 4
	}
	calls := int(p.calls*day*(.8+.4*p.Float64())) + 1
	fails := .005
	switch {
	case !p.now.Before(p.outage):
		fails = .95
	case busy > .9:
		fails = .1 + (busy-.9)*2
	}
	s := analytics.Sign{Time: p.now, Calls: calls, P95: time.Duration(latency * float64(time.Second)), InFlight: int(float64(calls) * latency / 5)}
	for range calls {
		if p.Float64() < fails {
			s.Failures++
		}
	}
	return s
}

// A tally is how announcements went.
type tally struct {
	brownouts, announced, early int // early enough
	sudden, foreseen            int
	told, falsely               int
	lead                        time.Duration
}

// weeks runs a predictor against a provider. An announcement is that the probability
// passes a half; it is over once that has fallen below a quarter, or the model failed.
func weeks(seed uint64, long time.Duration) (t tally, score analytics.Score) {
	const horizon = 5 * time.Minute
	p, at := analytics.NewPredictor(horizon), newProvider(seed)
	var told, counted time.Time // the announcement that is open; the outage that was counted last
	for end := at.now.Add(long); at.now.Before(end); {
		s := at.next()
		prob := p.Observe(s)
		if prob == 1 {
			if at.outage.Equal(counted) { // few calls may say for a moment that it is over
				if !told.IsZero() {
					t.told-- // nothing new
				}
			} else {
				counted = at.outage
				lead := s.Time.Sub(told)
				ahead := !told.IsZero()
				if at.browned {
					t.brownouts++
					if ahead {
						t.announced++
						if lead >= 30*time.Second {
							t.early++
							t.lead += lead
						}
					}
				} else {
					t.sudden++
					if ahead {
						t.foreseen++
					}
				}
			}
			told = time.Time{}
			continue
		}
		switch {
		case told.IsZero() && prob >= .5:
			told = s.Time
			t.told++
		case !told.IsZero() && s.Time.Sub(told) > horizon:
			t.falsely++
			told = time.Time{}
			for prob >= .25 && at.now.Before(end) && prob < 1 { // until it is over
				prob = p.Observe(at.next())
			}
		}
	}
	return t, p.Score()
}

func TestPublishedPrediction(t *testing.T) {
	var sum tally
	skill := 0.
	seeds := uint64(30)
	if testing.Short() {
		seeds = 8
	}
	for seed := range seeds {
		one, score := weeks(1000+seed, 7*24*time.Hour)
		sum.brownouts += one.brownouts
		sum.announced += one.announced
		sum.early += one.early
		sum.sudden += one.sudden
		sum.foreseen += one.foreseen
		sum.told += one.told
		sum.falsely += one.falsely
		sum.lead += one.lead
		skill += score.Skill() / float64(seeds)
	}
	early := float64(sum.early) / float64(sum.brownouts)
	falsely := float64(sum.falsely) / float64(sum.told)
	t.Logf("published: prediction of brownouts: measured %.1f %% announced 30 s ahead or more, %.1f %% of %d announcements false, lead %v in the mean; %d brownouts; %d of %d sudden failures; Brier skill %.2f, reference none, target ≥ 80 %% and ≤ 10 %%",
		100*early, 100*falsely, sum.told, (sum.lead / time.Duration(max(sum.early, 1))).Round(time.Second), sum.brownouts, sum.foreseen, sum.sudden, skill)
	require.Greater(t, sum.brownouts, 10*int(seeds))
	require.GreaterOrEqual(t, early, .8)
	require.LessOrEqual(t, falsely, .1)
}

func TestPredictorEdges(t *testing.T) {
	calm := func(i int) analytics.Sign {
		return analytics.Sign{Time: epoch.Add(time.Duration(i) * step), Calls: 10, P95: time.Second}
	}
	p := analytics.NewPredictor(0)
	for i := range 1000 {
		require.Less(t, p.Observe(calm(i)), .1)
	}
	was := p.Probability()
	require.Equal(t, was, p.Observe(calm(3)), "a sign from before is left out")
	require.Equal(t, was, p.Observe(analytics.Sign{}))

	down := calm(1000)
	down.Down = true
	require.Equal(t, 1., p.Observe(down))
	require.Equal(t, 1., p.Probability())
	require.Less(t, p.Observe(calm(1001)), .1, "it is back")
	odd := calm(1002)
	odd.Calls, odd.Failures, odd.P95, odd.InFlight, odd.Capacity, odd.Queued = 1, 1, math.MaxInt64, math.MaxInt, 1, math.MaxInt
	got := p.Observe(odd)
	require.False(t, math.IsNaN(got))
	require.Less(t, got, 1., "one call says nothing")
	for i := range 5000 {
		require.False(t, math.IsNaN(p.Observe(analytics.Sign{Time: epoch.Add(time.Duration(1003+i) * step)})), "nobody calls")
	}
	s := p.Score()
	require.Greater(t, s.Known, 1000)
	require.Less(t, s.Brier(), .05)
	require.Zero(t, analytics.Score{}.Brier())
	require.Zero(t, analytics.Score{}.Skill())
}

// TestPredictorOfSignsFarApart: a failure later than the horizon was not missed.
func TestPredictorOfSignsFarApart(t *testing.T) {
	for later, failures := range map[time.Duration]int{time.Minute: 1, time.Minute + 1: 0, 20 * time.Minute: 0} {
		p := analytics.NewPredictor(time.Minute)
		p.Observe(analytics.Sign{Time: epoch, Calls: 10, P95: time.Second})
		p.Observe(analytics.Sign{Time: epoch.Add(later), Down: true})
		require.Equal(t, 1, p.Score().Known)
		require.Equal(t, failures, p.Score().Failures, later)
	}
}

// TestPredictorAfterAFailure: what has waited is done slowly, and that is no sign of the
// next failure; twenty minutes on, becoming as slow is.
func TestPredictorAfterAFailure(t *testing.T) {
	p, now := analytics.NewPredictor(0), epoch
	see := func(slower float64, down bool) float64 {
		now = now.Add(step)
		return p.Observe(analytics.Sign{Time: now, Calls: 20, P95: time.Duration(slower * 1e9), InFlight: int(4 * slower), Down: down})
	}
	calm := func(long time.Duration) {
		for range long / step {
			require.Less(t, see(1, false), .25)
		}
	}
	slows := func() (most float64) {
		for i := range 18 {
			most = max(most, see(1+float64(i)/4, false))
		}
		return most
	}
	calm(time.Hour)
	require.Greater(t, slows(), .5)
	for range 12 {
		see(5, true)
	}
	for i := range 24 {
		require.Less(t, see(5-float64(i)/6, false), .5)
	}
	calm(20 * time.Minute)
	require.Greater(t, slows(), .5)
}

// TestPredictorLearns sees a provider whose brownouts slow it down by little.
func TestPredictorLearns(t *testing.T) {
	run := func(outages int) float64 {
		p := analytics.NewPredictor(time.Minute)
		r := rand.New(rand.NewPCG(3, 3))
		now, latest := epoch, 0.
		see := func(slower float64, down bool) float64 {
			now = now.Add(step)
			return p.Observe(analytics.Sign{Time: now, Calls: 20, Down: down, P95: time.Duration(1e9 * slower * math.Exp(.02*r.NormFloat64()))})
		}
		for range outages {
			for range 200 {
				see(1, false)
			}
			for i := range 12 {
				latest = see(1+.03*float64(i), false)
			}
			for range 10 {
				see(1, true)
			}
		}
		return latest
	}
	require.Greater(t, run(60), 2*run(1))
}

func BenchmarkPredictor(b *testing.B) {
	p, at := analytics.NewPredictor(0), newProvider(1)
	signs := make([]analytics.Sign, 4096)
	for i := range signs {
		signs[i] = at.next()
	}
	i := 0
	for b.Loop() {
		s := signs[i%len(signs)]
		s.Time = epoch.Add(time.Duration(i) * step)
		p.Observe(s)
		i++
	}
}

package retry

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const ms = time.Millisecond

// settle lets p see many attempts of the same length, and steady returns a
// pacer that has.
func settle(p *pacer, took time.Duration) *pacer {
	for range 200 {
		p.observe(took, true)
	}
	return p
}

func steady(took time.Duration) *pacer { return settle(&pacer{}, took) }

func TestPacerGap(t *testing.T) {
	for name, tt := range map[string]struct {
		took []time.Duration
		want time.Duration
	}{
		"nothing measured": {nil, 0},
		"one attempt":      {[]time.Duration{40 * ms}, 40 * ms},
		"no more than one": {[]time.Duration{10 * ms, 10_000 * ms}, 10*ms + 9990*ms/8},
		"instant":          {[]time.Duration{0}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := &pacer{}
			for _, d := range tt.took {
				p.observe(d, true)
			}
			require.InDelta(t, tt.want, p.gap(), float64(time.Microsecond))
		})
	}
	require.InDelta(t, 20*ms, steady(40*ms).gap(), float64(time.Microsecond), "half of a steady attempt")
}

// A refusal is often much quicker than work: it sets the gap only until
// something has succeeded.
func TestPacerGapIgnoresQuickFailures(t *testing.T) {
	p := &pacer{}
	p.observe(5*ms, false)
	require.Equal(t, 5*ms, p.gap())
	p.observe(1*ms, false)
	require.Equal(t, 5*ms, p.gap())
	p.observe(40*ms, true)
	require.Equal(t, 40*ms, p.gap())
	p.observe(20*ms, false)
	require.Equal(t, 40*ms, p.gap())
	p.observe(40*ms, false)
	require.Equal(t, 35*ms, p.gap(), "a failure that took as long as work counts")
}

func TestPacerQueue(t *testing.T) {
	p := steady(40 * ms)
	const now = time.Minute
	for i := range 5 {
		wait, ok := p.reserve(now, time.Hour)
		require.True(t, ok)
		require.InDelta(t, time.Duration(i)*20*ms, wait, float64(time.Microsecond))
	}
	_, ok := p.reserve(now, 99*ms)
	require.False(t, ok, "a place that comes too late is refused")
	wait, ok := p.reserve(now, 101*ms)
	require.True(t, ok, "and not taken")
	require.InDelta(t, 100*ms, wait, float64(time.Microsecond))

	p.cancel()
	wait, ok = p.reserve(now, time.Hour)
	require.True(t, ok)
	require.InDelta(t, 100*ms, wait, float64(time.Microsecond), "a place given back is given out again")

	wait, ok = p.reserve(now+time.Hour, 0)
	require.True(t, ok)
	require.Zero(t, wait, "an idle pacer lets one go at once")
	for range 100 {
		p.cancel()
	}
	wait, _ = p.reserve(now+time.Hour, time.Hour)
	require.Zero(t, wait)
	wait, _ = p.reserve(now+time.Hour, time.Hour)
	require.InDelta(t, 20*ms, wait, float64(time.Microsecond), "places given back are no credit")
}

func TestPacerReset(t *testing.T) {
	p := steady(time.Minute)
	p.reserve(0, time.Hour)
	p.reserve(0, time.Hour)
	p.reset()
	for range 3 {
		wait, ok := p.reserve(0, 0)
		require.True(t, ok)
		require.Zero(t, wait)
	}
}

// However places are asked for, no two are closer than the gap.
func TestPacerConcurrent(t *testing.T) {
	p := steady(40 * ms)
	var mu sync.Mutex
	places := map[time.Duration]bool{}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 20 {
				wait, ok := p.reserve(0, time.Hour)
				mu.Lock()
				if !ok || places[wait] {
					t.Errorf("place at %v: ok %v, twice %v", wait, ok, places[wait])
				}
				places[wait] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Len(t, places, 1000)
}

package retry

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// dice are random numbers that goroutines share.
type dice struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func newDice(seed uint64) *dice { return &dice{rng: rand.New(rand.NewPCG(seed, seed))} }

func (d *dice) below1() float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.Float64()
}

func (d *dice) normal(mean, sd float64) float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return mean + sd*d.rng.NormFloat64()
}

// A row is one row under optimistic concurrency control, at the far end of a
// network whose every hop takes |N(10, 2)| ms: the experiment of "Exponential
// Backoff And Jitter" (Brooker, AWS 2015).
type row struct {
	dice *dice

	mu      sync.Mutex
	version int
	writes  int
}

func (r *row) hop() {
	time.Sleep(time.Duration(math.Abs(r.dice.normal(10, 2)) * float64(time.Millisecond)))
}

// update reads the row and writes it, which fails if someone has written it in
// between.
func (r *row) update(context.Context) (struct{}, error) {
	r.hop()
	r.mu.Lock()
	read := r.version
	r.mu.Unlock()
	r.hop()
	r.hop()
	r.mu.Lock()
	r.writes++
	ok := r.version == read
	if ok {
		r.version++
	}
	r.mu.Unlock()
	r.hop()
	if !ok {
		return struct{}{}, &resilience.Error{Kind: resilience.Overloaded}
	}
	return struct{}{}, nil
}

// contend lets clients update one row, all from the same instant, and returns
// the time until the last has succeeded and the writes, both in the mean of
// runs.
func contend(t *testing.T, clients, runs int, cfg Config) (took time.Duration, writes float64) {
	t.Helper()
	dice := newDice(42)
	for range runs {
		synctest.Test(t, func(t *testing.T) {
			p := New(cfg)
			p.random = dice.below1
			r := &row{dice: dice}
			start := time.Now()
			var wg sync.WaitGroup
			for range clients {
				wg.Go(func() {
					if _, err := Do(t.Context(), p, r.update); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			took += time.Since(start)
			writes += float64(r.writes)
			require.Equal(t, clients, r.version)
		})
	}
	return took / time.Duration(runs), writes / float64(runs)
}

func TestPublishedJitter(t *testing.T) {
	// The original's first wait is its base of 5 ms doubled.
	awsConfig := Config{Attempts: math.MaxInt, Base: 10 * ms, Max: 2 * time.Second, Budget: -1}
	with := func(jitter float64, pace bool) Config {
		cfg := awsConfig
		cfg.Jitter, cfg.Pace = jitter, pace
		if pace {
			cfg.Max = 0 // the default: it bounds the queue, too
		}
		return cfg
	}
	for _, tt := range []struct {
		name          string
		clients, runs int
		cfg           Config
		took          time.Duration // published
		writes        float64
		within        float64 // of published; 0: no more than most
		mostTook      time.Duration
		mostWrites    float64
	}{
		{"full jitter", 100, 150, with(1, false), 4912 * ms, 795, 0.05, 0, 0},
		{"full jitter", 10, 100, with(1, false), 471 * ms, 39.0, 0.10, 0, 0},
		{"full jitter", 190, 25, with(1, false), 7456 * ms, 1771, 0.10, 0, 0},
		{"equal jitter", 100, 30, with(0.5, false), 6691 * ms, 812, 0.10, 0, 0},
		{"no jitter", 100, 10, with(-1, false), 64065 * ms, 1857, 0.10, 0, 0},
		{"shared pacer", 100, 60, with(1, true), 3085 * ms, 251, 0, 3300 * ms, 260},
		{"shared pacer", 190, 20, with(1, true), 5877 * ms, 481, 0, 6270 * ms, 494},
	} {
		took, writes := contend(t, tt.clients, tt.runs, tt.cfg)
		target := fmt.Sprintf("±%.0f %%", 100*tt.within)
		if tt.within == 0 {
			target = fmt.Sprintf("≤ %d ms / ≤ %.0f calls", tt.mostTook.Milliseconds(), tt.mostWrites)
		}
		t.Logf("published: backoff contention, %d clients, %s: measured %d ms / %.0f calls, reference %d ms / %.0f calls, target %s",
			tt.clients, tt.name, took.Milliseconds(), writes, tt.took.Milliseconds(), tt.writes, target)
		if tt.within > 0 {
			require.InEpsilon(t, tt.took, took, tt.within)
			require.InEpsilon(t, tt.writes, writes, tt.within)
		} else {
			require.LessOrEqual(t, took, tt.mostTook)
			require.LessOrEqual(t, writes, tt.mostWrites)
		}
	}
}

package fallback_test

import (
	"context"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
)

// A prompt is what is drawn for a call: what each attempt takes to its first
// token.
type prompt struct {
	mu    sync.Mutex
	rand  *rand.Rand
	slow  bool // by nature
	asked int
}

const (
	stalls = 0.02 // of attempts, of which a part is the prompt's doing
	median = 0.6  // seconds
	sigma  = 0.5
)

// next is how long an attempt takes: lognormal, or 10 s to 60 s.
func (p *prompt) next(own float64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.asked == 0
	p.asked++
	if first && p.rand.Float64() < stalls {
		p.slow = p.rand.Float64() < own
		return p.stall()
	}
	if p.slow || !first && p.rand.Float64() < stalls {
		return p.stall()
	}
	return time.Duration(median * math.Exp(sigma*p.rand.NormFloat64()) * float64(time.Second))
}

func (p *prompt) stall() time.Duration {
	return time.Duration((10 + 50*p.rand.Float64()) * float64(time.Second))
}

// Streams of tokens of which 2 % stall before the first. A part of the stalls is
// the prompt's: then another model stalls as well.
func TestPublishedFirstToken(t *testing.T) {
	for _, tc := range []struct {
		name   string
		own    float64
		p99    float64 // published, of a hedge at the 95th percentile
		most   float64 // seconds
		extra  float64
		target string
	}{
		{"no stall is the prompt's", 0, 2.22, 2.3, .05, "≤ 2.3 s at ≤ 5 % more"},
		{"30 % are", .3, 2.42, 2.7, .052, "about as published"},
		{"70 % are", .7, 18.2, 21, .052, "about as published"},
		{"all are", 1, 25.3, math.Inf(1), .005, "gives up: ≤ 0.5 % more"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				open := func(ctx context.Context, p *prompt) iter.Seq2[string, error] {
					return func(yield func(string, error) bool) {
						timer := time.NewTimer(p.next(tc.own))
						defer timer.Stop()
						select {
						case <-timer.C:
							yield("token", nil)
						case <-ctx.Done():
							yield("", context.Cause(ctx))
						}
					}
				}
				pool, err := resilience.NewPool(fallback.New(fallback.Config{Strategy: fallback.Hedged}))
				require.NoError(t, err)
				c, err := resilience.NewClient(pool, resilience.BindStream("a", open), resilience.BindStream("b", open), resilience.BindStream("c", open))
				require.NoError(t, err)
				n := size(t, 1_000_000, 40_000)
				const cold, lanes = 4_000, 40
				took, attempts := make([]float64, n), make([]int, n)
				var wg sync.WaitGroup
				for lane := range lanes {
					chance := rand.New(rand.NewPCG(uint64(lane), 3))
					wg.Go(func() {
						for i := lane; i < n; i += lanes {
							p := &prompt{rand: rand.New(rand.NewPCG(chance.Uint64(), 3))}
							start := time.Now()
							s, err := c.Call(t.Context(), p)
							if err != nil {
								t.Error(err)
								return
							}
							took[i] = time.Since(start).Seconds()
							_ = s.Close()
							p.mu.Lock()
							attempts[i] = p.asked
							p.mu.Unlock()
						}
					})
				}
				wg.Wait()
				extra := 0
				for _, n := range attempts[cold:] {
					extra += n - 1
				}
				share := float64(extra) / float64(n-cold)
				took = took[cold:]
				slices.Sort(took)
				at := func(q float64) float64 { return took[int(q*float64(len(took)))] }
				t.Logf("published: FirstToken, %s: measured p50 %.2f, p99 %.2f, p99.9 %.1f s at %.2f %% more, reference p99 %.2f s at 4.98 %%, target %s",
					strings.TrimSpace(tc.name), at(.5), at(.99), at(.999), 100*share, tc.p99, tc.target)
				require.LessOrEqual(t, at(.99), tc.most)
				require.LessOrEqual(t, share, tc.extra)
			})
		})
	}
}

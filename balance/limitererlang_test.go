package balance_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
)

// limitServers is the recursion that queueing theory is about: calls and their
// ends come at random, and go to the server that is free first.
type limitServers struct {
	rng   *rand.Rand
	load  float64 // calls under way, were there no limit; the mean service takes a second
	queue bool
	free  []time.Duration // when each server is
	at    time.Duration
}

func newLimitServers(servers int, load float64, queue bool) *limitServers {
	return &limitServers{rand.New(rand.NewPCG(16, uint64(servers))), load, queue, make([]time.Duration, servers), 0}
}

// next returns when the next call comes, how long it takes, and how long it
// waits, or that it is refused.
func (s *limitServers) next() (at, took, wait time.Duration, refused bool) {
	s.at += time.Duration(s.rng.ExpFloat64() / s.load * float64(time.Second))
	took = time.Duration(s.rng.ExpFloat64() * float64(time.Second))
	first := 0
	for i, free := range s.free {
		if free < s.free[first] {
			first = i
		}
	}
	if wait = max(s.free[first]-s.at, 0); wait > 0 && !s.queue {
		return s.at, took, 0, true
	}
	s.free[first] = s.at + wait + took
	return s.at, took, wait, false
}

// A fixed limit makes each call wait as long as the recursion says, to the
// nanosecond, and the recursion does what Erlang's formulas say.
func TestPublishedErlang(t *testing.T) {
	for _, c := range []struct {
		servers int
		load    float64
		queue   bool
		part    float64 // of the calls that is refused or, with a queue, waits
		mean    float64 // wait, in service times
	}{
		{10, 8, false, 0.12166, 0},
		{100, 90, false, 0.02696, 0},
		{2, 1.6, true, 0.71111, 1.7778},
		{10, 8, true, 0.40918, 0.2046},
		{50, 45, true, 0.36386, 0.0728},
	} {
		t.Run(fmt.Sprintf("%d servers, load %v, queue %v", c.servers, c.load, c.queue), func(t *testing.T) {
			calls, total := 4_000, 2_000_000
			if *long {
				calls, total = 200_000, 10_000_000
			}
			cfg := balance.LimiterConfig{InFlight: c.servers, Wait: time.Hour, Queue: 10_000}
			if !c.queue {
				cfg.Wait = -1
			}
			limited(t, cfg, resilience.Limits{}, func(r *limitRig) {
				type call struct {
					at, took, wait time.Duration
					refused        bool
				}
				type key struct{}
				start := time.Now()
				var mu sync.Mutex
				wrong := 0
				r.do = func(ctx context.Context, _ string) (string, error) {
					call := ctx.Value(key{}).(call)
					mu.Lock()
					if time.Since(start) != call.at+call.wait || call.refused {
						wrong++
					}
					mu.Unlock()
					time.Sleep(call.took)
					return "", nil
				}
				s := newLimitServers(c.servers, c.load, c.queue)
				for range calls {
					var next call
					next.at, next.took, next.wait, next.refused = s.next()
					time.Sleep(next.at - time.Since(start))
					r.calls.Go(func() {
						_, err := r.client.Call(context.WithValue(r.Context(), key{}, next), "?")
						mu.Lock()
						defer mu.Unlock()
						if errors.Is(err, resilience.Rejected) != next.refused {
							wrong++
						}
					})
				}
				r.calls.Wait()
				require.Zero(r, wrong)
			})

			if testing.Short() {
				return
			}
			var part, mean float64
			s := newLimitServers(c.servers, c.load, c.queue)
			for range total {
				_, _, wait, refused := s.next()
				if wait > 0 || refused {
					part++
				}
				mean += wait.Seconds()
			}
			part, mean = part/float64(total), mean/float64(total)
			what := map[bool]string{false: "B, part refused", true: "C, part that waits"}[c.queue]
			t.Logf("published: Erlang %s, %d places at %v: measured %.5f, reference %.5f, target within 2 %%", what, c.servers, c.load, part, c.part)
			require.InEpsilon(t, c.part, part, 0.02)
			if c.queue {
				t.Logf("published: Erlang C, mean wait, %d places at %v: measured %.4f, reference %.4f, target within 2 %%", c.servers, c.load, mean, c.mean)
				require.InEpsilon(t, c.mean, mean, 0.02)
			}
		})
	}
}

package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/simtest"
)

// An impact is what the callers get while one model of five is down.
type impact struct {
	failed    float64 // share of the calls
	again     float64 // that took more than one attempt
	mean, p99 time.Duration
}

// statusError is an error as an SDK makes it of a response.
type statusError struct{ StatusCode int }

func (e *statusError) Error() string { return fmt.Sprintf("status %d", e.StatusCode) }

// ofFive sends 20 calls a second through features to five models of ample
// capacity, and sums up those begun in the five minutes in which one is at
// fault.
func ofFive(t *testing.T, seed uint64, fault simtest.Fault, features ...resilience.Feature) (i impact) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		const perSecond, from, until, ample = 20, time.Minute, 6 * time.Minute, 1 << 20
		var servers []*simtest.Server
		var bindings []resilience.ClientOption[struct{}, struct{}]
		for n := range uint64(5) {
			s := simtest.NewServer(5*seed+n, ample, simtest.LogNormal(service, 0.5))
			servers = append(servers, s)
			bindings = append(bindings, resilience.BindFunc(fmt.Sprintf("model-%d", n+1),
				func(ctx context.Context, _ struct{}) (struct{}, error) { return struct{}{}, s.Do(ctx) }))
		}
		pool, err := resilience.NewPool(append(features, resilience.Seed(rand.NewPCG(seed, 1)))...)
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, bindings...)
		require.NoError(t, err)
		time.AfterFunc(from, func() { servers[0].Set(fault) })

		var mu sync.Mutex
		var took []time.Duration
		failed, again := 0, 0
		simtest.Arrive(t.Context(), seed, perSecond, until, func(at time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			start := time.Now()
			_, report, err := client.Do(ctx, struct{}{}, resilience.CallOptions{})
			if at < from {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(start))
			if err != nil {
				failed++
			}
			if len(report.Attempts) > 1 {
				again++
			}
		})
		slices.Sort(took)
		for _, d := range took {
			i.mean += d / time.Duration(len(took))
		}
		i.p99 = took[len(took)*99/100]
		i.failed = float64(failed) / float64(len(took))
		i.again = float64(again) / float64(len(took))
	})
	return i
}

// faults are the ways in which a model goes down.
var faults = []struct {
	name  string
	fault simtest.Fault
}{
	{"black hole", simtest.Fault{Hang: true}},
	{"fast 500s", simtest.Fault{Err: &statusError{500}, After: 20 * time.Millisecond}},
	{"503s", simtest.Fault{Err: &statusError{503}, After: 200 * time.Millisecond}},
	{"slow ×10", simtest.Fault{Slow: 10}},
	{"connection refused", simtest.Fault{Err: &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, After: time.Millisecond}},
}

// One model of five goes down for five minutes. What callers notice is measured
// over the whole of it, from the first call on, against the same calls while
// all is well.
func TestOneModelDown(t *testing.T) {
	seeds := 1
	if *long {
		seeds = 20
	}
	for _, tt := range []struct {
		name     string
		features func() []resilience.Feature
		survives bool
	}{
		{"one attempt", func() []resilience.Feature {
			return []resilience.Feature{resilience.Timeouts{Attempt: attemptTime}, ring()}
		}, false},
		{"fallback, breaker and retry", withRetry, true},
		{"stack", readyMade, true},
	} {
		var well []impact
		for seed := range uint64(seeds) {
			i := ofFive(t, seed+1, simtest.Fault{}, tt.features()...)
			require.Less(t, i.failed, .001)
			well = append(well, i)
		}
		for _, f := range faults {
			t.Run(tt.name+", "+f.name, func(t *testing.T) {
				if testing.Short() && !f.fault.Hang {
					t.Skip("heavy")
				}
				var failed, again, added, most, share float64
				var p99 time.Duration
				for seed, w := range well {
					i := ofFive(t, uint64(seed)+1, f.fault, tt.features()...)
					more := (i.mean - w.mean).Seconds()
					failed, most, p99 = max(failed, i.failed), max(most, more), max(p99, i.p99)
					again += i.again / float64(seeds)
					added += more / float64(seeds)
					share += more / w.mean.Seconds() / float64(seeds)
				}
				if !tt.survives {
					require.Greater(t, failed, .05)
					return
				}
				t.Logf("published: one model of five down, %s, %s: measured %.2f %% of calls failed, %.2f %% asked another model, %.0f ms (%.1f %%; worst of %d seeds %.0f ms) added, p99 %.1f s (%.1f s while all is well), "+
					"reference < 5 %% affected and < 10 %% added, target < 1 %%, < 10 %% and < 100 ms", tt.name, f.name,
					100*failed, 100*again, 1000*added, 100*share, seeds, 1000*most, p99.Seconds(), well[0].p99.Seconds())
				require.Less(t, failed, .01)
				require.Less(t, added, .1)
				require.Less(t, share, .1)
			})
		}
	}
}

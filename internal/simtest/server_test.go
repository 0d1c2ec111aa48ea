package simtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func always(d time.Duration) Law { return func(*rand.Rand) time.Duration { return d } }

// ask makes n requests at once, each a nanosecond after the one before, and
// returns when they ended.
func ask(t *testing.T, s *Server, n int, patience time.Duration) (took []time.Duration, errs []error) {
	t.Helper()
	took, errs = make([]time.Duration, n), make([]error, n)
	start := time.Now()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			time.Sleep(time.Duration(i))
			errs[i] = s.Do(ctx)
			took[i] = time.Since(start).Truncate(time.Millisecond)
		})
	}
	all.Wait()
	return took, errs
}

func TestServerQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(1, 2, always(time.Second))
		took, errs := ask(t, s, 5, time.Minute)
		require.NoError(t, errors.Join(errs...))
		require.Equal(t, []time.Duration{time.Second, time.Second, 2 * time.Second, 2 * time.Second, 3 * time.Second}, took)
		require.EqualValues(t, 5, s.Asked())
	})
}

func TestServerWorksForThoseWhoLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(1, 1, always(time.Second))
		_, errs := ask(t, s, 4, 1500*time.Millisecond)
		require.NoError(t, errs[0])
		for _, err := range errs[1:] {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		took, errs := ask(t, s, 1, time.Minute) // at 1.5 s, behind three that nobody waits for
		require.NoError(t, errs[0])
		require.Equal(t, 3500*time.Millisecond, took[0])
	})
}

func TestServerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(1, 1, always(time.Second))
		time.AfterFunc(500*time.Millisecond, func() { s.Set(Fault{Hang: true}) })
		took, errs := ask(t, s, 3, 10*time.Second)
		for i, err := range errs {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, 10*time.Second, took[i])
		}
		s.Set(Fault{})
		took, errs = ask(t, s, 1, time.Minute)
		require.NoError(t, errs[0])
		require.Equal(t, time.Second, took[0], "it starts empty")
	})
}

func TestServerLosesSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(1, 3, always(time.Second))
		s.Set(Fault{Lost: 2})
		time.AfterFunc(1500*time.Millisecond, func() { s.Set(Fault{}) })
		took, errs := ask(t, s, 5, time.Minute)
		require.NoError(t, errors.Join(errs...))
		require.Equal(t, []time.Duration{time.Second, 2 * time.Second, 2500 * time.Millisecond, 2500 * time.Millisecond, 3 * time.Second}, took)
	})
}

func TestServerFails(t *testing.T) {
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		fault  Fault
		failed int
		took   time.Duration
	}{
		"all":          {Fault{Err: broken}, 1000, 0},
		"all, late":    {Fault{Err: broken, After: 3 * time.Second}, 1000, 3 * time.Second},
		"a third":      {Fault{Err: broken, Share: 1. / 3}, 333, time.Second},
		"none, slowly": {Fault{Slow: 10}, 0, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewServer(1, 1000, always(time.Second))
				s.Set(tt.fault)
				took, errs := ask(t, s, 1000, time.Minute)
				failed := 0
				var longest time.Duration
				for i, err := range errs {
					if err != nil {
						require.ErrorIs(t, err, broken)
						failed++
					}
					longest = max(longest, took[i])
				}
				require.InDelta(t, tt.failed, failed, 45)
				require.Equal(t, tt.took, longest)
			})
		})
	}
}

func TestLaws(t *testing.T) {
	const n = 100_000
	for name, law := range map[string]Law{"exponential": Exponential(time.Second), "log-normal": LogNormal(time.Second, 0.5)} {
		var sum, squares float64
		r := rand.New(rand.NewPCG(1, 1))
		for range n {
			s := law(r).Seconds()
			sum += s
			squares += s * s
		}
		mean := sum / n
		require.InDelta(t, 1, mean, 0.02, name)
		variance := map[string]float64{"exponential": 1, "log-normal": 0.284}[name] // exp(σ²)−1
		require.InEpsilon(t, variance, squares/n-mean*mean, 0.05, name)
	}
}

func TestArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var at []time.Duration
		start := time.Now()
		Arrive(t.Context(), 1, 10, 1000*time.Second, func(d time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, d)
			require.Equal(t, d, time.Since(start))
		})
		require.InDelta(t, 10_000, len(at), 400)
		require.IsIncreasing(t, at)

		Arrive(t.Context(), 1, 1, 10*time.Second, func(time.Duration) { time.Sleep(time.Hour) })
		require.Greater(t, time.Since(start), time.Hour, "it waits for them")

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		Arrive(ctx, 1, 1, 10*time.Second, func(time.Duration) { t.Error("called") })
	})
}

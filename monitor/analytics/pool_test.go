package analytics_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor/analytics"
	"github.com/cmmv-hive/resilience/stack"
)

// A server answers eight calls at once, each in about a second; others wait. When
// too many do it breaks down, until few are left.
type server struct {
	mu      sync.Mutex
	room    chan struct{}
	waiting int
	broken  bool
	random  *rand.Rand
}

func (s *server) call(ctx context.Context, _ string) (string, error) {
	s.mu.Lock()
	s.waiting++
	s.broken = s.broken || s.waiting > 200
	broken, took := s.broken, time.Duration((.5+s.random.ExpFloat64()/2)*float64(time.Second))
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.waiting--
		s.mu.Unlock()
	}()
	if broken {
		return "", resilience.Overloaded
	}
	select {
	case s.room <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { <-s.room }()
	time.Sleep(took)
	return "fine", nil
}

// telling is a feature that has the pool keep totals.
type telling struct{}

func (telling) Install(s *resilience.Setup) error {
	s.Totals()
	return nil
}

// TestPredictionOfAPool sees a model of a pool, whose load grows until it breaks down,
// and one whose load stays.
func TestPredictionOfAPool(t *testing.T) {
	const each = 8
	ahead, falsely := 0, 0
	for seed := range uint64(2 * each) {
		grows := seed%2 == 0
		synctest.Test(t, func(t *testing.T) {
			lead, told := play(t, seed, grows)
			switch {
			case grows && lead >= 30*time.Second:
				ahead++
			case !grows && told:
				falsely++
			}
		})
	}
	t.Logf("published: prediction of a pool's models: measured %d of %d announced 30 s ahead, %d of %d calm ones announced, reference none, target ≥ 80 %% and ≤ 10 %%", ahead, each, falsely, each)
	require.GreaterOrEqual(t, ahead, each*8/10)
	require.Zero(t, falsely)
}

func play(t *testing.T, seed uint64, grows bool) (lead time.Duration, told bool) {
	t.Helper()
	s := &server{room: make(chan struct{}, 8), random: rand.New(rand.NewPCG(seed, 5))}
	pool, err := resilience.NewPool(telling{}, stack.New(stack.Config{}))
	require.NoError(t, err)
	c, err := resilience.NewClient(pool, resilience.BindFunc("m", s.call))
	require.NoError(t, err)
	m := pool.Model("m")
	random := rand.New(rand.NewPCG(seed, 6))
	p := analytics.NewPredictor(5 * time.Minute)
	var before resilience.Totals
	var at time.Time // of the announcement
	start, next := time.Now(), time.Now()
	var calls sync.WaitGroup
	defer calls.Wait()
	for time.Since(start) < 25*time.Minute {
		rate := 4.
		if passed := time.Since(start) - 15*time.Minute; grows && passed > 0 {
			rate += passed.Minutes() * 2
		}
		time.Sleep(time.Duration(random.ExpFloat64() / rate * float64(time.Second)))
		calls.Go(func() { _, _ = c.Call(t.Context(), "") })
		if time.Since(next) < step {
			continue
		}
		next = time.Now()
		now, _ := m.Totals()
		stats := m.Stats(10 * time.Second)
		failures := now.Failures[resilience.Overloaded] + now.Failures[resilience.TimedOut]
		prob := p.Observe(analytics.Sign{
			Time: time.Now(), Calls: int(now.Calls - before.Calls),
			Failures: int(failures - before.Failures[resilience.Overloaded] - before.Failures[resilience.TimedOut]),
			P95:      stats.P95, InFlight: int(m.InFlight()), Capacity: int(m.Capacity()), Queued: int(m.Queued()), Down: !m.Available(),
		})
		before = now
		switch {
		case prob == 1 && !at.IsZero():
			return time.Since(at), true
		case prob == 1:
			return 0, true
		case prob >= .5 && at.IsZero():
			at, told = time.Now(), true
		}
	}
	return 0, told
}

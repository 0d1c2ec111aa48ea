package chaos_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/internal/simtest"
	"github.com/cmmv-hive/resilience/retry"
)

// A limiter refuses attempts at models that have as many in flight as a rule
// allows. It does not wait for room: what waits in front of a queue is answered
// no sooner, and keeps a server that does not notice who left from catching up.
type limiter struct {
	rule func() rule
	room resilience.PerModel[room]
}

// A rule is how many attempts may be in flight.
type rule interface {
	begins(now time.Duration, inFlight int) // before limit is asked
	limit() float64
	ended(now, took time.Duration, kind resilience.Kind, inFlight int) // inFlight is that of its beginning, itself included
}

type room struct {
	mu       sync.Mutex
	rule     rule
	inFlight int
}

func (l *limiter) Install(s *resilience.Setup) error {
	start := time.Now()
	s.Wrap(resilience.LayerLimit, func(m *resilience.Model, next resilience.Handler) resilience.Handler {
		r := l.room.Of(m)
		r.rule = l.rule()
		return func(ctx context.Context, c *resilience.Call) error {
			begun := time.Since(start)
			inFlight, ok := r.enter(begun)
			if !ok {
				return fmt.Errorf("%w: %s is full", resilience.Rejected, m)
			}
			err := next(ctx, c)
			r.leave(begun, time.Since(start), resilience.KindOf(err), inFlight)
			return err
		}
	})
	return nil
}

func (r *room) enter(now time.Duration) (inFlight int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rule.begins(now, r.inFlight)
	if float64(r.inFlight) >= math.Floor(r.rule.limit()) {
		return 0, false
	}
	r.inFlight++
	return r.inFlight, true
}

func (r *room) leave(begun, now time.Duration, kind resilience.Kind, inFlight int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight--
	if kind != resilience.Rejected {
		r.rule.ended(now, now-begun, kind, inFlight)
	}
}

// static is a limit that somebody has set.
type static float64

func (static) begins(time.Duration, int)                                {}
func (s static) limit() float64                                         { return float64(s) }
func (static) ended(time.Duration, time.Duration, resilience.Kind, int) {}

// aimd is a limit as in many libraries: one more for each limit of answers while
// it is in use, a part where one was too much.
type aimd float64

func (*aimd) begins(time.Duration, int) {}
func (a *aimd) limit() float64          { return float64(*a) }

func (a *aimd) ended(_, _ time.Duration, kind resilience.Kind, inFlight int) {
	switch kind {
	case resilience.TimedOut, resilience.Overloaded, resilience.RateLimited:
		*a = max(4, *a*.9)
	case 0:
		if aimd(2*inFlight) >= *a {
			*a += 1 / *a
		}
	}
}

// knee is a limit that nobody sets. It refuses nothing without a sign of
// trouble: answers that take longer than they did, none for long, or an attempt
// that timed out or was turned away as too much. Then the limit is the larger of
// twice what was in flight while all was well, and what the model would need for
// as many answers a second as it gave then. The second is what tells answers
// that are long from a queue: a limit must not cost throughput.
type knee struct {
	n      float64
	shrunk time.Duration // when it was last, 0 never

	recent   float64 // moving average of the time of answers
	answered time.Duration
	now      time.Duration // of the latest beginning

	minute     time.Duration // began then
	sum        float64       // of the time of its answers
	count      int
	peak, past int     // in flight while all was well, in it and the one before
	perSecond  float64 // answers while all was well
	means      [30]float64
	minutes    int
}

const (
	kneeLeast   = 8   // of what may be in flight before a limit is enforced
	kneeFloor   = 4   // of the limit
	kneeShrink  = .7  // once for the attempts that were under way
	kneeSlow    = 1.5 // times the best of the last half hour
	kneeMute    = 10  // times that
	kneeRoom    = 1.5 // times what the throughput needs
	kneeTrouble = time.Minute
)

func (k *knee) best() float64 {
	best := math.Inf(1)
	for _, mean := range k.means {
		if mean > 0 {
			best = min(best, mean)
		}
	}
	return best
}

func (k *knee) well() bool      { return k.recent <= kneeSlow*k.best() }
func (k *knee) signalled() bool { return k.shrunk > 0 && k.now-k.shrunk < kneeTrouble }

func (k *knee) begins(now time.Duration, inFlight int) {
	k.now = now
	if inFlight == 0 {
		if now-k.answered > time.Minute {
			k.recent = 0 // long ago
		}
		k.answered = now
	}
}

func (k *knee) limit() float64 {
	n := max(k.n, kneeLeast)
	switch mute := float64(k.now-k.answered) > kneeMute*k.best(); {
	case k.signalled():
		return k.n
	case !k.well():
		return max(n, kneeRoom*k.perSecond*k.recent/float64(time.Second))
	case mute:
		return n
	default:
		return math.Inf(1)
	}
}

func (k *knee) ended(now, took time.Duration, kind resilience.Kind, inFlight int) {
	k.now = now
	if k.well() {
		k.peak = max(k.peak, inFlight)
	}
	if now-k.minute >= time.Minute {
		k.turn(now)
	}
	used := k.minutes > 0 && float64(2*inFlight) >= k.n
	switch kind {
	case resilience.TimedOut, resilience.Overloaded, resilience.RateLimited:
		if (used || kind != resilience.TimedOut) && now-took >= k.shrunk {
			k.n, k.shrunk = max(kneeFloor, min(max(k.n, kneeLeast), float64(inFlight))*kneeShrink), now
		}
	case 0:
		k.answered = now
		k.sum += float64(took)
		k.count++
		if k.recent == 0 {
			k.recent = float64(took)
		}
		k.recent += (float64(took) - k.recent) * .1
		switch {
		case !used:
		case k.well():
			k.n++
		default:
			k.n += 1 / k.n
		}
	}
}

func (k *knee) turn(now time.Duration) {
	if k.well() {
		k.perSecond = max(float64(k.count)/(now-k.minute).Seconds(), .8*k.perSecond)
	}
	if k.count >= 10 {
		k.means[k.minutes%len(k.means)] = k.sum / float64(k.count)
		k.minutes++
	}
	if k.shrunk == 0 || now-k.shrunk > 5*time.Minute {
		k.n = max(kneeLeast, 2*float64(max(k.peak, k.past)), .9*k.n)
	}
	k.minute, k.sum, k.count, k.past, k.peak = now, 0, 0, k.peak, 0
}

func leastBusy(_ *resilience.Call, from resilience.Candidates) (best *resilience.Model) {
	for i := range from.Len() {
		if m := from.At(i); m != nil && (best == nil || m.InFlight() < best.InFlight()) {
			best = m
		}
	}
	return best
}

func twoChoices(_ *resilience.Call, from resilience.Candidates) *resilience.Model {
	a, b := from.Two()
	if b != nil && b.InFlight() < a.InFlight() {
		return b
	}
	return a
}

func limited(p picker, r func() rule) func() []resilience.Feature {
	return func() []resilience.Feature {
		return []resilience.Feature{
			resilience.Timeouts{Call: -1, Attempt: attemptTime}, fallback.New(fallback.Config{}), p,
			breaker.New(breaker.Config{MaxOpenFor: 30 * time.Second}), retry.New(retry.Config{}), &limiter{rule: r},
		}
	}
}

func kneeRule() rule { return &knee{n: kneeLeast} }

func TestLimiterPrototypeInOutage(t *testing.T) {
	for _, tt := range []struct {
		name     string
		features func() []resilience.Feature
		survives bool
	}{
		{"cap of 24, least busy", limited(leastBusy, func() rule { return static(24) }), false},
		{"AIMD from 20, two choices", limited(twoChoices, func() rule { a := aimd(20); return &a }), false},
		{"knee, two choices", limited(twoChoices, kneeRule), true},
	} {
		for _, perSecond := range []float64{14, 18} {
			t.Run(fmt.Sprintf("%s at %.0f", tt.name, perSecond), func(t *testing.T) {
				if !*long && (!tt.survives || testing.Short()) {
					t.Skip("heavy; -long runs all of it")
				}
				all := outages(t, 2, perSecond, tt.features)
				t.Log(all)
				if tt.survives {
					survive(t, all)
				}
			})
		}
	}
}

// spared counts calls that features refuse though the models could answer any
// number of them: a burst, or answers that become longer.
func spared(t *testing.T, longer float64, burst int, features ...resilience.Feature) (refused, calls int64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var servers []*simtest.Server
		var bindings []resilience.ClientOption[struct{}, struct{}]
		for i := range uint64(replicas) {
			s := simtest.NewServer(i, 1<<20, simtest.LogNormal(service, 0.5))
			servers = append(servers, s)
			bindings = append(bindings, resilience.BindFunc(fmt.Sprintf("replica-%d", i+1),
				func(ctx context.Context, _ struct{}) (struct{}, error) { return struct{}{}, s.Do(ctx) }))
		}
		pool, err := resilience.NewPool(append(features, resilience.Seed(rand.NewPCG(1, 1)))...)
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, bindings...)
		require.NoError(t, err)
		var bad, all atomic.Int64
		call := func(time.Duration) {
			all.Add(1)
			if _, err := client.Call(t.Context(), struct{}{}); err != nil {
				bad.Add(1)
			}
		}
		var extra sync.WaitGroup
		time.AfterFunc(3*time.Minute, func() {
			for _, s := range servers {
				s.Set(simtest.Fault{Slow: longer})
			}
			for range burst {
				extra.Go(func() { call(0) })
			}
		})
		simtest.Arrive(t.Context(), 1, 14, 15*time.Minute, call)
		extra.Wait()
		refused, calls = bad.Load(), all.Load()
	})
	return refused, calls
}

func TestLimiterPrototypeSparesTheWell(t *testing.T) {
	if testing.Short() {
		t.Skip("heavy")
	}
	with := func(r func() rule) []resilience.Feature {
		return append([]resilience.Feature{resilience.Timeouts{}}, limited(twoChoices, r)()[1:]...)
	}
	for _, tt := range []struct {
		name   string
		longer float64
		burst  int
		most   int64
	}{
		{"a burst", 1, 500, 0},
		{"answers ×3", 3, 0, 0},
		{"answers ×6", 6, 0, 60},
		{"answers ×10", 10, 0, 250},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refused, calls := spared(t, tt.longer, tt.burst, with(kneeRule)...)
			t.Logf("%d of %d calls refused", refused, calls)
			if *long {
				fixed, _ := spared(t, tt.longer, tt.burst, with(func() rule { return static(24) })...)
				rising, _ := spared(t, tt.longer, tt.burst, with(func() rule { a := aimd(20); return &a })...)
				t.Logf("%d by a cap of 24, %d by AIMD from 20", fixed, rising)
			}
			require.LessOrEqual(t, refused, tt.most)
		})
	}
}

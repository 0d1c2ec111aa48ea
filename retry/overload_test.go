package retry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
)

// A queueing server answers in the order of arrival: 100 requests a second,
// but 20 from second 10 to second 20. Unless it is told deadlines it works on
// requests that nobody waits for any more.
type queueing struct {
	start    time.Time
	told     bool
	queue    chan *job
	over     atomic.Bool
	attempts [span]atomic.Int64 // by the second they began in
}

type job struct {
	ctx  context.Context
	done chan struct{}
}

const (
	span           = 180 // seconds of an experiment
	from, to       = 10, 20
	normal, broken = 100, 20
)

func (q *queueing) second() int { return int(time.Since(q.start) / time.Second) }

func (q *queueing) Call(ctx context.Context, _ struct{}) (struct{}, error) {
	q.attempts[min(q.second(), span-1)].Add(1)
	j := &job{ctx, make(chan struct{})}
	q.queue <- j
	select {
	case <-j.done:
		return struct{}{}, nil
	case <-ctx.Done():
		return struct{}{}, context.Cause(ctx)
	}
}

func (q *queueing) serve() {
	for j := range q.queue {
		if q.over.Load() || q.told && j.ctx.Err() != nil {
			continue
		}
		rate := normal
		if at := q.second(); at >= from && at < to {
			rate = broken
		}
		time.Sleep(time.Second / time.Duration(rate))
		close(j.done)
	}
}

// An episode is what an overload did.
type episode struct {
	recovery      int     // seconds after its end until goodput is and stays at 95 %; -1 is never
	amplification float64 // attempts a call, in the worst second
	overall       float64 // in the whole
	goodput       float64 // share of calls that succeeded in the whole
}

func (e episode) String() string {
	recovery := "never recovers"
	if e.recovery >= 0 {
		recovery = fmt.Sprintf("%d s", e.recovery)
	}
	s := fmt.Sprintf("%s, amplification %.2f", recovery, e.amplification)
	if e.goodput > 0 {
		s += fmt.Sprintf(" (%.2f in all, %.1f %% served)", e.overall, 100*e.goodput)
	}
	return s
}

// overload sends rate calls a second through features to a queueing server,
// with a client timeout of a second.
func overload(t *testing.T, rate int, told bool, features ...resilience.Feature) (e episode) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		q := &queueing{start: time.Now(), told: told, queue: make(chan *job, 1<<20)}
		client := resilience.Wrap(resilience.ModelCaller[struct{}, struct{}](q), append(features,
			resilience.Timeouts{Call: -1, Attempt: time.Second}, resilience.Seed(rand.NewPCG(1, 1)))...)
		var good [span]atomic.Int64
		var calls, serving sync.WaitGroup
		serving.Go(q.serve)
		for i := range span * rate {
			time.Sleep(time.Until(q.start.Add(time.Duration(i) * time.Second / time.Duration(rate))))
			calls.Go(func() {
				if _, err := client.Call(t.Context(), struct{}{}); err == nil && q.second() < span {
					good[q.second()].Add(1)
				}
			})
		}
		calls.Wait()
		q.over.Store(true)
		close(q.queue)
		serving.Wait()

		var attempts, served int64
		for s := range span - 1 {
			attempts += q.attempts[s].Load()
			served += good[s].Load()
			e.amplification = max(e.amplification, float64(q.attempts[s].Load())/float64(rate))
			if s >= to && float64(good[s].Load()) < 0.95*float64(rate) {
				e.recovery = s + 1 - to
			}
		}
		if e.recovery >= span-1-to {
			e.recovery = -1
		}
		e.overall = float64(attempts) / float64((span-1)*rate)
		e.goodput = float64(served) / float64((span-1)*rate)
	})
	return e
}

// What T6 of the literature on metastable failures calls an overload: a server
// that loses capacity for ten seconds. With retries that nobody limits it never
// recovers, at half of the normal load even.
func TestPublishedMetastability(t *testing.T) {
	const untold, told = false, true
	immediate := Config{Attempts: 4, Base: -1}
	unlimited := immediate
	unlimited.Budget = -1
	const never = -1
	for _, tt := range []struct {
		name          string
		cfg           Config
		breaker       *breaker.Config
		told          bool
		rate          int
		recovery      int // published
		amplification float64
		target        string
		exact         bool // about as published
	}{
		{"no retry", Config{Attempts: 1}, nil, untold, 50, 5, 1, "±1 s", true},
		{"no retry", Config{Attempts: 1}, nil, untold, 90, 61, 1, "±1 s", true},
		{"3 retries, no budget", unlimited, nil, untold, 50, never, 4, "never, 4.00", true},
		{"3 retries, 10 % a success", immediate, nil, untold, 50, 5, 1.2, "±1 s", true},
		{"3 retries, 10 % a success", immediate, nil, untold, 90, 62, 1.2, "±1 s", true},
		{"3 retries, 10 % a success, deadline told", immediate, nil, told, 90, 0, 1.2, "±1 s", true},

		{"defaults, deadline told", Config{}, nil, told, 50, 0, 1.2, "≤ 6 s, ≤ 1.2", false},
		{"defaults, deadline told", Config{}, nil, told, 70, 0, 1.2, "≤ 6 s, ≤ 1.2", false},
		{"defaults, deadline told", Config{}, nil, told, 80, 0, 1.2, "≤ 6 s, ≤ 1.2", false},
		{"defaults, deadline told", Config{}, nil, told, 90, 0, 1.2, "≤ 6 s, ≤ 1.2", false},

		// The server works on what was given up, so only refusing helps.
		{"defaults, breaker", Config{}, quickBreaker(), untold, 50, 6, 1.22, "≤ 6 s, ≤ 1.2", false},
		{"defaults, breaker", Config{}, quickBreaker(), untold, 90, 5, 1.22, "≤ 6 s, ≤ 1.2", false},
		{"defaults, breaker, deadline told", Config{}, quickBreaker(), told, 90, 4, 1.2, "≤ 6 s, ≤ 1.2", false},
	} {
		features := []resilience.Feature{New(tt.cfg)}
		if tt.breaker != nil {
			features = append(features, breaker.New(*tt.breaker))
		}
		e := overload(t, tt.rate, tt.told, features...)
		published := episode{recovery: tt.recovery, amplification: tt.amplification}
		t.Logf("published: metastability at λ = %d, %s: measured %v, reference %v, target %s", tt.rate, tt.name, e, published, tt.target)
		switch {
		case tt.exact && tt.recovery == never:
			require.Equal(t, never, e.recovery)
			require.InDelta(t, tt.amplification, e.amplification, 0.05)
		case tt.exact:
			require.InDelta(t, tt.recovery, e.recovery, 1)
			require.LessOrEqual(t, e.amplification, tt.amplification+0.005)
		default:
			require.GreaterOrEqual(t, e.recovery, 0)
			require.LessOrEqual(t, e.recovery, 6)
			require.LessOrEqual(t, e.amplification, 1.2)
		}
	}
	e := overload(t, 90, untold, New(Config{}), breaker.New(breaker.Config{}))
	t.Logf("metastability at λ = 90, defaults, default breaker: %v", e)
	require.GreaterOrEqual(t, e.recovery, 0)
	require.LessOrEqual(t, e.recovery, 20, "it opens for 15 s")
}

// quickBreaker opens at 50 % of 20 calls, for 5 s, as the published one does.
func quickBreaker() *breaker.Config {
	return &breaker.Config{
		FailureRate: 0.5, MinCalls: 20, Consecutive: -1, Window: 5 * time.Second,
		OpenFor: 5 * time.Second, MaxOpenFor: 5 * time.Second,
	}
}

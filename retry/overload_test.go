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
	return fmt.Sprintf("%s, amplification %.2f in the worst second and %.2f in all, %.1f %% served",
		recovery, e.amplification, e.overall, 100*e.goodput)
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

func TestPublishedMetastability(t *testing.T) {
	immediate := Config{Attempts: 4, Base: -1}
	unlimited := immediate
	unlimited.Budget = -1
	quick := breaker.Config{FailureRate: 0.5, MinCalls: 20, Consecutive: -1, Window: 5 * time.Second, OpenFor: 5 * time.Second, MaxOpenFor: 5 * time.Second}
	for _, tt := range []struct {
		name string
		told bool
		f    []resilience.Feature
	}{
		{"none", false, []resilience.Feature{New(Config{Attempts: 1})}},
		{"3 unlimited", false, []resilience.Feature{New(unlimited)}},
		{"3 immediate budget", false, []resilience.Feature{New(immediate)}},
		{"3 immediate budget told", true, []resilience.Feature{New(immediate)}},
		{"default", false, []resilience.Feature{New(Config{})}},
		{"default told", true, []resilience.Feature{New(Config{})}},
		{"default breaker", false, []resilience.Feature{New(Config{}), breaker.New(quick)}},
		{"default default breaker", false, []resilience.Feature{New(Config{}), breaker.New(breaker.Config{})}},
		{"default breaker told", true, []resilience.Feature{New(Config{}), breaker.New(quick)}},
	} {
		start := time.Now()
		t.Log(tt.name, overload(t, 90, tt.told, tt.f...), time.Since(start))
	}
	require.True(t, true)
}

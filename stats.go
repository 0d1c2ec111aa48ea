package resilience

import (
	"time"

	"github.com/cmmv-hive/resilience/internal/window"
)

// CallStats sums up the attempts that ended within a window.
type CallStats struct {
	Calls     int64 // all but those that the caller canceled
	Failures  int64 // that speak against the model
	Throttled int64 // RateLimited
	Malformed int64 // whose answer was no good, also if that has another kind; they are among Calls
	Canceled  int64 // by the caller, with streams and bodies that were left before their end
	P50, P95  time.Duration
	P99       time.Duration // of successes and failures alike
	ErrorRate float64       // Failures / Calls, 0 without calls
	PerSecond float64       // Calls per second of the window
	PerToken  time.Duration // of answers whose tokens are known: their time by token, of streams from the first chunk on; 0 without any
	Streams   int64         // of Calls; their time in P50, P95 and P99 is that until the first chunk
	Usage     Usage
	Cost      float64 // US dollars
}

// What stats count.
const (
	countCalls = iota
	countFailures
	countThrottled
	countCanceled
	countMalformed
	countInput
	countCached
	countWrite
	countOutput
	countReasoning
	countNanos // of a dollar
	countStreams
	countTook   // nanoseconds of answers whose tokens are known,
	countTokens // and these
	counters
)

const (
	statsBucket = 10 * time.Second
	statsWindow = 5 * time.Minute
)

// stats are a model's attempts over five minutes. They are lock-free.
type stats struct {
	counts *window.Counts
	spread window.Histogram
}

func newStats() *stats {
	return &stats{
		counts: window.NewCounts(int64(statsBucket), int(statsWindow/statsBucket), counters),
	}
}

// record counts an attempt that ended at now after took, which is negative if it says
// nothing.
func (m *Model) record(now, took int64, k Kind, against, repels, stream bool) {
	s := m.stats
	if k != 0 && m.totals != nil {
		m.totals.failures[k].Add(1)
	}
	if k == Canceled {
		s.counts.Add(now, countCanceled, 1)
		return
	}
	s.counts.Add(now, countCalls, 1)
	if stream {
		s.counts.Add(now, countStreams, 1)
	}
	switch {
	case against:
		s.counts.Add(now, countFailures, 1)
	case k == RateLimited:
		s.counts.Add(now, countThrottled, 1)
	}
	if took >= 0 {
		s.spread.Add(now, took)
		m.average.Observe(now, took)
	}
	m.errors.Observe(now, repels)
}

// atLeast takes in an attempt that would have taken longer.
func (m *Model) atLeast(now, took int64) {
	if took > m.average.Value(now) {
		m.average.Observe(now, took)
	}
}

// spend counts what an attempt used.
func (s *stats) spend(now int64, u Usage, dollars float64) {
	s.counts.Add(now, countInput, u.Input)
	s.counts.Add(now, countCached, u.CachedInput)
	s.counts.Add(now, countWrite, u.CacheWrite)
	s.counts.Add(now, countOutput, u.Output)
	s.counts.Add(now, countReasoning, u.Reasoning)
	s.counts.Add(now, countNanos, nanos(dollars))
}

// pace counts how long an answer took, and its tokens.
func (s *stats) pace(now, took, tokens int64) {
	s.counts.Add(now, countTook, took)
	s.counts.Add(now, countTokens, tokens)
}

func (s *stats) sum(now int64, over time.Duration) CallStats {
	over = min(max(over, 0), statsWindow)
	over = (over + statsBucket - 1) / statsBucket * statsBucket
	if over == 0 {
		return CallStats{}
	}
	n := s.counts.Sum(now, int64(over), countThrottled, countFailures, countCalls, countCanceled,
		countInput, countCached, countWrite, countOutput, countReasoning, countNanos, countMalformed, countStreams, countTook, countTokens)
	q := s.spread.Quantiles(now, int64(over), 0.50, 0.95, 0.99)
	c := CallStats{
		Throttled: n[0], Failures: n[1], Calls: n[2], Canceled: n[3],
		P50: time.Duration(q[0]), P95: time.Duration(q[1]), P99: time.Duration(q[2]),
		Usage: Usage{n[4], n[5], n[6], n[7], n[8]}, Cost: float64(n[9]) / 1e9, Malformed: n[10], Streams: n[11],
	}
	if n[13] > 0 {
		c.PerToken = time.Duration(n[12] / n[13])
	}
	if c.Calls > 0 {
		c.ErrorRate = float64(c.Failures) / float64(c.Calls)
		c.PerSecond = float64(c.Calls) / over.Seconds()
	}
	return c
}

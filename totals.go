package resilience

import (
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience/internal/window"
)

// Totals are what a model has done since it came into the pool. They grow only. For
// feature authors.
type Totals struct {
	Calls    int64             // attempts that ended, but for those that the caller canceled
	Failures map[Kind]int64    // of attempts, those that the caller canceled too
	Took     Distribution      // of Calls, of streams to their end; not while the machine slept
	First    Distribution      // of those that were streams: until the first meaningful chunk
	PerToken Distribution      // of streams whose tokens are known: between tokens
	Input    TokenDistribution // of attempts whose tokens are known
	Output   TokenDistribution // likewise
	Usage    Usage             // of all attempts
	Cost     float64           // US dollars
	Streams  int64             // that began
	Open     int64             // streams that go on; alone goes down as well
	Broken   int64             // streams that failed after they began
}

// A Distribution counts durations. Its buckets are those of package internal/window:
// eight to an octave from 1.05 ms to 20.6 minutes.
type Distribution struct{ counts [window.Buckets]int64 }

// Count is how many durations there are.
func (d *Distribution) Count() (n int64) {
	for _, c := range d.counts {
		n += c
	}
	return n
}

// Sum adds them up, each taken for the middle of its bucket: it is off by less than
// a fifteenth, and by less than 1 % where they are spread over several buckets.
func (d *Distribution) Sum() (sum time.Duration) {
	for middle, n := range d.All() {
		sum += middle * time.Duration(n)
	}
	return sum
}

// Add adds what is in other to d.
func (d *Distribution) Add(other *Distribution) {
	for i, n := range other.counts {
		d.counts[i] += n
	}
}

// All returns the buckets that are not empty, in ascending order: the middle of each,
// and its count.
func (d *Distribution) All() iter.Seq2[time.Duration, int64] {
	return func(yield func(time.Duration, int64) bool) {
		for i, n := range d.counts {
			if n > 0 && !yield(time.Duration(window.Middle(i)), n) {
				return
			}
		}
	}
}

// tokenBuckets is how many powers of four a [TokenDistribution] has.
const tokenBuckets = 15

// A TokenDistribution counts attempts by their tokens: those of the bucket i have at
// most 4^i of them and more than 4^(i−1), and those of the last any number above.
type TokenDistribution [tokenBuckets]int64

type tokenCounter [tokenBuckets]atomic.Int64

func (c *tokenCounter) add(n int64) {
	if n > 0 {
		i := 0
		for most := int64(1); n > most && i < tokenBuckets-1; most *= 4 {
			i++
		}
		c[i].Add(1)
	}
}

func (c *tokenCounter) read() (d TokenDistribution) {
	for i := range c {
		d[i] = c[i].Load()
	}
	return d
}

// totals is what [Totals] needs beside the stats of the last minutes, which keep what
// leaves them. An answer that is no stream adds nothing to it.
type totals struct {
	failures       [int(Unknown) + 1]atomic.Int64
	first          window.Tally
	whole          window.Tally // of streams
	perToken       window.Tally
	input, output  tokenCounter
	opened, closed atomic.Int64 // streams
	broken         atomic.Int64

	mu   sync.Mutex // of told, the most that was told: what is summed up while calls end may be short
	told struct {
		counts [counters]int64
		took   window.Tally
	}
}

// Totals returns m's totals, if a feature has asked for them by [Setup.Totals].
func (m *Model) Totals() (t Totals, ok bool) {
	s := m.totals
	if s == nil {
		return Totals{}, false
	}
	n, took := m.sums()
	t.Took = took
	t.Calls, t.Cost = n[countCalls], float64(n[countNanos])/1e9
	t.Usage = Usage{n[countInput], n[countCached], n[countWrite], n[countOutput], n[countReasoning]}
	t.Failures = map[Kind]int64{}
	for k := range s.failures {
		if n := s.failures[k].Load(); n > 0 {
			t.Failures[Kind(k)] = n
		}
	}
	t.First, t.PerToken = Distribution{s.first.Counts()}, Distribution{s.perToken.Counts()}
	t.Input, t.Output = s.input.read(), s.output.read()
	t.Broken = s.broken.Load()
	closed := s.closed.Load()
	t.Streams = s.opened.Load()
	t.Open = t.Streams - closed
	return t, true
}

// sums returns the totals of m's stats, and how long attempts took.
func (m *Model) sums() (counts [counters]int64, took Distribution) {
	s := m.totals
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, n := range m.stats.counts.Totals() {
		s.told.counts[i] = max(s.told.counts[i], n)
	}
	took.counts = m.stats.spread.Totals() // of streams, times to the first chunk; before first, to which they come before
	first, whole := s.first.Counts(), s.whole.Counts()
	for i := range took.counts {
		took.counts[i] += whole[i] - first[i]
	}
	s.told.took.Raise(&took.counts)
	return s.told.counts, took
}

// ended takes in an attempt that brought a stream and is over. Tokens is 0 if they are
// not known.
func (s *totals) ended(k Kind, whole, first, tokens int64, awake bool) {
	s.closed.Add(1)
	if k != 0 && k != Canceled {
		s.broken.Add(1)
	}
	if !awake || k == Canceled {
		return
	}
	s.whole.Add(whole)
	s.first.Add(first)
	if k == 0 && tokens > 1 {
		s.perToken.Add((whole - first) / (tokens - 1))
	}
}

// A Metric is a number, or several, that a feature tells of itself. For feature
// authors.
type Metric struct {
	// Name ends in _total if the numbers only grow, and begins without a prefix.
	// Help is a sentence.
	Name, Help string

	// Model says that each number is of a model, and Label, if it is not empty,
	// what else tells one from another.
	Model bool
	Label string

	// Read calls tell for each number there is. It may be called at any time, by
	// several goroutines.
	Read func(tell func(Sample))
}

// A Sample is one number of a [Metric].
type Sample struct {
	Model *Model
	Label string // its value, of a closed set
	Value float64
}

// Metrics returns what the pool's features tell of themselves. For feature authors.
func (p *Pool) Metrics() []Metric { return p.metrics }

// Ended counts the calls that are over, but for those that went past a bypassed
// library. For feature authors.
func (p *Pool) Ended() int64 { return p.open.Load() >> openBits }

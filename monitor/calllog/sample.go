package calllog

import (
	"hash/fnv"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
)

// sorts is how many sorts of calls are told apart.
const sorts = 256

// sample decides which calls have a line: a token bucket for each sort of them.
// Its zero value is full.
type sample struct{ buckets [sorts]bucket }

type bucket struct {
	mu       sync.Mutex
	spent    float64 // lines, since they were last paid back
	at       int64
	unlogged uint64 // calls since the last line
}

// take reports whether a call that ends at now has a line, and how many of its sort
// had none before it.
func (s *sample) take(cfg *Config, now int64, op string, kind resilience.Kind, at *resilience.Model) (pass bool, before uint64) {
	b := s.of(op, kind, at)
	b.mu.Lock()
	defer b.mu.Unlock()
	if cfg.PerMinute > 0 {
		back := float64(max(now-b.at, 0)) * float64(cfg.PerMinute) / float64(time.Minute)
		b.spent, b.at = max(b.spent-back, 0), max(now, b.at)
		if b.spent+1 > float64(cfg.Burst) {
			b.unlogged++
			return false, 0
		}
		b.spent++
	}
	before, b.unlogged = b.unlogged, 0
	return true, before
}

// left returns how many calls had no line since it was asked last, or their sort had
// one.
func (s *sample) left() (n uint64) {
	for i := range s.buckets {
		b := &s.buckets[i]
		b.mu.Lock()
		n += b.unlogged
		b.unlogged = 0
		b.mu.Unlock()
	}
	return n
}

func (s *sample) of(op string, kind resilience.Kind, at *resilience.Model) *bucket {
	h := fnv.New32a()
	_, _ = h.Write([]byte(op))
	_, _ = h.Write([]byte{byte(kind)})
	if at != nil {
		_, _ = h.Write([]byte(at.ID()))
	}
	return &s.buckets[h.Sum32()%sorts]
}

package history

import (
	"sync"
	"time"
)

// levelNames are those of degradation.
var levelNames = [...]string{"none", "minimal", "moderate", "severe", "emergency"}

// A level follows how degraded the pool is.
type level struct {
	mu       sync.Mutex
	now      int64
	most     int64 // since it was taken last
	at       int64
	degraded int64 // nanoseconds since then
}

func (l *level) change(now int64, to string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.advance(now)
	for i, name := range levelNames {
		if name == to {
			l.now = int64(i)
		}
	}
	l.most = max(l.most, l.now)
}

func (l *level) advance(now int64) {
	if l.now > 0 {
		l.degraded += max(now-l.at, 0)
	}
	l.at = max(l.at, now)
}

// begin makes now the instant from which on levels count.
func (l *level) begin(now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at, l.degraded, l.most = now, 0, l.now
}

// take returns the highest level since it was called last, and for how many
// milliseconds there was one, but for those that the process slept.
func (l *level) take(now, slept int64) (most, degraded int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.advance(now)
	most, degraded = l.most, max(l.degraded-slept, 0)/int64(time.Millisecond)
	l.most, l.degraded = l.now, 0
	return most, degraded
}

package resilience

import (
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience/internal/mutants"
)

const (
	pulse     = 500 * time.Millisecond
	overslept = time.Second // that a pulse is late, or the process slept
)

// A vigil notices that the process does not run for a while: that it, its container
// or its machine was stopped, or got no processor. The timers of all that was under
// way are over then at once, and connections broken that peers gave up.
type vigil struct {
	beat     atomic.Int64 // when the latest pulse came; 0 while nothing has one
	from, to atomic.Int64 // the latest sleep
}

func (v *vigil) pulse(now int64) {
	if last := v.beat.Swap(now); last != 0 && time.Duration(now-last) > pulse+overslept {
		v.from.Store(last)
		v.to.Store(now)
	}
}

// slept returns how long the process was not running of the time since.
func (v *vigil) slept(since, now int64) (d time.Duration) {
	to := v.to.Load()
	d = time.Duration(max(0, to-max(since, v.from.Load())))
	if beat := v.beat.Load(); beat != 0 && time.Duration(now-beat) > pulse+overslept {
		d += time.Duration(now - max(since, beat))
	}
	return d
}

// asleep returns how long the process slept of the time since, if that was a quarter
// or more of it, and 0 otherwise.
func (v *vigil) asleep(since, now int64) time.Duration {
	if d := v.slept(since, now); 4*d >= time.Duration(now-since) && !mutants.On("attempt-blames-models-for-a-process-that-slept") {
		return d
	}
	return 0
}

// Asleep returns how long this process was not running since an instant of the pool's
// clock, as when it was stopped, if that was a second or more and a quarter of the
// time or more; 0 otherwise, and while [Pool.Run] does not run. What took that long,
// or came to nothing by a timeout or a broken connection, is then not the model's
// doing. For feature authors.
func (p *Pool) Asleep(since time.Duration) time.Duration { return p.asleep(int64(since), p.now()) }

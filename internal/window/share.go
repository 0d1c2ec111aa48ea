package window

import "sync/atomic"

// Share is a moving average of yes and no: each observation moves it by a tenth
// of the way, and it falls by e^(−Δt/10 s) besides, so that what failed once is
// tried again. The zero value is ready to use. While all is well it is not
// written to.
type Share struct {
	state atomic.Uint64 // tick<<valueBits | value, as in an EWMA
}

const shareStep = 0.1

// Observe takes in one observation.
func (s *Share) Observe(now int64, yes bool) {
	tick := uint64(now) >> tickBits
	for {
		old := s.state.Load()
		if old == 0 && !yes {
			return
		}
		last, x := old>>valueBits, unpack(old&(1<<valueBits-1))
		if tick > last {
			x *= decay(tick - last)
		}
		x -= x * shareStep
		if yes {
			x += shareStep
		}
		next := uint64(0)
		if x >= 1e-3 {
			next = max(tick, last)<<valueBits | pack(x)
		}
		if s.state.CompareAndSwap(old, next) {
			return
		}
	}
}

// Value returns the share as of now, from 0 to 1.
func (s *Share) Value(now int64) float64 {
	state := s.state.Load()
	if state == 0 {
		return 0
	}
	x := unpack(state & (1<<valueBits - 1))
	if tick, last := uint64(now)>>tickBits, state>>valueBits; tick > last {
		x *= decay(tick - last)
	}
	return x
}

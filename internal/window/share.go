package window

import (
	"math"
	"sync/atomic"
)

// Share is a moving average of yes and no: each observation moves it by a tenth
// of the way, and it falls by e^(−Δt/10 s) besides, so that what failed once is
// tried again. The zero value is ready to use. While all is well it is not
// written to.
type Share struct {
	state atomic.Uint64 // tick<<32 | bits of a float32
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
		last := old >> 32
		x := float64(math.Float32frombits(uint32(old)))
		if tick > last {
			x *= decay(tick - last)
		}
		x -= x * shareStep
		if yes {
			x += shareStep
		}
		next := uint64(0)
		if x >= 1e-3 {
			next = max(tick, last)<<32 | uint64(math.Float32bits(float32(x)))
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
	x := float64(math.Float32frombits(uint32(state)))
	if tick, last := uint64(now)>>tickBits, state>>32; tick > last {
		x *= decay(tick - last)
	}
	return x
}

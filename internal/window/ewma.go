package window

import (
	"math"
	"sync/atomic"
)

const (
	tau       = 10_000_000_000 // ns
	tickBits  = 24             // a tick is 2^24 ns
	valueBits = 25             // what is left of 64 beside the tick of any instant
	dropBits  = 31 - valueBits // of a float32, which has no use for its sign here
)

// EWMA is the peak-sensitive moving average of Finagle's PeakEwma balancer: it
// jumps to a sample that is larger, moves towards one that is smaller, and
// decays by e^(−Δt/10 s), also while nothing is observed, so that a model once
// slow is tried again. The zero value is ready to use.
//
// Time goes in ticks of 16.8 ms, which is off by 0.17 % at most; of the samples
// in one tick, the first and those above the average count. A value is kept to
// 4 in a million.
type EWMA struct {
	state atomic.Uint64 // tick<<valueBits | value
}

// Observe takes in a latency in nanoseconds. A negative d counts as 0, one above
// 2^62 as 2^62.
func (e *EWMA) Observe(now, d int64) {
	tick, sample := uint64(now)>>tickBits, pack(float64(min(max(d, 0), 1<<62)))
	for {
		old := e.state.Load()
		last, value := old>>valueBits, old&(1<<valueBits-1)
		next := sample // positive floats sort as their bits do
		if sample <= value {
			if tick <= last {
				return
			}
			x := unpack(sample)
			next = pack(x + (unpack(value)-x)*decay(tick-last))
		}
		if e.state.CompareAndSwap(old, max(tick, last)<<valueBits|next) {
			return
		}
	}
}

// Value returns the average as of now, in nanoseconds: 0 before the first
// sample and long after the last.
func (e *EWMA) Value(now int64) int64 {
	state := e.state.Load()
	value := unpack(state & (1<<valueBits - 1))
	if tick, last := uint64(now)>>tickBits, state>>valueBits; tick > last {
		value *= decay(tick - last)
	}
	return int64(value)
}

// Last returns the average as of the latest sample, and how long before now, to
// a tick, that was.
func (e *EWMA) Last(now int64) (d, age int64) {
	state := e.state.Load()
	if tick, last := uint64(now)>>tickBits, state>>valueBits; tick > last {
		age = int64(tick-last) << tickBits
	}
	return int64(unpack(state & (1<<valueBits - 1))), age
}

// decay approximates e^(−ticks/τ) = 2^−(i+f): 2^−i is a float's exponent, and
// 2^−f the Taylor polynomial of e^−z, off by 3e-5 at most and by nothing at 0,
// so that many short steps do not add up to another τ. math.Exp costs three
// times as much, and a balancer asks for two values a pick.
func decay(ticks uint64) float64 {
	y := float64(ticks) * (float64(1<<tickBits) / tau * math.Log2E)
	if y > 1000 {
		return 0
	}
	i := uint64(y)
	z := (y - float64(i)) * math.Ln2
	p := 1 - z*(1-z*(1./2-z*(1./6-z*(1./24-z*(1./120-z/720)))))
	return p * math.Float64frombits((1023-i)<<52)
}

func pack(x float64) uint64 {
	return uint64((math.Float32bits(float32(x)) + 1<<(dropBits-1)) >> dropBits)
}

func unpack(v uint64) float64 {
	return float64(math.Float32frombits(uint32(v) << dropBits))
}

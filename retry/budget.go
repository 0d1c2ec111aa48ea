package retry

import (
	"sync/atomic"
	"time"
)

const (
	// burst is how many retries a full budget holds.
	burst = 10

	// leastRatio keeps a full budget, in time, far from overflow.
	leastRatio = 1e-6
)

// budget is a token bucket that successes fill and retries empty, as in the
// AWS SDKs and gRPC. While everything fails nothing comes in, whatever the
// load; that is why it recovers from an overload where budgets that count
// requests or concurrency do not.
//
// Time counts as one success a second, so that a service with a call a minute
// can retry at all. At λ calls a second that all fail, ratio/λ of them are
// retried: at most 1.1 attempts a call from one call a second on.
//
// The level is kept as an instant: what is in the bucket is the time since
// spent. A success moves spent one second into the past, a retry 1/ratio
// seconds into the future, and nothing reaches further back than the burst. It
// takes no lock, and no write while it is full.
type budget struct {
	spent atomic.Int64 // on the clock that take is given
	full  atomic.Int64 // not after this instant spent is surely full
}

// newBudget returns a full budget.
func newBudget(now time.Duration, ratio float64) *budget {
	b := &budget{}
	b.reset(now, ratio)
	return b
}

// reset fills b.
func (b *budget) reset(now time.Duration, ratio float64) {
	full := int64(now - burst*price(ratio))
	b.full.Store(full)
	b.spent.Store(full)
}

// price is what a retry costs, in time.
func price(ratio float64) time.Duration {
	return time.Duration(float64(time.Second) / max(ratio, leastRatio))
}

// deposit pays in a success.
func (b *budget) deposit() {
	if b.spent.Load() > b.full.Load() {
		b.spent.Add(-int64(time.Second))
	}
}

// left is how many retries b pays for now.
func (b *budget) left(now time.Duration, ratio float64) float64 {
	saved := min(now-time.Duration(b.spent.Load()), burst*price(ratio))
	return max(float64(saved)/float64(price(ratio)), 0)
}

// take pays for a retry, and reports whether there was enough. A negative
// ratio means that retries are free.
func (b *budget) take(now time.Duration, ratio float64) bool {
	return b.pay(now, ratio, price(ratio), 0)
}

// move pays for a move to another model, as much as a success pays in: where
// each call is saved by one move, they pay for themselves. It loads what is
// well, so it may overdraw, and retries alone never keep a call from it.
func (b *budget) move(now time.Duration, ratio float64) bool {
	return b.pay(now, ratio, time.Second, burst*price(ratio))
}

func (b *budget) pay(now time.Duration, ratio float64, amount, overdraft time.Duration) bool {
	if ratio < 0 {
		return true
	}
	cost := int64(amount)
	full := int64(now - burst*price(ratio))
	b.full.Store(full)
	for {
		spent := b.spent.Load()
		after := max(spent, full) + cost
		if after > int64(now+overdraft) {
			return false
		}
		if b.spent.CompareAndSwap(spent, after) {
			return true
		}
	}
}

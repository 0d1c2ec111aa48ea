package alert

import (
	"time"

	"sync/atomic"
)

// An Objective is how many calls are to be served. Its error budget is the others;
// a burn rate of 1 spends it within Period. Two rules watch it by the multi-window
// method of "The Site Reliability Workbook", chapter 5: "budget_burn" is critical,
// "budget_drain" a warning.
//
//	rule          long   short  budget spent  burn rate at 30 days
//	budget_burn   1 h    5 min   2 %          14.4
//	budget_burn   6 h    30 min  5 %           6
//	budget_drain  24 h   2 h    10 %           3
//	budget_drain  72 h   6 h    10 %           1
//
// Both windows must burn as fast, with MinCalls in the short one. A long window that
// begins before the process did goes by what was spent since. Calls that were left,
// that were wrong themselves, or that another budget than the pool's own refused, are
// not counted, or as served. An objective takes 10 KB.
type Objective struct {
	Target   float64       `json:"target" default:"0.99" min:"0.5" max:"0.99999" off:"no"`  // share of calls to serve
	Op       string        `json:"op,omitempty"`                                            // of the calls, "" for all
	Within   time.Duration `json:"within,omitempty" max:"24h"`                              // time in which a call is served, streams whole; 0 is any
	Period   time.Duration `json:"period" default:"720h" min:"24h" max:"2400h" off:"no"`    // of the budget
	MinCalls int           `json:"minCalls" default:"20" min:"1" max:"1000000000" off:"no"` // in the short window
	Off      bool          `json:"off,omitempty"`
}

// pairs are the windows, and what part of the budget is spent within the long one.
var pairs = [...]struct {
	long, short time.Duration
	spent       float64
	rule        string
}{
	{time.Hour, 5 * time.Minute, 0.02, budgetBurn},
	{6 * time.Hour, 30 * time.Minute, 0.05, budgetBurn},
	{24 * time.Hour, 2 * time.Hour, 0.10, budgetDrain},
	{72 * time.Hour, 6 * time.Hour, 0.10, budgetDrain},
}

// longestShort is for how long failures that are over may keep a rule broken.
func longestShort(rule string) (longest time.Duration) {
	for _, p := range pairs {
		if p.rule == rule {
			longest = max(longest, p.short)
		}
	}
	return longest
}

const (
	fineBucket   = 10 * time.Second
	fineBuckets  = 360 // an hour
	coarseBucket = 5 * time.Minute
	coarses      = 864 // three days
)

// pair counts calls of a bucket.
type pair struct{ total, bad uint32 }

// An objective is an Objective in force. Calls count; one goroutine evaluates it.
type objective struct {
	Objective

	name       string
	total, bad atomic.Int64 // since the latest turn

	fine   [fineBuckets]pair
	coarse [coarses]pair
	at     time.Duration // of the latest turn
	began  time.Duration // may be before the pool did
}

func (o *objective) count(op string, bad bool, took time.Duration) {
	if o.Op != "" && o.Op != op {
		return
	}
	o.total.Add(1)
	if bad || o.Within > 0 && took > o.Within {
		o.bad.Add(1)
	}
}

// turn puts what was counted into the buckets of now.
func (o *objective) turn(now time.Duration) {
	clearPassed(o.fine[:], o.at, now, fineBucket)
	clearPassed(o.coarse[:], o.at, now, coarseBucket)
	o.at = now
	bad := o.bad.Swap(0) // before the total, of which it is a part
	total := max(o.total.Swap(0), bad)
	for _, p := range [...]*pair{&o.fine[int(now/fineBucket)%fineBuckets], &o.coarse[int(now/coarseBucket)%coarses]} {
		p.total += uint32(min(total, 1<<31))
		p.bad += uint32(min(bad, 1<<31))
	}
}

// clearPassed empties the buckets that began since from.
func clearPassed(ring []pair, from, now, bucket time.Duration) {
	first, last := from/bucket+1, now/bucket
	for n := max(first, last-time.Duration(len(ring))+1); n <= last; n++ {
		ring[int(n)%len(ring)] = pair{}
	}
}

// sum adds up the buckets of a window that ends now.
func (o *objective) sum(window time.Duration) (total, bad float64) {
	ring, bucket := o.fine[:], fineBucket
	if window > fineBuckets*fineBucket {
		ring, bucket = o.coarse[:], coarseBucket
	}
	last := int(o.at / bucket)
	for i := range int(window / bucket) {
		p := ring[(last-i+len(ring))%len(ring)] // of before the pool's start, they are empty
		total += float64(p.total)
		bad += float64(p.bad)
	}
	return total, bad
}

// burn returns the burn rate of the pair of a rule that is nearest to its limit, or
// most beyond it, and the limit.
func (o *objective) burn(rule string) (rate, limit float64, ok bool) {
	nearest := -1.0
	for _, p := range pairs {
		if p.rule != rule {
			continue
		}
		at := p.spent * float64(o.Period) / float64(p.long)
		total, bad := o.sum(p.short)
		if total < float64(o.MinCalls) {
			continue
		}
		ok = true
		short := bad / total / (1 - o.Target)
		total, bad = o.sum(p.long)
		covered := min(1, float64(o.at-o.began)/float64(p.long))
		long := covered * bad / max(total, 1) / (1 - o.Target)
		if v := min(short, long); v/at > nearest {
			nearest, rate, limit = v/at, v, at
		}
	}
	return rate, limit, ok
}

// with returns a copy that goes on with what was counted, under other settings.
func (o *objective) with(settings Objective) *objective {
	next := &objective{Objective: settings, name: o.name, fine: o.fine, coarse: o.coarse, at: o.at, began: o.began}
	next.total.Store(o.total.Load())
	next.bad.Store(o.bad.Load())
	return next
}

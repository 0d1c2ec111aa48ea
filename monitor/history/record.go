package history

import (
	"time"

	"github.com/cmmv-hive/resilience"
)

// What a record counts. Times are in milliseconds.
const (
	atSpan   = 0                  // observed
	atHeld   = 1                  // of it, by anything
	atHeldBy = 2                  // by each HoldBy
	atKind   = atHeldBy + holders // each Kind, zero for success
	atInput  = atKind + kinds
	atCached = atInput + 1
	atWrite  = atInput + 2
	atOutput = atInput + 3

	atReasoning = atInput + 4
	atNanos     = atInput + 5 // of a dollar
	atInFlight  = atInput + 6
	atQueued    = atInput + 7
	atLevel     = atInput + 8
	atDegraded  = atInput + 9
	numbers     = atInput + 10

	kinds = int(resilience.Unknown) + 1
)

// groups are runs of numbers that are often all zero; each begins where the one
// before ends.
var groups = [...]int{atSpan, atHeld, atKind, atInput, atInFlight, numbers}

// A record is what happened in a while. The zero record is one of nothing.
type record struct {
	start int64 // in seconds since 1970
	n     [numbers]int64
	took  spread
}

func isPeak(i int) bool { return i == atInFlight || i == atQueued || i == atLevel }

func (r *record) empty() bool { return r.n == [numbers]int64{} && r.took.hi == r.took.lo }

func (r *record) reset(start int64) {
	r.start, r.n = start, [numbers]int64{}
	r.took.reset()
}

// add adds what happened in o's while.
func (r *record) add(o *record) {
	for i, v := range o.n {
		if isPeak(i) {
			r.n[i] = max(r.n[i], v)
		} else {
			r.n[i] += v
		}
	}
	r.took.add(&o.took)
}

// write writes r, which is to be long, without its start.
func (r *record) write(w *writer, long time.Duration) {
	n := r.n
	n[atSpan] -= long.Milliseconds()
	for g, from := range groups[:len(groups)-1] {
		part := n[from:groups[g+1]]
		some := false
		for _, v := range part {
			some = some || v != 0
		}
		w.bool(some)
		if !some {
			continue
		}
		for _, v := range part {
			if from == atSpan {
				w.signed(v)
			} else {
				w.number(v)
			}
		}
	}
	r.took.write(w)
}

func (r *record) read(from *reader, long time.Duration) {
	r.n = [numbers]int64{}
	for g, at := range groups[:len(groups)-1] {
		if !from.bool() {
			continue
		}
		for i := at; i < groups[g+1]; i++ {
			if at == atSpan {
				r.n[i] = from.signed()
			} else {
				r.n[i] = from.number()
			}
		}
	}
	r.n[atSpan] += long.Milliseconds()
	if r.n[atSpan] < 0 {
		from.err = errMalformed
	}
	r.took.read(from)
}

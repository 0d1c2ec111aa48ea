package history

import (
	"maps"
	"slices"
	"time"

	"github.com/cmmv-hive/resilience"
)

// A Series says whose history is meant: that of a model by its ID, the sum of all
// models of a name, or, with neither, that of the pool.
type Series struct {
	Model string `json:"model,omitempty"`
	Name  string `json:"name,omitempty"`
}

// A Row is what happened in one step of time. Of a model Calls are attempts, of the
// pool they are calls after all their attempts; times, Usage and Cost are those of
// attempts in both. Where there are several models, of the pool too, Observed, Held and
// HeldBy add up over them. In JSON durations are
// nanoseconds.
type Row struct {
	Start    time.Time     `json:"start"`
	Step     time.Duration `json:"step"`
	Observed time.Duration `json:"observed"` // of the step; less than it in a gap

	Calls    int64            `json:"calls"`    // all but those that the caller canceled
	Failures int64            `json:"failures"` // that are not the request's doing: all kinds but invalid, too_long and filtered
	Canceled int64            `json:"canceled"`
	Kinds    map[string]int64 `json:"kinds,omitempty"` // by [resilience.Kind], of Calls that have one

	P50 time.Duration `json:"p50"` // of attempts, successes and failures alike
	P95 time.Duration `json:"p95"`
	P99 time.Duration `json:"p99"`

	Usage resilience.Usage `json:"usage"`
	Cost  float64          `json:"cost"` // US dollars

	Held   time.Duration            `json:"held"`             // by anything, key holds aside
	HeldBy map[string]time.Duration `json:"heldBy,omitempty"` // by [resilience.HoldBy]; together more than Held where several did

	InFlight int64         `json:"inFlight"` // the most that was found at the same time
	Queued   int64         `json:"queued"`   // likewise
	Level    string        `json:"level,omitempty"`
	Degraded time.Duration `json:"degraded"` // how long there was a level; that is of the pool
}

// Throttled counts the failures that were limits of the provider.
func (r *Row) Throttled() int64 { return r.Kinds[resilience.RateLimited.String()] }

// Answered returns the share of Calls that did not fail, and whether there were any.
func (r *Row) Answered() (share float64, ok bool) {
	return part(r.Calls-r.Failures, r.Calls)
}

// Available returns the share of Observed that the model was not held, by hand or
// otherwise, and whether it was observed at all.
func (r *Row) Available() (share float64, ok bool) {
	return part(int64(r.Observed-r.Held), int64(r.Observed))
}

func part(n, of int64) (float64, bool) {
	if of <= 0 {
		return 0, false
	}
	return float64(n) / float64(of), true
}

const ms = time.Millisecond

// row makes a Row of a record.
func (r *record) row(step time.Duration) Row {
	out := Row{
		Start: time.Unix(r.start, 0).UTC(), Step: step, Observed: time.Duration(r.n[atSpan]) * ms,
		Canceled: r.n[atKind+int(resilience.Canceled)], Held: time.Duration(r.n[atHeld]) * ms,
		Usage:    resilience.Usage{Input: r.n[atInput], CachedInput: r.n[atCached], CacheWrite: r.n[atWrite], Output: r.n[atOutput], Reasoning: r.n[atReasoning]},
		Cost:     float64(r.n[atNanos]) / 1e9,
		InFlight: r.n[atInFlight], Queued: r.n[atQueued], Degraded: time.Duration(r.n[atDegraded]) * ms,
	}
	for kind, n := range r.n[atKind:atInput] {
		k := resilience.Kind(kind)
		if n == 0 || k == resilience.Canceled {
			continue
		}
		out.Calls += n
		if k == 0 {
			continue
		}
		if out.Kinds == nil {
			out.Kinds = map[string]int64{}
		}
		out.Kinds[k.String()] = n
		if k != resilience.Invalid && k != resilience.TooLong && k != resilience.Filtered {
			out.Failures += n
		}
	}
	for by, d := range r.n[atHeldBy:atKind] {
		if d > 0 {
			if out.HeldBy == nil {
				out.HeldBy = map[string]time.Duration{}
			}
			out.HeldBy[resilience.HoldBy(by).String()] = time.Duration(d) * ms
		}
	}
	if l := r.n[atLevel]; l > 0 && int(l) < len(levelNames) {
		out.Level = levelNames[l]
	}
	q := r.took.quantiles(.5, .95, .99)
	out.P50, out.P95, out.P99 = q[0], q[1], q[2]
	return out
}

// Series returns all that there is history of: the pool, then the models in the order
// in which they were met, those that have left it among them, then [Others].
func (h *History) Series() []Series {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []Series
	for _, s := range h.all() {
		list = append(list, Series{Model: s.id, Name: s.name})
	}
	return list
}

// Rows returns the history of a series from a time until before another, in ascending
// order, the row that is still growing included. A row begins at a multiple of step, of
// 10 s at least and rounded up to whole minutes and hours beyond one; with steps of less
// than a minute they reach back an hour, of less than an hour a day, and beyond that
// thirty days. With a step of 0 it is the finest that reaches back to from. Where
// nothing was recorded there is no row.
func (h *History) Rows(of Series, from, to time.Time, step time.Duration) []Row {
	kind, seconds := h.tierFor(from, step)
	merged := map[int64]*record{}
	for _, c := range h.cuts(of, kind) {
		c.each(kind, from.Unix(), to.Unix(), func(r *record) {
			start := r.start - r.start%seconds
			if merged[start] == nil {
				merged[start] = &record{start: start}
			}
			merged[start].add(r)
		})
	}
	var rows []Row
	for _, start := range slices.Sorted(maps.Keys(merged)) {
		rows = append(rows, merged[start].row(time.Duration(seconds)*time.Second))
	}
	return rows
}

// tierFor returns what tier rows of a step come from, and the step in seconds.
func (h *History) tierFor(from time.Time, step time.Duration) (kind int, seconds int64) {
	if step <= 0 {
		back := int64(0)
		if h.pool != nil {
			back = h.wall().Unix() - from.Unix()
		}
		for kind < hours && back > shapes[kind].keep {
			kind++
		}
		return kind, shapes[kind].step
	}
	seconds = int64((step + time.Second - 1) / time.Second)
	for kind < hours && seconds >= shapes[kind+1].step {
		kind++
	}
	unit := shapes[kind].step
	return kind, (seconds + unit - 1) / unit * unit
}

// A cut is what one tier of a series holds at one time.
type cut struct {
	id, name string
	chunks   []chunk
	open     record
}

// cuts returns those of a series.
func (h *History) cuts(of Series, kind int) (list []*cut) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.all() {
		if of.Model == s.id && (of.Model != "" || of.Name == s.name) || of.Model == "" && of.Name != "" && of.Name == s.name {
			list = append(list, cutOf(s, kind))
		}
	}
	return list
}

// cutOf returns what a tier of s holds now. The caller has History.mu.
func cutOf(s *series, kind int) *cut {
	t := &s.tiers[kind]
	return &cut{s.id, s.name, slices.Clone(t.chunks), t.open}
}

// each calls fn for the records that begin from a time on and before another.
func (c *cut) each(kind int, from, to int64, fn func(*record)) {
	for _, chunk := range c.chunks {
		if chunk.last < from || chunk.first >= to {
			continue
		}
		for r, err := range chunk.records(kind) {
			if err == nil && r.start >= from && r.start < to {
				fn(r)
			}
		}
	}
	if r := &c.open; !r.empty() && r.start >= from && r.start < to {
		fn(r)
	}
}

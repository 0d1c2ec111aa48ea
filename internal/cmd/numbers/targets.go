package main

import "fmt"

// A target is a bound on the ratio of two benchmarks or, without a reference,
// on a metric of one.
type target struct {
	What      string
	Benchmark string
	Reference string
	Unit      string // ns/op if empty
	Bound     float64
	AtLeast   bool // the bound is a lower one
}

// targets are the costs that the library promises.
var targets = []target{
	{What: "the ready-made stack, no timeouts, ÷ one `context.WithTimeout`", Benchmark: "Call/stack_untimed", Reference: "Call/context_with_timeout", Bound: 0.5},
	{What: "its allocations", Benchmark: "Call/stack_untimed", Unit: "allocs/op", Bound: 1},
	{What: "with call and attempt timeouts ÷ one `context.WithTimeout`", Benchmark: "Call/stack", Reference: "Call/context_with_timeout", Bound: 0.6},
	{What: "its allocations", Benchmark: "Call/stack", Unit: "allocs/op", Bound: 2},
	{What: "the same, callee asks for Done, ÷ two nested `context.WithTimeout`", Benchmark: "Call/stack_done", Reference: "Call/two_timeouts_done", Bound: 0.7},
	{What: "breaker alone, closed, ÷ gobreaker's Execute", Benchmark: "Call/breaker", Reference: "Call/gobreaker", Bound: 1},
	{What: "rejection by an open breaker ÷ gobreaker's", Benchmark: "Reject/ours", Reference: "Reject/gobreaker", Bound: 1},
	{What: "picking among 50 models ÷ among 5", Benchmark: "Pick/n=50", Reference: "Pick/n=5", Bound: 1.5},
	{What: "picking among 5,000 models ÷ among 5", Benchmark: "Pick/n=5000", Reference: "Pick/n=5", Bound: 2},
	{What: "calls a second on two cores ÷ on one", Benchmark: "CallParallel@1", Reference: "CallParallel@2", Bound: 1.4, AtLeast: true},
	{What: "memory of a model with all features, bytes", Benchmark: "Memory", Unit: "bytes/model", Bound: 16 << 10},
	{What: "memory of a call in flight, bytes", Benchmark: "Memory", Unit: "bytes/call", Bound: 1 << 10},
	{What: "HTTP call on loopback ÷ net/http with `context.WithTimeout`", Benchmark: "HTTP", Unit: "library/context_with_timeout", Bound: 1.02},
	{What: "HTTP call on loopback ÷ bare net/http", Benchmark: "HTTP", Unit: "library/bare", Bound: 1.08},
	{What: "a chunk of a stream over iter.Pull2, ns", Benchmark: "Stream/seq", Unit: "more-ns/chunk", Bound: 60},
	{What: "a chunk of a stream from a bare cursor, ns", Benchmark: "Stream/cursor", Unit: "more-ns/chunk", Bound: 60},
	{What: "a chunk of a stream from a bare Recv, ns", Benchmark: "Stream/recv", Unit: "more-ns/chunk", Bound: 60},
	{What: "what a monitor adds to a call, ns", Benchmark: "Monitored", Unit: "more-ns/call", Bound: 5},
	{What: "a scrape of 500 models, ns", Benchmark: "Scrape/500", Bound: 150e6},
	{What: "a scrape of 5,000 models, ns", Benchmark: "Scrape/5000", Bound: 2e9},
}

// idleBound is the most that an unused part may add to a call.
const idleBound = 3

func (t target) unit() string {
	if t.Unit == "" {
		return "ns/op"
	}
	return t.Unit
}

// judge returns what was measured and whether it meets the bound, both as
// text.
func (t target) judge(b *benchmarks) (measured, verdict string) {
	v, ok := b.median(t.Benchmark, t.unit())
	if t.Reference != "" {
		v, ok = b.ratio(t.Benchmark, t.Reference, t.unit())
	}
	switch {
	case !ok:
		return "–", "not measured"
	case t.AtLeast && v >= t.Bound, !t.AtLeast && v <= t.Bound:
		return figure(v), "met"
	default:
		return figure(v), "missed"
	}
}

func (t target) bound() string {
	if t.AtLeast {
		return "≥ " + figure(t.Bound)
	}
	return "≤ " + figure(t.Bound)
}

// figure prints three significant digits, and integers whole.
func figure(v float64) string {
	switch {
	case v == float64(int64(v)):
		return fmt.Sprintf("%d", int64(v))
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.3g", v)
	}
}

package resilience

import (
	"cmp"
	"context"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Budget bounds what the calls of a run may use together, such as those of an
// agent's loop. Zero fields are no bound, negative amounts allow nothing.
//
// What an attempt may take at most ([Hooks].Tokens, [CallOptions].Tokens) is
// set aside before it and settled after it, at every retry, fallback and hedge;
// an attempt that does not fit is refused, and the call goes on to a model where
// it does. A provider that did not accept an attempt charges nothing. One that
// did, and of whose usage nothing is known, counts as it was estimated. Without
// an estimate, attempts are made until the budget is spent.
//
// Where Cost is bounded, models whose price is not known are refused. A budget
// for dollars belongs around calls of the pool that knows the prices: calls
// within a call draw from it in place of the outer one, for which only counts what
// it tells by [ReportUsage].
type Budget struct {
	Cost     float64   // US dollars
	Tokens   int64     // of requests and answers
	Attempts int       // beyond each call's first
	Deadline time.Time // of the calls; of those that stream until the first chunk
}

// WithBudget returns a context whose calls, and those within them, draw from b,
// in addition to any budget that ctx has. A call for which nothing fits fails
// with a [*BudgetError]; one that has no further attempt fails as its latest did.
// The budget may be shared by goroutines.
func WithBudget(ctx context.Context, b Budget) context.Context {
	return WithOptions(ctx, CallOptions{purse: &purse{of: "run", max: b, outer: purseOf(ctx)}})
}

// Spent returns what the calls of the run that ctx belongs to have spent, all
// together and each, the latest last and at most 64 of them. It is what the
// innermost [WithBudget] counts.
func Spent(ctx context.Context) (total Step, steps []Step) {
	for p := purseOf(ctx); p != nil; p = p.outer {
		if p.of == "run" {
			return p.report()
		}
	}
	return Step{}, nil
}

// A Step is a call of a run, and what it has spent.
type Step struct {
	Call  uint64
	Op    string
	Cost  float64 // US dollars
	Usage Usage
}

// A BudgetError means that a call, or an attempt at a model, was refused since it
// would exceed a budget. Its kind is [Rejected].
type BudgetError struct {
	Budget   string // which: "run", "call", or such as "tenant acme"
	Resource string // "cost", "tokens", "requests" or "deadline", or "price" if a model has none
	Model    string // that was not asked, if only that was refused
	Call     uint64 // that was refused
	Op       string // of it

	Spent, Reserved float64 // US dollars, tokens or requests, of what Max allows
	Next            float64 // that the attempt may take, 0 if that is not known
	Max             float64

	Steps      []Step        // of a run: what has spent it, the latest last
	RetryAfter time.Duration // until there may be room; 0 if that is not known, or never
}

// Is reports whether target is [Rejected].
func (e *BudgetError) Is(target error) bool { return target == Rejected }

// Error returns one line.
func (e *BudgetError) Error() string {
	var b strings.Builder
	b.WriteString("refused: ")
	what := e.Budget + " budget"
	switch e.Resource {
	case "price":
		b.WriteString("the price of " + e.Model + " is not known, and the " + what + " is in dollars: give the model a Price, or Free")
	case "deadline":
		b.WriteString("the deadline of the " + what + " has passed")
	default:
		b.WriteString(what + ": ")
		if e.Next > 0 {
			b.WriteString(e.amount(e.Next) + " more")
		} else {
			b.WriteString("nothing is left")
		}
		if e.Model != "" {
			b.WriteString(" at " + e.Model)
		}
		if e.Op != "" {
			b.WriteString(" for " + strconv.Quote(printable(e.Op)))
		}
		b.WriteString(" of " + e.amount(e.Max) + ", " + e.amount(e.Spent) + " spent")
		if e.Reserved > 0 {
			b.WriteString(", " + e.amount(e.Reserved) + " set aside")
		}
	}
	b.WriteString(e.by())
	tail := ""
	if e.RetryAfter > 0 {
		tail = ", retry in " + ceil(e.RetryAfter)
	}
	return clip(b.String(), maxLine-len(tail)) + tail
}

// by says which steps have spent what, those of an operation together.
func (e *BudgetError) by() string {
	var ops, parts []string
	spent := map[string]float64{}
	for _, s := range e.Steps {
		op := cmp.Or(printable(s.Op), "call "+strconv.FormatUint(s.Call, 10))
		if _, ok := spent[op]; !ok {
			ops = append(ops, op)
		}
		if e.Resource == "tokens" {
			spent[op] += float64(s.Usage.Input + s.Usage.Output)
		} else {
			spent[op] += s.Cost
		}
	}
	for _, op := range ops {
		if spent[op] > 0 {
			parts = append(parts, op+" "+e.amount(spent[op]))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func (e *BudgetError) amount(f float64) string {
	switch e.Resource {
	case "tokens", "requests":
		return strconv.FormatFloat(f, 'f', 0, 64) + " " + e.Resource
	default:
		return dollars(f)
	}
}

// dollars prints cents and what there is of a cent, to a hundredth of one, or to
// two digits of what is less than ten cents.
func dollars(f float64) string {
	digits := 4
	if f > 0 && f < 0.1 {
		digits = min(1-int(math.Floor(math.Log10(f))), 9)
	}
	s := strconv.FormatFloat(f, 'f', digits, 64)
	cents := strings.IndexByte(s, '.') + 3
	return "$" + s[:cents] + strings.TrimRight(s[cents:], "0")
}

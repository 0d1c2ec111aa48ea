package resilience

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Report says how a call went. It is a slog.LogValuer.
type Report struct {
	Call       uint64
	Op         string
	Model      *Model    // that answered, or began to, or nil
	Attempts   []Attempt // all of them, in order
	Skipped    []Verdict // of a call that failed: models that were not tried because something holds them
	Usage      Usage     // summed over attempts
	Cost       float64   // in US dollars, of all attempts whose price is known
	Duration   time.Duration
	Generation uint64 // of the configuration

	Substituted bool // answered by another name than was asked for
	LastResort  bool // answered by a model that was held
	Rescued     bool // a stream that broke, and went on; see [Stream.All]
	Defaulted   bool // answered by Hooks.Default
	Bypassed    bool // the library was out of the path

	Level   string   // of degradation at which the call was served, "" for none
	Reduced int      // the step by which Hooks.Reduce made it ask for less
	GivenUp []string // for being degraded
}

// troubled reports whether the call, which was answered, did not go as it should.
func (r Report) troubled() bool {
	return r.Substituted || r.LastResort || r.Rescued || r.Defaulted || r.Level != "" ||
		slices.ContainsFunc(r.Attempts, Attempt.failed)
}

// LogValue implements [slog.LogValuer].
func (r Report) LogValue() slog.Value {
	attrs := []slog.Attr{slog.Uint64("call", r.Call)}
	if r.Op != "" {
		attrs = append(attrs, slog.String("op", r.Op))
	}
	if r.Model != nil {
		attrs = append(attrs, slog.String("model", r.Model.id))
	}
	attrs = append(attrs, slog.Duration("took", r.Duration), slog.Uint64("generation", r.Generation))
	attrs = append(attrs, trailAttrs(r.Attempts, r.Skipped)...)
	if r.Cost != 0 {
		attrs = append(attrs, slog.Float64("cost", r.Cost))
	}
	flag := func(name string, set bool) {
		if set {
			attrs = append(attrs, slog.Bool(name, true))
		}
	}
	flag("substituted", r.Substituted)
	flag("lastResort", r.LastResort)
	flag("rescued", r.Rescued)
	flag("defaulted", r.Defaulted)
	flag("bypassed", r.Bypassed)
	if r.Level != "" {
		attrs = append(attrs, slog.String("level", r.Level), slog.String("givenUp", strings.Join(r.GivenUp, ", ")))
	}
	return slog.GroupValue(attrs...)
}

// trailAttrs are attempts and skipped models as attributes a1, a2 … and
// skipped.
func trailAttrs(attempts []Attempt, skipped []Verdict) (attrs []slog.Attr) {
	for i, a := range attempts {
		attrs = append(attrs, slog.String("a"+strconv.Itoa(i+1), a.line()))
	}
	if len(skipped) > 0 {
		lines := make([]string, len(skipped))
		for i, v := range skipped {
			lines[i] = v.String()
		}
		attrs = append(attrs, slog.String("skipped", strings.Join(lines, " · ")))
	}
	return attrs
}

// An Attempt is one try of one model.
type Attempt struct {
	Model      *Model
	Key        string // its name, "" without one
	Start      time.Time
	Wait       time.Duration // before it: backoff or queue
	FirstChunk time.Duration // of a stream: until the first meaningful one
	Duration   time.Duration
	Hedge      bool // beside another one, which was slow
	Faulted    bool // made to go wrong on purpose
	Usage      Usage
	Cost       float64 // US dollars; 0 if the price is unknown
	Kind       Kind    // zero if it succeeded
	Status     int
	RequestID  string // the provider's
	Reason     string // why it failed and what was done about it
	Err        error
}

func (a Attempt) failed() bool { return a.Kind != 0 && a.Kind != Canceled }

// line is an attempt in one line, such as
// "gpt-5 overloaded 529 1.2s req_8Kd → elsewhere".
func (a Attempt) line() string {
	var b strings.Builder
	if a.Model != nil {
		b.WriteString(a.Model.id + inBrackets(a.Key) + " ")
	}
	if a.Hedge {
		b.WriteString("hedge ")
	}
	if a.Kind == 0 {
		b.WriteString("ok " + seconds(a.Duration))
		return b.String()
	}
	b.WriteString(a.Kind.String())
	what, then, ok := strings.Cut(a.Reason, arrow)
	if what != "" {
		b.WriteString(" " + what)
	}
	b.WriteString(" after " + seconds(a.Duration))
	if a.RequestID != "" {
		b.WriteString(" " + a.RequestID)
	}
	if ok {
		b.WriteString(arrow + then)
	}
	return b.String()
}

// arrow parts why an attempt failed from what was done about it.
const arrow = " → "

// trail is what a call remembers once something went wrong, or from the start
// if a report is wanted.
type trail struct {
	id     uint64
	window int      // a model needs a larger one
	last   bool     // this model is the last one
	avoid  []string // providers, for the moment

	level   string // of degradation,
	givenUp []string
	reduced int     // the step of Hooks.Reduce
	stretch float64 // of timeouts, or 0

	thrifty bool    // cheaper models go first
	sparing bool    // none that is dearer, for the moment,
	dearest float64 // than this

	limit      int64           // of a call that streams, until its first chunk; 0 for none
	limitCause *timeoutError   // of it
	span       int64           // that the call had until then
	timer      *time.Timer     // of the attempt under way, until its first chunk
	life       *life           // of the stream that holds the call
	began      int64           // the attempt that brought it first
	answered   *Model          // that it comes from
	routed     context.Context // at LayerRoute
	within     int             // of the stream's ends those of LayerRoute and below
	broke      *Error          // why the call is on its way again
	racing     bool            // several ways at once
	rescued    bool            // it broke, and went on
	falls      bool            // back on Hooks.Default, if it fails
	faulted    bool            // an attempt, on purpose
	stays      int             // how often that was with the same model
	others     bool            // an outer call may go to other models instead
	latest     *attempt        // if it is not the first
	flaw       error           // why the latest answer was rejected, if the request is to be revised
	budget     *BudgetError    // that the call met on its way
	how        string          // the next attempt comes about, if not by a layer
	attempts   []Attempt
	tried      []uint16 // positions beyond what Call.tried holds
	refused    []Verdict
	wait       time.Duration
	usage      Usage
	cost       float64
}

// route notes with what context a call came to LayerRoute, and how much of what
// is to be told at the end of its stream is of the layers from there on.
func (t *trail) route(ctx context.Context, l *life) {
	t.routed = ctx
	if l != nil {
		l.mu.Lock()
		t.within = len(l.ends)
		l.mu.Unlock()
	}
}

// hush stops the timer of an attempt that is over before its first chunk.
func (t *trail) hush() {
	if t.timer != nil {
		t.timer.Stop()
	}
}

// then notes what was done after the latest attempt failed.
func (t *trail) then(what string) {
	if t == nil || len(t.attempts) == 0 {
		return
	}
	if last := &t.attempts[len(t.attempts)-1]; last.Kind != 0 && !strings.Contains(last.Reason, arrow) {
		last.Reason += arrow + what
	}
}

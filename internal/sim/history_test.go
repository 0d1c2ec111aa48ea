package sim_test

import (
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/budget"
	"github.com/cmmv-hive/resilience/degrade"
	"github.com/cmmv-hive/resilience/health"
	"github.com/cmmv-hive/resilience/internal/sim"
	"github.com/cmmv-hive/resilience/recovery"
)

// A history is what happened in a simulation, for the checks to look at. All
// instants are nanoseconds since it began.
type history struct {
	scenario scenario
	trace    sim.Trace

	mu       sync.Mutex
	calls    []*callRecord
	asks     []*askRecord
	visits   []*visitRecord
	gates    []*gateRecord
	events   []eventRecord
	orders   []orderRecord
	days     []*dayRecord
	glances  []*probeRecord
	samples  []sampleRecord
	worst    map[string]excess // of each account
	reached  map[string]bool   // states that are interesting
	faulted  int               // requests that a fault hit
	end      endRecord
	panicked string // the simulation itself
}

// A callRecord is a call as its caller saw it.
type callRecord struct {
	id      int64
	plan    callPlan
	begin   int64
	end     int64 // of a stream: of the reading
	first   int64 // of a stream: when the call returned
	ends    int
	limit   int64 // when it must have returned, 0 if never
	allHeld bool  // nothing could be asked when it began, nor soon
	gen     [2]uint64
	got     *answer
	err     error
	report  resilience.Report
	chunks  []chunk
	whole   bool // the stream's reader was told so
	stream  bool // it got one
	left    bool // the reader left the stream, or canceled
	crashed bool // a panic or Goexit
	alive   bool // the context of the answer, when it came
}

// An askRecord is a request that reached a provider.
type askRecord struct {
	call     int64
	model    int
	inner    int // of a pool behind the model, from 1
	number   int // of the call's requests to the model
	begin    int64
	end      int64
	accepted bool // it cost the provider work
	kind     resilience.Kind
	wait     time.Duration // that the provider asked for
	sent     int           // chunks
	key      string        // that it came with
	billed   resilience.Usage
	valued   bool // the call's values reached it
	stream   bool
}

// A visitRecord is a call's going to a model: its attempts there.
type visitRecord struct {
	call       int64
	model      int
	at         int64
	lastResort bool
	byHand     bool // somebody had drained it
	capable    bool
	named      bool // it is one that the call may go to
	rescue     bool
	ramp       float64 // of the model
}

// A gateRecord is an attempt that the breaker let through.
type gateRecord struct {
	call       int64
	model      int
	life       int // changes of the breaker's state so far
	begin, end int64
	over       int64 // end of the stream, or end
	state      breaker.State
	lastResort bool
	kind       resilience.Kind
	against    bool
	crashed    bool
}

// An eventRecord is an event of the pool.
type eventRecord struct {
	at       int64
	kind     resilience.EventKind
	call     int64
	model    int // -1 for none
	from, to string
	reason   string
	key      string
	err      resilience.Kind
	took     time.Duration
	faulted  bool
	would    bool
	until    int64 // of a hold of a model
	spare    bool  // of a model that health takes out: another one is available
}

// An orderRecord is what an operator did.
type orderRecord struct {
	at      int64
	kind    faultKind
	model   int
	until   int64
	reload  int // fault that says what is new
	err     error
	asked   bool // the audit, before it took effect
	changed bool // something that should not have
}

// A sampleRecord is what a model looked like.
type sampleRecord struct {
	at       int64
	model    int
	inFlight int64
	queued   int64
	state    breaker.State
}

// An endRecord is how it all ended.
type endRecord struct {
	inFlight   int64
	models     []sampleRecord
	available  []bool
	drains     []error // of the pool, several times
	drained    int64
	later      error // of a call after that
	dropped    int64
	purseSpent int64 // tokens, as Spent says
	purseTook  int64 // tokens, as the providers say
	purseHeld  float64
	accounts   []budget.Account
	level      degrade.Level
	ramps      []float64
	health     []health.Result // if there is a checker
	outcomes   []recovery.Outcome
	now        int64 // when these were looked at
}

func (h *history) reach(state string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reached[state] = true
}

// Kinds of marks.
const (
	markCall = iota + 1
	markEnd
	markAsk
	markAnswer
	markVisit
	markGate
	markEvent
	markOrder
	markProbe
)

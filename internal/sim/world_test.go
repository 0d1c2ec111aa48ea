package sim_test

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/budget"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/degrade"
	"github.com/cmmv-hive/resilience/health"
	"github.com/cmmv-hive/resilience/internal/sim"
	"github.com/cmmv-hive/resilience/internal/simtest"
	"github.com/cmmv-hive/resilience/recovery"
)

// A request and what answers it bear the number of the call, so that nothing
// gets mixed up unseen.
type (
	request struct {
		call  int64
		wrong bool
		after int // words that the reader has got already
	}
	answer struct {
		call  int64
		model int
		bad   bool
		usage resilience.Usage
	}
	chunk struct {
		call  int64
		model int
		ask   int // which request it comes from
		word  int
		last  bool
		usage resilience.Usage
	}
)

// A status is an error as an SDK makes it of a response.
type status struct {
	StatusCode int
	Code       string
	Header     http.Header
}

func (e *status) Error() string { return strconv.Itoa(e.StatusCode) + " " + e.Code }

func answered(code int, word string, wait time.Duration) error {
	e := &status{StatusCode: code, Code: word}
	if wait > 0 {
		e.Header = http.Header{"Retry-After": {strconv.Itoa(int(wait / time.Second))}}
	}
	return e
}

var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}

// A world is the providers.
type world struct {
	*history

	models    []*model
	resetting order // of people
}

// A model is one that is asked over the network.
type model struct {
	modelPlan

	index  int
	server *simtest.Server
	slower atomic.Int64 // thousandths
	ill    atomic.Bool  // it hangs, is slow or has lost slots
	hung   atomic.Bool
	busy   atomic.Int64
	probed atomic.Int64 // times
}

func newWorld(h *history) *world {
	w := &world{history: h}
	for i, plan := range h.scenario.models {
		m := &model{modelPlan: plan, index: i}
		m.slower.Store(1000)
		var done int64 // requests; each ends at an instant of its own
		law := simtest.LogNormal(plan.mean, .4)
		m.server = simtest.NewServer(h.scenario.seed<<8+uint64(i), plan.slots, func(r *rand.Rand) time.Duration {
			d := min(law(r), 10*plan.mean) * time.Duration(m.slower.Load()) / 1000
			done++
			return sim.Until(now(), d, serverActors+1000*int64(i)+done%1000)
		})
		w.models = append(w.models, m)
	}
	return w
}

// Actors beside the calls, which have actorsACall each, from actorsACall on.
const (
	actorsACall  = 64
	caller       = actorsACall - 1 // the call's own, its models being before it
	serverActors = sim.Actors - 50_000
	healActors   = sim.Actors - 300_000
	traffic      = 1
	weather      = 2
	operator     = 3
	sampler      = 4
	orders       = 10 // and on
)

var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()

func now() int64 { return time.Now().UnixNano() - epoch }

// weathers makes servers change as the scenario says.
func (w *world) weathers(ctx context.Context) {
	turns := map[time.Duration]bool{}
	for _, f := range w.scenario.faults {
		turns[f.from], turns[f.to] = true, true
	}
	for len(turns) > 0 {
		next := lasts
		for at := range turns {
			next = min(next, at)
		}
		delete(turns, next)
		if sim.Sleep(ctx, next-time.Duration(now()), weather) != nil {
			return
		}
		for _, m := range w.models {
			w.turn(m, next)
		}
	}
}

func (w *world) turn(m *model, at time.Duration) {
	state, factor := simtest.Fault{}, 1.
	for i := range w.scenario.faults {
		f := &w.scenario.faults[i]
		if !f.at(at) || !f.of(m.index) {
			continue
		}
		switch f.kind {
		case hang:
			state.Hang = true
		case capacity:
			state.Lost = m.slots - 1
		case slow, brownout:
			factor *= f.factor
		}
	}
	m.slower.Store(int64(1000 * factor))
	m.ill.Store(state != simtest.Fault{} || factor != 1)
	m.hung.Store(state.Hang)
	m.server.Set(state)
}

type callKey struct{}

// begin takes in a request, which w.over ends.
func (w *world) begin(ctx context.Context, m *model, inner int, req request, stream bool) *askRecord {
	rec, _ := ctx.Value(callKey{}).(*callRecord)
	a := &askRecord{call: req.call, model: m.index, inner: inner, begin: now(), stream: stream, key: resilience.KeyFrom(ctx), valued: rec != nil && rec.id == req.call}
	m.busy.Add(1)
	w.mu.Lock()
	for _, other := range w.asks[max(0, len(w.asks)-400):] {
		if other.call == a.call && other.model == a.model && other.inner == inner {
			a.number++
		}
	}
	w.asks = append(w.asks, a)
	if m.ill.Load() {
		w.faulted++
	}
	w.mu.Unlock()
	w.trace.Add(sim.Mark{At: a.begin, Actor: a.actor(), What: markAsk, N: int64(a.number)})
	return a
}

func (a *askRecord) actor() int64 {
	return a.call*actorsACall + int64(a.model+a.inner*16)
}

func (w *world) over(m *model, a *askRecord, kind resilience.Kind) {
	m.busy.Add(-1)
	a.end, a.kind = now(), kind
	w.trace.Add(sim.Mark{At: a.end, Actor: a.actor(), What: markAnswer, N: int64(kind)})
}

// meets returns the first fault of these kinds that the request meets now.
func (w *world) meets(a *askRecord, kinds ...faultKind) *fault {
	at := time.Duration(now())
	for i := range w.scenario.faults {
		f := &w.scenario.faults[i]
		for _, k := range kinds {
			if f.kind == k && f.at(at) && f.of(a.model) && (f.key == "" || f.key == a.key) && f.strikes(w.scenario.seed, a.call, a.model, a.number) {
				w.mu.Lock()
				w.faulted++
				w.mu.Unlock()
				return f
			}
		}
	}
	return nil
}

// door is what a request meets until a server has done its work.
func (w *world) door(ctx context.Context, m *model, a *askRecord, req request) (resilience.Kind, error) {
	input := resilience.Usage{Input: usageOf(req.call).Input}
	if err := sim.Sleep(ctx, 3*time.Millisecond, a.actor()); err != nil {
		w.bill(ctx, a, input) // it has arrived
		return resilience.Canceled, err
	}
	if req.wrong {
		return resilience.Invalid, answered(400, "invalid_request_error", 0)
	}
	if kind, err := w.refusesKey(a); err != nil {
		return kind, err
	}
	if f := w.meets(a, refuse, overload, throttle, unauthorized, quota, gone, unreachable, brownout, herd, panics, exits, filtered); f != nil {
		if kind, err := m.refuses(f, a); err != nil {
			return kind, err
		}
		switch f.kind {
		case panics:
			a.accepted = true
			w.bill(ctx, a, input)
			panic(crash("a caller panicked"))
		case exits:
			a.accepted = true
			w.bill(ctx, a, input)
			runtime.Goexit()
		}
	}
	a.accepted = true
	w.bill(ctx, a, input)
	if err := m.server.Do(ctx); err != nil {
		w.late(a)
		return resilience.Canceled, err
	}
	return 0, nil
}

// refuses answers a request by a fault that it meets, if the fault is that.
func (m *model) refuses(f *fault, a *askRecord) (resilience.Kind, error) {
	switch f.kind {
	case refuse:
		return resilience.Overloaded, answered(503, "", 0)
	case overload:
		a.wait = f.wait
		return resilience.Overloaded, answered(529, "overloaded_error", f.wait)
	case throttle:
		a.wait = f.wait
		return resilience.RateLimited, answered(429, "rate_limit_exceeded", f.wait)
	case unauthorized:
		return resilience.Unauthorized, answered(401, "invalid_api_key", 0)
	case quota:
		return resilience.QuotaSpent, answered(429, "insufficient_quota", 0)
	case gone:
		return resilience.NotFound, answered(404, "model_not_found", 0)
	case unreachable:
		return resilience.Unreachable, errRefused
	case filtered:
		return resilience.Filtered, answered(400, "content_filter", 0)
	case brownout:
		if a.call%5 == 0 {
			a.accepted = true
			return resilience.Unreachable, answered(500, "", 0)
		}
	case herd:
		if m.busy.Load() > int64(m.slots) {
			return resilience.Overloaded, answered(503, "", 0)
		}
	}
	return 0, nil
}

// late makes what follows on a canceled context happen at an instant of its own.
func (w *world) late(a *askRecord) { _ = sim.Sleep(context.Background(), 0, a.actor()) }

type crash string

// ask is a request that is answered whole.
func (w *world) ask(ctx context.Context, m *model, inner int, req request) (got answer, err error) {
	a := w.begin(ctx, m, inner, req, false)
	kind := resilience.Unknown
	defer func() { w.over(m, a, kind) }()
	if kind, err = w.door(ctx, m, a, req); err != nil {
		return answer{}, err
	}
	got = answer{call: req.call, model: m.index, usage: usageOf(req.call)}
	w.bill(ctx, a, resilience.Usage{Output: got.usage.Output})
	if w.meets(a, malformed) != nil {
		got.bad, kind = true, resilience.Malformed
	}
	if w.scenario.plant && w.meets(a, slow) != nil && w.meets(a, capacity) != nil {
		got.call++ // the defect
	}
	return got, nil
}

// words of a whole answer.
func words(call int64) int { return 4 + int(call%7) }

// play is a request that is answered as a stream.
func (w *world) play(ctx context.Context, m *model, inner int, req request) iter.Seq2[chunk, error] {
	return func(yield func(chunk, error) bool) {
		a := w.begin(ctx, m, inner, req, true)
		kind := resilience.Unknown
		defer func() { w.over(m, a, kind) }()
		var err error
		if kind, err = w.door(ctx, m, a, req); err != nil {
			yield(chunk{}, err)
			return
		}
		c := chunk{call: req.call, model: m.index, ask: a.number, word: req.after}
		whole, breaks := words(req.call), -1
		if w.meets(a, cut) != nil {
			kind = resilience.Truncated
			breaks = int(req.call) % (whole + 1)
		}
		stalls := w.meets(a, stall) != nil
		for ; c.word < whole; c.word++ {
			if breaks >= 0 && c.word >= breaks {
				if req.call%2 == 0 {
					yield(chunk{}, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET})
				}
				return
			}
			if stalls && c.word == whole/2 {
				kind = resilience.TimedOut
				<-ctx.Done()
				w.late(a)
				yield(chunk{}, context.Cause(ctx))
				return
			}
			if a.sent++; !yield(c, nil) {
				kind = resilience.Canceled
				return
			}
			if err := sim.Sleep(ctx, 150*time.Millisecond, a.actor()); err != nil {
				kind = resilience.Canceled
				yield(chunk{}, err)
				return
			}
		}
		if kind == resilience.Truncated { // without its end marker
			return
		}
		c.last, c.usage = true, usageOf(req.call)
		w.bill(ctx, a, resilience.Usage{Output: c.usage.Output})
		a.sent++
		yield(c, nil)
	}
}

var errBad = errors.New("the answer is no good")

func (w *world) hooks() resilience.Hooks[request, answer] {
	return resilience.Hooks[request, answer]{
		Usage: func(_ request, a answer) resilience.Usage { return a.usage },
		Validate: func(_ request, a answer) error {
			if a.bad {
				return errBad
			}
			return nil
		},
		Tokens: func(r request) int {
			if w.scenario.blind && r.call%3 == 0 {
				return 0
			}
			return mostTokens
		},
		Output: func(r request) int { return 50 },
	}
}

func (w *world) marks() resilience.StreamHooks[request, chunk] {
	h := resilience.StreamHooks[request, chunk]{
		Terminal: func(c chunk) bool { return c.last },
		Usage:    func(c chunk) (resilience.Usage, bool) { return c.usage, c.last },
	}
	if w.scenario.rescue {
		h.Resume = func(req request, delivered []chunk) (request, bool) {
			req.after = 0
			if n := len(delivered); n > 0 {
				req.after = delivered[n-1].word + 1
			}
			return req, true
		}
	}
	return h
}

// clients are what calls go through.
type clients struct {
	pool  *resilience.Pool
	chat  *resilience.Client[request, answer]
	talks *resilience.Client[request, *resilience.Stream[chunk]]
	inner []*resilience.Pool

	budgets  *budget.Budgets     // or nil
	injector *chaos.Injector     // or nil
	levels   *degrade.Controller // or nil
	checker  *health.Checker     // or nil
	healer   *recovery.Recoverer // or nil
}

// open makes the pool, of these features, and clients of all models.
func (w *world) open(features ...resilience.Feature) (c clients, err error) {
	var infos []resilience.ModelInfo
	for _, m := range w.models {
		infos = append(infos, m.ModelInfo)
	}
	features = append(features, resilience.Models(infos...), resilience.Seed(rand.NewPCG(w.scenario.seed, 2)))
	if w.scenario.budgets != nil {
		c.budgets = budget.New(*w.scenario.budgets)
		features = append(features, outside{w.history}, c.budgets, inside{w.history})
	}
	if w.scenario.levels != nil {
		c.levels = degrade.New(*w.scenario.levels)
		features = append(features, c.levels)
	}
	if w.scenario.blast != nil {
		c.injector = chaos.NewInjector(chaos.InjectorConfig{Enabled: true, Seed: w.scenario.seed, Blast: *w.scenario.blast})
		features = append(features, apart{}, c.injector)
	}
	features = append(features, w.heals(&c)...)
	if c.pool, err = resilience.NewPool(features...); err != nil {
		return c, err
	}
	chat := []resilience.ClientOption[request, answer]{w.hooks()}
	talks := []resilience.ClientOption[request, *resilience.Stream[chunk]]{}
	for _, m := range w.models {
		ask := resilience.Func[request, answer](func(ctx context.Context, r request) (answer, error) { return w.ask(ctx, m, 0, r) })
		if m.inners > 0 {
			behind := w.nest(m)
			c.inner = append(c.inner, behind.Pool())
			ask = behind.Call
		}
		chat = append(chat, resilience.BindFunc(m.ID, ask))
		talks = append(talks, resilience.BindStream(m.ID, func(ctx context.Context, r request) iter.Seq2[chunk, error] { return w.play(ctx, m, 0, r) }, w.marks()))
	}
	if c.chat, err = resilience.NewClient(c.pool, chat...); err != nil {
		return c, err
	}
	c.talks, err = resilience.NewClient(c.pool, talks...)
	return c, err
}

// nest makes a model of two deployments, with a pool of their own.
func (w *world) nest(m *model) *resilience.Client[request, answer] {
	var callers []resilience.ModelCaller[request, answer]
	for i := range m.inners {
		callers = append(callers, resilience.FuncOf(func(ctx context.Context, r request) (answer, error) { return w.ask(ctx, m, i+1, r) }))
	}
	return resilience.WrapAll(callers, nested(w.scenario.seed, m.index)...)
}

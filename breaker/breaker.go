// Package breaker stops calling a model that keeps failing or being slow, and
// tries it again carefully later. Each model has a breaker of its own.
//
// A breaker is closed while calls go well. It opens when they fail too often
// (see [Config]): from then on it refuses calls, with errors whose kind is
// [resilience.Rejected], and holds its model, so that calls go elsewhere. After
// some time it is half-open: it lets a few calls through to probe, and closes
// if these succeed, or opens again for longer. What it knew of failures is
// forgotten when it closes.
//
// Kinds that say nothing about the model (see [resilience.Kind]) neither open
// nor close a breaker, and [resilience.Unknown] weighs half a failure. A call
// that panics or ends its goroutine has failed. Outcomes of calls that began
// before a breaker's latest change of state are dropped.
//
// A breaker also sets the holds of the table of kinds: after
// [resilience.RateLimited] until the provider's reset, or for a fifteenth of
// OpenFor where it names none, and after [resilience.Unauthorized], [resilience.QuotaSpent] and
// [resilience.NotFound] for OpenFor. What the provider does not bound doubles
// each time until the model answers again, up to MaxOpenFor, and for the last
// three up to five minutes if that is longer.
//
// The state machine is that of github.com/sony/gobreaker, the cumulative sum
// for slow drifts Page's (1954).
package breaker

import (
	"context"
	"encoding/json"
	"math"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// Wrap gives caller a breaker. It panics if cfg is wrong. See
// [resilience.Wrap].
func Wrap[Req, Resp any](caller resilience.ModelCaller[Req, Resp], cfg Config) *resilience.Client[Req, Resp] {
	return resilience.Wrap(caller, New(cfg))
}

// Breakers are the breakers of a pool's models, a [resilience.Feature] that
// owns the section "breaker". A reload changes their settings, which lie over
// those that New was given, and keeps their states; an open time that has begun
// goes on.
//
// A call with nowhere else to go ([resilience.Call.LastResort]) passes an open
// breaker, and counts only if there is room for it among the probes. It does
// not pass one that was opened or isolated by hand.
type Breakers struct {
	given  Config
	models resilience.PerModel[guard]

	mu   sync.Mutex // of cfg, and of guards being made
	pool *resilience.Pool
	cfg  Config
}

// New returns breakers, all closed. What is wrong with cfg is reported by
// [resilience.NewPool].
func New(cfg Config) *Breakers { return &Breakers{given: cfg, cfg: cfg} }

// Install implements [resilience.Feature].
func (b *Breakers) Install(s *resilience.Setup) error {
	if b.pool != nil {
		return &resilience.ConfigError{Path: section, Problem: "these breakers belong to another pool"}
	}
	if err := b.given.check(); err != nil {
		return err
	}
	b.pool = s.Pool()
	s.Wrap(resilience.LayerBreaker, b.wrap)
	s.Configure(section, b.prepare)
	s.Explain(func(m *resilience.Model) string {
		if g := b.models.Of(m); g.made() && g.full(int64(b.pool.Now())) {
			return errProbing.Error()
		}
		return ""
	})
	s.OnReset(func(m *resilience.Model) {
		g := b.models.Of(m)
		g.holds.forget()
		g.close(context.Background(), int64(b.pool.Now()), "reset")
	})
	s.Tell(resilience.Metric{
		Name: "breaker_state", Help: "1 for the state that a model's breaker is in, 0 for the others.", Model: true, Label: "state",
		Read: func(tell func(resilience.Sample)) {
			for _, m := range b.pool.Models() {
				now := b.State(m)
				for state := Closed; state <= Isolated; state++ {
					one := resilience.Sample{Model: m, Label: state.String()}
					if state == now {
						one.Value = 1
					}
					tell(one)
				}
			}
		},
	})
	return nil
}

// String returns the settings in effect.
func (b *Breakers) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return settings.Describe(b.cfg)
}

// State returns the state of m's breaker. An open breaker whose time is over
// is half-open, also before anybody probes.
func (b *Breakers) State(m *resilience.Model) State {
	g := b.models.Of(m)
	if !g.made() {
		return Closed
	}
	return g.peek(int64(b.pool.Now()))
}

func (b *Breakers) prepare(raw json.RawMessage) (func(), error) {
	cfg := b.given
	if raw != nil {
		var err error
		if cfg, err = b.given.over(raw); err != nil {
			return nil, err
		}
	}
	return func() {
		b.mu.Lock()
		b.cfg = cfg
		b.mu.Unlock()
		for _, m := range b.pool.Models() {
			if g := b.models.Of(m); g.made() {
				g.apply(context.Background(), int64(b.pool.Now()), cfg.rules(m))
			}
		}
	}, nil
}

func (b *Breakers) wrap(m *resilience.Model, next resilience.Handler) resilience.Handler {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.models.Of(m)
	if !g.made() {
		g.pool, g.model = b.pool, m
		g.init(b.cfg.rules(m), b.pool.Rand, g.tell)
	}
	return func(ctx context.Context, c *resilience.Call) error { return g.run(ctx, c, next) }
}

// A guard stands before one model.
type guard struct {
	engine
	holds holds
	pool  *resilience.Pool
	model *resilience.Model
}

func (g *guard) run(ctx context.Context, c *resilience.Call, next resilience.Handler) (err error) {
	p, closed := g.enter()
	if !closed {
		if p, err = g.admit(ctx, c); err != nil {
			return err
		}
	}
	r := g.rules.Load()
	start := int64(math.MaxInt64) // nothing is slow
	if r.slowRate > 0 {
		start = int64(g.pool.Now())
	}
	returned := false
	defer func() {
		if !returned && !mutants.On("breaker-panic-keeps-the-probe") { // a panic or Goexit
			g.report(ctx, int64(g.pool.Now()), p, outcome{harm: whole})
		}
	}()
	attempts, known := c.Attempt(), g.holds.look()
	err = next(ctx, c)
	returned = true
	if err == nil && p.lease == 0 && c.Running() { // a probe is settled at the first chunk, anything else at the end
		slow := g.slow(r, start, int64(c.Clock()))
		c.OnEnd(func(err error) { g.settle(ctx, c, p, known, err, true, slow, int64(g.pool.Now())) })
		return nil
	}
	now, asked := int64(c.Clock()), c.Attempt() != attempts
	if !asked { // refused further in: the reading is old
		now = int64(g.pool.Now())
	}
	if err == nil && p.lease == 0 && r.slowRate == 0 && known == (before{}) {
		g.good(now, p)
		return nil
	}
	g.settle(ctx, c, p, known, err, asked, g.slow(r, start, now), now)
	return err
}

// slow reports whether what began at start and ended at now was, by the model's doing.
func (g *guard) slow(r *rules, start, now int64) bool {
	return now-start > r.slowAfter && g.pool.Asleep(time.Duration(start)) == 0
}

// settle takes the outcome of an admitted call.
func (g *guard) settle(
	ctx context.Context, c *resilience.Call, p permit, known before, err error, asked, slow bool, now int64,
) {
	o := judge(c, err)
	if err == nil && c.Options().Key == "" { // a caller's own key says nothing of the others
		g.answer(ctx, known)
	} else if err != nil && asked {
		g.heed(ctx, c, now, known, err)
	}
	o.slow = slow
	g.report(ctx, now, p, o)
}

// judge says what a call's error says of the model.
func judge(c *resilience.Call, err error) outcome {
	switch kind := resilience.KindOf(err); {
	case err == nil:
		return outcome{}
	case !c.Against(err) && !mutants.On("breaker-counts-what-is-not-against"):
		return outcome{neutral: true}
	case kind == resilience.Unknown:
		return outcome{harm: whole / 2}
	case kind == resilience.Overloaded:
		return outcome{harm: whole, wait: int64(resilience.RetryAfter(err))}
	default:
		return outcome{harm: whole}
	}
}

const leastLease = 2 * time.Minute

// admit lets a call through a breaker that is not closed, or refuses it.
func (g *guard) admit(ctx context.Context, c *resilience.Call) (permit, error) {
	now := int64(g.pool.Now())
	r := g.rules.Load()
	lease := max(int64(leastLease), 4*r.slowAfter)
	var p permit
	var err error
	if c.LastResort() {
		p, err = g.pass(ctx, now, lease)
	} else {
		p, err = g.knock(ctx, now, lease)
	}
	if err == nil {
		return p, nil
	}
	if g.pool.Wants(resilience.EventReject) {
		g.pool.Emit(ctx, resilience.Event{
			Kind: resilience.EventReject, Model: g.model, Attempt: c.Attempt(), Err: err, Reason: err.Error(), Would: r.observe,
		})
	}
	if r.observe {
		return permit{}, nil // its outcome does not count
	}
	return permit{}, err
}

// tell makes the model's hold follow the state, and publishes the change.
func (g *guard) tell(c change) {
	observe := g.rules.Load().observe
	h := resilience.Hold{By: resilience.HoldBreaker, Reason: c.reason}
	switch {
	case observe || c.to == Closed:
		g.model.Release(c.ctx, resilience.HoldBreaker)
	case c.to == Open:
		if c.from == Open || c.from == Isolated {
			g.model.Release(c.ctx, resilience.HoldBreaker) // a hold cannot be shortened
		}
		h.Until = g.pool.At(time.Duration(c.until))
		g.model.Hold(c.ctx, h)
	case c.to == Isolated:
		g.model.Hold(c.ctx, h)
	}
	if g.pool.Wants(resilience.EventBreaker) {
		g.pool.Emit(c.ctx, resilience.Event{
			Kind: resilience.EventBreaker, Model: g.model, From: c.from.String(), To: c.to.String(), Reason: c.reason, Would: observe,
		})
	}
}

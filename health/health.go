// Package health watches models, and takes out of rotation those that are ill.
//
// It goes by what calls tell first: a model that had enough of them within an
// interval is judged by these, as the table of kinds counts them. The pool's
// [resilience.Probe] is asked only of models that are idle or held, so many times a
// second at most, whether all models are well or none. A check is bad if too many
// calls failed, if they failed more often than those of the model's peers (models
// of the same name, else of the same tier), or if the probe failed. What a probe
// is refused for by a limit, a key or a quota says nothing of the model. After some
// bad checks in a row the model is held, for two intervals at first and longer
// each time that it falls ill again, up to ten; each bad probe extends that. Good
// probes lift it, but not what calls have shown: then the time must pass, and calls
// decide.
//
// A model that recovery holds is recovery's to probe, and health goes by that.
//
// All of this happens within [resilience.Pool.Run]. Without it nothing is held, and
// [Checker.Check], [Checker.Last] and [Checker.Handler] say what calls and probes
// show. Every change of a model's health is an [resilience.EventHealth].
//
// A model that answered regularly and then does not, though it is asked, is checked
// before its time, and more often; the suspicion is measured by phi accrual
// (Hayashibara and others, 2004).
//
// Where at least two models and at least half of those that tell anything of a
// provider, or of one of its regions, are taken out at about the same time, and
// those of others are not, it is one outage: the provider's models that had no
// success since are held as well, one of them is probed each interval, and a
// success of any lifts that.
//
// The checker doubts itself, too. It holds nothing for an interval when its own
// timer was late, as after the process was suspended, or when most of the models of
// several providers turn bad at once, as when the network is gone.
package health

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// Wrap watches caller. It panics if cfg is wrong. See [resilience.Wrap], and
// [resilience.Client.Pool] for the pool to run.
func Wrap[Req, Resp any](caller resilience.ModelCaller[Req, Resp], cfg Config) *resilience.Client[Req, Resp] {
	return resilience.Wrap(caller, New(cfg))
}

// A Checker watches the models of a pool. It is a [resilience.Feature] and owns the
// section "health". A reload changes its settings, and keeps what is known.
type Checker struct {
	given  Config
	states resilience.PerModel[state]
	pool   *resilience.Pool
	wake   chan struct{} // the work in the background; has room for one

	mu   sync.Mutex // of what follows, and of states; held for moments
	cfg  Config
	work work
}

// New returns a checker. What is wrong with cfg is reported by
// [resilience.NewPool].
func New(cfg Config) *Checker {
	return &Checker{given: cfg, cfg: cfg}
}

// Install implements [resilience.Feature].
func (c *Checker) Install(s *resilience.Setup) error {
	if c.pool != nil {
		return &resilience.ConfigError{Path: section, Problem: "this checker belongs to another pool"}
	}
	if err := c.given.check(); err != nil {
		return err
	}
	c.pool, c.wake = s.Pool(), make(chan struct{}, 1)
	c.set(c.given)
	s.Configure(section, c.prepare)
	s.Background(section, c.run)
	s.Observe(c.heed, resilience.EventHold)
	s.OnReset(c.forget)
	return nil
}

// String returns the settings in effect.
func (c *Checker) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return settings.Describe(c.cfg)
}

func (c *Checker) prepare(raw json.RawMessage) (func(), error) {
	cfg := c.given
	if raw != nil {
		var err error
		if cfg, err = c.given.over(raw); err != nil {
			return nil, err
		}
	}
	return func() {
		c.mu.Lock()
		c.set(cfg)
		c.mu.Unlock()
		for _, m := range c.pool.Models() {
			st := c.of(m)
			c.mu.Lock()
			st.rules = cfg.rules(m)
			c.mu.Unlock()
		}
		c.stir()
	}, nil
}

// set makes cfg the settings. The caller has c.mu.
func (c *Checker) set(cfg Config) {
	c.cfg = cfg
	settings.Fill(&cfg)
	c.work.interval, c.work.perSecond, c.work.ejected = cfg.Interval, max(cfg.Probes, 0), cfg.MaxEjected
	c.work.stale = true
}

// of returns m's state.
func (c *Checker) of(m *resilience.Model) *state {
	st := c.states.Of(m)
	c.mu.Lock()
	defer c.mu.Unlock()
	if st.model == nil {
		st.model, st.rules = m, c.cfg.rules(m)
	}
	return st
}

// stir wakes the work in the background.
func (c *Checker) stir() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// heed notes that a breaker took a model out of use for what it did.
func (c *Checker) heed(_ context.Context, e resilience.Event) {
	if e.Model == nil || e.Would || e.To != resilience.HoldBreaker.String() {
		return
	}
	c.states.Of(e.Model).noted.Store(int64(c.pool.Now()))
	c.stir()
}

// forget is for [resilience.Pool.Reset].
func (c *Checker) forget(m *resilience.Model) {
	st := c.of(m)
	c.mu.Lock()
	e := resilience.Event{
		Kind: resilience.EventHealth, Model: m, From: st.verdict.String(), To: resilience.Available.String(), Reason: "reset", Would: st.rules.observe,
	}
	changes := st.verdict != resilience.Available
	if changes {
		st.since = c.pool.Now()
	}
	st.verdict, st.reason, st.bad, st.good, st.slow, st.slowBad, st.slowGood = resilience.Available, "", 0, 0, false, 0, 0
	st.until, st.holds, st.repeats, st.trial, st.turned, st.byGroup = 0, false, 0, false, 0, false
	st.noted.Store(0)
	st.successes, st.failures, st.malformed = 0, 0, 0
	c.mu.Unlock()
	if changes {
		c.pool.Emit(context.Background(), e)
	}
}

// Check checks m now, whoever else does, and returns what it found. It goes by calls
// or probes m, as the package says, outside of the number of probes a second; if ctx
// ends first, what was known before stays and Err says so. It holds and lifts
// nothing: that is for the checks within [resilience.Pool.Run].
func (c *Checker) Check(ctx context.Context, m *resilience.Model) Result {
	if !c.has(m) {
		return Result{Status: resilience.Unavailable, Err: errNoModel}
	}
	st := c.of(m)
	c.mu.Lock()
	now := c.pool.Now()
	f := st.judge(now, 0)
	timeout := st.rules.timeout
	ask := f.ask && st.rules.probes && c.pool.Probes()
	c.mu.Unlock()
	if ask {
		p := m.Probe(ctx, timeout)
		if resilience.KindOf(p.Err) == resilience.Canceled {
			r := c.Last(m)
			r.Err = p.Err
			return r
		}
		f.probed(p)
	}
	c.mu.Lock()
	st.note(f)
	c.mu.Unlock()
	return c.Last(m)
}

// Last returns the latest result for m, with the status and score of now. Its Time
// is zero if m has not been checked yet.
func (c *Checker) Last(m *resilience.Model) Result {
	if !c.has(m) {
		return Result{Status: resilience.Unavailable, Err: errNoModel}
	}
	st, best := c.of(m), c.bests()(m)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.result(st, best)
}

var errNoModel error = &resilience.ConfigError{Path: "model", Problem: "is nil, or of another pool"}

func (c *Checker) has(m *resilience.Model) bool {
	return m != nil && c.pool != nil && c.pool.Model(m.ID()) == m
}

// source returns a source of chance for the times of checks alone, so that they do
// not depend on what checks find.
func (c *Checker) source() *rand.Rand {
	bits := func() uint64 { return uint64(c.pool.Rand() * (1 << 53)) }
	return rand.New(rand.NewPCG(bits(), bits()))
}

// lookFor is how often the checker looks for what cannot wait for a check.
func lookFor(interval time.Duration) time.Duration { return min(interval/10, time.Second) }

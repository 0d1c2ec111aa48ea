// Package balance spreads calls over models.
//
// By default each call goes to the better of two models drawn at random, by
// latency, load and weight. [Algorithm] has the other ways. Whatever the way:
//
//   - Models that something holds, or that the call has tried, are left out, and
//     full ones come last.
//   - Where latency, load, price or score decide, failures cost more than they
//     save, so that a model that fails fast does not attract calls.
//   - Models that are new or have recovered get their share little by little;
//     see Config.SlowStart.
//   - Wherever two choices decide, calls with the same [resilience.CallOptions]
//     Affinity go to the same model, in every process. It takes such calls up to
//     1.25 times its fair load, and four in any case; what is beyond goes to the
//     model that is next for this affinity (rendezvous hashing with bounded
//     loads).
package balance

import (
	"context"
	"encoding/json"
	"sync/atomic"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// Wrap makes one caller of several that share the load. See
// [resilience.WrapAll].
func Wrap[Req, Resp any](cfg Config, callers ...resilience.ModelCaller[Req, Resp]) *resilience.Client[Req, Resp] {
	return resilience.WrapAll(callers, New(cfg))
}

// A Balancer is the load balancing feature, and a [resilience.Picker].
type Balancer struct {
	given  Config
	pool   *resilience.Pool
	live   atomic.Pointer[plan]
	turns  turns
	speeds speeds
	ramps  ramps
}

// plan is a configuration in effect.
type plan struct {
	Config // filled
	text   string
}

// New returns a balancer. What is wrong with cfg is reported by
// [resilience.NewPool].
func New(cfg Config) *Balancer { return &Balancer{given: cfg} }

// Install implements [resilience.Feature].
func (b *Balancer) Install(s *resilience.Setup) error {
	if b.pool != nil {
		return &resilience.ConfigError{Path: section, Problem: "this balancer belongs to another pool"}
	}
	if err := b.given.check(); err != nil {
		return err
	}
	b.pool = s.Pool()
	b.live.Store(newPlan(b.given))
	s.Configure(section, b.prepare)
	s.Pick(b)
	s.Observe(func(_ context.Context, e resilience.Event) {
		if recovered(e) {
			b.ramps.begin(b.pool.Now(), b.live.Load().SlowStart, e.Model)
		}
	}, resilience.EventBreaker, resilience.EventRelease)
	s.OnReset(func(m *resilience.Model) {
		b.ramps.forget(m)
		b.turns.forget(m)
	})
	return nil
}

func newPlan(cfg Config) *plan {
	p := &plan{Config: cfg, text: settings.Describe(cfg)}
	settings.Fill(&p.Config)
	return p
}

// String returns the settings in effect.
func (b *Balancer) String() string { return b.live.Load().text }

// prepare checks a section of the configuration, which lies over what the
// balancer was made with. Models that the configuration adds start slowly.
func (b *Balancer) prepare(raw json.RawMessage) (func(), error) {
	cfg := b.given
	if raw != nil {
		if err := configErrors(settings.Decode(section, raw, &cfg)); err != nil {
			return nil, err
		}
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	next, old := newPlan(cfg), map[*resilience.Model]bool{}
	for _, m := range b.pool.Models() {
		old[m] = true
	}
	return func() {
		b.live.Store(next)
		var added []*resilience.Model
		present := map[*resilience.Model]bool{}
		for _, m := range b.pool.Models() {
			present[m] = true
			if !old[m] && b.pool.Generation() > 1 {
				added = append(added, m)
			}
		}
		b.ramps.keep(present)
		b.turns.keep(present)
		b.speeds.keep(present)
		b.ramps.begin(b.pool.Now(), next.SlowStart, added...)
	}, nil
}

// Pick implements [resilience.Picker].
func (b *Balancer) Pick(c *resilience.Call, from resilience.Candidates) *resilience.Model {
	v := view{Balancer: b, plan: b.live.Load(), call: c, now: c.Clock(), from: from}
	if !v.narrow() {
		return nil
	}
	first := v.choose()
	if first == nil {
		return nil
	}
	m := first
	for share := v.share(m); share < 1 && b.pool.Rand() >= share; share = v.share(m) {
		if v.npassed == len(v.passed) {
			return first
		}
		v.passed[v.npassed] = m
		v.npassed++
		if m = v.choose(); m == nil && v.split != both && !v.held {
			v.split = both // the rest of the tier is there to go to
			m = v.choose()
		}
		if m == nil || v.standing(m) > v.standing(first) {
			return first
		}
	}
	return m
}

// share is the part of its normal traffic that m gets.
func (v *view) share(m *resilience.Model) float64 {
	return min(m.Ramp(), v.ramps.share(v.now, m))
}

// choose goes by the algorithm. It returns nil if there is nobody.
func (v *view) choose() *resilience.Model {
	switch v.Algorithm {
	case RoundRobin, Weighted:
		return v.inTurn(v.Algorithm == Weighted)
	case WeightedRandom:
		return v.draw()
	case LeastInFlight, LeastLatency, Cheapest, Scored:
		return v.best()
	default:
		if key := v.call.Affinity(); key != "" {
			return v.sticky(key)
		}
		a, b := v.two()
		if b != nil && (v.compare(b, a) < 0) != mutants.On("balance-picks-the-worse") {
			return b
		}
		return a
	}
}

package balance

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// A Limiter keeps each model of a pool within its limits: how many attempts are
// under way, and how many requests and tokens there are a minute. It is a
// [resilience.Feature] and owns the section "limiter".
//
// How many may be under way is what [resilience.Limits] says of the model, else
// LimiterConfig.InFlight, else found where there is trouble: nothing is refused
// until more than about one in twenty times out or is answered as overloaded, or
// the first chunks of streams come twice as late as within the last minutes. Then
// the limit is 0.7 of what was under way, or 0.9; from there it grows, slowly for a
// minute, and goes when it is not in use any more. That answers take long is no
// trouble: it may be what they are asked for.
//
// The pace is what Limits says, what the provider says in the headers of its
// answers, and, after rate limits that these do not account for, what proves to
// go through. A call that would be one too many waits for its turn before the
// provider refuses it. Headers are heard where a [resilience.Tap] is. Where
// calls last longer than ten seconds, such rate limits lower the number under
// way instead.
//
// A call without room waits, up to LimiterConfig.Wait and no longer than its
// time allows. Room goes to the highest priority; among calls of the same, to
// the tenants in turn; among a tenant's calls, to the one whose deadline comes
// first. Calls without a tenant are one tenant. When the queue is full a call
// takes the place of the last one of a lower priority or, within its priority,
// of the tenant that has the most waiting, if that is more than its own. What is
// refused fails as [resilience.Rejected], costs no budget and goes elsewhere. A
// provider that asked to be left alone and then answers a call of the last resort
// has taken that back for those who wait. An
// attempt is under way until it returns, or until its stream ends; a call that is
// made within it, to the same model, needs room of its own.
//
// A reload changes limits in place: what is under way when a limit is lowered
// goes on.
type Limiter struct {
	given LimiterConfig
	rooms resilience.PerModel[room]

	mu   sync.Mutex // of cfg, and of rooms being made
	pool *resilience.Pool
	cfg  LimiterConfig
}

// NewLimiter returns a limiter. What is wrong with cfg is reported by
// [resilience.NewPool].
func NewLimiter(cfg LimiterConfig) *Limiter { return &Limiter{given: cfg, cfg: cfg} }

// Install implements [resilience.Feature].
func (l *Limiter) Install(s *resilience.Setup) error {
	if l.pool != nil {
		return &resilience.ConfigError{Path: limiterSection, Problem: "this limiter belongs to another pool"}
	}
	if err := l.given.check(); err != nil {
		return err
	}
	l.pool = s.Pool()
	s.Wrap(resilience.LayerLimit, l.wrap)
	s.Configure(limiterSection, l.prepare)
	s.Explain(func(m *resilience.Model) string {
		if r := l.rooms.Of(m); r.made() {
			return r.explain()
		}
		return ""
	})
	s.OnReset(func(m *resilience.Model) {
		if r := l.rooms.Of(m); r.made() {
			r.reset()
		}
	})
	s.Tell(resilience.Metric{
		Name: "rate_limit_remaining", Help: "What is left of a limit that the provider told of, as far as is known.", Model: true, Label: "of",
		Read: func(tell func(resilience.Sample)) {
			for _, m := range l.pool.Models() {
				if r := l.rooms.Of(m); r.made() {
					r.remaining(func(of string, left float64) { tell(resilience.Sample{Model: m, Label: of, Value: left}) })
				}
			}
		},
	})
	return nil
}

// String returns the settings in effect.
func (l *Limiter) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return settings.Describe(l.cfg)
}

// Limit returns how many attempts m has room for at present, or 0 if that is
// not limited.
func (l *Limiter) Limit(m *resilience.Model) int {
	r := l.rooms.Of(m)
	if !r.made() {
		return 0
	}
	if n := r.limit.Load(); n != unlimited {
		return int(n)
	}
	return 0
}

func (l *Limiter) prepare(raw json.RawMessage) (func(), error) {
	cfg := l.given
	if raw != nil {
		var err error
		if cfg, err = l.given.over(raw); err != nil {
			return nil, err
		}
	}
	return func() {
		l.mu.Lock()
		l.cfg = cfg
		l.mu.Unlock()
		for _, m := range l.pool.Models() {
			if r := l.rooms.Of(m); r.made() {
				r.apply(cfg.rules(m))
			}
		}
	}, nil
}

func (l *Limiter) wrap(m *resilience.Model, next resilience.Handler) resilience.Handler {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.rooms.Of(m)
	if !r.made() {
		r.pool, r.model = l.pool, m
		r.apply(l.cfg.rules(m))
	}
	return func(ctx context.Context, c *resilience.Call) error { return r.run(ctx, c, next) }
}

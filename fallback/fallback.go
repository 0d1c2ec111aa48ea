// Package fallback moves a call on to other models when one fails it.
//
// Models are tried one at a time: tier by tier, within a tier in the order of
// the pool's picker or, without one, of binding. A model that something holds
// is skipped and costs no time. No model is tried twice in one call, so there
// are no cycles.
//
// Whether a failure moves the call on goes by the table of [resilience.Kind].
// Each move after a failure that reached a provider takes one of the call's
// extra attempts; see [resilience.Route.Extra].
package fallback

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// Config configures a [Manager]. The zero value is ready to use.
type Config struct {
	Limit      int  `json:"limit" zero:"all"` // models per call; 0 means all
	LastResort bool `json:"lastResort"`       // when all else failed, try held models too; it keeps no load from them
	Filtered   bool `json:"filtered"`         // what one model's filter refused may go to another

	// ObserveOnly tries one model, and reports where the call would have gone
	// on as an EventFallback with Would set.
	ObserveOnly bool `json:"observeOnly"`

	Ops map[string]Config `json:"ops,omitempty"`

	// On decides whether another model gets the call after err. Nil means the
	// table of [resilience.Kind]. It is not asked about a call that was
	// canceled or has run out of time.
	On func(err error) bool `json:"-"`
}

// Wrap makes one caller of several that can stand in for each other, in the
// order given. See [resilience.WrapAll].
func Wrap[Req, Resp any](cfg Config, callers ...resilience.ModelCaller[Req, Resp]) *resilience.Client[Req, Resp] {
	return resilience.WrapAll(callers, New(cfg))
}

// A Manager is the fallback feature.
type Manager struct {
	given Config
	pool  *resilience.Pool
	live  live
}

// New returns a manager.
func New(cfg Config) *Manager { return &Manager{given: cfg} }

// Install implements [resilience.Feature].
func (f *Manager) Install(s *resilience.Setup) error {
	if f.pool != nil {
		return &resilience.ConfigError{Path: "fallback", Problem: "this manager belongs to another pool"}
	}
	commit, err := f.prepare(nil)
	if err != nil {
		return err
	}
	commit()
	f.pool = s.Pool()
	s.Configure("fallback", f.prepare)
	s.Route(f.route)
	return nil
}

// prepare checks a section of the configuration, which lies over what the
// manager was made with.
func (f *Manager) prepare(raw json.RawMessage) (func(), error) {
	cfg := f.given
	if raw != nil {
		if err := problems(settings.Decode("fallback", raw, &cfg)); err != nil {
			return nil, err
		}
	}
	if err := problems(settings.Check("fallback", &cfg)); err != nil {
		return nil, err
	}
	next := newPlan(cfg)
	return func() { f.live.Store(next) }, nil
}

func problems(list []settings.Problem) error {
	var errs []error
	for _, p := range list {
		errs = append(errs, &resilience.ConfigError{Path: p.Path, Problem: p.Problem})
	}
	return errors.Join(errs...)
}

// String returns the settings in effect.
func (f *Manager) String() string { return f.live.Load().text }

// route goes through models until one answers.
func (f *Manager) route(ctx context.Context, r *resilience.Route, next resilience.Handler) error {
	c := r.Call()
	cfg := f.live.Load().of(c.Op())
	first := r.Broke() // decides the call's kind; see moves
	if first != nil && !cfg.moves(first, resilience.KindOf(first), false) {
		return first
	}
	unknown := false
	for tried := r.Tried() + 1; ; tried++ {
		if r.Next(ctx, false) == nil && (!cfg.LastResort || r.Next(ctx, true) == nil) {
			if first == nil {
				return r.None()
			}
			return first
		}
		more := true
		if tried == cfg.Limit || cfg.ObserveOnly {
			more = r.Others() > 0
			r.Last()
		}
		err := next(ctx, c)
		if err == nil {
			return nil
		}
		if first == nil || says(first) == 0 {
			first = err
		}
		kind := resilience.KindOf(err)
		if ctx.Err() != nil || c.Left() <= 0 {
			return err
		}
		if !cfg.moves(err, kind, tried == 1) || kind == resilience.Unknown && unknown {
			return first
		}
		unknown = unknown || kind == resilience.Unknown
		if kind == resilience.TooLong {
			r.Larger()
		}
		if tried == cfg.Limit || cfg.ObserveOnly || c.Remaining() == 0 && !cfg.LastResort || !r.Extra(err) {
			if cfg.ObserveOnly && more {
				c.Pool().Emit(ctx, resilience.Event{
					Kind: resilience.EventFallback, Model: c.Model(), From: c.Model().ID(), Err: err, Would: true,
				})
			}
			return first
		}
	}
}

// says returns 0 for kinds that say nothing about what to do next.
func says(err error) resilience.Kind {
	switch k := resilience.KindOf(err); k {
	case resilience.Rejected, resilience.Unknown:
		return 0
	default:
		return k
	}
}

// moves reports whether another model should get the call.
func (cfg *Config) moves(err error, kind resilience.Kind, first bool) bool {
	switch {
	case kind == resilience.Canceled:
		return false
	case cfg.On != nil:
		return cfg.On(err)
	case kind == resilience.Invalid:
		return !first // the request suited the first model, so it is this one's parameters
	case kind == resilience.Filtered:
		return cfg.Filtered
	default:
		return kind.Elsewhere()
	}
}

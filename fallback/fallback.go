// Package fallback moves a call on to other models when one fails it, or is
// slow.
//
// A [Strategy] says how models are gone through. In all of them tiers come in
// order, and within a tier the pool's picker chooses or, without one, the order
// of binding; Weighted and Random choose by themselves. A model that something
// holds is skipped and costs no time. No model is tried twice in one call, so
// there are no cycles.
//
// Whether a failure moves the call on goes by the table of [resilience.Kind].
// Each move after a failure that reached a provider takes one of the call's
// extra attempts; see [resilience.Route.Extra].
//
// # Hedging
//
// With Hedged a further model, of another provider if there is one, starts
// beside one that has not answered after a delay; of a stream the first chunk is
// the answer. The first answer counts and the others are canceled. A hedge takes
// one of the call's extra attempts and one of the pool's retry budget. There is
// none with [resilience.CallOptions].Once, while a stream is being rescued, and
// where the call has no other model.
//
// Without HedgeAfter the delay is learnt for each [resilience.Model] name and
// operation, streams apart: such a percentile of the last five minutes that
// hedges come to HedgeShare of the calls. There is none before a hundred calls
// are known, and never more than twice the share, beside twenty that can be
// saved up, whatever becomes slow.
//
// Hedges stop where they do no good:
//
//   - while the models are busy to more than a third, averaged over ten seconds,
//     as far as their [resilience.Model.Capacity] is known;
//   - for ten seconds, or as long as the provider asks, a minute at most, after
//     any failure that is RateLimited or Overloaded;
//   - where they do not pay: the request is slow and not the model, so that the
//     other model is slow as well, or the model is hardly ever slow. Then one
//     call in twenty is still hedged, to notice a change.
package fallback

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// section is the name of the feature's part of a configuration file.
const section = "fallback"

// A Strategy is a way of going through models.
type Strategy string

// The strategies.
const (
	Sequential Strategy = "sequential" // one at a time
	Parallel   Strategy = "parallel"   // Width at once; the first answer wins
	Weighted   Strategy = "weighted"   // one at a time, drawn by weight, errors and latency
	Random     Strategy = "random"     // one at a time, drawn evenly
	Hedged     Strategy = "hedged"     // sequential, but another starts beside one that is slow
)

// Config configures a [Manager]. The zero value is ready to use.
type Config struct {
	Strategy Strategy `json:"strategy" default:"sequential" oneof:"sequential parallel weighted random hedged"`
	Limit    int      `json:"limit" zero:"all"` // models per call; 0 means all

	// Width is how many models Parallel asks at once. Each further one takes one
	// of the call's extra attempts. Where one fails the next takes its place.
	Width int `json:"width" default:"2" min:"1" max:"8" off:"no"`

	// HedgeAfter is the delay before a hedge; learnt if it is 0, or negative in an
	// override. HedgeShare is the share of calls that learnt delays let be
	// hedged. Hedges is how many there are for a call at most, each one delay
	// after the one before.
	HedgeAfter time.Duration `json:"hedgeAfter" min:"1ms" zero:"learnt"`
	HedgeShare float64       `json:"hedgeShare" default:"0.05" max:"0.5" off:"no"`
	Hedges     int           `json:"hedges" default:"2" max:"4" off:"no"`

	LastResort bool `json:"lastResort"` // when all else failed, try held models too; it keeps no load from them
	Filtered   bool `json:"filtered"`   // what one model's filter refused may go to another

	// ObserveOnly tries one model, and reports where the call would have gone
	// on as an EventFallback with Would set.
	ObserveOnly bool `json:"observeOnly"`

	// StandIns says, by name or ID, which models may stand in for one that a
	// call is restricted to by [resilience.CallOptions].Model, in order, where
	// the call names no Fallbacks itself. What stands in for a stand-in does not
	// count. It is for all operations.
	StandIns map[string][]string `json:"standIns,omitempty"`

	// Ops lies over the fields above, by operation: what is not zero there
	// counts.
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
	given   Config
	pool    *resilience.Pool
	live    live
	classes classes
	quiet   quiet
	hedges  struct{ won, wasted atomic.Int64 }
}

// New returns a manager.
func New(cfg Config) *Manager { return &Manager{given: cfg} }

// Install implements [resilience.Feature].
func (f *Manager) Install(s *resilience.Setup) error {
	if f.pool != nil {
		return &resilience.ConfigError{Path: section, Problem: "this manager belongs to another pool"}
	}
	commit, err := f.prepare(nil)
	if err != nil {
		return err
	}
	commit()
	f.pool = s.Pool()
	s.Configure(section, f.prepare)
	s.Route(f.route)
	s.StandIns(f.standIns)
	s.OnReset(f.reset)
	s.Observe(func(ctx context.Context, e resilience.Event) {
		f.quiet.heed(f.pool.Now(), resilience.CallFrom(ctx), e.Err)
	}, resilience.EventRetry)
	s.Tell(resilience.Metric{
		Name: "hedges_total", Help: "Hedges that were made, by whether the call was answered by one.", Label: "result",
		Read: func(tell func(resilience.Sample)) {
			tell(resilience.Sample{Label: "won", Value: float64(f.hedges.won.Load())})
			tell(resilience.Sample{Label: "wasted", Value: float64(f.hedges.wasted.Load())})
		},
	})
	return nil
}

// prepare checks a section of the configuration, which lies over what the
// manager was made with.
func (f *Manager) prepare(raw json.RawMessage) (func(), error) {
	cfg := f.given
	if raw != nil {
		if err := configErrors(settings.Decode(section, raw, &cfg)); err != nil {
			return nil, err
		}
	}
	if err := configErrors(check(&cfg)); err != nil {
		return nil, err
	}
	next := newPlan(cfg)
	return func() { f.live.Store(next) }, nil
}

// String returns the settings in effect.
func (f *Manager) String() string { return f.live.Load().text }

// reset forgets what was learnt of models with the name of m.
func (f *Manager) reset(m *resilience.Model) {
	f.quiet.until.Store(0)
	f.classes.forget(m.Name())
}

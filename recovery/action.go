package recovery

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"

	"github.com/cmmv-hive/resilience"
)

// An Action is something that may bring a model back. Run ends when its context
// does, which is after Config.Timeout; a hung one keeps Pool.Run from ending. It
// succeeds only if it has done something. What it fails or panics with is noted,
// and the model is probed all the same: the probe decides.
//
// There is no action that collects garbage: a provider does not fail for this
// process's heap, and the collector knows better when to run.
type Action struct {
	Name string
	Run  func(ctx context.Context, m *resilience.Model) error
}

// Reset makes every feature forget what it holds against the model, caches
// included, as [resilience.Pool.Reset] does; the model stays held until a probe
// succeeds. That a model is reset when it comes back needs no action.
func Reset() Action {
	return Action{"reset", func(ctx context.Context, m *resilience.Model) error {
		r, ok := ctx.Value(recovererKey{}).(*Recoverer)
		if !ok {
			return errors.New("reset: runs only within a recoverer")
		}
		if r.look(m, r.watches.Of(m)).hand {
			return errHand
		}
		return r.reset(ctx, m, resilience.Control{Actor: actor, Reason: "an action"}, 1)
	}}
}

type recovererKey struct{}

// RotateKey puts another key in the place of the model's: fn fetches or makes it.
// A model with several [resilience.ModelInfo].Keys needs no action: those that are
// refused are left out, and it is probed by the next.
func RotateKey(fn func(ctx context.Context, m *resilience.Model) error) Action {
	return Action{"rotate key", fn}
}

// CloseIdle closes idle connections, as those that a provider's failover left
// behind: an *http.Client or *http.Transport has the method.
func CloseIdle(c interface{ CloseIdleConnections() }) Action {
	a := Action{Name: "close idle connections"}
	if c != nil {
		a.Run = func(context.Context, *resilience.Model) error {
			c.CloseIdleConnections()
			return nil
		}
	}
	return a
}

// Reload reads the configuration again.
func Reload(fn func(ctx context.Context, m *resilience.Model) error) Action {
	return Action{"reload configuration", fn}
}

// Switch points the model at another endpoint or region.
func Switch(fn func(ctx context.Context, m *resilience.Model) error) Action {
	return Action{"switch endpoint", fn}
}

// WarmUp makes the model ready, with fn, before it is probed. With nil it is
// probed once more than otherwise, as the first answer of a model that was idle is
// slow; each attempt then costs two probes.
func WarmUp(fn func(ctx context.Context, m *resilience.Model) error) Action {
	if fn == nil {
		fn = func(ctx context.Context, m *resilience.Model) error {
			r, ok := ctx.Value(recovererKey{}).(*Recoverer)
			if !ok {
				return errors.New("warm up: runs only within a recoverer")
			}
			return m.Probe(ctx, r.plan.Load().rules(m).timeout).Err
		}
	}
	return Action{"warm up", fn}
}

// run runs a within the recoverer's timeout, and makes an error of a panic and of
// a Goexit.
func (a Action) run(ctx context.Context, r *Recoverer, m *resilience.Model, limits *rules) error {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, recovererKey{}, r), limits.timeout)
	defer cancel()
	return guarded(func() error { return a.Run(ctx, m) }, func(v any) {
		r.pool.Log().ErrorContext(ctx, "a recovery action panicked", "action", a.Name, "model", m.ID(), "panic", v, "stack", string(debug.Stack()))
	})
}

// guarded runs fn on a goroutine of its own, for a Goexit to end.
func guarded(fn func() error, panicked func(v any)) (err error) {
	var wg sync.WaitGroup
	wg.Go(func() {
		err = errors.New("ended its goroutine")
		defer func() {
			if v := recover(); v != nil {
				panicked(v)
				err = errPanicked
			}
		}()
		err = fn()
	})
	wg.Wait()
	return err
}

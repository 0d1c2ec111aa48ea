package resilience_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// TestPanicsAndGoexitPassThrough ends calls in every place that is not ours.
func TestPanicsAndGoexitPassThrough(t *testing.T) {
	type hooks = resilience.Hooks[string, string]
	counted := map[string]bool{"caller": true, "usage": true, "validate": true, "cost": true, "fault": true}
	for place, build := range map[string]func(end func()) (features []resilience.Feature, call ask, h hooks){
		"caller": func(end func()) ([]resilience.Feature, ask, hooks) {
			return nil, func(ctx context.Context, _ string) (string, error) { ctx.Done(); end(); return "", nil }, hooks{}
		},
		"usage": func(end func()) ([]resilience.Feature, ask, hooks) {
			return nil, says("x"), hooks{Usage: func(string, string) resilience.Usage { end(); return resilience.Usage{} }}
		},
		"validate": func(end func()) ([]resilience.Feature, ask, hooks) {
			return nil, says("x"), hooks{Validate: func(string, string) error { end(); return nil }}
		},
		"cost": func(end func()) ([]resilience.Feature, ask, hooks) {
			return nil, says("x"), hooks{
				Usage: func(string, string) resilience.Usage { return resilience.Usage{Input: 1} },
				Cost:  func(*resilience.Model, string, string, resilience.Usage) float64 { end(); return 0 },
			}
		},
		"default": func(end func()) ([]resilience.Feature, ask, hooks) {
			return nil, fails(errBroken), hooks{Default: func(string, error) (string, error) { end(); return "", nil }}
		},
		"observe": func(end func()) ([]resilience.Feature, ask, hooks) {
			return []resilience.Feature{ends(resilience.LayerObserve, end)}, says("x"), hooks{}
		},
		"breaker": func(end func()) ([]resilience.Feature, ask, hooks) {
			return []resilience.Feature{ends(resilience.LayerBreaker, end)}, says("x"), hooks{}
		},
		"fault": func(end func()) ([]resilience.Feature, ask, hooks) {
			return []resilience.Feature{ends(resilience.LayerFault, end)}, says("x"), hooks{}
		},
	} {
		for how, end := range map[string]func(){"panic": func() { panic("boom") }, "Goexit": runtime.Goexit} {
			t.Run(place+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { // waits for all that was armed
					features, call, h := build(end)
					p := newPool(t, append(features, resilience.Timeouts{})...)
					c := newClient(t, p, resilience.BindFunc("m", call), h)
					events := p.Subscribe(10, resilience.EventAttempt)
					var got any
					done := make(chan bool)
					go func() {
						defer close(done)
						defer func() { got = recover() }()
						_, _, _ = c.Do(t.Context(), "", resilience.CallOptions{})
						t.Error("the call returned")
					}()
					<-done
					if how == "panic" {
						require.Equal(t, "boom", got)
					} else {
						require.Nil(t, got)
					}
					idle(t, p)
					events.Close()
					s := p.Model("m").Stats(time.Minute)
					if place == "cost" || place == "default" { // the attempt has an outcome already
						require.Equal(t, int64(1), s.Calls)
						return
					}
					want := int64(0)
					if counted[place] {
						want = 1
						e := <-events.C
						require.Equal(t, resilience.Unknown, resilience.KindOf(e.Err))
						require.ErrorContains(t, e.Err, "m: unknown: panicked")
					}
					require.Equal(t, want, s.Calls)
					require.Equal(t, want, s.Failures)
				})
			})
		}
	}
}

func ends(at resilience.Layer, end func()) resilience.Feature {
	return layer(at, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
		end()
		return next(ctx, c)
	})
}

func TestAttemptIsCanceledWhenTheCallerPanics(t *testing.T) {
	var kept context.Context
	c := resilience.Wrap(ask(func(ctx context.Context, _ string) (string, error) {
		kept = ctx //nolint:fatcontext // to look at after the call
		ctx.Done()
		panic("boom")
	}))
	require.PanicsWithValue(t, "boom", func() { _, _ = c.Call(t.Context(), "") })
	require.ErrorIs(t, kept.Err(), context.Canceled)
}

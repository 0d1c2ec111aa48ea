package resilience_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// duel runs the first model on this goroutine and the second beside it, each
// once, and hands the failures of the first to judge.
func duel(judge func(x *resilience.Race, r *resilience.Route, err error)) resilience.Feature {
	return feature(func(s *resilience.Setup) error {
		s.Route(func(ctx context.Context, r *resilience.Route, next resilience.Handler) error {
			r.Next(ctx, false)
			return r.Race(ctx, next, func(x *resilience.Race) error {
				x.Go(func(x *resilience.Race) error {
					if x.Over() || x.Next() == nil {
						return nil
					}
					return x.Try(true)
				})
				err := x.Try(false)
				if err != nil && judge != nil && !x.Over() {
					judge(x, r, err)
				}
				return err
			})
		})
		return nil
	})
}

// after waits for d, or its context, and does then.
func after(d time.Duration, then ask) ask {
	return func(ctx context.Context, req string) (string, error) {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
		return then(ctx, req)
	}
}

func TestRaceFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		enough := errors.New("enough")
		p := newPool(t, duel(func(x *resilience.Race, r *resilience.Route, _ error) {
			require.Equal(t, "a", r.Call().Model().ID(), "after Try the model is the lane's again")
			x.Fail(enough)
			require.True(t, x.Over())
			x.Fail(errBroken)
		}))
		c := newClient(t, p, resilience.BindFunc("a", after(time.Second, fails(resilience.Filtered))), resilience.BindFunc("b", untilDone))
		_, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
		require.ErrorIs(t, err, enough)
		require.Equal(t, time.Second, rep.Duration)
		require.Len(t, rep.Attempts, 2, "also what was left")
		require.Equal(t, resilience.Canceled, rep.Attempts[1].Kind)
		require.Contains(t, rep.Attempts[1].Reason, "left when the call failed")
		synctest.Wait()
		require.Zero(t, p.Model("b").Stats(time.Minute).Failures)
		idle(t, p)
	})
}

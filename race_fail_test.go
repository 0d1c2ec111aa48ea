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

func panics(v any) ask { return func(context.Context, string) (string, error) { panic(v) } }

func TestRaceLeadPanicsAfterTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, duel(nil))
		sub := p.Subscribe(4, resilience.EventPanic)
		defer sub.Close()
		c := newClient(t, p, resilience.BindFunc("a", after(time.Hour, panics("late"))), resilience.BindFunc("b", after(time.Second, says("b"))))
		got, err := c.Call(t.Context(), "?")
		require.NoError(t, err, "nobody waits for what panicked")
		require.Equal(t, "b", got)
		require.Len(t, sub.C, 1)
		idle(t, p)
	})
}

func TestRaceLanePanicsAfterTheAnswerButBeforeTheLeadReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		third := feature(func(s *resilience.Setup) error {
			s.Route(func(ctx context.Context, r *resilience.Route, next resilience.Handler) error {
				r.Next(ctx, false)
				return r.Race(ctx, next, func(x *resilience.Race) error {
					for range 2 {
						x.Go(func(x *resilience.Race) error { x.Next(); return x.Try(true) })
					}
					return x.Try(false)
				})
			})
			return nil
		})
		p := newPool(t, third)
		stubborn := func(context.Context, string) (string, error) { time.Sleep(time.Minute); return "", errBroken }
		c := newClient(t, p, resilience.BindFunc("a", stubborn), // the lead, which the call waits for
			resilience.BindFunc("b", after(time.Second, says("b"))), resilience.BindFunc("c", after(time.Hour, panics("late"))))
		for range 8 { // whichever lane is at c
			got, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
			require.Equal(t, "b", got)
		}
		idle(t, p)
	})
}

func TestRaceLoserWhoseResponsePanicsOnClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, duel(nil))
		sub := p.Subscribe(4, resilience.EventPanic)
		defer sub.Close()
		late := func(ctx context.Context, _ string) (closer, error) { <-ctx.Done(); return closer{panics: true}, nil }
		c, err := resilience.NewClient(p,
			resilience.BindFunc("a", late),
			resilience.BindFunc("b", func(context.Context, string) (closer, error) { time.Sleep(time.Second); return closer{}, nil }))
		require.NoError(t, err)
		_, err = c.Call(t.Context(), "?")
		require.NoError(t, err)
		require.Len(t, sub.C, 1)
		idle(t, p)
	})
}

type closer struct{ panics bool }

func (c closer) Close() error {
	if c.panics {
		panic("close")
	}
	return nil
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

func TestRaceThatRunsOutOfTimeListsAllThatWasUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, duel(nil), resilience.Timeouts{Call: time.Minute, Attempt: -1})
		stubborn := func(context.Context, string) (string, error) { time.Sleep(time.Hour); return "", errBroken }
		c := newClient(t, p, resilience.BindFunc("a", untilDone), resilience.BindFunc("b", stubborn))
		_, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
		require.ErrorIs(t, err, resilience.TimedOut)
		require.Equal(t, time.Minute, rep.Duration)
		require.Len(t, rep.Attempts, 2)
		require.Equal(t, "b", rep.Attempts[1].Model.ID())
		require.Equal(t, resilience.TimedOut, rep.Attempts[1].Kind)
		time.Sleep(time.Hour)
		idle(t, p)
	})
}

package resilience_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

func TestBudgetOfACall(t *testing.T) {
	for name, c := range map[string]struct {
		opts resilience.CallOptions
		err  error
		want int
	}{
		"default":                {resilience.CallOptions{}, resilience.Overloaded, 6},
		"three":                  {resilience.CallOptions{Attempts: 3}, resilience.Overloaded, 3},
		"ten":                    {resilience.CallOptions{Attempts: 10}, resilience.Overloaded, 10},
		"one":                    {resilience.CallOptions{Attempts: 1}, resilience.Overloaded, 1},
		"negative":               {resilience.CallOptions{Attempts: -3}, resilience.Overloaded, 1},
		"as many as there are":   {resilience.CallOptions{Attempts: math.MaxInt}, resilience.Overloaded, 20},
		"once, accepted":         {resilience.CallOptions{Once: true}, resilience.Overloaded, 1},
		"once, surely refused":   {resilience.CallOptions{Once: true}, &refused{}, 6},
		"once, refused to three": {resilience.CallOptions{Once: true, Attempts: 3}, &refused{}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			client := resilience.Wrap(counted(&n, fails(c.err)), again(20))
			_, rep, err := client.Do(t.Context(), "", c.opts)
			require.Error(t, err)
			require.Equal(t, c.want, n)
			require.Len(t, rep.Attempts, c.want)
		})
	}
}

// refused has the shape of an SDK's error for a refused connection.
type refused struct{ StatusCode int }

func (*refused) Error() string { return "429 Too Many Requests" }

func TestRefusalsOfOursAreFree(t *testing.T) {
	admit := 0
	n := 0
	gate := layer(resilience.LayerLimit, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
		if admit++; admit <= 15 {
			return resilience.Reject("no room", time.Second)
		}
		return next(ctx, c)
	})
	var ids []string
	for i := range 30 {
		ids = append(ids, string(rune('a'+i)))
	}
	p := newPool(t, models(ids[:26]...), gate, inTurn(false))
	c := newClient(t, p, bind(ids[:26], counted(&n, fails(resilience.Overloaded)))...)
	_, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
	require.ErrorIs(t, err, resilience.Overloaded)
	require.Equal(t, 6, n)
	require.Len(t, rep.Skipped, 8, "what an error says of them is bounded")
	require.Contains(t, rep.Skipped[0].Reason, "no room")
}

func TestRetryBudgetIsAskedWhereTheProviderWorked(t *testing.T) {
	for kind, want := range map[resilience.Kind]int{
		resilience.Overloaded:  1,
		resilience.Unreachable: 1,
		resilience.Truncated:   1,
		resilience.RateLimited: 1,
		resilience.Malformed:   0,
	} {
		asked, n := 0, 0
		c := resilience.Wrap(counted(&n, fails(kind)), again(5), feature(func(s *resilience.Setup) error {
			s.RetryBudget(func(bool) bool { asked++; return false })
			return nil
		}))
		_, err := c.Call(t.Context(), "")
		require.ErrorIs(t, err, kind)
		require.Equal(t, want, asked, kind)
		if want == 1 {
			require.Equal(t, 1, n, kind)
		}
	}
}

func TestNestedCallsShareTheBudget(t *testing.T) {
	n := 0
	inner := resilience.Wrap(counted(&n, fails(resilience.RateLimited)), inTurn(false), again(3))
	agent := resilience.Wrap(ask(func(ctx context.Context, req string) (string, error) {
		for range 10 {
			if _, err := inner.Call(ctx, req); err == nil {
				return "", errors.New("impossible")
			}
		}
		return "done", nil
	}))
	_, err := agent.Call(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, 10+5, n, "each call's first attempt is free, five more for all of them")
}

func TestAgentDoesNotStarve(t *testing.T) {
	n := 0
	inner := resilience.Wrap(counted(&n, says("ok")), again(3))
	agent := resilience.Wrap(ask(func(ctx context.Context, req string) (string, error) {
		for range 30 {
			if _, err := inner.Call(ctx, req); err != nil {
				return "", err
			}
		}
		return "done", nil
	}))
	_, err := agent.Call(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, 30, n)
}

func TestDetachSharesNothing(t *testing.T) {
	n := 0
	var op string
	inner := resilience.Wrap(counted(&n, ask(func(ctx context.Context, _ string) (string, error) {
		op = resilience.CallFrom(ctx).Op()
		return "", resilience.RateLimited
	})), again(3))
	agent := resilience.Wrap(ask(func(ctx context.Context, req string) (string, error) {
		for range 4 {
			_, _ = inner.Call(resilience.Detach(ctx), req)
		}
		require.Nil(t, resilience.CallFrom(resilience.Detach(ctx)))
		return "done", nil
	}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	_, _, err := agent.Do(ctx, "", resilience.CallOptions{Op: "outer"})
	require.NoError(t, err)
	require.Equal(t, 4*3, n)
	require.Empty(t, op)
	deadline, ok := resilience.Detach(ctx).Deadline()
	require.True(t, ok && time.Until(deadline) > 0, "the deadline stays")
}

func TestWhatNestedPoolsInherit(t *testing.T) {
	var got resilience.CallOptions
	inner := newClient(t, newPool(t), resilience.BindFunc("x", func(ctx context.Context, _ string) (string, error) {
		got = resilience.CallFrom(ctx).Options()
		return "", nil
	}))
	var innerOpts resilience.CallOptions
	outer := newClient(t, newPool(t), resilience.BindFunc("a", func(ctx context.Context, req string) (string, error) {
		_, _, err := inner.Do(ctx, req, innerOpts)
		return "", err
	}))
	taken := resilience.CallOptions{
		Op: "op", Tenant: "t", Once: true, Priority: resilience.High, Region: "eu", Affinity: "session", Tokens: 100,
	}
	all := taken
	all.Model, all.Fallbacks, all.Timeout, all.Attempts = "a", []string{"a"}, time.Hour, 3

	_, _, err := outer.Do(t.Context(), "", all)
	require.NoError(t, err)
	require.Equal(t, taken, got)

	innerOpts = resilience.CallOptions{Op: "mine", Model: "x"}
	_, _, err = outer.Do(t.Context(), "", all)
	require.NoError(t, err)
	mine := taken
	mine.Op, mine.Model = "mine", "x"
	require.Equal(t, mine, got)
}

func TestOnceAcrossPools(t *testing.T) {
	// The inner pool's first model refuses for certain, its second may have
	// worked: the outer pool must not ask its own second model.
	asked := 0
	inner := newClient(t, newPool(t, inTurn(false)),
		resilience.BindFunc("a", fails(&refused{})), resilience.BindFunc("b", fails(resilience.Overloaded)))
	outer := newClient(t, newPool(t, inTurn(false)),
		resilience.Bind("inner", inner), resilience.BindFunc("c", counted(&asked, says("again"))))
	_, _, err := outer.Do(t.Context(), "", resilience.CallOptions{Once: true})
	require.Error(t, err)
	require.Zero(t, asked)

	surely := newClient(t, newPool(t, inTurn(false)),
		resilience.BindFunc("a", fails(&refused{})), resilience.BindFunc("b", fails(&refused{})))
	outer = newClient(t, newPool(t, inTurn(false)),
		resilience.Bind("inner", surely), resilience.BindFunc("c", counted(&asked, says("again"))))
	_, _, err = outer.Do(t.Context(), "", resilience.CallOptions{Once: true})
	require.NoError(t, err)
	require.Equal(t, 1, asked)
}

func TestErrorIsNotWrappedAgain(t *testing.T) {
	inner := newClient(t, newPool(t), resilience.BindFunc("in", fails(resilience.Overloaded)))
	outer := newClient(t, newPool(t), resilience.Bind("out", inner))
	_, err := outer.Call(t.Context(), "")
	var e *resilience.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "in", e.Model)
	require.Equal(t, resilience.Overloaded, e.Err)
	require.Equal(t, int64(1), outer.Models()[0].Stats(time.Minute).Failures)
}

func TestOneLayerRetries(t *testing.T) {
	n := 0
	inner := newClient(t, newPool(t, inTurn(false), again(2)),
		resilience.BindFunc("a", counted(&n, fails(resilience.Overloaded))),
		resilience.BindFunc("b", counted(&n, fails(resilience.Overloaded))))
	middle := newClient(t, newPool(t, again(2)), resilience.Bind("m", inner))
	outer := newClient(t, newPool(t, again(2)), resilience.Bind("o", middle))
	_, err := outer.Call(t.Context(), "")
	var all *resilience.ExhaustedError
	require.ErrorAs(t, err, &all)
	require.Equal(t, 4, n, "two models, two attempts each, and nobody outside asks again")
}

// TestGiveUpLeavesSharedErrorsAlone: a callee may return one value from all of
// its calls.
func TestGiveUpLeavesSharedErrorsAlone(t *testing.T) {
	shared := &resilience.Error{Kind: resilience.Overloaded}
	all := &resilience.ExhaustedError{Kind: resilience.Overloaded}
	for _, err := range []error{shared, all, nil, errBroken} {
		c := resilience.Wrap(fails(err), layer(resilience.LayerRetry,
			func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
				got := next(ctx, c)
				marked := c.GiveUp(got)
				require.False(t, err != nil && c.GaveUp(err))
				require.Equal(t, err != nil, c.GaveUp(marked))
				require.Equal(t, resilience.KindOf(got), resilience.KindOf(marked))
				return marked
			}))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _, _ = c.Call(t.Context(), "") })
		}
		wg.Wait()
	}
}

func TestOurTimerOverANestedPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := newClient(t, newPool(t, resilience.Timeouts{}), resilience.BindFunc("in", untilDone))
		outer := newClient(t, newPool(t, resilience.Timeouts{Attempt: time.Second}), resilience.Bind("out", inner))
		_, err := outer.Call(t.Context(), "")
		require.Equal(t, resilience.TimedOut, resilience.KindOf(err))
		require.Equal(t, int64(1), outer.Models()[0].Stats(time.Minute).Failures)
		require.Zero(t, inner.Models()[0].Stats(time.Minute).Calls, "the outer call left: nothing against the model")
	})
}

// TestACalleesOwnTimeoutOverANestedPool: the inner pool's caller is the callee,
// and the outer pool's is not.
func TestACalleesOwnTimeoutOverANestedPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := newClient(t, newPool(t), resilience.BindFunc("in", untilDone))
		tool := ask(func(ctx context.Context, req string) (string, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			return inner.Call(ctx, req)
		})
		outer := newClient(t, newPool(t, inTurn(false)), resilience.BindFunc("a", tool), resilience.BindFunc("b", says("b")))
		answer, err := outer.Call(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, "b", answer)
		require.Equal(t, int64(1), outer.Pool().Model("a").Stats(time.Minute).Failures)
	})
}

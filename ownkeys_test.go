package resilience_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/stack"
)

// TestKeysAreNeverMixed: each request says whose key it must be asked with, ""
// for one of the model's own. Every model, nested ones too, checks.
func TestKeysAreNeverMixed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		house := map[string][]string{"m": {"m1", "m2", "m3"}, "n": {"n1", "n2"}, "o": nil, "inner": {"i1"}}
		var wrong atomic.Pointer[string]
		var asked, nested atomic.Int64
		check := func(ctx context.Context, id, req string) {
			asked.Add(1)
			got := resilience.KeyFrom(ctx)
			ok := got == req
			if req == "" {
				ok = got == "" && len(house[id]) == 0 || strings.HasPrefix(got, id[:1]) && len(got) == 2
			}
			if !ok {
				wrong.Store(new(fmt.Sprintf("%s asked with %q for %q", id, got, req)))
			}
		}
		inner := resilience.Wrap(ask(func(ctx context.Context, req string) (string, error) {
			check(ctx, "inner", req)
			nested.Add(1)
			return "", nil
		}), resilience.Models(withKeys("model", "", "i1")))
		var n atomic.Int64
		at := func(id string) option {
			return resilience.BindFunc(id, func(ctx context.Context, req string) (string, error) {
				check(ctx, id, req)
				k := n.Add(1)
				if k%7 == 0 {
					time.Sleep(3 * time.Second) // hedged
				}
				switch {
				case k%13 == 0:
					return "", no(429, "1")
				case k%11 == 0:
					return "", no(401)
				case k%5 == 0:
					return "", no(503)
				}
				if k%3 == 0 {
					_, _ = inner.Call(ctx, req)
					check(ctx, id, req)
				}
				time.Sleep(time.Duration(k%4) * 10 * time.Millisecond)
				return "", nil
			})
		}
		p := newPool(t, stack.New(stack.Config{Fallback: fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 20 * time.Millisecond}}),
			resilience.Models(withKeys("m", "p", "m1", "m2", "m3"), withKeys("n", "q", "n1", "n2"), withKeys("o", "")))
		c := newClient(t, p, at("m"), at("n"), at("o"))
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				for j := range 200 {
					key := ""
					if i%3 > 0 {
						key = fmt.Sprintf("own%d", (i*j)%301)
					}
					if i%2 == 0 {
						_, _, _ = c.Do(t.Context(), key, resilience.CallOptions{Key: key})
					} else {
						_, _ = c.Call(resilience.WithOptions(t.Context(), resilience.CallOptions{Key: key}), key)
					}
					time.Sleep(50 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		require.Nil(t, wrong.Load(), "%v", deref(wrong.Load()))
		require.Greater(t, asked.Load(), int64(2000))
		require.Positive(t, nested.Load())
	})
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// TestOwnDeadKeyIsNobodyElses: a customer's key is refused a hundred times a
// second, and costs others nothing.
func TestOwnDeadKeyIsNobodyElses(t *testing.T) {
	for status, by := range map[int]string{401: "credential", 403: "credential", 402: "quota", 429: "limit", 404: ""} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLock()
				l.set(no(status), "acme")
				p := newPool(t, stack.New(stack.Config{}), resilience.Models(withKeys("m", "p", "a"), withKeys("n", "p", "a")))
				limits := p.Subscribe(1000, resilience.EventHold)
				c := newClient(t, p, bind([]string{"m", "n"}, l.ask)...)
				for range 500 {
					_, _, err := c.Do(t.Context(), "?", resilience.CallOptions{Key: "acme"})
					require.Error(t, err)
					_, err = c.Call(t.Context(), "?")
					require.NoError(t, err)
					time.Sleep(10 * time.Millisecond)
				}
				for _, m := range p.Models() {
					require.True(t, m.Available())
					require.Empty(t, m.Holds())
					require.Zero(t, m.Capacity())
					require.Zero(t, m.Errors())
				}
				n := l.used("acme")[0]
				limits.Close()
				for e := range limits.C {
					require.Equal(t, "acme", e.Key)
					require.Equal(t, by, e.To)
				}
				switch status {
				case 401, 402:
					require.Equal(t, 1, n, "refused by the provider, for all its models")
				case 403:
					require.Equal(t, 2, n, "at each model")
				case 429:
					require.InDelta(t, 6, n, 2, "after 1 s, 2 s, 4 s, at each model")
				}
			})
		})
	}
}

func TestOwnKeyHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logged
		l := newLock()
		l.set(no(401), "acme")
		p := newPool(t, stack.New(stack.Config{}), resilience.Logger(slog.New(slog.NewTextHandler(&log, nil))), resilience.Models(withKeys("m", "p", "a"), withKeys("n", "q", "b")))
		rejects := p.Subscribe(10, resilience.EventReject)
		c := newClient(t, p, append(bind([]string{"m"}, l.ask), resilience.BindFunc("n", func(ctx context.Context, _ string) (string, error) {
			return "n:" + resilience.KeyFrom(ctx), nil
		}))...)
		own := resilience.CallOptions{Key: "acme"}
		pinned := own
		pinned.Model = "m"
		_, _, err := c.Do(t.Context(), "?", pinned)
		require.ErrorIs(t, err, resilience.Unauthorized)
		until := time.Now().Add(5 * time.Minute)

		_, rep, err := c.Do(t.Context(), "?", pinned)
		require.ErrorIs(t, err, resilience.Rejected)
		require.Empty(t, rep.Attempts, "the provider is not asked")
		require.Contains(t, err.Error(), "skipped m refused: key acme held by credential (unauthorized 401")
		require.Contains(t, err.Error(), "until "+until.Format(time.RFC3339))
		require.Equal(t, 5*time.Minute, resilience.RetryAfter(err))
		require.Equal(t, "acme", (<-rejects.C).Key)
		for range 10 {
			answer, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{Key: "acme", Attempts: -1})
			require.NoError(t, err, "elsewhere, free of charge")
			require.Equal(t, "n:acme", answer)
			require.Len(t, rep.Attempts, 1)
		}
		for _, wait := range []time.Duration{5, 10, 20, 40, 60, 60} {
			l.used()
			time.Sleep(wait*time.Minute - 1)
			_, _, err = c.Do(t.Context(), "?", pinned)
			require.ErrorIs(t, err, resilience.Rejected)
			time.Sleep(1)
			_, _, err = c.Do(t.Context(), "?", pinned)
			require.ErrorIs(t, err, resilience.Unauthorized)
			require.Equal(t, []int{1}, l.used("acme"))
		}
		l.set(nil, "acme")
		time.Sleep(time.Hour)
		_, _, err = c.Do(t.Context(), "?", pinned)
		require.NoError(t, err)
		l.set(no(401), "acme")
		_, _, err = c.Do(t.Context(), "?", pinned)
		require.ErrorIs(t, err, resilience.Unauthorized)
		time.Sleep(5 * time.Minute)
		_, _, err = c.Do(t.Context(), "?", pinned)
		require.ErrorIs(t, err, resilience.Unauthorized, "begun anew")
		require.NotContains(t, log.String(), "level=WARN", "a customer's key is no alert")
	})
}

// TestOwnKeyWhereTheHouseIsOut: what came of the house's keys does not concern
// those who bring their own, and they say nothing of the house's.
func TestOwnKeyWhereTheHouseIsOut(t *testing.T) {
	for _, status := range []int{401, 402, 403} {
		synctest.Test(t, func(t *testing.T) {
			l := newLock()
			l.set(no(status), "a", "")
			p := newPool(t, stack.New(stack.Config{}), resilience.Models(withKeys("m", "p", "a"), withKeys("n", "")))
			c := newClient(t, p, bind([]string{"m", "n"}, l.ask)...)
			for _, id := range []string{"m", "n"} {
				_, err := c.Pin(id).Call(t.Context(), "?")
				require.Error(t, err)
				m := p.Model(id)
				require.False(t, m.Available())
				_, _, err = c.Pin(id).Do(t.Context(), "?", resilience.CallOptions{Key: "acme"})
				require.NoError(t, err)
				require.False(t, m.Available())
				_, err = c.Pin(id).Call(t.Context(), "?")
				require.ErrorIs(t, err, resilience.Rejected)

				require.NoError(t, m.Drain(t.Context(), by))
				_, _, err = c.Pin(id).Do(t.Context(), "?", resilience.CallOptions{Key: "acme"})
				require.ErrorIs(t, err, resilience.Rejected, "an operator's hold is for all")
			}
		})
	}
}

func TestOwnLimitIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		p := newPool(t, stack.New(stack.Config{}))
		c := newClient(t, p, resilience.BindFunc("m", func(context.Context, string) (string, error) {
			if n++; n == 1 {
				return "", no(429)
			}
			return "fine", nil
		}))
		_, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{Key: "acme"})
		require.NoError(t, err)
		require.Len(t, rep.Attempts, 2)
		require.GreaterOrEqual(t, rep.Duration, time.Second)

		n = 0
		_, _, err = c.Do(t.Context(), "?", resilience.CallOptions{Key: "acme", Attempts: -1})
		require.ErrorIs(t, err, resilience.RateLimited)
		_, _, err = c.Do(t.Context(), "?", resilience.CallOptions{Key: "acme", Attempts: -1})
		require.ErrorIs(t, err, resilience.Rejected)
		code, after := resilience.HTTPStatus(err)
		require.Equal(t, 429, code)
		require.Equal(t, time.Second, after)
	})
}

func TestDetachedCallsHaveNoOwnKey(t *testing.T) {
	inner := resilience.Wrap(ask(func(ctx context.Context, _ string) (string, error) { return resilience.KeyFrom(ctx), nil }))
	c := resilience.Wrap(ask(func(ctx context.Context, _ string) (string, error) {
		in, _ := inner.Call(ctx, "")
		out, _ := inner.Call(resilience.Detach(ctx), "")
		other, _, err := inner.Do(ctx, "", resilience.CallOptions{Key: "other"})
		return in + "," + out + "," + other, err
	}))
	answer, _, err := c.Do(t.Context(), "", resilience.CallOptions{Key: "acme"})
	require.NoError(t, err)
	require.Equal(t, "acme,,other", answer)
}

// TestInnerOwnKeyHoldsNoOuterModel: the customer's key comes in only within.
func TestInnerOwnKeyHoldsNoOuterModel(t *testing.T) {
	inner := newClient(t, newPool(t, fallback.New(fallback.Config{})), bind([]string{"x", "y"}, fails(no(401)))...)
	p := newPool(t, breaker.New(breaker.Config{}), balance.NewLimiter(balance.LimiterConfig{}))
	c := newClient(t, p, resilience.BindFunc("m", func(ctx context.Context, key string) (string, error) {
		answer, _, err := inner.Do(ctx, "", resilience.CallOptions{Key: key})
		return answer, err
	}))
	_, err := c.Call(t.Context(), "acme")
	require.ErrorIs(t, err, resilience.Unauthorized)
	require.True(t, p.Model("m").Available())
	require.Zero(t, p.Model("m").Errors())
	_, err = c.Call(t.Context(), "")
	require.ErrorIs(t, err, resilience.Unauthorized)
	require.False(t, p.Model("m").Available(), "that one was the house's")
}

// TestManyOwnKeys: what is known of callers' keys does not grow for ever.
func TestManyOwnKeys(t *testing.T) {
	bad := no(401)
	p := newPool(t)
	c := newClient(t, p, resilience.BindFunc("m", func(context.Context, string) (string, error) { return "", bad }))
	call := func(i int) error {
		_, err := c.Call(resilience.WithOptions(t.Context(), resilience.CallOptions{Key: "customer-" + strconv.Itoa(i)}), "")
		return err
	}
	for i := range 10_500 {
		require.ErrorIs(t, call(i), resilience.Unauthorized, "of an unknown key the provider is asked")
		if i%1000 == 0 && i > 0 {
			require.ErrorIs(t, call(0), resilience.Rejected, "one that is in use is not forgotten")
		}
	}
	require.ErrorIs(t, call(10_499), resilience.Rejected)
	require.ErrorIs(t, call(0), resilience.Rejected)
	require.ErrorIs(t, call(1), resilience.Unauthorized, "used longest ago")
}

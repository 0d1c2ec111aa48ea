package resilience_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/stack"
)

// turnedAway is what an SDK returns for a response that says no.
type turnedAway struct {
	StatusCode int
	Header     http.Header
}

func (r *turnedAway) Error() string { return "status " + strconv.Itoa(r.StatusCode) }

func no(status int, retryAfter ...string) error {
	h := http.Header{}
	if len(retryAfter) > 0 {
		h["Retry-After"] = retryAfter
	}
	return &turnedAway{status, h}
}

// lock is a provider that looks at keys.
type lock struct {
	mu   sync.Mutex
	says map[string]error // nil is an answer
	uses map[string]int
}

func newLock() *lock { return &lock{says: map[string]error{}, uses: map[string]int{}} }

func (l *lock) ask(ctx context.Context, _ string) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := resilience.KeyFrom(ctx)
	l.uses[key]++
	return key, l.says[key]
}

func (l *lock) set(err error, keys ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range keys {
		l.says[k] = err
	}
}

// used returns how often keys were used since the last time.
func (l *lock) used(keys ...string) (n []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range keys {
		n = append(n, l.uses[k])
	}
	l.uses = map[string]int{}
	return n
}

func withKeys(id, provider string, keys ...string) resilience.ModelInfo {
	return resilience.ModelInfo{ID: id, Provider: provider, Keys: keys}
}

// keyEvents collects events of holds and releases of keys.
func keyEvents(p *resilience.Pool) func() []string {
	s := p.Subscribe(1000, resilience.EventHold, resilience.EventRelease)
	return func() (list []string) {
		for {
			select {
			case e := <-s.C:
				if e.Key != "" {
					list = append(list, fmt.Sprintf("%v %v[%s] %s%s (%s)", e.Kind, e.Model, e.Key, e.From, e.To, e.Reason))
				}
			default:
				return list
			}
		}
	}
}

// TestDeadKeyAmongThree: an hour at ten calls a second.
func TestDeadKeyAmongThree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logged
		l := newLock()
		l.set(no(401), "b")
		p := newPool(t, stack.New(stack.Config{}), resilience.Logger(slog.New(slog.NewTextHandler(&log, nil))),
			resilience.Models(withKeys("m", "p", "a", "b", "c"), withKeys("n", "p", "b", "a")))
		events := keyEvents(p)
		c := newClient(t, p, bind([]string{"m", "n"}, l.ask)...)
		for range 36_000 {
			answer, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
			require.NotEqual(t, "b", answer)
			time.Sleep(100 * time.Millisecond)
		}
		n := l.used("a", "b", "c")
		require.Equal(t, 1, n[1], "uses of the dead key, by all models of its provider")
		require.Equal(t, 36_000, n[0]+n[2])
		require.InDelta(t, 9_000, n[2], 900, "m's other keys take turns, half of the calls")
		got := events()
		require.Len(t, got, 1)
		require.Regexp(t, `^hold [mn]\[b\] credential \(unauthorized 401.*\)$`, got[0])
		require.Equal(t, 1, countLines(log.String(), "level=WARN"), log.String())
		require.Contains(t, log.String(), `msg="a key is out of use" key=b`)
		for _, m := range p.Models() {
			require.True(t, m.Available())
			require.Equal(t, resilience.Available, m.Status())
			require.Zero(t, m.Stats(5*time.Minute).Failures)
			holds := m.Holds()
			require.Len(t, holds, 1)
			require.Equal(t, "b", holds[0].Key)
			require.Equal(t, resilience.HoldCredential, holds[0].By)
			require.True(t, holds[0].Until.IsZero())
			_, held := m.HeldSince(resilience.HoldCredential)
			require.False(t, held)
		}
		v := p.Explain("m")[0]
		require.True(t, v.Usable)
		require.Regexp(t, `^m usable; key b held by credential \(unauthorized 401.*\) until lifted$`, v.String())
		idle(t, p)
	})
}

func countLines(text, part string) (n int) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

func TestKeysTakeTurns(t *testing.T) {
	l := newLock()
	p := newPool(t, resilience.Models(withKeys("m", "", "a", "b", "c")))
	c := newClient(t, p, bind([]string{"m"}, l.ask)...)
	for range 300 {
		_, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
	}
	require.Equal(t, []int{100, 100, 100}, l.used("a", "b", "c"))
	l.set(no(401), "b")
	for range 301 {
		_, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
	}
	n := l.used("a", "b", "c")
	require.Equal(t, 1, n[1])
	require.InDelta(t, 150, n[0], 1, "the others share its turns evenly")
}

func TestNoKeys(t *testing.T) {
	p := newPool(t, models("m"))
	c := newClient(t, p, resilience.BindFunc("m", func(ctx context.Context, _ string) (string, error) {
		return "<" + resilience.KeyFrom(ctx) + ">", no(401)
	}))
	_, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
	require.ErrorIs(t, err, resilience.Unauthorized)
	require.Empty(t, rep.Attempts[0].Key)
	require.Empty(t, p.Model("m").Holds())
	require.Empty(t, resilience.KeyFrom(t.Context()))
	require.Equal(t, "m: unauthorized: 401", err.Error()[:20])
}

func TestRotationInTheReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLock()
		l.set(no(401), "a")
		p := newPool(t, resilience.Models(withKeys("m", "p", "a", "b", "c")), breaker.New(breaker.Config{}))
		attempts := p.Subscribe(10, resilience.EventAttempt)
		c := newClient(t, p, bind([]string{"m"}, l.ask)...)
		answer, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{Once: true, Attempts: -1})
		require.NoError(t, err, "it costs none of the call's attempts")
		require.Equal(t, "b", answer)
		require.Len(t, rep.Attempts, 2)
		require.Equal(t, "a", rep.Attempts[0].Key)
		require.Regexp(t, `^401.* → other key$`, rep.Attempts[0].Reason)
		require.Equal(t, "b", rep.Attempts[1].Key)
		require.Equal(t, "a", (<-attempts.C).Key)
		require.Equal(t, "b", (<-attempts.C).Key)
		require.Equal(t, int64(2), p.Model("m").Stats(time.Minute).Calls)
		require.Zero(t, p.Model("m").Errors(), "what a key failed for drives nobody away")
		require.True(t, p.Model("m").Available())

		l.set(no(401), "b", "c")
		_, _, err = c.Do(t.Context(), "?", resilience.CallOptions{})
		require.ErrorIs(t, err, resilience.Unauthorized)
		require.Regexp(t, `a1 m\[(b|c)\] unauthorized 401.* → other key; a2 m\[(b|c)\] unauthorized 401`, err.Error())
		var e *resilience.Error
		require.ErrorAs(t, err, &e)
		require.Regexp(t, `^m\[[bc]\]: unauthorized: 401`, e.Error())
	})
}

func TestSpentKeyComesBackAtItsReset(t *testing.T) {
	for name, tc := range map[string]struct {
		err   error
		after []time.Duration
	}{
		"named":       {no(402, "600"), []time.Duration{0, 600, 1200}},
		"not named":   {no(402), []time.Duration{0, 60, 180, 420, 900, 1860, 3780, 7380, 10980}},
		"rate limit":  {no(429, "30"), []time.Duration{0, 30, 60}},
		"not named ":  {no(429), []time.Duration{0, 1, 3, 7, 15, 31, 63, 123, 183}},
		"not refused": {resilience.RateLimited, []time.Duration{0, 1, 3, 7, 15}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var used []time.Duration
				broken := true
				p := newPool(t, stack.New(stack.Config{}), resilience.Models(withKeys("m", "p", "a", "b"), withKeys("n", "p", "b", "a")))
				c := newClient(t, p, bind([]string{"m"}, func(ctx context.Context, _ string) (string, error) {
					if resilience.KeyFrom(ctx) == "a" && broken {
						used = append(used, time.Since(start)/time.Second)
						return "", tc.err
					}
					return "", nil
				})...)
				for range (tc.after[len(tc.after)-1] + 1) * 2 {
					_, err := c.Call(t.Context(), "?")
					require.NoError(t, err)
					require.True(t, p.Model("m").Available())
					time.Sleep(time.Second / 2)
				}
				require.Equal(t, tc.after, used)
				broken = false
				time.Sleep(time.Hour)
				for range 4 {
					_, err := c.Call(t.Context(), "?")
					require.NoError(t, err)
				}
				require.Empty(t, p.Model("m").Holds())
				broken = true
				for range 2 {
					_, _ = c.Call(t.Context(), "?")
				}
				h := p.Model("m").Holds()
				require.Len(t, h, 1)
				require.Equal(t, (tc.after[1]-tc.after[0])*time.Second, time.Until(h[0].Until), "an answer begins it anew")
			})
		})
	}
}

func TestAllKeysLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLock()
		l.set(no(429, "30"), "a")
		l.set(no(429, "10"), "b")
		l.set(no(429, "20"), "c")
		p := newPool(t, stack.New(stack.Config{}), resilience.Models(withKeys("m", "p", "a", "b", "c")))
		c := newClient(t, p, bind([]string{"m"}, l.ask)...)
		_, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
		require.ErrorIs(t, err, resilience.RateLimited)
		require.Len(t, rep.Attempts, 3)
		require.Equal(t, []int{1, 1, 1}, l.used("a", "b", "c"))
		require.Equal(t, 10*time.Second, resilience.RetryAfter(err))
		m := p.Model("m")
		require.False(t, m.Available())
		require.Equal(t, 10*time.Second, time.Until(m.Holds()[0].Until))
		require.Equal(t, resilience.HoldLimit, m.Holds()[0].By)
		require.Len(t, m.Holds(), 4)
		require.Regexp(t, `^m held by limit \(rate_limited\) until \S+; key a held by limit .* until \S+, key b .*, key c .*$`, p.Explain("")[0].String())
		_, err = c.Call(t.Context(), "?")
		code, _ := resilience.HTTPStatus(err)
		require.Equal(t, 429, code)
		require.Equal(t, []int{0, 0, 0}, l.used("a", "b", "c"))

		l.set(nil, "a", "b", "c")
		time.Sleep(10 * time.Second)
		for range 3 {
			answer, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
			require.Equal(t, "b", answer, "the only one that is free")
		}
		time.Sleep(20 * time.Second)
		for range 6 {
			_, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
		}
		require.Equal(t, []int{2, 5, 2}, l.used("a", "b", "c"))
		require.Empty(t, m.Holds())
	})
}

// TestKeysOfDifferentTrouble: one is refused, one limited. The model waits for the
// limit, not for somebody to mend the key.
func TestKeysOfDifferentTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLock()
		l.set(no(429, "7"), "a")
		l.set(no(401), "b")
		p := newPool(t, stack.New(stack.Config{}), resilience.Models(withKeys("m", "p", "a", "b")))
		c := newClient(t, p, bind([]string{"m"}, l.ask)...)
		for range 3 {
			_, err := c.Call(t.Context(), "?")
			require.Error(t, err)
		}
		h := p.Model("m").Holds()[0]
		require.Equal(t, resilience.HoldLimit, h.By)
		require.Equal(t, 7*time.Second, time.Until(h.Until))
		require.Equal(t, []int{1, 1}, l.used("a", "b"))
		for range 100 {
			time.Sleep(7 * time.Second)
			_, _ = c.Call(t.Context(), "?")
		}
		n := l.used("a", "b")
		require.Zero(t, n[1], "a refused key stays out while another comes back")
		require.Greater(t, n[0], 50)
	})
}

func TestAllKeysDead(t *testing.T) {
	t.Run("elsewhere", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLock()
			l.set(no(401), "a", "b")
			p := newPool(t, stack.New(stack.Config{}), resilience.Models(withKeys("m", "p", "a", "b"), resilience.ModelInfo{ID: "n", Tier: 1}))
			c := newClient(t, p, append(bind([]string{"m"}, l.ask), echo("n")...)...)
			answer, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
			require.NoError(t, err)
			require.Equal(t, "n", answer)
			require.Len(t, rep.Attempts, 3)
			require.Regexp(t, `→ other key$`, rep.Attempts[0].Reason)
			require.Regexp(t, `→ elsewhere$`, rep.Attempts[1].Reason)
			require.Equal(t, resilience.Unavailable, p.Model("m").Status())
		})
	})
	t.Run("nowhere else", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLock()
			l.set(no(401), "a", "b", "c")
			p := newPool(t, stack.New(stack.Config{}), resilience.Models(withKeys("m", "p", "a", "b", "c")))
			events := keyEvents(p)
			c := newClient(t, p, bind([]string{"m"}, l.ask)...)
			_, err := c.Call(t.Context(), "?")
			require.ErrorIs(t, err, resilience.Unauthorized)
			require.Equal(t, []int{1, 1, 1}, l.used("a", "b", "c"))
			require.Len(t, events(), 3)
			for range 3600 {
				_, _ = c.Call(t.Context(), "?")
				time.Sleep(time.Second)
			}
			n := l.used("a", "b", "c")
			total := n[0] + n[1] + n[2]
			require.Greater(t, total, 12)
			require.Less(t, total, 24, "one key each time the model is tried again, never all of them")
			require.InDelta(t, total/3, n[0], 1, "the one that was refused longest ago")
			require.Empty(t, events(), "no second alert")

			l.set(nil, "a", "b", "c")
			time.Sleep(5 * time.Minute)
			for range 6 {
				_, err := c.Call(t.Context(), "?")
				require.NoError(t, err)
			}
			for _, n := range l.used("a", "b", "c") {
				require.Positive(t, n, "all come back")
			}
			require.Len(t, events(), 3, "released")
			require.Empty(t, p.Model("m").Holds())
		})
	})
}

// TestStormOfRefusals: for five minutes a provider takes good keys for bad ones,
// at two models. Nobody runs the pool, nobody resets anything.
func TestStormOfRefusals(t *testing.T) {
	for name, features := range map[string][]resilience.Feature{
		"stack":       {stack.New(stack.Config{})},
		"no features": nil,
		"fallback":    {fallback.New(fallback.Config{}), breaker.New(breaker.Config{})},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLock()
				p := newPool(t, append(features, resilience.Models(withKeys("m", "p", "a", "b", "c"), withKeys("n", "p", "a", "b", "c")))...)
				c := newClient(t, p, bind([]string{"m", "n"}, l.ask)...)
				call := func(n int) (failed int) {
					for range n {
						if _, err := c.Call(t.Context(), "?"); err != nil {
							failed++
						}
						time.Sleep(100 * time.Millisecond)
					}
					return failed
				}
				require.Zero(t, call(600))
				for _, status := range []int{401, 403} {
					l.set(no(status), "a", "b", "c")
					require.Positive(t, call(3000))
					l.set(nil, "a", "b", "c")
					call(3000)
					require.Zero(t, call(600))
					l.used()
					require.Zero(t, call(300))
					for _, n := range l.used("a", "b", "c") {
						require.InDelta(t, 100, n, 5, "all keys are used again")
					}
				}
			})
		})
	}
}

func Test403IsOfOneModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLock()
		l.set(no(403), "a")
		p := newPool(t, stack.New(stack.Config{}), resilience.Models(withKeys("m", "p", "a", "b"), withKeys("n", "p", "a", "b")))
		c := newClient(t, p, append(bind([]string{"m"}, l.ask), echo("n")...)...)
		for range 10 {
			_, _, err := c.Do(t.Context(), "?", resilience.CallOptions{Model: "m"})
			require.NoError(t, err)
		}
		require.Equal(t, []int{1, 10}, l.used("a", "b"))
		require.Len(t, p.Model("m").Holds(), 1)
		require.Empty(t, p.Model("n").Holds(), "the key may be good for others")
	})
}

func TestKeysOfProvidersAreApart(t *testing.T) {
	l := newLock()
	l.set(no(401), "a")
	p := newPool(t, resilience.Models(withKeys("m", "p", "a", "b"), withKeys("n", "q", "a", "b"), withKeys("o", "", "a", "b"), withKeys("r", "", "a", "b"), withKeys("s", "p", "a", "b")))
	c := newClient(t, p, bind([]string{"m", "n", "o", "r", "s"}, l.ask)...)
	for range 4 {
		for _, id := range []string{"m", "o"} {
			_, err := c.Pin(id).Call(t.Context(), "?")
			require.NoError(t, err)
		}
	}
	for id, held := range map[string]int{"m": 1, "s": 1, "n": 0, "o": 1, "r": 0} {
		require.Len(t, p.Model(id).Holds(), held, id)
	}
}

func TestResetAndReloadGiveKeysAnotherChance(t *testing.T) {
	for name, mend := range map[string]func(*resilience.Pool, context.Context) error{
		"reset":  func(p *resilience.Pool, ctx context.Context) error { return p.Reset(ctx, p.Model("m"), by) },
		"reload": func(p *resilience.Pool, ctx context.Context) error { return p.Reload(ctx, []byte(`{}`), by) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLock()
				l.set(no(401), "a")
				l.set(no(402), "b")
				l.set(no(401), "mine")
				p := newPool(t, stack.New(stack.Config{}), resilience.Models(withKeys("m", "p", "a", "b")))
				events := keyEvents(p)
				c := newClient(t, p, bind([]string{"m"}, l.ask)...)
				_, err := c.Call(t.Context(), "?")
				require.Error(t, err)
				_, _, err = c.Do(t.Context(), "?", resilience.CallOptions{Key: "mine"})
				require.ErrorIs(t, err, resilience.Unauthorized)
				require.False(t, p.Model("m").Available())
				require.Len(t, events(), 3)
				require.NoError(t, mend(p, t.Context()))
				require.Empty(t, p.Model("m").Holds())
				require.Len(t, events(), 2)
				_, err = c.Call(t.Context(), "?")
				require.ErrorIs(t, err, resilience.Unauthorized, "not mended after all")
				require.False(t, p.Model("m").Available(), "held again")
				require.NoError(t, mend(p, t.Context()))
				l.set(nil, "a", "b", "mine")
				l.used()
				for range 4 {
					_, err = c.Call(t.Context(), "?")
					require.NoError(t, err)
				}
				_, _, err = c.Do(t.Context(), "?", resilience.CallOptions{Key: "mine"})
				require.NoError(t, err)
				require.Equal(t, []int{2, 2, 1}, l.used("a", "b", "mine"))
			})
		})
	}
}

func TestKeysThatAreNoNames(t *testing.T) {
	secret := "sk-" + string(make([]byte, 64))
	for _, keys := range [][]string{{""}, {"a", "b", "a"}, {"a b"}, {secret}, {"ключ"}} {
		_, err := resilience.NewPool(resilience.Models(withKeys("m", "p", keys...)))
		require.ErrorContains(t, err, fmt.Sprintf("models[0].keys[%d]", len(keys)-1))
		require.NotContains(t, err.Error(), "sk-")
	}
	p := newPool(t, models("m"))
	err := p.Reload(t.Context(), []byte(`{"models": [{"id": "m", "keys": ["a", "a"]}]}`), by)
	require.ErrorContains(t, err, `models[0].keys[1]: "a" is there twice`)
	require.NoError(t, p.Reload(t.Context(), []byte(`{"models": [{"id": "m", "keys": ["a"]}]}`), by))
	c := newClient(t, p, resilience.BindFunc("m", newLock().ask))
	answer, err := c.Call(t.Context(), "?")
	require.NoError(t, err)
	require.Equal(t, "a", answer)
	_, _, err = c.Do(t.Context(), "?", resilience.CallOptions{Key: secret})
	require.ErrorIs(t, err, resilience.Invalid)
	require.NotContains(t, err.Error(), "sk-")
}

// TestARefusedKeyIsTriedAgainWhileAnotherIsSpent: somebody has mended it, and
// nobody has said so.
func TestARefusedKeyIsTriedAgainWhileAnotherIsSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLock()
		p := newPool(t, resilience.Models(withKeys("m", "p", "a", "b")), breaker.New(breaker.Config{}))
		c := newClient(t, p, resilience.BindFunc("m", l.ask))
		l.set(no(401), "a")
		l.set(no(402, "2592000"), "b")
		for range 4 {
			_, err := c.Call(t.Context(), "?")
			require.Error(t, err)
		}
		l.set(nil, "a") // mended, nobody reloads
		ok := false
		for range 24 * 60 {
			time.Sleep(time.Minute)
			if _, err := c.Call(t.Context(), "?"); err == nil {
				ok = true
				break
			}
		}
		require.True(t, ok)
	})
}

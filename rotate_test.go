package resilience_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/retry"
	"github.com/cmmv-hive/resilience/stack"
)

// TestNoRotation: where another key would not help, or there is no time for it.
func TestNoRotation(t *testing.T) {
	for name, tc := range map[string]struct {
		fail func(cancel func()) error
		held bool
	}{
		"the caller has left":       {func(cancel func()) error { cancel(); return no(401) }, false},
		"it may have been accepted": {func(func()) error { return errors.Join(resilience.Unauthorized, no(200)) }, true},
		"another kind":              {func(func()) error { return no(400) }, false},
		"nor that":                  {func(func()) error { return no(503) }, false},
		"no such model":             {func(func()) error { return no(404) }, false},
		"a call within":             {func(func()) error { return &resilience.Error{Kind: resilience.Unauthorized} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			ctx, cancel := context.WithCancel(t.Context())
			p := newPool(t, resilience.Models(withKeys("m", "p", "a", "b")))
			c := newClient(t, p, resilience.BindFunc("m", func(context.Context, string) (string, error) {
				n++
				return "", tc.fail(cancel)
			}))
			_, err := c.Call(ctx, "?")
			require.Error(t, err)
			require.Equal(t, 1, n)
			require.Equal(t, tc.held, len(p.Model("m").Holds()) == 1)
			cancel()
		})
	}
}

// TestEachKeyOnce: keys that are limited for next to no time are not asked in
// circles.
func TestEachKeyOnce(t *testing.T) {
	l := newLock()
	l.set(&turnedAway{429, http.Header{"Retry-After-Ms": {"0.001"}}}, "a", "b", "c")
	p := newPool(t, resilience.Models(withKeys("m", "p", "a", "b", "c")))
	c := newClient(t, p, bind([]string{"m"}, l.ask)...)
	for range 50 {
		l.used()
		_, err := c.Call(t.Context(), "?")
		require.ErrorIs(t, err, resilience.RateLimited)
		for _, n := range l.used("a", "b", "c") {
			require.LessOrEqual(t, n, 1)
		}
	}
}

func TestRotationWithOnce(t *testing.T) {
	l := newLock()
	l.set(no(429), "a", "b", "c")
	p := newPool(t, stack.New(stack.Config{}), resilience.Models(withKeys("m", "p", "a", "b", "c", "d")))
	c := newClient(t, p, bind([]string{"m"}, l.ask)...)
	for range 4 {
		answer, _, err := c.Do(t.Context(), "?", resilience.CallOptions{Once: true})
		require.NoError(t, err)
		require.Equal(t, "d", answer)
	}
	require.Equal(t, []int{1, 1, 1, 4}, l.used("a", "b", "c", "d"))
}

func TestRotationOfStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLock()
		l.set(no(401), "a")
		var late error
		open := func(ctx context.Context, _ string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				key, err := l.ask(ctx, "")
				time.Sleep(time.Second)
				if err != nil {
					yield("", err)
					return
				}
				if !yield(key, nil) || late != nil && !yield("", late) {
					return
				}
				yield("end", nil)
			}
		}
		p := newPool(t, stack.New(stack.Config{}), resilience.Models(withKeys("m", "p", "a", "b", "c")))
		c, err := resilience.NewClient(p, resilience.BindStream("m", open, marks))
		require.NoError(t, err)
		read := func() (text string, rep resilience.Report, err error) {
			s, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
			for chunk, e := range s.All() {
				text, err = text+chunk, e
			}
			return text, s.Report(), err
		}
		text, rep, err := read()
		require.NoError(t, err)
		require.Equal(t, "bend", text)
		require.Len(t, rep.Attempts, 2)
		require.Equal(t, "a", rep.Attempts[0].Key)
		require.Equal(t, "b", rep.Attempts[1].Key)
		require.Equal(t, 2*time.Second, rep.Duration)

		late = no(429)
		_, rep, err = read()
		require.ErrorIs(t, err, resilience.Truncated, "not after the first chunk")
		require.Len(t, rep.Attempts, 1)
		require.Equal(t, "c", rep.Attempts[0].Key)
		idle(t, p)
	})
}

// TestRotationInRaces: each lane rotates by itself, and losers keep their keys.
func TestRotationInRaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLock()
		l.set(no(401), "a", "x")
		p := newPool(t, hedged(time.Second), resilience.Models(withKeys("m", "p", "a", "b"), withKeys("n", "q", "x", "y")))
		slow := func(d time.Duration) ask {
			return func(ctx context.Context, _ string) (string, error) {
				key, err := l.ask(ctx, "")
				if err == nil {
					select {
					case <-time.After(d):
					case <-ctx.Done():
						return "", ctx.Err()
					}
				}
				return key, err
			}
		}
		c := newClient(t, p, resilience.BindFunc("m", slow(time.Minute)), resilience.BindFunc("n", slow(time.Second)))
		answer, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
		require.NoError(t, err)
		require.Equal(t, "y", answer)
		var keys []string
		for _, a := range rep.Attempts {
			keys = append(keys, fmt.Sprintf("%v[%s] %v", a.Model, a.Key, a.Kind))
		}
		slices.Sort(keys)
		require.Equal(t, []string{"m[a] unauthorized", "m[b] canceled", "n[x] unauthorized", "n[y] ok"}, keys)
		synctest.Wait()
		idle(t, p)
	})
}

func TestPanicsAndKeys(t *testing.T) {
	for name, leave := range map[string]func(){
		"panic":  func() { panic("caller") },
		"goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, breaker.New(breaker.Config{}), resilience.Models(withKeys("m", "p", "a", "b")))
			first := true
			c := newClient(t, p, resilience.BindFunc("m", func(ctx context.Context, _ string) (string, error) {
				if first {
					first = false
					return "", no(401)
				}
				leave()
				return "", nil
			}))
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer func() { _ = recover() }()
				_, _ = c.Call(t.Context(), "?")
			}()
			<-done
			require.Len(t, p.Model("m").Holds(), 1, "the key that was refused, not the one that panicked")
			idle(t, p)
		})
	}
}

// TestKeysReloadedUnderLoad: a key that is taken away is not used afterwards,
// and what is known of one that stays, stays.
func TestKeysReloadedUnderLoad(t *testing.T) {
	var gone atomic.Bool // "b" is
	var wrong, calls atomic.Int64
	p := newPool(t, stack.New(stack.Config{}), resilience.Models(withKeys("m", "p", "a", "b", "c")))
	c := newClient(t, p, resilience.BindFunc("m", func(ctx context.Context, _ string) (string, error) {
		calls.Add(1)
		key := resilience.KeyFrom(ctx)
		if key == "b" && gone.Load() {
			wrong.Add(1)
		}
		if key == "c" {
			return "", no(401)
		}
		return key, nil
	}))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, err := c.Call(t.Context(), "?")
				if err != nil {
					wrong.Add(1)
				}
			}
		})
	}
	for range 100 {
		require.NoError(t, p.Reload(t.Context(), []byte(`{"models": [{"id": "m", "provider": "p", "keys": ["c", "a"]}]}`), by))
		require.NoError(t, p.Reload(t.Context(), []byte(`{"models": [{"id": "m", "provider": "p", "keys": ["a", "b", "c"]}]}`), by))
	}
	require.NoError(t, p.Reload(t.Context(), []byte(`{"models": [{"id": "m", "provider": "p", "keys": ["c", "a"]}]}`), by))
	time.Sleep(20 * time.Millisecond) // attempts under way keep theirs
	gone.Store(true)
	n := calls.Load()
	for calls.Load() < n+1000 {
		runtime.Gosched()
	}
	close(stop)
	wg.Wait()
	require.Zero(t, wrong.Load())
	require.Equal(t, []string{"c"}, []string{p.Model("m").Holds()[0].Key})
}

func TestReloadKeepsWhatIsKnownOfLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLock()
		l.set(no(429, "60"), "a")
		p := newPool(t, resilience.Models(withKeys("m", "p", "a", "b")))
		c := newClient(t, p, bind([]string{"m"}, l.ask)...)
		for range 2 {
			_, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
		}
		until := p.Model("m").Holds()[0].Until
		require.NoError(t, p.Reload(t.Context(), []byte(`{"models": [{"id": "m", "provider": "p", "keys": ["c", "a"]}]}`), by))
		require.Equal(t, until, p.Model("m").Holds()[0].Until)
		for range 4 {
			answer, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
			require.Equal(t, "c", answer)
		}
		require.NoError(t, p.Reload(t.Context(), []byte(`{"models": [{"id": "m", "provider": "p"}]}`), by))
		answer, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		require.Empty(t, answer)
		require.Empty(t, p.Model("m").Holds())
	})
}

func TestKeysWhileBypassed(t *testing.T) {
	p := newPool(t, resilience.Models(withKeys("m", "p", "a", "b"), resilience.ModelInfo{ID: "n"}))
	l := newLock()
	c := newClient(t, p, bind([]string{"m", "n"}, l.ask)...)
	require.NoError(t, p.Reload(t.Context(), []byte(`{"bypass": true}`), by))
	for range 4 {
		_, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
	}
	for _, opts := range []resilience.CallOptions{{Key: "acme"}, {Model: "n"}} {
		_, _, err := c.Do(t.Context(), "?", opts)
		require.NoError(t, err)
	}
	_, err := c.Call(resilience.WithOptions(t.Context(), resilience.CallOptions{Key: "bolt"}), "?")
	require.NoError(t, err)
	require.Equal(t, []int{2, 2, 1, 1, 1}, l.used("a", "b", "acme", "bolt", ""))

	outer := resilience.Wrap(ask(func(ctx context.Context, req string) (string, error) {
		key, _, err := c.Do(ctx, req, resilience.CallOptions{Model: "n"})
		return "<" + key + ">", err
	}), resilience.Models(withKeys("model", "", "outer")))
	answer, err := outer.Call(t.Context(), "?")
	require.NoError(t, err)
	require.Equal(t, "<>", answer, "another model's key is not its own")
	answer, _, err = outer.Do(t.Context(), "?", resilience.CallOptions{Key: "acme"})
	require.NoError(t, err)
	require.Equal(t, "<acme>", answer)
}

// signed sets the key of the attempt that a request is of.
type signed struct{ keys map[string]string }

func (s signed) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+s.keys[resilience.KeyFrom(req.Context())])
	return http.DefaultTransport.RoundTrip(req)
}

func TestKeysOfTransports(t *testing.T) {
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen = append(seen, r.Header.Get("Authorization")+" "+string(body))
		if r.Header.Get("Authorization") != "Bearer good" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}")
	}))
	defer server.Close()
	p := newPool(t, retry.New(retry.Config{}), resilience.Models(withKeys("m", "p", "a", "b")))
	c := &http.Client{Transport: p.Transport(signed{map[string]string{"a": "bad", "b": "good", "acme": "good"}}, func(*http.Request) string { return "m" })}
	post := func(ctx context.Context, body io.Reader) int {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, body)
		require.NoError(t, err)
		res, err := c.Do(req)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, res.Body)
		require.NoError(t, res.Body.Close())
		return res.StatusCode
	}
	once := struct{ io.Reader }{bytes.NewReader([]byte("one"))} // cannot be sent again
	require.Equal(t, 401, post(t.Context(), once))
	require.Equal(t, []string{"Bearer bad one"}, seen)
	require.Equal(t, 200, post(t.Context(), strings.NewReader("two")), "the other key")
	require.Equal(t, 200, post(resilience.WithOptions(t.Context(), resilience.CallOptions{Key: "acme"}), strings.NewReader("three")))
	require.NoError(t, p.Reset(t.Context(), p.Model("m"), by))
	seen = nil
	require.Equal(t, 200, post(t.Context(), strings.NewReader("four")))
	require.Equal(t, 200, post(t.Context(), strings.NewReader("five")))
	require.Len(t, seen, 3)
	require.Equal(t, 1, strings.Count(strings.Join(seen, " "), "bad"), "refused once and sent again: %q", seen)
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// TestHeadersOfOneKey: what a provider says of limits is the model's only where
// there is one key.
func TestHeadersOfOneKey(t *testing.T) {
	for _, tc := range []struct {
		keys []string
		own  string
		want float64
	}{{nil, "", 10}, {[]string{"a"}, "", 10}, {[]string{"a", "b"}, "", 0}, {nil, "acme", 0}, {[]string{"a"}, "acme", 0}} {
		var got float64
		base := roundTrip(func(*http.Request) (*http.Response, error) {
			h := http.Header{"X-Ratelimit-Limit-Requests": {"10"}, "X-Ratelimit-Remaining-Requests": {"3"}, "X-Ratelimit-Reset-Requests": {"1s"}}
			return &http.Response{StatusCode: http.StatusOK, Header: h, Body: http.NoBody}, nil
		})
		p := newPool(t, resilience.Models(withKeys("m", "p", tc.keys...)),
			layer(resilience.LayerLimit, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
				err := next(ctx, c)
				requests, _ := c.Quotas()
				got = requests.Limit
				return err
			}))
		c := newClient(t, p, resilience.BindFunc("m", func(ctx context.Context, _ string) (string, error) {
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://m.example/", nil)
			res, err := resilience.Tap(base).RoundTrip(req)
			if err == nil {
				err = res.Body.Close()
			}
			return "", err
		}))
		_, _, err := c.Do(t.Context(), "?", resilience.CallOptions{Key: tc.own})
		require.NoError(t, err)
		require.Equal(t, tc.want, got, "%+v", tc)
	}
}

// TestLateRefusalAndLateAnswer: attempts that were under way together count as
// one, and an answer that was on its way before says nothing of a key since.
func TestLateRefusalAndLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, resilience.Models(withKeys("m", "p", "a")))
		type script struct {
			wait time.Duration
			err  error
		}
		c, err := resilience.NewClient(p, resilience.BindFunc("m", func(_ context.Context, s script) (string, error) {
			time.Sleep(s.wait)
			return "", s.err
		}))
		require.NoError(t, err)
		var wg sync.WaitGroup
		for _, s := range []script{{1, no(429)}, {1, no(429)}, {2, no(429)}, {3, nil}, {4, errors.New("?")}} {
			wg.Go(func() { _, _ = c.Call(t.Context(), script{s.wait * time.Second / 10, s.err}) })
		}
		wg.Wait()
		h := p.Model("m").Holds()
		require.Len(t, h, 1, "the answer set out before the refusals")
		require.Equal(t, 1200*time.Millisecond, h[0].Until.Sub(h[0].Since)+100*time.Millisecond, "one strike: a second, from the latest")
	})
}

// TestRotationWithinABudget: each attempt draws on it, and one that was refused
// gives back what it drew.
func TestRotationWithinABudget(t *testing.T) {
	l := newLock()
	l.set(no(401), "a", "b")
	info := withKeys("m", "p", "a", "b", "c")
	info.Price = resilience.Price{Input: 1}
	p := newPool(t, resilience.Models(info))
	c := newClient(t, p, append(bind([]string{"m"}, l.ask), resilience.Hooks[string, string]{Tokens: func(string) int { return 1000 }})...)
	answer, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{MaxCost: 0.0011})
	require.NoError(t, err)
	require.Equal(t, "c", answer)
	require.Len(t, rep.Attempts, 3)
	_, _, err = c.Do(t.Context(), "?", resilience.CallOptions{MaxCost: 0.0009})
	require.Error(t, err)
	require.Equal(t, []int{1, 1, 1}, l.used("a", "b", "c"))
}

// Two models share a key. When one of them finds it spent, the other has nothing
// left but a key that is limited there.
func TestALimitedKeyIsLeftAloneThoughAnotherModelPutTheRestOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, err := resilience.NewPool(breaker.New(breaker.Config{}), resilience.Models(
			resilience.ModelInfo{ID: "a", Provider: "p", Keys: []string{"x", "y"}},
			resilience.ModelInfo{ID: "b", Provider: "p", Keys: []string{"y"}}))
		require.NoError(t, err)
		asked := []string{}
		client, err := resilience.NewClient(pool, resilience.BindAll(func(ctx context.Context, m *resilience.Model, _ int) (int, error) {
			key := resilience.KeyFrom(ctx)
			asked = append(asked, m.ID()+"["+key+"]")
			switch {
			case m.ID() == "a" && key == "x":
				return 0, &keyStatus{429, "rate_limit_exceeded", http.Header{"Retry-After": {"20"}}}
			case m.ID() == "b":
				return 0, &keyStatus{429, "insufficient_quota", nil}
			}
			return 1, nil
		}))
		require.NoError(t, err)
		call := func(m string) error {
			_, _, err := client.Do(t.Context(), 0, resilience.CallOptions{Model: m})
			return err
		}
		require.NoError(t, call("a"))
		require.Error(t, call("b"))
		asked = nil
		time.Sleep(time.Second)
		err = call("a")
		require.ErrorIs(t, err, resilience.Rejected)
		require.Equal(t, 19*time.Second, resilience.RetryAfter(err))
		require.Empty(t, asked, "it asked to wait for 20 s")
		require.False(t, pool.Model("a").Available())
		time.Sleep(19 * time.Second)
		require.Error(t, call("a"))
		require.Equal(t, []string{"a[x]"}, asked)
	})
}

// A keyStatus is an error as an SDK makes it of a response.
type keyStatus struct {
	StatusCode int
	Code       string
	Header     http.Header
}

func (e *keyStatus) Error() string { return e.Code }

// A model that was held because nothing was left but keys that were, is not any
// more when one of them is free: also if that came sooner than was said.
func TestAnAnswerLiftsWhatItsKeysWereHeldFor(t *testing.T) {
	for name, free := range map[string]func(t *testing.T, c *client){
		"an answer": func(t *testing.T, c *client) {
			t.Helper()
			_, _, err := c.Do(t.Context(), "?", resilience.CallOptions{Priority: resilience.Critical})
			require.NoError(t, err)
		},
		"a reload": func(t *testing.T, c *client) {
			t.Helper()
			require.NoError(t, c.Pool().Reload(t.Context(), []byte(`{"models": [{"id": "m", "provider": "p", "keys": ["a"]}]}`), by))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var fails error = &keyStatus{429, "insufficient_quota", nil}
				p := newPool(t, stack.New(stack.Config{}), resilience.Models(withKeys("m", "p", "a")))
				c := newClient(t, p, resilience.BindFunc("m", func(context.Context, string) (string, error) { return "", fails }))
				m := p.Model("m")
				for range 4 { // the key is spent for longer and longer
					_, _, err := c.Do(t.Context(), "?", resilience.CallOptions{Priority: resilience.Critical, Attempts: 1})
					require.ErrorIs(t, err, resilience.QuotaSpent)
					time.Sleep(time.Minute)
				}
				fails = &keyStatus{429, "rate_limit_exceeded", nil}
				_, _, err := c.Do(t.Context(), "?", resilience.CallOptions{Priority: resilience.Critical, Attempts: 1})
				require.ErrorIs(t, err, resilience.RateLimited)
				require.False(t, m.Available())
				fails = nil
				time.Sleep(time.Second)
				free(t, c)
				if name == "a reload" { // which says nothing of limits
					time.Sleep(time.Minute)
				}
				require.Empty(t, m.Holds())
				require.True(t, m.Available())
			})
		})
	}
}

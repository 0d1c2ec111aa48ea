package balance_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
)

// A limitScript is a provider whose answers are given, in order; the last one
// for ever.
type limitScript struct {
	replies []map[string]string // headers; "status" is the status

	mu    sync.Mutex
	asked []time.Time
}

// times returns when it was asked.
func (s *limitScript) times() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *limitScript) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	h := s.replies[min(len(s.asked), len(s.replies)-1)]
	s.asked = append(s.asked, time.Now())
	s.mu.Unlock()
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: req}
	for k, v := range h {
		if k == "status" {
			resp.StatusCode = http.StatusTooManyRequests
		} else {
			resp.Header.Set(k, v)
		}
	}
	return resp, nil
}

func limitQuota(what, limit, remaining, reset string) map[string]string {
	return map[string]string{
		"X-Ratelimit-Limit-" + what: limit, "X-Ratelimit-Remaining-" + what: remaining, "X-Ratelimit-Reset-" + what: reset,
	}
}

// What is known of a provider's limits is obeyed before it refuses anything.
func TestLimiterWaitsItsTurn(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		limits  resilience.Limits
		replies []map[string]string
		opts    resilience.CallOptions
		want    []time.Duration // when the calls are made, which come all at once
	}{
		"requests a minute": {
			limits: resilience.Limits{RequestsPerMinute: 30}, // of which three at once
			want:   []time.Duration{0, 0, 0, 2000 * ms, 4000 * ms},
		},
		"tokens a minute": {
			limits: resilience.Limits{TokensPerMinute: 6000}, opts: resilience.CallOptions{Tokens: 300},
			want: []time.Duration{0, 0, 3000 * ms, 6000 * ms},
		},
		"more tokens than there are at once": {
			limits: resilience.Limits{TokensPerMinute: 6000}, opts: resilience.CallOptions{Tokens: 900},
			want: []time.Duration{0, 9000 * ms},
		},
		"nothing remains": {
			replies: []map[string]string{limitQuota("Requests", "10", "0", "4s"), limitQuota("Requests", "10", "9", "4s")},
			want:    []time.Duration{0, 4000 * ms, 4000 * ms},
		},
		"no tokens remain": {
			replies: []map[string]string{limitQuota("Tokens", "1000", "0", "4s"), limitQuota("Tokens", "1000", "999", "1ms")},
			want:    []time.Duration{0, 4000 * ms, 4000 * ms},
		},
		"a reset that is not known": {
			replies: []map[string]string{limitQuota("Requests", "60", "0", "?"), limitQuota("Requests", "60", "30", "?")},
			want:    []time.Duration{0, 2200 * ms, 2200 * ms},
		},
		"two remain": {
			replies: []map[string]string{
				limitQuota("Requests", "10", "2", "4s"), limitQuota("Requests", "10", "1", "4s"), limitQuota("Requests", "10", "0", "4s"),
				limitQuota("Requests", "10", "9", "4s"),
			},
			want: []time.Duration{0, 0, 4000 * ms},
		},
		"the provider asks to wait": {
			replies: []map[string]string{{"status": "429", "Retry-After": "3"}, {}},
			want:    []time.Duration{0, 3000 * ms},
		},
	} {
		t.Run(name, func(t *testing.T) {
			limited(t, balance.LimiterConfig{}, c.limits, func(r *limitRig) {
				api := &limitScript{replies: append(c.replies, map[string]string{})[:max(len(c.replies), 1)]}
				r.do = limitGet(api)
				start := time.Now()
				for range c.want {
					r.go1(c.opts, nil)
				}
				r.calls.Wait()
				var got []time.Duration
				for _, at := range api.times() {
					got = append(got, at.Sub(start).Truncate(ms))
				}
				require.Equal(r, c.want, got)
			})
		})
	}
}

// What a call used counts, not what it was expected to use.
func TestLimiterSettlesTokens(t *testing.T) {
	limited(t, balance.LimiterConfig{}, resilience.Limits{TokensPerMinute: 6000}, func(r *limitRig) {
		r.do = func(ctx context.Context, _ string) (string, error) {
			resilience.ReportUsage(ctx, resilience.Usage{Input: 50, Output: 50})
			return "", nil
		}
		ask := func() {
			_, _, err := r.client.Do(r.Context(), "?", resilience.CallOptions{Tokens: 600})
			require.NoError(r, err)
		}
		ask()
		start := time.Now()
		ask()
		require.Equal(r, time.Second, time.Since(start), "a hundred tokens later")
	})
}

// What the provider refused has used nothing.
func TestLimiterTokensOfRefusals(t *testing.T) {
	limited(t, balance.LimiterConfig{}, resilience.Limits{TokensPerMinute: 6000}, func(r *limitRig) {
		r.do = func(context.Context, string) (string, error) { return "", resilience.RateLimited }
		opts := resilience.CallOptions{Tokens: 600}
		_, _, err := r.client.Do(r.Context(), "?", opts)
		require.ErrorIs(r, err, resilience.RateLimited)
		start := time.Now()
		r.do = limitTakes(0)
		_, _, err = r.client.Do(r.Context(), "?", opts)
		require.NoError(r, err)
		require.Less(r, time.Since(start), time.Second)
	})
}

// A wait that does not fit is not begun, and the error tells how long it is.
func TestLimiterWaitsThatDoNotFit(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  balance.LimiterConfig
		opts resilience.CallOptions
		want string // "" if it waits
	}{
		"it fits":             {},
		"it just fits":        {cfg: balance.LimiterConfig{Wait: 4 * time.Second}},
		"Wait":                {balance.LimiterConfig{Wait: 3 * time.Second}, resilience.CallOptions{}, "refused: pacing: 4s until the next request, retry in 4s"},
		"no waiting":          {balance.LimiterConfig{Wait: -1}, resilience.CallOptions{}, "retry in 4s"},
		"the call's deadline": {balance.LimiterConfig{}, resilience.CallOptions{Timeout: 2 * time.Second}, "retry in 4s"},
	} {
		t.Run(name, func(t *testing.T) {
			limited(t, c.cfg, resilience.Limits{}, func(r *limitRig) {
				r.do = limitGet(&limitScript{replies: []map[string]string{limitQuota("Requests", "10", "0", "4s"), {}}})
				_, err := r.client.Call(r.Context(), "?")
				require.NoError(r, err)
				require.Equal(r, "pacing: 4s until the next request", r.pool.Explain("")[0].Reason)
				start := time.Now()
				_, _, err = r.client.Do(r.Context(), "?", c.opts)
				if c.want == "" {
					require.NoError(r, err)
					require.Equal(r, 4*time.Second, time.Since(start))
					return
				}
				require.ErrorContains(r, err, c.want)
				require.Equal(r, 4*time.Second, resilience.RetryAfter(err))
				require.Zero(r, time.Since(start))
			})
		})
	}
}

// A call that would have to wait behind others for too long is told so at once.
func TestLimiterCountsThoseAhead(t *testing.T) {
	limited(t, balance.LimiterConfig{Wait: 11 * time.Second}, resilience.Limits{RequestsPerMinute: 30}, func(r *limitRig) {
		r.do = limitTakes(0)
		var refused []string
		for range 12 { // three now, five within eleven seconds
			r.go1(resilience.CallOptions{}, func(err error) {
				if err != nil {
					refused = append(refused, err.Error())
				}
			})
		}
		require.Len(r, refused, 4)
		for _, text := range refused {
			require.Contains(r, text, "retry in 12s")
		}
		r.go1(resilience.CallOptions{Tenant: "another"}, func(err error) { require.NoError(r, err) })
		r.calls.Wait()
		require.Len(r, refused, 5, "the last in line, since another tenant came")
		require.Contains(r, refused[4], "no room within 11s, pacing: 1s until the next request")
	})
}

// One that goes first and needs less goes as soon as there is enough for it.
func TestLimiterWakesForTheNext(t *testing.T) {
	limited(t, balance.LimiterConfig{}, resilience.Limits{TokensPerMinute: 6000}, func(r *limitRig) {
		r.do = limitTakes(0)
		start := time.Now()
		ask := func(want time.Duration, opts resilience.CallOptions) {
			r.go1(opts, func(err error) {
				require.NoError(r, err)
				require.Equal(r, want, time.Since(start))
			})
		}
		ask(0, resilience.CallOptions{Tokens: 600}) // all that there is
		ask(6*time.Second, resilience.CallOptions{Tokens: 500, Priority: resilience.Low})
		ask(time.Second, resilience.CallOptions{Tokens: 100, Priority: resilience.High})
	})
}

// A breaker inside that refuses has sent nothing: what was reserved comes back.
func TestLimiterGivesBackWhatWasNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(breaker.Config{})
		pool, err := resilience.NewPool(balance.NewLimiter(balance.LimiterConfig{Wait: -1}), b,
			resilience.Models(resilience.ModelInfo{ID: "m", Limits: resilience.Limits{RequestsPerMinute: 10}}))
		require.NoError(t, err)
		var client *resilience.Client[string, string]
		client, err = resilience.NewClient(pool, resilience.BindFunc("m", limitTakes(0)))
		require.NoError(t, err)
		ctx := t.Context()
		by := resilience.Control{Actor: "a test", Reason: "to see"}
		require.NoError(t, b.Isolate(ctx, pool.Model("m"), by))
		pool.Model("m").Release(ctx, resilience.HoldBreaker) // so that calls come as far as the breaker
		for range 3 {
			_, err = client.Call(ctx, "?")
			require.ErrorContains(t, err, "breaker isolated")
		}
		require.NoError(t, b.Close(ctx, pool.Model("m"), by))
		_, err = client.Call(ctx, "?")
		require.NoError(t, err)
		_, err = client.Call(ctx, "?")
		require.ErrorContains(t, err, "pacing: 6s")
	})
}

// A call with nowhere else to go does not wait for a pause that it may break, and
// an answer ends it for all.
func TestLimiterLastResort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, err := resilience.NewPool(fallback.New(fallback.Config{LastResort: true}),
			breaker.New(breaker.Config{}), balance.NewLimiter(balance.LimiterConfig{}))
		require.NoError(t, err)
		api := &limitScript{replies: []map[string]string{{"status": "429", "Retry-After": "3600"}, {}}}
		client, err := resilience.NewClient(pool, resilience.BindFunc("m", limitGet(api)))
		require.NoError(t, err)
		_, err = client.Call(t.Context(), "?")
		require.ErrorIs(t, err, resilience.RateLimited)
		time.Sleep(time.Millisecond)
		pool.Model("m").Hold(t.Context(), resilience.Hold{By: resilience.HoldHealth, Until: time.Now().Add(time.Hour)})
		_, err = client.Call(t.Context(), "?")
		require.NoError(t, err)
		require.Len(t, api.times(), 2)
		pool.Model("m").Release(t.Context(), resilience.HoldHealth)
		pool.Model("m").Release(t.Context(), resilience.HoldLimit)
		_, err = client.Call(t.Context(), "?")
		require.NoError(t, err)
	})
}

// Reset forgets limits that were learnt.
func TestLimiterReset(t *testing.T) {
	limited(t, balance.LimiterConfig{}, resilience.Limits{}, func(r *limitRig) {
		r.do = limitGet(&limitScript{replies: []map[string]string{limitQuota("Requests", "10", "0", "1h"), {"status": "429", "Retry-After": "3600"}, {}}})
		for range 2 {
			_, err := r.client.Call(r.Context(), "?")
			require.NotEqual(r, resilience.Rejected, resilience.KindOf(err))
			_, err = r.client.Call(r.Context(), "?")
			require.ErrorIs(r, err, resilience.Rejected)
			require.NoError(r, r.pool.Reset(r.Context(), r.model, resilience.Control{Actor: "a test", Reason: "to see"}))
		}
		_, err := r.client.Call(r.Context(), "?")
		require.NoError(r, err)
	})
}

// When a window ends, no more go than it allows, also before its first answer.
func TestLimiterWindowEnds(t *testing.T) {
	limited(t, balance.LimiterConfig{InFlight: -1}, resilience.Limits{}, func(r *limitRig) {
		api := &limitScript{replies: []map[string]string{limitQuota("Requests", "10", "0", "4s"), {}}}
		get := limitGet(api)
		r.do = func(ctx context.Context, q string) (string, error) {
			s, err := get(ctx, q)
			if len(api.times()) > 1 {
				time.Sleep(3 * time.Second)
			}
			return s, err
		}
		_, err := r.client.Call(r.Context(), "?")
		require.NoError(r, err)
		for range 30 {
			r.go1(resilience.CallOptions{}, nil)
		}
		time.Sleep(5 * time.Second)
		require.Len(r, api.times(), 1+9, "one in fifty is left alone")
	})
}

// A provider that tells of its limit once, and then no more, stops nobody for
// long.
func TestLimiterHeadersThatStop(t *testing.T) {
	for _, quota := range []map[string]string{
		limitQuota("Requests", "10", "10", "1ms"), limitQuota("Requests", "10", "0", "1s"), limitQuota("Tokens", "1000", "0", "1ms"),
	} {
		limited(t, balance.LimiterConfig{InFlight: -1, Wait: time.Hour}, resilience.Limits{}, func(r *limitRig) {
			r.do = limitGet(&limitScript{replies: []map[string]string{quota, {}}})
			_, err := r.client.Call(r.Context(), "?")
			require.NoError(r, err)
			start := time.Now()
			for range 100 {
				r.go1(resilience.CallOptions{Tokens: 10}, func(err error) { require.NoError(r, err) })
			}
			r.calls.Wait()
			require.LessOrEqual(r, time.Since(start), time.Minute+time.Second)
		})
	}
}

// Limits by windows, limits that others share, and answers that take their time.
func TestLimiterUsesWhatThereIs(t *testing.T) {
	const ten = 10.0 // requests a second that are allowed; sixteen come
	for name, c := range map[string]struct {
		api   *limitedAPI
		took  time.Duration
		there float64 // for us
		wrong float64 // at most
	}{
		"an even flow":        {&limitedAPI{burst: 60}, time.Second, 10*300 + 60, 0.001},
		"long calls":          {&limitedAPI{burst: 600}, 10 * time.Second, 10*300 + 600, 0.001},
		"shared with others":  {&limitedAPI{burst: 60, others: 3}, 300 * time.Millisecond, 7*300 + 60, 0.001},
		"by windows":          {&limitedAPI{burst: 600, window: time.Minute}, time.Second, 5 * 600, 0.001},
		"by windows, shorter": {&limitedAPI{burst: 100, window: 10 * time.Second}, 300 * time.Millisecond, 30 * 100, 0.04},
	} {
		t.Run(name, func(t *testing.T) {
			limited(t, balance.LimiterConfig{InFlight: -1}, resilience.Limits{}, func(r *limitRig) {
				rng := rand.New(rand.NewPCG(3, 4))
				api := c.api
				api.rate, api.headers = ten, true
				api.took = func() time.Duration { return c.took/2 + time.Duration(rng.ExpFloat64()*float64(c.took/2)) }
				r.do = limitGet(api)
				limitPoisson(rand.New(rand.NewPCG(5, 6)), 1.6*ten, 5*time.Minute, func() { _, _ = r.client.Call(r.Context(), "?") })
				used, wrong := api.sum()
				used /= c.there
				t.Logf("used %.4f, refused %.4f", used, wrong)
				require.GreaterOrEqual(r, used, 0.95)
				require.LessOrEqual(r, wrong, c.wrong)
				time.Sleep(2 * time.Minute)
			})
		})
	}
}

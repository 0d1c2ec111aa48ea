package balance_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
)

// Whatever happens, limits hold, every call ends, and in the end all room is
// free: calls of all priorities and tenants that come, leave and fail at random,
// while limits change.
func TestLimiterLosesNothing(t *testing.T) {
	by := resilience.Control{Actor: "a test", Reason: "to see"}
	seeds := uint64(20)
	if *long {
		seeds = 1000
	}
	for seed := range seeds {
		limited(t, balance.LimiterConfig{InFlight: 3, Queue: 8, Wait: 4 * time.Second}, resilience.Limits{RequestsPerMinute: 100}, func(r *limitRig) {
			rng := rand.New(rand.NewPCG(seed, 7))
			var mu sync.Mutex
			draw := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return rng.IntN(n)
			}
			var sent []time.Time
			r.do = func(ctx context.Context, _ string) (string, error) {
				mu.Lock()
				sent = append(sent, time.Now())
				under := r.model.InFlight()
				mu.Unlock()
				if under > 6 {
					t.Errorf("seed %d: %d under way", seed, under)
				}
				if draw(10) == 0 {
					panic("boom")
				}
				if _, err := limitTakes(time.Duration(draw(3000))*time.Millisecond)(ctx, ""); err != nil {
					return "", err
				}
				if draw(5) == 0 {
					return "", &resilience.Error{Kind: resilience.RateLimited, RetryAfter: time.Duration(draw(3000)) * time.Millisecond}
				}
				resilience.ReportUsage(ctx, resilience.Usage{Input: int64(draw(100))})
				return "", nil
			}
			for range 300 {
				time.Sleep(time.Duration(draw(500)) * time.Millisecond)
				r.calls.Go(func() {
					defer func() { _ = recover() }()
					ctx, cancel := context.WithTimeout(r.Context(), time.Duration(draw(8000))*time.Millisecond)
					defer cancel()
					start := time.Now()
					_, _, _ = r.client.Do(ctx, "?", resilience.CallOptions{
						Tenant: strconv.Itoa(draw(4)), Priority: resilience.Priority(draw(4) - 1), Tokens: draw(200),
					})
					if d := time.Since(start); d > 8*time.Second {
						t.Errorf("seed %d: a call took %v", seed, d)
					}
				})
				switch draw(40) {
				case 0:
					config := []string{
						`{}`, `{"limiter": {"inFlight": 6}}`, `{"limiter": {"inFlight": 1, "tenant": 1}}`, `{"limiter": {"tenant": 2}}`,
						`{"limiter": {"queue": -1}}`, `{"limiter": {"wait": "1s"}}`,
						`{"models": [{"id": "m", "limits": {"requestsPerMinute": 60, "tokensPerMinute": 6000}}]}`,
					}[draw(7)]
					require.NoError(r, r.pool.Reload(r.Context(), []byte(config), by))
				case 1:
					require.NoError(r, r.pool.Reset(r.Context(), r.model, by))
				}
			}
			r.calls.Wait()
			require.NoError(r, r.pool.Reload(r.Context(), []byte(`{}`), by))
			require.NoError(r, r.pool.Reset(r.Context(), r.model, by))
			time.Sleep(time.Minute)
			require.Empty(r, r.pool.Explain("")[0].Reason)
			for i, from := range sent { // a hundred a minute, and ten at once
				if i+112 < len(sent) && sent[i+112].Sub(from) < time.Minute {
					t.Errorf("seed %d: 112 requests in %v", seed, sent[i+112].Sub(from))
				}
			}
			r.do = limitTakes(time.Second)
			r.fill(3)
		})
	}
}

// Calls that wait when a reload lifts what they wait for go at once.
func TestLimiterReloadLetsGo(t *testing.T) {
	by := resilience.Control{Actor: "a test", Reason: "to see"}
	for _, config := range []string{
		`{"limiter": {"inFlight": 5}}`, `{"limiter": {"inFlight": -1}}`, `{"limiter": {"observeOnly": true}}`,
	} {
		limited(t, balance.LimiterConfig{InFlight: 2}, resilience.Limits{}, func(r *limitRig) {
			var order limitOrder
			r.fill(2)
			r.go1(resilience.CallOptions{}, order.note("a"))
			require.EqualValues(r, 1, r.model.Queued())
			require.NoError(r, r.pool.Reload(r.Context(), []byte(config), by))
			synctest.Wait()
			require.Zero(r, r.model.Queued(), config)
			require.EqualValues(r, 3, r.model.InFlight())
			require.False(r, r.model.Full())
		})
	}
	limited(t, balance.LimiterConfig{}, resilience.Limits{}, func(r *limitRig) {
		err := r.pool.Reload(r.Context(), []byte(`{"limiter": {"inflight": 5}}`), by)
		require.ErrorContains(r, err, `limiter.inflight`)
	})
}

// What a provider said a minute ago counts no more.
func TestLimiterForgets(t *testing.T) {
	limited(t, balance.LimiterConfig{}, resilience.Limits{}, func(r *limitRig) {
		api := &limitScript{replies: []map[string]string{limitQuota("Requests", "10", "1", "5s"), {}}}
		r.do = limitGet(api)
		_, err := r.client.Call(r.Context(), "?")
		require.NoError(r, err)
		time.Sleep(61 * time.Second)
		start := time.Now()
		for range 15 {
			_, err = r.client.Call(r.Context(), "?")
			require.NoError(r, err)
		}
		require.Zero(r, time.Since(start))
	})
}

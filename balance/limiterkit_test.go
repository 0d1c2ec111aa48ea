package balance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
)

// A limitRig is a pool of one model with a limiter, on the clock of a test.
type limitRig struct {
	*testing.T
	limiter *balance.Limiter
	pool    *resilience.Pool
	model   *resilience.Model
	client  *resilience.Client[string, string]
	events  *resilience.Subscription
	do      func(ctx context.Context, question string) (string, error)
	calls   sync.WaitGroup
}

// limited runs f on a rig whose model takes a second an answer.
func limited(t *testing.T, cfg balance.LimiterConfig, limits resilience.Limits, f func(r *limitRig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &limitRig{T: t, limiter: balance.NewLimiter(cfg), do: limitTakes(time.Second)}
		pool, err := resilience.NewPool(r.limiter, resilience.Models(resilience.ModelInfo{ID: "m", Limits: limits}))
		require.NoError(t, err)
		r.pool, r.model = pool, pool.Model("m")
		r.client, err = resilience.NewClient(pool, resilience.BindFunc("m", func(ctx context.Context, q string) (string, error) {
			return r.do(ctx, q)
		}))
		require.NoError(t, err)
		r.events = pool.Subscribe(1000, resilience.EventReject)
		f(r)
		r.calls.Wait()
		require.Zero(t, r.model.InFlight())
		require.Zero(t, r.model.Queued())
		require.False(t, r.model.Full())
		r.events.Close()
	})
}

func limitTakes(d time.Duration) func(context.Context, string) (string, error) {
	return func(ctx context.Context, _ string) (string, error) {
		select {
		case <-time.After(d):
			return "fine", nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// go1 makes a call beside the test, tells done of its outcome, and returns when
// it is under way or waits.
func (r *limitRig) go1(opts resilience.CallOptions, done func(error)) {
	r.calls.Go(func() {
		_, _, err := r.client.Do(r.Context(), "?", opts)
		if done != nil {
			done(err)
		}
	})
	synctest.Wait()
}

// fill makes n calls that are under way when it returns.
func (r *limitRig) fill(n int) {
	for range n {
		r.go1(resilience.CallOptions{}, func(err error) { require.NoError(r, err) })
	}
	require.EqualValues(r, n, r.model.InFlight())
}

// fill2 makes one more, which is the second.
func (r *limitRig) fill2() {
	r.go1(resilience.CallOptions{}, func(err error) { require.NoError(r, err) })
	require.EqualValues(r, 2, r.model.InFlight())
}

// limitOrder notes who was served, in order.
type limitOrder struct {
	mu   sync.Mutex
	list []string
}

func (o *limitOrder) note(name string) func(error) {
	return func(err error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if err != nil {
			name += " " + resilience.KindOf(err).String()
		}
		o.list = append(o.list, name)
	}
}

// A limitedAPI is a provider with a token bucket, that tells of it in its
// headers if it is told to.
type limitedAPI struct {
	rate, burst float64
	took        func() time.Duration
	headers     bool
	window      time.Duration // in which burst requests may come; 0 is an even flow
	others      float64       // requests a second of other processes

	mu        sync.Mutex
	level     float64
	at        time.Time
	sent      int
	refused   int
	delivered int
}

func (a *limitedAPI) RoundTrip(req *http.Request) (*http.Response, error) {
	a.mu.Lock()
	now := time.Now()
	reset := a.fill(now)
	a.sent++
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("fine")), Request: req}
	if a.level < 1 {
		a.refused++
		resp.StatusCode = http.StatusTooManyRequests
	} else {
		a.level--
		a.delivered++
	}
	if a.headers {
		resp.Header.Set("X-Ratelimit-Limit-Requests", fmt.Sprint(a.burst))
		resp.Header.Set("X-Ratelimit-Remaining-Requests", fmt.Sprint(int(a.level)))
		resp.Header.Set("X-Ratelimit-Reset-Requests", reset().Round(time.Millisecond).String())
	}
	took := a.took()
	a.mu.Unlock()
	if resp.StatusCode != http.StatusOK {
		took = 20 * time.Millisecond
	}
	select {
	case <-time.After(took):
		return resp, nil
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

// sum returns what was delivered so far, and the part that was refused.
func (a *limitedAPI) sum() (delivered, refused float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return float64(a.delivered), float64(a.refused) / float64(a.sent)
}

// fill lets time pass, and returns a function that says when all is back.
func (a *limitedAPI) fill(now time.Time) func() time.Duration {
	if a.at.IsZero() {
		a.level, a.at = a.burst, now
	}
	if a.window > 0 {
		for now.Sub(a.at) >= a.window {
			a.level, a.at = a.burst, a.at.Add(a.window)
		}
		return func() time.Duration { return a.window - now.Sub(a.at) }
	}
	passed := now.Sub(a.at).Seconds()
	a.level = max(min(a.burst, a.level+a.rate*passed)-a.others*passed, 0)
	a.at = now
	return func() time.Duration { return time.Duration((a.burst - a.level) / a.rate * float64(time.Second)) }
}

// limitGet asks a provider behind a tap.
func limitGet(base http.RoundTripper) func(context.Context, string) (string, error) {
	client := &http.Client{Transport: resilience.Tap(base)}
	return func(ctx context.Context, _ string) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://provider.test/", nil)
		if err != nil {
			return "", err
		}
		resp, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		switch {
		case err != nil:
			return "", err
		case resp.StatusCode == http.StatusTooManyRequests:
			return "", resilience.RateLimited
		case resp.StatusCode != http.StatusOK:
			return "", errors.New(resp.Status)
		}
		return string(text), nil
	}
}

// limitPoisson makes calls at random instants, rate a second, for some time.
func limitPoisson(rng *rand.Rand, rate float64, d time.Duration, call func()) {
	for end := time.Now().Add(d); ; {
		time.Sleep(time.Duration(rng.ExpFloat64() / rate * float64(time.Second)))
		if !time.Now().Before(end) {
			return
		}
		go call()
	}
}

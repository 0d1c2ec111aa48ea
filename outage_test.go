package resilience_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

func hangs(ctx context.Context, _ string) (string, error) {
	<-ctx.Done()
	return "", context.Cause(ctx)
}

// A service that gives its calls a deadline, as most do, is not lost to a model
// that hangs: there is time left for the other one, and the breaker sees it.
func TestHungModelUnderACallersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := resilience.NewPool(resilience.Timeouts{}, fallback.New(fallback.Config{}), retry.New(retry.Config{}), breaker.New(breaker.Config{}))
		require.NoError(t, err)
		c, err := resilience.NewClient(p, resilience.BindFunc("a", hangs), resilience.BindFunc("b", says("b")))
		require.NoError(t, err)
		for i := range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			start := time.Now()
			answer, rep, err := c.Do(ctx, "?", resilience.CallOptions{})
			cancel()
			require.NoError(t, err)
			require.Equal(t, "b", answer)
			if i < 5 {
				require.Equal(t, 15*time.Second, time.Since(start))
				require.Contains(t, rep.Attempts[0].Reason, "half of the time left")
			}
			if i == 5 {
				require.Zero(t, time.Since(start), "the breaker has opened")
			}
		}
		// With nobody else to go to, it gets all of it.
		alone := resilience.Wrap(resilience.FuncOf(hangs), resilience.Timeouts{}, fallback.New(fallback.Config{}))
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		_, err = alone.Call(ctx, "?")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 30*time.Second, time.Since(start))
	})
}

func TestBypassByAFileThatSaysNothingElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resilience.json")
	require.NoError(t, os.WriteFile(path, []byte(`{"models": [{"id": "a", "provider": "p"}]}`), 0o600))
	p, err := resilience.NewPool(resilience.ConfigFile(path, -1))
	require.NoError(t, err)
	c, err := resilience.NewClient(p, resilience.BindProvider("p", func(context.Context, *resilience.Model, string) (string, error) {
		return "fine", nil
	}))
	require.NoError(t, err)
	for _, config := range []string{`{"bypass": true}`, `{}`} {
		require.NoError(t, p.Reload(t.Context(), []byte(config), by))
		answer, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		require.Equal(t, "fine", answer)
	}
	_, err = resilience.NewPool(resilience.ConfigFile(path, -1), resilience.ConfigFile(path, -1))
	require.ErrorContains(t, err, "configFile: is given twice")
}

func TestOverridesForModelsThatThereAreNot(t *testing.T) {
	p, err := resilience.NewPool(resilience.Models(resilience.ModelInfo{ID: "gpt-5@eu", Name: "gpt-5"}),
		resilience.Timeouts{}, breaker.New(breaker.Config{}))
	require.NoError(t, err)
	err = p.Reload(t.Context(), []byte(`{"breaker": {"models": {"gtp-5": {"consecutive": 3}}}, "timeouts": {"models": {"nonesuch": {"attempt": "1s"}}}}`), by)
	require.ErrorContains(t, err, `breaker.models.gtp-5: no model has this ID or name; did you mean "gpt-5"?`)
	require.ErrorContains(t, err, `timeouts.models.nonesuch: no model has this ID or name`)
	require.NoError(t, p.Reload(t.Context(), []byte(`{"breaker": {"models": {"gpt-5": {"consecutive": 3}, "gpt-5@eu": {"probes": 1}}}}`), by))
}

func TestOrdersOutliveReloads(t *testing.T) {
	p := newPool(t, models("a", "b"))
	newClient(t, p, echo("a", "b")...)
	require.NoError(t, p.Model("a").Drain(t.Context(), by))
	require.NoError(t, p.Reload(t.Context(), []byte(`{"models": [{"id": "b"}]}`), by))
	require.NoError(t, p.Reload(t.Context(), []byte(`{"models": [{"id": "a"}, {"id": "b"}]}`), by))
	require.False(t, p.Model("a").Available())
	require.NoError(t, p.Model("a").Restore(t.Context(), by))
	require.True(t, p.Model("a").Available())
}

func TestWrapThatIsRefusedChangesNothing(t *testing.T) {
	c := retry.Wrap(resilience.FuncOf(says("fine")), retry.Config{})
	before := c.Pool().Stack()
	require.Panics(t, func() { retry.Wrap(c, retry.Config{}) })
	require.Equal(t, before, c.Pool().Stack())
	require.Len(t, breaker.Wrap(c, breaker.Config{}).Pool().Stack(), len(before)+1)
	answer, err := c.Call(t.Context(), "?")
	require.NoError(t, err)
	require.Equal(t, "fine", answer)
}

func TestModelsThatAreNone(t *testing.T) {
	p, other := newPool(t, models("a")), newPool(t, models("a"))
	require.ErrorContains(t, p.Reset(t.Context(), p.Model("typo"), by), "model: is nil")
	require.ErrorContains(t, p.Reset(t.Context(), other.Model("a"), by), "of another pool")
	require.ErrorContains(t, p.Model("typo").Drain(t.Context(), by), "model: is nil")
	require.ErrorContains(t, p.Model("typo").Restore(t.Context(), by), "model: is nil")
	require.Panics(t, func() {
		resilience.Wrap(resilience.SDK[string, string, int](nil))
	}, "when it is wrapped, not when it is called")
}

func TestWhyThereIsNoModel(t *testing.T) {
	p := newPool(t, models("a"), inTurn(false))
	c := newClient(t, p, echo("a")...)
	_, _, err := c.Do(t.Context(), "?", resilience.CallOptions{Require: []string{"vison"}})
	require.EqualError(t, err, "refused: no model can do vison")
	_, _, err = c.Do(t.Context(), "?", resilience.CallOptions{Fallbacks: []string{"nonesuch"}})
	require.ErrorContains(t, err, "Fallbacks without a Model")
	nobody := resilience.BindProvider("opnai", func(context.Context, *resilience.Model, string) (string, error) { return "", nil })
	_, err = newClient(t, newPool(t), nobody).Call(t.Context(), "?")
	require.EqualError(t, err, "refused: none of the pool's models is bound")
	_, err = resilience.NewClient(newPool(t, resilience.Models(resilience.ModelInfo{ID: "a", Provider: "openai"})), nobody)
	require.EqualError(t, err, `client.bindProvider.opnai: no model of the pool has this provider; did you mean "openai"?`)
}

// The prepared refusal gives way wherever the long way knows more.
func TestPreparedRefusalGivesWay(t *testing.T) {
	b := breaker.New(breaker.Config{})
	c := resilience.Wrap(resilience.FuncOf(says("fine")), b)
	require.NoError(t, b.Isolate(t.Context(), c.Pool().Models()[0], by))
	_, err := c.Call(t.Context(), "?")
	require.ErrorIs(t, err, resilience.Rejected)

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Call(gone, "?")
	require.ErrorIs(t, err, resilience.Canceled)
	_, err = c.Call(resilience.WithOptions(t.Context(), resilience.CallOptions{Model: "nonesuch"}), "?")
	require.ErrorIs(t, err, resilience.NotFound)
	require.NoError(t, c.Pool().Drain(t.Context()))
	_, err = c.Call(t.Context(), "?")
	require.EqualError(t, err, "refused: the pool is draining")
	require.Equal(t, "model held by breaker (operator: a test) until lifted", c.Pool().Explain("")[0].String())
}

func TestNestedPoolsTellWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := titled{"gpt-5", resilience.Overloaded}
		inner := breaker.Wrap(retry.Wrap(down, retry.Config{}), breaker.Config{})
		require.Equal(t, "gpt-5", inner.Name())
		outer := fallback.Wrap(fallback.Config{}, inner, titled{"claude", resilience.Overloaded})
		_, err := outer.Call(t.Context(), "?")
		require.ErrorContains(t, err, "a1 gpt-5 overloaded (3 attempts within, the last at gpt-5: overloaded")
		require.ErrorContains(t, err, "a2 claude overloaded")
		for range 5 {
			_, _ = inner.Call(t.Context(), "?")
		}
		_, err = outer.Call(t.Context(), "?")
		require.ErrorContains(t, err, "a1 gpt-5 rejected (gpt-5 held by breaker")
	})
}

type titled struct {
	name string
	err  error
}

func (n titled) Name() string                                 { return n.name }
func (n titled) Call(context.Context, string) (string, error) { return "", n.err }

func TestTapKeepsToTheModelsHost(t *testing.T) {
	base := replies(reply(200, ""), reply(429, "", "Retry-After", "3600"))
	client := &http.Client{Transport: resilience.Tap(base)}
	c := resilience.Wrap(resilience.FuncOf(func(ctx context.Context, _ string) (string, error) {
		for _, u := range []string{url, "http://tool.test/search"} {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, http.NoBody)
			if err != nil {
				return "", err
			}
			resp, err := client.Do(req)
			if err != nil {
				return "", err
			}
			_ = resp.Body.Close()
		}
		return "", context.DeadlineExceeded
	}), breaker.New(breaker.Config{}))
	_, err := c.Call(t.Context(), "?")
	require.NotErrorIs(t, err, resilience.RateLimited)
	require.True(t, c.Pool().Models()[0].Available())
}

// A provider that is polite about its limits has limits, and is not overloaded.
func TestPoliteRateLimits(t *testing.T) {
	for _, err := range []error{
		&sdkError{StatusCode: 429, Code: "rate_limit_exceeded", Message: "You send too quickly. Please slow down."},
		&sdkError{StatusCode: 429, Message: "please slow down"},
	} {
		require.Equal(t, resilience.RateLimited, resilience.KindOf(err))
	}
	require.Equal(t, resilience.Overloaded, resilience.KindOf(&sdkError{StatusCode: 503, Message: "Slow Down"}))
}

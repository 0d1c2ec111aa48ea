package resilience_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// standIns is a feature that says what stands in for what.
func standIns(of map[string][]string) resilience.Feature {
	return feature(func(s *resilience.Setup) error {
		s.StandIns(func(model string) []string { return of[model] })
		return nil
	})
}

func TestStandIns(t *testing.T) {
	p := newPool(t, inTurn(false), standIns(map[string][]string{"gpt": {"claude", "elsewhere"}, "claude": {"gpt"}}), resilience.Models(
		resilience.ModelInfo{ID: "gpt@eu", Name: "gpt"}, resilience.ModelInfo{ID: "gpt@us", Name: "gpt", Tier: 1},
		resilience.ModelInfo{ID: "claude"}, resilience.ModelInfo{ID: "gemini"}, resilience.ModelInfo{ID: "elsewhere"}))
	c := newClient(t, p, bind([]string{"gpt@eu", "gpt@us", "claude", "gemini"}, fails(resilience.Overloaded))...)
	for name, want := range map[string]struct {
		opts resilience.CallOptions
		path []string
	}{
		"of a name, as far as they are bound": {resilience.CallOptions{Model: "gpt"}, []string{"gpt@eu", "gpt@us", "claude"}},
		"not those of an ID's name":           {resilience.CallOptions{Model: "gpt@us"}, []string{"gpt@us"}},
		"both ways":                           {resilience.CallOptions{Model: "claude"}, []string{"claude", "gpt@eu", "gpt@us"}},
		"none":                                {resilience.CallOptions{Model: "gemini"}, []string{"gemini"}},
		"the caller's own come instead":       {resilience.CallOptions{Model: "gpt@eu", Fallbacks: []string{"gemini"}}, []string{"gpt@eu", "gemini"}},
	} {
		require.Equal(t, want.path, path(t, c, want.opts), name)
	}
	_, rep, err := c.Pin("claude").Do(t.Context(), "", resilience.CallOptions{})
	require.Error(t, err)
	require.Len(t, rep.Attempts, 1, "a pinned call is never rerouted")

	_, err = resilience.NewPool(standIns(nil), standIns(nil))
	require.ErrorContains(t, err, "standIns: two features")
}

func TestStandInsThatThereAreNot(t *testing.T) {
	sections := feature(func(s *resilience.Setup) error {
		s.Configure("routes", func(json.RawMessage) (func(), error) { return func() {}, nil })
		return nil
	})
	p := newPool(t, sections, models("gpt-5", "claude"))
	err := p.Reload(t.Context(), []byte(`{"routes": {"standIns": {"gpt-5": ["claude", "cluade"], "gtp-5": ["claude"]}}}`), by)
	require.ErrorContains(t, err, `routes.standIns.gpt-5[1]: no model has this ID or name; did you mean "claude"?`)
	require.ErrorContains(t, err, `routes.standIns.gtp-5: no model has this ID or name; did you mean "gpt-5"?`)
	require.NoError(t, p.Reload(t.Context(), []byte(`{"routes": {"standIns": {"gpt-5": ["claude"]}}}`), by))
}

func TestFullModelsAreTheLastWithoutAPicker(t *testing.T) {
	p := newPool(t, inTurn(false), models("a", "b", "c"))
	c := newClient(t, p, bind([]string{"a", "b", "c"}, fails(resilience.Overloaded))...)
	p.Model("a").SetFull(true)
	p.Model("b").SetFull(true)
	require.Equal(t, []string{"c", "a", "b"}, path(t, c, resilience.CallOptions{}))
}

func TestNextBy(t *testing.T) {
	last := pick(func(_ *resilience.Call, from resilience.Candidates) *resilience.Model { return from.At(from.Len() - 1) })
	first := pick(func(_ *resilience.Call, from resilience.Candidates) *resilience.Model { return from.At(0) })
	p := newPool(t, first, models("a", "b", "c"), feature(func(s *resilience.Setup) error {
		s.Route(func(ctx context.Context, r *resilience.Route, next resilience.Handler) error {
			r.NextBy(ctx, last, false)
			return next(ctx, r.Call())
		})
		return nil
	}))
	answer, err := newClient(t, p, echo("a", "b", "c")...).Call(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, "c", answer)
}

func TestCapacity(t *testing.T) {
	p := newPool(t, resilience.Models(resilience.ModelInfo{ID: "a", Limits: resilience.Limits{Concurrency: 7}}))
	m := p.Model("a")
	require.EqualValues(t, 7, m.Capacity())
	m.SetCapacity(3)
	require.EqualValues(t, 3, m.Capacity())
	m.SetCapacity(0)
	require.EqualValues(t, 7, m.Capacity())
}

// TestWhatALimiterLearns is of all that a limit goes by: an estimate before, the
// usage and the provider's own words after, and a wait that may end early.
func TestWhatALimiterLearns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := replies(reply(200, "fine", "X-Ratelimit-Limit-Requests", "50", "X-Ratelimit-Remaining-Requests", "49", "X-Ratelimit-Reset-Requests", "20ms"))
		http1 := &http.Client{Transport: resilience.Tap(base)}
		var estimates []int
		var used []int64
		var requests []resilience.Quota
		ready := make(chan struct{}, 1)
		var waited []bool
		p := newPool(t, layer(resilience.LayerLimit, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
			require.Zero(t, c.Usage())
			r, _ := c.Quotas()
			require.Zero(t, r)
			early, err := c.Wait(ctx, ready, time.Second)
			waited = append(waited, early)
			if err != nil {
				return err
			}
			estimates = append(estimates, c.Tokens())
			err = next(ctx, c)
			used = append(used, c.Usage().Output)
			r, tokens := c.Quotas()
			require.Zero(t, tokens)
			requests = append(requests, r)
			return err
		}))
		tapped := ask(func(ctx context.Context, _ string) (string, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
			if err != nil {
				return "", err
			}
			resp, err := http1.Do(req)
			if err != nil {
				return "", err
			}
			resilience.ReportUsage(ctx, resilience.Usage{Output: 12})
			return "", resp.Body.Close()
		})
		c, err := resilience.NewClient[string, string](p, resilience.BindFunc("a", tapped), resilience.Hooks[string, string]{
			Tokens: func(req string) int { return len(req) },
		})
		require.NoError(t, err)
		ready <- struct{}{}
		_, err = c.Call(t.Context(), "four")
		require.NoError(t, err)
		_, rep, err := c.Do(t.Context(), "four", resilience.CallOptions{Tokens: 100})
		require.NoError(t, err)
		require.Equal(t, time.Second, rep.Attempts[0].Wait)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err = c.Call(ctx, "")
		require.ErrorIs(t, err, resilience.Canceled)
		require.Equal(t, []bool{true, false, false}, waited)
		require.Equal(t, []int{4, 100}, estimates)
		require.Equal(t, []int64{12, 12}, used)
		require.Equal(t, resilience.Quota{Limit: 50, Remaining: 49, Reset: 20 * time.Millisecond}, requests[0])
	})
}

func TestErrorsOfAModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t)
		err := error(nil)
		c := newClient(t, p, resilience.BindFunc("a", func(context.Context, string) (string, error) { return "", err }))
		m := p.Model("a")
		for kind, counts := range map[resilience.Kind]bool{
			resilience.Overloaded: true, resilience.RateLimited: true, resilience.Unauthorized: true, resilience.TimedOut: true,
			resilience.Invalid: false, resilience.TooLong: false, resilience.Filtered: false, resilience.Malformed: false,
		} {
			err = kind
			_, _ = c.Call(t.Context(), "")
			require.Equal(t, counts, m.Errors() > 0.05, "%v", kind)
			time.Sleep(5 * time.Minute)
			require.Less(t, m.Errors(), 1e-3, "time forgives")
			err = nil
			_, _ = c.Call(t.Context(), "")
			require.Zero(t, m.Errors())
		}
	})
}

func TestPriorityNames(t *testing.T) {
	for p, name := range map[resilience.Priority]string{
		resilience.Low: "low", resilience.Normal: "normal", resilience.High: "high", resilience.Critical: "critical", 7: "unknown", -9: "unknown",
	} {
		require.Equal(t, name, p.String())
	}
}

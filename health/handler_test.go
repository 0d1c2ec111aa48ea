package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/health"
)

type seen struct {
	Ready     bool
	Available int
	Min       int
	Models    []struct {
		ID, Status, Reason    string
		Score                 float64
		Since, Until, Checked time.Time
	}
}

func get(t require.TestingT, h http.Handler, method string) (code int, v seen, body string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, "/readyz", nil))
	if w.Code == http.StatusMethodNotAllowed {
		require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
		return w.Code, v, ""
	}
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	body = w.Body.String()
	if body != "" {
		require.NoError(t, json.Unmarshal([]byte(body), &v))
	}
	return w.Code, v, body
}

func TestHandler(t *testing.T) {
	bubble(t, quick, models("a", "b", "c"), func(r *rig) {
		two, one := r.checker.Handler(2), r.checker.Handler(0)
		code, v, _ := get(r, two, http.MethodGet)
		require.Equal(r, 200, code)
		require.True(r, v.Ready)
		require.Equal(r, 3, v.Available)
		require.Equal(r, 2, v.Min)
		require.Len(r, v.Models, 3)
		require.Zero(r, v.Models[0].Checked)

		r.set(errors.New("503 the prompt was: canary, the key sk-canary"), "a")
		time.Sleep(time.Minute)
		require.NoError(r, r.pool.Model("b").Drain(r.Context(), by))
		code, v, body := get(r, two, http.MethodGet)
		require.Equal(r, 503, code)
		require.False(r, v.Ready)
		require.Equal(r, 1, v.Available)
		a, b, c := v.Models[0], v.Models[1], v.Models[2]
		require.Equal(r, "unavailable", a.Status)
		require.Equal(r, "held by health (probe: overloaded)", a.Reason)
		require.True(r, a.Since.Before(time.Now()) && a.Until.After(time.Now()), "%v", a)
		require.Equal(r, "maintenance", b.Status)
		require.Equal(r, "held by manual (operator: a test) until lifted", b.Reason)
		require.Equal(r, "available", c.Status)
		require.Empty(r, c.Reason)
		require.Greater(r, c.Score, a.Score)
		require.NotContains(r, body, "canary")
		code, _, _ = get(r, one, http.MethodGet)
		require.Equal(r, 200, code)

		code, _, body = get(r, two, http.MethodHead)
		require.Equal(r, 503, code)
		require.Empty(r, body)
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
			code, _, _ = get(r, two, method)
			require.Equal(r, 405, code, method)
		}
		asked := r.asked(0)
		get(r, one, http.MethodGet)
		require.Equal(r, asked, r.asked(0), "it asks no model")
	})
}

// A pool that drains is not ready, whatever its models are.
func TestHandlerDraining(t *testing.T) {
	bubble(t, quick, models("a", "b"), func(r *rig) {
		h := r.checker.Handler(1)
		code, _, _ := get(r, h, http.MethodGet)
		require.Equal(r, 200, code)
		require.NoError(r, r.pool.Drain(r.Context()))
		code, v, _ := get(r, h, http.MethodGet)
		require.Equal(r, 503, code)
		require.Contains(r, v.Models[0].Reason, "draining")
		r.pool.Model("a").Hold(r.Context(), resilience.Hold{By: resilience.HoldBreaker})
		r.pool.Model("b").Hold(r.Context(), resilience.Hold{By: resilience.HoldBreaker})
		code, _, _ = get(r, r.checker.Handler(-1), http.MethodGet)
		require.Equal(r, 503, code)
	})
}

// crowd makes models full.
type crowd struct{}

// Install implements [resilience.Feature].
func (crowd) Install(s *resilience.Setup) error {
	s.Explain(func(*resilience.Model) string { return "full: 4 of 4 under way, 100 waiting" })
	return nil
}

// A pool that has more to do than it can is ready: it sheds what is not important,
// and answers the rest.
func TestHandlerFull(t *testing.T) {
	bubble(t, quick, models("a"), func(r *rig) {
		code, v, _ := get(r, r.checker.Handler(1), http.MethodGet)
		require.Equal(r, 200, code)
		require.Equal(r, "full: 4 of 4 under way, 100 waiting", v.Models[0].Reason)
	}, crowd{})
}

// Before a checker belongs to a pool, and where a pool has no models, nothing is
// ready.
func TestHandlerOfNothing(t *testing.T) {
	c := health.New(health.Config{})
	code, v, body := get(t, c.Handler(1), http.MethodGet)
	require.Equal(t, 503, code)
	require.False(t, v.Ready)
	require.True(t, strings.HasSuffix(body, `"models":[]}`+"\n"), body)
	_, err := resilience.NewPool(c)
	require.NoError(t, err)
	code, _, _ = get(t, c.Handler(1), http.MethodGet)
	require.Equal(t, 503, code)
}

// A wrapped caller is one model, and is never taken out.
func TestWrap(t *testing.T) {
	chat := health.Wrap(resilience.FuncOf(func(context.Context, string) (string, error) { return "", resilience.Overloaded }), health.Config{})
	for range 20 {
		_, err := chat.Call(t.Context(), "?")
		require.ErrorIs(t, err, resilience.Overloaded)
	}
	require.True(t, chat.Models()[0].Available())
}

package resilience_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// sdkError has the shape of an SDK's error, and quotes what it should not.
type sdkError struct {
	StatusCode int
	Code       string
	Message    string
	Header     http.Header
}

func (e *sdkError) Error() string { return fmt.Sprintf("%d %s", e.StatusCode, e.Message) }

func TestErrorForms(t *testing.T) {
	err := &resilience.Error{
		Kind: resilience.RateLimited, Model: "gpt-5", Attempt: 2, Status: 429, Code: "slow_down",
		RequestID: "req_1", RetryAfter: 1500 * time.Millisecond, Err: fmt.Errorf("outer: %w", errBroken),
	}
	const line = "gpt-5: rate_limited: 429 slow_down, request req_1, retry in 2s"
	for format, want := range map[string]string{
		"%v": line, "%s": line, "%d": line, "%#v": line, "%10s": line,
		"%q":  `"` + line + `"`,
		"%x":  fmt.Sprintf("%x", line),
		"%+v": line + "\n    attempt 2\n    caused by *fmt.wrapError\n    caused by *errors.errorString",
	} {
		require.Equal(t, want, fmt.Sprintf(format, err), format)
	}
	require.Equal(t, "unknown", (&resilience.Error{Kind: resilience.Unknown}).Error())
	require.Equal(t, "ok", (&resilience.Error{}).Error())
	require.ErrorIs(t, err, resilience.RateLimited)
	require.NotErrorIs(t, err, resilience.Overloaded)
	require.ErrorIs(t, err, errBroken)
	require.NotErrorIs(t, err, context.Canceled)

	var text, doc bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("x", "err", err)
	require.Contains(t, text.String(), `err.kind=rate_limited err.model=gpt-5 err.attempt=2 err.what="429 slow_down" err.request=req_1 err.retryAfter=1.5s`)
	slog.New(slog.NewJSONHandler(&doc, nil)).Info("x", "err", err)
	require.Contains(t, doc.String(), `"err":{"kind":"rate_limited","model":"gpt-5","attempt":2,"what":"429 slow_down","request":"req_1","retryAfter":1500000000}`)
}

func TestExhaustedForms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, inTurn(false))
		slow := func(err error) ask {
			return func(context.Context, string) (string, error) { time.Sleep(1200 * time.Millisecond); return "", err }
		}
		c := newClient(t, p, resilience.BindFunc("a", slow(&sdkError{StatusCode: 529, Code: "overloaded_error"})),
			resilience.BindFunc("b", slow(resilience.Unknown)), resilience.BindFunc("c", says("c")))
		p.Model("c").Hold(t.Context(), resilience.Hold{By: resilience.HoldLimit, Until: time.Now().Add(90 * time.Second)})
		until := time.Now().Add(90 * time.Second).Format(time.RFC3339)
		_, _, err := c.Do(t.Context(), "", resilience.CallOptions{Op: "chat"})

		one := "resilience: overloaded, no answer in 2.4s: a1 a overloaded 529 overloaded_error after 1.2s → elsewhere; " +
			"a2 b unknown unknown error after 1.2s; skipped c held by limit until " + until + "; retry in 1m28s"
		require.EqualError(t, err, one)
		require.Equal(t, err.Error(), fmt.Sprintf("%v", err))
		require.Equal(t, err.Error(), fmt.Sprintf("%#v", err))
		require.Equal(t, fmt.Sprintf("%q", err.Error()), fmt.Sprintf("%q", err))
		require.Len(t, strings.Split(fmt.Sprintf("%+v", err), "\n"), 5)

		var all *resilience.ExhaustedError
		require.ErrorAs(t, err, &all)
		require.Equal(t, resilience.Overloaded, all.Kind)
		require.Equal(t, 87600*time.Millisecond, all.RetryAfter)
		require.Equal(t, []any{"chat", uint64(1)}, []any{all.Op, all.Call})
		require.Len(t, all.Unwrap(), 2)
		require.ErrorIs(t, err, resilience.Overloaded)
		require.ErrorIs(t, err, resilience.Unknown)
		var sdk *sdkError
		require.ErrorAs(t, err, &sdk, "the provider's own error")
		code, after := resilience.HTTPStatus(err)
		require.Equal(t, 503, code)
		require.Equal(t, all.RetryAfter, after)

		var doc bytes.Buffer
		slog.New(slog.NewJSONHandler(&doc, nil)).Info("x", "err", err)
		var parsed struct{ Err map[string]any }
		require.NoError(t, json.Unmarshal(doc.Bytes(), &parsed))
		require.Equal(t, []any{"overloaded", "chat", "c held by limit until " + until},
			[]any{parsed.Err["kind"], parsed.Err["op"], parsed.Err["skipped"]})
		require.Contains(t, parsed.Err["a1"], "→ elsewhere")
	})
}

func TestExhaustedErrorIsOneBoundedLine(t *testing.T) {
	long := strings.Repeat("m", 64)
	p := newPool(t, models(long, "held"), again(100))
	c := newClient(t, p, resilience.BindFunc(long, fails(&sdkError{StatusCode: 503, Code: strings.Repeat("c", 40), Header: http.Header{"X-Request-Id": {strings.Repeat("r", 120)}}})))
	_, rep, err := c.Do(t.Context(), "", resilience.CallOptions{Attempts: 90})
	require.Len(t, rep.Attempts, 64, "a trail is bounded")
	require.LessOrEqual(t, len(err.Error()), 1024)
	require.NotContains(t, err.Error(), "\n")
	require.True(t, utf8.ValidString(err.Error()))
	require.Len(t, strings.Split(fmt.Sprintf("%+v", err), "\n"), 1+64)

	// A hold's reason is what a person typed.
	p = newPool(t)
	c = newClient(t, p, echo("a", "b")...)
	for _, m := range p.Models() {
		require.NoError(t, m.Drain(t.Context(), resilience.Control{Actor: "o\x1b[31m", Reason: strings.Repeat("ä\n", 600)}))
	}
	_, err = c.Call(t.Context(), "")
	require.LessOrEqual(t, len(err.Error()), 1024)
	require.NotContains(t, err.Error(), "\n")
	require.NotContains(t, err.Error(), "\x1b")
	require.True(t, utf8.ValidString(err.Error()))
	require.NotContains(t, p.Explain("a")[0].String(), "\n")
}

func TestKindOfACall(t *testing.T) {
	for name, c := range map[string]struct {
		errs []error
		want resilience.Kind
	}{
		"the first":               {[]error{resilience.Overloaded, resilience.RateLimited}, resilience.Overloaded},
		"unless it says nothing":  {[]error{resilience.Unknown, resilience.RateLimited}, resilience.RateLimited},
		"and nothing else does":   {[]error{resilience.Unknown, resilience.Unknown}, resilience.Unknown},
		"the first is a refusal":  {[]error{resilience.Reject("no room", 0), resilience.QuotaSpent}, resilience.QuotaSpent},
		"nothing but refusals":    {[]error{resilience.Reject("no room", 0), resilience.Reject("no room", 0)}, resilience.Rejected},
		"a wrong request at last": {[]error{resilience.RateLimited, resilience.Invalid}, resilience.RateLimited},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, inTurn(false))
			a := newClient(t, p, resilience.BindFunc("a", fails(c.errs[0])), resilience.BindFunc("b", fails(c.errs[1])))
			_, err := a.Call(t.Context(), "")
			var all *resilience.ExhaustedError
			require.ErrorAs(t, err, &all)
			require.Equal(t, c.want, all.Kind)
		})
	}
}

// TestRefusalsAboveTheRouteStayWhatTheyAre, even while a model is held for
// reasons of its own.
func TestRefusalsAboveTheRouteStayWhatTheyAre(t *testing.T) {
	broke := layer(resilience.LayerAdmit, func(context.Context, *resilience.Call, resilience.Handler) error {
		return resilience.Reject("the budget is spent", time.Minute)
	})
	for _, f := range [][]resilience.Feature{{broke}, {broke, inTurn(false)}} {
		p := newPool(t, f...)
		c := newClient(t, p, echo("a")...)
		for range 2 {
			_, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
			require.EqualError(t, err, "refused: the budget is spent, retry in 1m0s")
			require.ErrorIs(t, err, resilience.Rejected)
			require.Empty(t, rep.Skipped)
			_, err = c.Call(t.Context(), "")
			require.EqualError(t, err, "refused: the budget is spent, retry in 1m0s")
			limit(t, p, "a", time.Hour)
		}
	}
}

// TestLayersAboveTheRouteSeeCallsToHeldModels: a cache may answer, and a
// monitor counts.
func TestLayersAboveTheRouteSeeCallsToHeldModels(t *testing.T) {
	seen := 0
	p := newPool(t, layer(resilience.LayerCache, func(context.Context, *resilience.Call, resilience.Handler) error {
		seen++
		return nil
	}))
	c := newClient(t, p, echo("a")...)
	limit(t, p, "a", time.Hour)
	_, err := c.Call(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, 1, seen)
}

// TestAttemptIsNotLostBehindARefusal: a second try that we refuse does not hide
// what the first one met.
func TestAttemptIsNotLostBehindARefusal(t *testing.T) {
	n := 0
	p := newPool(t, layer(resilience.LayerRetry, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
		require.Error(t, next(ctx, c))
		return next(ctx, c)
	}), layer(resilience.LayerLimit, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
		if n++; n > 1 {
			return resilience.Reject("no room", 0)
		}
		return next(ctx, c)
	}))
	c := newClient(t, p, resilience.BindFunc("a", fails(resilience.Overloaded)))
	_, err := c.Call(t.Context(), "")
	require.ErrorIs(t, err, resilience.Overloaded)
	require.Equal(t, resilience.Overloaded, resilience.KindOf(err))
}

// TestCancellationBeforeAnAttemptIsKept: a wait for room that the caller ended.
func TestCancellationBeforeAnAttemptIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, resilience.Timeouts{Call: time.Minute}, layer(resilience.LayerLimit,
			func(ctx context.Context, c *resilience.Call, _ resilience.Handler) error {
				<-ctx.Done()
				return ctx.Err()
			}))
		c := newClient(t, p, echo("a")...)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := c.Call(ctx, "")
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, resilience.Canceled, resilience.KindOf(err))
		_, err = c.Call(t.Context(), "")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, resilience.TimedOut, resilience.KindOf(err))
	})
}

// TestNothingSecretIsPrinted puts a canary wherever a provider may quote a
// prompt, an answer or a key.
func TestNothingSecretIsPrinted(t *testing.T) {
	const canary = "sk-canary-xyzzy"
	secret := &sdkError{StatusCode: 400, Message: "bad prompt: " + canary, Code: canary, Header: http.Header{
		"X-Request-Id": {"req_1"}, "Authorization": {canary}, "Retry-After": {canary},
	}}
	fault := errors.New("503 " + canary)
	for name, c := range map[string]struct {
		call  ask
		hooks resilience.Hooks[string, string]
	}{
		"an SDK's error": {fails(secret), resilience.Hooks[string, string]{}},
		"a text":         {fails(fault), resilience.Hooks[string, string]{}},
		"wrapped":        {fails(fmt.Errorf("%w: %s", resilience.Filtered, canary)), resilience.Hooks[string, string]{}},
		"validation": {says(canary), resilience.Hooks[string, string]{Validate: func(_, answer string) error {
			return errors.New("429 rate limit: " + answer)
		}}},
		"validation with a kind": {says(canary), resilience.Hooks[string, string]{Validate: func(_, answer string) error {
			return fmt.Errorf("%w: status code: 429, retry after 5 seconds: %s", resilience.Truncated, answer)
		}}},
		"a late one": {func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", fmt.Errorf("%s: %w", canary, ctx.Err())
		}, resilience.Hooks[string, string]{}},
		"a panic": {func(context.Context, string) (string, error) { panic(canary) }, resilience.Hooks[string, string]{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				log := slog.New(slog.NewJSONHandler(&out, nil))
				p := newPool(t, again(3), inTurn(false), resilience.Timeouts{Attempt: time.Second},
					watch(func(_ context.Context, e resilience.Event) {
						fmt.Fprintln(&out, e.Reason, e.From, e.To, e.Err)
						fmt.Fprintf(&out, "%+v %#v", e.Err, e.Err)
					}))
				cl := newClient(t, p, resilience.BindFunc("a", c.call), resilience.BindFunc("b", c.call), c.hooks)
				limit(t, p, "b", time.Hour)
				for range 2 {
					func() {
						defer func() { _ = recover() }()
						_, rep, err := cl.Do(t.Context(), "the prompt: "+canary, resilience.CallOptions{})
						for _, format := range []string{"%v", "%+v", "%#v", "%q", "%d"} {
							fmt.Fprintf(&out, format+"\n", err)
							fmt.Fprintf(&out, format+"\n", rep)
						}
						log.Error("x", "err", err, "report", rep)
						asJSON, jsonErr := json.Marshal([]any{err, rep, struct{ Err error }{err}})
						require.NoError(t, jsonErr)
						out.Write(asJSON)
						_, _ = out.WriteString(strings.Join(p.Stack(), "\n"))
						fmt.Fprintln(&out, p.Explain(""))
					}()
					p.Model("b").Release(t.Context(), resilience.HoldLimit)
				}
				require.NotEmpty(t, out.String())
				require.NotContains(t, out.String(), canary)
				require.NotContains(t, out.String(), "xyzzy")
			})
		})
	}
}

// TestValidationIsNotClassified: its words are about an answer, not from a
// provider.
func TestValidationIsNotClassified(t *testing.T) {
	for _, kind := range []resilience.Kind{0, resilience.Filtered} {
		p := newPool(t)
		c := newClient(t, p, resilience.BindFunc("a", says("x")), resilience.Hooks[string, string]{
			Validate: func(string, string) error {
				err := errors.New("status code: 429, retry after 5 seconds")
				if kind != 0 {
					err = fmt.Errorf("%w: %w", kind, err)
				}
				return err
			},
		})
		_, err := c.Call(t.Context(), "")
		var e *resilience.Error
		require.ErrorAs(t, err, &e)
		want := kind
		if kind == 0 {
			want = resilience.Malformed
		}
		require.Equal(t, want, e.Kind)
		require.Zero(t, e.Status)
		require.Zero(t, e.RetryAfter)
		require.ErrorContains(t, err, "failed validation")
	}
}

// TestWrappedKind gives an error a kind in the shortest way.
func TestWrappedKind(t *testing.T) {
	c := newClient(t, newPool(t), resilience.BindFunc("a", fails(fmt.Errorf("%w: the user's own words", resilience.Malformed))))
	_, err := c.Call(t.Context(), "?")
	require.EqualError(t, err, "a: malformed")
}

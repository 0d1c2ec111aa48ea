package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// kindRow is a row of the table in the documentation of Kind.
type kindRow struct {
	kind                            resilience.Kind
	name                            string
	again, elsewhere, against, hold string
	status                          int
}

// kindRows are the table once more; the documentation must say the same.
var kindRows = []kindRow{
	{resilience.Canceled, "Canceled", "no", "no", "no", "", 499},
	{resilience.TimedOut, "TimedOut", "only if nothing else is left", "yes", "yes", "", 504},
	{resilience.RateLimited, "RateLimited", "waited out if ≤ 5 s and it fits", "yes", "no", "limit, until the reset", 429},
	{resilience.Overloaded, "Overloaded", "after backoff", "yes", "yes", "", 503},
	{resilience.Unreachable, "Unreachable", "once, quickly", "yes", "yes", "", 502},
	{resilience.Unauthorized, "Unauthorized", "no", "yes", "no", "credential", 502},
	{resilience.QuotaSpent, "QuotaSpent", "no", "yes", "no", "quota", 503},
	{resilience.NotFound, "NotFound", "no", "yes", "no", "health", 502},
	{resilience.Invalid, "Invalid", "no", "no at the first model *", "no", "", 400},
	{resilience.TooLong, "TooLong", "no", "larger windows only", "no", "", 400},
	{resilience.Filtered, "Filtered", "no", "only where the operation allows", "no", "", 400},
	{resilience.Malformed, "Malformed", "with Hooks.Revise", "yes", "quality only", "", 502},
	{resilience.Truncated, "Truncated", "before any text", "yes", "yes", "", 502},
	{resilience.Rejected, "Rejected", "no", "yes", "no", "", 503},
	{resilience.Unknown, "Unknown", "no", "once", "lightly", "", 502},
}

// means says what a cell's words mean to the methods of Kind, which know no
// conditions. Words that are not here fail the test.
var means = map[string]bool{
	"yes": true, "no": false, "": false,
	"only if nothing else is left": true, "waited out if ≤ 5 s and it fits": true, "after backoff": true,
	"once, quickly": true, "before any text": true, "larger windows only": true, "once": true, "lightly": true,
	"no at the first model *": false, "only where the operation allows": false, "quality only": false, "with Hooks.Revise": false,
}

func TestKindTable(t *testing.T) {
	for i, r := range kindRows {
		require.Equal(t, resilience.Kind(i+1), r.kind, "a row for each kind, in order")
		for cell, got := range map[string]bool{r.again: r.kind.Retry(), r.elsewhere: r.kind.Elsewhere(), r.against: r.kind.Against()} {
			require.Contains(t, means, cell)
			if cell != "no" && cell != "yes" {
				require.Equal(t, means[cell], got, "%s: %s", r.name, cell)
			}
		}
		require.Equal(t, means[r.again], r.kind.Retry(), r.name)
		require.Equal(t, means[r.elsewhere], r.kind.Elsewhere(), r.name)
		require.Equal(t, means[r.against], r.kind.Against(), r.name)
		hold, _, _ := strings.Cut(r.hold, ",")
		require.Equal(t, hold, r.kind.Hold().String(), r.name)
		require.Equal(t, r.name, camel(r.kind.String()))
		require.Equal(t, r.kind.String(), r.kind.Error())
		code, _ := resilience.HTTPStatus(r.kind)
		require.Equal(t, r.status, code, r.name)
		require.Equal(t, r.kind, resilience.KindOf(fmt.Errorf("wrapped: %w", r.kind)))
	}
	require.Equal(t, "unknown", resilience.Kind(200).String())
	require.Equal(t, "ok", resilience.Kind(0).String())
}

func camel(snake string) (s string) {
	for word := range strings.SplitSeq(snake, "_") {
		s += strings.ToUpper(word[:1]) + word[1:]
	}
	return s
}

// TestKindTableIsAsDocumented reads the table in kind.go.
func TestKindTableIsAsDocumented(t *testing.T) {
	source, err := os.ReadFile("kind.go")
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(source), "//\tkind ")
	require.True(t, ok)
	table, _, ok = strings.Cut(table, "\n//\n")
	require.True(t, ok)
	head, body, _ := strings.Cut(table, "\n")
	require.Equal(t, []string{"same model again", "elsewhere", "against the model", "holds"}, cells(head))
	var want [][]string
	for _, r := range kindRows {
		row := []string{r.name, r.again, r.elsewhere, r.against}
		if r.hold != "" {
			row = append(row, r.hold)
		}
		want = append(want, row)
	}
	var got [][]string
	for line := range strings.SplitSeq(body, "\n") {
		got = append(got, cells(strings.TrimPrefix(line, "//\t")))
	}
	require.Equal(t, want, got)
}

func cells(line string) []string {
	return regexp.MustCompile(` {2,}`).Split(strings.TrimSpace(line), -1)
}

func TestKindOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want resilience.Kind
	}{
		{nil, 0},
		{context.Canceled, resilience.Canceled},
		{context.DeadlineExceeded, resilience.TimedOut},
		{os.ErrDeadlineExceeded, resilience.TimedOut},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, resilience.Unreachable},
		{errors.New("x"), resilience.Unknown},
		{resilience.Reject("x", 0), resilience.Rejected},
		{fmt.Errorf("x: %w", resilience.Reject("x", 0)), resilience.Rejected},
		{&resilience.Error{Kind: resilience.Filtered, Err: context.Canceled}, resilience.Filtered},
		{fmt.Errorf("x: %w", &resilience.Error{Kind: resilience.Filtered}), resilience.Filtered},
		{&resilience.ExhaustedError{Kind: resilience.QuotaSpent}, resilience.QuotaSpent},
		{fmt.Errorf("x: %w", &resilience.ExhaustedError{Kind: resilience.QuotaSpent}), resilience.QuotaSpent},
		{errors.Join(errors.New("x"), resilience.TooLong), resilience.TooLong},
		{&sdkError{StatusCode: http.StatusTooManyRequests}, resilience.RateLimited},
	} {
		require.Equal(t, c.want, resilience.KindOf(c.err), "%v", c.err)
	}
}

// refusal is of a call whose one model somebody holds.
func refusal(by ...resilience.HoldBy) error {
	var v resilience.Verdict
	for _, who := range by {
		v.Holds = append(v.Holds, resilience.Hold{By: who})
	}
	return &resilience.ExhaustedError{Kind: resilience.Rejected, RetryAfter: time.Second, Skipped: []resilience.Verdict{v}}
}

func TestRetryAfterAndHTTPStatus(t *testing.T) {
	header := http.Header{"Retry-After": {"7"}}
	for _, c := range []struct {
		err    error
		status int
		after  time.Duration
	}{
		{nil, 200, 0},
		{resilience.RateLimited, 429, 0},
		{&sdkError{StatusCode: 429, Header: header}, 429, 7 * time.Second},
		{&resilience.Error{Kind: resilience.RateLimited, RetryAfter: time.Minute}, 429, time.Minute},
		{fmt.Errorf("x: %w", &resilience.ExhaustedError{Kind: resilience.Overloaded, RetryAfter: time.Minute}), 503, time.Minute},
		{resilience.Reject("x", time.Second), 503, time.Second},
		{&resilience.Error{Kind: resilience.Invalid, RetryAfter: time.Minute}, 400, 0},
		{context.Canceled, 499, 0},
		{&resilience.Error{Kind: resilience.Canceled, Err: context.DeadlineExceeded}, 504, 0},
		{errors.New("x"), 502, 0},
		{resilience.NotFound, 502, 0},
		{&resilience.Error{Kind: resilience.NotFound, Model: "gone"}, 502, 0},
		{&resilience.Error{Kind: resilience.NotFound}, 404, 0},
		{refusal(resilience.HoldLimit), 429, time.Second},
		{refusal(resilience.HoldLimit, resilience.HoldBreaker), 503, time.Second},
		{refusal(), 503, time.Second},
	} {
		status, after := resilience.HTTPStatus(c.err)
		require.Equal(t, c.status, status, "%v", c.err)
		require.Equal(t, c.after, after, "%v", c.err)
	}
	require.Zero(t, resilience.RetryAfter(nil))
	require.Equal(t, time.Minute, resilience.RetryAfter(&resilience.Error{Kind: resilience.Invalid, RetryAfter: time.Minute}))
}

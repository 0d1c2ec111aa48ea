package stack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/budget"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/stack"
)

const canary = "sk-canary-xyzzy"

// said is an error as an SDK makes it of a response that quotes what it got.
type said struct {
	StatusCode          int
	Type, Code, Message string
	Header              http.Header
}

func (e *said) Error() string { return e.Message }

func quoting(status int, retryAfter string) error {
	return &said{status, canary, canary, "bad prompt: " + canary, http.Header{
		"Authorization": {canary}, "Set-Cookie": {canary}, "Retry-After": {retryAfter}, "X-Ratelimit-Reset-Requests": {canary},
	}}
}

// sinks collect all that a service prints, logs, exports or keeps.
type sinks struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (s *sinks) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

func (s *sinks) print(values ...any) {
	for _, v := range values {
		fmt.Fprintf(s, "%v\n%+v\n%#v\n%s\n", v, v, v, v)
		slog.New(slog.NewJSONHandler(s, nil)).Error("x", "value", v)
		slog.New(slog.NewTextHandler(s, nil)).Error("x", "value", v)
	}
}

// TestCanary has providers, requests, answers and those who call say the same
// secret wherever they can, through the whole stack and a game day, and looks for
// it in everything that comes out.
func TestCanary(t *testing.T) {
	trail := filepath.Join(t.TempDir(), "audit.jsonl")
	var s sinks
	synctest.Test(t, func(t *testing.T) {
		injector := chaos.NewInjector(chaos.InjectorConfig{Enabled: true})
		budgets := budget.New(budget.Config{Limits: []budget.Limit{
			{Cost: .02, Window: budget.Every(10 * time.Second)}, {Scope: budget.Tenant, Requests: 10_000, Window: budget.Day(nil)},
		}})
		pool, err := resilience.NewPool(stack.New(stack.Config{}), injector, budgets,
			resilience.Logger(slog.New(slog.NewJSONHandler(&s, &slog.HandlerOptions{Level: slog.LevelDebug}))), resilience.AuditFile(trail),
			resilience.Models(resilience.ModelInfo{ID: "a", Provider: "p", Keys: []string{"one", "two"}, Price: resilience.Price{Input: 1, Output: 5}},
				resilience.ModelInfo{ID: "b", Price: resilience.Price{Input: 1, Output: 5}}))
		require.NoError(t, err)
		events := pool.Subscribe(1 << 16)
		defer events.Close()

		failures := []error{
			quoting(400, canary), quoting(401, ""), quoting(404, ""), quoting(429, "1"), quoting(429, canary), quoting(500, ""), quoting(529, "2"),
			errors.New("503 " + canary), fmt.Errorf("%w: %s", resilience.Filtered, canary), fmt.Errorf("%w: %s", resilience.Truncated, canary),
			errors.New(canary),
		}
		var n atomic.Int64
		turn := func() error { // one in three fails
			if i := n.Add(1); i%3 == 0 {
				return failures[int(i/3)%len(failures)]
			}
			return nil
		}
		hooks := resilience.Hooks[string, string]{
			Usage: func(_, _ string) resilience.Usage { return resilience.Usage{Input: 900, Output: 90} },
			Validate: func(req, answer string) error {
				if n.Load()%11 == 0 {
					return fmt.Errorf("no answer to %s: %s", req, answer)
				}
				return nil
			},
		}
		whole, err := resilience.NewClient(pool, resilience.BindAll(func(context.Context, *resilience.Model, string) (string, error) {
			return canary, turn()
		}), hooks)
		require.NoError(t, err)
		streams, err := resilience.NewClient(pool, resilience.BindAllStreams(func(context.Context, *resilience.Model, string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				if yield(canary, nil) && yield("", turn()) {
					yield("end", nil)
				}
			}
		}, resilience.StreamHooks[string, string]{Terminal: func(chunk string) bool { return chunk == "end" }}))
		require.NoError(t, err)

		load := func(ctx context.Context) error {
			for _, m := range pool.Models() { // what keys and models are held for would end it all
				require.NoError(t, pool.Reset(ctx, m, resilience.Control{Actor: "x", Reason: "y"}))
			}
			opts := resilience.CallOptions{Op: "ask", Tenant: "acme"}
			if n.Load()%2 == 0 {
				answer, rep, err := whole.Do(ctx, canary, opts)
				require.True(t, err != nil || answer == canary)
				s.print(rep, err)
				return err
			}
			stream, rep, err := streams.Do(ctx, canary, opts)
			s.print(rep, err)
			if err != nil {
				return fmt.Errorf("%s: %w", canary, err) // a service's own words
			}
			for _, err := range stream.All() {
				if err != nil {
					s.print(stream.Report(), err)
					return fmt.Errorf("%s: %w", canary, err)
				}
			}
			s.print(stream.Report())
			return nil
		}
		var results []chaos.Result
		for _, name := range []string{chaos.ModelFailure, chaos.IntermittentErrors, chaos.Timeout} {
			e, _ := chaos.Standard(name)
			e.Steady, e.Abort, e.Control, e.For, e.Recover = chaos.Promises{Success: .001}, chaos.Promises{}, 5*time.Second, 20*time.Second, 10*time.Second
			e.Load.PerSecond = 2
			res, err := injector.Run(t.Context(), e, load)
			require.NoError(t, err)
			require.NotEqual(t, chaos.VerdictInvalid, res.Verdict, "%v", res)
			results = append(results, res)
		}
		day := chaos.NewReport(results...)
		require.NoError(t, errors.Join(day.WriteJSON(&s), day.WriteJUnit(&s), day.WriteText(&s)))
		err = pool.Reload(t.Context(), []byte(`{"models": [{"id": "a", "key": "`+canary+`"}, {"id": 7, "keys": "`+canary+`"}]}`), resilience.Control{Actor: "x", Reason: "y"})
		require.Error(t, err)
		s.print(err, day, pool.Stack(), pool.Explain(""), budgets.Accounts("", ""))
		for _, m := range pool.Models() {
			s.print(m.Status(), m.Holds(), m.Stats(time.Minute))
		}
		for {
			select {
			case e := <-events.C:
				s.print(e)
				continue
			default:
			}
			break
		}
	})
	kept, err := os.ReadFile(trail)
	require.NoError(t, err)
	require.NotEmpty(t, kept)
	for name, text := range map[string]string{"what is printed": s.out.String(), "the audit": string(kept)} {
		at := strings.Index(text, "xyzzy")
		require.Negative(t, at, "%s: …%s…", name, text[max(0, at-300):min(len(text), max(0, at)+100)])
	}
	for _, kind := range []string{"unauthorized", "rate_limited", "overloaded", "malformed", "filtered", "truncated", "not_found", "invalid", "budget"} {
		require.Contains(t, s.out.String(), kind, "or the test shows nothing")
	}
}

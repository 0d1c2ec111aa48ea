package calllog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/monitor/calllog"
	"github.com/cmmv-hive/resilience/retry"
)

// lines are a log's lines.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// next returns the lines since it was called last.
func (l *lines) next(t require.TestingT) (all []map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for dec := json.NewDecoder(&l.buf); ; {
		var line map[string]any
		err := dec.Decode(&line)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		all = append(all, line)
	}
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

// world is two models, a and b, of which each answers what answer says.
type world struct {
	*resilience.Client[string, string]
	lines
	answer map[string]func(ctx context.Context) (string, error)
	pool   *resilience.Pool
}

func newWorld(t *testing.T, cfg calllog.Config, features ...resilience.Feature) *world {
	t.Helper()
	w := &world{answer: map[string]func(context.Context) (string, error){}}
	call := func(id string) resilience.ClientOption[string, string] {
		return resilience.BindFunc(id, func(ctx context.Context, _ string) (string, error) {
			if fn := w.answer[id]; fn != nil {
				return fn(ctx)
			}
			return "fine", nil
		})
	}
	var err error
	w.pool, err = resilience.NewPool(append([]resilience.Feature{
		resilience.Logger(w.logger()), calllog.New(cfg), fallback.New(fallback.Config{}),
	}, features...)...)
	require.NoError(t, err)
	w.Client, err = resilience.NewClient(w.pool, call("a"), call("b"))
	require.NoError(t, err)
	return w
}

func fails(kind resilience.Kind) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return "", fmt.Errorf("%w: secret-of-the-provider", kind) }
}

func TestLines(t *testing.T) {
	t.Run("none for a call that went well", func(t *testing.T) {
		w := newWorld(t, calllog.Config{})
		_, err := w.Call(t.Context(), "a prompt")
		require.NoError(t, err)
		require.Empty(t, w.next(t))
	})
	t.Run("rescued", func(t *testing.T) {
		w := newWorld(t, calllog.Config{Trace: func(context.Context) string { return "4bf92f" }})
		w.answer["a"] = fails(resilience.Overloaded)
		ctx := resilience.WithOptions(t.Context(), resilience.CallOptions{Op: "sum", Tenant: "acme\n" + strings.Repeat("x", 100)})
		_, err := w.Call(ctx, "a prompt")
		require.NoError(t, err)
		all := w.next(t)
		require.Len(t, all, 1)
		line := all[0]
		require.Equal(t, "WARN", line["level"])
		require.Equal(t, "call rescued", line["msg"])
		require.Equal(t, "sum", line["op"])
		require.Equal(t, "b", line["model"])
		require.Equal(t, "4bf92f", line["trace"])
		require.Equal(t, "acme"+strings.Repeat("x", 59), line["tenant"])
		require.Contains(t, line["a1"], "a overloaded")
		require.Contains(t, line["a2"], "b ok")
		require.NotContains(t, line, "kind")
		require.NotContains(t, fmt.Sprint(line), "secret")
		require.NotContains(t, fmt.Sprint(line), "prompt")
	})
	t.Run("failed", func(t *testing.T) {
		w := newWorld(t, calllog.Config{})
		w.answer["a"], w.answer["b"] = fails(resilience.Overloaded), fails(resilience.RateLimited)
		_, err := w.Call(t.Context(), "a prompt")
		require.Error(t, err)
		all := w.next(t)
		require.Len(t, all, 1)
		require.Equal(t, "call failed", all[0]["msg"])
		require.Equal(t, "overloaded", all[0]["kind"])
		require.Contains(t, all[0], "call")
		require.Contains(t, all[0], "generation")
	})
	t.Run("failed at once, where nothing but the hold is asked", func(t *testing.T) {
		w := &world{}
		pool, err := resilience.NewPool(resilience.Logger(w.logger()), calllog.New(calllog.Config{}))
		require.NoError(t, err)
		c, err := resilience.NewClient(pool, resilience.BindFunc("a", func(context.Context, string) (string, error) { return "", nil }))
		require.NoError(t, err)
		pool.Model("a").Hold(t.Context(), resilience.Hold{By: resilience.HoldHealth, Until: time.Now().Add(time.Hour), Reason: "down"})
		_, err = c.Call(t.Context(), "")
		require.ErrorIs(t, err, resilience.Rejected)
		all := w.next(t)
		require.Len(t, all, 1)
		require.Contains(t, all[0]["skipped"], "down")
	})
	t.Run("retried", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, calllog.Config{}, retry.New(retry.Config{}))
			first := true
			w.answer["a"] = func(ctx context.Context) (string, error) {
				if first {
					first = false
					return fails(resilience.Unreachable)(ctx)
				}
				return "fine", nil
			}
			_, err := w.Call(t.Context(), "")
			require.NoError(t, err)
			all := w.next(t)
			require.Len(t, all, 1)
			require.Equal(t, "call rescued", all[0]["msg"])
			require.Contains(t, all[0], "waited")
		})
	})
	t.Run("none for one that its caller canceled", func(t *testing.T) {
		w := newWorld(t, calllog.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		w.answer["a"] = func(ctx context.Context) (string, error) {
			cancel()
			return "", ctx.Err()
		}
		_, err := w.Call(ctx, "")
		require.ErrorIs(t, err, resilience.Canceled)
		require.Empty(t, w.next(t))
	})
	t.Run("none without a logger", func(t *testing.T) {
		w := newWorld(t, calllog.Config{Logger: slog.New(slog.DiscardHandler)})
		w.answer["a"] = fails(resilience.Overloaded)
		_, err := w.Call(t.Context(), "")
		require.NoError(t, err)
		require.Empty(t, w.next(t))
	})
}

func TestDefaulted(t *testing.T) {
	for _, fine := range []bool{true, false} {
		var log lines
		pool, err := resilience.NewPool(resilience.Logger(log.logger()), calllog.New(calllog.Config{}))
		require.NoError(t, err)
		c, err := resilience.NewClient(pool,
			resilience.BindFunc("a", func(ctx context.Context, _ string) (string, error) { return fails(resilience.Overloaded)(ctx) }),
			resilience.Hooks[string, string]{Default: func(_ string, err error) (string, error) {
				if fine {
					return "sorry", nil
				}
				return "", err
			}})
		require.NoError(t, err)
		_, err = c.Call(t.Context(), "")
		require.Equal(t, fine, err == nil)
		all := log.next(t)
		require.Len(t, all, 1)
		if fine {
			require.Equal(t, "call rescued", all[0]["msg"])
			require.Equal(t, true, all[0]["defaulted"])
		} else {
			require.Equal(t, "call failed", all[0]["msg"])
			require.NotContains(t, all[0], "defaulted")
		}
	}
}

func TestBrokenStream(t *testing.T) {
	var log lines
	pool, err := resilience.NewPool(resilience.Logger(log.logger()), calllog.New(calllog.Config{}))
	require.NoError(t, err)
	c, err := resilience.NewClient(pool, resilience.BindStream("a", func(context.Context, string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			_ = yield("half", nil) && yield("", fmt.Errorf("%w: gone", resilience.Unreachable))
		}
	}, resilience.StreamHooks[string, string]{}))
	require.NoError(t, err)
	s, err := c.Call(t.Context(), "")
	require.NoError(t, err)
	require.Empty(t, log.next(t), "it goes on")
	for _, e := range s.All() {
		err = e
	}
	require.Error(t, err)
	all := log.next(t)
	require.Len(t, all, 1)
	require.Equal(t, "call failed", all[0]["msg"])
}

func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, calllog.Config{PerMinute: 6, Burst: 3})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.pool.Run(ctx) }()
		w.answer["a"] = fails(resilience.Overloaded)
		const calls, every = 1000, 100 * time.Millisecond
		for range calls {
			_, err := w.Call(t.Context(), "")
			require.NoError(t, err)
			time.Sleep(every)
		}
		stop()
		require.NoError(t, <-done)
		told, with := 0, 0
		for _, line := range w.next(t) {
			if line["msg"] == "call rescued" {
				with++
				told++
			}
			if n, ok := line["unlogged"].(float64); ok {
				told += int(n)
			}
		}
		require.Equal(t, calls, told, "what has no line is counted")
		require.InDelta(t, 3+calls*every.Seconds()/10, with, 1)
	})
}

func TestSortsDoNotHideEachOther(t *testing.T) {
	w := newWorld(t, calllog.Config{Burst: 1})
	w.answer["a"] = fails(resilience.Overloaded)
	for _, op := range []string{"one", "one", "two"} {
		_, err := w.Call(resilience.WithOptions(t.Context(), resilience.CallOptions{Op: op}), "")
		require.NoError(t, err)
	}
	w.answer["b"] = fails(resilience.Overloaded)
	_, err := w.Call(resilience.WithOptions(t.Context(), resilience.CallOptions{Op: "one"}), "")
	require.Error(t, err)
	var msgs []any
	for _, line := range w.next(t) {
		msgs = append(msgs, line["msg"].(string)+" "+line["op"].(string))
	}
	require.Equal(t, []any{"call rescued one", "call rescued two", "call failed one"}, msgs)
}

func TestManyAtOnce(t *testing.T) {
	w := newWorld(t, calllog.Config{PerMinute: -1})
	w.answer["a"] = fails(resilience.Overloaded)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				_, _ = w.Call(t.Context(), "")
			}
		})
	}
	wg.Wait()
	require.Len(t, w.next(t), 400)
}

func TestSettings(t *testing.T) {
	log := calllog.New(calllog.Config{Burst: 2})
	pool, err := resilience.NewPool(log)
	require.NoError(t, err)
	require.Equal(t, "calllog perMinute=6 burst=2", log.String())
	by := resilience.Control{Actor: "mia", Reason: "a test"}
	require.NoError(t, pool.Reload(t.Context(), []byte(`{"calllog":{"perMinute":60}}`), by))
	require.Equal(t, "calllog perMinute=60 burst=2", log.String())
	require.ErrorContains(t, pool.Reload(t.Context(), []byte(`{"calllog":{"perMinutes":60}}`), by), `did you mean "perMinute"`)
	require.Equal(t, "calllog perMinute=60 burst=2", log.String())

	_, err = resilience.NewPool(log)
	require.ErrorContains(t, err, "calllog: this log belongs to another pool")
	_, err = resilience.NewPool(calllog.New(calllog.Config{Burst: 2000}))
	require.ErrorContains(t, err, "calllog.burst")
}

func TestForeignNamesAreBounded(t *testing.T) {
	w := newWorld(t, calllog.Config{})
	w.answer["a"] = fails(resilience.Overloaded)
	long := strings.Repeat("é", 1<<16)
	_, err := w.Call(resilience.WithOptions(t.Context(), resilience.CallOptions{Op: "x\n" + long, Tenant: "x\n" + long}), "")
	require.NoError(t, err)
	all := w.next(t)
	require.Len(t, all, 1)
	for _, name := range []string{"op", "tenant"} {
		require.LessOrEqual(t, len(all[0][name].(string)), 64, name)
		require.Equal(t, "x"+strings.Repeat("é", 31), all[0][name], name)
	}
}

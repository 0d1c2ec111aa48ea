package resilience_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/degrade"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/health"
	"github.com/cmmv-hive/resilience/monitor"
	"github.com/cmmv-hive/resilience/monitor/alert"
	"github.com/cmmv-hive/resilience/monitor/calllog"
	"github.com/cmmv-hive/resilience/recovery"
	"github.com/cmmv-hive/resilience/retry"
	"github.com/cmmv-hive/resilience/stack"
)

type answer struct{ text string }

var theAnswer = &answer{"42"}

// quiet never looks at its context, asks does.
func quiet(context.Context, string) (*answer, error) { return theAnswer, nil }

func asks(ctx context.Context, _ string) (*answer, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	default:
		return theAnswer, nil
	}
}

var unbounded = resilience.Timeouts{Call: -1, Attempt: -1}

// stackOf is a client of three models behind the ready-made stack.
func stackOf(tb testing.TB, call resilience.Func[string, *answer], t resilience.Timeouts) *resilience.Client[string, *answer] {
	tb.Helper()
	pool, err := resilience.NewPool(stack.New(stack.Config{Timeouts: t}))
	if err != nil {
		tb.Fatal(err)
	}
	c, err := resilience.NewClient(pool,
		resilience.BindFunc("a", call), resilience.BindFunc("b", call), resilience.BindFunc("c", call))
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// bounded bounds call by nested timeouts, the outermost first.
func bounded(call resilience.Func[string, *answer], timeouts ...time.Duration) resilience.Func[string, *answer] {
	for _, d := range slices.Backward(timeouts) {
		next := call
		call = func(ctx context.Context, req string) (*answer, error) {
			ctx, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			return next(ctx, req)
		}
	}
	return call
}

func BenchmarkCall(b *testing.B) {
	cb := gobreaker.NewCircuitBreaker[*answer](gobreaker.Settings{})
	for _, row := range []struct {
		name   string
		caller resilience.ModelCaller[string, *answer]
	}{
		{"bare", resilience.FuncOf(quiet)},
		{"context_with_timeout", bounded(quiet, time.Minute)},
		{"two_timeouts_done", bounded(asks, 2*time.Minute, time.Minute)},
		{"kernel", resilience.Wrap(resilience.FuncOf(quiet))},
		{"retry", retry.Wrap(resilience.FuncOf(quiet), retry.Config{})},
		{"gobreaker", resilience.FuncOf(func(ctx context.Context, req string) (*answer, error) {
			return cb.Execute(func() (*answer, error) { return quiet(ctx, req) })
		})},
		{"breaker", breaker.Wrap(resilience.FuncOf(quiet), breaker.Config{})},
		{"stack_untimed", stackOf(b, quiet, unbounded)},
		{"stack", stackOf(b, quiet, resilience.Timeouts{})},
		{"stack_done", stackOf(b, asks, resilience.Timeouts{})},
	} {
		b.Run(row.name, func(b *testing.B) { drive(b, row.caller) })
	}
}

// drive makes calls that succeed, under a context as a handler has it.
func drive(b *testing.B, caller resilience.ModelCaller[string, *answer]) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := caller.Call(ctx, "Why?"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReject is an open breaker's answer.
func BenchmarkReject(b *testing.B) {
	down := errors.New("down")
	b.Run("ours", func(b *testing.B) {
		c := breaker.Wrap(resilience.FuncOf(func(context.Context, string) (*answer, error) {
			return nil, resilience.Overloaded
		}), breaker.Config{OpenFor: time.Hour, MaxOpenFor: time.Hour})
		reject(b, func() error { _, err := c.Call(b.Context(), "Why?"); return err }, resilience.Rejected)
	})
	b.Run("gobreaker", func(b *testing.B) {
		cb := gobreaker.NewCircuitBreaker[*answer](gobreaker.Settings{Timeout: time.Hour})
		reject(b, func() error {
			_, err := cb.Execute(func() (*answer, error) { return nil, down })
			return err
		}, gobreaker.ErrOpenState)
	})
}

func reject(b *testing.B, call func() error, want error) {
	b.Helper()
	for range 10 {
		_ = call()
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := call(); !errors.Is(err, want) {
			b.Fatal(err)
		}
	}
}

// BenchmarkCallParallel runs on as many cores as -cpu says.
func BenchmarkCallParallel(b *testing.B) {
	c := stackOf(b, quiet, resilience.Timeouts{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		for pb.Next() {
			if _, err := c.Call(ctx, "Why?"); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkMemory reports the heap that a model takes behind all that is asked for
// each, after a call, and a call in flight. stack.TestPublishedMemory has real traffic.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		b.ReportMetric(perModel(b), "bytes/model")
		b.ReportMetric(perCall(b), "bytes/call")
	}
}

func perModel(b *testing.B) float64 {
	b.Helper()
	const n = 1000
	before := heap()
	pool, err := resilience.NewPool(stack.New(stack.Config{}), health.New(health.Config{}), recovery.New(recovery.Config{}),
		degrade.New(degrade.Config{}), monitor.New(monitor.Config{}), alert.New(alert.Config{}), calllog.New(calllog.Config{}))
	if err != nil {
		b.Fatal(err)
	}
	opts := make([]resilience.ClientOption[string, *answer], n)
	for i := range opts {
		opts[i] = resilience.BindFunc(fmt.Sprintf("model-%d", i), quiet)
	}
	c, err := resilience.NewClient(pool, opts...)
	if err != nil {
		b.Fatal(err)
	}
	for _, m := range pool.Models() {
		if _, err := c.Pin(m.ID()).Call(b.Context(), "Why?"); err != nil {
			b.Fatal(err)
		}
	}
	after := heap()
	runtime.KeepAlive(c)
	return float64(after-before) / n
}

func perCall(b *testing.B) float64 {
	b.Helper()
	const n = 1000
	reached, release := make(chan struct{}, n), make(chan struct{})
	hang := func(context.Context, string) (*answer, error) {
		reached <- struct{}{}
		<-release
		return theAnswer, nil
	}
	with := parked(b, n, reached, stackOf(b, hang, resilience.Timeouts{}))
	close(release)
	release = make(chan struct{})
	without := parked(b, n, reached, resilience.FuncOf(hang))
	close(release)
	return (with - without) / n
}

// parked returns the heap that n calls take while they hang.
func parked(b *testing.B, n int, reached chan struct{}, caller resilience.ModelCaller[string, *answer]) float64 {
	b.Helper()
	before := heap()
	var wg sync.WaitGroup
	b.Cleanup(wg.Wait)
	for range n {
		wg.Go(func() { _, _ = caller.Call(b.Context(), "Why?") })
	}
	for range n {
		<-reached
	}
	return float64(heap() - before)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkIdle is what is there and not used.
func BenchmarkIdle(b *testing.B) {
	b.Run("events", func(b *testing.B) {
		pool, err := resilience.NewPool()
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if pool.Wants(resilience.EventAttempt) {
				b.Fatal("nobody listens")
			}
		}
	})
}

// BenchmarkHTTP is a chat completion over loopback, bare, with a timeout and
// through the library in turn, and reports the ratios of the medians.
func BenchmarkHTTP(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"choices":[{"message":{"role":"assistant","content":"Because of Rayleigh scattering."}}]}`)
	}))
	defer server.Close()
	ask := func(ctx context.Context, prompt string) (*answer, error) {
		body := strings.NewReader(`{"model":"m","messages":[{"role":"user","content":"` + prompt + `"}]}`)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/v1/chat/completions", body)
		if err != nil {
			return nil, err
		}
		resp, err := server.Client().Do(req)
		if err != nil {
			return nil, err
		}
		defer func() { _ = resp.Body.Close() }()
		var doc struct {
			Choices []struct {
				Message struct{ Content string }
			}
		}
		if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
			return nil, err
		}
		return &answer{doc.Choices[0].Message.Content}, nil
	}
	ways := []resilience.ModelCaller[string, *answer]{
		resilience.FuncOf(ask), bounded(ask, time.Minute), stackOf(b, ask, resilience.Timeouts{}),
	}
	took := make([][]time.Duration, len(ways))
	for b.Loop() {
		for i, caller := range ways {
			start := time.Now()
			if _, err := caller.Call(b.Context(), "Why?"); err != nil {
				b.Fatal(err)
			}
			took[i] = append(took[i], time.Since(start))
		}
	}
	median := func(i int) float64 {
		slices.Sort(took[i])
		return float64(took[i][len(took[i])/2])
	}
	b.ReportMetric(median(2)/median(0), "library/bare")
	b.ReportMetric(median(2)/median(1), "library/context_with_timeout")
}

// BenchmarkStream is a stream of 1,000 chunks from sources of three shapes, bare
// and through the library in turn, and reports what the library adds to a chunk
// by the medians. A bare iter.Seq2 is read by iter.Pull2, as one must be that
// has begun before it is read.
func BenchmarkStream(b *testing.B) {
	const chunks = 1000
	seq := func(context.Context, string) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range chunks {
				if !yield(i, nil) {
					return
				}
			}
		}
	}
	for _, shape := range []struct {
		name string
		bare func()
		open func(context.Context, string) iter.Seq2[int, error]
	}{
		{"seq", func() {
			next, stop := iter.Pull2(seq(b.Context(), ""))
			defer stop()
			for {
				if _, _, ok := next(); !ok {
					return
				}
			}
		}, seq},
		{"cursor", func() {
			c := resilience.Cursor[int](&counting{left: chunks})
			for c.Next() {
				_ = c.Current()
			}
			_ = c.Close()
		}, func(context.Context, string) iter.Seq2[int, error] {
			return resilience.FromCursor(resilience.Cursor[int](&counting{left: chunks}))
		}},
		{"recv", func() {
			c := &counting{left: chunks}
			for {
				if _, err := c.Recv(); err != nil {
					break
				}
			}
			_ = c.Close()
		}, func(context.Context, string) iter.Seq2[int, error] {
			return resilience.FromRecv(&counting{left: chunks})
		}},
	} {
		b.Run(shape.name, func(b *testing.B) {
			pool, err := resilience.NewPool(resilience.Timeouts{}, fallback.New(fallback.Config{}), retry.New(retry.Config{}), breaker.New(breaker.Config{}))
			if err != nil {
				b.Fatal(err)
			}
			c, err := resilience.NewClient(pool, resilience.BindStream("a", shape.open))
			if err != nil {
				b.Fatal(err)
			}
			ways := []func(){shape.bare, func() {
				s, err := c.Call(b.Context(), "")
				if err != nil {
					b.Fatal(err)
				}
				for _, err := range s.All() {
					if err != nil {
						b.Fatal(err)
					}
				}
			}}
			took := make([][]time.Duration, len(ways))
			for b.Loop() {
				for i, way := range ways {
					start := time.Now()
					way()
					took[i] = append(took[i], time.Since(start))
				}
			}
			perChunk := func(i int) float64 {
				slices.Sort(took[i])
				return float64(took[i][len(took[i])/2]) / chunks
			}
			b.ReportMetric(perChunk(0), "bare-ns/chunk")
			b.ReportMetric(perChunk(1)-perChunk(0), "more-ns/chunk")
		})
	}
}

// counting is a source of numbers in the shapes of two SDKs.
type counting struct{ left int }

func (c *counting) Next() bool   { c.left--; return c.left >= 0 }
func (c *counting) Current() int { return c.left }
func (c *counting) Err() error   { return nil }
func (c *counting) Close() error { return nil }

func (c *counting) Recv() (int, error) {
	if !c.Next() {
		return 0, io.EOF
	}
	return c.left, nil
}

// BenchmarkKeys is a call of a model without keys, with three, and with the
// caller's own.
func BenchmarkKeys(b *testing.B) {
	for _, row := range []struct {
		name string
		keys []string
		opts resilience.CallOptions
	}{{"none", nil, resilience.CallOptions{}}, {"three", []string{"a", "b", "c"}, resilience.CallOptions{}}, {"own", nil, resilience.CallOptions{Key: "own"}}} {
		b.Run(row.name, func(b *testing.B) {
			pool, err := resilience.NewPool(resilience.Models(resilience.ModelInfo{ID: "m", Keys: row.keys}))
			if err != nil {
				b.Fatal(err)
			}
			c, err := resilience.NewClient(pool, resilience.BindFunc("m", quiet))
			if err != nil {
				b.Fatal(err)
			}
			ctx := b.Context()
			if row.opts.Key != "" {
				ctx = resilience.WithOptions(ctx, row.opts)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Call(ctx, "Why?"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

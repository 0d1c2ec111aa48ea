package resilience_test

import (
	"context"
	"io"
	"iter"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

type spanKey struct{}

type caller = resilience.ModelCaller[string, *stream]

var continuing = stringHooks{Resume: resumes, Terminal: marks.Terminal, Meaningful: marks.Meaningful}

// Layers above LayerRoute are told how the call ended, not what broke on the way.
func TestRescueOuterLayersAreToldTheOutcome(t *testing.T) {
	for _, at := range []resilience.Layer{resilience.LayerObserve, resilience.LayerAdmit, resilience.LayerCache} {
		t.Run(at.String(), func(t *testing.T) {
			var ended []error
			over := layer(at, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
				err := next(ctx, c)
				if err == nil && c.Running() {
					c.OnEnd(func(err error) { ended = append(ended, err) })
				}
				return err
			})
			c := rescuer(t, stringHooks{Resume: resumes}, map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": writes(poem)},
				over, fallback.New(fallback.Config{}))
			s, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
			for chunk, err := range s.All() {
				require.NoError(t, err)
				if chunk == "four" {
					require.Empty(t, ended, "the call goes on")
				}
			}
			require.Equal(t, []error{nil}, ended)
		})
	}
}

// Whatever panics or exits during a rescue, nothing stays in flight.
func TestRescuePanicsDuringARescueSettle(t *testing.T) {
	dies := map[string]func(){"panic": func() { panic("b") }, "goexit": runtime.Goexit}
	for name, die := range dies {
		bursts := func(context.Context, string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				if yield("one", nil) {
					die()
				}
			}
		}
		second := 0
		kept := layer(resilience.LayerLimit, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
			err := next(ctx, c)
			if second++; second == 2 {
				die()
			}
			return err
		})
		for what, tc := range map[string]struct {
			hooks    stringHooks
			b        source
			features []resilience.Feature
		}{
			"source while the text is compared": {stringHooks{Text: itself}, bursts, nil},
			"Text while the text is compared": {stringHooks{Text: func(s *string) *string {
				if *s == "bad" {
					die()
				}
				return s
			}}, plays(texts("one bad")...), nil},
			"a layer":                      {stringHooks{Resume: resumes}, writes(poem), []resilience.Feature{kept}},
			"source while it is held back": {stringHooks{Resume: resumes}, bursts, []resilience.Feature{resilience.Timeouts{HoldBack: 10 * time.Millisecond}}},
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				{
					second = 0
					first := plays(frame{text: "one"}, frame{text: "two", wait: 15 * time.Millisecond}, frame{err: io.ErrUnexpectedEOF})
					c := rescuer(t, tc.hooks, map[string]source{"a": first, "b": tc.b}, append(tc.features, fallback.New(fallback.Config{}))...)
					s, err := c.Call(t.Context(), "?")
					require.NoError(t, err)
					done := make(chan struct{})
					go func() {
						defer close(done)
						defer func() { _ = recover() }()
						_, _ = readAll(s)
					}()
					<-done
					if b := c.Pool().Model("b"); b.InFlight() != 0 {
						s = nil
						for range 3 {
							runtime.GC()
							time.Sleep(50 * time.Millisecond) // cleanups run
						}
						t.Logf("after garbage collections: %d in flight", b.InFlight())
						t.FailNow()
					}
					idle(t, c.Pool())
				}
			})
		}
	}
}

// A rescue that is ended from outside makes no further attempt.
func TestRescueNoAttemptAfterTheEnd(t *testing.T) {
	hung := map[string]source{
		"a": breaks("one two", io.ErrUnexpectedEOF), "b": plays(frame{text: "three", wait: time.Hour}), "c": plays(frame{text: "three", wait: time.Hour}),
	}
	ends := map[string]func(context.CancelFunc, *stream){
		"closed": func(_ context.CancelFunc, s *stream) { _ = s.Close() }, "canceled": func(cancel context.CancelFunc, _ *stream) { cancel() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := rescuer(t, stringHooks{Resume: resumes, Text: itself}, hung, resilience.Timeouts{}, fallback.New(fallback.Config{}))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s, err := c.Call(ctx, "?")
				require.NoError(t, err)
				time.AfterFunc(time.Second, func() { end(cancel, s) })
				_, _ = readAll(s)
				idle(t, c.Pool())
				require.Equal(t, []string{"a truncated → continued", "b canceled"}, line(s.Report()))
			})
		})
		t.Run(name+", nested", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				a := resilience.WrapAll([]caller{resilience.StreamOf(hung["a"], continuing), resilience.StreamOf(hung["b"], continuing)},
					fallback.New(fallback.Config{}))
				b := resilience.Wrap(resilience.StreamOf(func(ctx context.Context, req string) iter.Seq2[string, error] {
					asked++
					return hung["b"](ctx, req)
				}, continuing))
				c := resilience.WrapAll([]caller{a, b}, fallback.New(fallback.Config{}))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s, err := c.Call(ctx, "?")
				require.NoError(t, err)
				time.AfterFunc(time.Second, func() { end(cancel, s) })
				_, _ = readAll(s)
				require.Zero(t, asked, "the outer pool moved on after the end")
				for _, p := range []*resilience.Pool{a.Pool(), b.Pool(), c.Pool()} {
					idle(t, p)
				}
			})
		})
	}
}

// A stream may be embedded in a type of the user's own.
func TestRescueEmbeddedStream(t *testing.T) {
	type dressed struct{ *stream }
	wear := func(open source) resilience.Func[string, dressed] {
		f := resilience.StreamOf(open, continuing)
		return func(ctx context.Context, req string) (dressed, error) {
			s, err := f(ctx, req)
			return dressed{s}, err
		}
	}
	p := newPool(t, fallback.New(fallback.Config{}))
	c, err := resilience.NewClient(p, resilience.BindFunc("a", wear(breaks("one two", io.ErrUnexpectedEOF))), resilience.BindFunc("b", wear(writes(poem))))
	require.NoError(t, err)
	s, err := c.Call(t.Context(), "?")
	require.NoError(t, err)
	_, _ = readAll(s.stream)
	idle(t, p)
}

// Req may be an interface, and the request nil.
func TestRescueNilRequest(t *testing.T) {
	open := func(src source) func(context.Context, any) iter.Seq2[string, error] {
		return func(ctx context.Context, _ any) iter.Seq2[string, error] { return src(ctx, "") }
	}
	hooks := resilience.StreamHooks[any, string]{Terminal: marks.Terminal, Text: itself}
	p := newPool(t, fallback.New(fallback.Config{}))
	c, err := resilience.NewClient(p, resilience.BindStream("a", open(breaks("one two", io.ErrUnexpectedEOF)), hooks), resilience.BindStream("b", open(writes(poem)), hooks))
	require.NoError(t, err)
	s, err := c.Call(t.Context(), nil)
	require.NoError(t, err)
	require.NotPanics(t, func() { _, err = readAll(s) })
	require.NoError(t, err)
}

// Close may come at the very instant at which a rescue succeeds.
func TestRescueCloseRacesARescue(t *testing.T) {
	var stuck atomic.Int64
	deadline := time.Now().Add(time.Second)
	n := 0
	for ; time.Now().Before(deadline) && stuck.Load() == 0; n++ {
		var ready atomic.Bool
		c := rescuer(t, stringHooks{Resume: resumes}, map[string]source{
			"a": breaks("one two", io.ErrUnexpectedEOF), "b": mute(true, "three"),
		}, fallback.New(fallback.Config{}), watch(func(context.Context, resilience.Event) { ready.Store(true) }, resilience.EventRescue))
		ctx, cancel := context.WithCancel(t.Context())
		s, err := c.Call(ctx, "?")
		require.NoError(t, err)
		done := make(chan struct{})
		go func() { defer close(done); _, _ = readAll(s) }()
		for !ready.Load() {
			runtime.Gosched()
		}
		for range n % 64 {
			_ = ready.Load()
		}
		_ = s.Close()
		select {
		case <-done:
		case <-time.After(time.Second):
			stuck.Add(1)
		}
		cancel()
		<-done
	}
	require.Zero(t, stuck.Load(), "a reader went on after Close, in round %d", n)
}

// TestRescueSettlesOnce counts what is told, and how often.
func TestRescueSettlesOnce(t *testing.T) {
	t.Run("usage and cost once", func(t *testing.T) {
		hooks := continuing
		hooks.Usage = marks.Usage
		p := newPool(t, resilience.Models(resilience.ModelInfo{ID: "a", Price: resilience.Price{Output: 1e6}}, resilience.ModelInfo{ID: "b", Price: resilience.Price{Output: 1e6}}), fallback.New(fallback.Config{}))
		c, err := resilience.NewClient(p, resilience.BindStream("a", breaks("one usage two", io.ErrUnexpectedEOF), hooks), resilience.BindStream("b", plays(texts("three usage end")...), hooks))
		require.NoError(t, err)
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		_, err = readAll(s)
		require.NoError(t, err)
		rep := s.Report()
		require.Equal(t, int64(14), rep.Usage.Output)
		require.InDelta(t, 14, rep.Cost, 1e-9)
		require.InDelta(t, 7, p.Model("a").Stats(time.Minute).Cost, 1e-9)
		require.InDelta(t, 7, p.Model("b").Stats(time.Minute).Cost, 1e-9)
	})
	t.Run("events", func(t *testing.T) {
		var kinds []string
		c := rescuer(t, stringHooks{Resume: resumes}, map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": writes(poem)},
			fallback.New(fallback.Config{}), watch(func(_ context.Context, e resilience.Event) {
				id := ""
				if e.Model != nil {
					id = e.Model.ID()
				}
				text := e.Kind.String() + " " + id
				if e.Err != nil {
					text += " " + resilience.KindOf(e.Err).String()
				}
				kinds = append(kinds, text)
			}))
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		_, err = readAll(s)
		require.NoError(t, err)
		require.Equal(t, []string{"attempt a truncated", "fallback b", "rescue b truncated", "attempt b", "call b"}, kinds)
	})
	t.Run("below the route each once", func(t *testing.T) {
		var ended []resilience.Kind
		count := layer(resilience.LayerLimit, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
			err := next(ctx, c)
			if err == nil {
				c.OnEnd(func(err error) { ended = append(ended, resilience.KindOf(err)) })
			}
			return err
		})
		c := rescuer(t, stringHooks{Resume: resumes}, map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": writes(poem)}, fallback.New(fallback.Config{}), count)
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		_, err = readAll(s)
		require.NoError(t, err)
		require.Equal(t, []resilience.Kind{resilience.Truncated, 0}, ended)
	})
	t.Run("drain waits", func(t *testing.T) {
		c := rescuer(t, stringHooks{Resume: resumes}, map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": writes(poem)}, fallback.New(fallback.Config{}))
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		drained := make(chan error, 1)
		go func() { drained <- c.Pool().Drain(t.Context()) }()
		_, err = readAll(s)
		require.NoError(t, err)
		require.NoError(t, <-drained)
	})
	t.Run("concurrent readers of the report", func(t *testing.T) {
		c := rescuer(t, stringHooks{Resume: resumes}, map[string]source{
			"a": breaks("one two", io.ErrUnexpectedEOF), "b": breaks("three four", io.ErrUnexpectedEOF), "c": writes(poem),
		}, fallback.New(fallback.Config{}), resilience.Timeouts{})
		for range 200 {
			s, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				for {
					select {
					case <-stop:
						return
					default:
						_ = s.Report().LogValue().String()
						_ = s.Model().ID()
					}
				}
			}()
			_, err = readAll(s)
			require.NoError(t, err)
			close(stop)
			<-done
		}
	})
	t.Run("a half-open probe", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := breaker.New(breaker.Config{Consecutive: 1, OpenFor: time.Second})
			n := 0
			src := func(ctx context.Context, req string) iter.Seq2[string, error] {
				if n++; n == 1 {
					return plays(frame{err: resilience.Overloaded})(ctx, req)
				}
				return refuses2(breaks("one two", io.ErrUnexpectedEOF), writes(poem))(ctx, req)
			}
			c := rescuer(t, stringHooks{Resume: resumes}, map[string]source{"a": src}, b)
			_, err := c.Call(t.Context(), "?")
			require.Error(t, err)
			time.Sleep(time.Minute)
			s, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
			_, err = readAll(s)
			require.NoError(t, err)
			require.Equal(t, []string{"a truncated → continued", "a"}, line(s.Report()))
			require.Equal(t, breaker.Closed, b.State(c.Pool().Model("a")))
			idle(t, c.Pool())
		})
	})
}

// A panic while a stream is held back is accounted for.
func TestRescuePanicWhileHeldBack(t *testing.T) {
	for name, b := range map[string]resilience.Timeouts{"held back": {HoldBack: time.Second}} {
		t.Run(name, func(t *testing.T) {
			c := rescuer(t, stringHooks{}, map[string]source{"a": func(context.Context, string) iter.Seq2[string, error] {
				return func(yield func(string, error) bool) { yield("one", nil); panic("a") }
			}}, b, breaker.New(breaker.Config{}))
			require.Panics(t, func() { _, _ = c.Call(t.Context(), "?") })
			require.Zero(t, c.Pool().InFlight())
			require.Zero(t, c.Pool().Model("a").InFlight())
		})
	}
}

// The report says of an answer that began otherwise that it did.
func TestRescueReasonOfAnotherText(t *testing.T) {
	c := rescuer(t, stringHooks{Text: itself}, map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": writes("one tow end")}, fallback.New(fallback.Config{}))
	s, err := c.Call(t.Context(), "?")
	require.NoError(t, err)
	_, _ = readAll(s)
	require.NotContains(t, s.Report().Attempts[1].Reason, "by its reader", "its reader never saw it")
}

// A stream of nested pools may be ended at any instant.
func TestRescueEndsAtAnyInstant(t *testing.T) {
	deadline := time.Now().Add(time.Second)
	drip := func(all string, err error) source {
		frames := texts(all)
		for i := range frames {
			frames[i].wait = 50 * time.Microsecond
		}
		if err != nil {
			frames = append(frames, frame{err: err})
		}
		return plays(frames...)
	}
	for n := 0; time.Now().Before(deadline); n++ {
		a := resilience.Wrap(resilience.StreamOf(refuses2(drip("one two", io.ErrUnexpectedEOF), drip("three", io.ErrUnexpectedEOF)), continuing), retry.New(retry.Config{}), breaker.New(breaker.Config{}))
		b := resilience.Wrap(resilience.StreamOf(drip("four five end", nil), continuing), retry.New(retry.Config{}), breaker.New(breaker.Config{}))
		c := resilience.WrapAll([]caller{a, b}, fallback.New(fallback.Config{}), resilience.Timeouts{Gap: 10 * time.Second, MinRate: 1}, breaker.New(breaker.Config{}))
		ctx, cancel := context.WithCancel(t.Context())
		s, err := c.Call(ctx, "?")
		require.NoError(t, err)
		wait := time.Duration(rand.IntN(1500)) * time.Microsecond
		done := make(chan struct{})
		go func() {
			defer close(done)
			time.Sleep(wait)
			_ = s.Report().LogValue().String()
			_ = s.Model()
			if n%2 == 0 {
				_ = s.Close()
			} else {
				cancel()
			}
		}()
		_, _ = readAll(s)
		<-done
		cancel()
		for _, p := range []*resilience.Pool{a.Pool(), b.Pool(), c.Pool()} {
			require.Zero(t, p.InFlight())
			for _, m := range p.Models() {
				require.Zero(t, m.InFlight())
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			require.NoError(t, p.Drain(ctx))
			cancel()
		}
	}
}

// What layers above LayerRoute put into the context is there in a rescue.
func TestRescueContextOfOuterLayers(t *testing.T) {
	traced := layer(resilience.LayerObserve, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
		return next(context.WithValue(ctx, spanKey{}, "span"), c)
	})
	seen := map[string]any{}
	look := func(id string, next source) source {
		return func(ctx context.Context, req string) iter.Seq2[string, error] {
			seen[id] = ctx.Value(spanKey{})
			return next(ctx, req)
		}
	}
	c := rescuer(t, stringHooks{Resume: resumes}, map[string]source{"a": look("a", breaks("one two", io.ErrUnexpectedEOF)), "b": look("b", writes(poem))},
		traced, fallback.New(fallback.Config{}))
	s, err := c.Call(t.Context(), "?")
	require.NoError(t, err)
	_, err = readAll(s)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"a": "span", "b": "span"}, seen)
}

// The event of a broken call has the kind that its reader got.
func TestRescueEventCallOfABrokenStream(t *testing.T) {
	var told error
	c := rescuer(t, stringHooks{}, map[string]source{"a": breaks("", resilience.Overloaded), "b": breaks("one two", io.ErrUnexpectedEOF)},
		fallback.New(fallback.Config{}), watch(func(_ context.Context, e resilience.Event) { told = e.Err }, resilience.EventCall))
	s, err := c.Call(t.Context(), "?")
	require.NoError(t, err)
	_, err = readAll(s)
	require.Equal(t, resilience.KindOf(err), resilience.KindOf(told), "the reader got %v, the event says %v", err, told)
}

package resilience_test

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// races is a feature whose calls are races with this first lane.
func races(lead func(ctx context.Context, r *resilience.Route, x *resilience.Race) error) resilience.Feature {
	return feature(func(s *resilience.Setup) error {
		s.Route(func(ctx context.Context, r *resilience.Route, next resilience.Handler) error {
			return r.Race(ctx, next, func(x *resilience.Race) error { return lead(ctx, r, x) })
		})
		return nil
	})
}

// beside tries another model, if there is one.
func beside(x *resilience.Race) error {
	if x.Next() == nil {
		return nil
	}
	return x.Try(true)
}

// pausing streams words with a pause before each but the first, which comes after
// a millisecond, and ends with err.
func pausing(all string, pause time.Duration, err error) source {
	frames := texts(all)
	for i := range frames {
		frames[i].wait = pause
	}
	frames[0].wait = time.Millisecond
	if err != nil {
		frames = append(frames, frame{err: err})
	}
	return plays(frames...)
}

func wordless(ctx context.Context, _ string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		<-ctx.Done()
		yield("", ctx.Err())
	}
}

func TestRescueOfAStreamThatWonARace(t *testing.T) {
	for name, tc := range map[string]struct {
		bound    map[string]source
		attempts []string
	}{
		"at the same model, when there is no other": {
			map[string]source{"a": wordless, "b": refuses2(pausing("one two", time.Minute, io.ErrUnexpectedEOF), writes(poem))},
			[]string{"a canceled", "b truncated → continued", "b"},
		},
		"elsewhere": {
			map[string]source{"a": wordless, "b": pausing("one two", time.Minute, io.ErrUnexpectedEOF), "c": writes(poem)},
			[]string{"a canceled", "b truncated → continued", "c"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := rescuer(t, stringHooks{Resume: resumes}, tc.bound, hedged(time.Second))
				s, err := c.Call(t.Context(), "?")
				require.NoError(t, err)
				start := time.Now()
				got, err := readAll(s)
				require.NoError(t, err)
				require.Equal(t, []string{"one", "two", "three", "four", "five", "end"}, got)
				rep := s.Report()
				require.Equal(t, tc.attempts, line(rep))
				last := rep.Attempts[2]
				require.Equal(t, time.Minute, last.Start.Sub(start).Round(time.Second))
				require.Zero(t, last.Duration)
				require.Less(t, last.Model.Latency(), time.Second)
				require.True(t, rep.Rescued)
				require.NoError(t, c.Pool().Drain(t.Context()))
				idle(t, c.Pool())
			})
		})
	}
}

// Total bounds the whole stream, whatever lanes its parts come from.
func TestTotalOfAStreamThatRacesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rescuer(t, stringHooks{Resume: resumes}, map[string]source{
			"a": pausing("one two", time.Minute, io.ErrUnexpectedEOF), "b": pausing("three four five end", time.Minute, nil),
		}, hedged(time.Hour), resilience.Timeouts{Total: 90 * time.Second, Gap: -1})
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		start := time.Now()
		_, err = readAll(s)
		require.ErrorContains(t, err, "Timeouts.Total")
		require.Equal(t, 90*time.Second, time.Since(start).Round(time.Second))
	})
}

func TestStreamOfALaneIsLost(t *testing.T) {
	c := streamClient(t, sources{"a": plays(texts("one two end")...)}, hedged(time.Hour))
	_, err := c.Call(t.Context(), "?")
	require.NoError(t, err)
	require.Equal(t, int64(1), c.Pool().InFlight())
	require.Eventually(t, func() bool {
		runtime.GC()
		return c.Pool().InFlight() == 0
	}, 10*time.Second, time.Millisecond)
	idle(t, c.Pool())
}

// A loser may begin to stream while the call is on its way for the rest.
func TestLateLoserOfARescue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hooks := stringHooks{Resume: resumes, Terminal: marks.Terminal, Meaningful: marks.Meaningful}
		late := func(ctx context.Context, req string) (*resilience.Stream[string], error) {
			time.Sleep(time.Hour)
			return resilience.StreamOf(plays(texts("late end")...), hooks)(ctx, req)
		}
		p := newPool(t, hedged(time.Second), models("a", "b", "c"))
		c, err := resilience.NewClient(p,
			resilience.BindStream("a", breaks("one two", io.ErrUnexpectedEOF), hooks),
			resilience.BindStream("b", pausing("role three end", 2*time.Second, nil), hooks),
			resilience.BindFunc("c", late))
		require.NoError(t, err)
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		_, err = readAll(s)
		require.NoError(t, err)
		require.Equal(t, []string{"a truncated → continued", "c canceled", "b"}, line(s.Report()))
		require.NoError(t, p.Drain(t.Context()))
		idle(t, p)
	})
}

type closing struct{ close func() }

func (c *closing) Close() error { c.close(); return nil }

// A response that is not wanted is closed, by whoever runs its lane.
func TestLosersResponses(t *testing.T) {
	for name, loser := range map[string]func(context.Context, string) (*closing, error){
		"panics": func(context.Context, string) (*closing, error) {
			time.Sleep(time.Minute)
			return &closing{func() { panic("boom") }}, nil
		},
		"of a layer, without a response": func(ctx context.Context, _ string) (*closing, error) {
			time.Sleep(time.Minute)
			return nil, resilience.Invalid
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out logged
				p := newPool(t, hedged(time.Second), resilience.Logger(slog.New(slog.NewTextHandler(&out, nil))),
					layer(resilience.LayerRetry, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
						if err := next(ctx, c); resilience.KindOf(err) != resilience.Invalid {
							return err
						}
						return nil
					}))
				c, err := resilience.NewClient(p, resilience.BindFunc("a", func(context.Context, string) (*closing, error) {
					time.Sleep(2 * time.Second)
					return &closing{}, nil
				}), resilience.BindFunc("b", loser))
				require.NoError(t, err)
				_, err = c.Call(t.Context(), "")
				require.NoError(t, err)
				require.NoError(t, p.Drain(t.Context()))
				require.Equal(t, name == "panics", out.String() != "")
				if name == "panics" {
					require.Contains(t, out.String(), "race_ends_test.go", "it says where")
				}
				idle(t, p)
			})
		})
	}
}

// Nobody waits for what panics after the answer, though the first lane is still
// on its way back.
func TestPanicsBetweenTheAnswerAndItsReturn(t *testing.T) {
	boom := func(context.Context, string) iter.Seq2[string, error] {
		return func(func(string, error) bool) {
			time.Sleep(time.Minute)
			panic("boom")
		}
	}
	slow := func(context.Context, string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			time.Sleep(time.Hour)
			yield("", resilience.Overloaded)
		}
	}
	for name, bound := range map[string]sources{
		"of the first lane": {"a": boom, "b": plays(texts("one end")...)},
		"of another":        {"a": slow, "b": boom, "c": plays(texts("one end")...)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := streamClient(t, bound, hedged(time.Second, 2*time.Second))
				sub := c.Pool().Subscribe(1, resilience.EventPanic)
				defer sub.Close()
				s, err := c.Call(t.Context(), "")
				require.NoError(t, err)
				got, err := readAll(s)
				require.NoError(t, err)
				require.Equal(t, []string{"one", "end"}, got)
				require.Len(t, sub.C, 1)
				idle(t, c.Pool())
			})
		})
	}
	t.Run("goexit of the first lane", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := streamClient(t, sources{"a": func(context.Context, string) iter.Seq2[string, error] {
				time.Sleep(time.Minute)
				runtime.Goexit()
				return nil
			}, "b": plays(texts("one end")...)}, hedged(time.Second))
			go func() { _, _ = c.Call(t.Context(), "") }()
			time.Sleep(time.Hour)
			idle(t, c.Pool())
		})
	})
}

// What comes up on another goroutine says in the log where it was.
func TestPanicOfALaneIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out logged
		p := newPool(t, hedged(time.Second), resilience.Logger(slog.New(slog.NewTextHandler(&out, nil))))
		c := newClient(t, p, asking(map[string]ask{"a": untilDone, "b": func(context.Context, string) (string, error) { panic("boom") }})...)
		require.PanicsWithValue(t, "boom", func() { _, _ = c.Call(t.Context(), "") })
		require.Contains(t, out.String(), "race_ends_test.go")
	})
}

func TestPanicBetweenTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, races(func(_ context.Context, _ *resilience.Route, x *resilience.Race) error {
			x.Go(beside)
			x.After(time.Second, beside)
			x.Next()
			_ = x.Try(false)
			panic("boom")
		}), models("a", "b", "c"))
		c := newClient(t, p, asking(map[string]ask{"a": errsAfter(time.Minute, resilience.Overloaded), "b": untilDone, "c": untilDone})...)
		require.PanicsWithValue(t, "boom", func() { _, _ = c.Call(t.Context(), "") })
		synctest.Wait()
		idle(t, p)
	})
}

func TestFirstLaneThatReturnsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alone := false
		p := newPool(t, races(func(_ context.Context, _ *resilience.Route, x *resilience.Race) error {
			if !alone {
				x.Go(beside)
			}
			return nil
		}))
		c := newClient(t, p, asking(map[string]ask{"a": takes(time.Second, "a")})...)
		answer, err := c.Call(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, "a", answer)
		alone = true
		_, err = c.Call(t.Context(), "")
		require.ErrorIs(t, err, resilience.Rejected, "no answer is not an empty one")
	})
}

// What a lane does after the end has no effect.
func TestLanesAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late []error
		asked := 0
		count := func(x *resilience.Race) error { asked++; return nil }
		p := newPool(t, races(func(_ context.Context, _ *resilience.Route, x *resilience.Race) error {
			x.Go(beside)
			x.Next()
			late = append(late, x.Try(false)) // lost
			late = append(late, x.Try(false)) // not begun
			x.Go(count)
			x.After(0, count)
			return late[1]
		}))
		c := newClient(t, p, asking(map[string]ask{"a": ignores(time.Minute, "a"), "b": takes(time.Second, "b")})...)
		answer, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
		require.NoError(t, err)
		require.Contains(t, []string{"a", "b"}, answer)
		require.Len(t, rep.Attempts, 2)
		for _, err := range late {
			if err != nil {
				require.ErrorIs(t, err, resilience.Canceled)
			}
		}
		require.NoError(t, p.Drain(t.Context()))
		require.Zero(t, asked)
	})
	t.Run("begun, but not yet running", func(t *testing.T) {
		p := newPool(t, races(func(ctx context.Context, r *resilience.Route, x *resilience.Race) error {
			x.Go(lane(ctx, r))
			return lane(ctx, r)(x)
		}))
		c := newClient(t, p, echo("a", "b", "c")...)
		for range 1000 {
			_, err := c.Call(t.Context(), "")
			require.NoError(t, err)
		}
		require.NoError(t, p.Drain(t.Context()))
		idle(t, p)
	})
}

// A hedge sees what has become of models since the call began.
func TestHedgeAfterAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, hedged(10*time.Second))
		c := newClient(t, p, asking(map[string]ask{"a": takes(time.Hour, ""), "b": takes(0, "b")})...)
		limit(t, p, "b", 5*time.Second)
		answer, err := c.Call(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, "b", answer)
	})
}

// A lane does not wait for a model with the race's lock.
func TestRaceOfWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, wide(2))
		c := newClient(t, p, echo("a", "b")...)
		limit(t, p, "a", time.Second)
		limit(t, p, "b", time.Second)
		_, err := c.Call(t.Context(), "")
		require.ErrorIs(t, err, resilience.Rejected)
	})
}

func TestHedgesAreNeverHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, hedged(time.Second), pick(func(_ *resilience.Call, from resilience.Candidates) *resilience.Model {
			for i := range from.Len() {
				if m := from.Held(i); m != nil {
					return m
				}
			}
			return nil
		}))
		c := newClient(t, p, asking(map[string]ask{"a": takes(time.Minute, "a"), "b": takes(0, "b")})...)
		limit(t, p, "b", time.Hour)
		answer, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
		require.NoError(t, err)
		require.Equal(t, "a", answer)
		require.False(t, rep.LastResort)
	})
}

// After Try the call's model is the lane's again: what follows goes by that.
func TestModelOfALane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, races(func(ctx context.Context, r *resilience.Route, x *resilience.Race) error {
			x.After(time.Second, beside)
			x.Next()
			err := x.Try(false)
			require.Equal(t, "a", r.Call().Model().ID())
			r.Larger()
			if r.Next(ctx, false) == nil {
				return err
			}
			return x.Try(false)
		}), resilience.Models(
			resilience.ModelInfo{ID: "a", ContextWindow: 10}, resilience.ModelInfo{ID: "b", ContextWindow: 100}, resilience.ModelInfo{ID: "c", ContextWindow: 50}))
		sub := p.Subscribe(4, resilience.EventFallback)
		defer sub.Close()
		c := newClient(t, p, asking(map[string]ask{"a": errsAfter(2*time.Second, resilience.TooLong), "b": untilDone, "c": takes(0, "c")})...)
		answer, err := c.Call(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, "c", answer)
		e := <-sub.C
		require.Equal(t, []string{"a", "c"}, []string{e.From, e.To})
	})
}

// A hedge that finds no model costs nothing.
func TestBesideNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, hedged(time.Second), again(9))
		asked := 0
		c := newClient(t, p, asking(map[string]ask{"a": counted(&asked, errsAfter(2*time.Second, resilience.Overloaded))})...)
		_, _, err := c.Do(t.Context(), "", resilience.CallOptions{Attempts: 3})
		require.ErrorIs(t, err, resilience.Overloaded)
		require.Equal(t, 3, asked)
	})
}

// What has lost stays neutral when the call's time runs out before the first
// lane is back.
func TestLosersAfterOurDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, hedged(time.Second, 2*time.Second), resilience.Timeouts{Call: 10 * time.Second, Attempt: -1}, models("a", "b", "c"))
		hung := func(d time.Duration) ask {
			return func(context.Context, string) (string, error) { time.Sleep(d); return "", errBroken }
		}
		c := newClient(t, p, asking(map[string]ask{"a": hung(20 * time.Second), "b": hung(time.Minute), "c": takes(time.Second, "c")})...)
		answer, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
		require.NoError(t, err)
		require.Equal(t, "c", answer)
		require.Len(t, rep.Attempts, 3)
		require.NoError(t, p.Drain(t.Context()))
		for _, id := range []string{"a", "b"} {
			require.Zero(t, p.Model(id).Stats(time.Minute).Failures, id)
		}
	})
}

// An attempt is in the report also if the race ends while its response is closed.
func TestLoserThatIsSlowToClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, hedged(time.Second, 2*time.Second), models("a", "b", "c"))
		answers := func(d, closes time.Duration) func(context.Context, string) (*closing, error) {
			return func(context.Context, string) (*closing, error) {
				time.Sleep(d)
				return &closing{func() { time.Sleep(closes) }}, nil
			}
		}
		c, err := resilience.NewClient(p, resilience.BindFunc("a", answers(10*time.Second, 0)),
			resilience.BindFunc("b", answers(4*time.Second, time.Hour)), resilience.BindFunc("c", answers(time.Second, 0)))
		require.NoError(t, err)
		_, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
		require.NoError(t, err)
		require.Equal(t, []outcome{{"a", false, 0}, {"b", true, resilience.Canceled}, {"c", true, 0}}, outcomes(rep))
		require.NoError(t, p.Drain(t.Context()))
	})
}

// A hard rule is one for every way to a model.
func TestRequireHoldsInEveryWay(t *testing.T) {
	held := pick(func(_ *resilience.Call, from resilience.Candidates) *resilience.Model {
		for ; from.Len() > 0; from = from.Next() {
			for i := range from.Len() {
				if m := from.Held(i); m != nil && m.ID() != "eu" {
					return m
				}
			}
		}
		return nil
	})
	stranger := pick(func(c *resilience.Call, _ resilience.Candidates) *resilience.Model { return c.Pool().Model("us") })
	for name, features := range map[string][]resilience.Feature{
		"next":          {inTurn(false)},
		"a last resort": {inTurn(true)},
		"held":          {inTurn(true), held},
		"a picker":      {inTurn(true), stranger},
		"hedges":        {hedged(time.Second, 2*time.Second), held},
		"side by side":  {wide(3), stranger},
		"stand-ins":     {inTurn(true), standIns(map[string][]string{"eu": {"us", "spare"}})},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPool(t, append(features, resilience.Models(
					resilience.ModelInfo{ID: "eu", Region: "eu"}, resilience.ModelInfo{ID: "us", Region: "us"}, resilience.ModelInfo{ID: "spare", Tier: 1}))...)
				c := newClient(t, p, bind([]string{"eu", "us", "spare"}, errsAfter(time.Minute, resilience.Overloaded))...)
				for _, model := range []string{"", "eu"} {
					_, rep, err := c.Do(t.Context(), "", resilience.CallOptions{Model: model, Require: []string{"eu"}})
					require.Error(t, err)
					require.Equal(t, []outcome{{"eu", false, resilience.Overloaded}}, outcomes(rep))
				}
				limit(t, p, "eu", time.Hour)
				_, rep, err := c.Do(t.Context(), "", resilience.CallOptions{Require: []string{"eu"}})
				require.Error(t, err)
				for _, a := range rep.Attempts {
					require.Equal(t, "eu", a.Model.ID())
				}
			})
		})
	}
}

// A lane that was still waiting for room when another answered is no attempt.
func TestLoserThatWasNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := layer(resilience.LayerLimit, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
			if c.Model().ID() == "b" {
				if err := c.Sleep(ctx, time.Hour); err != nil {
					return err
				}
			}
			return next(ctx, c)
		})
		p := newPool(t, models("a", "b"), queue, races(func(_ context.Context, r *resilience.Route, x *resilience.Race) error {
			x.Go(beside)
			return beside(x)
		}))
		var told int
		events := p.Subscribe(10, resilience.EventAttempt, resilience.EventCall)
		slow := ask(func(ctx context.Context, _ string) (string, error) { time.Sleep(time.Second); return "a", nil })
		c := newClient(t, p, resilience.BindFunc("a", slow), resilience.BindFunc("b", says("b")))
		answer, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
		require.NoError(t, err)
		require.Equal(t, "a", answer)
		require.Len(t, rep.Attempts, 1)
		synctest.Wait()
		events.Close()
		for e := range events.C {
			if told++; e.Kind == resilience.EventCall {
				require.Equal(t, 1, e.Attempt)
			}
		}
		require.Equal(t, 2, told)
	})
}

// What a lane that lost had tried before is told of, too.
func TestLoserThatHadFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, models("a", "b"), again(3), races(func(_ context.Context, r *resilience.Route, x *resilience.Race) error {
			x.Go(beside)
			return beside(x)
		}))
		tries := 0
		c := newClient(t, p,
			resilience.BindFunc("a", func(context.Context, string) (string, error) { time.Sleep(time.Second); return "a", nil }),
			resilience.BindFunc("b", func(ctx context.Context, _ string) (string, error) {
				if tries++; tries < 3 {
					resilience.ReportUsage(ctx, resilience.Usage{Input: 5})
					return "", resilience.Overloaded
				}
				return hangs(ctx, "")
			}))
		_, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
		require.NoError(t, err)
		require.Len(t, rep.Attempts, 4)
		require.Equal(t, resilience.Usage{Input: 10}, rep.Usage)
		kinds := map[resilience.Kind]int{}
		for _, a := range rep.Attempts {
			kinds[a.Kind]++
		}
		require.Equal(t, map[resilience.Kind]int{0: 1, resilience.Overloaded: 2, resilience.Canceled: 1}, kinds)
		synctest.Wait()
	})
}

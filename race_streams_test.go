package resilience_test

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/retry"
)

func TestStreamsRaceWithinStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := rescuer(t, stringHooks{Resume: resumes}, map[string]source{
			"a": wordless, "b": pausing("one two", time.Second, io.ErrUnexpectedEOF), "c": writes(poem),
		}, hedged(time.Second))
		p := newPool(t, hedged(500*time.Millisecond), models("x", "y"))
		c, err := resilience.NewClient(p, resilience.BindStream("x", wordless), resilience.BindFunc("y", inner.Call))
		require.NoError(t, err)
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		got, err := readAll(s)
		require.NoError(t, err)
		require.Equal(t, []string{"one", "two", "three", "four", "five", "end"}, got)
		require.Equal(t, []string{"x canceled", "y"}, line(s.Report()), "the outer call notices nothing")
		synctest.Wait()
		idle(t, p)
		idle(t, inner.Pool())
	})
}

func TestStreamsThatAreHeldBackRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := streamClient(t, sources{"a": pausing("one two end", 30*time.Second, nil), "b": plays(texts("one end")...)},
			hedged(time.Second), resilience.Timeouts{HoldBack: time.Minute})
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		got, err := readAll(s)
		require.NoError(t, err)
		require.Equal(t, []string{"one", "end"}, got)
		require.Equal(t, []outcome{{"a", false, resilience.Canceled}, {"b", true, 0}}, outcomes(s.Report()))
		synctest.Wait()
		idle(t, c.Pool())
	})
}

// What bounds a stream bounds one from a lane, which is otherwise left alone.
func TestStreamOfALaneIsBounded(t *testing.T) {
	for name, tc := range map[string]struct {
		frames   string
		timeouts resilience.Timeouts
		leaves   time.Duration
		kind     resilience.Kind
		says     string
	}{
		"first chunk is no bound of the rest": {"one two end", resilience.Timeouts{FirstChunk: 10 * time.Second, Call: 20 * time.Second, Gap: -1}, time.Hour, 0, ""},
		"gap":                                 {"one two end", resilience.Timeouts{Gap: 30 * time.Second}, time.Hour, resilience.Truncated, "Timeouts.Gap"},
		"total":                               {"one two end", resilience.Timeouts{Gap: -1, Total: 90 * time.Second}, time.Hour, resilience.Truncated, "Timeouts.Total"},
		"the caller leaves":                   {"one two end", resilience.Timeouts{Gap: -1}, 90 * time.Second, resilience.Canceled, "deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := streamClient(t, sources{"a": wordless, "b": pausing(tc.frames, time.Minute, nil)}, hedged(time.Second), tc.timeouts)
				ctx, cancel := context.WithTimeout(t.Context(), tc.leaves)
				defer cancel()
				s, err := c.Call(ctx, "?")
				require.NoError(t, err)
				_, err = readAll(s)
				require.Equal(t, tc.kind, resilience.KindOf(err), "%v", err)
				if tc.says != "" {
					require.ErrorContains(t, err, tc.says)
				}
				rep := s.Report()
				require.Len(t, rep.Attempts, 2)
				require.Equal(t, tc.kind, rep.Attempts[1].Kind)
				synctest.Wait()
				idle(t, c.Pool())
				require.Zero(t, c.Pool().Model("a").Stats(time.Minute).Failures)
			})
		})
	}
}

// A probe that loses leaves its place to the next one.
func TestProbeThatLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, hedged(time.Second), breaker.New(breaker.Config{}))
		b := fails(resilience.Overloaded)
		c := newClient(t, p, resilience.BindFunc("a", takes(2*time.Second, "a")),
			resilience.BindFunc("b", func(ctx context.Context, req string) (string, error) { return b(ctx, req) }))
		for range 50 {
			_, _ = c.Pin("b").Call(t.Context(), "")
		}
		require.NotEmpty(t, p.Model("b").Holds())
		time.Sleep(time.Hour)
		b = takes(time.Hour, "b")
		answer, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
		require.NoError(t, err)
		require.Equal(t, "a", answer)
		require.Equal(t, []outcome{{"a", false, 0}, {"b", true, resilience.Canceled}}, outcomes(rep))
		synctest.Wait()
		b = says("b")
		answer, err = c.Pin("b").Call(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, "b", answer)
	})
}

// A lane that waits for its next attempt is over at once when another answers.
func TestLaneThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, hedged(time.Second), retry.New(retry.Config{Base: time.Minute, Max: -1, Jitter: -1}))
		c := newClient(t, p, asking(map[string]ask{"a": fails(resilience.Overloaded), "b": takes(time.Second, "b")})...)
		start := time.Now()
		answer, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
		require.NoError(t, err)
		require.Equal(t, "b", answer)
		require.Equal(t, 2*time.Second, time.Since(start))
		require.Equal(t, []outcome{{"a", false, resilience.Overloaded}, {"b", true, 0}}, outcomes(rep))
		idle(t, p)
	})
}

// A Transport's calls go one way, whatever races there are in its pool.
func TestTransportInAPoolThatRaces(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"json":   replyWith(200, jsonType, okJSON),
		"events": streams(word, "2s", done),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPool(t, hedged(time.Second))
				resp, body, err := post(t, p, newFake(t, handler).base)
				require.NoError(t, err)
				require.Equal(t, 200, resp.StatusCode)
				require.NotEmpty(t, body)
				synctest.Wait()
				idle(t, p)
			})
		})
	}
}

// A lane that does not notice that it has lost does not keep the answer.
func TestLaneThatGoesOnKeepsNoAnswer(t *testing.T) {
	for name, winner := range map[string]string{"the first answers": "a", "a hedge answers": "b"} {
		t.Run(name, func(t *testing.T) {
			stop, gone := make(chan struct{}), make(chan struct{})
			p := newPool(t, hedged(time.Millisecond, 2*time.Millisecond), models("a", "b", "c"))
			bound := func(id string) resilience.Binding[string, *[1 << 20]byte] {
				return resilience.BindFunc(id, func(ctx context.Context, _ string) (*[1 << 20]byte, error) {
					switch id {
					case winner:
						time.Sleep(20 * time.Millisecond)
						answer := new([1 << 20]byte)
						runtime.AddCleanup(answer, func(c chan struct{}) { close(c) }, gone)
						return answer, nil
					case "c":
						<-stop
					default:
						<-ctx.Done()
					}
					return nil, errBroken
				})
			}
			c, err := resilience.NewClient(p, bound("a"), bound("b"), bound("c"))
			require.NoError(t, err)
			_, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
			require.NoError(t, err)
			require.Len(t, rep.Attempts, 3)
			require.Eventually(t, func() bool {
				runtime.GC()
				select {
				case <-gone:
					return true
				default:
					return false
				}
			}, 10*time.Second, time.Millisecond)
			close(stop)
			require.NoError(t, p.Drain(t.Context()))
		})
	}
}

// What a lane's callee has for a context is the call's.
func TestContextOfALane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var cause error
		p := newPool(t, hedged(time.Second), resilience.Timeouts{Call: time.Minute, Attempt: -1})
		sub := p.Subscribe(4, resilience.EventAttempt, resilience.EventCall)
		defer sub.Close()
		c := newClient(t, p, asking(map[string]ask{"a": func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return "", cause
		}, "b": func(ctx context.Context, _ string) (string, error) {
			require.Equal(t, "value", ctx.Value(key{}))
			deadline, ok := ctx.Deadline()
			require.True(t, ok)
			require.Equal(t, 59*time.Second, time.Until(deadline))
			require.Equal(t, "b", resilience.CallFrom(ctx).Model().ID())
			return "b", nil
		}})...)
		_, err := c.Call(context.WithValue(t.Context(), key{}, "value"), "")
		require.NoError(t, err)
		require.ErrorIs(t, cause, context.Canceled)
		ids := map[uint64]bool{}
		for range 3 {
			ids[(<-sub.C).Call] = true
		}
		require.Len(t, ids, 1, "events of lanes are the call's")
	})
}

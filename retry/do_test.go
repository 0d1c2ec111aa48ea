package retry

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// script is a function for Do that fails as told, then answers "ok", and notes
// when it was called.
type script struct {
	errs  []error
	start time.Time
	at    []time.Duration
}

func newScript(errs ...error) *script { return &script{errs: errs, start: time.Now()} }

func (s *script) call(context.Context) (string, error) {
	s.at = append(s.at, time.Since(s.start))
	if n := len(s.at); n <= len(s.errs) {
		return "partial", s.errs[n-1]
	}
	return "ok", nil
}

func failed(kind resilience.Kind) error { return fmt.Errorf("%w: for the test", kind) }

func askedFor(kind resilience.Kind, d time.Duration) error {
	return &resilience.Error{Kind: kind, RetryAfter: d}
}

func times(err error, n int) (errs []error) {
	for range n {
		errs = append(errs, err)
	}
	return errs
}

// exactly is a policy without chance.
func exactly(cfg Config) *Policy {
	cfg.Jitter = -1
	return New(cfg)
}

func TestDo(t *testing.T) {
	const second = time.Second
	overloaded := failed(resilience.Overloaded)
	for name, tt := range map[string]struct {
		cfg  Config
		errs []error
		at   []time.Duration // of the attempts
		kind resilience.Kind // of the error
	}{
		"success":                   {Config{}, nil, []time.Duration{0}, 0},
		"backoff":                   {Config{}, times(overloaded, 2), []time.Duration{0, 500 * ms, 1500 * ms}, 0},
		"no wait after the last":    {Config{}, times(overloaded, 9), []time.Duration{0, 500 * ms, 1500 * ms}, resilience.Overloaded},
		"up to the longest":         {Config{Attempts: 5, Max: second}, times(overloaded, 4), []time.Duration{0, 500 * ms, 1500 * ms, 2500 * ms, 3500 * ms}, 0},
		"quickly, then backoff":     {Config{}, times(failed(resilience.Unreachable), 2), []time.Duration{0, 50 * ms, 1050 * ms}, 0},
		"timed out":                 {Config{}, []error{failed(resilience.TimedOut)}, []time.Duration{0, 500 * ms}, 0},
		"as the server asked":       {Config{}, []error{askedFor(resilience.RateLimited, 2*second)}, []time.Duration{0, 2 * second}, 0},
		"not so long":               {Config{}, []error{askedFor(resilience.RateLimited, 6*second)}, []time.Duration{0}, resilience.RateLimited},
		"not this kind":             {Config{}, []error{failed(resilience.Invalid)}, []time.Duration{0}, resilience.Invalid},
		"not after another kind":    {Config{}, []error{overloaded, failed(resilience.Filtered)}, []time.Duration{0, 500 * ms}, resilience.Filtered},
		"nothing known of it":       {Config{}, []error{errors.New("what")}, []time.Duration{0}, resilience.Unknown},
		"one attempt":               {Config{Attempts: 1}, []error{overloaded}, []time.Duration{0}, resilience.Overloaded},
		"observed only":             {Config{ObserveOnly: true}, []error{overloaded}, []time.Duration{0}, resilience.Overloaded},
		"the last model it is":      {Config{LastModelOnly: true}, []error{overloaded}, []time.Duration{0, 500 * ms}, 0},
		"overrides do not apply":    {Config{Ops: map[string]Config{"": {Attempts: 1}}}, []error{overloaded}, []time.Duration{0, 500 * ms}, 0},
		"without waiting":           {Config{Base: -1}, times(overloaded, 2), []time.Duration{0, 0, 0}, 0},
		"queued behind nobody else": {Config{Pace: true}, times(overloaded, 2), []time.Duration{0, 500 * ms, 1500 * ms}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(tt.errs...)
				v, err := Do(t.Context(), exactly(tt.cfg), s.call)
				require.Equal(t, tt.kind, resilience.KindOf(err))
				require.Equal(t, tt.at, s.at)
				require.Equal(t, tt.at[len(tt.at)-1], time.Since(s.start), "no time is spent after the last attempt")
				if err == nil {
					require.Equal(t, "ok", v)
				} else {
					require.Equal(t, "partial", v, "the last result comes with the error")
				}
			})
		})
	}
}

func TestDoKeepsForeignErrorsAsTheyAre(t *testing.T) {
	sentinel := errors.New("sentinel")
	_, err := Do(t.Context(), New(Config{}), newScript(sentinel).call)
	require.Same(t, sentinel, err)
}

func TestDoFitsTheDeadline(t *testing.T) {
	for name, tt := range map[string]struct {
		deadline time.Duration
		attempts int
	}{
		"fits":         {501 * ms, 2},
		"does not fit": {500 * ms, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
				defer cancel()
				s := newScript(times(failed(resilience.Overloaded), 9)...)
				_, err := Do(ctx, exactly(Config{}), s.call)
				require.ErrorIs(t, err, resilience.Overloaded)
				require.NotErrorIs(t, err, context.DeadlineExceeded)
				require.Len(t, s.at, tt.attempts)
				require.Equal(t, s.at[tt.attempts-1], time.Since(s.start), "an error that is final comes at once")
			})
		})
	}
}

func TestDoCancelled(t *testing.T) {
	t.Run("while waiting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			s := newScript(failed(resilience.Overloaded))
			time.AfterFunc(200*ms, cancel)
			_, err := Do(ctx, exactly(Config{}), s.call)
			require.Equal(t, 200*ms, time.Since(s.start))
			require.ErrorIs(t, err, resilience.Overloaded)
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, resilience.Overloaded, resilience.KindOf(err), "the failure counts")
			require.Len(t, s.at, 1)
			require.ErrorContains(t, err, "for the test (not retried: context canceled)")
		})
	})
	t.Run("before waiting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			p := exactly(Config{})
			_, err := Do(ctx, p, func(context.Context) (int, error) {
				cancel()
				return 0, failed(resilience.Overloaded)
			})
			require.ErrorIs(t, err, resilience.Overloaded)
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, burst, drain(&p.budget, p.now(), 0.1), "it cost nothing")
		})
	})
	t.Run("from the start", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		calls := 0
		_, err := Do(ctx, New(Config{}), func(ctx context.Context) (int, error) {
			calls++
			return 0, ctx.Err()
		})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, 1, calls, "fn itself says what it makes of a dead context")
	})
}

// A caller that leaves the queue gives its place to the next.
func TestDoCancelledInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := exactly(Config{Pace: true, Base: -1})
		settle(&p.own, 40*ms)
		for range 5 {
			_, ok := p.own.reserve(p.now(), time.Hour)
			require.True(t, ok)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		time.AfterFunc(10*ms, cancel)
		_, err := Do(ctx, p, newScript(failed(resilience.Overloaded)).call)
		require.ErrorIs(t, err, context.Canceled)
		wait, _ := p.own.reserve(p.now(), time.Hour)
		require.InDelta(t, 90*ms, wait, float64(time.Microsecond))
	})
}

// Retries start one at a time, as long apart as an attempt takes that works;
// refusals are much quicker.
func TestDoPaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := exactly(Config{Pace: true, Base: -1, Attempts: 2})
		time.Sleep(time.Hour)
		_, err := Do(t.Context(), p, func(context.Context) (int, error) { time.Sleep(40 * ms); return 0, nil })
		require.NoError(t, err)

		start := time.Now()
		retries := make(chan time.Duration, 3)
		var wg sync.WaitGroup
		for range cap(retries) {
			wg.Go(func() {
				tried := false
				_, _ = Do(t.Context(), p, func(context.Context) (int, error) {
					if tried {
						retries <- time.Since(start)
					}
					tried = true
					return 0, failed(resilience.Overloaded)
				})
			})
		}
		wg.Wait()
		require.Equal(t, []time.Duration{0, 40 * ms, 80 * ms}, []time.Duration{<-retries, <-retries, <-retries})
	})
}

func TestDoBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := exactly(Config{Base: -1})
		calls := 0
		fail := func(context.Context) (int, error) { calls++; return 0, failed(resilience.Overloaded) }
		for range 1000 {
			_, err := Do(t.Context(), p, fail)
			require.ErrorIs(t, err, resilience.Overloaded)
		}
		require.Equal(t, 1000+burst, calls, "what was saved, and no more")

		for range 10 {
			_, err := Do(t.Context(), p, newScript().call)
			require.NoError(t, err)
		}
		calls = 0
		for range 1000 {
			_, _ = Do(t.Context(), p, fail)
		}
		require.Equal(t, 1000+1, calls, "ten successes pay for one")

		calls = 0
		unlimited := exactly(Config{Base: -1, Budget: -1})
		for range 1000 {
			_, _ = Do(t.Context(), unlimited, fail)
		}
		require.Equal(t, 3000, calls)
	})
}

// A server that said when to come back did no work: coming back is free.
func TestDoRateLimitsCostNoBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := exactly(Config{})
		require.Equal(t, burst, drain(&p.budget, p.now(), 0.1))
		_, err := Do(t.Context(), p, newScript(askedFor(resilience.RateLimited, ms)).call)
		require.NoError(t, err)
		_, err = Do(t.Context(), p, newScript(failed(resilience.Overloaded)).call)
		require.ErrorIs(t, err, resilience.Overloaded)
	})
}

// However deep it is nested, the innermost alone retries.
func TestDoNested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := exactly(Config{Budget: -1})
		s := newScript(times(failed(resilience.Overloaded), 99)...)
		call := s.call
		for range 3 {
			inner := call
			call = func(ctx context.Context) (string, error) { return Do(ctx, p, inner) }
		}
		_, err := call(t.Context())
		require.ErrorIs(t, err, resilience.Overloaded)
		require.Len(t, s.at, 3)
	})
}

// Within a call of a pool a retry is also one of that call's attempts.
func TestDoWithinACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := exactly(Config{Attempts: 9, Base: -1})
		for limit, want := range map[int]int{-1: 1, 1: 1, 2: 2, 0: 6} {
			s := newScript(times(failed(resilience.Overloaded), 99)...)
			c := resilience.Wrap(resilience.FuncOf(func(ctx context.Context, _ string) (string, error) {
				return Do(ctx, p, s.call)
			}))
			_, _, err := c.Do(t.Context(), "", resilience.CallOptions{Attempts: limit})
			require.ErrorIs(t, err, resilience.Overloaded)
			require.Len(t, s.at, want, "Attempts: %d", limit)
		}
	})
}

func TestDoBadConfig(t *testing.T) {
	p := New(Config{Multiplier: 0.5, Jitter: 2})
	require.Contains(t, p.String(), "multiplier=0.5", "it can be printed all the same")
	_, err := Do(t.Context(), p, func(context.Context) (int, error) {
		t.Fatal("called")
		return 0, nil
	})
	var bad *resilience.ConfigError
	require.ErrorAs(t, err, &bad)
	require.ErrorContains(t, err, "retry.multiplier")
	require.ErrorContains(t, err, "retry.jitter")
}

// Panics and Goexit are not failures to retry, and leave nothing behind.
func TestDoPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := exactly(Config{Pace: true})
		calls := 0
		require.PanicsWithValue(t, "boom", func() {
			_, _ = Do(t.Context(), p, func(context.Context) (int, error) {
				if calls++; calls == 2 {
					panic("boom")
				}
				return 0, failed(resilience.Overloaded)
			})
		})
		require.Equal(t, 2, calls)
		done := make(chan bool)
		go func() {
			defer close(done)
			_, _ = Do(t.Context(), p, func(context.Context) (int, error) { runtime.Goexit(); return 0, nil })
		}()
		<-done
		_, err := Do(t.Context(), p, newScript(failed(resilience.Overloaded)).call)
		require.NoError(t, err)
	})
}

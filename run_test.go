package resilience_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

func work(name string, run func(ctx context.Context) error) resilience.Feature {
	return feature(func(s *resilience.Setup) error { s.Background(name, run); return nil })
}

func TestBackgroundWorkIsStartedAgain(t *testing.T) {
	for how, end := range map[string]func() error{
		"an error": func() error { return errBroken },
		"a panic":  func() error { panic("boom") },
		"Goexit":   func() error { runtime.Goexit(); return nil },
	} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				var starts []time.Duration
				start := time.Now()
				p := newPool(t, models("a"), resilience.Logger(slog.New(slog.NewTextHandler(&log, nil))),
					work("job", func(ctx context.Context) error {
						starts = append(starts, time.Since(start))
						if len(starts) == 9 { // well for long: the backoff starts anew
							time.Sleep(2 * time.Minute)
						}
						return end()
					}))
				panics := p.Subscribe(20, resilience.EventPanic)
				ctx, stop := context.WithTimeout(t.Context(), 392*time.Second)
				defer stop()
				require.NoError(t, p.Run(ctx))
				s := time.Second
				require.Equal(t, []time.Duration{0, s, 3 * s, 7 * s, 15 * s, 31 * s, 63 * s, 123 * s, 183 * s, 304 * s, 306 * s, 310 * s, 318 * s, 334 * s, 366 * s}, starts)
				require.Contains(t, log.String(), "work=job")
				require.Contains(t, log.String(), "again=1s")
				want := 0
				if how == "a panic" {
					want = len(starts)
					require.Contains(t, log.String(), "stack=")
				}
				require.Len(t, panics.C, want)
			})
		})
	}
}

func TestRunWaitsForAllWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stopped atomic.Int64
		slow := func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(5 * time.Second)
			stopped.Add(1)
			return errors.New("not worth a word by then")
		}
		var once int
		p := newPool(t, models("a"), work("one", slow), work("two", slow), work("done at once", func(context.Context) error { once++; return nil }))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		synctest.Wait()
		require.ErrorContains(t, p.Run(t.Context()), "running already")
		time.Sleep(time.Hour)
		stop()
		require.NoError(t, <-done)
		require.Equal(t, int64(2), stopped.Load())
		require.Equal(t, 1, once, "work that returns nil is done")

		ctx, stop = context.WithTimeout(t.Context(), time.Second)
		defer stop()
		require.NoError(t, p.Run(ctx), "and again")
		require.Equal(t, 2, once)
	})
}

func TestRunWithoutWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		start := time.Now()
		require.NoError(t, newPool(t, models("a")).Run(ctx))
		require.Equal(t, time.Minute, time.Since(start))
	})
}

func TestLogSaysNothingByDefault(t *testing.T) {
	p := newPool(t, models("a"))
	require.False(t, p.Log().Enabled(t.Context(), slog.LevelError))
	require.Error(t, p.Reload(t.Context(), []byte(`{`), by))
	var log bytes.Buffer
	p = newPool(t, models("a"), resilience.Logger(slog.New(slog.NewTextHandler(&log, nil))))
	require.Error(t, p.Reload(t.Context(), []byte(`{`), by))
	require.Equal(t, 1, strings.Count(log.String(), "configuration refused"))
	require.Contains(t, log.String(), "actor=operator")
}

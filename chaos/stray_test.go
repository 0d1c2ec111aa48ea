package chaos_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/fallback"
)

// What calls leave behind belongs to the part of the run that they are of: it
// neither counts elsewhere nor changes what is being judged.
func TestWhatCallsLeaveBehind(t *testing.T) {
	for name, behind := range map[string]func(ctx context.Context, l *lab){
		"a later call": func(ctx context.Context, l *lab) {
			time.Sleep(25 * time.Second)
			_, _ = l.chat.Call(ctx, "")
		},
		"an open stream": func(ctx context.Context, l *lab) {
			s, err := l.streams.Call(ctx, "")
			if err == nil {
				time.Sleep(179800 * time.Millisecond)
				_ = s.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, enabled, fallback.New(fallback.Config{}))
				e := outage()
				e.Load.PerSecond, e.Abort.Success, e.Conduct.Probes = 2, .01, -1
				var left sync.WaitGroup
				res, err := l.injector.Run(t.Context(), e, func(ctx context.Context) error {
					left.Go(func() { behind(context.WithoutCancel(ctx), l) })
					_, err := l.chat.Call(ctx, "")
					return err
				})
				left.Wait()
				require.NoError(t, err)
				if name == "an open stream" {
					require.Contains(t, outcomes(res, chaos.CheckFailed), chaos.CheckAlive, "%v", res)
					return
				}
				require.Equal(t, chaos.VerdictPassed, res.Verdict, "%v", res)
			})
		})
	}
}

// An attempt of another pool's experiment, made within a call of its load, is none of ours.
func TestRunsOfTwoPools(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer, inner := newLab(t, enabled, fallback.New(fallback.Config{})), newLab(t, enabled, fallback.New(fallback.Config{}))
		var results [2]chaos.Result
		var both sync.WaitGroup
		both.Go(func() {
			var err error
			results[0], err = outer.injector.Run(t.Context(), outage(), func(ctx context.Context) error {
				_, _ = inner.chat.Call(ctx, "")
				_, err := outer.chat.Call(ctx, "")
				return err
			})
			require.NoError(t, err)
		})
		both.Go(func() {
			e := outage()
			e.Load.PerSecond = 1
			var err error
			results[1], err = inner.injector.Run(t.Context(), e, func(ctx context.Context) error {
				_, err := inner.chat.Call(ctx, "")
				return err
			})
			require.NoError(t, err)
		})
		both.Wait()
		require.Less(t, results[1].During.PerCall(), 2.5, "%v", results[1])
	})
}

package recovery_test

import (
	"context"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/recovery"
)

// A stream that breaks is a failure, when it does.
func TestStreamsThatBreak(t *testing.T) {
	virtual(t, "", func(t bubble) {
		r := recovery.New(recovery.Config{})
		broken := true
		pool, err := resilience.NewPool(r, breaker.New(breaker.Config{Consecutive: 2}))
		require.NoError(t, err)
		c, err := resilience.NewClient(pool, resilience.BindFunc("a", resilience.StreamOf(func(context.Context, string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				if !yield("text", nil) {
					return
				}
				time.Sleep(time.Second)
				if broken {
					yield("", resilience.Unreachable)
				}
			}
		})))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- pool.Run(ctx) }()
		read := func() {
			if s, err := c.Call(t.Context(), ""); err == nil {
				for range s.All() {
				}
			}
		}
		read()
		read()
		broken = false
		time.Sleep(17 * time.Second)
		read()
		read()
		for range 40 {
			read()
		}
		synctest.Wait()
		require.Len(t, r.History(), 1)
		o := r.History()[0]
		require.Equal(t, resilience.Truncated, o.Cause)
		require.Equal(t, time.Second, o.Detected)
		cancel()
		require.NoError(t, <-done)
	})
}

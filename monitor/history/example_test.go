package history_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor/alert"
	"github.com/cmmv-hive/resilience/monitor/history"
)

func Example() {
	past := history.New(history.Config{})
	pool, err := resilience.NewPool(past)
	if err != nil {
		fmt.Println(err)
		return
	}
	chat, err := resilience.NewClient(pool, resilience.BindFunc("gpt-5", func(context.Context, string) (string, error) {
		return "Rayleigh scattering.", nil
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = pool.Run(ctx) })
	for len(past.Rows(history.Series{}, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), time.Hour)) == 0 {
		_, _ = chat.Call(ctx, "Why is the sky blue?") // until it is running
	}
	stop()
	running.Wait()
	for _, row := range past.Rows(history.Series{Model: "gpt-5"}, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), time.Hour) {
		share, _ := row.Answered()
		fmt.Println(row.Calls > 0, row.Failures, share)
	}
	// Output: true 0 1
}

func ExampleHistory_Report() {
	past := history.New(history.Config{Location: time.UTC})
	if _, err := resilience.NewPool(past); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(past.Report(history.Day, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
	// Output:
	// # Day from 2026-03-01 00:00 UTC to 2026-03-02 00:00 UTC
	//
	// No calls. Nothing is known of the time before.
}

func TestGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		past := history.New(history.Config{})
		pool, err := resilience.NewPool(past, resilience.Models(resilience.ModelInfo{ID: "a"}))
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = pool.Run(ctx) })
		time.Sleep(5 * time.Minute)
		stop()
		running.Wait()
		time.Sleep(30 * time.Minute)
		ctx, stop = context.WithCancel(t.Context())
		running.Go(func() { _ = pool.Run(ctx) })
		time.Sleep(5 * time.Minute)
		stop()
		running.Wait()
		var observed time.Duration
		rows := past.Rows(history.Series{Model: "a"}, time.Now().Add(-2*time.Hour), time.Now().Add(time.Hour), time.Minute)
		for _, r := range rows {
			observed += r.Observed
		}
		require.InDelta(t, 10*time.Minute, observed, float64(time.Second))
		require.LessOrEqual(t, len(rows), 12)
	})
}

// Whoever is on call is told of what is unusual.
func ExampleHistory_Anomalies() {
	past := history.New(history.Config{})
	alerts := alert.New(alert.Config{Rules: map[string]alert.Rule{
		"unusual": {Func: func(_ context.Context, s alert.Subject) (float64, bool) {
			return float64(len(past.Anomalies(s.Models...))), true
		}},
	}})
	if _, err := resilience.NewPool(past, alerts); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(past.Anomalies()), "unusual")
	// Output: 0 unusual
}

package notify_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

// lines is a logger without times, and what it has written.
func lines() (*slog.Logger, *bytes.Buffer) {
	var out bytes.Buffer
	return slog.New(slog.NewTextHandler(&out, untimed)), &out
}

var untimed = &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}}

func TestLogLine(t *testing.T) {
	for _, c := range []struct {
		change func(n *notify.Notification)
		want   string
	}{
		{func(*notify.Notification) {}, `level=ERROR msg="Critical (changed): model gpt-5 is unavailable" group=9f2c1e5ab0d4c377.t2x4k reason=changed severity=critical firing=1 resolved=1 more=0 rules=[model_unavailable] models="[gpt-5 <o3>]"`},
		{func(n *notify.Notification) { n.Severity, n.Reason = notify.Warning, notify.New }, `level=WARN msg="Warning: `},
		{func(n *notify.Notification) { n.Severity, n.Reason = notify.Info, notify.Escalated }, `level=INFO msg="Info (nobody has acknowledged it): `},
		{func(n *notify.Notification) { n.Severity, n.Reason = 0, notify.Repeated }, `level=INFO msg="Alert (it goes on): `},
		{func(n *notify.Notification) { *n = ended(*n) }, `level=INFO msg="Resolved: model gpt-5 is unavailable, and 1 more"`},
		{func(n *notify.Notification) { n.Alerts = nil }, `level=INFO msg="Critical (changed): group 9f2c1e5ab0d4c377.t2x4k"`},
		{func(n *notify.Notification) { n.Alerts[0].Summary, n.Truncated = "", 2 }, `msg="Critical (changed): model_unavailable, and 2 more"`},
		{func(n *notify.Notification) { n.Alerts[0].Summary = "a\nlevel=INFO b" }, `msg="Critical (changed): a level=INFO b"`},
	} {
		n := twoModels()
		c.change(&n)
		logger, out := lines()
		require.NoError(t, notify.NewLog(logger).Notify(t.Context(), n))
		require.Contains(t, out.String(), c.want)
		require.Equal(t, 1, strings.Count(out.String(), "\n"))
	}
}

func TestLogLineIsBounded(t *testing.T) {
	n := twoModels()
	for i := range 1000 {
		a := n.Alerts[0]
		a.Rule, a.Labels = strings.Repeat("é", 1000)+fmt.Sprint(i%30), map[string]string{"model": fmt.Sprint("m", i)}
		n.Alerts = append(n.Alerts, a)
	}
	logger, out := lines()
	require.NoError(t, notify.NewLog(logger).Notify(t.Context(), n))
	require.Contains(t, out.String(), `m7 …]"`)
	require.Less(t, out.Len(), 4000)
}

func TestLogWithoutALogger(t *testing.T) {
	logger, out := lines()
	old := slog.Default()
	slog.SetDefault(logger)
	defer slog.SetDefault(old)
	c := notify.NewLog(nil)
	require.Equal(t, "log", c.Name())
	require.NoError(t, c.Notify(t.Context(), twoModels()))
	require.Contains(t, out.String(), "gpt-5")
}

func TestFuncWithoutAFunction(t *testing.T) {
	require.ErrorContains(t, notify.Func("f", nil).Notify(t.Context(), twoModels()), "the channel f has no function")
}

func ExampleNewLog() {
	c := notify.NewLog(slog.New(slog.NewTextHandler(os.Stdout, untimed)))
	_ = c.Notify(context.Background(), notify.Notification{
		Group: "9f2c1e5ab0d4c377.t2x4k", Reason: notify.New, Severity: notify.Warning,
		Alerts: []notify.Alert{{Rule: "slow_model", Summary: "model gpt-5 takes 12s", Labels: map[string]string{"model": "gpt-5"}}},
	})
	// Output:
	// level=WARN msg="Warning: model gpt-5 takes 12s" group=9f2c1e5ab0d4c377.t2x4k reason=new severity=warning firing=1 resolved=0 more=0 rules=[slow_model] models=[gpt-5]
}

// A channel of one's own is a function. Behind an outbox it is tried again, and
// nobody waits for it.
func ExampleFunc() {
	told := make(chan string)
	outbox := notify.NewOutbox(notify.Config{Channels: []notify.Channel{
		notify.Func("desk", func(_ context.Context, n notify.Notification) error {
			told <- n.Alerts[0].Summary
			return nil
		}),
	}})
	pool, err := resilience.NewPool(outbox)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- pool.Run(ctx) }()
	err = outbox.Send("desk", notify.Notification{Group: "g", Reason: notify.New, Alerts: []notify.Alert{{Summary: "model gpt-5 takes 12s"}}})
	fmt.Println(err, <-told)
	stop()
	fmt.Println(<-done)
	// Output:
	// <nil> model gpt-5 takes 12s
	// <nil>
}

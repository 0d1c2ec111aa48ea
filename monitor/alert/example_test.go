package alert_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor/alert"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

// lines is a channel that hands on what it would tell people.
type lines chan string

func (lines) Name() string { return "lines" }

func (l lines) Notify(_ context.Context, n notify.Notification) error {
	for _, a := range n.Alerts {
		l <- fmt.Sprintf("%v, %v: %s", n.Reason, a.Severity, a.Summary)
	}
	return nil
}

// Two rules lie over the default ones: one is of a metric, the other of a function.
func ExampleNew() {
	told := make(lines, 10)
	alerts := alert.New(alert.Config{
		Rules: map[string]alert.Rule{
			"long_queue": {Metric: "queue", Threshold: 100, Severity: "critical", KeepFiringFor: -1},
			"few_models": {Per: "provider", Op: "<", Threshold: 2, Func: func(_ context.Context, s alert.Subject) (float64, bool) {
				return float64(len(s.Models)), true
			}},
		},
		Routes:   []alert.Route{{Channel: told}},
		Interval: 100 * time.Millisecond, GroupWait: -1, GroupWaitCritical: -1,
	})
	pool, err := resilience.NewPool(alerts, resilience.Models(resilience.ModelInfo{ID: "gpt-5", Provider: "openai"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- pool.Run(ctx) }()

	fmt.Println(<-told)
	pool.Model("gpt-5").Queue(120)
	fmt.Println(<-told)
	pool.Model("gpt-5").Queue(-120)
	fmt.Println(<-told)
	stop()
	fmt.Println(<-done)
	// Output:
	// new, warning: provider openai: few_models is 1
	// new, critical: model gpt-5: 120 attempts wait for room
	// resolved, critical: model gpt-5: 120 attempts wait for room
	// <nil>
}

// An outbox stands before channels that are other people's servers: each goes at its own
// pace, and what fails is tried again. Pool.Run runs all of it. Here Slack is a server of
// the example's, which HTTP lets it post to; Slack itself needs none of that.
func ExampleNew_slack() {
	posted := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message struct{ Text string }
		_ = json.NewDecoder(r.Body).Decode(&message)
		posted <- message.Text
	}))
	defer server.Close()
	local := notify.HTTP{AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

	slack, err := notify.NewSlack(notify.SlackConfig{URL: resilience.NewSecret(server.URL + "/services/T0/B0/key"), HTTP: local})
	if err != nil {
		fmt.Println(err)
		return
	}
	outbox := notify.NewOutbox(notify.Config{Channels: []notify.Channel{slack}})
	alerts := alert.New(alert.Config{
		Routes: []alert.Route{{Channel: outbox.Channel("slack")}},
		Rules:  map[string]alert.Rule{"long_queue": {Metric: "queue", Threshold: 100, Severity: "critical"}},
	})
	pool, err := resilience.NewPool(outbox, alerts, resilience.Models(resilience.ModelInfo{ID: "gpt-5"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- pool.Run(ctx) }()

	pool.Model("gpt-5").Queue(120)
	fmt.Println(<-posted)
	stop()
	fmt.Println(<-done)
	// Output:
	// Critical: model gpt-5: 120 attempts wait for room
	// <nil>
}

// Mutes outlast the process, as all that fires does.
func ExampleAlerts_Snapshot() {
	alerts := alert.New(alert.Config{})
	if _, err := resilience.NewPool(alerts); err != nil {
		fmt.Println(err)
		return
	}
	_, err := alerts.Mute(context.Background(), map[string]string{"provider": "openai"}, resilience.Control{
		Actor: "mia", Reason: "announced maintenance", Until: time.Now().Add(2 * time.Hour),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	saved := alerts.Snapshot() // to a file

	next := alert.New(alert.Config{})
	if _, err := resilience.NewPool(next); err != nil {
		fmt.Println(err)
		return
	}
	if err := next.Restore(saved); err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range next.Mutes() {
		fmt.Println(m.Match, m.Actor, m.Why)
	}
	// Output: map[provider:openai] mia announced maintenance
}

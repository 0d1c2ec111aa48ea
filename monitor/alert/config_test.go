package alert_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor/alert"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

func TestConfigIsChecked(t *testing.T) {
	in := &inbox{name: "in"}
	rules := func(r alert.Rule) alert.Config { return alert.Config{Rules: map[string]alert.Rule{"mine": r}} }
	for want, cfg := range map[string]alert.Config{
		`alert.rules.mine: measures nothing`:                rules(alert.Rule{}),
		`did you mean "error_rate"?`:                        rules(alert.Rule{Metric: "eror_rate"}),
		`alert.rules.mine.clear: is on the wrong side`:      rules(alert.Rule{Metric: "error_rate", Threshold: .1, Clear: .2}),
		`alert.rules.mine.window: is more than 5m0s`:        rules(alert.Rule{Metric: "error_rate", Window: time.Hour}),
		`call_error_rate is of the pool alone`:              rules(alert.Rule{Metric: "call_error_rate"}),
		`"severe" is none of info, warning, critical`:       rules(alert.Rule{Metric: "error_rate", Severity: "severe"}),
		`alert.rules.Mine: is no name`:                      {Rules: map[string]alert.Rule{"Mine": {Metric: "queue"}}},
		`is a name of the package's own`:                    {Rules: map[string]alert.Rule{"budget_burn": {Off: true}}},
		`there is no rule "model_unavailble"; did you mean`: {Inhibit: []alert.Inhibition{{By: "model_unavailble"}}},
		`alert.routes[0]: has no channel`:                   {Routes: []alert.Route{{}}},
		`alert.routes[0]: has a severity or a level`:        {Routes: []alert.Route{{Channel: in, Severity: 9}}},
		`alert.routes: are 65, more than 64`:                {Routes: make([]alert.Route, 65)},
		`alert.objectives.calls.target`:                     {Objectives: map[string]alert.Objective{"calls": {Target: 99}}},
		`alert.interval`:                                    {Interval: -1},
	} {
		_, err := resilience.NewPool(alert.New(cfg))
		require.ErrorContains(t, err, want)
	}
	a := alert.New(alert.Config{})
	_, err := resilience.NewPool(a)
	require.NoError(t, err)
	_, err = resilience.NewPool(a)
	require.ErrorContains(t, err, "another pool")
}

// Rules of a file lie over those of the program one by one.
func TestFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := queueing(t, alert.Config{}, "a-1", "b-1")
		r.queue("a-1", 6)
		r.queue("b-1", 6)
		require.NoError(t, r.pool.Reload(t.Context(), []byte(`{"alert": {"rules": {
			"five": {"metric": "queue", "threshold": 5, "only": ["b-1"], "severity": "critical", "description": "Call Ann.", "runbook": "https://x/y"}
		}}}`), by))
		time.Sleep(20 * time.Second)
		a := r.inbox.all()[0].Alerts[0]
		require.Equal(t, []string{"new critical: five/b-1"}, r.inbox.take())
		require.Equal(t, "Call Ann.", a.Description)
		require.Equal(t, "https://x/y", a.Runbook)
		require.Equal(t, "model b-1: 6 attempts wait for room", a.Summary)
		err := r.pool.Reload(t.Context(), []byte(`{"alert": {"rules": {"five": {"metric": "queues", "threshhold": 5}}}}`), by)
		require.ErrorContains(t, err, "alert.rules.five.threshhold")
		require.Contains(t, r.alerts.String(), "interval=5s")
	})
}

// A pool whose calls fail spends its error budget, and one alert says so.
func TestErrorBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := build(t, alert.Config{
			Rules: only(map[string]alert.Rule{}), Objectives: map[string]alert.Objective{"calls": {Off: true}, "chat": {Target: .9, Op: "chat"}, "quick": {Op: "chat", Within: time.Millisecond, MinCalls: 1e9}},
		}, infos("a-1")).run()
		ask := func(d time.Duration, op string) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
				_, _, _ = r.Do(t.Context(), "", resilience.CallOptions{Op: op})
			}
		}
		ask(2*time.Hour, "chat")
		r.fail("a-1", errDown)
		ask(time.Hour, "other")
		r.fail("a-1", resilience.Invalid)
		ask(time.Hour, "chat")
		require.Empty(t, r.inbox.take())
		r.fail("a-1", errDown)
		ask(5*time.Hour, "chat")
		require.Equal(t, []string{"new critical: budget_burn/chat"}, r.inbox.take()[:1])
		require.NoError(t, r.alerts.Restore(r.alerts.Snapshot()))
		r.fail("a-1", nil)
		ask(7*time.Hour, "chat")
		require.Contains(t, r.inbox.take(), "resolved critical: -budget_burn/chat")
		for _, a := range r.alerts.Active() {
			require.NotEqual(t, notify.Critical, a.Severity)
		}
	})
}

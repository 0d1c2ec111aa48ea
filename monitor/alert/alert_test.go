package alert_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor/alert"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

// Three failures in a row for ten seconds are an alert, told of after five more, and
// five minutes of success its end.
func TestModelUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := build(t, alert.Config{}, named("a-1", "b-1")).run()
		r.calls(20*time.Second, "a-1", "b-1")
		r.fail("a-1", errDown)
		began := time.Now()
		r.calls(16*time.Second, "a-1", "b-1")
		require.Empty(t, r.inbox.lines())
		r.calls(4*time.Second, "a-1", "b-1")
		require.Equal(t, []string{"new warning: model_unavailable/a-1"}, r.inbox.lines())
		n := r.inbox.all()[0]
		require.WithinDuration(t, began.Add(17*time.Second), n.Time, 2*time.Second)
		require.Regexp(t, `^[a-z0-9.]{18,64}$`, n.Group)
		a := n.Alerts[0]
		require.Equal(t, map[string]string{"model": "a-1", "name": "gpt", "provider": "a"}, a.Labels)
		require.Regexp(t, `^model a-1: \d+ failures in a row$`, a.Summary)
		require.Equal(t, "https://github.com/cmmv-hive/resilience/blob/main/docs/runbook.md#model_unavailable", a.Runbook)
		require.Regexp(t, `^[0-9a-f]{16}$`, a.Fingerprint)
		require.WithinDuration(t, began.Add(12*time.Second), a.StartsAt, 2*time.Second)
		require.GreaterOrEqual(t, a.Value, 3.0)
		require.Equal(t, 3.0, a.Threshold)
		r.fail("a-1", nil)
		r.calls(299*time.Second, "a-1", "b-1")
		require.Len(t, r.inbox.lines(), 1)
		r.calls(10*time.Second, "a-1", "b-1")
		require.Equal(t, []string{"new warning: model_unavailable/a-1", "resolved warning: -model_unavailable/a-1"}, r.inbox.lines())
		require.Equal(t, n.Group, r.inbox.all()[1].Group)
		require.Empty(t, r.active())
		require.Equal(t, a.Fingerprint, r.alerts.History(10)[0].Fingerprint)
		require.Equal(t, int64(2), r.alerts.Counts().Channels[0].Sent)
	})
}

// A blip of a few seconds is none.
func TestBlip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := build(t, alert.Config{}, infos("a-1")).run()
		for range 50 {
			r.fail("a-1", errDown)
			r.calls(5*time.Second, "a-1")
			r.fail("a-1", nil)
			r.calls(2*time.Minute, "a-1")
		}
		require.Empty(t, r.inbox.lines())
	})
}

// One in four attempts fails.
func TestHighFailureRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := build(t, alert.Config{}, infos("a-1")).run()
		step := func(n int) {
			for range n {
				r.fail("a-1", errDown)
				r.calls(time.Second, "a-1")
				r.fail("a-1", nil)
				r.calls(3*time.Second, "a-1")
			}
		}
		step(40)
		require.Equal(t, []string{"new warning: high_failure_rate/a-1"}, r.inbox.lines())
		require.InDelta(t, .25, r.inbox.all()[0].Alerts[0].Value, .05)
		r.calls(11*time.Minute, "a-1")
		require.Equal(t, []string{"resolved warning: -high_failure_rate/a-1"}, r.inbox.lines()[1:])
	})
}

// With all models of a name down, and those of the pool, one page says so.
func TestLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		models := infos("a-1", "b-1", "c-1", "c-2")
		models[0].Name, models[1].Name = "gpt", "gpt"
		r := build(t, alert.Config{}, models).run()
		ids := []string{"a-1", "b-1", "c-1", "c-2"}
		r.calls(20*time.Second, ids...)
		r.fail("a-1", errDown)
		r.calls(2*time.Minute, ids...)
		require.Equal(t, []string{"new warning: model_unavailable/a-1"}, r.inbox.take())
		r.fail("b-1", errDown)
		r.calls(25*time.Second, ids...)
		require.Equal(t, []string{"new critical: name_lost/gpt"}, r.inbox.take())
		r.fail("c-1", errDown)
		r.fail("c-2", errDown)
		r.calls(25*time.Second, ids...)
		require.Equal(t, []string{"new critical: pool_lost"}, r.inbox.take())
		for _, id := range ids {
			r.fail(id, nil)
		}
		r.calls(10*time.Minute, ids...)
		require.ElementsMatch(t, []string{
			"resolved warning: -model_unavailable/a-1", "resolved critical: -name_lost/gpt",
			"resolved critical: -pool_lost",
		}, r.inbox.take())
	})
}

// A name of one model is lost when a call that asks for it fails.
func TestLossOfASingleModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := build(t, alert.Config{}, infos("a-1", "b-1")).run()
		r.calls(10*time.Second, "a-1", "b-1")
		r.fail("a-1", errDown)
		r.calls(time.Minute, "a-1", "b-1")
		require.Contains(t, r.inbox.lines(), "new critical: name_lost/a-1")
	})
}

func TestKeyRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := build(t, alert.Config{}, infos("a-1", "a-2", "b-1")).run()
		ids := []string{"a-1", "a-2", "b-1"}
		r.fail("a-1", resilience.Unauthorized)
		r.fail("b-1", resilience.QuotaSpent)
		r.calls(time.Second, ids...)
		require.Empty(t, r.inbox.take())
		r.calls(10*time.Second, ids...)
		require.Equal(t, []string{"new critical: key_refused/a", "new critical: key_spent/b"}, r.inbox.take())
		r.fail("a-1", nil)
		r.fail("b-1", nil)
		r.calls(3*time.Minute, ids...)
		require.ElementsMatch(t, []string{"resolved critical: -key_refused/a", "resolved critical: -key_spent/b"}, r.inbox.take())
	})
}

// One key of two that is refused is told of, though the model answers.
func TestKeyOfSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := resilience.ModelInfo{ID: "a-1", Provider: "a", Keys: []string{"good", "bad"}}
		in := &inbox{name: "in"}
		alerts := alert.New(alert.Config{Routes: []alert.Route{{Channel: in}}})
		pool, err := resilience.NewPool(alerts, resilience.Models(model))
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, resilience.BindAll(func(ctx context.Context, _ *resilience.Model, _ string) (string, error) {
			if resilience.KeyFrom(ctx) == "bad" {
				return "", resilience.Unauthorized
			}
			return "", nil
		}))
		require.NoError(t, err)
		r := &rig{T: t, Client: client, pool: pool, alerts: alerts, inbox: in}
		r.run()
		r.calls(time.Minute, "a-1")
		require.Equal(t, []string{"new critical: key_refused/a"}, in.lines())
		require.Equal(t, "provider a: 1 of its keys are refused", in.all()[0].Alerts[0].Summary)
	})
}

func TestConfigRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := build(t, alert.Config{}, infos("a-1")).run()
		require.Error(t, r.pool.Reload(t.Context(), []byte(`{"alert": {"intervall": "1s"}}`), by))
		time.Sleep(3 * time.Second)
		require.Equal(t, []string{"new critical: config_refused"}, r.inbox.take())
		require.NoError(t, r.pool.Reload(t.Context(), []byte(`{"alert": {"interval": "2s"}}`), by))
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"resolved critical: -config_refused"}, r.inbox.take())
	})
}

// What is not critical does not come to a channel that is for pages, and a channel at a
// further level is told when nobody has acknowledged it.
func TestRoutesAndLevels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second, third, pager := &inbox{name: "1"}, &inbox{name: "2"}, &inbox{name: "3"}, &inbox{name: "pager"}
		r := build(t, alert.Config{Routes: []alert.Route{
			{Channel: first}, {Channel: second, Level: 1}, {Channel: third, Level: 2},
			{Channel: pager, Severity: notify.Critical}, {Channel: pager, Match: map[string]string{"provider": "b"}},
		}}, named("a-1", "b-1")).run()
		r.calls(10*time.Second, "a-1", "b-1")
		r.fail("a-1", errDown)
		r.keepCalling(34*time.Minute, "a-1", "b-1")
		time.Sleep(4 * time.Minute)
		require.Equal(t, []string{"new warning: model_unavailable/a-1"}, first.lines()[:1])
		require.NotContains(t, pager.lines(), "new warning: model_unavailable/a-1")
		require.Empty(t, second.lines())
		time.Sleep(2 * time.Minute)
		require.Equal(t, []string{"escalated warning: model_unavailable/a-1"}, second.lines())
		require.Empty(t, third.lines())
		require.NoError(t, r.alerts.Ack(t.Context(), first.all()[0].Alerts[0].Fingerprint, by))
		time.Sleep(20 * time.Minute)
		require.Empty(t, third.lines(), "it is acknowledged")
		r.fail("a-1", nil)
		time.Sleep(6 * time.Minute)
		require.Equal(t, []string{"resolved warning: -model_unavailable/a-1"}, second.lines()[1:])
		require.Equal(t, "mia", r.alerts.History(1)[0].AckedBy)
	})
}

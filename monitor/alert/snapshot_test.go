package alert_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor/alert"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

// A process that goes on where another ended tells nothing twice and misses no end, not
// even one that the other did not get to tell.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two, models := &inbox{name: "one"}, &inbox{name: "two"}, []string{"a-1", "b-1", "c-1", "d-1"}
		cfg := alert.Config{Routes: []alert.Route{{Channel: one}, {Channel: two}}, GroupBy: "model", Repeat: 4 * time.Hour}
		r := queueing(t, cfg, models...)
		for _, id := range models {
			r.queue(id, 11)
		}
		time.Sleep(time.Minute)
		require.Len(t, one.take(), 4)
		require.Len(t, two.take(), 4)
		for _, a := range r.alerts.Active() {
			if a.Labels["model"] == "d-1" {
				require.NoError(t, r.alerts.Ack(t.Context(), a.Fingerprint, by))
			}
		}
		_, err := r.alerts.Mute(t.Context(), map[string]string{"model": "c-1"}, resilience.Control{Actor: "mia", Reason: "why", Until: time.Now().Add(time.Hour)})
		require.NoError(t, err)
		two.set(errBroken, false, false)
		r.queue("b-1", 0) // of which only one is told
		time.Sleep(time.Minute)
		require.Equal(t, []string{"resolved warning: -queue/b-1"}, one.take())
		r.stop()
		saved := r.alerts.Snapshot()

		time.Sleep(5 * time.Minute)
		two.set(nil, false, false)
		r = build(t, alert.Config{
			Rules: only(map[string]alert.Rule{"queue": queueRule}), Routes: []alert.Route{{Channel: two}, {Channel: one}}, GroupBy: "model", Repeat: 4 * time.Hour,
		}, infos("a-1", "c-1", "d-1"))
		require.NoError(t, r.alerts.Restore(saved))
		require.Equal(t, string(saved[:12]), string(r.alerts.Snapshot()[:12]))
		r.queue("a-1", 11)
		r.queue("c-1", 11)
		r.queue("d-1", 11)
		r.run()
		time.Sleep(time.Hour)
		require.Empty(t, one.take(), "it knows all of it")
		require.Equal(t, []string{"resolved warning: -queue/b-1"}, two.take())
		for _, a := range r.alerts.Active() {
			require.Equal(t, map[string]string{"d-1": "mia"}[a.Labels["model"]], a.AckedBy)
		}
		require.Empty(t, r.alerts.Mutes(), "its hour is over")
		for _, id := range []string{"a-1", "c-1", "d-1"} {
			r.queue(id, 0)
		}
		time.Sleep(time.Minute)
		require.Len(t, one.take(), 3)
		require.Len(t, two.take(), 3)
	})
}

// Just after a start there is nothing to measure, which ends nothing.
func TestRestartWithoutCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{name: "in"}
		r := build(t, alert.Config{Routes: []alert.Route{{Channel: in}}}, named("a-1", "b-1"))
		r.run()
		r.calls(10*time.Second, "b-1")
		r.fail("a-1", errDown)
		r.calls(18*time.Second, "a-1", "b-1")
		require.Equal(t, []string{"new warning: model_unavailable/a-1"}, in.take())
		r.stop()
		saved := r.alerts.Snapshot()
		r = build(t, alert.Config{Routes: []alert.Route{{Channel: in}}}, named("a-1", "b-1"))
		require.NoError(t, r.alerts.Restore(saved))
		r.run()
		r.calls(9*time.Minute, "b-1")
		require.Empty(t, in.take())
		r.calls(8*time.Minute, "a-1", "b-1")
		require.Equal(t, []string{"resolved warning: -model_unavailable/a-1"}, in.take())
	})
}

// A restored alert whose rule is gone ends.
func TestRestartWithoutTheRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := queueing(t, alert.Config{}, "a-1")
		r.queue("a-1", 11)
		time.Sleep(20 * time.Second)
		r.stop()
		saved, in := r.alerts.Snapshot(), r.inbox
		in.take()
		r = build(t, alert.Config{Routes: []alert.Route{{Channel: in, Severity: notify.Info}}}, infos("a-1"))
		require.NoError(t, r.alerts.Restore(saved))
		r.run()
		time.Sleep(20 * time.Second)
		require.Equal(t, []string{"resolved warning: -queue/a-1"}, in.take())
	})
}

func TestRestoreRefuses(t *testing.T) {
	good := `{"version":1,"at":"2026-01-01T00:00:00Z","alerts":[{"rule":"queue","per":"model","name":"a-1","labels":{"model":"a-1"},"severity":"warning","what":"x","value":1,"limit":1,"starts":"2026-01-01T00:00:00Z","group":"rule:queue","id":"abc.1"}],"mutes":[{"id":"1","match":{"rule":"x"},"actor":"a","why":"b","since":"2026-01-01T00:00:00Z","until":"2027-01-01T00:00:00Z"}],"objectives":{"calls":{"age":1,"buckets":[[1,2,1]]}}}`
	r := build(t, alert.Config{}, infos("a-1"))
	require.NoError(t, r.alerts.Restore([]byte(good)))
	for name, change := range map[string][2]string{
		"empty": {good, ""}, "cut": {`}}`, `}`}, "goes on after": {`]]}}}`, `]]}}}{}`}, "version 2": {`"version":1`, `"version":2`}, "unknown field": {`"per"`, `"pers"`},
		"has a rule": {`"rule":"queue"`, `"rule":"Que ue"`}, "is of nothing": {`"per":"model"`, `"per":"x"`}, "severity": {`"severity":"warning"`, `"severity":"fatal"`},
		"text": {`"what":"x"`, `"what":"` + strings.Repeat("x", 2000) + `"`}, "ends before": {`"starts":"2026`, `"ends":"2025-01-01T00:00:00Z","starts":"2026`},
		"counts": {`"id":"abc.1"`, `"id":"abc.1","flaps":-1`}, "group": {`abc.1`, `a b`}, "mutes[0]": {`"match":{"rule":"x"}`, `"match":{}`}, "objectives": {`[1,2,1]`, `[1,1,2]`}, "cannot be": {`"age":1`, `"age":-1`},
	} {
		r := build(t, alert.Config{}, infos("a-1"))
		bad := strings.Replace(good, change[0], change[1], 1)
		require.NotEqual(t, good, bad, name)
		err := r.alerts.Restore([]byte(bad))
		require.Error(t, err, name)
		if name != "empty" && name != "cut" {
			require.ErrorContains(t, err, strings.TrimSpace(name))
		}
		require.Empty(t, r.alerts.Active())
		require.Empty(t, r.alerts.Mutes())
	}
}

// FuzzRestore takes in anything, or refuses it, and goes on.
func FuzzRestore(f *testing.F) {
	f.Add([]byte(`{"version":1,"at":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"version":1,"at":"2026-01-01T00:00:00Z","alerts":[{"rule":"queue","per":"model","name":"a-1","labels":{"model":"a-1"},"severity":"warning","what":"x","value":1,"limit":1,"starts":"2026-01-01T00:00:00Z","group":"rule:queue","id":"abc.1","told":["in@0"]}]}`))
	f.Add([]byte(`{"version":1,"at":"1026-01-01T00:00:00Z","mutes":[{"id":"9","match":{"rule":"*"},"actor":"a","why":"b","since":"2026-01-01T00:00:00Z","until":"2927-01-01T00:00:00Z"}],"objectives":{"calls":{"age":9223372036854775807,"buckets":[[863,4294967295,4294967295]]}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		synctest.Test(t, func(t *testing.T) {
			in := &inbox{name: "in"}
			r := build(t, alert.Config{Routes: []alert.Route{{Channel: in}}}, infos("a-1"))
			if r.alerts.Restore(data) != nil {
				require.Empty(t, r.alerts.Active())
				return
			}
			text := r.alerts.Snapshot()
			require.NotNil(t, text)
			again := build(t, alert.Config{Routes: []alert.Route{{Channel: in}}}, infos("a-1"))
			require.NoError(t, again.alerts.Restore(text), "%s", text)
			r.run()
			time.Sleep(30 * time.Minute)
			require.Empty(t, r.alerts.Active())
			for _, n := range in.all() {
				for _, a := range n.Alerts {
					require.False(t, a.Firing() && n.Reason == notify.Resolved)
				}
			}
		})
	})
}

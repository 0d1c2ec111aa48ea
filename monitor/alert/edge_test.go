package alert_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/simtest"
	"github.com/cmmv-hive/resilience/monitor/alert"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

// queueRule fires at once for models that attempts wait at.
var queueRule = alert.Rule{Metric: "queue", Threshold: 10, KeepFiringFor: -1}

// queueing is a rig whose only rule is about queues, which are as the test says.
func queueing(t *testing.T, cfg alert.Config, ids ...string) *rig {
	t.Helper()
	if cfg.Rules == nil {
		cfg.Rules = map[string]alert.Rule{"queue": queueRule}
	}
	cfg.Rules = only(cfg.Rules)
	return build(t, cfg, infos(ids...)).run()
}

// queue makes n attempts wait at a model.
func (r *rig) queue(id string, n int64) {
	m := r.pool.Model(id)
	m.Queue(n - m.Queued())
}

const models2 = `{"models": [{"id": "b-1", "provider": "b"}]}`

// A model that a reload takes away ends its alert, and says why.
func TestModelIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := queueing(t, alert.Config{}, "a-1", "b-1")
		r.queue("a-1", 11)
		time.Sleep(11 * time.Second)
		require.Equal(t, []string{"new warning: queue/a-1"}, r.inbox.take())
		require.NoError(t, r.pool.Reload(t.Context(), []byte(models2), by))
		time.Sleep(6 * time.Second)
		n := r.inbox.all()[0].Alerts[0]
		require.Equal(t, []string{"resolved warning: -queue/a-1"}, r.inbox.take())
		require.Equal(t, "What it was about is no longer configured.", n.Description)
		require.Empty(t, r.active())
	})
}

func TestRuleIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := queueing(t, alert.Config{}, "a-1")
		r.queue("a-1", 11)
		time.Sleep(11 * time.Second)
		require.NoError(t, r.pool.Reload(t.Context(), []byte(`{"alert": {"rules": {"queue": {"off": true}}}}`), by))
		time.Sleep(6 * time.Second)
		require.Equal(t, "Its rule is there no more.", r.inbox.all()[1].Alerts[0].Description)
		require.Equal(t, []string{"new warning: queue/a-1", "resolved warning: -queue/a-1"}, r.inbox.take())
		require.NoError(t, r.pool.Reload(t.Context(), []byte(`{}`), by))
		time.Sleep(11 * time.Second)
		require.Equal(t, []string{"new warning: queue/a-1"}, r.inbox.take())
	})
}

// What a person takes out of rotation is not wrong.
func TestModelIsTakenOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := queueing(t, alert.Config{}, "a-1", "b-1")
		r.queue("a-1", 11)
		time.Sleep(11 * time.Second)
		require.NoError(t, r.pool.Model("a-1").Drain(t.Context(), by))
		require.NoError(t, r.pool.Model("b-1").Drain(t.Context(), by))
		r.queue("b-1", 11)
		time.Sleep(11 * time.Second)
		require.Equal(t, []string{"new warning: queue/a-1", "resolved warning: -queue/a-1"}, r.inbox.lines())
		require.Equal(t, "It was taken out of rotation by hand.", r.inbox.all()[1].Alerts[0].Description)
	})
}

func TestPoolDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := queueing(t, alert.Config{}, "a-1", "b-1")
		r.queue("a-1", 11)
		time.Sleep(11 * time.Second)
		require.NoError(t, r.pool.Drain(t.Context()))
		r.queue("b-1", 11)
		time.Sleep(time.Minute)
		require.Equal(t, []string{"new warning: queue/a-1"}, r.inbox.take())
		r.queue("a-1", 0)
		time.Sleep(6 * time.Second)
		require.Equal(t, []string{"resolved warning: -queue/a-1"}, r.inbox.take())
	})
}

// While nobody runs the pool nothing is about to fire, and what fires is not new.
func TestRunStopsAndStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pending := queueRule
		pending.For = 30 * time.Second
		r := queueing(t, alert.Config{Rules: map[string]alert.Rule{"queue": queueRule, "long": pending}}, "a-1", "b-1")
		r.queue("a-1", 11)
		time.Sleep(20 * time.Second)
		require.Equal(t, []string{"new warning: queue/a-1"}, r.inbox.take())
		r.stop()
		time.Sleep(time.Hour)
		r.run()
		time.Sleep(29 * time.Second)
		require.Empty(t, r.inbox.take())
		time.Sleep(20 * time.Second)
		require.Equal(t, []string{"new warning: long/a-1"}, r.inbox.take())
		r.inbox.set(nil, true, false)
		r.queue("b-1", 11)
		time.Sleep(2 * time.Minute)
		r.stop()
		r.inbox.set(nil, false, false)
		require.Zero(t, r.alerts.Counts().Channels[0].Waiting)
		r.run()
		time.Sleep(10 * time.Second)
		require.ElementsMatch(t, []string{"changed warning: queue/a-1 queue/b-1", "changed warning: long/a-1 long/b-1"}, r.inbox.take(), "what was on its way")
	})
}

// What lasts goes by a clock that nobody sets.
func TestClockSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := queueing(t, alert.Config{Repeat: time.Hour}, "a-1")
		r.queue("a-1", 11)
		time.Sleep(time.Minute)
		require.Equal(t, []string{"new warning: queue/a-1"}, r.inbox.take())
		for _, step := range []time.Duration{2 * time.Hour, -5 * time.Hour} {
			r.stop()
			simtest.SetClock(r.pool, step)
			r.run()
			time.Sleep(time.Minute)
			require.Empty(t, r.inbox.take())
		}
		r.queue("a-1", 0)
		time.Sleep(time.Minute)
		a := r.alerts.History(1)[0]
		require.False(t, a.EndsAt.Before(a.StartsAt))
		require.Equal(t, []string{"resolved warning: -queue/a-1"}, r.inbox.take())
	})
}

// A function that panics, ends its goroutine or does not return breaks its own rule.
func TestFunctions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		do := func() {}
		set := func(f func()) {
			mu.Lock()
			defer mu.Unlock()
			do = f
		}
		value := func(ctx context.Context, s alert.Subject) (float64, bool) {
			mu.Lock()
			f := do
			mu.Unlock()
			f()
			return float64(len(s.Models)), s.Name != "a-2"
		}
		r := queueing(t, alert.Config{Rules: map[string]alert.Rule{
			"queue": queueRule,
			"mine":  {Func: value, Threshold: 1, Op: ">=", KeepFiringFor: -1, Only: []string{"a-1", "a-2"}},
		}}, "a-1", "a-2", "b-1")
		time.Sleep(20 * time.Second)
		require.Equal(t, []string{"new warning: mine/a-1"}, r.inbox.take())
		require.Equal(t, "model a-1: mine is 1", r.alerts.Active()[0].Summary)
		r.queue("b-1", 11)
		for _, f := range []func(){func() { panic("secret") }, runtime.Goexit, func() { time.Sleep(time.Minute) }} {
			set(f)
			time.Sleep(70 * time.Second)
			set(func() {})
			time.Sleep(40 * time.Minute)
		}
		lines := r.inbox.take()
		require.Contains(t, lines, "new warning: queue/b-1", "others go on")
		require.Contains(t, lines, "new warning: rule_broken/mine")
		require.Contains(t, lines, "resolved warning: -rule_broken/mine")
		require.Equal(t, []string{"mine model=a-1 name=a-1 provider=a", "queue model=b-1 name=b-1 provider=b"}, func() []string {
			list := r.active()
			if len(list) == 2 && list[0] > list[1] {
				list[0], list[1] = list[1], list[0]
			}
			return list
		}())
	})
}

// Five thousand models that are down are one notification.
func TestThousandsOfModels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ids []string
		for i := range 5000 {
			ids = append(ids, fmt.Sprintf("a-%d", i))
		}
		r := queueing(t, alert.Config{}, ids...)
		for _, id := range ids {
			r.queue(id, 11)
		}
		time.Sleep(time.Minute)
		require.Len(t, r.inbox.all(), 1)
		n := r.inbox.all()[0]
		require.Len(t, n.Alerts, 50)
		require.Equal(t, 4950, n.Truncated)
		require.Equal(t, 5000, r.alerts.Counts().Firing[notify.Warning])
		require.NoError(t, r.alerts.Restore(r.alerts.Snapshot()))
		for _, id := range ids {
			r.queue(id, 0)
		}
		time.Sleep(time.Minute)
		require.Len(t, r.inbox.all(), 2)
		require.Equal(t, notify.Resolved, r.inbox.all()[1].Reason)
		require.Equal(t, 4950, r.inbox.all()[1].Truncated)
		require.Len(t, r.alerts.History(5000), 1000)
	})
}

// What there is no room for is counted.
func TestNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := queueing(t, alert.Config{MaxAlerts: 2}, "a-1", "a-2", "a-3")
		for _, id := range []string{"a-1", "a-2", "a-3"} {
			r.queue(id, 11)
		}
		time.Sleep(20 * time.Second)
		require.Equal(t, []string{"new warning: queue/a-1 queue/a-2 and 1"}, r.inbox.take())
		require.Equal(t, 1, r.alerts.Counts().Lost)
		require.NotZero(t, r.alerts.Counts().Missed)
		r.queue("a-1", 0)
		time.Sleep(6 * time.Minute)
		require.Zero(t, r.alerts.Counts().Lost)
		require.Contains(t, r.inbox.take(), "changed warning: queue/a-2 queue/a-3")
	})
}

func TestMute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := queueing(t, alert.Config{}, "a-1", "b-1")
		until := func(d time.Duration) resilience.Control {
			return resilience.Control{Actor: "mia", Reason: "upgrade", Until: time.Now().Add(d)}
		}
		ctx := t.Context()
		id, err := r.alerts.Mute(ctx, map[string]string{"provider": "a", "rule": "*"}, until(10*time.Minute))
		require.NoError(t, err)
		require.Equal(t, "mia", r.alerts.Mutes()[0].Actor)
		r.queue("a-1", 11)
		r.queue("b-1", 11)
		time.Sleep(9 * time.Minute)
		require.Equal(t, []string{"new warning: queue/b-1"}, r.inbox.take())
		require.Equal(t, 1, r.alerts.Counts().Muted)
		time.Sleep(2 * time.Minute)
		require.Equal(t, []string{"changed warning: queue/a-1 queue/b-1"}, r.inbox.take(), "it ended while the alert fires")
		require.Empty(t, r.alerts.Mutes())
		require.Error(t, r.alerts.Unmute(ctx, id, by))
		id, err = r.alerts.Mute(ctx, map[string]string{"severity": "warning"}, until(10*time.Minute))
		require.NoError(t, err)
		r.queue("a-1", 0)
		r.queue("b-1", 0)
		time.Sleep(time.Minute)
		require.Equal(t, []string{"resolved warning: -queue/a-1 -queue/b-1"}, r.inbox.take(), "whoever knows of it is told its end")
		require.NoError(t, r.alerts.Unmute(ctx, id, by))
		require.Empty(t, r.alerts.Mutes())
		for _, c := range []struct {
			match map[string]string
			by    resilience.Control
			want  string
		}{
			{nil, until(time.Hour), "match"},
			{map[string]string{"rule": "x"}, by, "control.until: is missing"},
			{map[string]string{"rule": "x"}, until(0), "has passed"},
			{map[string]string{"rule": "x"}, resilience.Control{Actor: "x", Until: time.Now().Add(time.Hour)}, "control.reason"},
		} {
			_, err := r.alerts.Mute(ctx, c.match, c.by)
			require.ErrorContains(t, err, c.want)
		}
		for range 1000 {
			_, err = r.alerts.Mute(ctx, map[string]string{"rule": "x"}, until(time.Hour))
			require.NoError(t, err)
		}
		_, err = r.alerts.Mute(ctx, map[string]string{"rule": "x"}, until(time.Hour))
		require.ErrorContains(t, err, "1000")
	})
}

// An acknowledged alert is not repeated; one that joins it, and is worse, is told of.
func TestAckThenWorse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worse := queueRule
		worse.Threshold, worse.Severity = 100, "critical"
		r := queueing(t, alert.Config{Rules: map[string]alert.Rule{"queue": queueRule, "worse": worse}, GroupBy: "model", Repeat: time.Hour}, "a-1")
		r.queue("a-1", 11)
		time.Sleep(61 * time.Minute)
		require.Equal(t, []string{"new warning: queue/a-1", "repeated warning: queue/a-1"}, r.inbox.take())
		require.ErrorContains(t, r.alerts.Ack(t.Context(), "nothing", by), "no alert that fires")
		require.ErrorContains(t, r.alerts.Ack(t.Context(), r.alerts.Active()[0].Fingerprint, resilience.Control{Actor: "x"}), "reason")
		until := by
		until.Until = time.Now().Add(5 * time.Hour)
		require.NoError(t, r.alerts.Ack(t.Context(), r.alerts.Active()[0].Fingerprint, until))
		time.Sleep(3 * time.Hour)
		require.Empty(t, r.inbox.take())
		r.queue("a-1", 101)
		time.Sleep(time.Minute)
		require.Equal(t, []string{"changed critical: worse/a-1 queue/a-1"}, r.inbox.take())
		time.Sleep(61 * time.Minute)
		require.Equal(t, []string{"repeated critical: worse/a-1 queue/a-1"}, r.inbox.take())
		r.queue("a-1", 11)
		time.Sleep(6 * time.Minute)
		require.Equal(t, []string{"changed critical: queue/a-1 -worse/a-1"}, r.inbox.take())
		time.Sleep(90 * time.Minute)
		require.Equal(t, []string{"repeated warning: queue/a-1"}, r.inbox.take(), "the acknowledgement has run out")
	})
}

// A channel that is slow, dead or panics delays nobody, and is told what is then.
func TestChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, good := &inbox{name: "slow"}, &inbox{name: "good"}
		for name, set := range map[string]func(){
			"slow": func() { slow.set(nil, true, false) }, "dead": func() { slow.set(errBroken, false, false) }, "panics": func() { slow.set(nil, false, true) },
		} {
			set()
			r := queueing(t, alert.Config{Routes: []alert.Route{{Channel: slow}, {Channel: good}}}, "a-1", "a-2")
			r.queue("a-1", 11)
			time.Sleep(11 * time.Second)
			require.Equal(t, []string{"new warning: queue/a-1"}, good.take(), name)
			r.queue("a-2", 11)
			time.Sleep(11 * time.Minute)
			require.Equal(t, []string{"changed warning: queue/a-1 queue/a-2"}, good.take(), name)
			require.Empty(t, slow.lines())
			require.NotZero(t, r.alerts.Counts().Channels[0].Failed)
			r.queue("a-1", 0)
			slow.set(nil, false, false)
			time.Sleep(2 * time.Minute)
			require.Equal(t, []string{"new warning: queue/a-2"}, slow.take(), "of what is over meanwhile it never knew")
			slow.set(errBroken, false, false)
			r.queue("a-2", 0)
			time.Sleep(5 * time.Minute)
			slow.set(nil, false, false)
			time.Sleep(2 * time.Minute)
			require.Equal(t, []string{"resolved warning: -queue/a-2"}, slow.take())
			good.take()
			r.stop()
		}
	})
}

// What comes and goes is one alert, and each end of it is told once.
func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flaps := queueRule
		flaps.KeepFiringFor = time.Minute
		r := queueing(t, alert.Config{Rules: map[string]alert.Rule{"queue": flaps}}, "a-1")
		for range 60 {
			r.queue("a-1", 11)
			time.Sleep(time.Minute)
			r.queue("a-1", 0)
			time.Sleep(90 * time.Second)
		}
		time.Sleep(time.Hour)
		require.Equal(t, []string{"new warning: queue/a-1", "resolved warning: -queue/a-1", "new warning: queue/a-1", "resolved warning: -queue/a-1"}, r.inbox.take())
	})
}

func TestCooldown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cool := queueRule
		cool.Cooldown = time.Hour
		r := queueing(t, alert.Config{Rules: map[string]alert.Rule{"queue": cool}}, "a-1", "a-2")
		once := func(id string) {
			r.queue(id, 11)
			time.Sleep(time.Minute)
			r.queue(id, 0)
			time.Sleep(time.Minute)
		}
		once("a-1")
		once("a-1")
		once("a-2")
		require.Equal(t, []string{"new warning: queue/a-1", "resolved warning: -queue/a-1", "new warning: queue/a-2", "resolved warning: -queue/a-2"}, r.inbox.take(), "it is each model's own")
		r.queue("a-1", 11)
		time.Sleep(time.Hour)
		require.Equal(t, []string{"new warning: queue/a-1"}, r.inbox.take(), "and it fires when that is over")
	})
}

// Between Clear and Threshold an alert that fires goes on, and none begins.
func TestHysteresis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := queueing(t, alert.Config{Rules: map[string]alert.Rule{"queue": {Metric: "queue", Threshold: 10, Clear: 5, KeepFiringFor: -1}}}, "a-1")
		at := func(n int64) int {
			r.queue("a-1", n)
			time.Sleep(time.Minute)
			return len(r.active())
		}
		require.Equal(t, []int{0, 1, 1, 0, 0}, []int{at(8), at(11), at(8), at(5), at(8)})
	})
}

func TestGroupByProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := queueing(t, alert.Config{GroupBy: "provider"}, "a-1", "a-2", "b-1")
		for _, id := range []string{"a-1", "a-2", "b-1"} {
			r.queue(id, 11)
		}
		time.Sleep(time.Minute)
		require.ElementsMatch(t, []string{"new warning: queue/a-1 queue/a-2", "new warning: queue/b-1"}, r.inbox.take())
	})
}

// No text of an error, of a request or of a key gets into a notification.
func TestNothingForeignIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		models := infos("a-1", "a-2")
		models[0].Region = "eu\nX-Evil: 1" + strings.Repeat("é", 200)
		r := build(t, alert.Config{}, models).run()
		r.calls(5*time.Second, "a-1", "a-2")
		r.fail("a-1", errDown)
		r.fail("a-2", errDown)
		r.calls(5*time.Minute, "a-1", "a-2")
		require.NotEmpty(t, r.inbox.all())
		text := fmt.Sprint(r.inbox.all()) + string(r.alerts.Snapshot())
		require.NotContains(t, text, "secret")
		for _, n := range r.inbox.all() {
			for _, a := range n.Alerts {
				for _, v := range a.Labels {
					require.LessOrEqual(t, len(v), 96)
					require.NotContains(t, v, "\n")
				}
			}
		}
	})
}

// All methods at once.
func TestConcurrentUse(t *testing.T) {
	r := build(t, alert.Config{Interval: 100 * time.Millisecond}, infos("a-1", "b-1"))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.pool.Run(ctx) })
	for i := range 4 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				r.queue("a-1", int64(n%20))
				_, _ = r.Call(ctx, "")
				_ = r.alerts.Active()
				_ = r.alerts.History(10)
				_ = r.alerts.Counts()
				_ = r.alerts.Mutes()
				_ = r.alerts.String()
				if id, err := r.alerts.Mute(ctx, map[string]string{"rule": "x"}, resilience.Control{Actor: "a", Reason: "b", Until: time.Now().Add(time.Hour)}); err == nil {
					_ = r.alerts.Unmute(ctx, id, by)
				}
				_ = r.alerts.Restore(r.alerts.Snapshot())
				if i == 0 {
					_ = r.pool.Reload(ctx, []byte(fmt.Sprintf(`{"alert": {"interval": "%dms", "objectives": {"calls": {"minCalls": %d}}}}`, 100+n%50, 20+n%5)), by)
				}
			}
		})
	}
	time.Sleep(time.Second)
	cancel()
	wg.Wait()
}

package alert_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/monitor/alert"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

// One channel is good, one takes its time, one is down for a while and then not, one
// is dead and one hangs. Each is told what it can be told, once, and no call or
// channel waits for another.
func TestAlertsBehindAnOutbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		good, slow, late, dead, hung := &inbox{name: "good"}, &inbox{name: "slow"}, &inbox{name: "late"}, &inbox{name: "dead"}, &inbox{name: "hung"}
		var at []time.Duration
		dead.set(errBroken, false, false)
		hung.set(nil, true, false)
		outbox := notify.NewOutbox(notify.Config{Seed: 1, Channels: []notify.Channel{
			notify.Func("good", func(ctx context.Context, n notify.Notification) error {
				at = append(at, time.Since(start))
				return good.Notify(ctx, n)
			}),
			notify.Func("slow", func(ctx context.Context, n notify.Notification) error {
				time.Sleep(8 * time.Second)
				return slow.Notify(ctx, n)
			}),
			notify.Func("late", func(ctx context.Context, n notify.Notification) error {
				if time.Since(start) < 4*time.Minute {
					return notify.Retryable(errors.New("too many"), 50*time.Second)
				}
				return late.Notify(ctx, n)
			}),
			dead, hung,
		}})
		var routes []alert.Route
		for _, name := range []string{"hung", "dead", "late", "slow", "good"} {
			routes = append(routes, alert.Route{Channel: outbox.Channel(name)})
		}
		r := build(t, alert.Config{Routes: routes}, named("a-1", "b-1"), outbox).run()

		r.fail("a-1", errDown)
		began := time.Now()
		r.calls(10*time.Minute, "a-1", "b-1")
		require.Equal(t, 10*time.Minute, time.Since(began), "no call waits")
		r.fail("a-1", nil)
		r.calls(10*time.Minute, "a-1", "b-1")

		want := []string{"new warning: model_unavailable/a-1", "resolved warning: -model_unavailable/a-1"}
		require.Equal(t, want, good.lines())
		require.Equal(t, want, slow.lines())
		require.Equal(t, want, late.lines())
		require.Empty(t, dead.lines())
		require.Empty(t, hung.lines())
		require.Less(t, at[0], time.Minute)
		require.InDelta(t, 15*time.Minute, at[1], float64(30*time.Second))
		r.stop()
		for _, s := range outbox.Stats() {
			require.Zero(t, s.Waiting, s.Channel)
			switch s.Channel {
			case "dead", "hung":
				require.Zero(t, s.Outcomes[notify.Delivered], s.Channel)
				require.Positive(t, s.Retries, s.Channel)
			default:
				require.EqualValues(t, 2, s.Outcomes[notify.Delivered], s.Channel)
			}
		}
		for _, rec := range outbox.Records() {
			require.NotContains(t, rec.Error, "secret")
		}
	})
}

// What ends while a channel is down, and before it was told, it is never told of.
func TestAlertsBehindAnOutboxLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, until := &inbox{name: "box"}, time.Now().Add(20*time.Minute)
		outbox := notify.NewOutbox(notify.Config{Seed: 1, Channels: []notify.Channel{
			notify.Func("box", func(ctx context.Context, n notify.Notification) error {
				if time.Now().Before(until) {
					return errBroken
				}
				return box.Notify(ctx, n)
			}),
		}})
		r := build(t, alert.Config{Routes: []alert.Route{{Channel: outbox.Channel("box")}}}, named("a-1", "b-1"), outbox).run()
		r.fail("a-1", errDown)
		r.calls(5*time.Minute, "a-1", "b-1")
		r.fail("a-1", nil)
		r.calls(time.Hour, "a-1", "b-1")
		require.Empty(t, box.lines())
		r.stop()
		require.Positive(t, outbox.Stats()[0].Outcomes[notify.Abandoned])
	})
}

package notify_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

// A fake is a channel whose tries do what they are told to.
type fake struct {
	name string
	pace time.Duration
	do   func(ctx context.Context, n notify.Notification, try int) error

	mu    sync.Mutex
	tries int
	got   []string // "group reason", those that were taken
	at    []time.Duration
	start time.Time
}

func newFake(name string, do func(ctx context.Context, n notify.Notification, try int) error) *fake {
	return &fake{name: name, do: do, start: time.Now()}
}

func (f *fake) Name() string        { return f.name }
func (f *fake) Pace() time.Duration { return f.pace }

func (f *fake) Notify(ctx context.Context, n notify.Notification) error {
	f.mu.Lock()
	f.tries++
	try := f.tries
	f.at = append(f.at, time.Since(f.start))
	f.mu.Unlock()
	if f.do != nil {
		if err := f.do(ctx, n, try); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = append(f.got, n.Group+" "+n.Reason.String())
	return nil
}

// delivered returns what was taken, "group reason".
func (f *fake) delivered() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got)
}

func note(group string, why notify.Reason) notify.Notification {
	return notify.Notification{Group: group, Reason: why, Severity: notify.Critical, Time: time.Now()}
}

// outbox runs an outbox until the function it returns is called.
func outbox(t *testing.T, cfg notify.Config) (*notify.Outbox, func()) {
	t.Helper()
	o, run := idle(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { require.NoError(t, run(ctx)) })
	return o, func() { cancel(); wg.Wait() }
}

// idle returns an outbox, and what runs it.
func idle(t *testing.T, cfg notify.Config) (*notify.Outbox, func(context.Context) error) {
	t.Helper()
	cfg.Seed = 1
	o := notify.NewOutbox(cfg)
	pool, err := resilience.NewPool(o)
	require.NoError(t, err)
	return o, pool.Run
}

// balanced checks that nothing is lost uncounted.
func balanced(t *testing.T, o *notify.Outbox) {
	t.Helper()
	for _, s := range o.Stats() {
		var sum int64
		for _, n := range s.Outcomes {
			sum += n
		}
		require.Equal(t, s.Taken, sum+int64(s.Waiting), s.Channel)
	}
}

func TestConfigLints(t *testing.T) {
	require.NoError(t, settings.Lint(notify.Config{}))
}

func TestNewOutboxRefuses(t *testing.T) {
	ok := newFake("a", nil)
	for _, cfg := range []notify.Config{
		{Channels: []notify.Channel{nil}},
		{Channels: []notify.Channel{ok, ok}},
		{Channels: []notify.Channel{newFake("", nil)}},
		{Channels: []notify.Channel{newFake("a b", nil)}},
		{Queue: -1},
		{Timeout: time.Hour},
	} {
		_, err := resilience.NewPool(notify.NewOutbox(cfg))
		require.ErrorContains(t, err, "notify.")
		require.ErrorAs(t, err, new(*resilience.ConfigError))
	}
}

func TestOutboxDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newFake("a", nil), newFake("b", nil)
		o, stop := outbox(t, notify.Config{Channels: []notify.Channel{a, b}})
		require.NoError(t, o.Send("a", note("g1", notify.New)))
		require.NoError(t, o.Channel("b").Notify(t.Context(), note("g2", notify.New)))
		require.ErrorIs(t, o.Send("c", note("g2", notify.New)), notify.ErrUnknown)
		stop()
		require.Equal(t, []string{"g1 new"}, a.got)
		require.Equal(t, []string{"g2 new"}, b.got)
		require.ErrorIs(t, o.Send("a", note("g1", notify.New)), notify.ErrStopped)
		require.Len(t, o.Records(), 2)
		require.Equal(t, notify.Delivered, o.Records()[0].Outcome)
		balanced(t, o)
	})
}

// A channel that fails in any way is tried again, and others go on at once.
func TestOutboxIsolates(t *testing.T) {
	for name, do := range map[string]func(context.Context, notify.Notification, int) error{
		"error":  func(context.Context, notify.Notification, int) error { return errors.New("down") },
		"panic":  func(context.Context, notify.Notification, int) error { panic("secret") },
		"goexit": func(context.Context, notify.Notification, int) error { runtime.Goexit(); return nil },
		"hang":   func(ctx context.Context, _ notify.Notification, _ int) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bad := newFake("bad", func(ctx context.Context, n notify.Notification, try int) error {
					if try < 4 {
						return do(ctx, n, try)
					}
					return nil
				})
				good := newFake("good", nil)
				o, stop := outbox(t, notify.Config{Channels: []notify.Channel{bad, good}})
				require.NoError(t, o.Send("bad", note("g", notify.New)))
				require.NoError(t, o.Send("good", note("g", notify.New)))
				synctest.Wait()
				require.Len(t, good.delivered(), 1)
				require.Empty(t, bad.delivered())
				time.Sleep(time.Minute)
				require.Len(t, bad.delivered(), 1)
				stop()
				for _, r := range o.Records() {
					require.NotContains(t, r.Error, "secret")
				}
				require.EqualValues(t, 3, o.Stats()[0].Retries)
				balanced(t, o)
			})
		})
	}
}

func TestOutboxDoesNotRepeatWhatIsPermanent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", func(context.Context, notify.Notification, int) error {
			return notify.Permanent(errors.New("POST https://hooks.example/T1/secret\nrefused"))
		})
		o, stop := outbox(t, notify.Config{Channels: []notify.Channel{f}})
		require.ErrorContains(t, o.Channel("a").Notify(t.Context(), note("g", notify.New)), "refused")
		time.Sleep(time.Hour)
		stop()
		require.Equal(t, 1, f.tries)
		r := o.Records()[0]
		require.Equal(t, notify.Failed, r.Outcome)
		require.Equal(t, "POST https://[redacted] refused", r.Error)
	})
}

func TestOutboxHeedsRetryAfterAndPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", func(_ context.Context, _ notify.Notification, try int) error {
			if try == 1 {
				return notify.Retryable(errors.New("too many"), 30*time.Second)
			}
			return nil
		})
		f.pace = time.Second
		o, stop := outbox(t, notify.Config{Channels: []notify.Channel{f}})
		for i := range 3 {
			require.NoError(t, o.Send("a", note(fmt.Sprint(i), notify.New)))
		}
		time.Sleep(time.Minute)
		stop()
		require.Equal(t, []time.Duration{0, 30 * time.Second, 31 * time.Second, 32 * time.Second}, f.at)
	})
}

func TestNewestStateWins(t *testing.T) {
	unsent := func(err error) error { return err }
	for _, c := range []struct {
		name string
		fail func(error) error // nil: the first is delivered
		send []notify.Reason   // while the channel is down
		want string
	}{
		{"latest", unsent, []notify.Reason{notify.Changed, notify.Repeated}, "g repeated"},
		{"may have arrived", unsent, []notify.Reason{notify.Resolved}, "g resolved"},
		{"has arrived", nil, []notify.Reason{notify.Changed, notify.Resolved}, "g new,g resolved"},
		{"has not arrived", notify.Permanent, []notify.Reason{notify.Resolved}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake("a", nil)
				f.do = func(_ context.Context, _ notify.Notification, try int) error {
					switch {
					case try == 1:
						time.Sleep(time.Second)
						if c.fail != nil {
							return c.fail(errors.New("down"))
						}
					case time.Since(f.start) < 10*time.Minute:
						return errors.New("down")
					}
					return nil
				}
				o, stop := outbox(t, notify.Config{Channels: []notify.Channel{f}})
				require.NoError(t, o.Send("a", note("g", notify.New)))
				synctest.Wait()
				for _, why := range c.send {
					require.NoError(t, o.Send("a", note("g", why)))
				}
				time.Sleep(20 * time.Minute)
				stop()
				require.Equal(t, c.want, strings.Join(f.got, ","))
				balanced(t, o)
			})
		})
	}
}

// What began and ended before the first try is told to nobody.
func TestOutboxForgetsWhatNobodyHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", nil)
		o, run := idle(t, notify.Config{Channels: []notify.Channel{f}})
		require.NoError(t, o.Send("a", note("g", notify.New)))
		require.NoError(t, o.Send("a", note("g", notify.Resolved)))
		require.NoError(t, o.Send("a", note("h", notify.Resolved))) // of an earlier process
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, run(ctx))
		require.Equal(t, []string{"h resolved"}, f.got)
		require.EqualValues(t, 2, o.Stats()[0].Outcomes[notify.Moot])
		balanced(t, o)
	})
}

func TestOutboxIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", func(context.Context, notify.Notification, int) error { return errors.New("down") })
		o, stop := outbox(t, notify.Config{Channels: []notify.Channel{f}, Queue: 2, Records: 3, Keep: time.Minute})
		for i := range 3 {
			err := o.Send("a", note(fmt.Sprint(i), notify.New))
			if i == 2 {
				require.ErrorIs(t, err, notify.ErrFull)
			}
		}
		time.Sleep(10 * time.Minute)
		stop()
		s := o.Stats()[0]
		require.EqualValues(t, 1, s.Refused)
		require.EqualValues(t, 2, s.Outcomes[notify.Expired])
		balanced(t, o)
		require.Len(t, o.Records(), 2)
	})
}

func TestOutboxFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := newFake("slow", func(ctx context.Context, _ notify.Notification, _ int) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(2 * time.Second):
				return nil
			}
		})
		o, stop := outbox(t, notify.Config{Channels: []notify.Channel{slow}})
		for i := range 3 {
			require.NoError(t, o.Send("slow", note(fmt.Sprint(i), notify.New)))
		}
		synctest.Wait()
		start := time.Now()
		stop()
		require.Equal(t, 3*time.Second, time.Since(start))
		s := o.Stats()[0]
		require.EqualValues(t, 1, s.Outcomes[notify.Delivered])
		require.EqualValues(t, 2, s.Outcomes[notify.Abandoned])
		balanced(t, o)
	})
}

// Of what Notify returns an error nothing is sent later.
func TestNotifyTakesBackWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", func(_ context.Context, n notify.Notification, try int) error {
			time.Sleep(time.Second)
			if try == 1 {
				return errors.New("down")
			}
			return nil
		})
		o, stop := outbox(t, notify.Config{Channels: []notify.Channel{f}})
		tell := func(group string, within time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			return o.Channel("a").Notify(ctx, note(group, notify.New))
		}
		require.ErrorContains(t, tell("failed while nobody waited", time.Millisecond), "deadline")
		require.NoError(t, tell("out", time.Millisecond), "which was delivered though")
		require.NoError(t, o.Send("a", note("before", notify.New)))
		require.ErrorIs(t, tell("waited", time.Millisecond), context.DeadlineExceeded)
		require.NoError(t, o.Send("a", note("sent", notify.New)))
		require.ErrorIs(t, tell("sent", time.Millisecond), context.DeadlineExceeded, "and is sent for the other")
		time.Sleep(time.Hour)
		stop()
		require.Equal(t, []string{"out new", "before new", "sent new"}, f.got)
		require.EqualValues(t, 2, o.Stats()[0].Outcomes[notify.Abandoned])
		balanced(t, o)
	})
}

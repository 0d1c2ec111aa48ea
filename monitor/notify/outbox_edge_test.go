package notify_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

// A rude channel misbehaves where it is asked for its name or its pace.
type rude struct{ name, pace func() }

func (r rude) Name() string                                    { r.name(); return "rude" }
func (r rude) Pace() time.Duration                             { r.pace(); return -time.Second }
func (rude) Notify(context.Context, notify.Notification) error { return nil }
func rudely(name, pace func()) notify.Config {
	return notify.Config{Channels: []notify.Channel{rude{name, pace}}}
}

func TestOutboxSurvivesNamesAndPaces(t *testing.T) {
	fine, panics, ends := func() {}, func() { panic("secret") }, runtime.Goexit
	for _, cfg := range []notify.Config{rudely(panics, fine), rudely(ends, fine), rudely(fine, panics), rudely(fine, ends)} {
		_, err := resilience.NewPool(notify.NewOutbox(cfg))
		require.ErrorContains(t, err, "notify.channels[0]: does not say its name and pace: the channel")
		require.NotContains(t, err.Error(), "secret")
	}
	synctest.Test(t, func(t *testing.T) {
		o, stop := outbox(t, rudely(fine, fine))
		require.NoError(t, o.Channel("rude").Notify(t.Context(), note("g", notify.New)))
		stop()
	})
}

func TestOutboxOfNoPool(t *testing.T) {
	o := notify.NewOutbox(notify.Config{Channels: []notify.Channel{newFake("a", nil)}})
	require.ErrorIs(t, o.Send("a", note("g", notify.New)), notify.ErrStopped)
	require.ErrorIs(t, o.Channel("b").Notify(t.Context(), note("g", notify.New)), notify.ErrUnknown)
	require.Equal(t, "in no pool", o.String())
	require.Empty(t, o.Records())
	require.Equal(t, "a", o.Stats()[0].Channel)
	_, err := resilience.NewPool(o)
	require.NoError(t, err)
	_, err = resilience.NewPool(o)
	require.ErrorContains(t, err, "belongs to another pool")
}

// A pool that runs again delivers again.
func TestOutboxRunsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", nil)
		o, run := idle(t, notify.Config{Channels: []notify.Channel{f}})
		require.NoError(t, o.Send("a", note("before", notify.New)))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, run(ctx))
		require.ErrorIs(t, o.Send("a", note("between", notify.New)), notify.ErrStopped)
		ctx, cancel = context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- run(ctx) }()
		synctest.Wait()
		require.NoError(t, o.Channel("a").Notify(t.Context(), note("again", notify.New)))
		cancel()
		require.NoError(t, <-done)
		require.Equal(t, []string{"before new", "again new"}, f.got)
		balanced(t, o)
	})
}

// What is out and fails has its room, so that a queue is never longer than Queue.
func TestOutboxKeepsRoomForWhatIsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", func(context.Context, notify.Notification, int) error {
			time.Sleep(time.Second)
			return errors.New("down")
		})
		o, stop := outbox(t, notify.Config{Channels: []notify.Channel{f}, Queue: 2, Backoff: time.Minute})
		defer stop()
		require.NoError(t, o.Send("a", note("out", notify.New)))
		synctest.Wait()
		require.NoError(t, o.Send("a", note("waits", notify.New)))
		require.ErrorIs(t, o.Send("a", note("too many", notify.New)), notify.ErrFull)
		require.NoError(t, o.Send("a", note("out", notify.Changed)))
		require.ErrorIs(t, o.Send("a", note("too many", notify.New)), notify.ErrFull)
		require.NoError(t, o.Send("a", note("waits", notify.Changed)))
		time.Sleep(10 * time.Second)
		require.Equal(t, 2, o.Stats()[0].Waiting)
		require.Zero(t, o.Stats()[0].Busy)
		balanced(t, o)
	})
}

// A channel that says to wait for longer than notifications are kept gets none of
// those that wait, and the next one when it can.
func TestOutboxDoesNotKeepLongerThanKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", func(_ context.Context, _ notify.Notification, try int) error {
			if try == 1 {
				return notify.Retryable(errors.New("come back tomorrow"), 24*time.Hour) // an hour at most
			}
			return nil
		})
		o, stop := outbox(t, notify.Config{Channels: []notify.Channel{f}, Keep: time.Minute})
		defer stop()
		began := time.Now()
		require.NoError(t, o.Send("a", note("other", notify.New)))
		synctest.Wait()
		require.ErrorContains(t, o.Channel("a").Notify(t.Context(), note("g", notify.New)), "waited")
		require.Equal(t, time.Minute, time.Since(began))
		require.EqualValues(t, 2, o.Stats()[0].Outcomes[notify.Expired])
		require.Equal(t, "come back tomorrow", o.Records()[1].Error)
		time.Sleep(time.Until(began.Add(time.Hour - time.Second)))
		require.NoError(t, o.Channel("a").Notify(t.Context(), note("g", notify.New)))
		require.Equal(t, time.Hour, time.Since(began))
	})
}

// What takes the place of something that has failed is tried at the end, and what
// failed is not.
func TestOutboxFlushesWhatIsNewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", nil)
		f.do = func(context.Context, notify.Notification, int) error {
			if time.Since(f.start) < time.Second {
				return errors.New("down")
			}
			return nil
		}
		o, stop := outbox(t, notify.Config{Channels: []notify.Channel{f}, Backoff: time.Hour, MaxBackoff: time.Hour, Keep: 24 * time.Hour})
		require.NoError(t, o.Send("a", note("g", notify.New)))
		require.NoError(t, o.Send("a", note("h", notify.New)))
		synctest.Wait()
		time.Sleep(time.Minute)
		require.NoError(t, o.Send("a", note("g", notify.Changed)))
		time.Sleep(time.Minute)
		require.Empty(t, f.delivered(), "it waits as long as the first would have")
		stop()
		require.Equal(t, []string{"g changed"}, f.got)
		require.EqualValues(t, 1, o.Stats()[0].Outcomes[notify.Abandoned])
		balanced(t, o)
	})
}

func TestOutboxRemembersTheLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", nil)
		o := notify.NewOutbox(notify.Config{Channels: []notify.Channel{f}, Records: 3})
		pool, err := resilience.NewPool(o)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- pool.Run(ctx) }()
		groups := func() (list []string) {
			for _, r := range o.Records() {
				list = append(list, r.Group)
			}
			return list
		}
		tell := func(from, to int) {
			for i := from; i < to; i++ {
				require.NoError(t, o.Channel("a").Notify(ctx, note(fmt.Sprint(i), notify.New)))
			}
		}
		tell(0, 2)
		require.Equal(t, []string{"1", "0"}, groups())
		tell(2, 8)
		require.Equal(t, []string{"7", "6", "5"}, groups())
		for _, kept := range []struct {
			records string
			want    []string
		}{{"2", []string{"7", "6"}}, {"-1", nil}} {
			require.NoError(t, pool.Reload(ctx, []byte(`{"notify":{"records":`+kept.records+`}}`), resilience.Control{Actor: "mia", Reason: "a test"}))
			require.Equal(t, kept.want, groups())
			require.NoError(t, pool.Reload(ctx, []byte(`{"notify":{"records":3}}`), resilience.Control{Actor: "mia", Reason: "a test"}))
		}
		tell(8, 12)
		require.Equal(t, []string{"11", "10", "9"}, groups())
		require.ErrorContains(t, pool.Reload(ctx, []byte(`{"notify":{"queue":-1}}`), resilience.Control{Actor: "mia", Reason: "a test"}), "notify.queue")
		require.Contains(t, o.String(), "records=3")
		cancel()
		require.NoError(t, <-done)
	})
}

func TestOutboxTakesFromMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", func(_ context.Context, _ notify.Notification, try int) error {
			if try%3 == 0 {
				return errors.New("down")
			}
			return nil
		})
		o, stop := outbox(t, notify.Config{Channels: []notify.Channel{f}, Queue: 8})
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				for j := range 50 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(j)*time.Millisecond)
					_ = o.Channel("a").Notify(ctx, note(fmt.Sprint((i+j)%12), notify.Reason(j%5+1)))
					cancel()
					_ = o.Send("a", note(fmt.Sprint(i), notify.New))
					_, _ = o.Stats(), o.Records()
					if s := o.Stats()[0]; s.Waiting > 8 {
						t.Error(s)
					}
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Hour)
		stop()
		s := o.Stats()[0]
		require.EqualValues(t, 1600, s.Taken+s.Refused)
		require.Zero(t, s.Waiting)
		require.Positive(t, s.Refused)
		balanced(t, o)
	})
}

// A wild error does as it pleases.
type wild struct{ text func() string }

func (w wild) Error() string { return w.text() }

func TestOutboxReadsForeignErrors(t *testing.T) {
	const key = "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy"
	for _, c := range []struct {
		name, want string
		text       func() string
	}{
		{"panic", "the channel panicked with a string", func() string { panic("secret") }},
		{"goexit", "the channel ended its goroutine", func() string { runtime.Goexit(); return "" }},
		{"token", `401 for "[redacted]": refused`, func() string { return `401 for "` + key + `": refused` }},
		{"address", "dial tcp 10.0.0.1:443: lookup hooks.internal-services.example on [::1]:53: refused", func() string {
			return "dial tcp 10.0.0.1:443: lookup hooks.internal-services.example on [::1]:53: refused"
		}},
		{"word", "NotificationDeliveryRefused", func() string { return "NotificationDeliveryRefused" }},
		{"lines", "a b c", func() string { return "a\nb\x00c" }},
		{"huge", "…", func() string { return strings.Repeat("x1", 1<<20) }},
		{"half a key", "", func() string { return strings.Repeat("é", maxRead/2-4) + " " + key }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake("a", func(context.Context, notify.Notification, int) error { return notify.Permanent(wild{c.text}) })
				o, stop := outbox(t, notify.Config{Channels: []notify.Channel{f}, Keep: time.Minute})
				require.NoError(t, o.Send("a", note("g", notify.New)))
				time.Sleep(time.Hour)
				stop()
				got := o.Records()[0].Error
				require.LessOrEqual(t, len(got), 200)
				require.True(t, utf8.ValidString(got))
				for i := range len(key) - 8 {
					require.NotContains(t, got, key[i:i+8])
				}
				if c.want != "" {
					require.Equal(t, c.want, got)
				}
			})
		})
	}
}

// maxRead is as in the package.
const maxRead = 4096

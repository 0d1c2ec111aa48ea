package balance

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// inRoom runs f on the room of a model that takes a tenth of a second
// an answer, and fails while *fails.
func inRoom(t *testing.T, cfg LimiterConfig, f func(r *room, call func(), fails *bool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(cfg)
		pool, err := resilience.NewPool(l)
		require.NoError(t, err)
		fails := false
		client, err := resilience.NewClient(pool, resilience.BindFunc("m", func(context.Context, string) (string, error) {
			time.Sleep(time.Second / 10)
			if fails {
				return "", resilience.Overloaded
			}
			return "", nil
		}))
		require.NoError(t, err)
		f(l.rooms.Of(pool.Model("m")), func() { _, _ = client.Call(t.Context(), "?") }, &fails)
		time.Sleep(time.Minute)
		synctest.Wait()
	})
}

// isQuick reports whether a call that comes now takes the short way.
func (r *room) isQuick() bool {
	p := permit{start: int64(r.pool.Now())}
	ok := r.quick(&p)
	if ok {
		r.leave(&p)
	}
	return ok
}

// Between marks calls take the short way, also after failures, and again once
// those that waited are gone.
func TestRoomIsQuick(t *testing.T) {
	inRoom(t, LimiterConfig{InFlight: 2}, func(r *room, call func(), fails *bool) {
		time.Sleep(time.Hour)
		require.False(t, r.isQuick(), "a mark is due")
		call()
		require.True(t, r.isQuick())
		*fails = true
		call()
		require.True(t, r.isQuick())
		for range 3 {
			go call()
		}
		synctest.Wait()
		require.False(t, r.isQuick(), "one waits")
		time.Sleep(time.Second / 2)
		require.True(t, r.isQuick())
	})
}

// Tenants have to be counted, whatever has changed.
func TestRoomIsNotQuickWithTenants(t *testing.T) {
	inRoom(t, LimiterConfig{Tenant: 1}, func(r *room, call func(), fails *bool) {
		*fails = true
		call()
		require.False(t, r.isQuick())
	})
}

// An attempt is one of those that were under way with it.
func TestRoomCrowd(t *testing.T) {
	inRoom(t, LimiterConfig{}, func(r *room, _ func(), _ *bool) {
		var first, last permit
		for _, p := range []*permit{&first, {}, &last} {
			require.True(t, r.grab(p, unlimited))
		}
		require.EqualValues(t, 1, first.under)
		require.EqualValues(t, 3, last.under)
		require.EqualValues(t, 3, r.crowd(&first), "two came later")
		for range 3 {
			r.leave(&permit{})
		}
	})
}

// A limit is in use from its half on: plenty is the limit to begin with.
func TestRoomInUse(t *testing.T) {
	inRoom(t, LimiterConfig{}, func(r *room, _ func(), _ *bool) {
		for n := range plenty {
			require.Equal(t, n >= plenty/2, r.used(), "%d under way", n)
			require.True(t, r.grab(&permit{}, unlimited))
		}
		for range plenty {
			r.leave(&permit{})
		}
	})
}

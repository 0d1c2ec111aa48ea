package resilience

import (
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMillionGuests: the registry keeps the names used last, in as much memory
// after a million as after the first ten thousand.
func TestMillionGuests(t *testing.T) {
	var g guests
	at := place{provider: "p"}
	memory := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	fail := func(i int) {
		g.of("customer-"+strconv.Itoa(i), at).add(failure{start: int64(i), end: int64(i), by: HoldCredential, own: true})
	}
	for i := range maxGuests {
		fail(i)
	}
	before := memory()
	for i := maxGuests; i < 1_000_000; i++ {
		fail(i)
		if i%1000 == 0 {
			require.NotNil(t, g.find("customer-7", at))
		}
	}
	require.Less(t, memory()-before, int64(1<<20))
	require.Len(t, g.names, maxGuests)
	require.Equal(t, maxGuests, g.order.Len())
	require.EqualValues(t, maxGuests, g.n.Load())
	require.NotNil(t, g.find("customer-7", at), "in use")
	require.Nil(t, g.find("customer-8", at), "used longest ago")
	require.Nil(t, g.find("customer-7", place{model: "m", limit: true}))
	g.forget(func(place, HoldBy) bool { return true })
	require.Empty(t, g.names)
	require.Zero(t, g.n.Load())
}

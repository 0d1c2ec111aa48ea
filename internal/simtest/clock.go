package simtest

import (
	"reflect"
	"sync/atomic"
	"time"
	"unsafe"
)

// SetClock makes a *resilience.Pool that nobody uses meanwhile believe that the wall clock was
// set forth by d, in whole seconds; the clock that never jumps goes on.
func SetClock(pool any, d time.Duration) {
	clock := reflect.ValueOf(pool).Elem().FieldByName("clock")
	base := (*time.Time)(clock.FieldByName("base").Addr().UnsafePointer())
	seen := (*atomic.Pointer[time.Time])(clock.FieldByName("seen").Addr().UnsafePointer())
	before := back(*seen.Load(), d)
	seen.Store(&before)
	*base = back(*base, d)
}

// back sets the wall clock of a time that has two back by d.
func back(t time.Time, d time.Duration) time.Time {
	wall := (*uint64)(unsafe.Pointer(&t)) //nolint:gosec // seconds stand above 30 bits of nanoseconds
	*wall -= uint64(int64(d/time.Second)) << 30
	return t
}

package balance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

const aSecond = int64(time.Second)

// told is a bucket of which a provider told at the first second.
func told(limit, remaining float64, reset time.Duration) *bucket {
	b := &bucket{}
	b.tell(1, limit, remaining, reset, sight{})
	return b
}

// tell makes b hear an answer that took no time.
func (b *bucket) tell(at float64, limit, remaining float64, reset time.Duration, seen sight) {
	now := int64(at * second)
	b.hear(answer{start: now, now: now, seen: seen, quota: resilience.Quota{Limit: limit, Remaining: remaining, Reset: reset}})
}

// left is how many requests may go at an instant.
func (b *bucket) left(at float64) (n int) {
	b.advance(int64(at * second))
	for ; b.wait(1) == 0; n++ {
		b.spend(1)
	}
	return n
}

func TestBucketLeavesOneInFiftyAlone(t *testing.T) {
	require.Equal(t, 1, told(50, 2, 4*time.Second).left(1))
	require.Equal(t, 0, told(50, 1, 4*time.Second).left(1))
}

// The provider may count in its next window what was spent after it told.
func TestBucketCarriesWhatIsNotToldOf(t *testing.T) {
	b := told(10, 5, 4*time.Second)
	b.spend(3)
	require.Equal(t, 6, b.left(5), "of seven, and a part of one is left alone")
}

// An answer to a request of before anything was known lowers what is left, and
// never raises it.
func TestBucketBelievesTheLess(t *testing.T) {
	for remaining, want := range map[float64]int{3: 2, 9: 7} {
		b := told(10, 8, 4*time.Second)
		b.tell(1, 10, remaining, 4*time.Second, sight{})
		require.Equal(t, want, b.left(1))
	}
}

// A window whose end moves is none, except for what whole seconds hide.
func TestBucketTellsWindowsFromFlows(t *testing.T) {
	for name, c := range map[string]struct {
		reset time.Duration
		flows bool
	}{
		"whole seconds": {4 * time.Second, false},
		"milliseconds":  {4001 * time.Millisecond, true},
	} {
		b := told(10, 5, c.reset)
		b.tell(1.9, 10, 5, c.reset, sight{})
		require.Equal(t, c.flows, b.even(), name)
	}
}

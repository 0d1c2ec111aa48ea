package budget

import "time"

// buckets of a sliding window, the present one among them.
const buckets = 60

// A ring is what was spent in a sliding window, by time.
type ring struct {
	width   int64 // of a bucket, in nanoseconds
	present int64 // bucket, counted from the pool's start
	spent   [buckets]amounts
}

// newRing is for the last d: as many whole buckets as make that, and the present
// one.
func newRing(d time.Duration) *ring {
	return &ring{width: (int64(d) + buckets - 2) / (buckets - 1), present: -1}
}

// advance makes the bucket that now is in the present one, and returns what has
// left the window.
func (r *ring) advance(now int64) (gone amounts) {
	next := now / r.width
	for i := max(r.present+1, next-buckets+1); i <= next; i++ {
		b := &r.spent[i%buckets]
		for j, n := range b {
			gone[j] += n
		}
		*b = amounts{}
	}
	r.present = max(r.present, next)
	return gone
}

// ends is when the present bucket does.
func (r *ring) ends() int64 { return (r.present + 1) * r.width }

// add notes in the present bucket.
func (r *ring) add(resource int, n int64) { r.spent[r.present%buckets][resource] += n }

// frees returns the instant at which n has left the window.
func (r *ring) frees(resource int, n int64) int64 {
	for i := max(r.present-buckets+1, 0); i < r.present; i++ {
		if n -= r.spent[i%buckets][resource]; n <= 0 {
			return (i + buckets) * r.width
		}
	}
	return (r.present + buckets) * r.width
}

// since is when the window began that now is in.
func (r *ring) since() int64 { return max(r.present-buckets+1, 0) * r.width }

package resilience

import (
	"time"

	"github.com/cmmv-hive/resilience/internal/classify"
)

// Quotas are what the provider said of its limits with the answer to the latest
// attempt, where a [Tap] heard it: of requests and of tokens. It is nothing where
// that is said of a key: a caller's own, or one of several.
func (c *Call) Quotas() (requests, tokens Quota) {
	a := c.latest()
	if a == nil || a.key != nil && a.speaks() {
		return
	}
	n := a.noted.Load()
	if n == nil || n.header == nil {
		return
	}
	r, t := classify.Quotas(n.header, c.pool.wall(c.clock))
	return Quota(r), Quota(t)
}

// A Quota is what a provider says of one of its limits. Limit is 0 if it says
// nothing. For feature authors.
type Quota struct {
	Limit     float64
	Remaining float64
	Reset     time.Duration // until Remaining is Limit again, 0 if it did not say
}

package classify

import (
	"cmp"
	"net/http"
	"strings"
	"time"
)

// A Quota is what a response says of a limit: Limit is 0 if it says nothing.
type Quota struct {
	Limit, Remaining float64
	Reset            time.Duration // 0 if it is not known
}

// Quotas returns what the headers of a response say of the provider's limits in
// requests and in tokens, of the bucket with the least part left if there are
// several of a sort, the smaller one of two that are alike in that. The pairs of
// headers are those of [RetryAfter]. A limit that is not positive, or with more
// remaining than there is, is as if absent.
func Quotas(h http.Header, now time.Time) (requests, tokens Quota) {
	for k, vs := range h {
		if len(vs) == 0 || !strings.Contains(k, "atelimit") { // as net/http spells it, or in small letters
			continue
		}
		before, after, ok := strings.Cut(k, "emaining")
		if !ok || before == "" {
			continue
		}
		twin := func(word string) string { return h.Get(before[:len(before)-1] + word + after) }
		left, ok := number(vs[0])
		limit, known := number(twin("Limit"))
		if !ok || !known || limit <= 0 || left > limit {
			continue
		}
		reset, _ := instant(twin("Reset"), h, now)
		q := Quota{limit, left, reset}
		to := &requests
		if strings.Contains(k, "oken") {
			to = &tokens
		}
		if to.Limit == 0 || cmp.Or(cmp.Compare(q.Remaining/q.Limit, to.Remaining/to.Limit), cmp.Compare(q.Limit, to.Limit)) < 0 {
			*to = q
		}
	}
	return requests, tokens
}

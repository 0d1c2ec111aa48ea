package classify

import (
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// maxWait bounds what a provider may ask for.
const maxWait = 24 * time.Hour

// RetryAfter returns how long a response asks to wait before the next request:
// from retry-after-ms, x-ms-retry-after-ms or Retry-After, else until the reset
// of the request or token buckets that it says are spent, the latest of them.
// The result is from 0 to 24 h. Instants are measured from the response's own
// Date, and from now if it has none; what is negative, past, not finite or not
// understood is as if absent, and so is a bucket whose limit is not positive.
//
// It holds for responses of any status: a success that says a bucket is spent
// asks to wait too.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	if d, ok := asked(h, now); ok {
		return d, true
	}
	return spent(h, now, false)
}

func asked(h http.Header, now time.Time) (time.Duration, bool) {
	for _, k := range []string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		for _, v := range h[k] {
			if f, ok := number(v); ok {
				return seconds(f / 1000)
			}
		}
	}
	for _, v := range h["Retry-After"] {
		if f, ok := number(v); ok {
			return seconds(f)
		}
		if t, err := http.ParseTime(strings.TrimSpace(v)); err == nil {
			return until(t, h, now)
		}
		if d, ok := span(v); ok {
			return d, true
		}
	}
	return 0, false
}

// spent returns the latest reset of the buckets of which nothing remains. The
// headers come in pairs that differ in one word, with as many prefixes as there
// are providers: x-ratelimit-remaining-tokens, anthropic-ratelimit-requests-
// remaining, ratelimit-remaining. A refusal vouches for a lone x-ratelimit-reset.
func spent(h http.Header, now time.Time, refused bool) (longest time.Duration, found bool) {
	for k, vs := range h {
		name := strings.ToLower(k)
		if len(vs) == 0 || !strings.Contains(name, "ratelimit") && !strings.HasPrefix(name, "anthropic-priority-") {
			continue
		}
		var reset string
		switch {
		case strings.Contains(name, "remaining"):
			if left, ok := number(vs[0]); !ok || left != 0 {
				continue
			}
			if limit, ok := signed(twin(h, name, "limit")); ok && limit <= 0 {
				continue // Azure's way of saying that it does not know
			}
			reset = twin(h, name, "reset")
		case refused && name == "x-ratelimit-reset" && h.Get("X-Ratelimit-Remaining") == "":
			reset = vs[0]
		}
		if d, ok := instant(reset, h, now); ok {
			longest, found = max(longest, d), true
		}
	}
	return longest, found
}

func twin(h http.Header, remaining, other string) string {
	return h.Get(strings.Replace(remaining, "remaining", other, 1))
}

// instant reads a reset: RFC 3339, seconds or milliseconds since 1970, seconds
// from now, or a duration such as 6m0s.
func instant(s string, h http.Header, now time.Time) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return until(t, h, now)
	}
	if t, err := http.ParseTime(s); err == nil {
		return until(t, h, now)
	}
	const year2001 = 1e9 // nobody asks to wait for thirty years
	switch f, ok := number(s); {
	case ok && f >= year2001*1000 && f < year2001*1e5:
		return until(time.UnixMilli(int64(f)), h, now)
	case ok && f >= year2001 && f < year2001*100:
		return until(time.Unix(int64(f), 0), h, now)
	}
	return span(s)
}

func until(t time.Time, h http.Header, now time.Time) (time.Duration, bool) {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	if now.IsZero() {
		return 0, false
	}
	return seconds(t.Sub(now).Seconds())
}

// span reads a number of seconds, or a duration in Go's notation.
func span(s string) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if f, ok := number(s); ok {
		return seconds(f)
	}
	if len(s) > maxCode {
		return 0, false
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, false
	}
	return min(d, maxWait), true
}

// number reads a plain decimal, without a sign, an exponent or a name.
func number(s string) (float64, bool) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > maxCode || strings.Trim(s, "0123456789.") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

func signed(s string) (float64, bool) {
	s, negative := strings.CutPrefix(strings.TrimSpace(s), "-")
	f, ok := number(s)
	if negative {
		f = -f
	}
	return f, ok
}

// seconds is f as a duration, at most maxWait. What overflows one is ignored.
func seconds(f float64) (time.Duration, bool) {
	if math.IsNaN(f) || f < 0 || f >= math.MaxInt64/float64(time.Second) {
		return 0, false
	}
	return min(time.Duration(math.Round(f*float64(time.Second))), maxWait), true
}

// A wait in prose is introduced by what to do after it.
var (
	waits = regexp.MustCompile(`(?i)(?:try again|retry|retrying|wait|available again|resets?|reintent\w*|intent\w* de nuevo|espere?)\s*(?:in|after|for|at least|en|dentro de)?:?\s*(?:about|approximately|at least)?\s*((?:[0-9]{1,9}(?:\.[0-9]{1,12})?\s*(?:milliseconds?|ms|seconds?|segundos?|secs?|s|minutes?|minutos?|mins?|m|hours?|horas?|hrs?|h|days?|dias?|d)\b?[ ,]*(?:and |y )?){1,4})`)
	parts = regexp.MustCompile(`(?i)([0-9]{1,9}(?:\.[0-9]{1,12})?)\s*([a-z]+)`)
)

// waitIn returns the wait that a message asks for.
func waitIn(s string) (time.Duration, bool) {
	if !hasNumber(s, 1) {
		return 0, false
	}
	m := waits.FindStringSubmatchIndex(s)
	if m == nil {
		return 0, false
	}
	if rest := s[m[3]:]; rest != "" && s[m[3]-1] != ' ' && letter(rest[0]) {
		return 0, false // "5 monkeys" are not minutes
	}
	var total float64
	for _, p := range parts.FindAllStringSubmatch(s[m[2]:m[3]], 4) {
		f, ok := number(p[1])
		if !ok {
			return 0, false
		}
		total += f * unit(strings.ToLower(p[2])).Seconds()
	}
	return seconds(total)
}

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func unit(s string) time.Duration {
	switch {
	case s == "ms" || strings.HasPrefix(s, "milli"):
		return time.Millisecond
	case s[0] == 'm':
		return time.Minute
	case s[0] == 'h':
		return time.Hour
	case s[0] == 'd':
		return 24 * time.Hour
	}
	return time.Second
}

// retryAfter asks, in order: the headers' own words, the body, the reset of a
// spent bucket, the message.
func (e *evidence) retryAfter(k Kind, now time.Time) (time.Duration, bool) {
	for _, h := range []map[string][]string{e.header, e.sent} {
		if d, ok := asked(h, now); ok {
			return d, true
		}
	}
	if e.hasWait {
		return e.wait, true
	}
	for _, h := range []map[string][]string{e.header, e.sent} {
		if d, ok := spent(h, now, k == RateLimited); ok {
			return d, true
		}
	}
	for _, s := range e.prose {
		if d, ok := waitIn(s); ok {
			return d, true
		}
	}
	return 0, false
}

// Package failoverbench has the scenarios of Failover Bench v0.1
// (github.com/failoverbench/failoverbench), and judges how they were played. The
// models that misbehave are those of chaos.FailoverBench.
package failoverbench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Scenario is one of the bench, and what passes: an answer that is complete,
// or for S13 the provider's reason, and no more and no fewer attempts at the
// primary.
type Scenario struct {
	ID      string
	Slow    bool // in real time
	Streams bool // it makes sense for streams only

	within    time.Duration // a call; 30 s
	fewest    int           // attempts at the primary
	most      int
	fallback  string // fb-ok
	calls     int    // one after the other; 1
	every     time.Duration
	reason    string // of the error that passes
	otherwise func(p Played) string
}

// Scenarios returns all sixteen.
func Scenarios() []Scenario {
	return []Scenario{
		{ID: "S01", fewest: 2, most: 6, otherwise: func(p Played) string {
			switch at := p.Primary; {
			case p.At > 1: // each call would have to be told apart
			case at[1].Sub(at[0]) < 1800*time.Millisecond:
				return "the second attempt came before it was asked for"
			case len(at) > 2 && at[2].Sub(at[0]) < 1500*time.Millisecond:
				return "more than two attempts in 1.5 s"
			}
			return ""
		}},
		{ID: "S02", fewest: 1, most: 6, otherwise: func(p Played) string {
			if at := p.Primary; p.At == 1 && len(at) > 4 && at[4].Sub(at[0]) < 3*time.Second {
				return "more than four attempts in 3 s"
			}
			return ""
		}},
		{ID: "S03", fewest: 2, most: 6},
		{ID: "S04", fewest: 1, most: 6},
		{ID: "S05", fewest: 1, most: 6},
		{ID: "S06", Slow: true, within: 100 * time.Second, fewest: 1, most: 1},
		{ID: "S07", Slow: true, Streams: true, within: 15 * time.Second, fewest: 1, most: 6},
		{ID: "S08", fewest: 1, most: 6},
		{ID: "S09", Slow: true, within: 45 * time.Second, fewest: 1, most: 6},
		{ID: "S10", fewest: 1, most: 6},
		{ID: "S11", within: 8 * time.Second, fewest: 1, most: 6, otherwise: withUsage},
		{ID: "S12", fewest: 1, most: 1},
		{ID: "S13", fewest: 1, most: 1, reason: "content_policy_violation"},
		{ID: "S14", fewest: 1, most: 6, fallback: "fb-noprefill"},
		{ID: "S15", Slow: true, calls: 20, every: 4 * time.Second, fewest: 1, most: 1000, otherwise: func(p Played) string {
			meanwhile, after := p.Outage()
			if meanwhile > 3*p.At || after == 0 || after > 30*time.Second {
				return fmt.Sprintf("%d attempts in the outage, the next %v after it", meanwhile, after)
			}
			return ""
		}},
		{ID: "S16", fewest: 1, most: 6, otherwise: func(p Played) string {
			for _, a := range p.Answers {
				if a.Model != "fb-ok" {
					return "the model is " + a.Model
				}
			}
			return withUsage(p)
		}},
	}
}

func withUsage(p Played) string {
	if slices.ContainsFunc(p.Answers, func(a Answer) bool { return a.Tokens == 0 }) {
		return "no usage"
	}
	return ""
}

// Primary is the model that a scenario asks for.
func (s Scenario) Primary() string { return "fb-" + strings.ToLower(s.ID) }

// A Verdict is the bench's.
type Verdict string

// The verdicts, the best first.
const (
	Pass    Verdict = "pass"
	Partial Verdict = "partial" // rescued, but a check failed
	Safe    Verdict = "safe"    // a clean error in time
	Fail    Verdict = "fail"
)

// Judge says what p is, and why it does not pass.
func (s Scenario) Judge(p Played) (Verdict, string) {
	if p.Healthy.Text != p.Text || p.Healthy.Took > 10*time.Second {
		return Fail, fmt.Sprintf("not alive afterwards: %+v", p.Healthy)
	}
	worst, why := Pass, ""
	for _, a := range p.Answers {
		v, reason := s.one(a, p.Text)
		if rank := []Verdict{Pass, Partial, Safe, Fail}; slices.Index(rank, v) > slices.Index(rank, worst) {
			worst, why = v, reason
		}
	}
	if worst != Pass {
		return worst, why
	}
	if n := len(p.Primary); p.At == 1 && n < s.fewest || n > s.most*p.At*max(s.calls, 1) {
		return Partial, fmt.Sprintf("%d attempts at the primary", n)
	}
	if s.otherwise != nil {
		if why := s.otherwise(p); why != "" {
			return Partial, why
		}
	}
	return Pass, ""
}

// one judges an answer that should have this text.
func (s Scenario) one(a Answer, text string) (Verdict, string) {
	within := s.within
	if within == 0 {
		within = 30 * time.Second
	}
	switch {
	case a.Took > within && a.Text == text:
		return Partial, fmt.Sprintf("complete after %v", a.Took)
	case a.Took > within:
		return Fail, fmt.Sprintf("hung for %v", a.Took)
	case a.Broke != nil:
		return Fail, "not a clean end: " + a.Broke.Error()
	case a.Failed != "" && s.reason != "" && strings.Contains(a.Failed, s.reason):
		return Pass, ""
	case a.Failed != "":
		return Safe, a.Failed
	case s.reason != "":
		return Partial, "the rejection was routed around"
	case a.Text != text:
		return Fail, fmt.Sprintf("%d words as a success", len(strings.Fields(a.Text)))
	case len(a.IDs) > 1 || a.Roles > 1:
		return Partial, fmt.Sprintf("%d IDs and %d roles in one answer", len(a.IDs), a.Roles)
	}
	return Pass, ""
}

// Line sums p up.
func (s Scenario) Line(p Played, v Verdict) string {
	good, longest := 0, time.Duration(0)
	for _, a := range p.Answers {
		if v, _ := s.one(a, p.Text); v == Pass {
			good++
		}
		longest = max(longest, a.Took)
	}
	line := fmt.Sprintf("%s: %d of %d as they should be, %d attempts at the primary, %.1f s at most", v, good, len(p.Answers), len(p.Primary), longest.Seconds())
	if s.calls > 1 {
		meanwhile, after := p.Outage()
		line += fmt.Sprintf("; %d attempts in the outage, the next %.0f s after it", meanwhile, after.Seconds())
	}
	return line
}

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A scenario is one of Failover Bench v0.1, and what passes: an answer that is
// complete, or for S13 the provider's reason, and no more and no less attempts
// at the primary.
type scenario struct {
	id        string
	slow      bool
	streams   bool          // it makes sense for streams only
	within    time.Duration // a call
	fewest    int           // attempts at the primary
	most      int
	fallback  string // fb-ok
	calls     int    // one after the other; 1
	every     time.Duration
	reason    string // of the error that passes
	otherwise func(p played) string
}

var scenarios = []scenario{
	{id: "S01", fewest: 2, most: 6, otherwise: func(p played) string {
		switch at := p.primary; {
		case p.at > 1: // each call would have to be told apart
		case at[1].Sub(at[0]) < 1800*time.Millisecond:
			return "the second attempt came before it was asked for"
		case len(at) > 2 && at[2].Sub(at[0]) < 1500*time.Millisecond:
			return "more than two attempts in 1.5 s"
		}
		return ""
	}},
	{id: "S02", fewest: 1, most: 6, otherwise: func(p played) string {
		if at := p.primary; p.at == 1 && len(at) > 4 && at[4].Sub(at[0]) < 3*time.Second {
			return "more than four attempts in 3 s"
		}
		return ""
	}},
	{id: "S03", fewest: 2, most: 6},
	{id: "S04", fewest: 1, most: 6},
	{id: "S05", fewest: 1, most: 6},
	{id: "S06", slow: true, within: 100 * time.Second, fewest: 1, most: 1},
	{id: "S07", slow: true, streams: true, within: 15 * time.Second, fewest: 1, most: 6},
	{id: "S08", fewest: 1, most: 6},
	{id: "S09", slow: true, within: 45 * time.Second, fewest: 1, most: 6},
	{id: "S10", fewest: 1, most: 6},
	{id: "S11", within: 8 * time.Second, fewest: 1, most: 6, otherwise: withUsage},
	{id: "S12", fewest: 1, most: 1},
	{id: "S13", fewest: 1, most: 1, reason: "content_policy_violation"},
	{id: "S14", fewest: 1, most: 6, fallback: "fb-noprefill"},
	{id: "S15", slow: true, calls: 20, every: 4 * time.Second, fewest: 1, most: 1000, otherwise: func(p played) string {
		meanwhile, after := p.outage()
		if meanwhile > 3*p.at || after == 0 || after > 30*time.Second {
			return fmt.Sprintf("%d attempts in the outage, the next %v after it", meanwhile, after)
		}
		return ""
	}},
	{id: "S16", fewest: 1, most: 6, otherwise: func(p played) string {
		for _, a := range p.answers {
			if a.model != "fb-ok" {
				return "the model is " + a.model
			}
		}
		return withUsage(p)
	}},
}

func withUsage(p played) string {
	if slices.ContainsFunc(p.answers, func(a answer) bool { return a.tokens == 0 }) {
		return "no usage"
	}
	return ""
}

// played is a scenario as its caller and its provider saw it.
type played struct {
	began   time.Time
	at      int // once
	answers []answer
	primary []time.Time // attempts
	healthy answer      // afterwards
	text    string      // of a healthy answer
}

// outage counts the attempts in S15's outage, and says when the next one came
// after it.
func (p played) outage() (meanwhile int, after time.Duration) {
	for _, at := range p.primary {
		if since := at.Sub(p.began); since < time.Minute {
			meanwhile++
		} else if after == 0 {
			after = since - time.Minute
		}
	}
	return meanwhile, after
}

// A verdict is the bench's.
type verdict string

const (
	pass    verdict = "pass"
	partial verdict = "partial" // rescued, but a check failed
	safe    verdict = "safe"    // a clean error in time
	failed  verdict = "fail"
)

// judge says what p is, and why it does not pass.
func (s scenario) judge(p played) (verdict, string) {
	if p.healthy.text != p.text || p.healthy.took > 10*time.Second {
		return failed, fmt.Sprintf("not alive afterwards: %+v", p.healthy)
	}
	worst, why := pass, ""
	for _, a := range p.answers {
		v, reason := s.judgeOne(a, p.text)
		if rank := []verdict{pass, partial, safe, failed}; slices.Index(rank, v) > slices.Index(rank, worst) {
			worst, why = v, reason
		}
	}
	if worst != pass {
		return worst, why
	}
	if n := len(p.primary); p.at == 1 && n < s.fewest || n > s.most*p.at*max(s.calls, 1) {
		return partial, fmt.Sprintf("%d attempts at the primary", n)
	}
	if s.otherwise != nil {
		if why := s.otherwise(p); why != "" {
			return partial, why
		}
	}
	return pass, ""
}

func (s scenario) judgeOne(a answer, text string) (verdict, string) {
	within := s.within
	if within == 0 {
		within = 30 * time.Second
	}
	switch {
	case a.took > within && a.text == text:
		return partial, fmt.Sprintf("complete after %v", a.took)
	case a.took > within:
		return failed, fmt.Sprintf("hung for %v", a.took)
	case a.broke != nil:
		return failed, "not a clean end: " + a.broke.Error()
	case a.failed != "" && s.reason != "" && strings.Contains(a.failed, s.reason):
		return pass, ""
	case a.failed != "":
		return safe, a.failed
	case s.reason != "":
		return partial, "the rejection was routed around"
	case a.text != text:
		return failed, fmt.Sprintf("%d words as a success", len(strings.Fields(a.text)))
	case len(a.ids) > 1 || a.roles > 1:
		return partial, fmt.Sprintf("%d IDs and %d roles in one answer", len(a.ids), a.roles)
	}
	return pass, ""
}

// line sums p up.
func (s scenario) line(p played, v verdict) string {
	good, longest := 0, time.Duration(0)
	for _, a := range p.answers {
		if v, _ := s.judgeOne(a, p.text); v == pass {
			good++
		}
		longest = max(longest, a.took)
	}
	line := fmt.Sprintf("%s: %d of %d as they should be, %d attempts at the primary, %.1f s at most", v, good, len(p.answers), len(p.primary), longest.Seconds())
	if s.calls > 1 {
		meanwhile, after := p.outage()
		line += fmt.Sprintf("; %d attempts in the outage, the next %.0f s after it", meanwhile, after.Seconds())
	}
	return line
}

// TestJudge is of what must not pass, by scenario: each case changes what does.
func TestJudge(t *testing.T) {
	at := func(seconds ...float64) (list []time.Time) {
		for _, s := range seconds {
			list = append(list, time.Unix(0, 0).Add(time.Duration(s*float64(time.Second))))
		}
		return list
	}
	for _, c := range []struct {
		name, id string
		change   func(p *played)
		want     verdict
	}{
		{"as it should be", "S01", func(*played) {}, pass},
		{"one attempt", "S01", func(p *played) { p.primary = at(0) }, partial},
		{"too early", "S01", func(p *played) { p.primary = at(0, 1.7) }, partial},
		{"four attempts in 3 s", "S02", func(p *played) { p.primary = at(0, 1, 2, 2.5) }, pass},
		{"five attempts in 3 s", "S02", func(p *played) { p.primary = at(0, 1, 2, 2.5, 2.9) }, partial},
		{"seven attempts", "S04", func(p *played) { p.primary = at(0, 1, 2, 3, 4, 5, 6) }, partial},
		{"two attempts in silence", "S06", func(p *played) { p.primary = at(0, 30) }, partial},
		{"it hangs", "S06", func(p *played) { p.answers[0] = answer{took: 101 * time.Second} }, failed},
		{"16 s", "S07", func(p *played) { p.answers[0].took = 16 * time.Second }, partial},
		{"14 s", "S07", func(p *played) { p.answers[0].took = 14 * time.Second }, pass},
		{"truncated", "S08", func(p *played) { p.answers[0].text = "one" }, failed},
		{"truncated, and says so", "S08", func(p *played) { p.answers[0].text, p.answers[0].failed = "one", "truncated" }, safe},
		{"twice", "S08", func(p *played) { p.answers[0].text += " one" }, failed},
		{"another ID", "S08", func(p *played) { p.answers[0].ids = []string{"a", "b"} }, partial},
		{"begins anew", "S14", func(p *played) { p.answers[0].roles = 2 }, partial},
		{"46 s", "S09", func(p *played) { p.answers[0].took = 46 * time.Second }, partial},
		{"a broken event", "S10", func(p *played) { p.answers[0].broke = io.ErrUnexpectedEOF }, failed},
		{"dead afterwards", "S10", func(p *played) { p.healthy = answer{failed: "down"} }, failed},
		{"slow afterwards", "S10", func(p *played) { p.healthy.took = 11 * time.Second }, failed},
		{"no usage", "S11", func(p *played) { p.answers[0].tokens = 0 }, partial},
		{"asked again", "S12", func(p *played) { p.primary = at(0, 1) }, partial},
		{"routed around", "S13", func(*played) {}, partial},
		{"another reason", "S13", func(p *played) { p.answers[0].failed = "bad gateway" }, safe},
		{"the reason", "S13", func(p *played) { p.answers = []answer{{failed: "content_policy_violation"}} }, pass},
		{"one is lost", "S15", func(p *played) { p.answers[1] = answer{failed: "down"}; p.primary = at(0, 64) }, safe},
		{"used again", "S15", func(p *played) { p.primary = at(0, 0.1, 30, 89) }, pass},
		{"four attempts", "S15", func(p *played) { p.primary = at(0, 0.1, 15, 45, 64) }, partial},
		{"never again", "S15", func(p *played) { p.primary = at(0) }, partial},
		{"late", "S15", func(p *played) { p.primary = at(0, 91) }, partial},
		{"another model", "S16", func(p *played) { p.answers[0].model = "fb-s16" }, partial},
	} {
		t.Run(c.id+" "+c.name, func(t *testing.T) {
			i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.id == c.id })
			good := answer{text: "one two", model: "fb-ok", tokens: 2, ids: []string{"a"}, roles: 1}
			p := played{began: at(0)[0], at: 1, answers: []answer{good, good}, primary: at(0, 2), healthy: good, text: good.text}
			if scenarios[i].most == 1 {
				p.primary = at(0)
			}
			c.change(&p)
			got, why := scenarios[i].judge(p)
			require.Equal(t, c.want, got, why)
		})
	}
}

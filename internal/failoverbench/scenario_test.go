package failoverbench

import (
	"io"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestJudge is of what must not Pass, by Scenario: each case changes what does.
func TestJudge(t *testing.T) {
	at := func(seconds ...float64) (list []time.Time) {
		for _, s := range seconds {
			list = append(list, time.Unix(0, 0).Add(time.Duration(s*float64(time.Second))))
		}
		return list
	}
	scenarios := Scenarios()
	for _, c := range []struct {
		name, id string
		change   func(p *Played)
		want     Verdict
	}{
		{"as it should be", "S01", func(*Played) {}, Pass},
		{"one attempt", "S01", func(p *Played) { p.Primary = at(0) }, Partial},
		{"too early", "S01", func(p *Played) { p.Primary = at(0, 1.7) }, Partial},
		{"four attempts in 3 s", "S02", func(p *Played) { p.Primary = at(0, 1, 2, 2.5) }, Pass},
		{"five attempts in 3 s", "S02", func(p *Played) { p.Primary = at(0, 1, 2, 2.5, 2.9) }, Partial},
		{"seven attempts", "S04", func(p *Played) { p.Primary = at(0, 1, 2, 3, 4, 5, 6) }, Partial},
		{"two attempts in silence", "S06", func(p *Played) { p.Primary = at(0, 30) }, Partial},
		{"it hangs", "S06", func(p *Played) { p.Answers[0] = Answer{Took: 101 * time.Second} }, Fail},
		{"16 s", "S07", func(p *Played) { p.Answers[0].Took = 16 * time.Second }, Partial},
		{"14 s", "S07", func(p *Played) { p.Answers[0].Took = 14 * time.Second }, Pass},
		{"truncated", "S08", func(p *Played) { p.Answers[0].Text = "one" }, Fail},
		{"truncated, and says so", "S08", func(p *Played) { p.Answers[0].Text, p.Answers[0].Failed = "one", "truncated" }, Safe},
		{"twice", "S08", func(p *Played) { p.Answers[0].Text += " one" }, Fail},
		{"another ID", "S08", func(p *Played) { p.Answers[0].IDs = []string{"a", "b"} }, Partial},
		{"begins anew", "S14", func(p *Played) { p.Answers[0].Roles = 2 }, Partial},
		{"46 s", "S09", func(p *Played) { p.Answers[0].Took = 46 * time.Second }, Partial},
		{"a broken event", "S10", func(p *Played) { p.Answers[0].Broke = io.ErrUnexpectedEOF }, Fail},
		{"dead afterwards", "S10", func(p *Played) { p.Healthy = Answer{Failed: "down"} }, Fail},
		{"slow afterwards", "S10", func(p *Played) { p.Healthy.Took = 11 * time.Second }, Fail},
		{"no usage", "S11", func(p *Played) { p.Answers[0].Tokens = 0 }, Partial},
		{"asked again", "S12", func(p *Played) { p.Primary = at(0, 1) }, Partial},
		{"routed around", "S13", func(*Played) {}, Partial},
		{"another reason", "S13", func(p *Played) { p.Answers[0].Failed = "bad gateway" }, Safe},
		{"the reason", "S13", func(p *Played) { p.Answers = []Answer{{Failed: "content_policy_violation"}} }, Pass},
		{"one is lost", "S15", func(p *Played) { p.Answers[1] = Answer{Failed: "down"}; p.Primary = at(0, 64) }, Safe},
		{"used again", "S15", func(p *Played) { p.Primary = at(0, 0.1, 30, 89) }, Pass},
		{"four attempts", "S15", func(p *Played) { p.Primary = at(0, 0.1, 15, 45, 64) }, Partial},
		{"never again", "S15", func(p *Played) { p.Primary = at(0) }, Partial},
		{"late", "S15", func(p *Played) { p.Primary = at(0, 91) }, Partial},
		{"another model", "S16", func(p *Played) { p.Answers[0].Model = "fb-s16" }, Partial},
	} {
		t.Run(c.id+" "+c.name, func(t *testing.T) {
			i := slices.IndexFunc(scenarios, func(s Scenario) bool { return s.ID == c.id })
			good := Answer{Text: "one two", Model: "fb-ok", Tokens: 2, IDs: []string{"a"}, Roles: 1}
			p := Played{Began: at(0)[0], At: 1, Answers: []Answer{good, good}, Primary: at(0, 2), Healthy: good, Text: good.Text}
			if scenarios[i].most == 1 {
				p.Primary = at(0)
			}
			c.change(&p)
			got, why := scenarios[i].Judge(p)
			require.Equal(t, c.want, got, why)
		})
	}
}

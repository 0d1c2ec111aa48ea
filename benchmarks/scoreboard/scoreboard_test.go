package scoreboard

import (
	"flag"
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "play everything with several seeds, and write docs/scoreboard.md and docs/scoreboard.svg")

const docs = "../../docs"

// TestScoreboard holds the stack to what the scoreboard says of it, and that to
// having a row for each policy in each incident.
func TestScoreboard(t *testing.T) {
	if *update {
		write(t)
	}
	page, err := os.ReadFile(filepath.Join(docs, "scoreboard.md"))
	require.NoError(t, err)
	for _, i := range incidents {
		_, table, ok := strings.Cut(string(page), "\n## "+i.name+"\n")
		require.True(t, ok, i.name)
		for _, p := range policies {
			require.Contains(t, table, "| "+p.name+" |", i.name)
		}
	}
	for _, i := range incidents {
		s := play(t, i, policies[len(policies)-1], 1)
		t.Logf("%s: %s", i.name, s)
		if i.lasts > 0 { // nothing answers in it
			require.Greater(t, s.success, .6, i.name)
			require.LessOrEqual(t, s.recovered, 20*time.Second, i.name)
			continue
		}
		require.Greater(t, s.success, .998, i.name)
		require.Greater(t, s.goodput, .95, i.name)
		require.Less(t, s.attempts, 1.05, i.name)
		require.Zero(t, s.recovered, i.name)
	}
}

// TestPoliciesAreToldApart has the policies that must do badly do so: a
// scoreboard on which all do well measures nothing.
func TestPoliciesAreToldApart(t *testing.T) {
	for _, c := range []struct {
		incident, policy string
		below            float64
	}{
		{"outage", "none", .8},
		{"mid-stream death", "fallback ×3", .9},
		{"retry storm", "fallback ×3", .4},
	} {
		i := incidents[slices.IndexFunc(incidents, func(i incident) bool { return i.name == c.incident })]
		p := policies[slices.IndexFunc(policies, func(p policy) bool { return p.name == c.policy })]
		require.Less(t, play(t, i, p, 1).success, c.below, "%s, %s", c.incident, c.policy)
	}
}

func (s score) String() string {
	return fmt.Sprintf("%.2f %% answered, %.1f %% goodput, p50 %s, p99 %s, first chunk p99 %s, %.2f attempts, %+.0f %% chunks, %s",
		100*s.success, 100*s.goodput, seconds(s.p50), seconds(s.p99), seconds(s.first), s.attempts, 100*s.extra, s.recovery())
}

func seconds(d time.Duration) string {
	if d == math.MaxInt64 {
		return "–"
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func (s score) recovery() string {
	if s.recovered < 0 {
		return "never"
	}
	return fmt.Sprintf("%.0f s", s.recovered.Seconds())
}

// median is the median of scores, by each measure of its own.
func median(all []score) score {
	return score{
		middle(all, func(s score) float64 { return s.success }), middle(all, func(s score) float64 { return s.goodput }),
		middle(all, func(s score) time.Duration { return s.p50 }), middle(all, func(s score) time.Duration { return s.p99 }),
		middle(all, func(s score) time.Duration { return s.first }), middle(all, func(s score) float64 { return s.attempts }),
		middle(all, func(s score) float64 { return s.extra }), middle(all, func(s score) time.Duration { return s.recovered }),
	}
}

func middle[T float64 | time.Duration](all []score, of func(score) T) T {
	var list []T
	for _, s := range all {
		list = append(list, of(s))
	}
	slices.Sort(list)
	return list[len(list)/2]
}

const seeds = 3

func write(t *testing.T) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, `# Scoreboard

The same incidents against the same simulated models, through policies that are [plain functions](../benchmarks/scoreboard/policies_test.go).
Medians of %d seeds, in virtual time; written by

    cd benchmarks && go test ./scoreboard -run TestScoreboard -v -args -update

![Answered in full, by policy and incident](scoreboard.svg)

Five models, two each at the providers a and b, one at c, answer %.1f calls a second in all, each eight at a time, in 1.5 s in
the mean, as streams of %d chunks. They go on with requests whose clients have left
([the world](../benchmarks/scoreboard/world_test.go)). Callers wait for 24 s. An incident begins after a minute
([the incidents](../benchmarks/scoreboard/incidents_test.go)).

- **answered**: of the calls that began in the incident or within a minute after it, those that were answered in full
- **goodput**: answers a second in the incident, of the calls a second, or of what can be answered then if that is less
- **p50, p99, first chunk**: of the calls that were answered
- **attempts**: a call, of all from the incident on
- **extra**: chunks that the models made beyond those of answers that callers got
- **back**: after the end, until of each ten seconds' calls 99 %% are answered

The policies named after products have their documented defaults, in a few lines of Go; they are not those products.

| policy | what it does |
| --- | --- |
`, seeds, capacity, chunks)
	for _, p := range policies {
		fmt.Fprintf(&b, "| %s | %s |\n", p.name, p.what)
	}
	success := map[string]map[string]float64{}
	for _, i := range incidents {
		fmt.Fprintf(&b, "\n## %s\n\n%s, for %v, at %.0f calls a second.\n\n", i.name, strings.ToUpper(i.what[:1])+i.what[1:], i.duration(), i.perSecond)
		b.WriteString("| policy | answered | goodput | p50 | p99 | first chunk p99 | attempts | extra | back |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
		success[i.name] = map[string]float64{}
		best := ""
		for _, p := range policies {
			var all []score
			for seed := range uint64(seeds) {
				all = append(all, play(t, i, p, seed+1))
			}
			s := median(all)
			success[i.name][p.name] = s.success
			if best == "" || s.success > success[i.name][best] {
				best = p.name
			}
			fmt.Fprintf(&b, "| %s | %.2f %% | %.1f %% | %s | %s | %s | %.2f | %+.0f %% | %s |\n", p.name, 100*s.success, 100*s.goodput,
				seconds(s.p50), seconds(s.p99), seconds(s.first), s.attempts, 100*s.extra, s.recovery())
			t.Logf("%s, %s: %s", i.name, p.name, s)
		}
		ours := success[i.name]["stack"]
		if most := success[i.name][best]; best != "stack" && most-ours >= .005 {
			fmt.Fprintf(&b, "\n**%s answers the most here**, %.1f points more than the stack.\n", best, 100*(most-ours))
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(docs, "scoreboard.md"), []byte(b.String()), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(docs, "scoreboard.svg"), []byte(picture(success)), 0o644))
	t.Logf("written with %s", runtime.Version())
}

// picture is a table with colours: the share of calls that were answered.
func picture(success map[string]map[string]float64) string {
	const left, top, wide, high = 170, 40, 104, 30
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="13">`+"\n",
		left+wide*len(incidents)+10, top+high*len(policies)+10)
	b.WriteString(`<rect width="100%" height="100%" fill="#fff"/>` + "\n")
	for x, i := range incidents {
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle" fill="#333">%s</text>`+"\n", left+wide*x+wide/2, top-12, html.EscapeString(i.name))
	}
	for y, p := range policies {
		weight := ""
		if p.name == "stack" {
			weight = ` font-weight="bold"`
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end" fill="#333"%s>%s</text>`+"\n", left-10, top+high*y+20, weight, html.EscapeString(p.name))
		for x, i := range incidents {
			share := success[i.name][p.name]
			lost := math.Sqrt(min(1, (1-share)/.75)) // small losses are told apart, too
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" rx="3" fill="hsl(%.0f 55%% %.0f%%)"/><text x="%d" y="%d" text-anchor="middle" fill="#222"%s>%.1f</text>`+"\n",
				left+wide*x+2, top+high*y+2, wide-4, high-4, 130*(1-lost), 82-12*lost, left+wide*x+wide/2, top+high*y+20, weight, 100*share)
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

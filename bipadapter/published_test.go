package bipadapter_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/bipadapter"
	"github.com/cmmv-hive/resilience/internal/datasets"
)

const minutes = "hive-votes/cmmv-hive/gov/minutes"

// A session is what the hive has published of one.
type session struct {
	id     string
	rule   bipadapter.Rule
	sheets []bipadapter.Sheet
	voters []bipadapter.Voter
}

func readJSON(t *testing.T, name string, v any) {
	t.Helper()
	require.NoError(t, json.NewDecoder(datasets.Open(t, path.Join(minutes, name))).Decode(v))
}

// readSession reads a session's ballots through ReadSheet. All who cast a ballot
// are its voters, as the published results have it.
func readSession(t *testing.T, id string, collaborators ...string) session {
	t.Helper()
	rule, ok := bipadapter.Preset("session-" + id)
	require.True(t, ok)
	s := session{id: id, rule: rule}
	files, err := filepath.Glob(filepath.Join(datasets.Path(t, path.Join(minutes, id, "votes")), "*.json"))
	require.NoError(t, err)
	for _, name := range files {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		sheet, err := bipadapter.ReadSheet(data)
		if filepath.Base(name) == "TEMPLATE.json" {
			require.Error(t, err, "a form is no ballot")
			continue
		}
		require.NoError(t, err, name)
		v := bipadapter.Voter{Name: strings.TrimSuffix(filepath.Base(name), ".json"), Aliases: []string{sheet.Model}}
		if slices.Contains(collaborators, v.Name) {
			v.Role = bipadapter.Collaborator
		}
		s.sheets, s.voters = append(s.sheets, sheet), append(s.voters, v)
	}
	return s
}

func (s session) count(t *testing.T, proposal, topic string) bipadapter.Count {
	t.Helper()
	casts, err := bipadapter.Casts(proposal, s.sheets)
	require.NoError(t, err)
	c, err := s.rule.Count(bipadapter.Poll{Topic: topic, Voters: s.voters, Casts: casts})
	require.NoError(t, err)
	return c
}

// percent rounds a share as the hive prints it.
func percent(share float64) float64 { return math.Round(share*1000) / 10 }

// A result is what the hive has published about a proposal.
type result struct {
	ID         string  `json:"proposal_id"`
	TempID     string  `json:"temp_id"`
	Score      float64 `json:"score"`
	Percentage float64 `json:"percentage"`
	Status     string  `json:"status"`
}

// compare counts what results are of, and returns how many shares are the same
// and all that differs.
func (s session) compare(t *testing.T, results []result, topic func(id string) string) (same int, findings []string) {
	t.Helper()
	status := map[bipadapter.Outcome]string{
		bipadapter.Approved: "approved", bipadapter.Refused: "rejected", bipadapter.Revised: "hold", bipadapter.NoDecision: "undecided",
	}
	for _, r := range results {
		c := s.count(t, r.ID, topic(r.ID))
		ours := status[c.Outcome]
		if c.Outcome == bipadapter.Revised && strings.HasPrefix(c.Reason, "vetoes") {
			ours = "revision for vetoes"
		}
		if got := percent(c.Share); got == r.Percentage {
			same++
		} else {
			findings = append(findings, fmt.Sprintf("%s: published %v %%, the ballots say %v %%", r.ID, r.Percentage, got))
		}
		if ours != r.Status {
			findings = append(findings, fmt.Sprintf("%s: published %s, the rule says %s", r.ID, r.Status, ours))
		}
	}
	return same, findings
}

// TestPublishedHiveVotes counts the published ballots of four sessions by the
// rules that they were to be counted by. Whatever the hive has published that
// the ballots do not bear out is a finding.
func TestPublishedHiveVotes(t *testing.T) {
	none := func(string) string { return "" }
	log := func(t *testing.T, id string, same, of int, reference, target string, findings []string) {
		t.Helper()
		t.Logf("published: HiveVotes/%s: measured %d of %d scores and %d discrepancies, reference %s, target %s", id, same, of, len(findings), reference, target)
		for _, f := range findings {
			t.Logf("%s: finding: %s", id, f)
		}
	}

	t.Run("0001", func(t *testing.T) {
		var published struct{ Results []result }
		readJSON(t, "0001/results.json", &published)
		require.Len(t, published.Results, 20)
		for i := range published.Results {
			published.Results[i].Percentage, published.Results[i].Status = published.Results[i].Score, "approved" // by final_report.json
		}
		same, findings := readSession(t, "0001").compare(t, published.Results, none)
		log(t, "0001", same, 20, "20 of 20 as published", "5, each discrepancy a finding", findings)
		require.Equal(t, 5, same)
		require.Equal(t, []string{
			"012: published 97 %, the ballots say 98 %",
			"006: published 95 %, the ballots say 92 %",
			"019: published 91 %, the ballots say 90 %",
			"007: published 89 %, the ballots say 88 %",
			"018: published 88 %, the ballots say 87 %",
			"017: published 84 %, the ballots say 83 %",
			"005: published 82 %, the ballots say 83 %",
			"008: published 81 %, the ballots say 77 %",
			"008: published approved, the rule says rejected",
			"010: published approved, the rule says rejected",
			"015: published 79 %, the ballots say 80 %",
			"013: published 76 %, the ballots say 74 %",
			"013: published approved, the rule says rejected",
			"003: published 71 %, the ballots say 72 %",
			"003: published approved, the rule says rejected",
			"016: published 69 %, the ballots say 67 %",
			"016: published approved, the rule says rejected",
			"014: published 63 %, the ballots say 64 %",
			"014: published approved, the rule says rejected",
			"004: published 62 %, the ballots say 64 %",
			"004: published approved, the rule says rejected",
			"020: published 55 %, the ballots say 53 %",
			"020: published approved, the rule says rejected",
		}, findings)
	})

	t.Run("0002", func(t *testing.T) {
		s := readSession(t, "0002")
		same, findings := s.compareTitles(t)
		log(t, "0002", same, 19, "19 of 19 as published", "17 and the swapped pair named", findings)
		require.Equal(t, 17, same)
		require.Equal(t, []string{
			"P-037: published rejected, the rule says approved: \"approve\" has 6 of 10, and it takes more than 0.5",
			"P-041: published 1 of 10, the ballots say 2",
			"P-049: published 2 of 10, the ballots say 1",
			"P-041 and P-049: their scores are swapped",
		}, findings)
	})

	t.Run("0003", func(t *testing.T) {
		var published struct{ Results []result }
		readJSON(t, "0003/results.json", &published)
		var proposals []struct{ ID, Category string }
		readJSON(t, "0003/proposals.json", &proposals)
		topic := func(id string) string {
			i := slices.IndexFunc(proposals, func(p struct{ ID, Category string }) bool { return p.ID == id })
			switch {
			case id == "037":
				return id
			case proposals[i].Category == "Security":
				return "security"
			}
			return ""
		}
		s := readSession(t, "0003", "deepseek-r1-0528", "deepseek-v3.1")
		same, findings := s.compare(t, published.Results, topic)
		log(t, "0003", same, 24, "24 of 24 as published", "6, each discrepancy a finding", findings)
		p021 := s.count(t, "P021", "security")
		t.Logf("published: HiveVotes/P021: measured %v %%, reference 95 %%, target 93 %%", percent(p021.Share))
		require.InDelta(t, 93, percent(p021.Share), 0)
		require.Equal(t, bipadapter.Approved, p021.Outcome)
		require.Equal(t, 6, same)
		require.Equal(t, []string{
			"021: published 95 %, the ballots say 93 %",
			"023: published 93 %, the ballots say 92 %",
			"025: published 93 %, the ballots say 91 %",
			"024: published 91 %, the ballots say 90 %",
			"027: published 88 %, the ballots say 84 %",
			"036: published 88 %, the ballots say 89 %",
			"022: published 85 %, the ballots say 84 %",
			"030: published 84 %, the ballots say 83 %",
			"026: published 80 %, the ballots say 83 %",
			"010: published 73 %, the ballots say 74 %",
			"015: published 68 %, the ballots say 73 %",
			"031: published 64 %, the ballots say 57 %",
			"031: published approved, the rule says hold",
			"014: published 57 %, the ballots say 56 %",
			"014: published rejected, the rule says hold",
			"003: published 54 %, the ballots say 55 %",
			"003: published rejected, the rule says hold",
			"029: published 48 %, the ballots say 47 %",
			"029: published rejected, the rule says hold",
			"004: published 47 %, the ballots say 46 %",
			"004: published rejected, the rule says hold",
			"020: published 22 %, the ballots say 25 %",
			"020: published vetoed, the rule says revision for vetoes",
			"028: published 27 %, the ballots say 30 %",
			"028: published vetoed, the rule says revision for vetoes",
		}, findings)
		require.Equal(t, "vetoes of 5 of the generals' 8", s.count(t, "028", "").Reason, "published: 50 %")
		require.Equal(t, "vetoes of 4 of the generals' 8", s.count(t, "020", "").Reason, "published: 60 %")
	})

	t.Run("0004", func(t *testing.T) {
		var published struct {
			Results []result
			Summary struct {
				Average float64 `json:"average_score"`
			}
		}
		readJSON(t, "0004/results.json", &published)
		var proposals []struct{ ID, Category string }
		readJSON(t, "0004/proposals.json", &proposals)
		topic := func(id string) string {
			i := slices.IndexFunc(proposals, func(p struct{ ID, Category string }) bool { return p.ID == id })
			first, _, _ := strings.Cut(proposals[i].Category, " |")
			return strings.ToLower(first)
		}
		s := readSession(t, "0004")
		same, findings := s.compare(t, published.Results, topic)
		votes, sum := 0, 0.0
		for _, sheet := range s.sheets {
			votes += len(sheet.Ballots)
		}
		for _, r := range published.Results {
			sum += percent(s.count(t, r.ID, topic(r.ID)).Share)
		}
		log(t, "0004", same, 19, "19 of 19 as published", "19", append(findings,
			fmt.Sprintf("%d votes, published as 228; the mean of all scores is %.1f, published as %v", votes, sum/19, published.Summary.Average)))
		require.Equal(t, 19, same)
		require.Empty(t, findings)
		require.Equal(t, 212, votes)
		require.InDelta(t, 80.8, sum/19, 0.05)
	})
}

// compareTitles is compare for session 0002, which has renumbered its proposals
// after the vote: they are told by their titles. Those that were rejected were
// renumbered to the names of others.
func (s session) compareTitles(t *testing.T) (same int, findings []string) {
	t.Helper()
	var proposals []struct{ ID, Title string }
	readJSON(t, "0002/proposals.json", &proposals)
	var report struct {
		Proposals []struct {
			Title, Status string
			Score         string `json:"supportScore"`
		}
	}
	readJSON(t, "0002/final_report.json", &report)
	require.Len(t, report.Proposals, 19)
	type off struct {
		id              string
		published, real float64
	}
	var wrong []off
	for _, p := range proposals {
		c := s.count(t, p.ID, "")
		i := slices.IndexFunc(report.Proposals, func(r struct {
			Title, Status string
			Score         string `json:"supportScore"`
		},
		) bool {
			return strings.HasPrefix(p.Title, r.Title)
		})
		require.GreaterOrEqual(t, i, 0, p.Title)
		r := report.Proposals[i]
		var score float64
		_, err := fmt.Sscanf(r.Score, "%f/10", &score)
		require.NoError(t, err)
		if score == c.Tally[bipadapter.Approve] {
			same++
		} else {
			wrong = append(wrong, off{p.ID, score, c.Tally[bipadapter.Approve]})
			findings = append(findings, fmt.Sprintf("%s: published %v of 10, the ballots say %v", p.ID, score, c.Tally[bipadapter.Approve]))
		}
		if r.Status != string(c.Outcome) {
			findings = append(findings, fmt.Sprintf("%s: published %s, the rule says %s: %s", p.ID, r.Status, c.Outcome, c.Reason))
		}
	}
	for i, a := range wrong {
		for _, b := range wrong[i+1:] {
			if a.published == b.real && a.real == b.published {
				findings = append(findings, fmt.Sprintf("%s and %s: their scores are swapped", a.id, b.id))
			}
		}
	}
	return same, findings
}

// TestPublishedIneligible counts session 0002 with the ten who were named as its
// voters: one of them is absent, and somebody else has voted.
func TestPublishedIneligible(t *testing.T) {
	s := readSession(t, "0002")
	i := slices.IndexFunc(s.voters, func(v bipadapter.Voter) bool { return v.Name == "cursor-auto" })
	s.voters[i] = bipadapter.Voter{Name: "gpt-4o"}
	c := s.count(t, "P-022", "")
	require.Equal(t, bipadapter.Approved, c.Outcome)
	require.InDelta(t, 9, c.Tally[bipadapter.Approve], 0)
	require.Contains(t, c.Steps, `set aside: "cursor-auto" is no eligible voter`)
	require.Contains(t, c.Steps, `"gpt-4o" weighs 1: absent`)

	c = s.count(t, "P-037", "")
	require.Equal(t, bipadapter.NoDecision, c.Outcome, "with one unheard, 5 of 10 are no majority")
}

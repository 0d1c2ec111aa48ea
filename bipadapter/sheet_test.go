package bipadapter_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/bipadapter"
)

func sheet(t *testing.T, text string) bipadapter.Sheet {
	t.Helper()
	s, err := bipadapter.ReadSheet([]byte(text))
	require.NoError(t, err)
	return s
}

const rated = `{"minute_id":"0003","model":"Manus AI","timestamp":"2023-10-10T12:00:00Z","weights":[
	{"proposal_id":"P-056","weight":9,"comment":"Proposta sólida e necessária"},
	{"proposal_id":"P057","weight":3,"veto":"não especificado"},
	{"proposal_id":"58","weight":1}]}`

// TestReadSheet is lenient where published files are as they are.
func TestReadSheet(t *testing.T) {
	for name, text := range map[string]string{"LF": rated, "CRLF": strings.ReplaceAll(rated, "\n", "\r\n")} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, bipadapter.Sheet{
				Session: "0003", Model: "Manus AI", Time: time.Date(2023, 10, 10, 12, 0, 0, 0, time.UTC),
				Ballots: map[string]bipadapter.Ballot{
					"056": {Score: 9, Reason: "Proposta sólida e necessária"}, "057": {Score: 3, Veto: "não especificado"}, "058": {Score: 1},
				},
			}, sheet(t, text))
		})
	}
	s := sheet(t, `{"model_id":"gpt-5","timestamp":"2025-09-07T10:20:00.5+02:00","vote_type":"snapshot_proposal_voting",
		"proposals":[{"proposal_id":"P-022","vote":"SUPPORT"},{"proposal_id":"P-025","vote":"REJECT"}]}`)
	require.Equal(t, map[string]bipadapter.Ballot{"022": {Choice: bipadapter.Approve}, "025": {Choice: bipadapter.Reject}}, s.Ballots)
}

func TestReadSheetIsStrict(t *testing.T) {
	for _, c := range []struct{ old, to, want string }{
		{`"minute_id"`, `"minutes"`, `unknown key "minutes"`},
		{`"minute_id":"0003"`, `"model":"x"`, "a key is repeated"},
		{`"minute_id":"0003"`, `"model_id":"x"`, "both model and model_id"},
		{`"Manus AI"`, `"<your-model>"`, `"<your-model>" is no model`},
		{`"Manus AI"`, `""`, "is no model"},
		{`"model":"Manus AI",`, "", "no model"},
		{`"timestamp":"2023-10-10T12:00:00Z",`, "", "no timestamp"},
		{"2023-10-10T12:00:00Z", "YYYY-MM-DDTHH:MM:SSZ", "timestamp: want a time"},
		{`"weight":9`, `"weight":11`, "weights[0]: weight: want a number from 1 to 10"},
		{`"weight":9`, `"weight":0`, "weights[0]: weight: want a number from 1 to 10"},
		{`"weight":9`, `"weight":8.5`, "weights[0]: weight: want a whole number"},
		{`"weight":9`, `"weight":"9"`, "weights[0]: weight: want a number"},
		{`"weight":9,`, ``, "weights[0]: no proposal_id, or nothing said about it"},
		{`"weight":9`, `"weight":9,"weight":8`, "weights[0]: a key is repeated"},
		{`"weight":9`, `"Weight":9`, `unknown key "Weight"`},
		{`"weight":9`, `"vote":"SUPPORT"`, `unknown key "vote"`},
		{"P-056", "057", `weights[1]: proposal "057" is rated twice`},
		{"P-056", "P-056a", "proposal_id"},
		{"P-056", "P-000", "proposal_id"},
		{"ó", "\xff", "invalid UTF-8"},
		{"sólida", strings.Repeat("x", 10_001), "comment: 10023 characters"},
		{"]}", "]} ", ""},
		{"]}", "]} x", "text after the JSON value"},
	} {
		text := strings.Replace(rated, c.old, c.to, 1)
		require.NotEqual(t, rated, text, c.old)
		_, err := bipadapter.ReadSheet([]byte(text))
		if c.want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, c.want, text)
	}
	for _, text := range []string{
		"", "[]", `{"model":"a","timestamp":"2023-10-10T12:00:00Z","weights":{}}`, `{"model":"a","timestamp":"2023-10-10T12:00:00Z","weights":[]}`,
		`{"model":"a","timestamp":"2023-10-10T12:00:00Z","weights":[7]}`,
		`{"model":"a","timestamp":"2023-10-10T12:00:00Z","vote_type":"veto"}`,
		`{"model":"a","timestamp":"2023-10-10T12:00:00Z","proposals":[{"proposal_id":"1","vote":"ABSTAIN"}]}`,
	} {
		_, err := bipadapter.ReadSheet([]byte(text))
		require.Error(t, err, text)
	}
	for _, id := range []string{"56", "056", "P056", "P-056", "p-0056"} {
		got, err := bipadapter.Proposal(id)
		require.NoError(t, err)
		require.Equal(t, "056", got)
	}
	for _, id := range []string{"", "P", "-", "P-", "X56", "5 6", "1234567"} {
		_, err := bipadapter.Proposal(id)
		require.Error(t, err, id)
	}
}

// TestSheetsInACount has all that is odd about the published ballots in one
// session: who votes under another name, who is not eligible, who is absent, who
// rates a part, who rates what there is not, and a veto with a rating that is too
// high for one.
func TestSheetsInACount(t *testing.T) {
	voters := []bipadapter.Voter{
		{Name: "manus-ai"}, {Name: "gpt-5", Aliases: []string{"openai-gpt-5-fast"}}, {Name: "grok-3", Aliases: []string{"grok-3-beta"}}, {Name: "gpt-4o"},
	}
	sheets := []bipadapter.Sheet{
		sheet(t, rated),
		sheet(t, `{"model":"openai-gpt-5-fast","timestamp":"2025-09-07T10:20:00Z","weights":[{"proposal_id":"056","weight":8},{"proposal_id":"057","weight":2,"veto":"x"}]}`),
		sheet(t, `{"model":"Grok-3-Beta","timestamp":"2025-09-07T10:20:00Z","weights":[{"proposal_id":"056","weight":7},{"proposal_id":"099","weight":10}]}`),
		sheet(t, `{"model":"cursor-auto","timestamp":"2025-09-07T10:20:00Z","weights":[{"proposal_id":"056","weight":1}]}`),
	}
	rule := bipadapter.Rule{Method: bipadapter.Scores, Threshold: 0.6, AbstainOut: true, Veto: bipadapter.Veto{Reject: 0.25}}
	tally := func(proposal string) bipadapter.Count {
		casts, err := bipadapter.Casts(proposal, sheets)
		require.NoError(t, err)
		return count(t, rule, bipadapter.Poll{Voters: voters, Casts: casts})
	}
	c := tally("P-56")
	require.Equal(t, map[string]float64{"score": 24}, c.Tally)
	require.Equal(t, []bipadapter.Standing{"absent", "counted", "counted", "counted"}, standings(c))
	require.Contains(t, c.Steps, `set aside: "cursor-auto" is no eligible voter`)
	require.InDelta(t, 0.6, c.Share, 0, "24 of 40: nobody is left out for being absent")
	require.Equal(t, bipadapter.Approved, c.Outcome)

	c = tally("057")
	require.Equal(t, []bipadapter.Standing{"absent", "counted", "abstained", "counted"}, standings(c))
	require.Equal(t, "vetoes of 1 of the generals' 4", c.Reason, "one with a rating of 3 is none")

	_, err := bipadapter.Casts("nothing", sheets)
	require.Error(t, err)
}

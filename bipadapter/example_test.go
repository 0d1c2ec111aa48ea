package bipadapter_test

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing/fstest"
	"time"

	"github.com/cmmv-hive/resilience/bipadapter"
)

func ExampleRule_Count() {
	rule, _ := bipadapter.Preset("BIP-06")
	c, err := rule.Count(bipadapter.Poll{
		Voters: []bipadapter.Voter{{Model: "claude-4-sonnet"}, {Model: "deepseek-r1"}, {Model: "gemini-2.5-pro"}, {Model: "gpt-5"}},
		Casts: []bipadapter.Cast{
			{Voter: "gpt-5", Ballot: bipadapter.Ballot{Choice: bipadapter.Approve}},
			{Voter: "gemini-2.5-pro", Ballot: bipadapter.Ballot{Choice: bipadapter.Approve}},
			{Voter: "claude-4-sonnet", Ballot: bipadapter.Ballot{Choice: bipadapter.Abstain}},
			{Voter: "deepseek-r1", Standing: bipadapter.Absent, Reason: "timed out"},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(strings.Join(c.Steps, "\n"))
	fmt.Println("one vote would change it:", c.Pivotal)
	// Output:
	// rule "BIP-06": approval, at least 2/3 of the weight of eligible voters who do not abstain
	// "claude-4-sonnet" weighs 1: abstains
	// "deepseek-r1" weighs 1: absent
	// "gemini-2.5-pro" weighs 1: "approve"
	// "gpt-5" weighs 1: "approve"
	// quorum: 3 of 4 cast a ballot, and 3 must
	// for: 2 of 3; with the unheard, who weigh 1, at most 3
	// share: 2/3 to 1; threshold 2/3, hold 0
	// approved: the share reaches the threshold of 2/3
	// one vote would change it: true
}

func ExampleReadBallot() {
	paper, err := bipadapter.NewPaper("BIP-03/1", [16]byte{}, []string{"approve", "reject"}, rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	answer := fmt.Sprintf(`{"choice": %q, "confidence": 0.9, "reason": "tested"}`, paper.Options[0].Token)
	ballot, err := bipadapter.ReadBallot([]byte(answer))
	if err != nil {
		fmt.Println(err)
		return
	}
	ballot, err = paper.Resolve(ballot)
	fmt.Println(ballot.Choice == paper.Options[0].Text, ballot.Confidence, err)

	_, err = bipadapter.ReadBallot([]byte("I vote " + answer))
	fmt.Println(err)
	_, err = paper.Resolve(bipadapter.Ballot{Choice: "approve"})
	fmt.Println(err)
	// Output:
	// true 0.9 <nil>
	// ballot: not JSON, at byte 1
	// ballot: choice: no token of this voter's paper
}

func ExampleVerifyChain() {
	ballot := []byte(`{"minute_id":"0007","model":"gpt-5","timestamp":"2026-11-30T12:00:00Z","weights":[{"proposal_id":"056","weight":9}]}`)
	files := fstest.MapFS{"votes/gpt-5.json": {Data: ballot}}
	chain := bipadapter.Chain{Format: bipadapter.VotingChain, Name: "0007"}
	chain.Add(time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), "vote", "gpt-5", "", []string{"votes/gpt-5.json"}, ballot)
	var published strings.Builder
	if err := bipadapter.WriteChains(&published, chain); err != nil {
		fmt.Println(err)
		return
	}

	files["votes/gpt-5.json"].Data = []byte(strings.Replace(string(ballot), `"weight":9`, `"weight":1`, 1))
	verdicts, err := bipadapter.VerifyChain(bipadapter.VotingChain, strings.NewReader(published.String()), files)
	for _, v := range verdicts {
		fmt.Println(v.Block.Index, v.OK(), v.Problems, err)
	}
	// Output:
	// 1 false [the file hash is not that of the file] <nil>
}

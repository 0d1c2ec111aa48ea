package bipadapter

import "maps"

// Preset returns the rule that a document of the hive lays down: "session-0001"
// to "session-0004", "BIP-01" or "BIP-06". The documents contradict each other;
// each rule says where it is from. What a document leaves open is as in the zero
// [Rule], and nobody is left out of the whole for being absent.
func Preset(name string) (Rule, bool) {
	r, ok := presets[name]
	r.Name, r.Topics = name, maps.Clone(r.Topics)
	return r, ok
}

var presets = map[string]Rule{
	"session-0001": {
		Document: "gov/minutes/0001/final_report.json, votingDetails.threshold: 0.8; weights are 1, overview",
		Method:   Scores, Threshold: 0.8, AbstainOut: true,
	},
	"session-0002": {
		Document: "gov/minutes/0002/INSTRUCTIONS.md: more than 50 % of ten generals (final_report.json applies 0.8)",
		Method:   Majority, Threshold: 0.5, Voters: 10,
	},
	"session-0003": {
		Document: "gov/minutes/0003/INSTRUCTIONS.md: from 60 approved, 40 to 59 held; results.json, special_thresholds; vetoes of generals, from half revised, from 80 % rejected, in MASTER_GUIDELINES",
		Method:   Scores, Threshold: 0.6, Hold: 0.4, AbstainOut: true, Quorum: 1,
		Topics: map[string]float64{"037": 0.7, "security": 0.55},
		Veto:   Veto{Score: 2, Revise: 0.5, Reject: 0.8},
	},
	"session-0004": {
		Document: "gov/minutes/0004/results.json, voting_summary: 70, security and infrastructure 75; INSTRUCTIONS.md: 40 to 59 held, all twelve vote",
		Method:   Scores, Threshold: 0.7, Hold: 0.4, AbstainOut: true, Quorum: 1,
		Topics: map[string]float64{"security": 0.75, "infrastructure": 0.75},
	},
	"BIP-01": {
		Document: "P012 and .consensus/voting.yml, voting.threshold: 0.6 of the weight, voting.quorum: 5 votes",
		Method:   Approval, Threshold: 0.6, Ballots: 5,
	},
	"BIP-06": {
		Document: "BIP-06 and P056, consensus: 2/3 of those who do not abstain, 3 votes",
		Method:   Approval, Threshold: 2.0 / 3, AbstainOut: true, Ballots: 3,
	},
}

package bipadapter_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/bipadapter"
	"github.com/cmmv-hive/resilience/internal/settings"
)

func TestReadRule(t *testing.T) {
	require.NoError(t, settings.Lint(bipadapter.Rule{}))
	got, err := bipadapter.ReadRule([]byte(`{
		"name": "house", "method": "scores", "threshold": 0.6, "hold": 0.4, "topics": {"security": 0.55}, "quorum": 0.5,
		"voting": ["general"], "veto": {"revise": 0.5, "reject": 0.8}, "groupCap": 0.34, "faults": 1
	}`))
	require.NoError(t, err)
	require.Equal(t, bipadapter.Rule{
		Name: "house", Method: bipadapter.Scores, Threshold: 0.6, Hold: 0.4, Topics: map[string]float64{"security": 0.55}, Quorum: 0.5,
		Voting: []bipadapter.Role{bipadapter.General}, Veto: bipadapter.Veto{Revise: 0.5, Reject: 0.8}, GroupCap: 0.34, Faults: 1,
	}, got)
	got, err = bipadapter.ReadRule([]byte(`{}`))
	require.NoError(t, err)
	require.Zero(t, got)

	for text, want := range map[string]string{
		`{"treshold": 0.6}`:                                            `rule.treshold: unknown key; did you mean "threshold"?`,
		`{"threshold": 0.6, "threshold": 0.1}`:                         "rule.threshold: duplicate key",
		`{"threshold": 60}`:                                            "rule.threshold: 60 is more than 1",
		`{"threshold": "60%"}`:                                         "rule.threshold: want a number, not a string",
		`{"threshold": -0.5}`:                                          "rule.threshold: -0.5 must not be negative",
		`{"method": "vote"}`:                                           `rule.method: "vote" is none of plurality, majority`,
		`{"method": null}`:                                             "rule.method: null has no meaning here",
		`{"method": "unanimous", "threshold": 0.9}`:                    `rule.threshold: 0.9 contradicts "unanimous", which asks for all; leave it out`,
		`{"method": "approval", "threshold": 0.4}`:                     "rule.threshold: 0.4 would approve what more voters reject; say 0.5 or more",
		`{"method": "approval", "topics": {"x": 0.4}}`:                 `rule.topics."x": 0.4 is no threshold of "approval"`,
		`{"method": "unanimous", "topics": {"x": 0.9}}`:                `rule.topics."x": 0.9 is no threshold of "unanimous"`,
		`{"topics": {"x": 0}}`:                                         "rule.topics.x: 0 is less than 1e-09",
		`{"quorum": 1e-12}`:                                            "rule.quorum: 1e-12 is less than 1e-09",
		`{"method": "scores", "hold": 0.6}`:                            "rule.hold: 0.6 is not less than threshold, 0.6",
		`{"method": "scores", "hold": 0.5, "topics": {"x": 0.5}}`:      `rule.topics."x": 0.5 is not more than hold, 0.5`,
		`{"hold": 0.4}`:                                                `rule.hold: only "approval" and "scores" send back`,
		`{"voting": ["master"]}`:                                       `rule.voting[0]: "master" is none of general, collaborator`,
		`{"method": "scores", "veto": {"revise": 0.8, "reject": 0.5}}`: "rule.veto.revise: 0.8 is more than veto.reject, 0.5",
		`{"veto": {"reject": 0.5}}`:                                    `rule.veto: only in "approval" and "scores" is there a proposal to object to`,
		`{"veto": {"score": -1}}`:                                      "rule.veto.score: -1 must not be negative",
		`{"faults": -1}`:                                               "rule.faults: -1 must not be negative",
		`{"faults": 1e400}`:                                            "rule.faults:",
		`{"name": "a"} {}`:                                             "rule: line 1, column",
		"{\"name\": \"\xff\"}":                                         "rule: line 1, column 11: invalid UTF-8",
	} {
		t.Run(text, func(t *testing.T) {
			_, err := bipadapter.ReadRule([]byte(text))
			require.ErrorContains(t, err, want)
			var config *resilience.ConfigError
			require.ErrorAs(t, err, &config)
		})
	}
	_, err = bipadapter.ReadRule([]byte(`{"method": "unanimous", "topics": {"x": 1}}`))
	require.NoError(t, err)
	require.ErrorContains(t, bipadapter.Rule{Threshold: math.NaN()}.Check(), "rule.threshold: NaN is not a finite number")
	require.Error(t, bipadapter.Rule{Voting: []bipadapter.Role{bipadapter.Master}}.Check())
}

func TestPresets(t *testing.T) {
	for _, name := range []string{"session-0001", "session-0002", "session-0003", "session-0004", "BIP-01", "BIP-06"} {
		r, ok := bipadapter.Preset(name)
		require.True(t, ok, name)
		require.Equal(t, name, r.Name)
		require.NotEmpty(t, r.Document)
		require.NoError(t, r.Check())
		text, err := json.Marshal(r)
		require.NoError(t, err)
		again, err := bipadapter.ReadRule(text)
		require.NoError(t, err)
		require.Equal(t, r, again)
	}
	_, ok := bipadapter.Preset("session-0005")
	require.False(t, ok)

	r, _ := bipadapter.Preset("session-0003")
	r.Topics["037"] = 0.1
	r, _ = bipadapter.Preset("session-0003")
	require.InDelta(t, 0.7, r.Topics["037"], 0, "a caller changes his copy alone")
}

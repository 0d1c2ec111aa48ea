package bipadapter_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/bipadapter"
)

// TestObjectionsMaySendBackWhatIsRejected: no vote can be approved any more, and yet what
// comes is not settled, as some objections send back and more reject.
func TestObjectionsMaySendBackWhatIsRejected(t *testing.T) {
	rule := bipadapter.Rule{Method: bipadapter.Scores, Threshold: 1, Veto: bipadapter.Veto{Revise: 1. / 3, Reject: 1}}
	var p bipadapter.Poll
	for _, name := range []string{"a", "b", "c", "d"} {
		p.Voters = append(p.Voters, bipadapter.Voter{Name: name, Model: "m-" + name, Role: bipadapter.General, Weight: 1})
	}
	p.Casts = []bipadapter.Cast{{Voter: "a", Ballot: bipadapter.Ballot{Score: 0, Veto: "unsafe"}}}
	c, err := rule.Count(p)
	require.NoError(t, err)
	require.Equal(t, bipadapter.Refused, c.Outcome)
	settled, err := rule.Settled(p)
	require.NoError(t, err)
	require.False(t, settled)
}

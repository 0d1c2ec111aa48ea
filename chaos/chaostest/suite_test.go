package chaostest

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/stack"
)

func ready() []resilience.Feature { return []resilience.Feature{stack.New(stack.Config{})} }
func none() []resilience.Feature  { return nil }
func three() []resilience.Feature {
	return []resilience.Feature{fallback.New(fallback.Config{Limit: 3})}
}

// TestStackSurvives is what users write.
func TestStackSurvives(t *testing.T) { Suite(t, ready) }

// TestNaiveDoesNot is that the suite can fail: a stack that is none, and
// fallback alone.
func TestNaiveDoesNot(t *testing.T) {
	for _, c := range []struct {
		name      string
		features  func() []resilience.Feature
		survives  map[string]bool // no other
		conductOf string          // fails these at resource_exhaustion
		checks    []string
	}{
		{"none", none, nil, chaos.MemoryLeak, []string{chaos.CheckSuccess, chaos.CheckGoodput, chaos.CheckProbes}},
		{"fallback ×3", three, map[string]bool{chaos.IntermittentErrors: true, chaos.CPUSpike: true}, chaos.ResourceExhaustion,
			[]string{chaos.CheckAmplification, chaos.CheckRetryAfter, chaos.CheckProbes}},
	} {
		for _, name := range chaos.Standards() {
			e, _ := chaos.Standard(name)
			res := Run(t, e, c.features)
			require.Equal(t, c.survives[name], res.Verdict == chaos.VerdictPassed, "%s: %v", c.name, res)
			require.NotEqual(t, chaos.VerdictInvalid, res.Verdict)
			if name != c.conductOf {
				continue
			}
			var failed []string
			for _, check := range res.Checks {
				if check.Outcome == chaos.CheckFailed {
					failed = append(failed, check.Name)
				}
			}
			require.Equal(t, c.checks, failed, "%s: %v", c.name, res)
		}
	}
}

// The command to replay by runs that test and no other.
func TestReplayCommand(t *testing.T) {
	require.Equal(t, `go test -run '^TestMyStackSurvives$/^cascade$' . -chaos.seed=7`, replay("TestMyStackSurvives/cascade", 7))
	require.Equal(t, `go test -run '^TestStacks$/^ready\+1$/^cascade$' . -chaos.seed=1`, replay("TestStacks/ready+1/cascade", 1))
}

// A seed replays byte for byte, also through all that the stack does.
func TestReplay(t *testing.T) {
	report := func(seed uint64) string {
		var results []chaos.Result
		for _, name := range []string{chaos.Cascade, chaos.IntermittentErrors, chaos.Timeout} {
			e, _ := chaos.Standard(name)
			e.Seed = seed
			results = append(results, Run(t, e, ready))
		}
		rep := chaos.NewReport(results...)
		rep.Host = chaos.Host{}
		var b bytes.Buffer
		require.NoError(t, rep.WriteJSON(&b))
		return b.String()
	}
	first := report(11)
	require.Equal(t, first, report(11))
	require.NotEqual(t, first, report(12))
}

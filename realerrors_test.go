package resilience_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/datasets"
)

// TestRealErrors reads the texts of errors that real calls failed with, from
// April to August 2026, and says of each what to do, from the text alone.
func TestRealErrors(t *testing.T) {
	total, right, retried := 0, 0, 0
	for lines := bufio.NewScanner(datasets.Open(t, "llm_calls_2026/errors.jsonl")); lines.Scan(); {
		var line struct{ Text, Kind string }
		require.NoError(t, json.Unmarshal(lines.Bytes(), &line))
		total++
		got := resilience.KindOf(errors.New(line.Text))
		if got.String() == line.Kind {
			right++
			continue
		}
		if got.Retry() {
			retried++
		}
		t.Errorf("line %d: %s, want %s", total, got, line.Kind)
	}
	t.Logf("published: RealErrors: measured %d of %d right, %d permanent ones retried, reference none, target all and 0", right, total, retried)
	require.NotZero(t, total)
}

package resilience_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// TestRealErrors reads the texts of errors that real calls failed with, from
// April to August 2026, and says of each what to do, from the text alone.
func TestRealErrors(t *testing.T) {
	dir := os.Getenv("RESILIENCE_DATA")
	if dir == "" {
		dir = filepath.Join("..", "shared", "data")
	}
	f, err := os.Open(filepath.Join(dir, "llm_calls_2026", "errors.jsonl"))
	if err != nil {
		t.Skipf("no data: %v; set RESILIENCE_DATA to the directory of the data sets", err)
	}
	defer func() { require.NoError(t, f.Close()) }()
	total, right, retried := 0, 0, 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
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

package classify_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/classify"
)

// dataFile returns the path of a data file, which lives outside the module.
func dataFile(t *testing.T, elem ...string) string {
	t.Helper()
	dir := os.Getenv("RESILIENCE_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	path := filepath.Join(append([]string{dir}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no data set here, set RESILIENCE_DATA: %v", err)
	}
	return path
}

var kindNames = map[string]classify.Kind{
	"canceled": classify.Canceled, "timed_out": classify.TimedOut, "rate_limited": classify.RateLimited,
	"overloaded": classify.Overloaded, "unreachable": classify.Unreachable, "unauthorized": classify.Unauthorized,
	"quota_spent": classify.QuotaSpent, "not_found": classify.NotFound, "invalid": classify.Invalid,
	"too_long": classify.TooLong, "filtered": classify.Filtered, "malformed": classify.Malformed,
	"truncated": classify.Truncated, "unknown": classify.Unknown,
}

// TestRealErrors gives every text of a collection of real failures, and only
// the text, to Of.
func TestRealErrors(t *testing.T) {
	f, err := os.Open(dataFile(t, "llm_calls_2026", "errors.jsonl"))
	require.NoError(t, err)
	defer f.Close()

	right, all := 0, 0
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var line struct{ Text, Kind string }
		require.NoError(t, json.Unmarshal(lines.Bytes(), &line))
		want, ok := kindNames[line.Kind]
		require.True(t, ok, "kind %q", line.Kind)

		got := classify.Of(errors.New(line.Text), time.Time{})
		all++
		if got.Kind == want {
			right++
		} else {
			t.Errorf("line %d: %s, got %+v", all, line.Kind, got)
		}
	}
	require.NoError(t, lines.Err())
	require.NotZero(t, all)
	t.Logf("published: RealErrors: measured %d of %d, reference -, target all", right, all)
}

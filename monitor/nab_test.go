package monitor_test

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/datasets"
)

// A nabSeries is a file of the Numenta Anomaly Benchmark with its windows.
type nabSeries struct {
	name    string
	times   []time.Time
	values  []float64
	windows []nabWindow
}

// A nabWindow is the rows in which a detection counts, both included.
type nabWindow struct{ left, right int }

// nabCorpus reads all series that there are, in the order of their names.
func nabCorpus(tb testing.TB) []nabSeries {
	tb.Helper()
	root := datasets.Path(tb, "nab/data")
	var labels map[string][][2]string
	require.NoError(tb, json.NewDecoder(datasets.Open(tb, "nab/labels/combined_windows.json")).Decode(&labels))
	var files []string
	require.NoError(tb, filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && (strings.HasSuffix(path, ".csv") || strings.HasSuffix(path, ".csv.gz")) {
			files = append(files, path)
		}
		return err
	}))
	var corpus []nabSeries
	for _, path := range files {
		name, err := filepath.Rel(root, path)
		require.NoError(tb, err)
		s := nabSeries{name: strings.TrimSuffix(filepath.ToSlash(name), ".gz")}
		s.read(tb, path)
		s.label(tb, labels[s.name])
		corpus = append(corpus, s)
	}
	slices.SortFunc(corpus, func(a, b nabSeries) int { return strings.Compare(a.name, b.name) })
	return corpus
}

func nabTime(tb testing.TB, text string) time.Time {
	tb.Helper()
	t, err := time.Parse("2006-01-02 15:04:05", text)
	require.NoError(tb, err)
	return t
}

func (s *nabSeries) read(tb testing.TB, path string) {
	tb.Helper()
	f, err := os.Open(path)
	require.NoError(tb, err)
	defer func() { require.NoError(tb, f.Close()) }()
	var in io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		in, err = gzip.NewReader(f)
		require.NoError(tb, err)
	}
	rows, err := csv.NewReader(in).ReadAll()
	require.NoError(tb, err, path)
	for _, row := range rows[1:] {
		v, err := strconv.ParseFloat(row[1], 64)
		require.NoError(tb, err, path)
		s.times = append(s.times, nabTime(tb, row[0]))
		s.values = append(s.values, v)
	}
}

func (s *nabSeries) label(tb testing.TB, windows [][2]string) {
	tb.Helper()
	for _, w := range windows {
		from, to := nabTime(tb, w[0]), nabTime(tb, w[1])
		in := nabWindow{left: len(s.times), right: -1}
		for i, t := range s.times {
			if !t.Before(from) && !t.After(to) {
				in.left, in.right = min(in.left, i), i
			}
		}
		require.LessOrEqual(tb, in.left, in.right, "%s has no row from %v to %v", s.name, from, to)
		s.windows = append(s.windows, in)
	}
}

// probation is how many rows are not scored.
func (s *nabSeries) probation() int { return min(len(s.values)*15/100, 750) }

// A nabProfile is a cost matrix.
type nabProfile struct{ fp, fn float64 }

var (
	nabStandard = nabProfile{0.11, 1}
	nabLowFP    = nabProfile{0.22, 1}
	nabLowFN    = nabProfile{0.11, 2}
)

// A nabTally is what detections came to, before costs.
type nabTally struct {
	found, wrong    float64
	missed, windows int
}

func (t *nabTally) add(o nabTally) {
	t.found += o.found
	t.wrong += o.wrong
	t.missed += o.missed
	t.windows += o.windows
}

// score is 100 for a detection at the left edge of every window and no other,
// and 0 for no detection.
func (t *nabTally) score(p nabProfile) float64 {
	null := -p.fn * float64(t.windows)
	raw := t.found - p.fn*float64(t.missed) + p.fp*t.wrong
	return 100 * (raw - null) / (float64(t.windows) - null)
}

func nabSigmoid(y float64) float64 { return 2/(1+math.Exp(5*y)) - 1 }

// judge weighs the rows at which something was detected, in ascending order.
func (s *nabSeries) judge(detected []int) nabTally {
	found := make([]float64, len(s.windows))
	hit := make([]bool, len(s.windows))
	t := nabTally{windows: len(s.windows)}
rows:
	for _, i := range detected {
		if i < s.probation() {
			continue
		}
		last := -1
		for k, w := range s.windows {
			if i >= w.left && i <= w.right {
				y := -float64(w.right-i+1) / float64(w.right-w.left+1)
				found[k], hit[k] = max(found[k], nabSigmoid(y)/nabSigmoid(-1)), true
				continue rows
			}
			if w.right < i {
				last = k
			}
		}
		cost := -1.0
		if last >= 0 {
			w := s.windows[last]
			if y := float64(i-w.right) / float64(w.right-w.left); y <= 3 {
				cost = nabSigmoid(y)
			}
		}
		t.wrong += cost
	}
	for k := range found {
		t.found += found[k]
		if !hit[k] {
			t.missed++
		}
	}
	return t
}

// The scorer gives what the published rules say for detections that can be
// reckoned by hand.
func TestNABScorer(t *testing.T) {
	s := nabSeries{values: make([]float64, 1000), windows: []nabWindow{{200, 299}, {600, 649}}}
	for name, c := range map[string]struct {
		detected                []int
		standard, lowFP, lowFNs float64
	}{
		"null":                {nil, 0, 0, 0},
		"perfect":             {[]int{200, 600}, 100, 100, 100},
		"more in a window":    {[]int{200, 201, 299, 600}, 100, 100, 100},
		"probation":           {[]int{10, 149}, 0, 0, 0},
		"half":                {[]int{200}, 50, 50, 50},
		"before all windows":  {[]int{150}, -100 * 0.11 / 4, -100 * 0.22 / 4, -100 * 0.11 / 6},
		"long after a window": {[]int{999}, -100 * 0.11 / 4, -100 * 0.22 / 4, -100 * 0.11 / 6},
		"soon after a window": {[]int{300}, 100 * 0.11 * nabSigmoid(1.0/99) / 4, 100 * 0.22 * nabSigmoid(1.0/99) / 4, 100 * 0.11 * nabSigmoid(1.0/99) / 6},
		"middle of a window": {
			[]int{250}, 25 * (1 + nabSigmoid(-0.5)/nabSigmoid(-1)), 25 * (1 + nabSigmoid(-0.5)/nabSigmoid(-1)),
			100.0 / 6 * (2 + nabSigmoid(-0.5)/nabSigmoid(-1)),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.judge(c.detected)
			require.InDelta(t, c.standard, got.score(nabStandard), 1e-9)
			require.InDelta(t, c.lowFP, got.score(nabLowFP), 1e-9)
			require.InDelta(t, c.lowFNs, got.score(nabLowFN), 1e-9)
		})
	}
}

package bipadapter

import (
	"compress/gzip"
	"encoding/csv"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/datasets"
)

// exam is what models answered to questions, in forms; models best first.
type exam struct {
	truth   []string
	models  []string
	answers [][]string // by model and question; missing where there is none
}

const missing = "\x00"

func readExam(t *testing.T, name string, form func(string) string, emptyCounts bool) (e exam) {
	t.Helper()
	gz, err := gzip.NewReader(datasets.Open(t, "zeroeval_answers/"+name+".csv.gz"))
	require.NoError(t, err)
	table, err := csv.NewReader(gz).ReadAll()
	require.NoError(t, err)
	for _, row := range table[1:] {
		e.truth = append(e.truth, form(strings.TrimPrefix(row[1], "# ")))
	}
	points := make(map[string]int)
	columns := make(map[string][]string)
	for m, model := range table[0][2:] {
		asked := 0
		for i, row := range table[1:] {
			answer := row[m+2]
			if answer != "" || emptyCounts {
				asked++
			}
			given := missing
			if answer != `\N` && (answer != "" || emptyCounts) {
				given = form(answer)
			}
			columns[model] = append(columns[model], given)
			if given == e.truth[i] {
				points[model]++
			}
		}
		if asked > len(e.truth)*99/100 { // the others were not asked all
			e.models = append(e.models, model)
		}
	}
	slices.SortStableFunc(e.models, func(a, b string) int { return points[b] - points[a] })
	for _, model := range e.models {
		e.answers = append(e.answers, columns[model])
	}
	return e
}

var numeral = regexp.MustCompile(`-?\$?[0-9][0-9,]*(\.[0-9]+)?(/[0-9]+)?`)

// firstNumber is how the answers to the questions of GSM8K are read.
func firstNumber(answer string) string {
	if first := numeral.FindString(answer); first != "" {
		return Canonical(strings.TrimRight(first, ","))
	}
	return Canonical(answer)
}

// committee returns five of the models: at ranks that lie evenly, in the middle
// or at the top.
func (e exam) committee(which string) []int {
	n := len(e.models)
	switch which {
	case "spread":
		return []int{0, (n - 1) / 4, 2 * (n - 1) / 4, 3 * (n - 1) / 4, n - 1}
	case "middle":
		return []int{(n - 5) / 2, (n-5)/2 + 1, (n-5)/2 + 2, (n-5)/2 + 3, (n-5)/2 + 4}
	}
	return []int{0, 1, 2, 3, 4}
}

// A scored is how a committee does at the questions that it did not learn from.
type scored struct{ majority, weighted, best, early, calls float64 }

const splits = 20

// examine learns weights from three questions in ten, and has the committee vote
// on the others. Splits go round, so that all together vote on each question as
// often.
func (e exam) examine(t *testing.T, committee []int, split int) (s scored) {
	t.Helper()
	questions := rand.New(rand.NewPCG(20, 30)).Perm(len(e.truth))
	first := split * len(questions) / splits
	questions = slices.Concat(questions[first:], questions[:first])
	known := len(questions) * 3 / 10
	h := NewHistory(LearnConfig{})
	for _, q := range questions[:known] {
		for _, m := range committee {
			if answer := e.answers[m][q]; answer != missing {
				h.Add(Said{strconv.Itoa(q), e.models[m], answer})
			}
		}
		h.Truth(strconv.Itoa(q), e.truth[q])
	}
	l := h.Learn(time.Time{})
	require.Equal(t, Truths, l.Model)
	weights := make([]float64, len(committee))
	for i, m := range committee {
		weights[i] = l.Weight(e.models[m])
	}
	order := Order(weights, [32]byte{byte(split)})
	for _, q := range questions[known:] {
		var equal, weighted []Voice
		for i, m := range committee {
			if answer := e.answers[m][q]; answer != missing {
				equal = append(equal, Voice{answer, 1})
				weighted = append(weighted, Voice{answer, weights[i]})
			}
		}
		s.majority += hit(equal, e.truth[q])
		s.weighted += hit(weighted, e.truth[q])
		if e.answers[committee[order[0]]][q] == e.truth[q] {
			s.best++
		}
		var heard []Voice
		left := make([]float64, 0, len(order))
		for _, i := range order {
			left = append(left, weights[i])
		}
		for _, i := range order {
			if (Stop{}).Enough(heard, left) {
				break
			}
			s.calls++
			left = left[1:]
			if answer := e.answers[committee[i]][q]; answer != missing {
				heard = append(heard, Voice{answer, weights[i]})
			}
		}
		s.early += hit(heard, e.truth[q])
	}
	n := float64(len(questions) - known)
	return scored{s.majority / n, s.weighted / n, s.best / n, s.early / n, s.calls / n}
}

func TestPublishedZeroEval(t *testing.T) {
	exams := map[string]exam{"gsm": readExam(t, "gsm", firstNumber, false), "crux": readExam(t, "crux", Canonical, true), "math-l5": readExam(t, "math-l5", Canonical, false)}
	for _, c := range []struct {
		set, committee string
		reference      float64 // majority
		target         float64
	}{
		{"crux", "spread", .796, .90},
		{"math-l5", "spread", .659, .87},
		{"gsm", "middle", .9573, .955},
		{"crux", "top", .9321, .935},
	} {
		e := exams[c.set]
		var sum scored
		for split := range splits {
			s := e.examine(t, e.committee(c.committee), split)
			sum.majority += s.majority / splits
			sum.weighted += s.weighted / splits
			sum.best += s.best / splits
			sum.early += s.early / splits
			sum.calls += s.calls / splits
		}
		t.Logf("published: zeroeval %s, %s five by learnt weights: measured %.4f, reference %.4f by majority, %.4f by the weightiest alone, target ≥ %.3f",
			c.set, c.committee, sum.weighted, sum.majority, sum.best, c.target)
		t.Logf("published: zeroeval %s, %s five, asked until the outcome is certain: measured %.4f with %.2f calls, reference %.4f with 5, target the same",
			c.set, c.committee, sum.early, sum.calls, sum.weighted)
		require.InDelta(t, c.reference, sum.majority, 0.025)
		require.GreaterOrEqual(t, sum.weighted, c.target)
		require.InDelta(t, sum.weighted, sum.early, 1e-9)
		if c.set == "gsm" {
			t.Logf("published: zeroeval stop-early: measured %.4f with %.2f calls, reference 0.9583 with 3.20, target ≥ 0.958 with ≤ 3.21", sum.early, sum.calls)
			require.GreaterOrEqual(t, sum.early, 0.958)
			require.LessOrEqual(t, sum.calls, 3.21)
		}
	}
}

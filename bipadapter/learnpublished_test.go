package bipadapter

import (
	"bufio"
	"compress/gzip"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/datasets"
)

// rows reads a compressed file of comma-separated values without quotes, but for its header.
func rows(t *testing.T, name string) (all [][]string) {
	t.Helper()
	gz, err := gzip.NewReader(datasets.Open(t, name))
	require.NoError(t, err)
	lines := bufio.NewScanner(gz)
	require.True(t, lines.Scan())
	for lines.Scan() {
		all = append(all, strings.Split(lines.Text(), ","))
	}
	require.NoError(t, lines.Err())
	return all
}

// crowdTruth has what majority and Dawid and Skene are published to get right.
var crowdTruth = map[string]struct{ majority, dawidSkene float64 }{
	"bluebird": {.7593, .8981}, "rte": {.8969, .9275}, "dog": {.8222, .8426}, "web": {.7307, .8217}, "trec": {.6514, .7020},
	"CF": {.8822, .8300}, "CF_amt": {.8533, .8400}, "MS": {.7042, .7686}, "SP": {.8859, .9148}, "SP_amt": {.9430, .9440},
	"ZenCrowd_all": {.8319, .7961}, "ZenCrowd_in": {.7409, .7574}, "ZenCrowd_us": {.8613, .8225}, "product": {.8966, .9400},
	"possent": {.9335, .9600}, "face": {.6367, .6404}, "relevance": {.5411, .6101}, "adult": {.7598, .7387},
}

// textbook is Dawid and Skene's algorithm as others write it, on answers by
// question, voter and option.
func textbook(labels [][3]int, questions, voters, options int) (belief [][]float64) {
	belief = make([][]float64, questions)
	for i := range belief {
		belief[i] = make([]float64, options)
	}
	for _, l := range labels {
		belief[l[0]][l[2]]++
	}
	for _, x := range belief {
		scale(x)
	}
	for range 100 {
		prior := make([]float64, options)
		says := make([][]float64, voters*options)
		for i := range says {
			says[i] = slices.Repeat([]float64{0.01}, options)
		}
		for _, x := range belief {
			for k, p := range x {
				prior[k] += p
			}
		}
		for _, l := range labels {
			for k, p := range belief[l[0]] {
				says[l[1]*options+k][l[2]] += p
			}
		}
		for _, row := range says {
			scale(row)
			for i := range row {
				row[i] = math.Log(row[i])
			}
		}
		scale(prior)
		for _, x := range belief {
			for k := range x {
				x[k] = math.Log(prior[k] + 1e-12)
			}
		}
		for _, l := range labels {
			for k := range belief[l[0]] {
				belief[l[0]][k] += says[l[1]*options+k][l[2]]
			}
		}
		for _, x := range belief {
			top := slices.Max(x)
			for k := range x {
				x[k] = math.Exp(x[k] - top)
			}
			scale(x)
		}
	}
	return belief
}

func scale(x []float64) {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	for i := range x {
		x[i] /= sum
	}
}

// references are what majority and textbook make of answers, the first of each
// voter to each question.
func references(labels [][]string, truth map[string]string) (majority, dawidSkene float64) {
	places := [3]map[string]int{{}, {}, {}}
	names := [3][]string{}
	place := func(of int, name string) int {
		if _, ok := places[of][name]; !ok {
			places[of][name] = len(names[of])
			names[of] = append(names[of], name)
		}
		return places[of][name]
	}
	seen := make(map[[2]int]bool)
	var list [][3]int
	for _, r := range labels {
		l := [3]int{place(0, r[0]), place(1, r[1]), place(2, r[2])}
		if pair := [2]int{l[0], l[1]}; !seen[pair] {
			seen[pair] = true
			list = append(list, l)
		}
	}
	votes := make([][]float64, len(names[0]))
	for i := range votes {
		votes[i] = make([]float64, len(names[2]))
	}
	for _, l := range list {
		votes[l[0]][l[2]]++
	}
	part := func(by [][]float64) (hits float64) {
		n := 0.0
		for i, x := range by {
			want, known := truth[names[0][i]]
			if !known {
				continue
			}
			n++
			var top []string
			for k, v := range x {
				if v > slices.Max(x)-1e-9 {
					top = append(top, names[2][k])
				}
			}
			if slices.Contains(top, want) {
				hits += 1 / float64(len(top))
			}
		}
		return hits / n
	}
	return part(votes), part(textbook(list, len(names[0]), len(names[1]), len(names[2])))
}

// Whatever sets there are, with one configuration and without a look at truth.
func TestPublishedCrowdTruth(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(datasets.Path(t, "crowd_truth"), "*_label.csv.gz"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		set := strings.TrimSuffix(filepath.Base(file), "_label.csv.gz")
		t.Run(set, func(t *testing.T) {
			labels := rows(t, "crowd_truth/"+set+"_label.csv.gz")
			switch {
			case len(labels) > 50_000 && !*Long:
				t.Skip("so many answers take -long")
			case len(labels) > 7000 && testing.Short():
				t.Skip("too large for -short")
			}
			h := NewHistory(LearnConfig{Keep: 1 << 20})
			for _, r := range labels {
				h.Add(Said{Question: r[0], Voter: r[1], Answer: r[2]})
			}
			truth := make(map[string]string)
			for _, r := range rows(t, "crowd_truth/"+set+"_truth.csv.gz") {
				truth[r[0]] = r[1]
			}
			l := h.Learn(time.Time{})
			got, brier := right(l.Answers, truth)
			published, ok := crowdTruth[set]
			majority, dawidSkene := published.majority, published.dawidSkene
			if !ok || *Long { // published is what becomes of all rows, repeated ones too
				m, ds := references(labels, truth)
				require.True(t, !ok || math.Abs(m-majority) < 0.0035 && math.Abs(ds-dawidSkene) < 0.006)
				majority, dawidSkene = max(m, majority), max(ds, dawidSkene)
			}
			target := dawidSkene
			if dawidSkene <= majority {
				target = majority - 0.005
			}
			t.Logf("published: crowd %s by %s: measured %.4f, reference majority %.4f, Dawid–Skene %.4f, target ≥ %.4f", set, l.Model, got, majority, dawidSkene, target)
			t.Logf("published: crowd %s, Brier score of the confidence: measured %.3f, reference %.3f for the shares of the majority, target reported", set, brier, shares(h, truth))
			require.GreaterOrEqual(t, got, target-0.00005) // figures are published to four digits
		})
	}
}

// shares is the Brier score of a majority that is as sure as it is large.
func shares(h *History, truth map[string]string) float64 {
	c := newCrowd(h.asked)
	_, brier := right(c.beliefs(c.majority()), truth)
	return brier
}

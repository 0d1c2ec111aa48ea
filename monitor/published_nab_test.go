package monitor_test

import (
	"flag"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/monitor/anomaly"
)

var nabSearches = flag.Int("nab.searches", 150, "how many configurations a fold chooses from")

// nabSignals are the signals of each row of a series.
type nabSignals = [][len(anomaly.Result{}.Signals)]float64

// nabRun is what the detector itself says of a series.
func nabRun(s *nabSeries, cfg anomaly.Config) (detected []int, signals nabSignals) {
	d := anomaly.New(cfg)
	signals = make(nabSignals, len(s.values))
	for i, v := range s.values {
		r := d.Observe(s.times[i], v)
		signals[i] = r.Signals
		if r.Began {
			detected = append(detected, i)
		}
	}
	return detected, signals
}

// nabReplay is nabRun for another configuration: signals do not depend on it.
func nabReplay(signals nabSignals, c anomaly.Config) (detected []int) {
	const enough = 100
	weights := [...]float64{c.Spike, c.Drop, c.Shift, c.Drift, c.Shape}
	keep := math.Exp(-1 / float64(c.Memory))
	var peaks [len(weights)]float64
	age, quiet := math.MaxInt/2, math.MaxInt/2
	for i, row := range signals {
		var strongest float64
		for k, w := range weights {
			if w > 0 {
				x := row[k] * w
				strongest = max(strongest, x/(1+peaks[k]))
				peaks[k] = max(peaks[k]*keep, x)
			}
		}
		age++
		quiet++
		if i < enough || strongest <= c.Threshold {
			continue
		}
		if quiet > c.Hold || age > 2*c.Hold {
			detected = append(detected, i)
			age = 0
		}
		quiet = 0
	}
	return detected
}

// nabCandidates are configurations drawn from wide ranges. A signal is off in
// three of ten.
func nabCandidates(n int) []anomaly.Config {
	rng := rand.New(rand.NewPCG(1, 2))
	spread := func(from, to float64) float64 { return from * math.Pow(to/from, rng.Float64()) }
	weight := func() float64 {
		if w := spread(0.3, 3); rng.Float64() < 0.7 {
			return w
		}
		return -1
	}
	all := make([]anomaly.Config, n)
	for i := range all {
		all[i] = anomaly.Config{
			Threshold: spread(0.3, 1.2), Hold: int(spread(25, 200)), Memory: int(spread(1000, 30000)),
			Spike: weight(), Drop: weight(), Shift: weight(), Drift: weight(), Shape: weight(),
		}
	}
	return all
}

// TestPublishedNAB scores the shipped defaults on all series that there are,
// with one threshold, and beside that what a choice of all parameters on one
// half of the series comes to on the other.
func TestPublishedNAB(t *testing.T) {
	corpus := nabCorpus(t)
	signals := make([]nabSignals, len(corpus))
	var shipped nabTally
	var defaults anomaly.Config
	var rows int
	began := time.Now()
	for i := range corpus {
		var detected []int
		detected, signals[i] = nabRun(&corpus[i], defaults)
		tally := corpus[i].judge(detected)
		t.Logf("%s: %d of %d windows, false rows %.1f", corpus[i].name, tally.windows-tally.missed, tally.windows, -tally.wrong)
		shipped.add(tally)
		rows += len(corpus[i].values)
	}
	perRow := float64(time.Since(began)) / float64(rows)
	heldOut := nabCrossValidate(t, corpus, signals)
	bytes := unsafe.Sizeof(anomaly.Detector{})
	t.Logf("published: NAB, %d series, %d of %d windows, standard: measured %.1f, reference 76.4, target ≥ 55", len(corpus), shipped.windows-shipped.missed, shipped.windows, shipped.score(nabStandard))
	t.Logf("published: NAB, the same detections, low FP: measured %.1f, reference 69.2, target ≥ 45", shipped.score(nabLowFP))
	t.Logf("published: NAB, the same detections, low FN: measured %.1f, reference 80.4 (all 58 series), target none", shipped.score(nabLowFN))
	t.Logf("published: NAB, held out, standard: measured %.1f, reference none, target ≥ 52", heldOut)
	t.Logf("published: NAB, a series takes: measured %d bytes, reference none, target ≤ 8192", bytes)
	t.Logf("published: NAB, a row takes: measured %.0f ns, reference none, target ≤ 1000", perRow)
	require.GreaterOrEqual(t, shipped.score(nabStandard), 55.0)
	require.GreaterOrEqual(t, shipped.score(nabLowFP), 45.0)
	require.GreaterOrEqual(t, heldOut, 52.0)
	require.LessOrEqual(t, bytes, uintptr(8192))
}

// nabCrossValidate returns the mean score of four choices on the series that
// they were not made on.
func nabCrossValidate(t *testing.T, corpus []nabSeries, signals []nabSignals) float64 {
	t.Helper()
	candidates := nabCandidates(*nabSearches)
	tallies := make([][]nabTally, len(candidates))
	var wg sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for c := range next {
				tallies[c] = make([]nabTally, len(corpus))
				for i := range corpus {
					tallies[c][i] = corpus[i].judge(nabReplay(signals[i], candidates[c]))
				}
			}
		})
	}
	for c := range candidates {
		next <- c
	}
	close(next)
	wg.Wait()
	var sum float64
	for fold := range 4 {
		train := func(i int) bool { return i>>(fold/2)%2 == fold%2 }
		best, top := 0, math.Inf(-1)
		for c := range candidates {
			var tally nabTally
			for i := range corpus {
				if train(i) {
					tally.add(tallies[c][i])
				}
			}
			if score := tally.score(nabStandard); score > top {
				best, top = c, score
			}
		}
		var held nabTally
		for i := range corpus {
			if !train(i) {
				detected, _ := nabRun(&corpus[i], candidates[best])
				require.Equal(t, nabReplay(signals[i], candidates[best]), detected, corpus[i].name)
				held.add(corpus[i].judge(detected))
			}
		}
		sum += held.score(nabStandard)
		t.Logf("fold %d: chosen %.1f, held out %.1f, low FP %.1f, with %+v", fold, top, held.score(nabStandard), held.score(nabLowFP), candidates[best])
	}
	return sum / 4
}

package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// A Sample is how one call of a row ended.
type Sample struct {
	OK       bool
	Took     time.Duration // trace time
	Attempts int           // requests that went out
	Cost     float64       // US dollars
	Model    string        // that answered
}

// A Row is all calls made in one way.
type Row struct {
	Name    string
	Samples []Sample
}

// Summary is a row of the table.
type Summary struct {
	Success       float64
	P50, P95, P99 time.Duration // of the answered calls
	Attempts      float64       // a call
	Cost          float64       // US dollars per 1,000 calls
}

// Summary sums up a row of at least one call.
func (r Row) Summary() Summary {
	var s Summary
	var took []time.Duration
	for _, x := range r.Samples {
		if x.OK {
			took = append(took, x.Took)
		}
		s.Attempts += float64(x.Attempts)
		s.Cost += 1000 * x.Cost
	}
	n := float64(len(r.Samples))
	s.Success, s.Attempts, s.Cost = float64(len(took))/n, s.Attempts/n, s.Cost/n
	slices.Sort(took)
	s.P50, s.P95, s.P99 = quantile(took, 0.5), quantile(took, 0.95), quantile(took, 0.99)
	return s
}

// quantile is the smallest value that a part p of sorted is not above, or 0 of
// nothing.
func quantile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	i := int(math.Ceil(p*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// writeTable writes the outcome: a line per row, then the share of the models.
func writeTable(w io.Writer, fakes []Fake, rows []Row) {
	fmt.Fprintf(w, "%-14s %9s %9s %9s %9s %15s %9s\n", "", "success", "p50", "p95", "p99", "attempts/call", "cost")
	for _, r := range rows {
		s := r.Summary()
		fmt.Fprintf(w, "%-14s %9s %9s %9s %9s %15.2f %9s\n", r.Name,
			percent(s.Success), secs(s.P50), secs(s.P95), secs(s.P99), s.Attempts, fmt.Sprintf("$%.2f", s.Cost))
	}
	fmt.Fprintf(w, "\n%-14s", "answered by")
	for _, f := range fakes {
		fmt.Fprintf(w, " %*s", max(len(f.Name), 9), f.Name)
	}
	fmt.Fprintln(w)
	for _, r := range rows {
		by := map[string]int{}
		for _, x := range r.Samples {
			if x.OK {
				by[x.Model]++
			}
		}
		fmt.Fprintf(w, "%-14s", r.Name)
		for _, f := range fakes {
			share := "–"
			if n := by[f.Name]; n > 0 {
				share = percent(float64(n) / float64(len(r.Samples)))
			}
			fmt.Fprintf(w, " %*s", max(len(f.Name), 9), share)
		}
		fmt.Fprintln(w)
	}
}

// percent rounds down, so that 100 % means every one.
func percent(f float64) string {
	return fmt.Sprintf("%.2f %%", math.Floor(f*1e4+1e-6)/100)
}

// secs is a latency, or a dash where there is none.
func secs(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

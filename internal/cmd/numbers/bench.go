package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A sample is what one benchmark printed in one round: its metrics by unit.
type sample map[string]float64

// Benchmarks holds each benchmark's samples, one a round. The name is without
// "Benchmark" and without the number of cores, except that what runs on one
// core and on several is kept apart as "name@1" and "name@2".
type benchmarks struct {
	CPU    string
	Rounds map[string][]sample
	Order  []string // names as first seen
}

// benchmarked says which package's directory has a benchmark, by the first part
// of its name; the root has the others.
var benchmarked = map[string]string{"BenchmarkPick": "balance", "BenchmarkScrape": "monitor", "BenchmarkMonitored": "monitor"}

// runBenchmarks runs the benchmarks in rounds, each once a round, so that what
// slows the machine for a while touches all alike.
func runBenchmarks(ctx context.Context, root string, rounds int, benchtime time.Duration) (benchmarks, error) {
	b := benchmarks{Rounds: make(map[string][]sample)}
	dir, err := os.MkdirTemp("", "numbers")
	if err != nil {
		return b, err
	}
	defer os.RemoveAll(dir)
	binary := func(pkg string) string { return filepath.Join(dir, filepath.Base(pkg)+".test") }
	for _, pkg := range []string{"root", "balance", "monitor"} {
		if _, err := command(ctx, root, "go", "test", "-c", "-o", binary(pkg), "./"+strings.TrimPrefix(pkg, "root")); err != nil {
			return b, err
		}
	}
	for range rounds {
		for _, run := range []struct {
			pkg  string
			args []string
			long time.Duration // in terms of benchtime
		}{
			{"root", []string{"-test.bench=.", "-test.skip=^Benchmark(CallParallel|HTTP)$"}, 1},
			{"root", []string{"-test.bench=^BenchmarkCallParallel$", "-test.cpu=1,2"}, 1},
			{"root", []string{"-test.bench=^BenchmarkHTTP$"}, 10}, // a call takes as much longer
			{"balance", []string{"-test.bench=^BenchmarkPick$"}, 1},
			{"monitor", []string{"-test.bench=."}, 1},
		} {
			args := slices.Concat(run.args, []string{
				"-test.run=^$", "-test.benchmem", "-test.count=1", "-test.timeout=30m", "-test.benchtime=" + (run.long * benchtime).String(),
			})
			out, err := command(ctx, root, binary(run.pkg), args...)
			if err != nil {
				return b, fmt.Errorf("%w\n%s", err, out)
			}
			b.add(strings.NewReader(string(out)), strings.Contains(args[0], "Parallel"))
		}
	}
	return b, nil
}

var benchLine = regexp.MustCompile(`^Benchmark(\S+?)(?:-(\d+))?\s+\d+\s+(\S.*)$`)

// add reads the output of one run. With perCore the number of cores is part of
// a benchmark's name.
func (b *benchmarks) add(r io.Reader, perCore bool) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		line := lines.Text()
		if cpu, ok := strings.CutPrefix(line, "cpu: "); ok {
			b.CPU = cpu
		}
		m := benchLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		name := m[1]
		if perCore {
			name += "@" + max(m[2], "1")
		}
		s := make(sample)
		fields := strings.Fields(m[3])
		for i := 0; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				s[fields[i+1]] = v
			}
		}
		if _, seen := b.Rounds[name]; !seen {
			b.Order = append(b.Order, name)
		}
		b.Rounds[name] = append(b.Rounds[name], s)
	}
}

// median returns the median over the rounds of one metric of a benchmark.
func (b *benchmarks) median(name, unit string) (float64, bool) {
	var all []float64
	for _, s := range b.Rounds[name] {
		if v, ok := s[unit]; ok {
			all = append(all, v)
		}
	}
	return middle(all)
}

// ratio returns the median of the ratios of two benchmarks within a round.
func (b *benchmarks) ratio(over, under, unit string) (float64, bool) {
	num, den := b.Rounds[over], b.Rounds[under]
	var all []float64
	for i := range min(len(num), len(den)) {
		if n, ok := num[i][unit]; ok && den[i][unit] > 0 {
			all = append(all, n/den[i][unit])
		}
	}
	return middle(all)
}

func middle(all []float64) (float64, bool) {
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2, true
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParsePublished(t *testing.T) {
	for name, c := range map[string]struct {
		line string
		want published
		ok   bool
	}{
		"as logged": {
			"    jitter_test.go:31: published: T2 full jitter: measured 4.9 s, 801 calls, reference 4.9 s, 795 calls, target ± 5 %\n",
			published{Name: "T2 full jitter", Measured: "4.9 s, 801 calls", Reference: "4.9 s, 795 calls", Target: "± 5 %"}, true,
		},
		"no reference":        {"published: rejects: measured 12, reference –, target ≥ 10", published{Name: "rejects", Measured: "12", Reference: "–", Target: "≥ 10"}, true},
		"a colon in the name": {"published: regret: A: measured 1, reference 2, target 3", published{Name: "regret: A", Measured: "1", Reference: "2", Target: "3"}, true},
		"no name":             {"published: : measured 1, reference 2, target 3", published{}, false},
		"no target":           {"published: x: measured 1, reference 2", published{}, false},
		"no measured":         {"published: x: reference 2, target 3", published{}, false},
		"other words":         {"=== RUN   TestPublishedJitter", published{}, false},
		"empty":               {"", published{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := parsePublished(c.line)
			require.Equal(t, c.ok, ok)
			require.Equal(t, c.want, got)
		})
	}
}

const testOutput = `go: downloading something
{"Action":"start","Package":"m/retry"}
{"Action":"run","Package":"m/retry","Test":"TestPublishedJitter"}
{"Action":"output","Package":"m/retry","Test":"TestPublishedJitter/full","Output":"    x_test.go:1: published: full: measured 1, reference 2, target 3\n"}
{"Action":"pass","Package":"m/retry","Test":"TestPublishedJitter/full"}
{"Action":"pass","Package":"m/retry","Test":"TestPublishedJitter"}
{"Action":"pass","Package":"m/retry"}
{"Action":"output","Package":"m","Test":"TestRealErrors","Output":"    y_test.go:1: published: errors: measured 4, reference –, target 5\n"}
{"Action":"fail","Package":"m","Test":"TestRealErrors"}
{"Action":"skip","Package":"m","Test":"TestRealOther"}
{"Action":"fail","Package":"m"}
`

func TestParseTests(t *testing.T) {
	all, failed, err := parseTests(strings.NewReader(testOutput))
	require.NoError(t, err)
	require.Equal(t, []published{
		{"m", "TestRealErrors", "errors", "4", "–", "5", "fail"},
		{"m/retry", "TestPublishedJitter/full", "full", "1", "2", "3", "pass"},
	}, all)
	require.Equal(t, []string{"m", "m TestRealErrors"}, failed)

	_, _, err = parseTests(strings.NewReader(`{"Action":`))
	require.ErrorContains(t, err, "go test -json")

	_, failed, err = parseTests(strings.NewReader(`{"ImportPath":"m/x","Action":"build-fail"}`))
	require.NoError(t, err)
	require.NotEmpty(t, failed, "a package that does not build counts as failed")
}

const benchOutput = `goos: linux
cpu: Some CPU @ 2.10GHz
BenchmarkCall/context_with_timeout-2         	  316346	       700.0 ns/op	     272 B/op	       4 allocs/op
BenchmarkCall/stack_untimed-2  	  316346	       210.0 ns/op	     256 B/op	       1 allocs/op
BenchmarkPick/n=5-2     	 1	 10 ns/op
BenchmarkPick/n=50-2    	 1	 14 ns/op
BenchmarkPick/n=5000-2    	 1	 21 ns/op
BenchmarkIdle/events-2    	 1	 2.5 ns/op
BenchmarkMemory-2    	 1	 5 ns/op	 900.5 bytes/call	 17000 bytes/model
PASS
`

func sampleBenchmarks() benchmarks {
	b := benchmarks{Rounds: make(map[string][]sample)}
	b.add(strings.NewReader(benchOutput), false)
	b.add(strings.NewReader("BenchmarkCallParallel \t 100\t 300 ns/op\nBenchmarkCallParallel-2 \t 100\t 200 ns/op\n"), true)
	return b
}

func TestBenchmarkOutput(t *testing.T) {
	b := sampleBenchmarks()
	require.Equal(t, "Some CPU @ 2.10GHz", b.CPU)
	require.Equal(t, []string{"Call/context_with_timeout", "Call/stack_untimed", "Pick/n=5", "Pick/n=50", "Pick/n=5000", "Idle/events", "Memory", "CallParallel@1", "CallParallel@2"}, b.Order)
	require.Equal(t, sample{"ns/op": 700, "B/op": 272, "allocs/op": 4}, b.Rounds["Call/context_with_timeout"][0])
}

func TestJudge(t *testing.T) {
	b := sampleBenchmarks()
	for _, c := range []struct {
		target            target
		measured, verdict string
	}{
		{target{Benchmark: "Call/stack_untimed", Reference: "Call/context_with_timeout", Bound: 0.5}, "0.3", "met"},
		{target{Benchmark: "Call/stack_untimed", Reference: "Call/context_with_timeout", Bound: 0.29}, "0.3", "missed"},
		{target{Benchmark: "Call/stack_untimed", Unit: "allocs/op", Bound: 1}, "1", "met"},
		{target{Benchmark: "Call/stack_untimed", Unit: "allocs/op", Bound: 0}, "1", "missed"},
		{target{Benchmark: "CallParallel@1", Reference: "CallParallel@2", Bound: 1.4, AtLeast: true}, "1.5", "met"},
		{target{Benchmark: "CallParallel@1", Reference: "CallParallel@2", Bound: 1.6, AtLeast: true}, "1.5", "missed"},
		{target{Benchmark: "Memory", Unit: "bytes/model", Bound: 16 << 10}, "17000", "missed"},
		{target{Benchmark: "Memory", Unit: "bytes/call", Bound: 1024}, "900", "met"},
		{target{Benchmark: "Nowhere", Bound: 1}, "–", "not measured"},
		{target{Benchmark: "Memory", Reference: "Nowhere", Bound: 1}, "–", "not measured"},
	} {
		measured, verdict := c.target.judge(&b)
		require.Equal(t, c.measured, measured, "%+v", c.target)
		require.Equal(t, c.verdict, verdict, "%+v", c.target)
	}
}

// The ratio is taken within each round, so that a round on a slow machine
// does not shift it.
func TestRatioIsWithinRounds(t *testing.T) {
	b := benchmarks{Rounds: map[string][]sample{
		"a": {{"ns/op": 10}, {"ns/op": 500}, {"ns/op": 11}},
		"b": {{"ns/op": 20}, {"ns/op": 1000}, {"ns/op": 20}},
	}}
	v, ok := b.ratio("a", "b", "ns/op")
	require.True(t, ok)
	require.InDelta(t, 0.5, v, 1e-12)
	v, ok = b.median("a", "ns/op")
	require.True(t, ok)
	require.InDelta(t, 11, v, 1e-12)
	v, _ = middle([]float64{4, 1, 3, 2})
	require.InDelta(t, 2.5, v, 1e-12)
}

func sampleReport(t *testing.T) report {
	t.Helper()
	all, failed, err := parseTests(strings.NewReader(testOutput))
	require.NoError(t, err)
	b := sampleBenchmarks()
	return report{
		Module: "m", Go: "go1.26", OS: "linux/amd64", CPU: b.CPU, Commit: "abc", Cores: 2, Rounds: 1,
		Benchtime: time.Second, Date: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
		Published: all, Failed: failed, Bench: b, Long: []longRun{{"soak", "30 days\n"}},
	}
}

func TestMarkdown(t *testing.T) {
	text := sampleReport(t).markdown()
	for _, want := range []string{
		"2026-01-02 · go1.26 linux/amd64 · Some CPU @ 2.10GHz, 2 cores · commit abc\n",
		"| `.: TestRealErrors` | errors | 4 | – | 5 | fail |\n",
		"| `retry: TestPublishedJitter/full` | full | 1 | 2 | 3 | pass |\n",
		"Failed: m, m TestRealErrors\n",
		"| `Call/stack_untimed` ÷ `Call/context_with_timeout` | 0.3 | ≤ 0.5 | met |\n",
		"| memory of a model with all features, bytes | `Memory` | 17000 | ≤ 16384 | missed |\n",
		"| `Pick/n=5000` ÷ `Pick/n=5` | 2.1 | ≤ 2 | missed |\n",
		"| unused events, ns | `Idle/events` | 2.5 | ≤ 3 | met |\n",
		"| `HTTP` | – | ≤ 1.08 | not measured |\n",
		"| `BenchmarkMemory` | 5 |  |  | 900 bytes/call, 17000 bytes/model |\n",
		"### soak\n\n```\n30 days\n```\n",
	} {
		require.Contains(t, text, want)
	}
}

func TestCheckNames(t *testing.T) {
	root := t.TempDir()
	write := func(dir, text string) {
		require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, dir, "x_test.go"), []byte(text), 0o644))
	}
	text := sampleReport(t).markdown()
	const benches = "func BenchmarkCall() {}\nfunc BenchmarkMemory() {}\nfunc BenchmarkIdle() {}\nfunc BenchmarkCallParallel() {}\n"

	write(".", "package m\nfunc TestRealErrors() {}\n"+benches)
	write("retry", "package retry\nfunc TestPublishedJitter() {}\n")
	write("balance", "package balance\nfunc BenchmarkPick() {}\n")
	require.NoError(t, checkNames(root, "m", text))

	write("retry", "package retry\nfunc TestPublishedTremble() {}\n")
	require.ErrorContains(t, checkNames(root, "m", text), "m/retry has no TestPublishedJitter")

	write("retry", "package retry\nfunc TestPublishedJitter() {}\n")
	write(".", "package m\ntype s struct{}\nfunc (s) TestRealErrors() {}\n"+benches)
	require.ErrorContains(t, checkNames(root, "m", text), "m has no TestRealErrors")

	write(".", "package m\nfunc TestRealErrors() {}\n")
	require.ErrorContains(t, checkNames(root, "m", text), "m has no BenchmarkCall")
	write("balance", "package balance\n")
	require.ErrorContains(t, checkNames(root, "m", text), "m/balance has no BenchmarkPick")

	write(".", "not Go")
	require.ErrorContains(t, checkNames(root, "m", text), "x_test.go")

	require.ErrorContains(t, checkNames(root, "m", "# Numbers\n"), "names no test")
}

func TestFigure(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1: "1", 0.4567: "0.457", 12.34: "12.3", 331.4: "331", 16384: "16384"} {
		require.Equal(t, want, figure(v))
	}
}

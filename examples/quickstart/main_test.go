package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/trace"
)

// quickstart runs the program.
func quickstart(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, &out, &err)
	return code, out.String(), err.String()
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func zip(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(text))
	require.NoError(t, errors.Join(err, w.Close()))
	return b.String()
}

// Whatever is asked for wrongly takes one line to say, and code 2.
func TestUsageErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	port := fmt.Sprint(taken.Addr().(*net.TCPAddr).Port)
	bad := write(t, "bad.csv", trace.Header+"\n2026-01-05 09:00:00,1,1\n2026-01-05 09:00:01,one,1\n")
	cut := write(t, "cut.csv.gz", zip(t, trace.Header+"\n2026-01-05 09:00:00,1,1\n")[:30])

	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"unknown flag":          {[]string{"-speed", "9"}, "flag provided but not defined: -speed (-h shows all flags)"},
		"flag without value":    {[]string{"-seed"}, "flag needs an argument: -seed"},
		"seed no number":        {[]string{"-seed", "x"}, `invalid value "x" for flag -seed`},
		"seed negative":         {[]string{"-seed", "-1"}, `invalid value "-1" for flag -seed`},
		"arguments":             {[]string{"trace.csv"}, `unexpected argument "trace.csv"`},
		"port 0":                {[]string{"-port", "0"}, "-port 0: want 1 to 65532"},
		"port too high":         {[]string{"-port", "65533"}, "-port 65533: want 1 to 65532"},
		"port in use":           {[]string{"-port", port}, "address already in use"},
		"no such trace":         {[]string{"-trace", "nowhere/calls.csv"}, "-trace nowhere/calls.csv: no such file or directory"},
		"trace without name":    {[]string{"-trace", ""}, "-trace needs the name of a file"},
		"trace is a directory":  {[]string{"-trace", t.TempDir()}, "is a directory"},
		"trace is empty":        {[]string{"-trace", write(t, "none.csv", "")}, "none.csv: the trace is empty"},
		"trace without calls":   {[]string{"-trace", write(t, "no.csv", trace.Header)}, "no.csv: the trace has no calls"},
		"trace is no trace":     {[]string{"-trace", write(t, "main.go", "package main\n")}, "main.go: line 1: want the header TIMESTAMP"},
		"trace with a bad line": {[]string{"-trace", bad}, `bad.csv: line 3: ContextTokens: want a whole number, got "one"`},
		"trace is cut":          {[]string{"-trace", cut}, "gzip: unexpected EOF"},
		"endpoint without name": {[]string{"-endpoint", "http://localhost"}, "-endpoint needs -model"},
		"name without endpoint": {[]string{"-model", "m"}, "-model needs -endpoint"},
		"endpoint and trace":    {[]string{"-endpoint", "http://localhost", "-model", "m", "-trace", "x"}, "-endpoint goes with -model alone"},
		"endpoint no URL":       {[]string{"-endpoint", "http://[::1", "-model", "m"}, "-endpoint: not a URL"},
		"endpoint no scheme":    {[]string{"-endpoint", "localhost:8080/v1", "-model", "m"}, `want a URL such as`},
		"endpoint empty":        {[]string{"-endpoint", "", "-model", "m"}, `-endpoint "": want a URL such as`},
		"endpoint without host": {[]string{"-endpoint", "http:///v1", "-model", "m"}, `want a URL such as`},
		"endpoint of a file":    {[]string{"-endpoint", "file:///etc/passwd", "-model", "m"}, `want a URL such as`},
		"endpoint with a query": {[]string{"-endpoint", "http://localhost/v1?a=b", "-model", "m"}, "want no query"},
		"nobody at endpoint":    {[]string{"-endpoint", "http://127.0.0.1:1/v1", "-model", "m"}, "unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := quickstart(t, c.args...)
			require.Equal(t, 2, code)
			require.Empty(t, stdout)
			require.Contains(t, stderr, c.want)
			require.True(t, strings.HasPrefix(stderr, "quickstart: "))
			require.Equal(t, 1, strings.Count(stderr, "\n"), "one line: %s", stderr)
		})
	}
}

func TestUsageErrorsKeepSecrets(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-hidden")
	for _, url := range []string{"http://user:sk-hidden@localhost/v1", "http://user:sk-hidden@[::1", "http://sk-hidden:%zz@h"} {
		code, stdout, stderr := quickstart(t, "-endpoint", url, "-model", "m")
		require.Equal(t, 2, code)
		require.NotContains(t, strings.ReplaceAll(stdout+stderr, "sk-hidden:xxxxx", ""), "sk-hidden")
	}
}

func TestHelp(t *testing.T) {
	for _, flag := range []string{"-h", "-help", "--help"} {
		code, stdout, stderr := quickstart(t, flag)
		require.Zero(t, code)
		require.Equal(t, usage, stdout)
		require.Empty(t, stderr)
	}
}

// traceFile is the file of a trace: compressed, and not sorted.
func traceFile(t *testing.T, calls []trace.Call) string {
	t.Helper()
	begin := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	lines := make([]string, len(calls))
	for i, c := range calls {
		line := fmt.Sprintf("%s,%d,%d", begin.Add(c.At).Format("2006-01-02 15:04:05.0000000"), c.Input, c.Output)
		lines[(i*7919)%len(calls)] = line
	}
	return write(t, "calls.csv.gz", zip(t, trace.Header+"\n"+strings.Join(lines, "\n")))
}

// The promise of the program, on a few minutes of traffic: the library answers
// more than anything else does, and hardly asks more.
func TestLibraryAnswersMost(t *testing.T) {
	if testing.Short() {
		t.Skip("takes four seconds")
	}
	o := options{seed: 1, trace: traceFile(t, synthetic(1, 5*time.Minute)), limits: limits}
	o.limits.Wall, o.limits.Late = 2500*time.Millisecond, 2*time.Second
	var stdout, stderr bytes.Buffer
	require.NoError(t, simulate(t.Context(), o, &stdout, &stderr))
	t.Logf("%s", stdout.String())

	require.Contains(t, stderr.String(), "100 % of ")
	_, table, ok := strings.Cut(stdout.String(), "success       p50       p95       p99   attempts/call      cost\n")
	require.True(t, ok)
	success, attempts := map[string]float64{}, map[string]float64{}
	for _, name := range []string{"bare", "retry only", "this library"} {
		for line := range strings.Lines(table) {
			rest, ok := strings.CutPrefix(line, name+" ")
			if !ok || attempts[name] != 0 {
				continue
			}
			var s, a, cost float64
			var p50, p95, p99 float64
			_, err := fmt.Sscanf(strings.TrimSpace(rest), "%f %% %f s %f s %f s %f $%f", &s, &p50, &p95, &p99, &a, &cost)
			require.NoError(t, err, line)
			success[name], attempts[name] = s, a
			require.True(t, 0 < p50 && p50 <= p95 && p95 <= p99 && cost > 0, line)
		}
	}
	require.Greater(t, success["this library"], success["bare"])
	require.Greater(t, success["this library"], success["retry only"])
	require.LessOrEqual(t, attempts["this library"], 1.2)
	require.InDelta(t, 1, attempts["bare"], 0)
}

func TestShortTrace(t *testing.T) {
	code, stdout, stderr := quickstart(t, "-trace", traceFile(t, []trace.Call{{At: 0, Input: 100, Output: 20}}), "-seed", "7")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "1 calls in 01:00")
	require.Contains(t, stdout, "60 times as fast")
	require.Regexp(t, `^(\d+ % of 3 calls\n)*100 % of 3 calls\n$`, stderr) // a busy machine shows more
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var stdout, stderr bytes.Buffer
	start := time.Now()
	require.Equal(t, 1, run(ctx, nil, &stdout, &stderr))
	require.Regexp(t, `quickstart: interrupted after \d+ of \d+ calls\n$`, stderr.String())
	require.Less(t, time.Since(start), 10*time.Second)
	require.NotContains(t, stdout.String(), "this library")
}

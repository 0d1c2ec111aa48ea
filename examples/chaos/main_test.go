package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/chaos"
)

// TestGameDay plays all of it in virtual time.
func TestGameDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		experiments, err := options{}.experiments()
		require.NoError(t, err)
		require.Len(t, experiments, 10)
		own, err := options{file: "experiment.json"}.experiments()
		require.NoError(t, err)
		report, err := gameDay(t.Context(), append(experiments, own...))
		require.NoError(t, err)
		for _, r := range report.Results {
			require.Equal(t, chaos.VerdictPassed, r.Verdict, "%v", r)
		}
		require.InDelta(t, 100, report.Score, 0)
	})
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.json")
	require.NoError(t, os.WriteFile(bad, []byte(`{"name": "x", "fro": "1m", "method": [{"fault": {"name": "silen"}}]}`), 0o600))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-h"}, 0, "-provider"},
		{[]string{"x"}, 2, `chaos: unexpected argument "x"`},
		{[]string{"-nothing"}, 2, "flag provided but not defined"},
		{[]string{"-run", "x"}, 2, `chaos: there is no standard experiment "x", only model_failure, `},
		{[]string{"-file", filepath.Join(dir, "none")}, 2, "chaos: open "},
		{[]string{"-file", bad}, 2, "chaos: " + bad + " is no experiment:\nchaos: fro: unknown key; did you mean \"for\"?\nchaos: method[0].fault.name: there is no fault \"silen\"; did you mean \"silent\"?\n"},
		{[]string{"-run", "cascade", "-file", "experiment.json"}, 2, "chaos: -run and -file are two ways to say what to run; give one"},
		{[]string{"-provider", ":0", "-seed", "3"}, 2, "chaos: -provider serves, and runs nothing; give no other flag with it"},
		{[]string{"-provider", "nowhere:x"}, 1, "chaos: listen tcp"},
	} {
		var out, errs bytes.Buffer
		require.Equal(t, c.code, run(t.Context(), c.args, &out, &errs), errs.String())
		require.Contains(t, errs.String(), c.want)
	}
	synctest.Test(t, func(t *testing.T) {
		var out, errs bytes.Buffer
		asJSON, junit := filepath.Join(dir, "report.json"), filepath.Join(dir, "junit.xml")
		require.Zero(t, run(t.Context(), []string{"-run", "model_failure", "-seed", "5", "-json", asJSON, "-junit", junit}, &out, &errs), errs.String())
		require.Contains(t, out.String(), "model_failure: passed, score 100.0, seed 5")
		var report chaos.Report
		data, err := os.ReadFile(asJSON)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(data, &report))
		require.EqualValues(t, 5, report.Results[0].Seed)
		data, err = os.ReadFile(junit)
		require.NoError(t, err)
		require.Contains(t, string(data), `<testsuite name="model_failure"`)
	})
}

// What was seen until then is not lost.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		var out, errs bytes.Buffer
		asJSON := filepath.Join(t.TempDir(), "report.json")
		require.Equal(t, 1, run(ctx, []string{"-json", asJSON}, &out, &errs))
		require.Contains(t, out.String(), "model_failure: aborted, score 0.0, seed 1\n  A model answers every request with 503.\n  context canceled\n")
		require.Contains(t, errs.String(), "chaos: model_failure: context canceled\nchaos: network_latency: ")
		data, err := os.ReadFile(asJSON)
		require.NoError(t, err)
		require.Contains(t, string(data), `"verdict": "aborted"`)
	})
}

// A provider on all addresses is told of at one that a client can use.
func TestAddress(t *testing.T) {
	for addr, want := range map[string]string{
		"[::]:8401": "http://localhost:8401", "0.0.0.0:8401": "http://localhost:8401", "127.0.0.1:80": "http://127.0.0.1:80", "[::1]:80": "http://[::1]:80",
	} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		require.NoError(t, err)
		require.Equal(t, want, baseURL(tcp))
	}
}

func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	done := make(chan int)
	go func() {
		code := run(ctx, []string{"-provider", "127.0.0.1:0"}, in, io.Discard)
		_ = in.Close()
		done <- code
	}()
	buf := make([]byte, 4096)
	n, err := out.Read(buf)
	require.NoError(t, err)
	base := regexp.MustCompile(`http://[\d.:]+`).FindString(string(buf[:n]))
	go func() { _, _ = io.Copy(io.Discard, out) }()
	for model, want := range map[string]int{"well": 200, "rate_limited": 429, "overloaded": 529, "fb-s04": 503} {
		res, err := http.Post(base+"/v1/chat/completions", "application/json",
			strings.NewReader(`{"model": "`+model+`", "messages": [{"role": "user", "content": "Why?"}]}`))
		require.NoError(t, err)
		require.Equal(t, want, res.StatusCode, model)
		require.NoError(t, res.Body.Close())
	}
	res, err := http.Post(base+"/v1/chat/completions", "application/json",
		strings.NewReader(`{"model": "arguments_cut", "messages": [{"role": "user", "content": "Why?"}], "tools": [{"function": {"name": "explain"}}]}`))
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Contains(t, string(body), `"arguments":"{\"color\""}`)
	http.DefaultClient.CloseIdleConnections()
	cancel()
	require.Zero(t, <-done)
}

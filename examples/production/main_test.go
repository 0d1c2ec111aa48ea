package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/chaos"
)

func TestReload(t *testing.T) {
	url := fake(t, chaos.Model{})
	config, audit := write(t, pair(url, url)), filepath.Join(t.TempDir(), "audit.jsonl")
	p := begin(t, config, "-audit", audit)
	answers := func(model string) {
		t.Helper()
		res := post(t, p.base)
		require.Equal(t, sky, body(t, res))
		require.Equal(t, model, res.Header.Get("X-Model"))
	}
	answers("atlas-large")

	replace(t, config, file("", model("atlas-next", "atlas", 0, url)))
	p.has(t, `msg="configuration applied"`, "generation=2")
	answers("atlas-next")
	line, err := os.ReadFile(audit)
	require.NoError(t, err)
	require.Contains(t, string(line), `"what":"config"`)

	for text, paths := range map[string][]string{
		`{"models": []}`: {"models: is empty"},
		`{"models": [
			{"id": "a", "provider": "atlas", "weight": -1, "contextWindow": -8000},
			{"id": "a", "provider": "boreal", "price": {"input": -1}, "limits": {"concurrency": -1}},
			{"provider": "atlas", "teir": 1}],
		  "timeouts": {"call": "45", "ops": {"chat": {"attempt": 20}}},
		  "fallback": {"strategy": "fastest"},
		  "retry": {"multiplier": 0.5},
		  "breaker": {"models": {"b": {"probes": 0}}},
		  "health": {"interval": "20"},
		  "recovery": {"strategy": "fast"},
		  "degrade": {"levels": {"moderate": {"admit": "lower"}, "sever": {}}},
		  "braker": {}, "bypass": "no"}`: {
			"models[0].weight: ", "models[0].contextWindow: ", "models[1].id: ", "models[1].price: ", "models[1].limits: ", "models[2].id: ", "models[2].teir: ",
			"timeouts.call: ", "timeouts.ops.chat.attempt: ", "fallback.strategy: ", "retry.multiplier: ", "breaker.models.b: ", "breaker.models.b.probes: ",
			"health.interval: ", "recovery.strategy: ", "degrade.levels.moderate.admit: ", "degrade.levels.sever: ", "braker: ", "bypass: ",
		},
		`{"models": [`: {"config: "},
	} {
		before := len(p.String())
		replace(t, config, text)
		refused := func() bool { return strings.Contains(p.String()[before:], "\n") }
		until(t, refused, "%s is not refused", text)
		said := p.String()[before:]
		require.Contains(t, said, `level=ERROR msg="configuration refused" actor=file generation=2`)
		for _, path := range paths {
			require.Contains(t, said, path)
		}
		answers("atlas-next")
	}
}

// slow is a model whose answers take half a second.
func slow() chaos.Model { return chaos.Model{Rate: chaos.Always(35)} }

// TestSignal sends the program, as a process of its own, what orchestrators
// send it.
func TestSignal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGTERM")
	}
	url := fake(t, slow())
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-addr", "127.0.0.1:0", "-config", write(t, pair(url, url)))
	cmd.Env = append(os.Environ(), asItself+"=1")
	var log output
	cmd.Stderr = &log
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill() }()
	base := log.address(t)

	res := post(t, base, "Accept", events)
	defer res.Body.Close()
	begun := make([]byte, 60)
	_, err := io.ReadFull(res.Body, begun)
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))

	until(t, func() bool { code, _ := get(t, base+"/readyz"); return code == 503 }, "%s", &log)
	_, reasons := ready(t, base)
	require.Equal(t, "not asked: the pool is draining", reasons["atlas-large"])
	refused := post(t, base)
	require.Equal(t, "rejected\n", body(t, refused))
	require.Equal(t, 503, refused.StatusCode)
	code, _ := get(t, base+"/livez")
	require.Equal(t, 200, code)
	_, numbers := get(t, base+"/metrics")
	require.Contains(t, numbers, "\nresilience_draining 1\n")
	require.Contains(t, numbers, `resilience_streams_open{model="atlas-large"`)

	text, end, err := play(t, io.MultiReader(strings.NewReader(string(begun)), res.Body))
	require.NoError(t, err)
	require.Equal(t, sky, text)
	require.Equal(t, "done atlas-large", end)
	require.NoError(t, cmd.Wait(), "exit code 0: %s", &log)
	log.has(t, "msg=draining calls=1", "msg=stopped")
}

// TestStop stops the program in the middle of a stream. The pool does not count
// what bypasses it; the server does.
func TestStop(t *testing.T) {
	url := fake(t, slow())
	for name, c := range map[string]struct{ more, grace, end, says string }{
		"out of grace":         {"", "50ms", "", "drain ended with 1 call open: the 50ms of grace are over"},
		"out of grace, bypass": {`, "bypass": true`, "50ms", "", "answers were still on their way to clients: the 50ms of grace are over"},
		"whole, bypass":        {`, "bypass": true`, "30s", "done atlas-large", "msg=stopped"},
	} {
		t.Run(name, func(t *testing.T) {
			p := begin(t, write(t, file(c.more, model("atlas-large", "atlas", 0, url))), "-grace", c.grace)
			res := post(t, p.base, "Accept", events)
			defer res.Body.Close()
			p.stop()
			_, end, err := play(t, res.Body)
			require.Equal(t, c.end, end)
			if c.end == "" {
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				require.Equal(t, 1, <-p.code)
			} else {
				require.NoError(t, err)
				require.Zero(t, <-p.code)
			}
			p.has(t, c.says)
		})
	}
}

func TestStopsWhenIdle(t *testing.T) {
	url := fake(t, chaos.Model{})
	p := begin(t, write(t, pair(url, url)))
	p.stop()
	require.Zero(t, <-p.code)
	require.NotContains(t, p.String(), "ERROR")
}

func TestRun(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"help":           {[]string{"-h"}, 0, "-grace"},
		"unknown flag":   {[]string{"-port", "1"}, 2, "-port"},
		"no time":        {[]string{"-grace", "30"}, 2, "-grace"},
		"an argument":    {[]string{"resilience.json"}, 2, `unexpected argument "resilience.json"`},
		"no such file":   {[]string{"-config", filepath.Join(t.TempDir(), "none.json")}, 1, "configFile: "},
		"address in use": {[]string{"-addr", taken.Addr().String()}, 1, "listen tcp"},
	} {
		t.Run(name, func(t *testing.T) {
			var out output
			require.Equal(t, c.code, run(t.Context(), c.args, &out))
			require.Contains(t, out.String(), c.says)
		})
	}
}

func TestDemo(t *testing.T) {
	p := begin(t, "")
	res := post(t, p.base, "Accept", events)
	defer res.Body.Close()
	part := make([]byte, 30)
	_, err := io.ReadFull(res.Body, part)
	require.NoError(t, err)
	require.Contains(t, string(part), `data: "The"`)
	dir := filepath.Dir(strings.TrimSpace(p.String()[strings.LastIndex(p.String(), "config=")+len("config="):]))
	require.DirExists(t, dir)
	res.Body.Close()
	p.stop()
	require.Zero(t, <-p.code, p)
	require.NoDirExists(t, dir)
}

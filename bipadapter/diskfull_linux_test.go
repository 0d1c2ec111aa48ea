package bipadapter_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/bipadapter"
)

const fullDisk = "BIPADAPTER_FULL_DISK" // directory and limit of the process whose files may not grow

// TestOnAFullDisk is the process that TestFullDisk starts. It votes until the kernel
// takes no more bytes, calls models all the same, and goes on once there is room.
func TestOnAFullDisk(t *testing.T) {
	dir, limit, ok := strings.Cut(os.Getenv(fullDisk), "|")
	if !ok {
		t.Skip("is started by TestFullDisk")
	}
	most, err := strconv.ParseUint(limit, 10, 64)
	require.NoError(t, err)
	signal.Ignore(syscall.SIGXFSZ)
	var room syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &room))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: most, Max: room.Max}))

	h := hive{}
	asked := 0
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		h[id] = func(_ context.Context, p bipadapter.Paper) (string, error) { return paperFor(p, "approve"), nil }
	}
	client := h.pool(t)
	var log *bipadapter.Log
	var a *adapter
	open := func() {
		log = openLog(t, filepath.Join(dir, "log"))
		cfg := bipadapter.Config{Log: log}
		if most%2 == 0 {
			cfg.Journal = filepath.Join(dir, "journal")
		}
		a, err = bipadapter.New(client, nil, cfg, hooks)
		require.NoError(t, err)
	}
	open()
	said := map[string]bool{}
	var kept string
	for err == nil {
		kept = log.Checkpoint()
		var d bipadapter.Decision[string]
		if d, err = a.Consensus(t.Context(), voting, prompt{text: "?"}, 0); err == nil {
			said[d.Record.Opening.Round] = true
			require.Equal(t, bipadapter.Approved, d.Outcome)
		} else {
			require.NotEqual(t, bipadapter.Approved, d.Outcome, "what is not on the disk decides nothing")
		}
	}
	require.ErrorIs(t, err, syscall.EFBIG)
	require.Regexp(t, "no round begins|decides nothing|is in the log, and would resume", err.Error())
	ask := h["a"]
	h["a"] = func(ctx context.Context, p bipadapter.Paper) (string, error) {
		asked++
		return ask(ctx, p)
	}
	_, again := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
	require.Error(t, again, "it stays closed until it is reopened")
	require.Zero(t, asked)
	_, _, calls := client.Do(t.Context(), prompt{text: "?"}, resilience.CallOptions{Model: "a"})
	require.NoError(t, calls, "calls go on")
	require.Equal(t, 1, asked)

	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &room))
	require.NoError(t, a.Close())
	require.NoError(t, log.Close())
	open()
	require.NoError(t, log.Extends(kept))
	d, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
	require.NoError(t, err)
	require.Equal(t, bipadapter.Approved, d.Outcome)
	records, err := log.Records(t.Context(), "")
	require.NoError(t, err)
	for i := range records {
		delete(said, records[i].Opening.Round)
	}
	require.Empty(t, said, "of what was decided nothing is lost")
	finding, reason := found(t, records...)
	require.Equal(t, bipadapter.SelfAttested, finding, reason)
	fmt.Printf("went on after %d rounds\n", len(records))
	require.NoError(t, a.Close())
	require.NoError(t, log.Close())
}

// TestFullDisk has a process meet the end of the disk, by a limit that the kernel
// keeps, at places in openings, answers and records.
func TestFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for _, limit := range []int{2_000, 2_500, 3_333, 8_000, 9_500, 12_001, 13_000, 14_203} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestOnAFullDisk$", "-test.v")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%d", fullDisk, t.TempDir(), limit))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%d bytes: %s", limit, out)
		require.Contains(t, string(out), "went on after", "%d bytes", limit)
	}
}

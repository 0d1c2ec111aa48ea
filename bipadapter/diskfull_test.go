//go:build linux

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

	"github.com/cmmv-hive/resilience/bipadapter"
)

const limited = "BIPADAPTER_LIMITED" // the directory, and the bytes that files may have

func atOnce(_ context.Context, p bipadapter.Paper) (string, error) {
	return paperFor(p, "approve"), nil
}

// TestLimited is the process whose files may not grow: it holds votes until one fails.
func TestLimited(t *testing.T) {
	dir, bytes, ok := strings.Cut(os.Getenv(limited), " ")
	if !ok {
		t.Skip("is started by TestDiskFull")
	}
	log := openLog(t, filepath.Join(dir, "log"))
	a := every(atOnce).adapter(t, bipadapter.Config{Log: log, Journal: filepath.Join(dir, "journal")})
	signal.Ignore(syscall.SIGXFSZ)
	limit, err := strconv.ParseUint(bytes, 10, 64)
	require.NoError(t, err)
	var before syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: before.Max}))
	defer func() { require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before)) }() // coverage is written too
	decided := 0
	for err == nil {
		require.True(t, a.Status().Ready, a.Status().Reason)
		var d bipadapter.Decision[string]
		if d, err = a.Consensus(t.Context(), voting, prompt{text: "?"}, 0); err == nil {
			require.Equal(t, bipadapter.Approved, d.Outcome)
			decided++
		}
	}
	require.ErrorIs(t, err, syscall.EFBIG)
	_, err = a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
	require.ErrorContains(t, err, "no round begins")
	require.False(t, a.Status().Ready)
	require.Contains(t, a.Status().Reason, "takes nothing more until it is reopened")
	res, err := a.Execute(t.Context(), bipadapter.Operation{Type: bipadapter.Analysis, BIP: "BIP-03"}, prompt{text: "?"})
	require.NoError(t, err, "calls go on")
	require.NotEmpty(t, res.Value)
	fmt.Println("decided", decided)
}

// TestDiskFull has a disk be full at many places of a round. No round begins then, none
// decides, calls go on; and when there is room again, all that was decided is there.
func TestDiskFull(t *testing.T) {
	step := 1013
	if testing.Short() {
		step = 5003
	}
	tried := 0
	for limit := 400; limit < 24_000; limit += step {
		dir := t.TempDir()
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestLimited$")
		cmd.Env = append(os.Environ(), limited+"="+dir+" "+strconv.Itoa(limit))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%d bytes: %s", limit, out)
		_, text, _ := strings.Cut(string(out), "decided ")
		decided, err := strconv.Atoi(strings.Fields(text)[0])
		require.NoError(t, err)

		log := openLog(t, filepath.Join(dir, "log"))
		a := every(atOnce).adapter(t, bipadapter.Config{Log: log, Journal: filepath.Join(dir, "journal")})
		d, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		require.Equal(t, bipadapter.Approved, d.Outcome)
		records, err := log.Records(t.Context(), voting.BIP)
		require.NoError(t, err)
		finding, why := found(t, records...)
		require.Equal(t, bipadapter.SelfAttested, finding, why)
		approved := 0
		for _, r := range records {
			if r.Closing.Outcome == bipadapter.Approved {
				approved++
			}
		}
		require.GreaterOrEqual(t, approved, decided)
		require.NoError(t, a.Close())
		require.NoError(t, log.Close())
		tried++
	}
	t.Logf("full at %d places", tried)
}

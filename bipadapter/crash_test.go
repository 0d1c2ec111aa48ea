package bipadapter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/bipadapter"
)

const crasher = "BIPADAPTER_CRASHER" // names the directory of the process that is killed

// TestCrasher is the process that is killed: it holds a vote, with a log and a journal,
// of which each voter takes some milliseconds, or takes up the one before.
func TestCrasher(t *testing.T) {
	dir := os.Getenv(crasher)
	if dir == "" {
		t.Skip("is started by TestCrash")
	}
	h := hive{}
	for i, id := range []string{"a", "b", "c", "d", "e"} {
		h[id] = func(_ context.Context, p bipadapter.Paper) (string, error) {
			time.Sleep(time.Duration(i) * 5 * time.Millisecond)
			return paperFor(p, "approve"), nil
		}
	}
	log := openLog(t, filepath.Join(dir, "log"))
	a := h.adapter(t, bipadapter.Config{Log: log, Journal: filepath.Join(dir, "journal")})
	fmt.Println("begins")
	d, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
	require.NoError(t, err)
	fmt.Println("decided", d.Record.Opening.Round, d.Outcome)
}

// TestCrash kills a process in the middle of rounds, and starts it again until it has
// decided: 20 rounds by default, and 200 with -long. What is decided is what all five
// voters said, nobody's ballot is lost or counted twice, whoever asks again hears of it,
// and all that the log has verifies.
func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("processes share two cores with the race detector's")
	}
	rounds := 20
	if *bipadapter.Long {
		rounds = 200
	}
	random := rand.New(rand.NewPCG(1, 2))
	kills, resumed, aborted := 0, 0, 0
	for n := range rounds {
		dir := t.TempDir()
		var told string
		for told == "" {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestCrasher$")
			cmd.Env = append(os.Environ(), crasher+"="+dir)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			var text bytes.Buffer
			line := make([]byte, 4096)
			for !strings.Contains(text.String(), "begins") {
				k, err := out.Read(line)
				text.Write(line[:k])
				require.NoError(t, err, text.String())
			}
			die := time.AfterFunc(time.Duration(random.Int64N(int64(60*time.Millisecond))), func() { _ = cmd.Process.Kill() })
			_, _ = text.ReadFrom(out)
			err = cmd.Wait()
			die.Stop()
			if _, after, ok := strings.Cut(text.String(), "decided "); ok {
				told, _, _ = strings.Cut(after, " ")
			}
			var exit *exec.ExitError
			if kills++; err == nil || errors.As(err, &exit) && exit.Exited() {
				kills--
				require.NoError(t, err, text.String())
			}
		}
		log := openLog(t, filepath.Join(dir, "log"))
		records, err := log.Records(t.Context(), voting.BIP)
		require.NoError(t, err)
		require.NoError(t, log.Close())
		finding, reason := found(t, records...)
		require.Equal(t, bipadapter.SelfAttested, finding, "round %d: %s", n, reason)
		last := records[len(records)-1]
		require.Equal(t, told, last.Opening.Round)
		require.Equal(t, bipadapter.Approved, last.Closing.Outcome)
		require.Equal(t, 5, last.Closing.Ballots)
		for _, e := range last.Evidence {
			require.Equal(t, bipadapter.Counted, e.Standing)
			if len(e.Attempts) > 1 {
				resumed++
			}
		}
		for _, r := range records[:len(records)-1] { // begun in the log, and killed before the journal had it
			require.Equal(t, bipadapter.Aborted, r.Closing.Outcome, "what was decided is what the next vote returns")
			aborted++
		}
	}
	t.Logf("published: processes that are killed in the middle of a round: measured %d of %d rounds right, after %d kills, %d voters asked again, %d rounds aborted before anybody was asked, none decided that nobody hears of, reference none, target all",
		rounds, rounds, kills, resumed, aborted)
	require.Greater(t, kills, rounds/2)
	require.Positive(t, resumed)
}

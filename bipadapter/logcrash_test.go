package bipadapter

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const logWriter = "BIPADAPTER_LOG_WRITER" // names the directory of the process that is killed

// TestWritesUntilKilled is the process that TestKilled kills. It logs rounds and
// writes a journal, and says each thing that was acknowledged.
func TestWritesUntilKilled(t *testing.T) {
	dir := os.Getenv(logWriter)
	if dir == "" {
		t.Skip("only in a process of its own")
	}
	l, err := OpenLog(dir, logName, keyOf(1))
	require.NoError(t, err)
	j, _, err := openJournal(filepath.Join(dir, "journal"))
	require.NoError(t, err)
	k := newKit()
	k.rounds = len(l.rounds)
	k.random = rand.NewChaCha8([32]byte{1, byte(k.rounds), byte(k.rounds >> 8)}) // no nonce is drawn again by the next process
	k.now = k.now.Add(time.Duration(k.rounds) * time.Hour)
	fmt.Println("ready")
	for i := 0; ; i++ {
		o, papers := k.open("BIP-07", Rule{}, "y y n")
		_, err := l.begin(&o)
		require.NoError(t, err)
		fmt.Println("opened", o.Round)
		require.NoError(t, j.append(journalEntry{Round: o.Round, Kind: "opening"}))
		fmt.Println("journal", o.Round)
		require.NoError(t, l.end(k.fill(o, papers, "y y n")))
		fmt.Println("closed", o.Round)
		if i%8 == 7 {
			require.NoError(t, j.compact(func(string) bool { return true }))
		}
	}
}

// TestKilled kills a process that writes, at any time, 20 times or with -long 200.
// What it has acknowledged is there, and what is there is in order.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	times := 20
	if *Long {
		times = 200
	}
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(3, 4))
	said := map[string]bool{}
	cut := 0
	for i := range times {
		if i%20 == 0 {
			dir, said = t.TempDir(), map[string]bool{}
		}
		killAt(t, dir, time.Duration(random.IntN(25_000))*time.Microsecond, said)

		l, err := OpenLog(dir, logName, keyOf(1))
		require.NoError(t, err)
		cut += len(l.Warnings())
		j, entries, err := openJournal(filepath.Join(dir, "journal"))
		require.NoError(t, err)
		require.NoError(t, j.Close())
		for _, o := range l.open() {
			r := &Record{Opening: o, Closing: Closing{Count: Count{Outcome: Aborted, Reason: "killed"}, Time: o.Time}}
			for _, v := range o.Voters {
				r.Evidence = append(r.Evidence, Evidence{Voter: v.Name, Standing: Absent})
			}
			r.Closing.Seed = fmt.Sprintf("%x", "seed of "+o.Round)
			require.False(t, said["closed "+o.Round])
			require.NoError(t, l.end(r))
		}
		records, err := l.Records(t.Context(), "")
		require.NoError(t, err)
		there := map[string]bool{}
		var texts [][]byte
		for i := range records {
			there[records[i].Opening.Round] = true
			texts = append(texts, textOf(t, &records[i]))
		}
		for what := range said {
			kind, round, _ := strings.Cut(what, " ")
			if kind != "journal" {
				require.True(t, there[round], what)
			}
		}
		for _, e := range entries {
			delete(said, "journal "+e.Round)
		}
		for what := range said {
			require.False(t, strings.HasPrefix(what, "journal"), what)
		}
		for _, e := range entries {
			said["journal "+e.Round] = true
		}
		if len(texts) > 0 {
			f, reason := verify(Keys{Logs: []string{l.key.vkey}}, texts...)
			require.Equal(t, SelfAttested, f, reason)
		}
		require.NoError(t, l.Close())
	}
	t.Logf("published: kills: measured %d of %d without loss, reference –, target all (%d times an end was cut off)", times, times, cut)
}

func killAt(t *testing.T, dir string, after time.Duration, said map[string]bool) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "-test.run", "^TestWritesUntilKilled$")
	cmd.Env = append(os.Environ(), logWriter+"="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "ready" {
			time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
			continue
		}
		said[lines.Text()] = true
	}
	require.Error(t, cmd.Wait(), "it is killed, and does not end by itself")
	for what := range said {
		require.Regexp(t, `^(opened|closed|journal) r\d+$`, what)
	}
}

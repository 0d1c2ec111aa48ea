package bipadapter

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"
)

// TestWalkersKnowFormerRoots compares what a proof tells of the log before and with its
// leaf with the log's roots then.
func TestWalkersKnowFormerRoots(t *testing.T) {
	l := newLog(t)
	for i := range 33 {
		require.NoError(t, l.grow([]byte{byte(i)}))
	}
	for size := int64(1); size <= l.leaves; size++ {
		for index := range size {
			proof, err := tlog.ProveRecord(size, index, l.reader())
			require.NoError(t, err)
			w := walker{proof: digests(proof), leaf: tlog.RecordHash([]byte{byte(index)}), index: index}
			root, ok := w.span(span{0, size})
			require.True(t, ok)
			roots := map[int64]tlog.Hash{}
			for n := range size + 1 {
				roots[n], err = tlog.TreeHash(n, l.reader())
				require.NoError(t, err)
			}
			require.Equal(t, roots[size], root)
			before, ok := w.fold(nil)
			require.Equal(t, index > 0, ok)
			if ok {
				require.Equal(t, roots[index], before, "%d of %d", index, size)
			}
			with, ok := w.fold(&w.leaf)
			require.True(t, ok)
			require.Equal(t, roots[index+1], with, "%d of %d", index, size)
			for _, n := range w.nodes {
				require.Less(t, n.from, n.to)
			}
		}
	}
}

// TestVerifyOfRoundsWithoutASeed: it may be lost with the process that drew it, if
// nobody was asked, and in no other case.
func TestVerifyOfRoundsWithoutASeed(t *testing.T) {
	aborts := func(r *Record) {
		unasked(r, 0)
		r.Closing.Seed, r.Closing.Count = "", Count{Outcome: Aborted, Reason: "the process ended"}
		_ = conclude(r)
	}
	for name, c := range map[string]struct {
		change func(*Record)
		want   string // "" if it is in order
	}{
		"aborted before anybody was asked": {aborts, ""},
		"aborted with another seed":        {func(r *Record) { aborts(r); r.Closing.Seed = "00" }, "closing: seed"},
		"aborted, and somebody was asked":  {func(r *Record) { order := r.Closing.Order[:1]; aborts(r); r.Closing.Order = order }, "closing: seed"},
		"out of time": {func(r *Record) {
			unasked(r, 0)
			r.Closing.Seed, r.Closing.Time = "", r.Opening.Deadline
		}, "closing: seed"},
	} {
		k, l := newKit(), newLog(t)
		r := k.changed(t, l, "BIP-07", Rule{}, "y y n", nil, c.change)
		f, reason := verify(Keys{}, textOf(t, r))
		if c.want == "" {
			require.Equal(t, SelfAttested, f, "%s: %s", name, reason)
			recounted(t, "RECOUNTED", r)
			continue
		}
		require.Equal(t, Failed, f, name)
		require.Contains(t, reason, c.want, name)
		recounted(t, "FAILED", r)
	}
}

// TestVerifyOfEarlyEmergencies: what is certain is so by the quorum of emergencies.
func TestVerifyOfEarlyEmergencies(t *testing.T) {
	k, l := newKit(), newLog(t)
	rule := Rule{Quorum: 1, Emergency: 0.5}
	for i, emergency := range []bool{true, false} {
		r := k.changed(t, l, fmt.Sprint("BIP-", i), rule, "y y y y y", func(o *Opening) {
			o.Early = true
			if emergency {
				o.Emergency = &Declaration{Actors: []string{"ann", "bob"}, Reason: "fire", Until: o.Deadline}
			}
		}, func(r *Record) { unasked(r, 4) })
		f, reason := verify(Keys{}, textOf(t, r))
		require.Equal(t, map[bool]Finding{true: SelfAttested, false: Failed}[emergency], f, reason)
	}
}

func TestVerifyOfCosignaturesAtTheEdge(t *testing.T) {
	k, l := newKit(), newLog(t)
	w := newWatcher(l.key.vkey, func() time.Time { return k.now })
	other := newWatcher(l.key.vkey, w.now)
	other.name, other.key = "other.example", keyOf(11)
	r := k.round(t, l, "BIP-07", Rule{}, "y y n")
	head, err := readCheckpoint(r.Proof.Closed.Checkpoint, l.key)
	require.NoError(t, err)
	end := r.Closing.Time.Unix()
	line := func(w *watcher, at int64) string { return strings.TrimSuffix(w.cosign(at, head), "\n") }
	wrong := line(w, end)
	wrong = wrong[:len(wrong)-8] + "AAAAAA=="
	broken := line(w, end)
	for name, c := range map[string]struct {
		lines []string
		want  Finding
		says  string
	}{
		"an hour after":             {[]string{line(w, end+3600)}, Verified, ""},
		"more":                      {[]string{line(w, end+3601)}, SelfAttested, "only 1h0m1s after"},
		"an hour before":            {[]string{line(w, end-3600)}, Verified, ""},
		"even more before":          {[]string{line(w, end-3601)}, Failed, "saw the closing 1h0m1s before"},
		"one right and one wrong":   {[]string{line(other, end), wrong}, Failed, "cosignatures[1]: not \"witness.example\"'s"},
		"one late and one in time":  {[]string{line(other, end+9000), line(w, end)}, Verified, "cosigned by witness.example"},
		"a line end in the base64":  {[]string{broken[:len(broken)-8] + "\n" + broken[len(broken)-8:]}, Failed, "want a line such as"},
		"by whom nobody has a name": {[]string{strings.Replace(broken, "witness.example", "x.example", 1)}, Failed, "not \"witness.example\"'s"},
		"as many as there may be":   {repeated(line(w, end), maxCosignatures), Verified, ""},
		"too many":                  {repeated(line(w, end), maxCosignatures+1), Failed, "17 are more than 16"},
	} {
		forged := *r
		proof := *r.Proof
		proof.Cosignatures, forged.Proof = c.lines, &proof
		f, reason := verify(Keys{Logs: []string{l.key.vkey}, Witnesses: []string{other.vkey(), w.vkey()}}, textOf(t, &forged))
		require.Equal(t, c.want, f, "%s: %s", name, reason)
		require.Contains(t, reason, c.says, name)
	}
}

func repeated(line string, n int) (lines []string) {
	for range n {
		lines = append(lines, line)
	}
	return lines
}

// TestLogWithAnOldHead: what was acknowledged since is more than a crash can leave.
func TestLogWithAnOldHead(t *testing.T) {
	k, dir := newKit(), t.TempDir()
	path := filepath.Join(dir, headFile)
	heads := [][]byte{nil}
	l, err := OpenLog(dir, logName, keyOf(1))
	require.NoError(t, err)
	for range 2 {
		o, papers := k.open("BIP-07", Rule{}, "y y n")
		_, err := l.begin(&o)
		require.NoError(t, err)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, l.end(k.fill(o, papers, "y y n")))
		heads = append(heads, text)
		text, err = os.ReadFile(path)
		require.NoError(t, err)
		heads = append(heads, text)
	}
	require.NoError(t, l.Close())
	for i, text := range heads {
		require.NoError(t, os.WriteFile(path, text, 0o600))
		if text == nil {
			require.NoError(t, os.Remove(path))
		}
		l, err := OpenLog(dir, logName, keyOf(1))
		if len(heads)-1-i > 1 {
			require.ErrorContains(t, err, "is lost or older than it", "head %d", i)
			continue
		}
		require.NoError(t, err, "head %d", i)
		require.NoError(t, l.Close())
	}

	// The first entry of all may be there and no head.
	dir = t.TempDir()
	l, err = OpenLog(dir, logName, keyOf(1))
	require.NoError(t, err)
	o, _ := k.open("BIP-07", Rule{}, "y y n")
	_, err = l.begin(&o)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.NoError(t, os.Remove(filepath.Join(dir, headFile)))
	l, err = OpenLog(dir, logName, keyOf(1))
	require.NoError(t, err)
	require.Len(t, l.open(), 1)
	require.NoError(t, l.Close())
}

// TestJournalOfZeros has what file systems leave of a file that was made longer before
// it was written.
func TestJournalOfZeros(t *testing.T) {
	path, data, _ := newJournal(t, 3)
	open := func(more []byte) ([]journalEntry, error) {
		t.Helper()
		require.NoError(t, os.WriteFile(path, append(bytes.Clone(data), more...), 0o600))
		j, got, err := openJournal(path)
		if err == nil {
			require.NoError(t, j.Close())
			again, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, data, again, "cut off")
		}
		return got, err
	}
	zeros := make([]byte, 200_000)
	whole := frame(int64(len(data)), []byte(`{"round":"x","kind":"closed"}`))
	blank := bytes.Clone(whole)
	copy(blank[len(blank)-frameTail:], zeros)
	for name, more := range map[string][]byte{
		"a few":             zeros[:frameHead],
		"many":              zeros,
		"as many as a part": zeros[:64<<10],
		"an entry's end":    blank,
	} {
		got, err := open(more)
		require.NoError(t, err, name)
		require.Len(t, got, 3, name)
	}
	last := bytes.Clone(zeros)
	last[len(last)-1] = 1
	torn := bytes.Clone(whole)
	torn[len(torn)-1] ^= 1
	for name, more := range map[string][]byte{
		"not to the end":             last,
		"an entry's end, and more":   append(bytes.Clone(blank), zeros[:1]...),
		"an end that is not written": torn,
	} {
		_, err := open(more)
		require.ErrorContains(t, err, "not as it was written", name)
	}
}

// TestRecordsWithAllHandovers are as long as they get.
func TestRecordsWithAllHandovers(t *testing.T) {
	k, l := newKit(), newLog(t)
	first := l.key.vkey
	for i := range byte(maxHandovers) {
		require.NoError(t, l.Rotate(keyOf(100+i)))
	}
	r := k.round(t, l, "BIP-07", Rule{}, "y y n")
	f, reason := verify(Keys{Logs: []string{first}}, textOf(t, r))
	require.Equal(t, SelfAttested, f, reason)
}

// TestServedBy has names as providers spell them.
func TestServedBy(t *testing.T) {
	for _, c := range []struct {
		voter, served string
		want          bool
	}{
		{"gpt-4", "gpt-4-0613", true},
		{"openai/gpt-4o", "gpt-4o-2024-08-06", true},
		{"gpt-4", "gpt-4.1", false},
		{"gpt-4", "gpt-4.1-2025-04-14", false},
		{"gpt-4o", "gpt-4o-mini-2024-07-18", false},
		{"claude-sonnet-4", "claude-sonnet-4-20250514", true},
		{"claude-sonnet-4", "claude-sonnet-4-5-20250929", false},
		{"claude-3.5-sonnet", "claude-3-5-sonnet-latest", true},
		{"gemini-1.5-pro", "gemini-1.5-pro-002", true},
		{"command-r", "command-r-08-2024", true},
		{"mistral-large", "mistral-large-2407", true},
		{"mistral-large-latest", "mistral-large-2407", true},
		{"mistral-large-latest", "mistral-large", true},
		{"mistral-large-latest", "mistral-small-2407", false},
		{"-latest", "o1", false},
		{"o1", "o1-2024-12-17", true},
		{"o1", "o10", false},
		{"model", "model-", true},
		{"model", "model-12-", true},
		{"model", "", true},
	} {
		v := Voter{Name: c.voter, Model: c.voter}
		require.Equal(t, c.want, servedBy(v, c.served), "%s served by %s", c.voter, c.served)
	}
}

// TestDigestsOfEmptyAnswers: nothing, with a salt, is an answer that is shown.
func TestDigestsOfEmptyAnswers(t *testing.T) {
	salt := bytes.Repeat([]byte{7}, saltSize)
	for name, c := range map[string]struct {
		answer Answer
		right  bool
	}{
		"nothing":                 {Answer{}, true},
		"nothing, salted":         {Answer{Salt: salt, Digest: commit(salt, nil)}, true},
		"nothing, another digest": {Answer{Salt: salt, Digest: commit(nil, nil)}, false},
		"no digest":               {Answer{Salt: salt}, false},
		"hidden":                  {Answer{Digest: commit(salt, []byte("x"))}, true},
		"another salt":            {Answer{Salt: bytes.Repeat([]byte{8}, saltSize), Raw: []byte("x"), Digest: commit(salt, []byte("x"))}, false},
	} {
		require.Equal(t, c.right, c.answer.check() == nil, "%s: %s", name, hex.EncodeToString(c.answer.Digest[:4]))
	}
}

package bipadapter

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"
)

// TestRotate goes over to another key twice. What was signed before stays good, and
// whoever trusts any one of the keys can follow.
func TestRotate(t *testing.T) {
	k, dir := newKit(), t.TempDir()
	l, err := OpenLog(dir, logName, keyOf(1))
	require.NoError(t, err)
	w := newWatcher(l.key.vkey, func() time.Time { return k.now })
	l.SetWitness(w)
	var texts [][]byte
	var keys, checkpoints []string
	round := func() {
		texts = append(texts, textOf(t, k.round(t, l, "BIP-07", Rule{}, "y y n")))
		keys, checkpoints = append(keys, l.key.vkey), append(checkpoints, l.Checkpoint())
	}
	round()
	o, papers := k.open("BIP-08", Rule{}, "n n n")
	_, err = l.begin(&o)
	require.NoError(t, err)
	require.NoError(t, l.Rotate(keyOf(2)))
	w.log = l.key.vkey // its operator is told
	across := k.fill(o, papers, "n n n")
	require.NoError(t, l.end(across))
	round()
	require.NoError(t, l.Close())
	_, err = OpenLog(dir, logName, keyOf(1))
	require.ErrorContains(t, err, "it was handed over to another key, \""+keys[1][:30])
	l, err = OpenLog(dir, logName, keyOf(2))
	require.NoError(t, err)
	l.SetWitness(w)
	require.NoError(t, l.Rotate(keyOf(3)))
	w.log = l.key.vkey
	round()
	require.NoError(t, l.Close())
	l, err = OpenLog(dir, logName, keyOf(3))
	require.NoError(t, err)
	defer l.Close()
	require.Empty(t, l.Warnings())

	require.NotEqual(t, keys[0], keys[1])
	for _, c := range checkpoints {
		require.NoError(t, l.Extends(c))
	}
	witnesses := []string{w.vkey()}
	for i, key := range keys {
		f, reason := verify(Keys{Logs: []string{key}, Witnesses: witnesses}, texts...)
		require.Equal(t, Verified, f, "by key %d: %s", i, reason)
	}
	f, reason := verify(Keys{Logs: keys[1:2], Witnesses: witnesses}, textOf(t, across))
	require.Equal(t, Verified, f, reason)
	f, reason = verify(Keys{Logs: keys[1:], Witnesses: witnesses}, texts[0])
	require.Equal(t, Failed, f, "nothing in it says that its key was the log's")
	require.Contains(t, reason, "is not a log that is trusted")

	// Records that are asked for later are signed with the key of today.
	records, err := l.Records(t.Context(), "BIP-07")
	require.NoError(t, err)
	require.Len(t, records, 3)
	var later [][]byte
	for i := range records {
		require.Equal(t, keys[2], records[i].Proof.Log)
		require.Len(t, records[i].Proof.Handovers, 2)
		later = append(later, textOf(t, &records[i]))
	}
	for i, key := range keys {
		f, reason = verify(Keys{Logs: []string{key}, Witnesses: witnesses}, later...)
		require.Equal(t, Verified, f, "by key %d: %s", i, reason)
		f, reason = verify(Keys{Logs: []string{key}, Witnesses: witnesses}, texts[0], texts[1], later[2])
		require.Equal(t, Verified, f, "by key %d: %s", i, reason)
	}
	f, reason = verify(Keys{}, texts...)
	require.Equal(t, SelfAttested, f, reason)
	f, reason = verify(Keys{Logs: keys[:1]}, texts[0], textOf(t, k.round(t, newLog(t), "BIP-07", Rule{}, "y")))
	require.Equal(t, Failed, f, reason)

	file := filepath.Join(t.TempDir(), "record.json")
	require.NoError(t, os.WriteFile(file, later[1], 0o600))
	require.NoError(t, os.WriteFile(file+".1", texts[0], 0o600))
	require.NoError(t, os.WriteFile(file+".3", texts[2], 0o600))
	out, err := python(t, file+".1", file, file+".3")
	require.NoError(t, err, out)
}

func TestRotateRefuses(t *testing.T) {
	l := newLog(t)
	require.ErrorContains(t, l.Rotate(nil), "an Ed25519 private key has 64")
	require.ErrorContains(t, l.Rotate(keyOf(1)), "it has or had this key")
	require.NoError(t, l.Rotate(keyOf(2)))
	require.ErrorContains(t, l.Rotate(keyOf(1)), "it has or had this key")
	for i := range byte(maxHandovers - 1) {
		require.NoError(t, l.Rotate(keyOf(100+i)))
	}
	require.ErrorContains(t, l.Rotate(keyOf(3)), "it had 64 keys")
	require.NoError(t, l.Close())
	require.ErrorIs(t, l.Rotate(keyOf(4)), errClosed)
}

// TestRotateUntilKilled has the plug pulled at each step of a handover.
func TestRotateUntilKilled(t *testing.T) {
	k := newKit()
	for name, c := range map[string]struct {
		fail  func(l *Log)
		opens byte // the key that the log opens with
	}{
		"before anything is written": {func(l *Log) { l.file.file = &fullDisk{disk: l.file.file} }, 1},
		"in the middle of the entry": {func(l *Log) { l.file.file = &fullDisk{disk: l.file.file, room: 200} }, 1},
		"before it is acknowledged":  {func(l *Log) { l.save = func(string, []byte) error { return errFull } }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l, err := OpenLog(dir, logName, keyOf(1))
			require.NoError(t, err)
			k.round(t, l, "BIP-07", Rule{}, "y y n")
			before := l.Checkpoint()
			c.fail(l)
			require.ErrorIs(t, l.Rotate(keyOf(2)), errFull)
			require.ErrorIs(t, l.Rotate(keyOf(2)), errFull, "nothing follows until it is reopened")
			require.NoError(t, l.Close())
			_, err = OpenLog(dir, logName, keyOf(3-c.opens))
			require.Error(t, err)
			for range 2 {
				l, err = OpenLog(dir, logName, keyOf(c.opens))
				require.NoError(t, err)
				require.NoError(t, l.Extends(before))
				k.round(t, l, "BIP-07", Rule{}, "y y n")
				require.NoError(t, l.Close())
			}
		})
	}
}

// TestHandoversThatAreForged: a thief of a former key goes on with it, or says that it
// was handed over to another one.
func TestHandoversThatAreForged(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	l, err := OpenLog(dir, logName, keyOf(1))
	require.NoError(t, err)
	k := newKit()
	first := k.round(t, l, "BIP-07", Rule{}, "y y n")
	require.NoError(t, l.Close())
	require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
	l, err = OpenLog(dir, logName, keyOf(1))
	require.NoError(t, err)
	defer l.Close()
	former := l.key.vkey
	require.NoError(t, l.Rotate(keyOf(2)))
	second := k.round(t, l, "BIP-07", Rule{}, "y y n")

	thief, err := OpenLog(copied, logName, keyOf(1))
	require.NoError(t, err)
	defer thief.Close()
	forged := k.round(t, thief, "BIP-07", Rule{}, "n n n")
	elsewhere := k.round(t, thief, "BIP-09", Rule{}, "n n n")
	stray := thief.Checkpoint()
	for _, keys := range []Keys{{}, {Logs: []string{former}}, {Logs: []string{l.key.vkey}}, {Logs: []string{former, l.key.vkey}}} {
		f, reason := verify(keys, textOf(t, first), textOf(t, second), textOf(t, elsewhere))
		require.Equal(t, Failed, f, reason)
		require.Contains(t, reason, "signed with a key that was handed over at 2: somebody goes on with it")
	}
	require.ErrorContains(t, l.Extends(stray), "somebody goes on with it")
	f, reason := verify(Keys{Logs: []string{l.key.vkey}}, textOf(t, forged))
	require.Equal(t, Failed, f, reason)

	require.NoError(t, thief.Rotate(keyOf(7)))
	third := k.round(t, thief, "BIP-07", Rule{}, "n n n")
	f, reason = verify(Keys{Logs: []string{l.key.vkey}}, textOf(t, first), textOf(t, second), textOf(t, third))
	require.Equal(t, Failed, f)
	require.Contains(t, reason, "handed over to two keys, or from two")
	f, reason = verify(Keys{Logs: []string{l.key.vkey}}, textOf(t, third))
	require.Equal(t, Failed, f)
	require.Contains(t, reason, "is not a log that is trusted")

	good := second.Proof.Handovers[0]
	note2, err := note.Sign(&note.Note{Text: strings.SplitAfter(good, "\n\n")[0][:len(strings.SplitAfter(good, "\n\n")[0])-1]}, l.key)
	require.NoError(t, err)
	edited := strings.Replace(good, "\n2\n", "\n4\n", 1)
	for name, c := range map[string]struct {
		handovers []string
		want      string
	}{
		"none":                     {nil, "is not a log that is trusted"},
		"signed with one key only": {[]string{string(note2)}, "handovers[0]: want a note"},
		"of another size":          {[]string{edited}, "handovers[0]: want a note"},
		"nonsense":                 {[]string{"x"}, "handovers[0]: want a note"},
		"long":                     {[]string{strings.Repeat(good, 20)}, "handovers[0]: want a note"},
		"twice":                    {[]string{good, good}, "handovers[1]: not from the key"},
		"another log's":            {third.Proof.Handovers, "they do not lead to the log's key"},
		"many":                     {make([]string, maxHandovers+1), "65 are more than 64"},
	} {
		r := *second
		proof := *second.Proof
		proof.Handovers, r.Proof = c.handovers, &proof
		f, reason := verify(Keys{Logs: []string{former}}, textOf(t, &r))
		require.Equal(t, Failed, f, name)
		require.Contains(t, reason, c.want, name)
	}

	// A witness that was not told of the next key does not answer, and its word is missing.
	w := newWatcher(former, func() time.Time { return k.now })
	l.SetWitness(witnessFunc(func(ctx context.Context, c string, p []Digest) (string, error) {
		if _, err := w.Cosign(ctx, c, p); err == nil {
			return "", errors.New("it signs for a key that it does not know")
		}
		return "", errors.New("unknown key")
	}))
	r := k.round(t, l, "BIP-07", Rule{}, "y y n")
	require.Empty(t, r.Proof.Cosignatures)
	require.Contains(t, l.Warnings()[0], "unknown key")
}

type witnessFunc func(ctx context.Context, checkpoint string, consistency []Digest) (string, error)

func (f witnessFunc) Cosign(ctx context.Context, checkpoint string, consistency []Digest) (string, error) {
	return f(ctx, checkpoint, consistency)
}

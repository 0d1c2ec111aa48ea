package bipadapter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLogAfterARestart(t *testing.T) {
	k, dir := newKit(), t.TempDir()
	l, err := OpenLog(dir, logName, keyOf(1))
	require.NoError(t, err)
	first := k.round(t, l, "BIP-07", Rule{}, "y y n")
	o, papers := k.open("bip_07", Rule{}, "n n n")
	in, err := l.begin(&o)
	require.NoError(t, err)
	require.EqualValues(t, 2, in.Index)
	require.EqualValues(t, 2, o.Counter, "a BIP is the same in any spelling")
	checkpoint := l.Checkpoint()
	require.True(t, strings.HasPrefix(checkpoint, logName+"\n3\n"), checkpoint)
	require.NoError(t, l.Close())
	require.NoError(t, l.Close())
	_, err = l.begin(&o)
	require.ErrorIs(t, err, errClosed)

	l, err = OpenLog(dir, logName, keyOf(1))
	require.NoError(t, err)
	require.Equal(t, checkpoint, l.Checkpoint())
	require.NoError(t, l.Extends(checkpoint))
	open := l.open()
	require.Len(t, open, 1)
	r := k.fill(open[0], papers, "n n n")
	require.NoError(t, l.end(r))
	require.Empty(t, l.open())
	require.Error(t, l.end(r), "a round ends once")
	require.NoError(t, l.Extends(checkpoint))
	records, err := l.Records(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, records, 2)
	require.Equal(t, string(textOf(t, first)), string(textOf(t, &records[0])), "also after a restart")
	require.Equal(t, string(textOf(t, r)), string(textOf(t, &records[1])))
	f, reason := verify(Keys{Logs: []string{l.key.vkey}}, textOf(t, first), textOf(t, r))
	require.Equal(t, SelfAttested, f, reason)

	records, err = l.Records(t.Context(), "BIP-99")
	require.NoError(t, err)
	require.Empty(t, records)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = l.Records(ctx, "")
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, l.Close())
	_, err = OpenLog(dir, logName, keyOf(2))
	require.ErrorContains(t, err, "another key, or damaged")
	_, err = OpenLog(dir, "example.org/other", keyOf(1))
	require.ErrorContains(t, err, "another key, or damaged")
}

func TestLogRefuses(t *testing.T) {
	for _, name := range []string{"", "a b", "a+b", "a\nb"} {
		_, err := OpenLog(t.TempDir(), name, keyOf(1))
		require.Error(t, err)
	}
	_, err := OpenLog(t.TempDir(), logName, nil)
	require.ErrorContains(t, err, "an Ed25519 private key has 64")

	dir := t.TempDir()
	l, err := OpenLog(dir, logName, keyOf(1))
	require.NoError(t, err)
	_, err = OpenLog(dir, logName, keyOf(1))
	require.ErrorIs(t, err, errLocked)

	k := newKit()
	o, papers := k.open("BIP-07", Rule{}, "y y n")
	for name, change := range map[string]func(*Opening){
		"a round without a name": func(o *Opening) { o.Round = "" },
		"a round without a BIP":  func(o *Opening) { o.BIP = "" },
		"text that changes":      func(o *Opening) { o.OpenedBy = "\xff" },
	} {
		bad := o
		change(&bad)
		_, err = l.begin(&bad)
		require.Error(t, err, name)
	}
	_, err = l.begin(&o)
	require.NoError(t, err)
	_, err = l.begin(&o)
	require.ErrorContains(t, err, `there is a round "r1" already`)
	require.Error(t, l.end(&Record{Opening: Opening{Round: "r9"}, Closing: Closing{Time: k.now}}))
	r := k.fill(o, papers, "y y n")
	r.Opening.Deadline = r.Opening.Deadline.Add(time.Hour)
	require.ErrorContains(t, l.end(r), "the opening is not the one that was logged")
	require.NoError(t, l.Close())
}

func TestLogAndClocksThatAreSetBack(t *testing.T) {
	k, l := newKit(), newLog(t)
	r := k.round(t, l, "BIP-07", Rule{}, "y y n")
	k.now = k.now.Add(-30 * time.Second)
	o, _ := k.open("BIP-07", Rule{}, "y y n")
	_, err := l.begin(&o)
	require.NoError(t, err)
	require.Equal(t, r.Closing.Time, o.Time)
	k.now = k.now.Add(-time.Hour)
	o, _ = k.open("BIP-07", Rule{}, "y y n")
	_, err = l.begin(&o)
	require.ErrorContains(t, err, "set the clock right")
}

func TestLogOnAFullDisk(t *testing.T) {
	k, dir := newKit(), t.TempDir()
	open := func() *Log {
		l, err := OpenLog(dir, logName, keyOf(1))
		require.NoError(t, err)
		return l
	}
	for _, full := range []fullDisk{{room: 0}, {room: 3}, {room: 300}, {room: 1 << 20, sync: errFull}, {room: -1}} {
		for _, ending := range []bool{false, true} {
			l := open()
			o, papers := k.open("BIP-07", Rule{}, "y y n")
			if ending {
				_, err := l.begin(&o)
				require.NoError(t, err)
			}
			if disk := full; disk.room < 0 {
				l.save = func(string, []byte) error { return errFull }
			} else {
				disk.disk = l.file.file
				l.file.file = &disk
			}
			before := l.Checkpoint()
			if ending {
				require.ErrorIs(t, l.end(k.fill(o, papers, "y y n")), errFull)
			} else {
				_, err := l.begin(&o)
				require.ErrorIs(t, err, errFull)
			}
			l.file.file = struct{ disk }{l.file.file}
			next, _ := k.open("BIP-08", Rule{}, "y")
			_, err := l.begin(&next)
			require.ErrorIs(t, err, errFull, "nothing follows until it is reopened")
			require.NoError(t, l.Close())
			l = open()
			require.NoError(t, l.Extends(before))
			require.NoError(t, l.Close())
		}
	}
	l := open()
	defer l.Close()
	for _, o := range l.open() {
		r := &Record{Opening: o, Closing: Closing{Count: Count{Outcome: Aborted, Reason: "the disk was full"}, Time: k.tick()}}
		for _, v := range o.Voters {
			r.Evidence = append(r.Evidence, Evidence{Voter: v.Name, Standing: Absent})
		}
		r.Closing.Seed = fmt.Sprintf("%x", k.seed(o.Round))
		require.NoError(t, l.end(r))
	}
	records, err := l.Records(t.Context(), "BIP-07")
	require.NoError(t, err)
	require.NotEmpty(t, records)
	var texts [][]byte
	for i := range records {
		texts = append(texts, textOf(t, &records[i]))
	}
	f, reason := verify(Keys{}, texts...)
	require.Equal(t, SelfAttested, f, reason)
}

func TestLogCutAtEveryByte(t *testing.T) {
	k, dir := newKit(), t.TempDir()
	l, err := OpenLog(dir, logName, keyOf(1))
	require.NoError(t, err)
	k.round(t, l, "BIP-07", Rule{}, "y")
	path, head := filepath.Join(dir, logFile), filepath.Join(dir, headFile)
	acked, err := os.ReadFile(head)
	require.NoError(t, err)
	size := l.file.size
	o, _ := k.open("BIP-07", Rule{}, "y")
	_, err = l.begin(&o)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	data, err := os.ReadFile(path)
	require.NoError(t, err)

	for n := range len(data) + 1 {
		if edge := n > len(data)-16 || n > int(size)-16 && n < int(size)+32; !edge && n%7 > 0 && !*Long {
			continue
		}
		require.NoError(t, os.WriteFile(path, data[:n], 0o600))
		require.NoError(t, os.WriteFile(head, acked, 0o600))
		l, err := OpenLog(dir, logName, keyOf(1))
		if int64(n) < size {
			require.ErrorContains(t, err, "restore it from a copy", "%d bytes of what was acknowledged", n)
			continue
		}
		require.NoError(t, err, "%d bytes", n)
		switch {
		case n == len(data):
			require.Len(t, l.open(), 1, "whole, though nobody was told")
			require.Empty(t, l.Warnings())
		case int64(n) > size:
			require.Empty(t, l.open())
			require.Len(t, l.Warnings(), 1)
			require.Contains(t, l.Warnings()[0], fmt.Sprintf("cut off %d bytes", int64(n)-size))
		}
		require.NoError(t, l.Close())
	}
	// Two entries that nobody was told of, or no head, are no crash's.
	require.NoError(t, os.WriteFile(path, data, 0o600))
	require.NoError(t, os.Remove(head))
	_, err = OpenLog(dir, logName, keyOf(1))
	require.ErrorContains(t, err, "is lost or older than it")
}

func TestLogThatWasChanged(t *testing.T) {
	k, dir := newKit(), t.TempDir()
	l, err := OpenLog(dir, logName, keyOf(1))
	require.NoError(t, err)
	r := k.round(t, l, "BIP-07", Rule{}, "y y n")
	early := l.Checkpoint()
	k.round(t, l, "BIP-07", Rule{}, "y y n")
	late := l.Checkpoint()
	require.NoError(t, l.Extends(early))
	require.NoError(t, l.Extends(late))
	require.NoError(t, l.Close())

	// Its owner, who has the key, writes another history.
	other := t.TempDir()
	l, err = OpenLog(other, logName, keyOf(1))
	require.NoError(t, err)
	defer l.Close()
	k2 := newKit()
	require.Equal(t, string(textOf(t, r)), string(textOf(t, k2.round(t, l, "BIP-07", Rule{}, "y y n"))))
	require.NoError(t, l.Extends(early))
	require.ErrorContains(t, l.Extends(late), "it has 2 entries and had 4: it was cut short")
	forked := k2.round(t, l, "BIP-07", Rule{}, "n n n")
	require.ErrorContains(t, l.Extends(late), "its first 4 entries are not those that it had: it was rewritten")
	require.Error(t, l.Extends("nonsense"))
	require.Error(t, l.Extends(strings.Replace(early, "\n2\n", "\n3\n", 1)))

	l1, err := OpenLog(dir, logName, keyOf(1))
	require.NoError(t, err)
	defer l1.Close()
	records, err := l1.Records(t.Context(), "")
	require.NoError(t, err)
	f, reason := verify(Keys{}, textOf(t, &records[0]), textOf(t, &records[1]), textOf(t, forked))
	require.Equal(t, Failed, f)
	require.Contains(t, reason, "it has two roots at 4 entries: it was forked")
	// Later records of one history contradict earlier ones of the other.
	third := k2.round(t, l, "BIP-09", Rule{}, "n n n")
	f, reason = verify(Keys{}, textOf(t, &records[0]), textOf(t, &records[1]), textOf(t, third))
	require.Equal(t, Failed, f)
	require.Contains(t, reason, "in two versions: the log was rewritten or forked")
	f, reason = verify(Keys{}, textOf(t, &records[0]), textOf(t, forked), textOf(t, third))
	require.Equal(t, SelfAttested, f, reason)
}

func TestLogHasRoundsAtOnce(t *testing.T) {
	k, l := newKit(), newLog(t)
	w := newWatcher(l.key.vkey, func() time.Time { return k.now })
	l.SetWitness(w)
	const n = 12
	records := make([]*Record, n)
	for i := range records {
		o, papers := k.open(fmt.Sprintf("BIP-%02d", i%3), Rule{}, "y y n")
		_, err := l.begin(&o)
		require.NoError(t, err)
		records[i] = k.fill(o, papers, "y y n")
	}
	for _, r := range records {
		r.Closing.Time = k.now
	}
	var wg sync.WaitGroup
	for _, r := range records {
		wg.Go(func() {
			if err := l.end(r); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Empty(t, l.Warnings())
	keys := Keys{Logs: []string{l.key.vkey}, Witnesses: []string{w.vkey()}}
	var texts [][]byte
	for _, r := range records {
		texts = append(texts, textOf(t, r))
	}
	f, reason := verify(keys, texts...)
	require.Equal(t, Verified, f, reason)
}

func TestWitnessesThatFail(t *testing.T) {
	k, dir := newKit(), t.TempDir()
	l, err := OpenLog(dir, logName, keyOf(1))
	require.NoError(t, err)
	w := newWatcher(l.key.vkey, func() time.Time { return k.now })
	l.SetWitness(w)
	w.err = errors.New("no route to host")
	r := k.round(t, l, "BIP-07", Rule{}, "y y n")
	require.Empty(t, r.Proof.Cosignatures)
	require.Len(t, l.Warnings(), 1)
	require.Contains(t, l.Warnings()[0], `round "r1": no witness has cosigned it: no route to host`)
	w.err = nil
	r = k.round(t, l, "BIP-07", Rule{}, "y y n")
	require.Len(t, r.Proof.Cosignatures, 1)
	require.NoError(t, l.Close())

	// A restarted log knows where its witness is; one whose witness has seen more asks
	// again from there.
	l, err = OpenLog(dir, logName, keyOf(1))
	require.NoError(t, err)
	defer l.Close()
	l.SetWitness(w)
	require.EqualValues(t, 4, l.cosigned)
	r = k.round(t, l, "BIP-07", Rule{}, "y y n")
	require.Len(t, r.Proof.Cosignatures, 1)
	require.Equal(t, 2, w.cosigns)
	l.cosigned = 2
	r = k.round(t, l, "BIP-07", Rule{}, "y y n")
	require.Len(t, r.Proof.Cosignatures, 1)
	w.size = 1000
	r = k.round(t, l, "BIP-07", Rule{}, "y y n")
	require.Empty(t, r.Proof.Cosignatures)
	require.Contains(t, strings.Join(l.Warnings(), "\n"), "it is not the log that the witness knows")
}

func TestLogFilesAreOfNoOneElse(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, logFile), bytes.Repeat([]byte("x"), 100), 0o600))
	_, err := OpenLog(dir, logName, keyOf(1))
	require.ErrorContains(t, err, "another file")
	_, err = OpenLog(filepath.Join(dir, logFile), logName, keyOf(1))
	require.Error(t, err)
}

package bipadapter

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func entry(round, kind string, i int) journalEntry {
	return journalEntry{Round: round, Kind: kind, Data: json.RawMessage(fmt.Sprintf(`{"i":%d}`, i))}
}

// newJournal writes a journal of n entries, and returns its path, what is in it and
// where entries end.
func newJournal(t *testing.T, n int) (path string, data []byte, ends []int64) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "journal")
	j, entries, err := openJournal(path)
	require.NoError(t, err)
	require.Empty(t, entries)
	ends = []int64{j.size}
	for i := range n {
		require.NoError(t, j.append(entry("r", "answer", i)))
		ends = append(ends, j.size)
	}
	require.NoError(t, j.Close())
	data, err = os.ReadFile(path)
	require.NoError(t, err)
	return path, data, ends
}

func TestJournalKeepsWhatItAcknowledged(t *testing.T) {
	path, _, _ := newJournal(t, 3)
	j, entries, err := openJournal(path)
	require.NoError(t, err)
	require.Equal(t, []journalEntry{entry("r", "answer", 0), entry("r", "answer", 1), entry("r", "answer", 2)}, entries)
	require.NoError(t, j.append(entry("r", "closed", 3)))
	require.NoError(t, j.Close())
	require.NoError(t, j.Close())
	require.ErrorIs(t, j.append(entry("r", "answer", 4)), errClosed)
	require.ErrorIs(t, j.compact(func(string) bool { return true }), errClosed)
}

func TestJournalCutAtEveryByte(t *testing.T) {
	path, data, ends := newJournal(t, 2)
	for size := range len(data) + 1 {
		for _, filler := range []int{0, 5, 300} { // zeros that were to become something
			require.NoError(t, os.WriteFile(path, append(data[:size:size], make([]byte, filler)...), 0o600))
			j, entries, err := openJournal(path)
			if err != nil {
				// Zeros that no crash leaves: behind a part of a header or of a checksum.
				require.ErrorContains(t, err, "at byte ", "%d bytes, %d zeros", size, filler)
				require.NotZero(t, filler)
				continue
			}
			whole := 0
			for _, end := range ends[1:] {
				if int64(size) >= end {
					whole++
				}
			}
			if filler == 0 {
				require.Len(t, entries, whole, "%d bytes", size)
			} else {
				require.GreaterOrEqual(t, len(entries), whole)
			}
			require.NoError(t, j.append(entry("r", "closed", 9)))
			require.NoError(t, j.Close())
			j, again, err := openJournal(path)
			require.NoError(t, err)
			require.Equal(t, append(entries, entry("r", "closed", 9)), again)
			require.NoError(t, j.Close())
		}
	}
}

func TestJournalFindsEveryFlippedBit(t *testing.T) {
	path, data, ends := newJournal(t, 2)
	for bit := range 8 * len(data) {
		flipped := append([]byte(nil), data...)
		flipped[bit/8] ^= 1 << (bit % 8)
		require.NoError(t, os.WriteFile(path, flipped, 0o600))
		_, _, err := openJournal(path)
		at := int64(0)
		for _, end := range ends {
			if int64(bit/8) >= end {
				at = end
			}
		}
		require.ErrorContains(t, err, fmt.Sprintf("at byte %d:", at), "bit %d", bit)
	}
}

func TestJournalHasNoPartsMoved(t *testing.T) {
	path, data, ends := newJournal(t, 3)
	a, b := data[ends[0]:ends[1]], data[ends[1]:ends[2]]
	require.Len(t, b, len(a))
	for name, moved := range map[string][]byte{
		"swapped":  append(append(append(append([]byte(nil), data[:ends[0]]...), b...), a...), data[ends[2]:]...),
		"left out": append(append([]byte(nil), data[:ends[0]]...), data[ends[1]:]...),
		"repeated": append(append([]byte(nil), data...), a...),
	} {
		require.NoError(t, os.WriteFile(path, moved, 0o600))
		_, _, err := openJournal(path)
		require.ErrorContains(t, err, "not as it was written", name)
	}
}

// A fullDisk takes so many bytes and no more, and its Sync may fail.
type fullDisk struct {
	disk
	room int
	sync error
}

var errFull = errors.New("no space left on device")

func (d *fullDisk) Write(p []byte) (int, error) {
	n := min(len(p), d.room)
	d.room -= n
	n, err := d.disk.Write(p[:n])
	if err == nil && n < len(p) {
		err = errFull
	}
	return n, err
}

func (d *fullDisk) Sync() error { return errors.Join(d.sync, d.disk.Sync()) }

func TestJournalOnAFullDisk(t *testing.T) {
	for _, full := range []fullDisk{{room: 0}, {room: 1}, {room: 20}, {room: 1 << 20, sync: errFull}} {
		path, data, _ := newJournal(t, 2)
		j, _, err := openJournal(path)
		require.NoError(t, err)
		full.disk = j.file
		j.file = &full
		require.ErrorIs(t, j.append(entry("r", "answer", 2)), errFull)
		full.room, full.sync = 1<<20, nil
		require.ErrorIs(t, j.append(entry("r", "answer", 3)), errFull, "nothing follows what may be half there")
		require.ErrorIs(t, j.compact(func(string) bool { return true }), errFull)
		require.NoError(t, j.Close())
		j, entries, err := openJournal(path)
		require.NoError(t, err)
		require.Equal(t, []journalEntry{entry("r", "answer", 0), entry("r", "answer", 1)}, entries[:2])
		require.NoError(t, j.append(entry("r", "answer", 3)))
		require.NoError(t, j.Close())
		require.NotEmpty(t, data)
	}
}

func TestJournalCompacts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, _, err := openJournal(path)
	require.NoError(t, err)
	for i := range 6 {
		require.NoError(t, j.append(entry(fmt.Sprint("r", i%2), "answer", i)))
	}
	before := j.size
	require.NoError(t, j.compact(func(round string) bool { return round == "r1" }))
	require.Less(t, j.size, before)
	require.NoError(t, j.append(entry("r2", "opening", 6)))
	require.NoError(t, j.Close())
	j, entries, err := openJournal(path)
	require.NoError(t, err)
	require.Equal(t, []journalEntry{entry("r1", "answer", 1), entry("r1", "answer", 3), entry("r1", "answer", 5), entry("r2", "opening", 6)}, entries)
	require.NoError(t, j.Close())
}

func TestJournalIsOneProcess(t *testing.T) {
	path, _, _ := newJournal(t, 1)
	j, _, err := openJournal(path)
	require.NoError(t, err)
	_, _, err = openJournal(path)
	require.ErrorIs(t, err, errLocked)
	require.NoError(t, j.Close())
	j, _, err = openJournal(path)
	require.NoError(t, err)
	require.NoError(t, j.Close())
}

func TestJournalTakesEntriesAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, _, err := openJournal(path)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 5 {
				if err := j.append(entry(fmt.Sprint(i), "answer", k)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, j.Close())
	j, entries, err := openJournal(path)
	require.NoError(t, err)
	require.NoError(t, j.Close())
	next := map[string]int{}
	for _, e := range entries {
		require.Equal(t, entry(e.Round, "answer", next[e.Round]), e)
		next[e.Round]++
	}
	require.Len(t, entries, 40)
}

func TestJournalIsNoOtherFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	require.NoError(t, os.WriteFile(path, []byte("something else that is long enough"), 0o600))
	_, _, err := openJournal(path)
	require.ErrorContains(t, err, "another file")
	_, _, err = openJournal(filepath.Join(path, "under"))
	require.Error(t, err)
}

package bipadapter

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A memory is a file that is only read.
type memory struct {
	disk
	data []byte
}

func (m memory) ReadAt(p []byte, at int64) (int, error) {
	return bytes.NewReader(m.data).ReadAt(p, at)
}

// intact reports whether a log's file reads as it was written, from the frame on that
// a byte is in.
func intact(data []byte, starts []int64, at int64) bool {
	f := &frames{path: logFile, file: memory{data: data}, size: int64(len(data))}
	if at < starts[0] {
		return f.begin(logMagic) == nil
	}
	i, found := slices.BinarySearch(starts, at)
	if !found {
		i--
	}
	_, bad, err := f.read(starts[i])
	return err == nil && !bad.found
}

// TestEveryBit flips single bits of a log of 100 records, and of the records that
// are shown: some of them by default, each of them with -long. All must be found. A
// log is opened for some; for each bit, the part that it is in is read.
func TestEveryBit(t *testing.T) {
	k, dir := newKit(), t.TempDir()
	l, err := OpenLog(dir, logName, keyOf(1))
	require.NoError(t, err)
	w := newWatcher(l.key.vkey, func() time.Time { return k.now })
	l.SetWitness(w)
	words := []string{"y n", "x", "2", "m", "a", "l", "o"}
	for i := range 100 {
		k.round(t, l, fmt.Sprintf("BIP-%02d", i), Rule{}, words[i%len(words)])
	}
	records, err := l.Records(t.Context(), "")
	require.NoError(t, err)
	starts := []int64{int64(len(logMagic))}
	_, err = l.file.scan(starts[0], func(at int64, payload []byte) error {
		starts = append(starts, at+frameHead+int64(len(payload))+frameTail)
		return nil
	})
	require.NoError(t, err)
	starts = starts[:len(starts)-1]
	require.NoError(t, l.Close())
	keys := Keys{Logs: []string{l.key.vkey}, Witnesses: []string{w.vkey()}}

	flips, found := 0, 0
	random := rand.New(rand.NewPCG(1, 2))
	each := func(data []byte, all bool, sample int, check func(bit int) bool) {
		bits := 8 * len(data)
		if all {
			sample = bits
		} else if testing.Short() {
			sample /= 5
		}
		for i := range sample {
			bit := i
			if !all {
				bit = random.IntN(bits)
			}
			data[bit/8] ^= 1 << (bit % 8)
			flips++
			if check(bit) {
				found++
			} else {
				t.Errorf("byte %d of %d, bit %d: not found", bit/8, len(data), bit%8)
			}
			data[bit/8] ^= 1 << (bit % 8)
		}
	}
	for i := range records {
		text := textOf(t, &records[i])
		f, reason := verify(keys, text)
		require.Equal(t, Verified, f, reason)
		each(text, *Long, 20, func(int) bool {
			f, _ := verify(keys, text)
			return f == Failed
		})
	}
	t.Logf("published: record bits: measured %d of %d flips found, reference –, target all", found, flips)
	flips, found = 0, 0
	for _, name := range []string{logFile, headFile} {
		path := filepath.Join(dir, name)
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		require.NoError(t, err)
		each(data, false, 300, func(bit int) bool {
			_, err := file.WriteAt(data[bit/8:bit/8+1], int64(bit/8))
			require.NoError(t, err)
			l, err := OpenLog(dir, logName, keyOf(1))
			if err == nil {
				require.NoError(t, l.Close())
			}
			_, back := file.WriteAt([]byte{data[bit/8] ^ 1<<(bit%8)}, int64(bit/8))
			require.NoError(t, back)
			return err != nil
		})
		require.NoError(t, file.Close())
		if name == logFile {
			each(data, *Long, 4_000, func(bit int) bool { return !intact(data, starts, int64(bit/8)) })
		}
	}
	l, err = OpenLog(dir, logName, keyOf(1))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	t.Logf("published: log bits: measured %d of %d flips found, reference –, target all", found, flips)
}

package bipadapter

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestEveryBit flips single bits of a log of 100 records, and of the records that
// are shown: some of them by default, each of them with -long. All must be found.
func TestEveryBit(t *testing.T) {
	k, dir := newKit(), t.TempDir()
	l, err := OpenLog(dir, logName, keyOf(1))
	require.NoError(t, err)
	w := newWatcher(l.key.vkey, func() time.Time { return k.now })
	l.SetWitness(w)
	words := []string{"y y n", "x y y", "2 y y", "m n n", "y y a", "l y y", "o n n"}
	for i := range 100 {
		k.round(t, l, fmt.Sprintf("BIP-%02d", i), Rule{}, words[i%len(words)])
	}
	records, err := l.Records(t.Context(), "")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	keys := Keys{Logs: []string{l.key.vkey}, Witnesses: []string{w.vkey()}}

	flips, found := 0, 0
	random := rand.New(rand.NewPCG(1, 2))
	each := func(data []byte, sample int, check func(bit int) bool) {
		bits := 8 * len(data)
		if *Long {
			sample = bits
		}
		for i := range sample {
			bit := i
			if !*Long {
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
		each(text, 20, func(int) bool {
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
		each(data, 300, func(bit int) bool {
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
	}
	l, err = OpenLog(dir, logName, keyOf(1))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	t.Logf("published: log bits: measured %d of %d flips found, reference –, target all", found, flips)
}

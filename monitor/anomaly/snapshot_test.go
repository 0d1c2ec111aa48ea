package anomaly_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/monitor/anomaly"
)

func snapshot(tb testing.TB, rows int) []byte {
	tb.Helper()
	d := anomaly.New(anomaly.Config{})
	feed(d, start, 5*time.Minute, rows, noise(20))
	data, err := d.MarshalBinary()
	require.NoError(tb, err)
	return data
}

// A detector goes on from a snapshot as if nothing had been.
func TestSnapshot(t *testing.T) {
	for _, rows := range []int{0, 1, 31, 32, 64, 100, 5000} {
		a, b := anomaly.New(anomaly.Config{}), anomaly.New(anomaly.Config{})
		base := noise(21)
		feed(a, start, 5*time.Minute, rows, base)
		data, err := a.MarshalBinary()
		require.NoError(t, err)
		require.Less(t, len(data), 8192)
		require.NoError(t, b.UnmarshalBinary(data))
		for i := range 600 {
			at, v := start.Add(time.Duration(rows+i)*5*time.Minute), base(i)+float64(i/300)*30
			require.Equal(t, a.Observe(at, v), b.Observe(at, v))
		}
	}
}

func TestSnapshotIsStrict(t *testing.T) {
	good := snapshot(t, 3000)
	d := anomaly.New(anomaly.Config{})
	require.NoError(t, d.UnmarshalBinary(good))
	refused := func(want string, data []byte) {
		t.Helper()
		require.ErrorContains(t, d.UnmarshalBinary(data), want)
		kept, err := d.MarshalBinary()
		require.NoError(t, err)
		require.True(t, bytes.Equal(good, kept), "what was learned stays")
	}
	refused("0 bytes", nil)
	refused("bytes", good[:len(good)-1])
	refused("bytes", append(append([]byte{}, good...), 0))
	refused("version 2", append([]byte{2}, good[1:]...))
	for _, i := range []int{1, 100, len(good) / 2, len(good) - 1} {
		bad := append([]byte{}, good...)
		bad[i] ^= 1
		refused("checksum", bad)
	}
	// Each number in turn is one that no detector comes to.
	for i := 1; i+8 <= len(good)-4; i++ {
		bad := append([]byte{}, good...)
		binary.LittleEndian.PutUint64(bad[i:], math.Float64bits(math.NaN()))
		usable(t, seal(bad))
	}
}

// seal gives data the checksum that it should have.
func seal(data []byte) []byte {
	if len(data) < 4 {
		return data
	}
	body := data[:len(data)-4]
	return binary.LittleEndian.AppendUint32(append([]byte{}, body...), crc32.ChecksumIEEE(body))
}

// usable requires that data is refused, or read as what it is and then of use.
func usable(t *testing.T, data []byte) {
	t.Helper()
	d := anomaly.New(anomaly.Config{})
	if d.UnmarshalBinary(data) != nil {
		return
	}
	again, err := d.MarshalBinary()
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, again))
	for i, v := range []float64{0, 1, -1e300, 1e300, 5, 1e-300, 7, 8} {
		r := d.Observe(start.Add(time.Duration(i)*time.Hour), v)
		require.True(t, r.Score >= 0 && r.Score <= 1, "%+v", r)
	}
}

func FuzzUnmarshalBinary(f *testing.F) {
	f.Add([]byte{})
	f.Add(snapshot(f, 10))
	f.Add(snapshot(f, 3000))
	f.Fuzz(func(t *testing.T, data []byte) {
		usable(t, data)
		usable(t, seal(data))
	})
}

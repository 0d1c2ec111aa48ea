package analytics_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/monitor/analytics"
)

func draw(seed uint64, n int) []float64 {
	r := rand.New(rand.NewPCG(seed, 2))
	values := make([]float64, n)
	for i := range values {
		values[i] = math.Exp(r.NormFloat64()*1.2 - .5)
		if r.Float64() < .02 {
			values[i] *= 10
		}
	}
	return values
}

func TestSketch(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(analytics.Sketch{}), uintptr(4096))
	for seed := range uint64(5) {
		values := draw(seed, 20_000)
		var s, half, other analytics.Sketch
		sum := 0.
		for i, v := range values {
			s.Add(v)
			sum += v
			if i%2 == 0 {
				half.Add(v)
			} else {
				other.Add(v)
			}
		}
		slices.Sort(values)
		for _, q := range []float64{0, .001, .01, .1, .5, .9, .95, .99, .999, .9999, 1} {
			exact := values[max(int(math.Ceil(q*float64(len(values))))-1, 0)]
			require.InEpsilon(t, exact, s.Quantile(q), 1./64+1e-9, q)
		}
		require.EqualValues(t, len(values), s.Count())
		require.InEpsilon(t, sum, s.Sum(), 1e-9)
		require.InEpsilon(t, sum/float64(len(values)), s.Mean(), 1e-9)

		merged := half
		merged.Merge(&other)
		require.Equal(t, s.Quantile(.95), merged.Quantile(.95))
		require.Equal(t, s.Count(), merged.Count())
		merged.Sub(&other)
		require.Equal(t, half.Quantile(.5), merged.Quantile(.5))
		require.Equal(t, half.Count(), merged.Count())
	}
}

func TestSketchEdges(t *testing.T) {
	var s analytics.Sketch
	require.Zero(t, s.Quantile(.5))
	require.Zero(t, s.Mean())
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		s.Add(v)
	}
	s.AddN(1, 0)
	require.Zero(t, s.Count())

	for _, v := range []float64{0, -5, math.Copysign(0, -1), 1e-300, math.Exp2(-14) * .999} {
		s.Add(v)
	}
	require.Zero(t, s.Quantile(1))
	s.Add(math.Exp2(-14))
	require.InEpsilon(t, math.Exp2(-14), s.Quantile(1), 1./64+1e-9)
	s.Add(math.Exp2(17) * .9999)
	require.InEpsilon(t, math.Exp2(17), s.Quantile(1), 1./64)
	for range 10 {
		s.Add(math.MaxFloat64 / 100)
	}
	require.Equal(t, math.Exp2(17), s.Quantile(1))
	require.Equal(t, s.Quantile(0), s.Quantile(-3))
	require.Equal(t, s.Quantile(1), s.Quantile(7))
	require.Zero(t, s.Quantile(math.NaN()))

	var full analytics.Sketch
	full.AddN(1, math.MaxUint32)
	full.AddN(1, 5)
	require.Equal(t, uint64(math.MaxUint32)+5, full.Count())
	require.InEpsilon(t, 1, full.Quantile(1), 1./64+1e-9)
	full.Merge(&full)
	require.InEpsilon(t, 1, full.Quantile(1), 1./64+1e-9)
}

func TestSketchTakesAwayNoMoreThanThereIs(t *testing.T) {
	var s, more analytics.Sketch
	s.Add(1)
	more.AddN(1, 3)
	s.Sub(&more)
	require.Zero(t, s.Count())
	require.Zero(t, s.Sum())
	require.Zero(t, s.Quantile(.5))
}

// TestSketchIsReadBack: whatever is done to a sketch, its encoding is read.
func TestSketchIsReadBack(t *testing.T) {
	var huge, doubled, mixed, one, two analytics.Sketch
	huge.AddN(math.MaxFloat64, 3)
	huge.Merge(&huge)
	require.Equal(t, math.MaxFloat64, huge.Sum())
	doubled.AddN(1, math.MaxUint32)
	for range 64 {
		doubled.Merge(&doubled)
	}
	require.Equal(t, uint64(math.MaxUint64), doubled.Count())
	one.Add(1)
	two.Add(2)
	mixed.Merge(&one)
	mixed.Sub(&two)
	require.EqualValues(t, 1, mixed.Count(), "what is not there is not taken away")
	less := huge
	less.Sub(&huge)
	require.Zero(t, less)
	negative := analytics.Sketch{}
	negative.AddN(-math.MaxFloat64, 2)
	require.Equal(t, -math.MaxFloat64, negative.Sum())
	for _, s := range []analytics.Sketch{{}, huge, doubled, mixed, less, negative} {
		data, err := s.MarshalBinary()
		require.NoError(t, err)
		var again analytics.Sketch
		require.NoError(t, again.UnmarshalBinary(data))
		require.Equal(t, s, again)
	}
}

// sealed is what is read as a sketch, but for the checksum.
func sealed(body ...byte) []byte {
	return binary.BigEndian.AppendUint32(slices.Clip(body), crc32.ChecksumIEEE(body))
}

// TestSketchIsStrict has checksums that are right.
func TestSketchIsStrict(t *testing.T) {
	one := []byte{0x3f, 0xf0, 0, 0, 0, 0, 0, 0}
	zero := make([]byte, 8)
	body := func(count []byte, sum []byte, rest ...byte) []byte {
		return sealed(slices.Concat([]byte{1}, count, sum, rest)...)
	}
	var s analytics.Sketch
	require.NoError(t, s.UnmarshalBinary(body([]byte{1}, one, 0, 0, 1, 1)))
	kept := s
	for name, bad := range map[string][]byte{
		"nothing":                   nil,
		"another version":           sealed(2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
		"no sum":                    sealed(1, 1, 0),
		"a number that is too long": body([]byte{0x81, 0}, one, 0, 0, 1, 1),
		"a number without an end":   body([]byte{1}, one, 0, 0, 1, 0x81),
		"a cell twice":              body([]byte{2}, one, 0, 0, 1, 1, 0, 1),
		"an empty cell":             body([]byte{1}, one, 0, 0, 1, 0),
		"a cell beyond":             body([]byte{1}, one, 0, 0, 0xe1, 7, 1),
		"too many in a cell":        body([]byte{0x80, 0x80, 0x80, 0x80, 0x20}, one, 0, 0, 1, 0x80, 0x80, 0x80, 0x80, 0x20),
		"a step without a count":    body([]byte{1}, one, 0, 0, 1),
		"more than the count":       body([]byte{1}, one, 1, 0, 1, 1),
		"a sum of nothing":          body([]byte{0}, one, 0, 0),
		"no number":                 body([]byte{1}, []byte{0x7f, 0xf8, 0, 0, 0, 0, 0, 1}, 0, 0, 1, 1),
		"infinite":                  body([]byte{1}, []byte{0xff, 0xf0, 0, 0, 0, 0, 0, 0}, 0, 0, 1, 1),
	} {
		require.Error(t, s.UnmarshalBinary(bad), name)
		require.Equal(t, kept, s, name)
	}
	require.NoError(t, s.UnmarshalBinary(body([]byte{0}, zero, 0, 0)))
}

func FuzzSketch(f *testing.F) {
	var s analytics.Sketch
	f.Add([]byte{})
	for i, v := range draw(7, 200) {
		s.Add(v)
		if i%20 == 0 {
			data, _ := s.MarshalBinary()
			f.Add(data[:len(data)-4])
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		data := sealed(body...) // else nothing but checksums would be tried
		var s analytics.Sketch
		if s.UnmarshalBinary(data) != nil {
			require.Equal(t, analytics.Sketch{}, s)
			return
		}
		again, err := s.MarshalBinary()
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, again), "there is one encoding")
	})
}

func TestSketchDamaged(t *testing.T) {
	var s analytics.Sketch
	for _, v := range draw(3, 1000) {
		s.Add(v)
	}
	s.Add(-1)
	s.Add(1e9)
	data, err := s.MarshalBinary()
	require.NoError(t, err)
	var again analytics.Sketch
	require.NoError(t, again.UnmarshalBinary(data))
	require.Equal(t, s, again)
	for i := range data {
		for bit := range 8 {
			bad := slices.Clone(data)
			bad[i] ^= 1 << bit
			require.Error(t, again.UnmarshalBinary(bad))
		}
		require.Error(t, again.UnmarshalBinary(data[:i]))
	}
	require.Equal(t, s, again)
}

func BenchmarkSketch(b *testing.B) {
	values := draw(1, 1024)
	var s analytics.Sketch
	i := 0
	for b.Loop() {
		s.Add(values[i&1023])
		i++
	}
}

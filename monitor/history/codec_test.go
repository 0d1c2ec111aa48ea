package history

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/window"
)

const recordSize = unsafe.Sizeof(record{})

func TestNumbers(t *testing.T) {
	var w writer
	var list []int64
	for shift := range 61 {
		list = append(list, 1<<shift-1, 1<<shift, 1<<shift+1)
	}
	for _, v := range list {
		w.number(v)
		w.signed(-v)
		w.bool(v%2 == 0)
	}
	r := reader{data: w.data}
	for _, v := range list {
		require.Equal(t, v, r.number())
		require.Equal(t, -v, r.signed())
		require.Equal(t, v%2 == 0, r.bool())
	}
	require.NoError(t, r.err)
	for range 100 {
		r.number()
	}
	require.Error(t, r.err)
}

func TestSpread(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var all [2]spread
	var exact []time.Duration
	for i := range 20_000 {
		d := time.Duration(rnd.ExpFloat64() * float64(2*time.Second))
		exact = append(exact, d)
		all[i%2].put(window.BucketOf(int64(d)), 1)
	}
	slices.Sort(exact)
	all[0].add(&all[1])
	q := all[0].quantiles(.5, .95, .99)
	for i, p := range []float64{.5, .95, .99} {
		want := exact[int(p*float64(len(exact)-1))]
		require.InEpsilon(t, want, q[i], .02)
	}
	var one spread
	require.Equal(t, []time.Duration{0}, one.quantiles(.5))
	one.put(window.BucketOf(int64(time.Second)), 1)
	one.put(3, 0)
	require.InEpsilon(t, time.Second, one.quantiles(.99)[0], .0625)
}

// some makes a tier of so many records.
func some(kind, n int, rnd *rand.Rand, calls int) *tier {
	var t tier
	for i := range n {
		var r record
		r.start = int64(i+1) * shapes[kind].step
		r.n[atSpan] = shapes[kind].step * 1000
		for range calls {
			took := time.Duration(float64(time.Second) * 2 * (0.3 + rnd.ExpFloat64()))
			r.n[atKind]++
			r.took.put(window.BucketOf(int64(took)), 1)
			r.n[atInput] += rnd.Int64N(2000)
			r.n[atOutput] += rnd.Int64N(500)
			r.n[atNanos] += rnd.Int64N(20_000_000)
		}
		t.add(&r, kind)
	}
	return &t
}

func TestTier(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	tr := some(minutes, 3000, rnd, 5)
	tr.expire(3000*60, minutes)
	n, last := 0, int64(0)
	for _, c := range tr.chunks {
		for r, err := range c.records(minutes) {
			require.NoError(t, err)
			require.Greater(t, r.start, last)
			require.EqualValues(t, 5, r.n[atKind])
			require.EqualValues(t, 5, r.took.total())
			require.EqualValues(t, 60_000, r.n[atSpan])
			last = r.start
			n++
		}
	}
	require.EqualValues(t, 2999*60, last)
	require.InDelta(t, 24*60, n, 60)
}

func TestForget(t *testing.T) {
	for _, now := range []int64{0, 60, 61 * 60, 100 * 60, 120 * 60, 199 * 60, 200 * 60, 300 * 60} {
		tr := some(minutes, 200, rand.New(rand.NewPCG(5, 6)), 1)
		tr.forget(now, minutes)
		left := &cut{chunks: tr.chunks, open: tr.open}
		n := int64(0)
		left.each(minutes, 0, 1<<40, func(r *record) {
			n++
			require.Equal(t, 60*n, r.start)
		})
		require.Equal(t, min(now/60, 200), n)
		next := record{start: now + 60}
		next.n[atSpan] = 1
		tr.add(&next, minutes)
		tr.seal(minutes)
		require.Equal(t, max(now+60, 60), tr.chunks[len(tr.chunks)-1].last)
	}
}

func TestSizes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for _, perMinute := range []int{0, 1, 6, 60, 600} {
		if perMinute > 60 && testing.Short() {
			continue
		}
		total := 0
		for kind, n := range [tiers]int{360, 1440, 720} {
			tr := some(kind, n, rnd, int(int64(perMinute)*shapes[kind].step/60))
			size := 0
			for _, c := range tr.chunks {
				size += len(c.data) + 48
			}
			total += size
			t.Logf("%d a minute: tier %d has %d bytes, %d a record", perMinute, kind, size, size/n)
		}
		total += tiers * int(recordSize)
		t.Logf("%d a minute: %d KiB", perMinute, total/1024)
		require.Less(t, total, 192<<10)
	}
}

func stateOf(rnd *rand.Rand) *state {
	s := &state{written: 3_000_000, incidents: []Incident{{Model: "a", What: "breaker", Begin: time.Unix(1, 0).UTC(), Times: 1}}}
	for _, id := range []string{"", "a", "b"} {
		one := &series{id: id, name: id}
		for kind := range one.tiers {
			one.tiers[kind] = *some(kind, 30, rnd, 3)
		}
		s.series = append(s.series, one)
	}
	return s
}

func TestCodec(t *testing.T) {
	s := stateOf(rand.New(rand.NewPCG(7, 8)))
	data, err := encode(s)
	require.NoError(t, err)
	now := time.Unix(s.written, 0)
	back, err := decode(data, now)
	require.NoError(t, err)
	again, err := encode(back)
	require.NoError(t, err)
	require.Equal(t, data, again)
	for i := range data {
		bad := slices.Clone(data)
		bad[i] ^= 0x10
		_, err := decode(bad, now)
		require.Error(t, err, "byte %d", i)
		_, err = decode(data[:i], now)
		require.Error(t, err, "cut at %d", i)
	}
}

// resealed gives data a checksum that is right.
func resealed(data []byte) []byte {
	if len(data) < 4 {
		return data
	}
	body := data[:len(data)-4]
	return binary.BigEndian.AppendUint32(slices.Clone(body), crc32.Checksum(body, castagnoli))
}

func FuzzDecode(f *testing.F) {
	rnd := rand.New(rand.NewPCG(9, 10))
	data, err := encode(stateOf(rnd))
	require.NoError(f, err)
	f.Add(data)
	data, err = encode(&state{series: []*series{{}}})
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte(magic + "1\n"))
	now := time.Unix(4_000_000, 0)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decode(resealed(data), now)
		if err != nil {
			return
		}
		back, err := encode(s)
		require.NoError(t, err)
		_, err = decode(back, now)
		require.NoError(t, err)
	})
}

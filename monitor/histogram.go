package monitor

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/cmmv-hive/resilience"
)

// Bounds of classic buckets, in seconds.
var (
	durations  = [...]float64{.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68, 655.36}
	firsts     = [...]float64{.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 15, 20, 30, 45, 60, 120, 300}
	tokenTimes = [...]float64{.001, .0025, .005, .01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5}
)

// schema is that of native buckets: eight an octave, as models have them.
const schema = 3

// histogram is a metric with classic and native buckets.
type histogram struct {
	desc   *prometheus.Desc
	labels []*dto.LabelPair
	value  *dto.Histogram
}

// Desc implements [prometheus.Metric].
func (h *histogram) Desc() *prometheus.Desc { return h.desc }

// Write implements [prometheus.Metric].
func (h *histogram) Write(m *dto.Metric) error {
	m.Label, m.Histogram = h.labels, h.value
	return nil
}

// newHistogram makes a metric of a distribution.
func newHistogram(desc *prometheus.Desc, bounds []float64, d *resilience.Distribution, labels ...string) prometheus.Metric {
	h := &dto.Histogram{Schema: new(int32(schema)), ZeroThreshold: new(0x1p-128), ZeroCount: new(uint64(0))}
	buckets := make([]dto.Bucket, len(bounds))
	var spans []*dto.BucketSpan
	var length *uint32 // of the last span
	h.Bucket = make([]*dto.Bucket, len(bounds))
	var count uint64
	var sum float64
	next, at := 0, int32(0) // of bounds; of native buckets
	var last int64          // count of the native bucket that is filled
	flush := func(n int64) {
		h.PositiveDelta = append(h.PositiveDelta, n-last)
		last = n
	}
	var filling int64
	for middle, n := range d.All() {
		v := middle.Seconds()
		for ; next < len(bounds) && bounds[next] < v; next++ {
			buckets[next].CumulativeCount = new(count)
		}
		count += uint64(n)
		sum += v * float64(n)
		switch i := int32(math.Ceil(math.Log2(v) * (1 << schema))); {
		case length == nil:
			length = new(uint32(1))
			spans = append(spans, &dto.BucketSpan{Offset: new(i), Length: length})
			filling, at = n, i
		case i == at:
			filling += n
		default:
			flush(filling)
			if i == at+1 {
				*length++
			} else {
				length = new(uint32(1))
				spans = append(spans, &dto.BucketSpan{Offset: new(i - at - 1), Length: length})
			}
			filling, at = n, i
		}
	}
	if length != nil {
		flush(filling)
	} else { // a native histogram has one span at the least
		spans = append(spans, &dto.BucketSpan{Offset: new(int32(0)), Length: new(uint32(0))})
	}
	h.PositiveSpan = spans
	for ; next < len(bounds); next++ {
		buckets[next].CumulativeCount = new(count)
	}
	for i := range buckets {
		buckets[i].UpperBound = new(bounds[i])
		h.Bucket[i] = &buckets[i]
	}
	h.SampleCount, h.SampleSum = new(count), new(sum)
	return &histogram{desc, prometheus.MakeLabelPairs(desc, labels), h}
}

// newTokens makes a metric of the tokens of attempts, which were so many in all.
func newTokens(desc *prometheus.Desc, d *resilience.TokenDistribution, sum int64, labels ...string) prometheus.Metric {
	buckets := map[float64]uint64{}
	var count uint64
	for i, n := range d {
		count += uint64(n)
		if i < len(d)-1 {
			buckets[math.Pow(4, float64(i))] = count
		}
	}
	return prometheus.MustNewConstHistogram(desc, count, float64(sum), buckets, labels...)
}

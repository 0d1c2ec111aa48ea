package chaos

import (
	"hash/fnv"
	"io"
	"math"
	"slices"
	"strconv"
	"time"
)

// A Schedule says which attempts an [Injection] strikes. The zero Schedule is
// all of them; what is set must all hold. Times are since the injection began,
// and attempts are counted for each model from there, from 0.
type Schedule struct {
	Rate  float64       `json:"rate,omitempty" default:"1" max:"1" off:"no"` // of the attempts, at random
	Skip  int           `json:"skip,omitempty"`                              // attempts that are left alone first
	Times int           `json:"times,omitempty"`                             // so many after those; 0 means all
	From  time.Duration `json:"from,omitempty"`
	For   time.Duration `json:"for,omitempty"`  // from From; 0 means to the end
	On    time.Duration `json:"on,omitempty"`   // from From, with Off: on and off in turn
	Off   time.Duration `json:"off,omitempty"`  // with On
	Ramp  time.Duration `json:"ramp,omitempty"` // from From: the rate grows from 0
	Spans []Span        `json:"spans,omitempty"`

	// Group makes models and injections fail together: Rate is a share of the
	// seconds then, the same ones for all of a group.
	Group string `json:"group,omitempty"`
}

// A Span is a time in which an injection acts, as a recorded outage has them.
type Span struct {
	From time.Duration `json:"from,omitempty"`
	For  time.Duration `json:"for"`
}

// share is the part of the attempts that are struck at t, as far as the time
// decides.
func (s *Schedule) share(t time.Duration) float64 {
	since := t - s.From
	if since < 0 || s.For > 0 && since >= s.For {
		return 0
	}
	if s.On > 0 && since%(s.On+s.Off) >= s.On {
		return 0
	}
	if len(s.Spans) > 0 && !slices.ContainsFunc(s.Spans, func(x Span) bool { return x.has(t) }) {
		return 0
	}
	if s.Ramp > 0 && since < s.Ramp {
		return s.Rate * float64(since) / float64(s.Ramp)
	}
	return s.Rate
}

func (s Span) has(t time.Duration) bool { return t >= s.From && t-s.From < s.For }

// end is when s is over; at the end of time at the latest.
func (s Span) end() time.Duration {
	if s.For > math.MaxInt64-s.From {
		return math.MaxInt64
	}
	return s.From + s.For
}

// strikes decides about a model's n-th attempt, at t. It is a function of its
// arguments: what other calls do changes nothing, nor which other injections
// there are.
func (s *Schedule) strikes(seed uint64, id, model string, n int64, t time.Duration) bool {
	if n < int64(s.Skip) || s.Times > 0 && n >= int64(s.Skip)+int64(s.Times) {
		return false
	}
	share := s.share(t)
	if s.Group != "" {
		return chance(seed, "group", s.Group, int64(t/time.Second)) < share
	}
	return chance(seed, id, model, n) < share
}

// chance is a number in [0, 1) that depends on all of its arguments.
func chance(seed uint64, id, model string, n int64) float64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, strconv.FormatUint(seed, 10)+"\x00"+id+"\x00"+model+"\x00"+strconv.FormatInt(n, 10))
	x := h.Sum64() // FNV's high bits are poor; the finalizer of SplitMix64 spreads them
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return float64((x^x>>31)>>11) / (1 << 53)
}

// windows are the times within d in which the schedule may act at all.
func (s *Schedule) windows(d time.Duration) (spans []Span) {
	end := d
	if s.For > 0 {
		end = min(end, Span{s.From, s.For}.end())
	}
	all := s.Spans
	if len(all) == 0 {
		all = []Span{{0, d}}
	}
	for _, x := range all {
		if from, to := max(x.From, s.From), min(x.end(), end); from < to {
			spans = append(spans, Span{from, to - from})
		}
	}
	return spans
}

func (c *checker) schedule(path string, s Schedule) {
	if (s.On > 0) != (s.Off > 0) {
		c.bad(path+".on", "on %v and off %v: a fault that comes and goes needs both", s.On, s.Off)
	}
	if s.Ramp > 0 && s.For > 0 && s.Ramp > s.For {
		c.bad(path+".ramp", "%v is longer than for, %v", s.Ramp, s.For)
	}
	for i, x := range s.Spans {
		if x.For <= 0 {
			c.bad(path+".spans["+strconv.Itoa(i)+"].for", "is missing")
		}
	}
}

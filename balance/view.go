package balance

import (
	"math"
	"slices"
	"time"

	"github.com/cmmv-hive/resilience"
)

// A view is what one pick may choose among.
type view struct {
	*Balancer
	*plan
	call    *resilience.Call
	now     time.Duration
	from    resilience.Candidates
	region  string // with split: that of the models in question
	split   side
	held    bool // models may be held
	passed  [8]*resilience.Model
	npassed int
}

// A side of a tier that is split by region.
type side uint8

const (
	both side = iota
	inside
	outside
)

// at returns the i-th model, or nil if it is out of the question.
func (v *view) at(i int) *resilience.Model {
	m := v.from.At(i)
	if m == nil && v.held {
		m = v.from.Held(i)
	}
	if m == nil || v.split != both && !v.on(m) || v.wasPassed(m) {
		return nil
	}
	return m
}

// on reports whether m is on the view's side of the tier.
func (v *view) on(m *resilience.Model) bool {
	return (m.Info().Region == v.region) == (v.split == inside)
}

func (v *view) wasPassed(m *resilience.Model) bool { return slices.Contains(v.passed[:v.npassed], m) }

// two draws two distinct models, full ones only if no others are there.
func (v *view) two() (a, b *resilience.Model) {
	if v.held || v.split != both || v.npassed > 1 {
		return v.scanTwo()
	}
	a, b = v.from.Two()
	if v.npassed > 0 {
		if b != nil && v.wasPassed(b) {
			b = nil
		}
		if a != nil && v.wasPassed(a) {
			a, b = b, nil
		}
	}
	return a, b
}

// scanTwo looks at each model for what Two finds by chance.
func (v *view) scanTwo() (a, b *resilience.Model) {
	room := 0
	v.each(func(*resilience.Model) { room++ })
	if room == 0 {
		return nil, nil
	}
	first, second := v.intn(room), -1
	if room > 1 {
		if second = v.intn(room - 1); second >= first {
			second++
		}
	}
	i := 0
	v.each(func(m *resilience.Model) {
		switch i {
		case first:
			a = m
		case second:
			b = m
		}
		i++
	})
	if a == nil {
		return b, nil
	}
	return a, b
}

// each calls fn for the models that have room or, if none has, for the full
// ones.
func (v *view) each(fn func(*resilience.Model)) {
	n, some := v.from.Len(), false
	for i := range n {
		if m := v.at(i); m != nil && !m.Full() {
			some = true
			fn(m)
		}
	}
	if some {
		return
	}
	for i := range n {
		if m := v.at(i); m != nil {
			fn(m)
		}
	}
}

// best returns the model that compares as the least, and one of several such
// at random. Models that fail come after others, and full ones last.
func (v *view) best() (best *resilience.Model) {
	ties := 0.
	for i := range v.from.Len() {
		m := v.at(i)
		if m == nil {
			continue
		}
		order := -1
		if best != nil {
			if order = v.standing(m) - v.standing(best); order == 0 {
				order = v.order(m, best)
			}
		}
		switch {
		case order < 0:
			best, ties = m, 1
		case order == 0:
			if ties++; v.pool.Rand()*ties < 1 {
				best = m
			}
		}
	}
	return best
}

// failing is the share of errors from which on no price or score makes up for
// them: about three failures in a row.
const failing = 0.25

func (v *view) standing(m *resilience.Model) int {
	switch {
	case m.Full():
		return 2
	case m.ErrorsAt(v.now) >= failing:
		return 1
	}
	return 0
}

// draw draws a model in proportion to its weight.
func (v *view) draw() (drawn *resilience.Model) {
	total := 0.
	v.each(func(m *resilience.Model) { total += m.Weight() })
	at := v.pool.Rand() * total
	v.each(func(m *resilience.Model) {
		if at >= 0 {
			drawn = m
		}
		at -= m.Weight()
	})
	return drawn
}

func (v *view) intn(n int) int { return min(int(v.pool.Rand()*float64(n)), n-1) }

// load is what a model with all of its traffic would have to do in place of m.
func (v *view) load(m *resilience.Model) float64 {
	load := float64(m.InFlight() + m.Queued())
	if share := v.share(m); share < 1 {
		load /= max(share, least)
	}
	return load
}

// few calls are no load to speak of, whatever the others have.
const few = 4

// unknown is the latency of a model that is just being tried for the first
// time, so that this happens once at a time. Finagle's is as far beyond all
// others.
const unknown = math.MaxInt64 >> 16 // ns

package sim_test

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A faultKind is a way in which something goes wrong, or is done by hand.
type faultKind string

// What models do.
const (
	hang         faultKind = "hang"         // accept, and never answer
	refuse       faultKind = "refuse"       // 503
	overload     faultKind = "overload"     // 529, with how long to wait
	throttle     faultKind = "throttle"     // 429, with or without how long to wait
	unauthorized faultKind = "unauthorized" // 401
	quota        faultKind = "quota"        // 429 that no wait helps
	gone         faultKind = "gone"         // 404
	unreachable  faultKind = "unreachable"  // connections are refused
	slow         faultKind = "slow"
	brownout     faultKind = "brownout" // slow, and a fifth fails
	cut          faultKind = "cut"      // streams break off, at once, in the middle or without an end marker
	stall        faultKind = "stall"    // streams go silent
	malformed    faultKind = "malformed"
	filtered     faultKind = "filtered"
	capacity     faultKind = "capacity" // all slots but one are lost
	herd         faultKind = "herd"     // what comes while the model is busy fails
	panics       faultKind = "panics"   // the caller of the model does
	exits        faultKind = "exits"    // by runtime.Goexit
)

// What becomes of one key.
const (
	keyDead    faultKind = "keyDead"    // 401
	keySpent   faultKind = "keySpent"   // 429 that no wait helps, until a reset
	keyLimited faultKind = "keyLimited" // 429, with or without how long to wait
)

// What those who call do.
const (
	cancels  faultKind = "cancels"
	abandons faultKind = "abandons" // streams
	poison   faultKind = "poison"   // requests that are wrong
	dawdles  faultKind = "dawdles"  // readers of streams
	rush     faultKind = "rush"     // many at once
)

// What operators do.
const (
	drain     faultKind = "drain"
	openHand  faultKind = "open"
	isolate   faultKind = "isolate"
	reset     faultKind = "reset"
	reload    faultKind = "reload"
	badReload faultKind = "badReload"
	veto      faultKind = "veto" // the audit refuses a drain
)

// A fault is something that goes wrong from an instant on for some time.
type fault struct {
	id     int
	kind   faultKind
	models []int
	from   time.Duration
	to     time.Duration
	share  float64       // of what meets it
	wait   time.Duration // that the model asks for
	factor float64       // on its time
	key    string        // that it is about, or all
}

func (f *fault) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#%d %s", f.id, f.kind)
	if len(f.models) > 0 {
		fmt.Fprintf(&b, " of models %v", f.models)
	}
	fmt.Fprintf(&b, " from %v to %v", f.from, f.to)
	if f.share > 0 {
		fmt.Fprintf(&b, ", share %.2f", f.share)
	}
	if f.wait > 0 {
		fmt.Fprintf(&b, ", wait %v", f.wait)
	}
	if f.key != "" {
		fmt.Fprintf(&b, ", key %s", f.key)
	}
	if f.factor > 0 {
		fmt.Fprintf(&b, ", factor %.1f", f.factor)
	}
	return b.String()
}

func (f *fault) at(now time.Duration) bool { return now >= f.from && now < f.to }

func (f *fault) of(model int) bool { return slices.Contains(f.models, model) }

// strikes decides whether what meets the fault is hit, the same way whatever
// else happens.
func (f *fault) strikes(seed uint64, call int64, model, attempt int) bool {
	if f.share <= 0 || f.share >= 1 {
		return true
	}
	h := fnv.New64a()
	var b [40]byte
	for i, v := range []uint64{seed, uint64(f.id), uint64(call), uint64(model), uint64(attempt)} {
		binary.LittleEndian.PutUint64(b[8*i:], v)
	}
	_, _ = h.Write(b[:])
	return rand.New(rand.NewPCG(h.Sum64(), 1)).Float64() < f.share
}

var (
	ofModels = []faultKind{
		hang, hang, refuse, refuse, overload, throttle, throttle, unauthorized, quota, gone, unreachable, slow, brownout,
		cut, cut, stall, malformed, filtered, capacity, herd, panics, exits,
	}
	ofCallers   = []faultKind{cancels, abandons, poison, dawdles, rush}
	ofOperators = []faultKind{drain, drain, openHand, isolate, reset, reload, reload, badReload, veto}
)

// drawFaults draws what goes wrong: a subset of the kinds for each seed, so that
// some meet rarely and others often.
func (s *scenario) drawFaults(r *rand.Rand) {
	kinds := map[faultKind]bool{}
	for _, k := range ofModels {
		kinds[k] = kinds[k] || chance(r, .5)
	}
	add := func(f fault) {
		f.id = len(s.faults) + 1
		f.to = min(f.to, heal)
		if f.from < f.to {
			s.faults = append(s.faults, f)
		}
	}
	start := func() time.Duration { return between(r, 5*time.Second, heal-30*time.Second) }
	for range 4 + r.IntN(10) {
		f := fault{kind: pick(r, ofModels...), from: start()}
		if !kinds[f.kind] {
			continue
		}
		f.to = f.from + between(r, 5*time.Second, 2*time.Minute)
		f.models = r.Perm(len(s.models))[:1+r.IntN(3)]
		s.shape(r, &f)
		add(f)
	}
	if chance(r, .35) { // a provider goes down, and all call at once when it is back
		f := fault{kind: pick(r, hang, refuse, unreachable, overload), from: start()}
		f.to = f.from + between(r, 20*time.Second, 2*time.Minute)
		f.models = s.ofProvider(s.models[r.IntN(len(s.models))].Provider)
		add(f)
		if chance(r, .5) {
			add(fault{kind: rush, from: f.to, to: f.to + 2*time.Second, factor: 10 + 30*r.Float64()})
			add(fault{kind: herd, models: f.models, from: f.to, to: f.to + 20*time.Second})
		}
	}
	if chance(r, .2) { // all are down
		f := fault{kind: pick(r, hang, refuse, unreachable, unauthorized), from: start()}
		f.to = f.from + between(r, 10*time.Second, 40*time.Second)
		for i := range s.models {
			f.models = append(f.models, i)
		}
		add(f)
	}
	if chance(r, .3) { // one comes and goes
		kind, model, period := pick(r, hang, refuse, unreachable), r.IntN(len(s.models)), between(r, 5*time.Second, 40*time.Second)
		for at := start(); at < heal && len(s.faults) < 40; at += 2 * period {
			add(fault{kind: kind, models: []int{model}, from: at, to: at + period})
		}
	}
	for range 1 + r.IntN(4) {
		f := fault{kind: pick(r, ofCallers...), from: start(), share: .1 + .3*r.Float64(), factor: 10 + 30*r.Float64()}
		f.to = f.from + between(r, 20*time.Second, 3*time.Minute)
		if f.kind == rush {
			f.to = f.from + 2*time.Second
		}
		add(f)
	}
	for range r.IntN(5) {
		f := fault{kind: pick(r, ofOperators...), models: []int{r.IntN(len(s.models))}, from: start()}
		f.to = f.from + between(r, 5*time.Second, time.Minute)
		add(f)
	}
	slices.SortStableFunc(s.faults, func(a, b fault) int { return cmp.Compare(a.from, b.from) })
}

// shape draws the details of a fault of a model.
func (s *scenario) shape(r *rand.Rand, f *fault) {
	switch f.kind {
	case slow:
		f.factor = 2 + 8*r.Float64()
	case brownout:
		f.factor = 2 + 3*r.Float64()
	case throttle:
		f.wait = pick(r, 0, time.Second, 4*time.Second, 20*time.Second)
		f.share = pick(r, .3, 1)
	case overload:
		f.wait = pick(r, 0, 3*time.Second)
		f.share = pick(r, .5, 1)
	case refuse, unreachable, malformed, cut, stall, filtered:
		f.share = pick(r, .2, .6, 1)
	case panics, exits:
		f.share = .1
	case gone, unauthorized, quota:
		if chance(r, .5) {
			f.models = s.ofProvider(s.models[f.models[0]].Provider)
		}
	}
}

func (s *scenario) ofProvider(name string) (models []int) {
	for i, m := range s.models {
		if m.Provider == name {
			models = append(models, i)
		}
	}
	return models
}

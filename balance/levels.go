package balance

import "slices"

// overProvision is how much of a level's calls its usable models can take, as in
// Envoy: 1.4 of what is theirs.
const overProvision = 1.4

// A group is the models of a level, for which those of the next level stand in.
type group struct {
	view
	total, usable, room int // models: those the call may still go to; of these, not held; of these, not full
}

// takes is the part of all calls that so many models of the level can take.
func (l *group) takes(models int) float64 { return min(1, overProvision*l.share(models)) }

// share is the part of the level that so many models are.
func (l *group) share(models int) float64 {
	if l.total == 0 {
		return 0
	}
	return float64(models) / float64(l.total)
}

// count looks at each model of the level. Those that the call has tried or
// cannot use, and those that an operator has taken out, are not part of it.
func (l *group) count() {
	for i := range l.from.Len() {
		if m := l.at(i); m != nil {
			l.total++
			l.usable++
			if !m.Full() {
				l.room++
			}
		} else if m := l.from.Held(i); m != nil && (l.split == both || l.on(m)) {
			l.total++
		}
	}
}

// narrow restricts the view to the level that the call goes to, where the
// algorithm has levels, and lets it see held models where they are the last
// resort. It returns false if there is nobody.
func (v *view) narrow() bool {
	if v.Algorithm != Priority && v.LastResort == 0 && v.where() == "" {
		return true
	}
	return v.toLevel()
}

func (v *view) toLevel() bool {
	var buf [4]group
	levels := buf[:0]
	add := func(l view) { levels = append(levels, group{view: l}) }
	switch region := v.where(); {
	case v.Algorithm == Priority:
		for from := v.from; from.Len() > 0; from = from.Next() {
			l := *v
			l.from = from
			add(l)
		}
	case v.Algorithm == Regional && region != "":
		for _, split := range []side{inside, outside} {
			l := *v
			l.region, l.split = region, split
			add(l)
		}
	default:
		add(*v)
	}
	for i := range levels {
		levels[i].count()
	}
	i, held := spill(levels, v.LastResort, v.pool.Rand())
	if i < 0 || held && v.Algorithm != Priority && levels[i].usable == 0 && v.later() {
		return false
	}
	*v = levels[i].view
	v.held = held
	return true
}

// where is the region that the call prefers.
func (v *view) where() string {
	if v.Algorithm != Regional {
		return ""
	}
	if region := v.call.Options().Region; region != "" {
		return region
	}
	return v.Region
}

// later reports whether a later tier has a usable model.
func (v *view) later() bool {
	for from := v.from.Next(); from.Len() > 0; from = from.Next() {
		for i := range from.Len() {
			if from.At(i) != nil {
				return true
			}
		}
	}
	return false
}

// spill returns the level for a call that draws x from [0, 1), -1 if there is
// none, and whether it may use held models: Envoy's priority levels and panic
// mode. Models that are full take nothing unless all are.
func spill(levels []group, lastResort, x float64) (at int, held bool) {
	usable, room := 0., 0. // what all levels can take
	for i := range levels {
		usable += levels[i].takes(levels[i].usable)
		room += levels[i].takes(levels[i].room)
	}
	if usable == 0 {
		if lastResort <= 0 {
			return -1, false
		}
		return slices.IndexFunc(levels, func(l group) bool { return l.total > 0 }), true
	}
	all := room
	if room == 0 {
		all = usable
	}
	x *= min(1, all)
	for i := range levels {
		part := levels[i].takes(levels[i].room)
		if room == 0 {
			part = levels[i].takes(levels[i].usable)
		}
		if part == 0 {
			continue
		}
		at = i
		if x -= part; x < 0 {
			break
		}
	}
	return at, usable < 1 && levels[at].share(levels[at].usable) < lastResort
}

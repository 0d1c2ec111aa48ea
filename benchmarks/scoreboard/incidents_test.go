package scoreboard

import "time"

// An incident is what happens for three minutes, after one in which all is well.
type incident struct {
	name, what string
	perSecond  float64            // calls
	trouble    map[string]trouble // by provider
	flap       time.Duration      // it comes and goes
	lasts      time.Duration      // 3 min
}

var down = trouble{err: &statusError{StatusCode: 503}, after: 200 * time.Millisecond}

var incidents = []incident{
	{name: "outage", what: "provider a answers 503", perSecond: 14, trouble: map[string]trouble{"a": down}},
	{
		name: "429 burst", what: "provider a allows one request a second and model, and says when to come again", perSecond: 14,
		trouble: map[string]trouble{"a": {limit: 1}},
	},
	{
		name: "brownout", what: "provider a is six times slower, and one in five requests fails", perSecond: 14,
		trouble: map[string]trouble{"a": {slow: 6, err: &statusError{StatusCode: 500}, share: .2, after: time.Second}},
	},
	{
		name: "black hole", what: "provider a accepts and never answers", perSecond: 14,
		trouble: map[string]trouble{"a": {hang: true}},
	},
	{
		name: "mid-stream death", what: "half of the answers of provider a break off in the middle", perSecond: 14,
		trouble: map[string]trouble{"a": {cut: .5}},
	},
	{name: "flapping", what: "provider a is down for 20 s, then well for 20 s, and so on", perSecond: 14, trouble: map[string]trouble{"a": down}, flap: 20 * time.Second},
	{
		name: "poisoned region", what: "providers a and c refuse at once with 500", perSecond: 8,
		trouble: map[string]trouble{"a": {err: &statusError{StatusCode: 500}, after: time.Millisecond}, "c": {err: &statusError{StatusCode: 500}, after: time.Millisecond}},
	},
	{
		name: "retry storm", what: "all providers hang for 20 s, at three quarters of what they can answer", perSecond: 20,
		trouble: map[string]trouble{"a": {hang: true}, "b": {hang: true}, "c": {hang: true}}, lasts: 20 * time.Second,
	},
}

const (
	warmUp    = time.Minute
	afterward = 4 * time.Minute
)

func (i incident) duration() time.Duration {
	if i.lasts > 0 {
		return i.lasts
	}
	return 3 * time.Minute
}

// play schedules the incident.
func (i incident) play(all []*model) {
	set := func(at time.Duration, on bool) {
		time.AfterFunc(at, func() {
			for n, m := range all {
				if t, ok := i.trouble[providers[n]]; ok && on {
					m.set(t)
				} else if ok {
					m.set(trouble{})
				}
			}
		})
	}
	end := warmUp + i.duration()
	if i.flap == 0 {
		set(warmUp, true)
	}
	for at := warmUp; i.flap > 0 && at < end; at += 2 * i.flap {
		set(at, true)
		set(at+i.flap, false)
	}
	set(end, false)
}

package chaos

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// An Injection makes attempts at models go wrong within the process, where the
// model would be asked: whatever client is behind it, and without one.
//
// Of the faults it plays refusals, which become the error that an SDK makes of
// such a response, and these:
//
//	silent, headers_only         the attempt hangs, for Fault.For or until its context ends
//	reset, stale_connection      the error of a reset connection, or of one that broke as it was used again
//	no_such_host, connection_refused, tls_handshake, certificate_expired
//	                             the error of a connection that does not come about
//	slow, slow_start             Fault.After late, by default 20 s; then the model is asked
//	drip                         each chunk of a stream Fault.Pace late
//	cut, cut_by_reset, stall,    after so many meaningful chunks of a stream as Fault.Tokens
//	stream_error, malformed      says; an answer that does not stream fails so as a whole
//
// What an answer says, and what only bytes show, is for a [Provider]. So are
// streams of pool.Transport, whose chunks nobody knows.
type Injection struct {
	Name   string        `json:"name,omitempty"` // in reports, and of its chance
	Fault  Fault         `json:"fault"`
	Spread time.Duration `json:"spread,omitempty"` // more than Fault.After, at random, at most
	Grow   time.Duration `json:"grow,omitempty"`   // in which Fault.After of a slow one grows from 0, again and again
	Where  Where         `json:"where,omitzero"`
	When   Schedule      `json:"when,omitzero"`
}

// Where says which models an [Injection] is about: those that are in each list
// that is not empty.
type Where struct {
	Models    []string `json:"models,omitempty"` // IDs or names
	Providers []string `json:"providers,omitempty"`
	Regions   []string `json:"regions,omitempty"`
	Count     int      `json:"count,omitempty" min:"-65536"` // so many of them at most, in the order of the pool; negative: all but so many; 0: all
}

// String describes x in a few words.
func (x Injection) String() string {
	if x.Name != "" {
		return x.Name
	}
	return x.Fault.String()
}

// id is what x's chance comes from: its name or, without one, all that it says.
func (x Injection) id() string {
	if x.Name != "" {
		return x.Name
	}
	b, err := json.Marshal(x)
	if err != nil { // a rate that is no number, which check refuses
		return x.String()
	}
	return string(b)
}

// inProcess are the faults beside refusals that can be played in the process.
var inProcess = []FaultName{
	Silent, HeadersOnly, Reset, StaleConnection, Slow, SlowStart, Drip, Cut, CutByReset, Stall, StreamError, Malformed,
}

// fails reports whether an attempt that meets f gets no whole answer.
func (f Fault) fails() bool {
	switch f.Name {
	case Slow, SlowStart, Drip:
		return false
	}
	return true
}

// injections reports what is wrong with injections beside their tags, whatever
// the pool.
func (c *checker) injections(path string, all []Injection) {
	for i, x := range all {
		at := path + "[" + strconv.Itoa(i) + "]"
		if x.Fault == (Fault{}) {
			c.bad(at+".fault", "is empty: want a name or a status")
		}
		c.sense(at+".fault", x.Fault)
		if _, known := looks[x.Fault.Name]; known && x.Fault.Name != None && !x.Fault.Name.InProcess() {
			c.bad(at+".fault.name", "%s is played at the wire: use a Provider", x.Fault.Name)
		}
		if x.Fault.KeepAlive != 0 {
			c.bad(at+".fault.keepAlive", "is seen at the wire alone")
		}
		if x.Fault.Times > 1 {
			c.bad(at+".fault.times", "the first one ends the answer")
		}
		slow := x.Fault.Name == Slow || x.Fault.Name == SlowStart
		if x.Grow != 0 && !slow {
			c.bad(at+".grow", "means nothing to %s", x.Fault)
		}
		c.schedule(at+".when", x.When)
	}
}

// find returns the IDs of the models that w is about.
func (c *checker) find(path string, w Where, models []*resilience.Model) (ids []string) {
	var names, providers, regions []string
	for _, m := range models {
		info := m.Info()
		names = append(names, info.ID, info.Name)
		providers, regions = append(providers, info.Provider), append(regions, info.Region)
	}
	known := true
	for _, list := range []struct {
		of         string
		want, have []string
	}{{"models", w.Models, names}, {"providers", w.Providers, providers}, {"regions", w.Regions, regions}} {
		for i, want := range list.want {
			if slices.Contains(list.have, want) && want != "" {
				continue
			}
			known = false
			hint := ""
			if near := settings.Nearest(want, list.have); near != "" {
				hint = fmt.Sprintf("; did you mean %q?", near)
			}
			c.bad(fmt.Sprintf("%s.%s[%d]", path, list.of, i), "no model of the pool is meant%s", hint)
		}
	}
	in := func(list []string, names ...string) bool {
		return len(list) == 0 || slices.ContainsFunc(names, func(s string) bool { return slices.Contains(list, s) })
	}
	for _, m := range models {
		info := m.Info()
		if in(w.Models, info.ID, info.Name) && in(w.Providers, info.Provider) && in(w.Regions, info.Region) {
			ids = append(ids, info.ID)
		}
	}
	switch {
	case w.Count > 0:
		ids = ids[:min(w.Count, len(ids))]
	case w.Count < 0:
		ids = ids[:max(len(ids)+w.Count, 0)]
	}
	if len(ids) == 0 && known {
		c.bad(path, "no model of the pool is meant")
	}
	return ids
}

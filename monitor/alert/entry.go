package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/cmmv-hive/resilience/monitor/notify"
)

// A key is what a rule found wrong: there is one alert of it at a time.
type key struct{ rule, per, name string }

// A phase is where an alert is.
type phase uint8

const (
	idle    phase = iota // over; remembered for being about to come again
	pending              // for the rule's For
	firing
	ended // not all who were told of it know that yet
)

// An entry is an alert. The mutex of Alerts guards it. Instants are on the pool's
// clock; 0 is none.
type entry struct {
	key

	rule  *rule
	phase phase
	seen  uint64        // the step that measured it last
	since time.Duration // its rule is broken, while it does not fire
	clear time.Duration // since when its rule is kept, while it fires
	fired time.Duration
	over  time.Duration
	grace time.Duration // until then nothing to measure says nothing, after a restart
	flaps int           // times that it fired again soon after its end

	starts, ends     time.Time
	labels           map[string]string
	fingerprint      string
	what, why        string // is wrong; it ended
	value, threshold float64
	group            *group
	inhibited, muted bool
	ready            time.Duration // from when on it may be told of, 0 while it may not
	level            int
	climbs           time.Duration // when it comes to the next level
	ackBy            string
	ackUntil         time.Time // zero is for good

	routes uint64 // that it concerns, by number
	told   uint64 // that know of it
	done   uint64 // that know that it is over
}

// fingerprintOf is 16 hex digits that tell alerts apart.
func fingerprintOf(rule string, labels map[string]string) string {
	var text []byte
	for _, part := range append([]string{rule}, pairsOf(labels)...) {
		text = strconv.AppendInt(text, int64(len(part)), 10)
		text = append(text, ':')
		text = append(text, part...)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

func pairsOf(labels map[string]string) (list []string) {
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		list = append(list, k, labels[k])
	}
	return list
}

// acked reports whether somebody is at it.
func (e *entry) acked(wall time.Time) bool {
	return e.ackBy != "" && (e.ackUntil.IsZero() || wall.Before(e.ackUntil))
}

// keeps is how long its rule must be kept before it is over.
func (e *entry) keeps() time.Duration { return e.rule.keep << min(e.flaps, maxFlaps) }

const (
	maxFlaps    = 4 // sixteen times
	flapsWithin = time.Hour
)

// alert is e as channels are told of it.
func (e *entry) alert(wall time.Time) notify.Alert {
	n := notify.Alert{
		Rule: e.key.rule, Severity: e.rule.severity, Labels: maps.Clone(e.labels), Fingerprint: e.fingerprint,
		Summary: e.what, Description: e.rule.Description, Runbook: e.rule.Runbook, Value: e.value, Threshold: e.threshold, StartsAt: e.starts, EndsAt: e.ends,
	}
	n.Description = cut(n.Description, maxText)
	if e.why != "" {
		n.Description = e.why
	}
	if e.acked(wall) {
		n.AckedBy = e.ackBy
	}
	return n
}

// matches reports whether labels, and the rule as the label "rule", are those of match.
func matches(match map[string]string, rule string, severity notify.Severity, labels map[string]string) bool {
	for label, want := range match {
		got, has := labels[label]
		switch label {
		case "rule":
			got, has = rule, true
		case "severity":
			got, has = severity.String(), true
		}
		if !has || want != anything && got != want {
			return false
		}
	}
	return true
}

// anything is what any value of a label matches.
const anything = "*"

package notify

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Limits of PagerDuty, in characters but for the last, which is in bytes.
const (
	pagerKey     = 255
	pagerSummary = 1024
	pagerField   = 255
	pagerText    = 1024
	pagerEvent   = 512 << 10
)

// maxLinks is how many runbooks an event links to.
const maxLinks = 10

type pagerEventBody struct {
	RoutingKey string       `json:"routing_key"`
	Action     string       `json:"event_action"`
	DedupKey   string       `json:"dedup_key"`
	Client     string       `json:"client,omitempty"`
	Payload    *pagerDetail `json:"payload,omitempty"`
	Links      []pagerLink  `json:"links,omitempty"`
}

type pagerDetail struct {
	Summary   string       `json:"summary"`
	Source    string       `json:"source"`
	Severity  string       `json:"severity"`
	Timestamp string       `json:"timestamp,omitempty"`
	Component string       `json:"component,omitempty"`
	Group     string       `json:"group,omitempty"`
	Class     string       `json:"class,omitempty"`
	Details   pagerDetails `json:"custom_details"`
}

type pagerDetails struct {
	Reason  string       `json:"reason"`
	Firing  []pagerAlert `json:"firing"`
	Over    []pagerAlert `json:"resolved,omitempty"`
	LeftOut int          `json:"left_out,omitempty"`
}

type pagerAlert struct {
	Rule        string `json:"rule"`
	Severity    string `json:"severity"`
	Summary     string `json:"summary"`
	Description string `json:"description,omitempty"`
	Labels      string `json:"labels,omitempty"`
	Measured    string `json:"measured"`
	Threshold   string `json:"threshold"`
	Since       string `json:"since"`
	Until       string `json:"until,omitempty"`
	Acked       string `json:"acknowledged_by,omitempty"`
}

type pagerLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

// pagerEvents are the events that tell of n, in order: a trigger that opens the
// group's incident or adds to it, with an acknowledgement if somebody is at all of it,
// or the end.
func pagerEvents(n Notification, key, source string) (list [][]byte) {
	e := pagerEventBody{RoutingKey: key, DedupKey: cut(line(n.Group), pagerKey), Action: "resolve"}
	if n.Reason == Resolved || !n.Firing() {
		return [][]byte{pagerBytes(e)}
	}
	trigger := e
	trigger.Action, trigger.Client = "trigger", "resilience"
	trigger.Payload, trigger.Links = pagerPayload(n, source), pagerLinks(n)
	list = append(list, pagerBytes(trigger))
	if !slices.ContainsFunc(n.Alerts, func(a Alert) bool { return a.Firing() && a.AckedBy == "" }) && n.Truncated == 0 {
		e.Action = "acknowledge"
		list = append(list, pagerBytes(e))
	}
	return list
}

func pagerPayload(n Notification, source string) *pagerDetail {
	first := n.Alerts[0]
	p := &pagerDetail{
		Summary: short(headline(n), pagerSummary), Source: source, Severity: pagerSeverity(n.Severity),
		Timestamp: pagerTime(first.StartsAt), Group: line(short(n.Group, pagerField)), Class: line(short(first.Rule, pagerField)),
		Details: pagerDetails{Reason: n.Reason.String(), LeftOut: n.Truncated},
	}
	for _, label := range []string{"model", "name", "provider"} {
		if v := first.Labels[label]; v != "" {
			p.Component = line(short(v, pagerField))
			break
		}
	}
	for _, a := range n.Alerts {
		d := pagerAlert{
			Rule: line(short(a.Rule, pagerField)), Severity: a.Severity.String(), Summary: short(summary(a), pagerText),
			Description: short(strings.TrimSpace(a.Description), pagerText), Labels: strings.Join(labels(a), ", "),
			Measured: number(a.Value), Threshold: number(a.Threshold),
			Since: pagerTime(a.StartsAt), Until: pagerTime(a.EndsAt), Acked: line(short(a.AckedBy, pagerField)),
		}
		if a.Firing() {
			p.Details.Firing = append(p.Details.Firing, d)
		} else {
			p.Details.Over = append(p.Details.Over, d)
		}
	}
	return p
}

func pagerSeverity(s Severity) string {
	switch s {
	case Info:
		return "info"
	case Warning:
		return "warning"
	case Critical:
		return "critical"
	}
	return "error"
}

func pagerTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

func pagerLinks(n Notification) (list []pagerLink) {
	for _, a := range n.Alerts {
		l := pagerLink{webAddress(a.Runbook), "runbook: " + line(short(a.Rule, pagerField))}
		if l.Href == "" || len(l.Href) > 2000 || len(list) == maxLinks || slices.Contains(list, l) {
			continue
		}
		list = append(list, l)
	}
	return list
}

// pagerBytes is the event, without the last of its alerts if it is too big.
func pagerBytes(e pagerEventBody) []byte {
	for {
		data, err := json.Marshal(e)
		if err != nil || len(data) <= pagerEvent || e.Payload == nil || len(e.Payload.Details.Firing) == 0 {
			return data
		}
		d := &e.Payload.Details
		cut := func(list []pagerAlert) []pagerAlert {
			left := len(list) / 2
			d.LeftOut += len(list) - left
			return list[:left]
		}
		if len(d.Over) > 0 {
			d.Over = cut(d.Over)
		} else {
			d.Firing = cut(d.Firing)
		}
	}
}

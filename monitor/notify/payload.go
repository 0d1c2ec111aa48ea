package notify

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// A webhookBody is what Alertmanager posts to webhooks, version 4. Reason is not of
// Alertmanager.
type webhookBody struct {
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   int               `json:"truncatedAlerts"`
	Status            string            `json:"status"`
	Reason            string            `json:"reason,omitempty"`
	Receiver          string            `json:"receiver"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"` //nolint:tagliatelle // as Alertmanager spells it
	Alerts            []webhookAlert    `json:"alerts"`
}

type webhookAlert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"` //nolint:tagliatelle // as Alertmanager spells it
	Fingerprint  string            `json:"fingerprint"`
}

func status(firing bool) string {
	if firing {
		return "firing"
	}
	return "resolved"
}

// labelsOf are the labels by which Alertmanager tells alerts apart. Those of more
// give way to those of the alert.
func labelsOf(a Alert, more map[string]string) map[string]string {
	labels := map[string]string{}
	for _, from := range []map[string]string{more, a.Labels, {"alertname": a.Rule, "severity": a.Severity.String()}} {
		for _, name := range slices.Sorted(maps.Keys(from)) {
			if v := from[name]; v != "" {
				labels[labelName(name)] = strings.ToValidUTF8(v, "�")
			}
		}
	}
	return labels
}

// labelName makes a name one that Prometheus knows.
func labelName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, s)
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		s = "_" + s
	}
	return s
}

func annotationsOf(a Alert) map[string]string {
	all := map[string]string{"summary": a.Summary, "description": a.Description, "runbook_url": a.Runbook, "acknowledged_by": a.AckedBy}
	maps.DeleteFunc(all, func(_, v string) bool { return v == "" })
	return all
}

// bodyOf is n as Alertmanager would say it.
func bodyOf(n Notification, receiver, link string, more map[string]string) webhookBody {
	b := webhookBody{
		Version: "4", GroupKey: n.Group, TruncatedAlerts: n.Truncated, Status: status(n.Firing()), Reason: n.Reason.String(),
		Receiver: receiver, ExternalURL: link, Alerts: make([]webhookAlert, 0, len(n.Alerts)),
	}
	for _, a := range n.Alerts {
		b.Alerts = append(b.Alerts, webhookAlert{
			Status: status(a.Firing()), Labels: labelsOf(a, more), Annotations: annotationsOf(a),
			StartsAt: a.StartsAt.UTC(), EndsAt: a.EndsAt.UTC(), GeneratorURL: link, Fingerprint: a.Fingerprint,
		})
	}
	b.CommonLabels = common(b.Alerts, func(a webhookAlert) map[string]string { return a.Labels })
	b.CommonAnnotations = common(b.Alerts, func(a webhookAlert) map[string]string { return a.Annotations })
	b.GroupLabels = grouped(b.CommonLabels, more)
	return b
}

// grouped is what makes a group: a rule, or what its alerts have in common else.
func grouped(common, more map[string]string) map[string]string {
	if rule, ok := common["alertname"]; ok {
		return map[string]string{"alertname": rule}
	}
	labels := maps.Clone(common)
	delete(labels, "severity")
	for name := range more {
		delete(labels, labelName(name))
	}
	return labels
}

// common is what all alerts have.
func common(alerts []webhookAlert, of func(webhookAlert) map[string]string) map[string]string {
	if len(alerts) == 0 {
		return map[string]string{}
	}
	all := maps.Clone(of(alerts[0]))
	for _, a := range alerts[1:] {
		maps.DeleteFunc(all, func(name, v string) bool { return of(a)[name] != v })
	}
	return all
}

// maxBody bounds what is posted, in bytes: receivers refuse what is long.
const maxBody = 256 << 10

// encode leaves out alerts from the end until there is room for the rest.
func (b webhookBody) encode() ([]byte, error) {
	for {
		data, err := json.Marshal(b)
		if err != nil || len(data) <= maxBody || len(b.Alerts) <= 1 {
			return data, err
		}
		fit := cmp.Or(min(len(b.Alerts)*maxBody/len(data), len(b.Alerts)-1), 1)
		b.TruncatedAlerts += len(b.Alerts) - fit
		b.Alerts = b.Alerts[:fit]
	}
}

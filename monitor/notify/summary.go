package notify

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// headline says in a line what n is about: how urgent it is, the first of its
// alerts, and how many more there are.
func headline(n Notification) string {
	words := map[Severity]string{Info: "Info", Warning: "Warning", Critical: "Critical"}
	head := words[n.Severity]
	switch {
	case len(n.Alerts) > 0 && !n.Firing() || n.Reason == Resolved:
		head = "Resolved"
	case head == "":
		head = "Alert"
	}
	switch n.Reason {
	case Changed:
		head += " (changed)"
	case Escalated:
		head += " (nobody has acknowledged it)"
	case Repeated:
		head += " (it goes on)"
	case New, Resolved:
	}
	if len(n.Alerts) == 0 {
		return head + ": group " + line(n.Group)
	}
	more := n.Truncated - 1
	for _, a := range n.Alerts {
		if a.Firing() == n.Firing() {
			more++
		}
	}
	head += ": " + summary(n.Alerts[0])
	if more > 0 {
		head += fmt.Sprintf(", and %d more", more)
	}
	return head
}

// summary is the alert in a line.
func summary(a Alert) string {
	if a.Summary == "" {
		return line(a.Rule)
	}
	return line(a.Summary)
}

// line is s without line breaks and what else does not print.
func line(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s))
}

// short shortens s to at most most runes, the last of which is an ellipsis then.
func short(s string, most int) string {
	if len(s) <= most || utf8.RuneCountInString(s) <= most {
		return s
	}
	for i := range s {
		if most--; most == 0 {
			return s[:i] + "…"
		}
	}
	return s
}

// labels are those of an alert, "key value", by key. There are
// maxLabels at most.
func labels(a Alert) []string {
	keys := slices.Sorted(maps.Keys(a.Labels))
	var list []string
	for i, k := range keys {
		if i == maxLabels {
			return append(list, fmt.Sprintf("%d more", len(keys)-i))
		}
		list = append(list, line(short(k, 64))+" "+line(short(a.Labels[k], 64)))
	}
	return list
}

const maxLabels = 10

// webAddress is s if it is an address of the web, as nothing else may be linked to,
// and "" otherwise.
func webAddress(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return ""
	}
	return u.String()
}

// number prints what a rule has measured.
func number(f float64) string { return strconv.FormatFloat(f, 'g', 6, 64) }

func runes(s string) int { return utf8.RuneCountInString(s) }

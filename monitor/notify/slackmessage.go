package notify

import (
	"fmt"
	"strings"
	"time"
)

// Limits of Slack, in characters.
const (
	slackHeader  = 150
	slackSection = 3000
	slackText    = 4000
)

type slackMessage struct {
	Text        string            `json:"text"` // where blocks cannot be shown
	Blocks      []slackBlock      `json:"blocks"`
	Attachments []slackAttachment `json:"attachments"`
}

type slackAttachment struct {
	Color  string       `json:"color"`
	Blocks []slackBlock `json:"blocks"`
}

type slackBlock struct {
	Type     string       `json:"type"`
	Text     *slackWords  `json:"text,omitempty"`
	Elements []slackWords `json:"elements,omitempty"`
}

type slackWords struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Verbatim bool   `json:"verbatim,omitempty"` // names and addresses in it link to nothing
}

// slackOf is the message for n, which shows so many of its alerts. What urges is the
// colour, and a word for who does not see it.
func slackOf(n Notification, shown int) slackMessage {
	head := headline(n)
	m := slackMessage{
		Text:   slackEscape(head, slackText),
		Blocks: []slackBlock{{Type: "header", Text: &slackWords{Type: "plain_text", Text: slackEscape(head, slackHeader)}}},
	}
	body := slackAttachment{Color: slackColor(n)}
	for i, a := range n.Alerts {
		if i == shown {
			break
		}
		body.Blocks = append(body.Blocks, slackBlock{Type: "section", Text: &slackWords{Type: "mrkdwn", Text: slackAlert(a), Verbatim: true}})
	}
	foot := "group " + slackEscape(line(n.Group), 64)
	if more := max(len(n.Alerts)-shown, 0) + n.Truncated; more > 0 {
		foot = fmt.Sprintf("%d more alerts · %s", more, foot)
	}
	body.Blocks = append(body.Blocks, slackBlock{Type: "context", Elements: []slackWords{{Type: "mrkdwn", Text: foot, Verbatim: true}}})
	m.Attachments = []slackAttachment{body}
	return m
}

func slackColor(n Notification) string {
	switch {
	case n.Reason == Resolved || !n.Firing():
		return "#2eb67d"
	case n.Severity == Critical:
		return "#d50200"
	case n.Severity == Warning:
		return "#de9e31"
	}
	return "#439fe0"
}

func slackAlert(a Alert) string {
	facts := []string{slackEscape(line(a.Rule), 64), a.Severity.String(), "since " + slackTime(a.StartsAt)}
	if !a.Firing() {
		facts = []string{slackEscape(line(a.Rule), 64), "from " + slackTime(a.StartsAt) + " to " + slackTime(a.EndsAt)}
	}
	for _, l := range labels(a) {
		facts = append(facts, slackEscape(l, 140))
	}
	facts = append(facts, "measured "+number(a.Value)+", threshold "+number(a.Threshold))
	if a.AckedBy != "" {
		facts = append(facts, "acknowledged by "+slackEscape(line(a.AckedBy), 64))
	}
	if link := slackLink(a.Runbook); link != "" {
		facts = append(facts, link)
	}
	tail := strings.Join(facts, " · ")
	text := slackEscape(summary(a), 300)
	if !a.Firing() {
		text = "Over: " + text
	}
	text = "*" + text + "*\n"
	if room := slackSection - runes(text) - runes(tail) - 1; a.Description != "" && room > 1 {
		text += slackEscape(strings.TrimSpace(a.Description), room) + "\n"
	}
	return text + tail
}

// slackTime is a time in the reader's zone.
func slackTime(t time.Time) string {
	if t.IsZero() {
		return "?"
	}
	return fmt.Sprintf("<!date^%d^{date_short_pretty} {time_secs}|%s>", t.Unix(), t.UTC().Format(time.RFC3339))
}

// slackLink links to a runbook, if that is an address of the web and not too long.
func slackLink(url string) string {
	url = webAddress(url)
	link := "<" + slackEscape(strings.ReplaceAll(url, "|", "%7C"), slackSection) + "|runbook>"
	if url == "" || runes(link) > 500 {
		return ""
	}
	return link
}

// slackEscape keeps s from meaning more than it says, and is at most most runes long
// with its escapes, of which it cuts none.
func slackEscape(s string, most int) string {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	if whole := escape.Replace(s); runes(whole) <= most {
		return whole
	}
	var b strings.Builder
	for _, r := range s {
		c := escape.Replace(string(r))
		if most -= runes(c); most < 1 {
			break
		}
		b.WriteString(c)
	}
	return b.String() + "…"
}

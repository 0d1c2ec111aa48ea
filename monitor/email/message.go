package email

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	html "html/template"
	"maps"
	"slices"
	"strconv"
	"strings"
	text "text/template"
	"time"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"

	"github.com/cmmv-hive/resilience/monitor/notify"
)

var (
	//go:embed message.txt
	textSource string
	//go:embed message.html
	htmlSource string

	asText = text.Must(text.New("text").Parse(textSource))
	asHTML = html.Must(html.New("html").Parse(htmlSource))
)

// message returns n as a message, and its ID.
func (c *channel) message(n notify.Notification) (*gomail.Msg, string, error) {
	var plain, rich bytes.Buffer
	v := viewOf(n)
	if err := asText.Execute(&plain, v); err != nil {
		return nil, "", err
	}
	if err := asHTML.Execute(&rich, v); err != nil {
		return nil, "", err
	}
	msg := gomail.NewMsg()
	msg.FromMailAddress(c.from)
	msg.ToMailAddress(c.to...)
	msg.Subject(c.subject(n))
	msg.SetDateWithValue(n.Time)
	first, id := c.ids(n)
	msg.SetMessageIDWithValue(id)
	if id != first {
		msg.SetGenHeader(gomail.HeaderInReplyTo, "<"+first+">")
		msg.SetGenHeader(gomail.HeaderReferences, "<"+first+">")
	}
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	if n.Severity == notify.Critical && n.Firing() {
		msg.SetImportance(gomail.ImportanceHigh)
	}
	msg.SetBodyString(gomail.TypeTextPlain, strings.TrimSpace(plain.String())+"\n")
	msg.AddAlternativeString(gomail.TypeTextHTML, rich.String())
	return msg, id, nil
}

// ids returns the ID of a group's first message, and that of n's.
func (c *channel) ids(n notify.Notification) (first, id string) {
	of := func(parts ...string) string {
		sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
		return hex.EncodeToString(sum[:16]) + "@" + domain(c.from)
	}
	thread := []string{c.cfg.Host, c.from.Address, c.cfg.SubjectPrefix, n.Group}
	first = of(thread...)
	if n.Reason == notify.New {
		return first, first
	}
	return first, of(append(thread, n.Reason.String(), strconv.FormatInt(n.Time.UnixNano(), 10))...)
}

// subject says how bad it is, and what it is.
func (c *channel) subject(n notify.Notification) string {
	state := strings.ToUpper(n.Severity.String())
	if !n.Firing() {
		state = "RESOLVED"
	}
	s := "[" + state + "]"
	if c.cfg.SubjectPrefix != "" {
		s = c.cfg.SubjectPrefix + " " + s
	}
	if len(n.Alerts) > 0 {
		a := n.Alerts[0]
		what := line(a.Summary, 150)
		if what == "" {
			what = line(a.Rule, 150)
		}
		s += " " + what
	}
	if more := len(n.Alerts) - 1 + n.Truncated; more > 0 {
		s += " (and " + strconv.Itoa(more) + " more)"
	}
	return s
}

type view struct {
	Why       string
	Time      string
	Alerts    []alertView
	Truncated int
}

type alertView struct {
	State, Rule, Summary, Description, Since, Until, Runbook, AckedBy string
	Value, Threshold                                                  string
	Labels                                                            []string
}

var why = map[notify.Reason]string{
	notify.New:       "New.",
	notify.Changed:   "Changed: alerts joined, or some of them ended.",
	notify.Escalated: "Escalated: nobody has acknowledged it.",
	notify.Repeated:  "It goes on.",
	notify.Resolved:  "All of it has ended.",
}

// Bounds of what a message says.
const (
	maxAlerts = 100
	maxLabels = 20
	maxLine   = 300
	maxText   = 4096
)

func viewOf(n notify.Notification) view {
	alerts := n.Alerts[:min(len(n.Alerts), maxAlerts)]
	v := view{Why: why[n.Reason], Time: stamp(n.Time), Truncated: n.Truncated + len(n.Alerts) - len(alerts)}
	for _, a := range alerts {
		w := alertView{
			State: strings.ToUpper(a.Severity.String()), Rule: line(a.Rule, maxLine), Summary: line(a.Summary, maxLine),
			Description: lines(a.Description), Since: stamp(a.StartsAt), Until: stamp(a.EndsAt),
			Runbook: line(a.Runbook, maxLine), AckedBy: line(a.AckedBy, maxLine),
			Value: number(a.Value), Threshold: number(a.Threshold),
		}
		if !a.Firing() {
			w.State = "RESOLVED"
		}
		for _, k := range slices.Sorted(maps.Keys(a.Labels)) {
			if len(w.Labels) == maxLabels {
				w.Labels = append(w.Labels, "…")
				break
			}
			w.Labels = append(w.Labels, line(k, maxLine)+": "+line(a.Labels[k], maxLine))
		}
		v.Alerts = append(v.Alerts, w)
	}
	return v
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 MST")
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', 6, 64) }

// line returns s on one line of what can be printed, in at most most bytes.
func line(s string, most int) string {
	return strings.Join(strings.Fields(printable(s, most, false)), " ")
}

// lines returns s with its line breaks.
func lines(s string) string { return strings.TrimSpace(printable(s, maxText, true)) }

func printable(s string, most int, breaks bool) string {
	if len(s) > most {
		end := most - len("…")
		for end > 0 && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unprintable(r) && (!breaks || r != '\n') {
			return ' '
		}
		return r
	}, s)
}

package history

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// String returns the report as short Markdown. What was not measured is "–", and never
// a share of nothing.
func (r Report) String() string {
	var b strings.Builder
	const layout = "2006-01-02 15:04 MST"
	fmt.Fprintf(&b, "# %s from %s to %s\n\n", title(r.Period), r.From.Format(layout), r.To.Format(layout))
	if r.Until.Before(r.To) {
		fmt.Fprintf(&b, "Up to %s.\n\n", r.Until.Format(layout))
	}
	fmt.Fprintf(&b, "%s\n", r.Pool.sentence())
	if e := r.Expected; e != nil {
		fmt.Fprintf(&b, "\nExpected in all: %s", count(e.Calls, "call"))
		if e.Cost > 0 {
			fmt.Fprintf(&b, ", %s", dollars(e.Cost))
		}
		b.WriteString(".\n")
	}
	if len(r.Models) > 0 {
		b.WriteString("\n| model | attempts | before | answered | available | p50 | p95 | p99 | failures | tokens | cost |\n|---|--:|--:|--:|--:|--:|--:|--:|---|--:|--:|\n")
		for i := range r.Models {
			b.WriteString(r.Models[i].line())
		}
	}
	if len(r.Trends) > 0 {
		b.WriteString("\n## Trends\n\n")
		for _, t := range r.Trends {
			fmt.Fprintf(&b, "- %s\n", escape(t.String()))
		}
	}
	if len(r.Incidents) > 0 {
		b.WriteString("\n## Incidents\n\n")
		for _, in := range r.Incidents {
			fmt.Fprintf(&b, "- %s\n", escape(in.String()))
		}
	}
	return b.String()
}

func title(p Period) string {
	if p == "" {
		return "Day"
	}
	return strings.ToUpper(string(p[:1])) + escape(clean(string(p[1:])))
}

// sentence is what there is to say of the pool.
func (s *Summary) sentence() string {
	if s.Calls == 0 {
		return "No calls." + s.was()
	}
	parts := []string{count(s.Calls, "call"), percent(s.Answered) + " answered"}
	if s.P95 > 0 {
		parts = append(parts, "p95 "+short(s.P95))
	}
	if n := s.tokens(); n > 0 {
		parts = append(parts, count(n, "token"))
	}
	if s.Cost > 0 {
		parts = append(parts, dollars(s.Cost))
	}
	if s.Degraded > 0 {
		parts = append(parts, "degraded for "+short(s.Degraded)+", "+s.Level+" at most")
	}
	return strings.Join(parts, ", ") + "." + s.was()
}

// was is what there is to say of the period before.
func (s *Summary) was() string {
	switch b := s.Before; {
	case b == nil:
		return " Nothing is known of the time before."
	case b.Calls == 0:
		return " In the time before there were none."
	default:
		text := " In the time before: " + count(b.Calls, "call") + ", " + percent(b.Answered) + " answered"
		if b.P95 > 0 {
			text += ", p95 " + short(b.P95)
		}
		if b.Cost > 0 {
			text += ", " + dollars(b.Cost)
		}
		return text + "."
	}
}

func (s *Summary) line() string {
	name, calls, before := s.Model, "no calls", "–"
	if s.Calls > 0 {
		calls = thousands(s.Calls)
	}
	if s.Before != nil {
		before = thousands(s.Before.Calls)
	}
	var failures []string
	for _, kind := range slices.Sorted(maps.Keys(s.Kinds)) {
		failures = append(failures, kind+" "+thousands(s.Kinds[kind]))
	}
	cells := []string{
		name, calls, before, percent(s.Answered), percent(s.Available), short(s.P50), short(s.P95), short(s.P99),
		strings.Join(failures, ", "), "–", "–",
	}
	if n := s.tokens(); n > 0 {
		cells[9] = thousands(n)
	}
	if s.Cost > 0 {
		cells[10] = dollars(s.Cost)
	}
	for i, c := range cells {
		cells[i] = escape(c)
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// String puts i in one line.
func (i Incident) String() string {
	is := "held by " + i.What
	if isAnomaly(i.What) {
		is = "unusual: " + i.What
	}
	text := i.Model + " " + is + " from " + i.Begin.UTC().Format(time.RFC3339)
	if i.End.IsZero() {
		text += ", still"
	} else {
		text += " for " + short(i.End.Sub(i.Begin))
	}
	if i.Times > 1 {
		text += fmt.Sprintf(", %d times", i.Times)
	}
	if i.Reason != "" {
		text += ": " + i.Reason
	}
	return text
}

// tokens are those of requests and answers together.
func (s *Summary) tokens() int64 {
	return s.Usage.Input + s.Usage.Output
}

func percent(share *float64) string {
	if share == nil {
		return "–"
	}
	text := strconv.FormatFloat(*share*100, 'f', 2, 64)
	if *share < 1 && text == "100.00" {
		text = "99.99" // something did fail
	}
	return text + " %"
}

func count(n int64, of string) string {
	if n != 1 {
		of += "s"
	}
	return thousands(n) + " " + of
}

// thousands writes n with a comma after each three digits.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func dollars(d float64) string {
	if d < 0.01 {
		return fmt.Sprintf("$%.2g", d)
	}
	return fmt.Sprintf("$%.2f", d)
}

// short writes d in two or three digits.
func short(d time.Duration) string {
	switch {
	case d <= 0:
		return "–"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(10 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

// escape keeps foreign text from being read as Markdown.
var escaper = strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", `\<`, "`", "\\`", "[", `\[`, "*", `\*`)

func escape(s string) string { return escaper.Replace(s) }

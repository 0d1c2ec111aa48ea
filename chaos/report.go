package chaos

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"time"
)

// A Report is the results of several experiments, such as those of a game day.
type Report struct {
	// Score is the resilience score as Litmus has it: the experiments' scores,
	// weighted by their weights, 0 to 100. An experiment that is invalid or was
	// aborted has shown nothing, and counts 0.
	Score   float64  `json:"score"`
	Results []Result `json:"results"`
	Host    Host     `json:"host"` // all that may differ between runs of a seed
}

// A Host is where and when experiments were run.
type Host struct {
	Time   time.Time `json:"time"`
	Go     string    `json:"go"`
	System string    `json:"system"`
}

// NewReport makes a report of results.
func NewReport(results ...Result) Report {
	total, weights := 0.0, 0.0
	for _, r := range results {
		total += r.Weight * r.Score
		weights += r.Weight
	}
	rep := Report{Results: results, Host: Host{time.Now(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}}
	if weights > 0 {
		rep.Score = math.Round(10*total/weights) / 10
	}
	return rep
}

// WriteJSON writes r as indented JSON.
func (r Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Failure *junitMessage `xml:"failure"`
		Error   *junitMessage `xml:"error"`
		Skipped *junitMessage `xml:"skipped"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes r as build servers read it: a suite an experiment, a case a
// check. An experiment that is invalid or was aborted is one case, with an error.
func (r Report) WriteJUnit(w io.Writer) error {
	var doc junitSuites
	for _, x := range r.Results {
		s := junitSuite{Name: x.Name}
		if x.Why != "" {
			s.Errors = 1
			s.Cases = append(s.Cases, junitCase{Class: x.Name, Name: "run", Error: &junitMessage{Message: string(x.Verdict) + ": " + x.Why}})
		}
		for _, c := range x.Checks {
			one := junitCase{Class: x.Name, Name: c.Name}
			switch c.Outcome {
			case CheckFailed:
				s.Failures++
				one.Failure = &junitMessage{"want " + c.Want + ", got " + c.Got, strings.Join(c.Evidence, "\n")}
			case CheckSkipped:
				s.Skipped++
				one.Skipped = &junitMessage{Message: c.Got}
			}
			s.Cases = append(s.Cases, one)
		}
		s.Tests = len(s.Cases)
		doc.Suites = append(doc.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// WriteText writes r for people.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, x := range r.Results {
		x.text(&b)
	}
	b.WriteString("Resilience score\n")
	weights := 0.0
	for _, x := range r.Results {
		fmt.Fprintf(&b, "  %-20s %-8s %5.1f × weight %v\n", x.Name, x.Verdict, x.Score, x.Weight)
		weights += x.Weight
	}
	fmt.Fprintf(&b, "  %-20s %-8s %5.1f = the sum ÷ %v\n", "in all", "", r.Score, weights)
	_, err := io.WriteString(w, b.String())
	return err
}

// String returns the result for people.
func (r Result) String() string {
	var b strings.Builder
	r.text(&b)
	return b.String()
}

func (r Result) text(b *strings.Builder) {
	fmt.Fprintf(b, "%s: %s, score %.1f, seed %d\n", r.Name, r.Verdict, r.Score, r.Seed)
	if r.About != "" {
		fmt.Fprintf(b, "  %s\n", r.About)
	}
	if r.Why != "" {
		fmt.Fprintf(b, "  %s\n", r.Why)
	}
	fmt.Fprintf(b, "\n  %-8s %6s %9s %9s %8s %8s %8s\n", "", "calls", "answered", "attempts", "p50", "p95", "p99")
	for _, row := range []struct {
		name string
		m    Measures
	}{{"before", r.Control}, {"faults", r.During}, {"after", r.After}} {
		if row.m.Calls > 0 {
			fmt.Fprintf(b, "  %-8s %6d %9s %9.2f %8v %8v %8v\n", row.name, row.m.Calls, percent(row.m.Success()), row.m.PerCall(), row.m.P50, row.m.P95, row.m.P99)
		}
	}
	if len(r.Timeline) > 0 {
		fmt.Fprintf(b, "\n  %-16s %-14s %7s %9s %9s %9s %9s\n", "model", "fault", "struck", "broke", "noticed", "safe", "back")
	}
	for _, d := range r.Timeline {
		fmt.Fprintf(b, "  %-16s %-14s %7d %9v %9v %9v %9v\n", d.Model, d.Fault, d.Struck, d.Broke, d.Noticed, d.Safe, d.Back)
	}
	if len(r.Checks) > 0 {
		b.WriteByte('\n')
	}
	for _, c := range r.Checks {
		switch c.Outcome {
		case CheckSkipped:
			fmt.Fprintf(b, "  skipped  %-26s %s\n", c.Name, c.Got)
		default:
			fmt.Fprintf(b, "  %-8s %-26s %s, got %s\n", c.Outcome, c.Name, c.Want, c.Got)
		}
		for _, line := range c.Evidence {
			fmt.Fprintf(b, "             %s\n", line)
		}
	}
	b.WriteByte('\n')
}

package alert

import (
	"strconv"
	"strings"
	"time"
	"unicode"
)

// What is kept of names and of text that people wrote.
const (
	maxName = 96
	maxText = 500
)

// bound makes a foreign name fit for a line.
func bound(s string) string { return cut(s, maxName) }

// cut returns at most most bytes of s, on one line and without what does not print.
func cut(s string, most int) string {
	clean := true
	for _, r := range s {
		clean = clean && unicode.IsPrint(r) && r != unicode.ReplacementChar
	}
	if !clean {
		s = strings.Map(func(r rune) rune {
			switch {
			case unicode.IsSpace(r):
				return ' '
			case !unicode.IsPrint(r) || r == unicode.ReplacementChar:
				return -1
			}
			return r
		}, s)
	}
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most-len("…")], "") + "…"
}

// number prints a value with three digits.
func number(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }

// percent prints a share.
func percent(v float64) string { return number(100*v) + " %" }

// seconds prints a time.
func seconds(v float64) string {
	return time.Duration(v * float64(time.Second)).Round(time.Millisecond).String()
}

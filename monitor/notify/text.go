package notify

import "unicode/utf8"

// cut shortens s to at most most bytes, between runes, with an ellipsis.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	end := max(most-len("…"), 0)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

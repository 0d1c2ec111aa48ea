package bipadapter

import (
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"strings"
	"unicode"
	"unicode/utf8"
)

// How long an answer may be, in bytes, to be looked into, and a number to be
// one.
const (
	longest       = 4096
	longestNumber = 500
)

// Same reports whether two answers are the same by [Canonical].
func Same(a, b string) bool { return a == b || Canonical(a) == Canonical(b) }

// Folded is an answer without regard to case and space. What is longer than 4
// KiB stands for itself alone, by its SHA-256.
func Folded(answer string) string {
	if key, ok := asIs(answer); ok {
		return key
	}
	return strings.Join(strings.Fields(strings.ToLower(answer)), " ")
}

// Canonical is an answer without regard to how it is written; answers with equal
// ones are the same. Like every function of this kind it makes groups that do
// not depend on the order of answers. It knows, beside what [Folded] does,
//
//   - numbers: 1,000 and $1,000 and 1000.0 and 1e3
//   - fractions: 1/2 and 0.5 and \frac{1}{2}, in lowest terms
//   - percentages, which equal neither 50 nor 0.5: 50% and 50.0 \%
//   - what wraps a whole answer: $…$, \(…\), \[…\], \boxed{…}, \text{…}, quotation marks, a
//     final period
//
// A comma counts only between groups of three digits, since 1,5 is a number
// here and a list there; what is no number for certain is text.
func Canonical(answer string) string {
	key := Folded(answer)
	if len(answer) > longest {
		return key
	}
	for {
		inner := strings.TrimSpace(unwrap(key))
		if inner == key || inner == "" {
			break
		}
		key = inner
	}
	if n, ok := asNumber(key); ok {
		return n
	}
	return key
}

// asIs is the key of what is not looked into. Nothing folded begins like that.
func asIs(answer string) (string, bool) {
	if len(answer) > longest {
		sum := sha256.Sum256([]byte(answer))
		return "SHA-256:" + hex.EncodeToString(sum[:]), true
	}
	return answer, !utf8.ValidString(answer)
}

// wraps are what may surround an answer without being part of it.
var wraps = [...][2]string{{"$", "$"}, {`\(`, `\)`}, {`\[`, `\]`}, {`\boxed{`, "}"}, {`\text{`, "}"}, {`'`, `'`}, {`"`, `"`}, {"`", "`"}, {"", "."}}

// unwrap takes one wrapping off.
func unwrap(s string) string {
	for _, w := range wraps {
		if len(s) > len(w[0])+len(w[1]) && strings.HasPrefix(s, w[0]) && strings.HasSuffix(s, w[1]) {
			if inner := s[len(w[0]) : len(s)-len(w[1])]; closed(inner, w[0], w[1]) {
				return inner
			}
		}
	}
	return s
}

// closed reports whether what is between two delimiters is closed in itself: in
// $1$ and $2$ the outer ones are no pair, and … ends no sentence.
func closed(inner, open, end string) bool {
	switch {
	case end == "}":
		depth := 0
		for _, c := range inner {
			switch c {
			case '{':
				depth++
			case '}':
				depth--
			}
			if depth < 0 {
				return false
			}
		}
		return depth == 0
	case open == "":
		return !strings.HasSuffix(inner, ".")
	}
	return !strings.Contains(inner, open) && !strings.Contains(inner, end)
}

// asNumber is the canonical writing of a number.
func asNumber(s string) (string, bool) {
	if len(s) > longestNumber {
		return "", false
	}
	s = strings.ReplaceAll(s, "−", "-")
	sign := ""
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		sign, s = "-", rest
	} else {
		s = strings.TrimPrefix(s, "+")
	}
	s = strings.TrimPrefix(strings.TrimPrefix(s, `\$`), "$")
	s, percent := strings.CutSuffix(s, "%")
	if percent {
		s = strings.TrimSpace(strings.TrimSuffix(s, `\`))
	}
	r, ok := rational(s)
	if !ok {
		return "", false
	}
	text := r.RatString()
	if sign != "" && r.Sign() != 0 {
		text = sign + text
	}
	if percent {
		text += "%"
	}
	return text, true
}

// rational reads an unsigned number or fraction.
func rational(s string) (*big.Rat, bool) {
	for _, frac := range []string{`\frac`, `\dfrac`, `\tfrac`} {
		if rest, ok := strings.CutPrefix(s, frac); ok {
			over, under, ok := arguments(strings.ReplaceAll(rest, " ", ""))
			return quotient(over, under, ok)
		}
	}
	if over, under, ok := strings.Cut(s, "/"); ok {
		return quotient(strings.TrimSpace(over), strings.TrimSpace(under), ok)
	}
	return plainNumber(s)
}

// arguments are the two of \frac: {1}{2} or two digits.
func arguments(s string) (over, under string, ok bool) {
	if len(s) == 2 {
		return s[:1], s[1:], true
	}
	inner, opened := strings.CutPrefix(s, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	over, under, ok = strings.Cut(inner, "}{")
	return over, under, ok && opened && closed
}

func quotient(over, under string, ok bool) (*big.Rat, bool) {
	a, top := plainNumber(over)
	b, bottom := plainNumber(under)
	if !ok || !top || !bottom || b.Sign() == 0 {
		return nil, false
	}
	return a.Quo(a, b), true
}

// plainNumber reads digits with at most one point, commas between groups of three
// and an exponent of at most three digits.
func plainNumber(s string) (*big.Rat, bool) {
	mantissa, exponent, scientific := strings.Cut(s, "e")
	digits := strings.TrimLeft(exponent, "+-")
	if scientific && (len(exponent)-len(digits) > 1 || !allDigits(digits) || len(digits) > 3) {
		return nil, false
	}
	whole, part, _ := strings.Cut(mantissa, ".")
	if groups := strings.Split(strings.ReplaceAll(whole, "{,}", ","), ","); len(groups) > 1 {
		if len(groups[0]) == 0 || len(groups[0]) > 3 || groups[0][0] == '0' {
			return nil, false
		}
		for _, g := range groups[1:] {
			if len(g) != 3 {
				return nil, false
			}
		}
		whole = strings.Join(groups, "")
	}
	if !allDigits(whole + part) {
		return nil, false
	}
	text := "0" + whole + "." + part + "0"
	if scientific {
		text += "e" + exponent
	}
	return new(big.Rat).SetString(text)
}

func allDigits(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsDigit(r) }) < 0
}

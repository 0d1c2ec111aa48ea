package settings

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Nearest returns the one of known that word is most probably a slip of, or ""
// if none is near. It compares by edit distance (optimal string alignment:
// insertions, deletions, substitutions and swaps of neighbors), letter case
// aside. Near is a distance of at most a third of the longer word, and at most
// 3. Of equally near words it returns the first.
func Nearest(word string, known []string) string {
	const most = 3
	word = strings.ToLower(word)
	best, least := "", most+1
	for _, k := range known {
		longer := max(len(word), len(k))
		if longer-min(len(word), len(k)) > most {
			continue
		}
		if d := distance(word, strings.ToLower(k)); d < least && d <= longer/3 {
			best, least = k, d
		}
	}
	return best
}

func didYouMean(word string, known []string) string {
	if k := Nearest(word, known); k != "" {
		return "; did you mean " + strconv.Quote(k) + "?"
	}
	return ""
}

// distance works on three rows of the usual matrix, the oldest for swaps.
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	before, last, row := make([]int, len(t)+1), make([]int, len(t)+1), make([]int, len(t)+1)
	for j := range row {
		row[j] = j
	}
	for i := range s {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range t {
			change := last[j]
			if s[i] != t[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && s[i] == t[j-1] && s[i-1] == t[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(t)]
}

// Join returns the path of key under path. A key with other characters than
// those common in names is bracketed, so that a path has one reading:
// models["gpt-4.1"].weight.
func Join(path, key string) string {
	odd := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_/:@+", r)
	}
	switch {
	case key == "" || len(key) > maxShown || strings.ContainsFunc(key, odd):
		return path + "[" + quote(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

const maxShown = 60

// quote returns s quoted, its end cut off if it is long.
func quote(s string) string {
	if len(s) <= maxShown {
		return strconv.Quote(s)
	}
	end := maxShown
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return strconv.Quote(s[:end] + "…")
}

// twin returns the key among seen that key repeats, letter case aside, and
// adds key to seen.
func twin(seen map[string]string, key string) (string, bool) {
	folded := strings.ToLower(key)
	first, ok := seen[folded]
	if !ok {
		seen[folded] = key
	}
	return first, ok
}

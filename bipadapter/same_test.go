package bipadapter

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSame(t *testing.T) {
	for _, group := range [][]string{
		{"1000", "1,000", "1e3", "1E+3", "1000.0", "1000.", "$1,000", `\$1000`, "$1000$", `\(1000\)`, `\boxed{1{,}000}`, "+1000", " 1000 ", "01000", "2000/2"},
		{"1/2", "0.5", ".5", "0.50", `\frac{1}{2}`, `\dfrac12`, `$\tfrac{2}{4}$`, "1 / 2", "5e-1", `\[\frac{1}{2}\].`, "500/1,000"},
		{"-1/2", "-0.5", `-\frac12`, "−.5", "-$0.5"},
		{"50%", "50.0 %", `50\%`, "$50%$", "+50%"},
		{"0", "-0", "0.0", "0e9", "0/7", "-.0"},
		{"50"},
		{"€50"},
		{"1,5"},
		{"1,0000"},
		{"0,123"},
		{"1,000,00"},
		{"1/0"},
		{"1/2/3"},
		{"1 1/2"},
		{"1e9999"},
		{"e3"},
		{"."},
		{".."},
		{"-"},
		{"%"},
		{"$"},
		{"$1$ and $2$", "$1$  AND $2$."},
		{"wait..."},
		{"inf"},
		{"nan"},
		{"0x10"},
		{"1_000"},
		{"٣"},
		{"Approve", "approve", " APPROVE ", "approve.", `\text{approve}`, `'Approve'`, `"approve".`, "`approve`"},
		{"''", `''.`},
		{"'a' and 'b'"},
		{"approve it", "Approve\n  it"},
		{"approved"},
		{`\boxed{1}{2}`, `\boxed{1}{2}.`},
		{"", "  ", "\t\n"},
		{"\xff"},
		{"\xfe"},
		{strings.Repeat("x", longest+1)},
		{strings.Repeat("X", longest+1)},
		{strings.Repeat("9", 400), "+" + strings.Repeat("9", 400) + ".0"},
	} {
		for _, a := range group {
			for _, b := range group {
				require.True(t, Same(a, b), "%q and %q: %q, %q", a, b, Canonical(a), Canonical(b))
			}
		}
		for _, other := range []string{"2", "0.25", "reject", "5000%"} {
			require.False(t, Same(group[0], other))
		}
	}
}

// TestSameKeepsApart has one of each group above against all others.
func TestSameKeepsApart(t *testing.T) {
	apart := []string{
		"1000", "1/2", "-1/2", "50%", "0", "50", "€50", "1,5", "15", "1,0000", "10000", "0,123", "123", "1/0", "1/2/3", "1 1/2", "11/2",
		"1e9999", "e3", ".", "..", "-", "%", "$", "$1$ and $2$", "1$ and $2", "inf", "nan", "0x10", "16", "1_000", "٣", "3",
		"approve", "approved", "", "''", "'a' and 'b'", "a' and 'b", "\xff", "\xfe", strings.Repeat("x", longest+1), strings.Repeat("X", longest+1),
		Folded(strings.Repeat("x", longest+1)),
	}
	for i, a := range apart {
		for _, b := range apart[i+1:] {
			require.False(t, Same(a, b), "%q and %q", a, b)
		}
	}
}

func TestFolded(t *testing.T) {
	require.Equal(t, "a b", Folded("  A\t\nb "))
	require.NotEqual(t, Folded("1,000"), Folded("1000"))
	require.Len(t, Folded(strings.Repeat("x", 1<<20)), len("SHA-256:")+64)
}

// TestSameIsBounded asks for the worst within and beyond what is looked into.
func TestSameIsBounded(t *testing.T) {
	start := time.Now()
	for _, s := range []string{
		strings.Repeat("$", longest), strings.Repeat(`\(`, longest/4) + strings.Repeat(`\)`, longest/4), "1e999", "1e-999", "1/1e999",
		strings.Repeat(`\text{`, longest/7) + strings.Repeat("}", longest/7), strings.Repeat("9", longest) + "/" + strings.Repeat("7", 10),
		strings.Repeat("1,000", 1<<20), strings.Repeat(`\boxed{`, 1<<20),
	} {
		require.LessOrEqual(t, len(Canonical(s)), 2*longest)
	}
	require.Less(t, time.Since(start), 5*time.Second)
}

func FuzzSame(f *testing.F) {
	for _, s := range []string{"1,000", "1e3", `\frac{1}{2}`, "0.5", "50 %", "approve.", "$-.5$", `\boxed{\text{A}}`, "İ", "\xff", "−1", "1{,}000", "K", "ſ"} {
		f.Add(s, " "+s+".", strings.ToUpper(s))
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		for _, form := range []func(string) string{Canonical, Folded} {
			for _, s := range []string{a, b, c} {
				key := form(s)
				require.Equal(t, key, form(s))
				if len(s) <= longest/2 { // lower case may be longer
					require.Equal(t, key, form(key), "%q", s)
				}
				require.LessOrEqual(t, len(key), 3*longest)
			}
		}
		require.True(t, Same(a, a))
		require.Equal(t, Same(a, b), Same(b, a))
		if Same(a, b) && Same(b, c) {
			require.True(t, Same(a, c))
		}
	})
}

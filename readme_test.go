package resilience_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadmeShowsWhatExamplesPrint compares each block of the README that is
// marked with an example's name with that example's checked output.
func TestReadmeShowsWhatExamplesPrint(t *testing.T) {
	readme, examples := read(t, "README.md"), read(t, "example_test.go")
	marked := regexp.MustCompile("(?s)<!-- example: (\\w+) -->\n```\n(.*?)```").FindAllStringSubmatch(readme, -1)
	require.Len(t, marked, 4)
	for _, m := range marked {
		require.Contains(t, output(t, examples, m[1]), m[2], m[1])
	}
	require.NotContains(t, output(t, examples, "ExampleExhaustedError"), "resilience: quota_spent, answered\n", "a block that is not there is missed")
}

// output is what an example is checked to print.
func output(t *testing.T, source, name string) string {
	t.Helper()
	_, body, ok := strings.Cut(source, "\nfunc "+name+"() {\n")
	require.True(t, ok, "no %s", name)
	body, _, ok = strings.Cut(body, "\n}\n")
	require.True(t, ok)
	_, out, ok := strings.Cut(body, "// Output:\n")
	require.True(t, ok, "%s checks nothing", name)
	var lines []string
	for line := range strings.Lines(out) {
		lines = append(lines, strings.TrimPrefix(strings.TrimPrefix(strings.TrimLeft(line, "\t"), "//"), " "))
	}
	return strings.Join(lines, "") + "\n"
}

// TestReadmeKindTable compares the README's table with the one in the
// documentation of Kind, row by row.
func TestReadmeKindTable(t *testing.T) {
	_, rest, ok := strings.Cut(read(t, "README.md"), "<!-- kinds -->\n")
	require.True(t, ok)
	table, _, _ := strings.Cut(rest, "\n\n")
	var fromReadme [][]string
	for i, line := range strings.Split(table, "\n") {
		if i == 1 {
			continue // the rule
		}
		var row []string
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			row = append(row, strings.TrimSpace(cell))
		}
		fromReadme = append(fromReadme, row)
	}
	require.Equal(t, docTable(t), fromReadme)
}

// docTable reads the table in the documentation of Kind: its columns begin
// where those of the head do.
func docTable(t *testing.T) (rows [][]string) {
	t.Helper()
	var starts []int
	for line := range strings.Lines(read(t, "kind.go")) {
		text, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "//\t")
		switch {
		case strings.HasPrefix(text, "kind "):
			for _, m := range regexp.MustCompile(`\S+(?: \S+)*`).FindAllStringIndex(text, -1) {
				starts = append(starts, m[0])
			}
		case starts == nil || !ok:
			continue
		}
		runes := []rune(text)
		var row []string
		for i, from := range starts {
			to := len(runes)
			if i+1 < len(starts) {
				to = min(to, starts[i+1])
			}
			cell := ""
			if from < to {
				cell = strings.TrimSpace(string(runes[from:to]))
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	require.Len(t, rows, 16)
	return rows
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

package sdks

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite what is generated in the pages of docs")

// generated is a region of a page that is not written by hand: a table, or
// declarations of a file by their names.
var generated = regexp.MustCompile("(?s)(<!-- (go|table): ([^>]*) -->\n).*?(<!-- end -->\n)")

// checkPage compares a page of docs, which has so many regions, with what is
// generated of it, or rewrites it.
func checkPage(t *testing.T, name string, regions int, table string) {
	t.Helper()
	path := filepath.Join("..", "..", "docs", name)
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Len(t, generated.FindAllIndex(page, -1), regions)
	want := fill(t, string(page), table)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
		return
	}
	require.Equal(t, want, string(page), "%s is out of date; in examples/sdks: go test -run %s -update", name, t.Name())
}

func fill(t *testing.T, page, table string) string {
	t.Helper()
	return generated.ReplaceAllStringFunc(page, func(region string) string {
		m := generated.FindStringSubmatch(region)
		body := table
		if m[2] == "go" {
			file, names, _ := strings.Cut(m[3], " ")
			body = "```go\n" + source(t, file, strings.Fields(names)...) + "```\n"
		}
		return m[1] + body + m[4]
	})
}

// source returns declarations of a file, as they are written there.
func source(t *testing.T, file string, names ...string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, text, parser.ParseComments)
	require.NoError(t, err)
	found := map[string]string{}
	for _, d := range parsed.Decls {
		name, doc := "", (*ast.CommentGroup)(nil)
		switch d := d.(type) {
		case *ast.FuncDecl:
			name, doc = d.Name.Name, d.Doc
		case *ast.GenDecl:
			doc = d.Doc
			switch s := d.Specs[0].(type) {
			case *ast.ValueSpec:
				name = s.Names[0].Name
			case *ast.TypeSpec:
				name = s.Name.Name
			}
		}
		from := d.Pos()
		if doc != nil {
			from = doc.Pos()
		}
		found[name] = string(text[set.Position(from).Offset:set.Position(d.End()).Offset]) + "\n"
	}
	parts := make([]string, len(names))
	for i, name := range names {
		require.Contains(t, found, name, file)
		parts[i] = found[name]
	}
	return strings.Join(parts, "\n")
}

// TestTestingPage compares the code of docs/testing.md with that of the tests.
func TestTestingPage(t *testing.T) { checkPage(t, "testing.md", 6, "") }

// A page that differs is noticed.
func TestStalePage(t *testing.T) {
	const stale = "a\n<!-- table: x -->\nold\n<!-- end -->\n<!-- go: sdks.go until -->\nold\n<!-- end -->\nz\n"
	fresh := fill(t, stale, "new\n")
	require.Contains(t, fresh, "a\n<!-- table: x -->\nnew\n<!-- end -->\n<!-- go: sdks.go until -->\n```go\n// until are chunks")
	require.True(t, strings.HasSuffix(fresh, "}\n```\n<!-- end -->\nz\n"))
	require.Equal(t, fresh, fill(t, fresh, "new\n"))
}

package mutants

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const path = "github.com/cmmv-hive/resilience/internal/mutants"

// A place is where the source asks for a mutant.
type place struct{ id, dir string }

// TestRegistryIsTheSource compares the two, and looks for the tests.
func TestRegistryIsTheSource(t *testing.T) {
	var planted []place
	tests := map[place]bool{}
	root, err := filepath.Abs(root)
	require.NoError(t, err)
	require.NoError(t, filepath.WalkDir(root, func(at string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(at))
		if err != nil {
			return err
		}
		switch {
		case at != root && e.IsDir() && skips(at, e.Name()):
			return filepath.SkipDir
		case e.IsDir() || filepath.Ext(at) != ".go":
			return nil
		}
		text, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		if strings.HasSuffix(at, "_test.go") {
			for _, m := range registry {
				if m.dir == filepath.ToSlash(dir) && strings.Contains(string(text), "\nfunc "+m.test+"(t *testing.T)") {
					tests[place{m.test, m.dir}] = true
				}
			}
			return nil
		}
		ids, err := asked(at, text)
		for _, id := range ids {
			planted = append(planted, place{id, filepath.ToSlash(dir)})
		}
		return err
	}))
	require.Empty(t, differences(planted, registry))
	for _, m := range registry {
		require.True(t, tests[place{m.test, m.dir}], "%s has no %s", m.dir, m.test)
		require.NotEmpty(t, m.breaks)
	}
	require.GreaterOrEqual(t, len(registry), 25)
}

// skips reports whether a directory is not of this module's source.
func skips(at, name string) bool {
	_, err := os.Stat(filepath.Join(at, "go.mod"))
	return err == nil || name == "testdata" || strings.HasPrefix(name, ".")
}

// asked returns the mutants that a file asks for.
func asked(name string, text []byte) (ids []string, err error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == strconv.Quote(path) }) {
		return nil, nil
	}
	ast.Inspect(file, func(n ast.Node) bool {
		use, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		of, ok := use.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if pkg, ok := of.X.(*ast.Ident); !ok || pkg.Name != "mutants" {
			return true
		}
		id, ok := use.Args[0].(*ast.BasicLit)
		if !ok {
			err = fmt.Errorf("%s: the name of a mutant is a literal", files.Position(use.Pos()))
			return false
		}
		plain, _ := strconv.Unquote(id.Value)
		ids = append(ids, plain)
		return true
	})
	return ids, err
}

// differences says where mutants are planted and listed differently.
func differences(planted []place, listed []mutant) (all []string) {
	at := map[string]string{}
	for _, p := range planted {
		if _, twice := at[p.id]; twice {
			all = append(all, p.id+" is planted twice")
		}
		at[p.id] = p.dir
	}
	seen := map[string]bool{}
	for _, m := range listed {
		dir, ok := at[m.id]
		switch {
		case seen[m.id]:
			all = append(all, m.id+" is listed twice")
		case !ok:
			all = append(all, m.id+" is not planted")
		case dir != m.dir:
			all = append(all, m.id+" is planted in "+dir+", and listed in "+m.dir)
		}
		seen[m.id] = true
	}
	for id := range at {
		if !seen[id] {
			all = append(all, id+" is not listed")
		}
	}
	slices.Sort(all)
	return all
}

func TestDifferences(t *testing.T) {
	ids, err := asked("a.go", []byte(`package a
import "`+path+`"
var b = mutants.On("one") || !mutants.On("two")`))
	require.NoError(t, err)
	require.Equal(t, []string{"one", "two"}, ids)

	_, err = asked("a.go", []byte(`package a
import "`+path+`"
var b = mutants.On(name)`))
	require.ErrorContains(t, err, "a.go:3:9: the name of a mutant is a literal")

	ids, err = asked("a.go", []byte(`package a
import "elsewhere.org/mutants"
var b = mutants.On("one")`))
	require.NoError(t, err)
	require.Empty(t, ids)

	require.Empty(t, differences([]place{{"one", "a"}}, []mutant{{id: "one", dir: "a"}}))
	require.Equal(t, []string{
		"five is not listed", "four is planted twice", "one is not planted", "three is planted in b, and listed in a", "two is listed twice",
	}, differences(
		[]place{{"two", "a"}, {"three", "b"}, {"four", "a"}, {"four", "a"}, {"five", "a"}},
		[]mutant{{id: "one", dir: "a"}, {id: "two", dir: "a"}, {id: "two", dir: "a"}, {id: "three", dir: "a"}, {id: "four", dir: "a"}},
	))
}

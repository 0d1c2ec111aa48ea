package main

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	namedTest      = regexp.MustCompile("^\\| `([^`: ]+): (Test[^`/]*)[^`]*` \\|")
	namedBenchmark = regexp.MustCompile("^\\| `(Benchmark[^`/@]*)[^`]*` \\|")
)

// checkNames returns an error for each test and benchmark that text names and
// the module at root lacks.
func checkNames(root, module, text string) error {
	declared := make(map[string]map[string]bool)
	var problems []error
	named := 0
	look := func(dir, name string) {
		named++
		if declared[dir] == nil {
			names, err := testFuncs(filepath.Join(root, filepath.FromSlash(dir)))
			if err != nil {
				problems = append(problems, err)
			}
			declared[dir] = names
		}
		if !declared[dir][name] {
			problems = append(problems, fmt.Errorf("%s has no %s, which the file names", filepath.ToSlash(filepath.Join(module, dir)), name))
		}
	}
	for line := range strings.Lines(text) {
		if m := namedTest.FindStringSubmatch(line); m != nil {
			look(m[1], m[2])
		}
		if m := namedBenchmark.FindStringSubmatch(line); m != nil {
			look(cmp.Or(benchmarked[m[1]], "."), m[1])
		}
	}
	if named == 0 {
		return errors.New("the file names no test and no benchmark")
	}
	return errors.Join(problems...)
}

// testFuncs returns the names of the functions in dir's test files.
func testFuncs(dir string) (map[string]bool, error) {
	names := make(map[string]bool)
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return names, err
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return names, err
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				names[fn.Name.Name] = true
			}
		}
	}
	return names, nil
}

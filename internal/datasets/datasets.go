// Package datasets opens the data sets that published figures are reproduced
// with. They are not part of the module.
package datasets

import (
	"os"
	"path/filepath"
	"testing"
)

// Path returns the path of a file of the data sets, and skips the test if it is
// not there. They are in $RESILIENCE_DATA, else in ../shared/data beside the
// module's root.
func Path(tb testing.TB, name string) string {
	tb.Helper()
	dir := os.Getenv("RESILIENCE_DATA")
	if dir == "" {
		dir = filepath.Join(root(tb), "..", "shared", "data")
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		tb.Skipf("no data: %v; set RESILIENCE_DATA to the directory of the data sets", err)
	}
	return path
}

// Open opens a file of the data sets for a test, or skips the test. The file is
// closed with the test.
func Open(tb testing.TB, name string) *os.File {
	tb.Helper()
	f, err := os.Open(Path(tb, name))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = f.Close() }) // it was only read
	return f
}

// root is the module's: tests run in the directory of their package.
func root(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	tb.Fatalf("no go.mod above the test's directory: %v", err)
	return ""
}

// Package leaktest finds goroutines that tests have left behind.
package leaktest

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

const module = "github.com/cmmv-hive/resilience"

// patience is how long goroutines that have been told to end may take.
const patience = 2 * time.Second

// Run runs the tests of a package and returns its exit code, which is that of a
// failure if, after all have passed, a goroutine is left that the module's code
// runs on or has started.
//
//	func TestMain(m *testing.M) { os.Exit(leaktest.Run(m)) }
func Run(m *testing.M) int { return run(m.Run, os.Stderr, patience) }

func run(tests func() int, out io.Writer, patience time.Duration) int {
	code := tests()
	if code != 0 {
		return code
	}
	left := leaks()
	for until := time.Now().Add(patience); len(left) > 0 && time.Now().Before(until); left = leaks() {
		time.Sleep(10 * time.Millisecond)
	}
	if len(left) == 0 {
		return 0
	}
	fmt.Fprintf(out, "%d goroutines are left:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
	return 1
}

// leaks returns the stacks of all goroutines but the caller's that the module
// has to do with.
func leaks() (left []string) {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	for i, stack := range bytes.Split(buf, []byte("\n\n")) {
		if i > 0 && bytes.Contains(stack, []byte(module)) {
			left = append(left, string(stack))
		}
	}
	return left
}

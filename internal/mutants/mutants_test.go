package mutants

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	root     = "../.." // of the module
	patience = 30 * time.Second
)

// TestMutants plants each mutant and requires the test that is named for it to
// fail, and to pass without one. Without -short it takes all of them.
func TestMutants(t *testing.T) {
	var chosen []mutant
	var dirs []string
	for i, m := range registry {
		if !testing.Short() || i%3 == 0 {
			chosen, dirs = append(chosen, m), append(dirs, m.dir)
		}
	}
	slices.Sort(dirs)
	binaries := build(t, slices.Compact(dirs))

	var caught atomic.Int32
	t.Run("caught", func(t *testing.T) {
		seen := map[string]bool{}
		for _, m := range chosen {
			if key := m.dir + " " + m.test; !seen[key] {
				seen[key] = true
				t.Run("none "+key, func(t *testing.T) {
					t.Parallel()
					out, err := run(t.Context(), binaries[m.dir], m, "")
					require.True(t, passed(m.test, out, err), "%v\n%s", err, out)
				})
			}
			t.Run(m.id, func(t *testing.T) {
				t.Parallel()
				out, err := run(t.Context(), binaries[m.dir], m, m.id)
				require.NoError(t, escaped(m.test, out, err), "%s does not catch that %s:\n%s", m.test, m.breaks, out)
				caught.Add(1)
			})
		}
	})
	t.Logf("published: mutants: measured %d of %d caught, reference –, target all, by name", caught.Load(), len(chosen))
}

// build compiles the tests of packages with mutants in them.
func build(t *testing.T, dirs []string) map[string]string {
	t.Helper()
	to := t.TempDir()
	args := []string{"test", "-c", "-tags", "mutants", "-vet", "off", "-ldflags", "-s -w", "-o", to + string(filepath.Separator)}
	binaries := map[string]string{}
	for _, dir := range dirs {
		args = append(args, "./"+dir)
		abs, err := filepath.Abs(filepath.Join(root, dir))
		require.NoError(t, err)
		name := filepath.Base(abs)
		if dir == "." {
			name = "resilience" // whatever the directory is called
		}
		binaries[dir] = filepath.Join(to, name+".test")
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return binaries
}

// errHung is of a test that was killed: a hang is no verdict.
var errHung = errors.New("did not end by itself")

// run runs the test of m with a mutant.
func run(ctx context.Context, binary string, m mutant, id string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.v", "-test.timeout", "0", "-test.run", "^"+m.test+"$")
	cmd.Dir = filepath.Join(root, m.dir)
	cmd.Env = append(os.Environ(), "RESILIENCE_MUTANT="+id)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = errHung
	}
	return string(out), err
}

// says reports whether a test's output has its verdict.
func says(out, verdict, test string) bool {
	return strings.Contains("\n"+out, "\n--- "+verdict+": "+test+" (")
}

func passed(test, out string, err error) bool { return err == nil && says(out, "PASS", test) }

// escaped returns why a mutant was not caught, or nil.
func escaped(test, out string, err error) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return errors.New("the mutant was not caught")
	case !errors.As(err, &exit):
		return err
	case !says(out, "FAIL", test):
		return fmt.Errorf("it ended without a verdict: %w", err)
	}
	return nil
}

func TestVerdicts(t *testing.T) {
	exit := &exec.ExitError{ProcessState: &os.ProcessState{}}
	for name, c := range map[string]struct {
		out            string
		err            error
		passes, caught bool
	}{
		"it failed":          {"=== RUN   TestA\n--- FAIL: TestA (0.00s)\nFAIL\n", exit, false, true},
		"it passed":          {"--- PASS: TestA (0.00s)\nPASS\n", nil, true, false},
		"there is no test":   {"testing: warning: no tests to run\nPASS\n", nil, false, false},
		"another one failed": {"--- FAIL: TestAll (0.00s)\nFAIL\n", exit, false, false},
		"it skipped":         {"--- SKIP: TestA (0.00s)\nPASS\n", nil, false, false},
		"it left goroutines": {"--- PASS: TestA (0.00s)\nPASS\n1 goroutines are left", exit, false, false},
		"the process died":   {"=== RUN   TestA\nfatal error: all goroutines are asleep\n", exit, false, false},
		"it hung":            {"--- FAIL: TestA (0.00s)\n", errHung, false, false},
		"it does not start":  {"", os.ErrNotExist, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.passes, passed("TestA", c.out, c.err))
			require.Equal(t, c.caught, escaped("TestA", c.out, c.err) == nil)
		})
	}
}

// TestProductionHasNoMutants links programs that have them all, and without the tag
// nothing of them.
func TestProductionHasNoMutants(t *testing.T) {
	if testing.Short() {
		t.Skip("links eight programs")
	}
	link := func(tags string) (programs []byte) {
		for _, of := range [][]string{{"build", "./examples/production"}, {"build", "./examples/consensus"}, {"build", "./bipadapter/bipverify"}, {"test", "-c", "./monitor/alert"}} {
			file := filepath.Join(t.TempDir(), "program")
			cmd := exec.CommandContext(t.Context(), "go", append([]string{of[0], "-tags", tags, "-o", file}, of[1:]...)...)
			cmd.Dir = root
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			program, err := os.ReadFile(file)
			require.NoError(t, err)
			programs = append(programs, program...)
		}
		return programs
	}
	with, without := link("mutants"), link("")
	for _, m := range registry {
		require.True(t, bytes.Contains(with, []byte(m.id)), m.id)
		require.False(t, bytes.Contains(without, []byte(m.id)), m.id)
	}
}

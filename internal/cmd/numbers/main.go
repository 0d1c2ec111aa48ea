// Numbers runs the tests that reproduce published figures and the benchmarks,
// and writes what they print to docs/numbers.md.
//
//	go run ./internal/cmd/numbers [-o docs/numbers.md] [-rounds 5] [-benchtime 100ms] [-check]
//
// With -check it runs nothing: it reads the file and fails if a test or
// benchmark that is named there no longer exists.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

func main() {
	out := flag.String("o", "docs/numbers.md", "file to write, or to check, from the module's root")
	rounds := flag.Int("rounds", 5, "rounds of benchmarks, of which the medians count")
	benchtime := flag.Duration("benchtime", 100*time.Millisecond, "time for each benchmark in a round")
	check := flag.Bool("check", false, "check that what the file names exists")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *out, *rounds, *benchtime, *check)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "numbers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string, rounds int, benchtime time.Duration, check bool) error {
	mod, err := command(ctx, "", "go", "list", "-m", "-f", "{{.Path}} {{.Dir}}")
	if err != nil {
		return err
	}
	path, root, _ := strings.Cut(strings.TrimSpace(string(mod)), " ")
	if !filepath.IsAbs(out) {
		out = filepath.Join(root, out)
	}
	if check {
		text, err := os.ReadFile(out)
		if err != nil {
			return err
		}
		return checkNames(root, path, string(text))
	}

	started := time.Now()
	published, failed, err := runPublished(ctx, root)
	if err != nil {
		return err
	}
	bench, err := runBenchmarks(ctx, root, rounds, benchtime)
	if err != nil {
		return err
	}
	long, err := readLong(filepath.Join(root, "docs", "long"))
	if err != nil {
		return err
	}
	r := report{
		Module: path, Date: started.UTC(), Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH,
		CPU: bench.CPU, Cores: runtime.NumCPU(), Commit: commit(ctx, root),
		Rounds: rounds, Benchtime: benchtime,
		Published: published, Failed: failed, Bench: bench, Long: long,
	}
	if err := os.WriteFile(out, []byte(r.markdown()), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "wrote %s after %s\n", out, time.Since(started).Round(time.Second))
	if len(failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	return nil
}

// command runs a program in dir and returns its output. What it prints to
// stderr becomes part of the error.
func command(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, err
}

// commit names the commit that is checked out, and says if the tree differs
// from it. Without git it is "unknown".
func commit(ctx context.Context, root string) string {
	id, err := command(ctx, root, "git", "rev-parse", "--short=12", "HEAD")
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(id))
	if changed, err := command(ctx, root, "git", "status", "--porcelain", "--", "*.go", "go.mod"); err != nil || len(changed) > 0 {
		name += " with changes"
	}
	return name
}

// A longRun is the log of a check too heavy for the default suite.
type longRun struct{ Name, Text string }

func readLong(dir string) ([]longRun, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	var runs []longRun
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		runs = append(runs, longRun{strings.TrimSuffix(filepath.Base(file), ".txt"), string(text)})
	}
	return runs, nil
}

// exitCode tells a command that ran and failed from one that did not run.
func exitCode(err error) (int, bool) {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() >= 0 {
		return exit.ExitCode(), true
	}
	return 0, false
}

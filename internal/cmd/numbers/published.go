package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// testsOfFigures matches the names of the tests that reproduce figures.
const testsOfFigures = "^(TestPublished|TestReal|TestFailoverBench|TestOutage|TestAvailability|TestOneModelDown|TestRecoveryTimes|TestMoney|TestSimulation|TestMutants|TestIncidents|TestFlapping|TestTotalOutage|TestBrownout|TestHerd|TestOverload|TestThousands|TestSuspended|TestFailoverDuringAVote|TestCrash|TestByzantine|TestSimulatedMonth|TestPrediction|TestForecasts)"

// A published is one line by which a test reports a figure.
type published struct {
	Package, Test                     string
	Name, Measured, Reference, Target string
	Result                            string // pass, fail or skip
}

// runPublished runs the tests of figures in every package. Failed lists the
// tests and packages that failed.
func runPublished(ctx context.Context, root string) (all []published, failed []string, err error) {
	out, err := command(ctx, root, "go", "test", "-json", "-count=1", "-timeout=60m", "-run", testsOfFigures, "./...")
	if _, ran := exitCode(err); err != nil && !ran {
		return nil, nil, err
	}
	return parseTests(bytes.NewReader(out))
}

// parseTests reads the output of go test -json.
func parseTests(r io.Reader) (all []published, failed []string, err error) {
	type key struct{ pkg, test string }
	results := make(map[key]string)
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadBytes('\n')
		if bytes.HasPrefix(line, []byte("{")) {
			var e struct{ Action, Package, Test, Output string }
			if err := json.Unmarshal(line, &e); err != nil {
				return nil, nil, fmt.Errorf("go test -json: %w in %q", err, line)
			}
			switch e.Action {
			case "output":
				if p, ok := parsePublished(e.Output); ok {
					p.Package, p.Test = e.Package, e.Test
					all = append(all, p)
				}
			case "pass", "fail", "skip":
				results[key{e.Package, e.Test}] = e.Action
				if e.Action == "fail" {
					failed = append(failed, strings.TrimSpace(e.Package+" "+e.Test))
				}
			case "build-fail":
				failed = append(failed, strings.TrimSpace(e.Package+" build"))
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, err
		}
	}
	for i := range all {
		all[i].Result = results[key{all[i].Package, all[i].Test}]
	}
	slices.SortStableFunc(all, func(a, b published) int {
		return strings.Compare(a.Package+"\x00"+a.Test, b.Package+"\x00"+b.Test)
	})
	slices.Sort(failed)
	return all, failed, nil
}

// parsePublished reads "published: NAME: measured X, reference Y, target Z"
// off the end of a line.
func parsePublished(line string) (published, bool) {
	_, line, found := strings.Cut(strings.TrimSpace(line), "published: ")
	name, line, ok1 := strings.Cut(line, ": measured ")
	measured, line, ok2 := strings.Cut(line, ", reference ")
	reference, target, ok3 := strings.Cut(line, ", target ")
	if !found || !ok1 || !ok2 || !ok3 || name == "" {
		return published{}, false
	}
	return published{Name: name, Measured: measured, Reference: reference, Target: target}, true
}

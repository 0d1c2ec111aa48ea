package resilience_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/cmmv-hive/resilience"

// floors says on which floor each top-level directory stands. A package may
// import only from the floors below its own; internal is floor 0, the root 1.
var floors = map[string]int{
	"internal": 0, "": 1,
	"health": 2, "breaker": 2, "retry": 2, "fallback": 2, "balance": 2, "budget": 2, "degrade": 2,
	"recovery": 2, "optimize": 2, "chaos": 2, "monitor": 2,
	"stack": 3, "bipadapter": 3,
	"examples": 4,
}

// homes says which directory alone may import a third party.
var homes = map[string]string{
	"github.com/sony/gobreaker/v2":        "breaker",
	"github.com/cenkalti/backoff/v4":      "retry",
	"github.com/prometheus/client_golang": "monitor",
	"github.com/prometheus/client_model":  "monitor",
	"github.com/maypok86/otter/v2":        "optimize",
	"golang.org/x/mod":                    "bipadapter",
}

// selfRegistering are the packages whose import adds routes to
// http.DefaultServeMux.
var selfRegistering = []string{"net/http/pprof", "expvar"}

// A listed is what go list says of a package.
type listed struct {
	ImportPath                         string
	Standard                           bool
	Imports, TestImports, XTestImports []string
}

// listPackages describes the packages that match patterns, and with them all
// that they need.
func listPackages(t *testing.T, patterns ...string) []listed {
	t.Helper()
	args := []string{"list", "-deps", "-json=ImportPath,Standard,Imports,TestImports,XTestImports"}
	cmd := exec.CommandContext(t.Context(), "go", append(args, patterns...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", stderr.String())
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := dec.Decode(&p)
		if err == io.EOF {
			return all
		}
		require.NoError(t, err)
		all = append(all, p)
	}
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// place returns the top-level directory of a package of the module.
func place(path string) string {
	top, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(path, module), "/"), "/")
	return top
}

func thirdParty(path string) bool {
	host, _, _ := strings.Cut(path, "/")
	return strings.Contains(host, ".") && !within(path, module)
}

func home(path string) (string, bool) {
	for third, dir := range homes {
		if within(path, third) {
			return dir, true
		}
	}
	return "", false
}

// checkImport returns what is wrong with from importing to, or "".
func checkImport(from, to string) string {
	here, there := place(from), place(to)
	switch {
	case within(to, module):
		own := here == there && (here != "examples" || within(to, from))
		if !own && floors[here] <= floors[there] {
			return fmt.Sprintf("%s (floor %d) imports %s (floor %d)", from, floors[here], to, floors[there])
		}
	case within(to, "github.com/stretchr/testify"), within(to, "pgregory.net/rapid"):
		return fmt.Sprintf("%s imports %s outside a test", from, to)
	case thirdParty(to) && here != "examples":
		if dir, _ := home(to); dir != here || here == "" {
			return fmt.Sprintf("%s imports %s, whose home is %q", from, to, dir)
		}
	}
	return ""
}

// checkTestImport returns what is wrong with a test of from importing to, or
// "". Tests may go up and across, and may compare with third parties that the
// module has anyway.
func checkTestImport(from, to string) string {
	if _, known := home(to); known || !thirdParty(to) || to == "github.com/stretchr/testify/require" || to == "pgregory.net/rapid" || place(from) == "examples" {
		return ""
	}
	return fmt.Sprintf("a test of %s imports %s", from, to)
}

// violations returns all that is wrong with an import graph, sorted.
func violations(graph []listed) []string {
	var bad []string
	report := func(text string) {
		if text != "" {
			bad = append(bad, text)
		}
	}
	imports := make(map[string][]string, len(graph))
	for _, p := range graph {
		imports[p.ImportPath] = p.Imports
	}
	for _, p := range graph {
		if !within(p.ImportPath, module) {
			continue
		}
		top := place(p.ImportPath)
		if _, ok := floors[top]; !ok {
			report(fmt.Sprintf("%s stands on no floor", p.ImportPath))
			continue
		}
		for _, imp := range p.Imports {
			report(checkImport(p.ImportPath, imp))
		}
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			report(checkTestImport(p.ImportPath, imp))
		}
		reached := closure(imports, p.ImportPath)
		if top != "examples" {
			for _, imp := range selfRegistering {
				if reached[imp] && !(top == "monitor" && imp == "expvar") { // client_golang can collect from it
					report(fmt.Sprintf("%s reaches %s", p.ImportPath, imp))
				}
			}
		}
		if top == "stack" && reached[module+"/monitor"] {
			report(fmt.Sprintf("%s reaches %s/monitor", p.ImportPath, module))
		}
	}
	slices.Sort(bad)
	return slices.Compact(bad)
}

// closure returns all that from imports, directly or not.
func closure(imports map[string][]string, from string) map[string]bool {
	seen := make(map[string]bool)
	for todo := []string{from}; len(todo) > 0; {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, imp := range imports[next] {
			if !seen[imp] {
				seen[imp] = true
				todo = append(todo, imp)
			}
		}
	}
	return seen
}

func TestFloors(t *testing.T) {
	require.Empty(t, violations(listPackages(t, "./...")))
}

// TestFloorsReportEachViolation breaks each rule once, in a graph made up for it.
func TestFloorsReportEachViolation(t *testing.T) {
	const m = module
	imports := func(from string, to ...string) listed { return listed{ImportPath: m + from, Imports: to} }
	for name, c := range map[string]struct {
		graph []listed
		want  string
	}{
		"internal imports the root":        {[]listed{imports("/internal/window", m)}, "/internal/window (floor 0) imports " + m + " (floor 1)"},
		"internal imports a third party":   {[]listed{imports("/internal/window", "golang.org/x/mod/semver")}, `imports golang.org/x/mod/semver, whose home is "bipadapter"`},
		"the root imports a feature":       {[]listed{imports("", m+"/retry")}, "(floor 1) imports " + m + "/retry (floor 2)"},
		"the root imports a third party":   {[]listed{imports("", "github.com/sony/gobreaker/v2")}, `whose home is "breaker"`},
		"a feature imports another":        {[]listed{imports("/retry", m+"/breaker")}, "/retry (floor 2) imports " + m + "/breaker"},
		"a part of a feature does":         {[]listed{imports("/monitor/http", m+"/health")}, "/monitor/http (floor 2) imports " + m + "/health"},
		"a feature imports the stack":      {[]listed{imports("/fallback", m+"/stack")}, "(floor 2) imports " + m + "/stack (floor 3)"},
		"stack imports bipadapter":         {[]listed{imports("/stack", m+"/bipadapter")}, "(floor 3) imports " + m + "/bipadapter (floor 3)"},
		"stack imports monitor":            {[]listed{imports("/stack", m+"/monitor")}, "/stack reaches " + m + "/monitor"},
		"stack reaches monitor":            {[]listed{imports("/stack", m+"/health"), imports("/health", m+"/monitor")}, "/stack reaches " + m + "/monitor"},
		"a feature imports an example":     {[]listed{imports("/chaos", m+"/examples/quickstart")}, "imports " + m + "/examples/quickstart (floor 4)"},
		"an example imports another":       {[]listed{imports("/examples/a", m+"/examples/b")}, "(floor 4) imports " + m + "/examples/b"},
		"gobreaker away from home":         {[]listed{imports("/health", "github.com/sony/gobreaker/v2")}, `whose home is "breaker"`},
		"backoff away from home":           {[]listed{imports("/breaker", "github.com/cenkalti/backoff/v4")}, `whose home is "retry"`},
		"prometheus away from home":        {[]listed{imports("/health", "github.com/prometheus/client_golang/prometheus")}, `whose home is "monitor"`},
		"x/mod away from home":             {[]listed{imports("/stack", "golang.org/x/mod/sumdb/tlog")}, `whose home is "bipadapter"`},
		"a third party without a home":     {[]listed{imports("/retry", "github.com/google/uuid")}, `whose home is ""`},
		"a namesake of a third party":      {[]listed{imports("/breaker", "github.com/sony/gobreaker/v20")}, `whose home is ""`},
		"testify outside a test":           {[]listed{imports("/retry", "github.com/stretchr/testify/require")}, "outside a test"},
		"rapid outside a test":             {[]listed{imports("/bipadapter", "pgregory.net/rapid")}, "outside a test"},
		"testify in an example":            {[]listed{imports("/examples/a", "github.com/stretchr/testify/require")}, "outside a test"},
		"assert in a test":                 {[]listed{{ImportPath: m + "/retry", TestImports: []string{"github.com/stretchr/testify/assert"}}}, "a test of " + m + "/retry imports github.com/stretchr/testify/assert"},
		"a stranger in an outside test":    {[]listed{{ImportPath: m, XTestImports: []string{"go.uber.org/goleak"}}}, "a test of " + m + " imports go.uber.org/goleak"},
		"a directory that has no floor":    {[]listed{imports("/util")}, m + "/util stands on no floor"},
		"the root imports pprof":           {[]listed{imports("", "net/http/pprof")}, "reaches net/http/pprof"},
		"a third party brings in expvar":   {[]listed{imports("/breaker", "github.com/sony/gobreaker/v2"), {ImportPath: "github.com/sony/gobreaker/v2", Imports: []string{"expvar"}}}, "/breaker reaches expvar"},
		"the root gets pprof from beneath": {[]listed{imports("", m+"/internal/hub"), imports("/internal/hub", "net/http/pprof")}, m + " reaches net/http/pprof"},
	} {
		t.Run(name, func(t *testing.T) {
			got := violations(c.graph)
			require.NotEmpty(t, got)
			require.Contains(t, strings.Join(got, "\n"), c.want)
		})
	}
}

func TestFloorsAllowTheDesign(t *testing.T) {
	const m = module
	require.Empty(t, violations([]listed{
		{ImportPath: m + "/internal/window", Imports: []string{"time", m + "/internal/ring"}},
		{ImportPath: m, Imports: []string{"net/http", m + "/internal/window"}, XTestImports: []string{m + "/breaker", "github.com/sony/gobreaker/v2", "github.com/stretchr/testify/require"}},
		{ImportPath: m + "/breaker", Imports: []string{m, "github.com/sony/gobreaker/v2"}},
		{ImportPath: m + "/monitor/http", Imports: []string{m, m + "/monitor", "github.com/prometheus/client_golang/prometheus"}},
		{ImportPath: m + "/stack", Imports: []string{m, m + "/breaker"}},
		{ImportPath: m + "/bipadapter", Imports: []string{m, "golang.org/x/mod/sumdb/note"}},
		{ImportPath: m + "/examples/gateway", Imports: []string{m + "/stack", "expvar", "example.com/anything"}},
		{ImportPath: "elsewhere.org/x", Imports: []string{m + "/stack", "github.com/stretchr/testify/assert"}},
	}))
}

// TestImportRegistersNothing imports every public package in a program of its
// own and compares http.DefaultServeMux with a fresh one.
func TestImportRegistersNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	var src strings.Builder
	src.WriteString("package main\nimport (\n\"net/http\"\n\"os\"\n\"reflect\"\n")
	for _, p := range listPackages(t, "./...") {
		if within(p.ImportPath, module) && floors[place(p.ImportPath)] > 0 && place(p.ImportPath) != "examples" && p.ImportPath != module+"/bipadapter/bipverify" &&
			p.ImportPath != module+"/monitor" { // client_golang has expvar
			fmt.Fprintf(&src, "_ %q\n", p.ImportPath)
		}
	}
	src.WriteString(")\nfunc main() {\nif !reflect.DeepEqual(http.DefaultServeMux, http.NewServeMux()) { os.Exit(3) }\n}\n")
	file := filepath.Join(t.TempDir(), "main.go")
	run := func(text string) error {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		out, err := exec.CommandContext(t.Context(), "go", "run", file).CombinedOutput()
		t.Logf("%s", out)
		return err
	}
	require.NoError(t, run(src.String()))
	require.Error(t, run(strings.Replace(src.String(), "import (", "import (\n_ \"expvar\"", 1)), "a registration must show")
}

func TestFreshMuxesAreEqual(t *testing.T) {
	mux := http.NewServeMux()
	require.True(t, reflect.DeepEqual(mux, http.NewServeMux()))
	mux.Handle("/debug/vars", http.NotFoundHandler())
	require.False(t, reflect.DeepEqual(mux, http.NewServeMux()))
}

func TestRootBuildsForWASI(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the standard library")
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", ".")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

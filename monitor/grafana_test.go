package monitor_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/degrade"
	"github.com/cmmv-hive/resilience/health"
	"github.com/cmmv-hive/resilience/monitor"
	"github.com/cmmv-hive/resilience/monitor/alert"
	"github.com/cmmv-hive/resilience/recovery"
	"github.com/cmmv-hive/resilience/stack"
)

var (
	metricName = regexp.MustCompile(`resilience_[a-z0-9_]+`)
	recorded   = regexp.MustCompile(`resilience:[a-zA-Z0-9_:]+`)
	suffix     = regexp.MustCompile(`_(bucket|count|sum)$`)
	fullName   = regexp.MustCompile(`fqName: "([^"]+)"`)
)

// exposed are the names that a pool with all features has.
func exposed(t *testing.T) map[string]bool {
	t.Helper()
	m := monitor.New(monitor.Config{TenantGroup: strings.ToUpper})
	_, err := resilience.NewPool(m, stack.New(stack.Config{}), degrade.New(degrade.Config{}), health.New(health.Config{}),
		recovery.New(recovery.Config{}), alert.New(alert.Config{}))
	require.NoError(t, err)
	descs := make(chan *prometheus.Desc, 1000)
	m.Describe(descs)
	close(descs)
	names := map[string]bool{}
	for d := range descs {
		names[fullName.FindStringSubmatch(d.String())[1]] = true
	}
	return names
}

// unknownTo lists the names in text that are neither exposed nor recorded by rules.
func unknownTo(names map[string]bool, rules, text string) (unknown []string) {
	for _, name := range metricName.FindAllString(text, -1) {
		if !names[name] && !names[suffix.ReplaceAllString(name, "")] {
			unknown = append(unknown, name)
		}
	}
	for _, name := range recorded.FindAllString(text, -1) {
		if !strings.Contains(rules, "record: "+name+"\n") {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

func TestGrafanaNamesWhatIsExposed(t *testing.T) {
	read := func(path string) string {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		return string(data)
	}
	names, rules, dashboard := exposed(t), read("grafana/rules.yml"), read("grafana/dashboard.json")
	require.True(t, json.Valid([]byte(dashboard)))
	require.Empty(t, unknownTo(names, rules, rules))
	require.Empty(t, unknownTo(names, rules, dashboard))
	require.Empty(t, unknownTo(names, rules, read("grafana/rules_test.yml")))
	require.Equal(t, []string{"resilience_call_total", "resilience:x"}, unknownTo(names, rules, "resilience_call_total + resilience:x"))

	runbook := read("../docs/runbook.md")
	links := regexp.MustCompile(`docs/runbook.md#(\w+)\n`).FindAllStringSubmatch(rules, -1)
	require.Len(t, links, strings.Count(rules, "- alert: "))
	for _, link := range links {
		require.Contains(t, runbook, "\n## "+link[1]+"\n")
	}
}

func TestPromtool(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("there is no promtool; .ci/run installs it")
	}
	for _, args := range [][]string{{"check", "rules", "rules.yml"}, {"test", "rules", "rules_test.yml"}} {
		cmd := exec.CommandContext(t.Context(), tool, args...)
		cmd.Dir = "grafana"
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

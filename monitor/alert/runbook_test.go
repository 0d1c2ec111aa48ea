package alert_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor/alert"
)

// Every rule, and every kind of error, has its section, which says what it means, what
// the library does, what to look at and what to do. There is no other.
func TestRunbook(t *testing.T) {
	text, err := os.ReadFile("../../docs/runbook.md")
	require.NoError(t, err)
	sections, severity := map[string]string{}, map[string]string{}
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		name, body, _ := strings.Cut(section, "\n")
		body, _, _ = strings.Cut(body, "\n# ")
		require.NotContains(t, sections, name, "two sections have the same anchor")
		sections[name] = body
		severity[name] = strings.ToLower(strings.Trim(strings.SplitN(strings.TrimSpace(body), ".", 2)[0], " "))
	}
	want := []string{"budget_burn", "budget_drain", "rule_broken"}
	for name, r := range alert.DefaultRules() {
		want = append(want, name)
		says := map[string]string{"": "a warning", "info": "an info", "critical": "critical"}[r.Severity]
		require.Equal(t, says, severity[name], name)
	}
	for k := resilience.Canceled; k <= resilience.Unknown; k++ {
		want = append(want, k.String())
	}
	for _, name := range want {
		body, has := sections[name]
		require.True(t, has, "%s has no section", name)
		for _, part := range []string{"- **The library** ", "- **Look at** ", "- **Do** "} {
			require.Contains(t, body, part, name)
		}
	}
	rules, err := os.ReadFile("../grafana/rules.yml")
	require.NoError(t, err)
	for name := range sections {
		require.True(t, slices.Contains(want, name) || strings.Contains(string(rules), "docs/runbook.md#"+name+"\n"), "%s is nothing that there is", name)
	}
	require.Equal(t, "unknown", (resilience.Unknown + 1).String(), "there are no kinds after the last")
}

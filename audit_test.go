package resilience_test

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

func TestEveryAuditMustAgree(t *testing.T) {
	var asked []string
	audit := func(name string, err error) resilience.Feature {
		return resilience.Audit(func(context.Context, resilience.Change) error {
			asked = append(asked, name)
			return err
		})
	}
	p := newPool(t, models("a"), audit("one", nil), audit("two", errBroken), audit("three", nil))
	events := p.Subscribe(5, resilience.EventControl)
	err := p.Audit(t.Context(), resilience.Change{Control: by, What: "test.thing"})
	require.EqualError(t, err, "the audit refuses test.thing: broken")
	require.ErrorIs(t, err, errBroken)
	require.Equal(t, []string{"one", "two"}, asked)
	require.Empty(t, events.C, "what was refused did not happen")

	p = newPool(t, models("a"))
	events = p.Subscribe(5, resilience.EventControl)
	require.Error(t, p.Audit(t.Context(), resilience.Change{What: "x"}), "actor and reason are asked for even then")
	require.NoError(t, p.Audit(t.Context(), resilience.Change{Control: by, What: "test.thing", From: "x", To: "y"}))
	e := <-events.C
	require.Equal(t, []string{"x", "y", "test.thing by operator: a test"}, []string{e.From, e.To, e.Reason})
}

func TestAuditFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.jsonl")
	for _, bad := range []string{"", dir, filepath.Join(dir, "none", "audit.jsonl")} {
		_, err := resilience.NewPool(resilience.AuditFile(bad))
		require.Error(t, err, bad)
		require.Contains(t, problems(t, err)[0], "auditFile: ")
	}
	p := newPool(t, models("a"), resilience.AuditFile(path))
	until := by
	until.Until = time.Now().Add(time.Hour)
	require.NoError(t, p.Model("a").Drain(t.Context(), until))
	require.NoError(t, os.Rename(path, path+".1"), "rotated")
	require.NoError(t, p.Reload(t.Context(), []byte(`{}`), by))
	require.NoError(t, p.Model("a").Restore(t.Context(), by))

	first, rest := lines(t, path+".1"), lines(t, path)
	require.Len(t, first, 1)
	require.Equal(t, []any{"drain", "operator", "a test", "a", "available", "maintenance"},
		[]any{first[0]["what"], first[0]["actor"], first[0]["reason"], first[0]["model"], first[0]["from"], first[0]["to"]})
	require.Contains(t, first[0], "until")
	require.Len(t, rest, 2)
	require.Equal(t, "config", rest[0]["what"])
	require.NotContains(t, rest[0], "until")
	require.NotContains(t, rest[0], "model")

	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o700))
	require.ErrorContains(t, p.Model("a").Drain(t.Context(), by), "the audit refuses drain: ")
	require.True(t, p.Model("a").Available(), "what cannot be written does not happen")
}

func lines(t *testing.T, path string) (list []map[string]any) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	for s := bufio.NewScanner(f); s.Scan(); {
		var line map[string]any
		require.NoError(t, json.Unmarshal(s.Bytes(), &line))
		list = append(list, line)
	}
	return list
}

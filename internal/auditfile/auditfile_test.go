package auditfile

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	until := at.Add(time.Hour)
	require.NoError(t, Append(path, Line{Time: at, What: "drain", Actor: "o", Reason: "a \"line\"\nbreak", Until: &until, Model: "m", From: "x", To: "y"}))
	require.NoError(t, Append(path, Line{Time: at, What: "config"}))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, //nolint:testifylint // byte by byte
		`{"time":"2026-01-02T03:04:05.000000006Z","what":"drain","actor":"o","reason":"a \"line\"\nbreak",`+
			`"until":"2026-01-02T04:04:05.000000006Z","model":"m","from":"x","to":"y"}`+"\n"+
			`{"time":"2026-01-02T03:04:05.000000006Z","what":"config","actor":"","reason":""}`+"\n", string(text))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(mode), info.Mode().Perm(), "nobody else's to read")
}

func TestAppendFromMany(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 5 {
				if err := Append(path, Line{What: fmt.Sprint(i, j), Reason: strings.Repeat("x", 10_000)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	seen := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		var l Line
		require.NoError(t, json.Unmarshal([]byte(line), &l))
		require.Len(t, l.Reason, 10_000)
		seen[l.What] = true
	}
	require.Len(t, seen, 40)
}

func TestAppendThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	for name, path := range map[string]string{
		"a directory":  dir,
		"no directory": filepath.Join(dir, "none", "audit.jsonl"),
		"no path":      "",
	} {
		require.Error(t, Check(path), name)
		require.Error(t, Append(path, Line{}), name)
	}
	path := filepath.Join(dir, "audit.jsonl")
	require.Error(t, Append(path, Line{Time: time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC)}), "no JSON for this year")
	require.NoFileExists(t, path)
	require.NoError(t, Check(path))
	require.FileExists(t, path)
	require.NoError(t, Append(path, Line{What: "x"}))
	require.NoError(t, Check(path))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Len(t, strings.Split(string(text), "\n"), 2, "Check writes nothing")
}

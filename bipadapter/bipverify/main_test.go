package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const records = "../testdata/records"

func TestRun(t *testing.T) {
	var index struct {
		Log, Witness string
		Vectors      []struct {
			Files           []string
			Finding, Reason string
		}
	}
	data, err := os.ReadFile(filepath.Join(records, "index.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &index))
	check := func(status int, want string, args ...string) {
		t.Helper()
		var out, problems bytes.Buffer
		require.Equal(t, status, run(args, &out, &problems), "%s%s", &out, &problems)
		if status == 2 {
			require.Empty(t, out.String())
			require.Contains(t, problems.String(), want)
			return
		}
		require.Empty(t, problems.String())
		require.Contains(t, out.String(), want)
		require.Equal(t, 1, bytes.Count(out.Bytes(), []byte("\n")), "one line")
	}
	for _, v := range index.Vectors {
		args := []string{"-log", index.Log, "-witness", index.Witness}
		for _, name := range v.Files {
			args = append(args, filepath.Join(records, name))
		}
		check(map[string]int{"FAILED": 1}[v.Finding], v.Finding+": "+v.Reason+"\n", args...)
	}
	file := filepath.Join(records, "majority.json")
	check(0, "SELF-ATTESTED: ", file)
	check(0, "SELF-ATTESTED: ", "-log", index.Log, file)
	check(1, "FAILED: keys: ", "-log", "x", file)
	check(1, "FAILED: round \"r1\" is there twice", file, file)
	check(1, "FAILED: record 1: ", "main.go")
	check(2, "no record; name the file")
	check(2, "no such file", "nowhere.json")
	check(2, "is a directory", ".")
	check(2, "flag provided but not defined", "-key", "x", file)

	var out, problems bytes.Buffer
	require.Zero(t, run([]string{"-h"}, &out, &problems))
	require.Contains(t, problems.String(), "usage: bipverify")
}

// TestRunFindsAnEditedByte does what a reader would: edits a file, runs it again.
func TestRunFindsAnEditedByte(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(records, "approval.json"))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "record.json")
	for at := 0; at < len(text); at += 37 {
		edited := bytes.Clone(text)
		edited[at] ^= 1
		require.NoError(t, os.WriteFile(path, edited, 0o600))
		var out bytes.Buffer
		status := run([]string{path}, &out, &out)
		if status == 0 {
			// Nobody can tell about a cosignature without the witness's key.
			require.Contains(t, string(text[:at]), `"cosignatures"`)
			continue
		}
		require.Equal(t, 1, status, "byte %d: %s", at, &out)
	}
}

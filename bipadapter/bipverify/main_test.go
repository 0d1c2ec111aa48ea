package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
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
		for i, name := range v.Files {
			args = append(args, filepath.Join(records, name))
			v.Reason = strings.Replace(v.Reason, fmt.Sprintf("record %d ", i+1), args[len(args)-1]+" ", 1)
		}
		check(map[string]int{"FAILED": 1}[v.Finding], v.Finding+": "+v.Reason+"\n", args...)
	}
	file := filepath.Join(records, "majority.json")
	check(0, "SELF-ATTESTED: ", file)
	check(0, "SELF-ATTESTED: ", "-log", index.Log, file)
	check(1, "FAILED: keys: ", "-log", "x", file)
	check(1, "FAILED: round \"r1\" is there twice", file, file)
	check(1, "FAILED: main.go: not a record: not JSON, at byte 1", "main.go")
	check(1, "keys: logs[0] is the key of a witness: give it as one", "-log", index.Witness, file)

	dir := t.TempDir()
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"empty":  {nil, "it is empty; give the file that the round's record was written to"},
		"binary": {[]byte("\x7fELF\xff\xfe\x00"), "not a record: invalid UTF-8"},
		"list":   {[]byte("[]\n"), "not a record: at byte 1: a value of another type"},
	} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, c.text, 0o600))
		check(1, "FAILED: "+path+": "+c.want, path)
	}
	file = filepath.Join(dir, "none.json")
	if os.Symlink("/proc/self/mem", file) == nil && runtime.GOOS == "linux" { // of which the first byte cannot be read
		check(2, "bipverify: ", file)
	}
	huge := filepath.Join(dir, "huge")
	require.NoError(t, os.WriteFile(huge, nil, 0o600))
	require.NoError(t, os.Truncate(huge, 1<<30))
	check(1, "FAILED: "+huge+": not a record: more than 67108864 bytes", huge)
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

package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/bipadapter"
)

// TestRun has the record hold until a byte of it is changed.
func TestRun(t *testing.T) {
	var record, told bytes.Buffer
	require.Zero(t, run(t.Context(), nil, &record, &told), told.String())
	require.Contains(t, told.String(), "gpt-5            absent     unreachable, after ")
	require.Contains(t, told.String(), "grok-4           malformed  ballot: choice: no token of this voter's paper")
	require.Contains(t, told.String(), "\napproved: the share reaches the threshold of 2/3")
	finding, reason := bipadapter.Verify(bipadapter.Keys{}, bytes.NewReader(record.Bytes()))
	require.Equal(t, bipadapter.SelfAttested, finding, reason)
	for _, change := range [][2]string{{`"approve"`, `"reject"`}, {"grok-4", "grok-5"}, {"minutes 0005", "minutes 0006"}} {
		edited := bytes.Replace(record.Bytes(), []byte(change[0]), []byte(change[1]), 1)
		require.NotEqual(t, record.Bytes(), edited)
		finding, _ = bipadapter.Verify(bipadapter.Keys{}, bytes.NewReader(edited))
		require.Equal(t, bipadapter.Failed, finding)
	}
}

func TestUsage(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.Zero(t, run(t.Context(), []string{"-h"}, &stdout, &stderr))
	require.Equal(t, usage, stdout.String())
	require.Equal(t, 2, run(t.Context(), []string{"now"}, &stdout, &stderr))
	require.Contains(t, stderr.String(), `it takes no arguments, and was given "now"`)
}

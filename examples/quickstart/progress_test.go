package main

import (
	"bytes"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProgressElsewhereThanOnATerminal(t *testing.T) {
	for name, c := range map[string]struct {
		step int64 // done every 100 ms, of 1000
		want string
	}{
		"steady":  {100, "25 % of 1000 calls\n50 % of 1000 calls\n75 % of 1000 calls\n100 % of 1000 calls\n"},
		"at once": {1000, "100 % of 1000 calls\n"},
		"never":   {0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var b bytes.Buffer
				var done atomic.Int64
				stop := progress(&b, 1000, done.Load)
				time.Sleep(time.Millisecond)
				for range 10 {
					done.Store(min(done.Load()+c.step, 1000))
					time.Sleep(100 * time.Millisecond)
				}
				stop()
				require.Equal(t, c.want, b.String())
			})
		})
	}
}

func TestBar(t *testing.T) {
	require.Equal(t, "░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░   0 % of 200 calls", bar(0, 200))
	require.Equal(t, "██████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  25 % of 200 calls", bar(50, 200))
	require.Equal(t, "████████████████████████████████████████ 100 % of 200 calls", bar(200, 200))
	require.NotPanics(t, func() { bar(0, 0) })
	width := len([]rune(bar(0, 200)))
	for n := range int64(201) {
		require.Len(t, []rune(bar(n, 200)), width)
	}
}

func TestIsTerminal(t *testing.T) {
	require.False(t, isTerminal(&bytes.Buffer{}))
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	defer f.Close()
	require.False(t, isTerminal(f))
	if tty, err := os.Open("/dev/ptmx"); err == nil {
		defer tty.Close()
		require.True(t, isTerminal(tty))
	}
}

package leaktest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	leak := func() int {
		go func() {
			defer close(stopped)
			<-stop
		}()
		return 0
	}
	var out strings.Builder
	require.Equal(t, 1, run(leak, &out, 50*time.Millisecond))
	require.Contains(t, out.String(), "1 goroutines are left")
	require.Contains(t, out.String(), "leaktest.TestRun")
	close(stop)
	<-stopped

	out.Reset()
	require.Zero(t, run(func() int { return 0 }, &out, 50*time.Millisecond))
	require.Equal(t, 3, run(func() int { return 3 }, &out, 50*time.Millisecond))
	require.Empty(t, out.String())
}

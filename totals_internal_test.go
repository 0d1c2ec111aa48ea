package resilience

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/window"
)

func TestTotalsTakeWhatTheDocSays(t *testing.T) {
	kept := unsafe.Sizeof(int64(0))*counters + unsafe.Sizeof(window.Tally{}) // of what leaves the windows
	took := unsafe.Sizeof(totals{}) + kept
	t.Logf("totals take %d bytes a model", took)
	require.InDelta(t, 1500, int(took), 100)
}

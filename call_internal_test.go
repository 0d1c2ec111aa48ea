package resilience

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// The next size that the allocator has is 288 bytes.
func TestSizeOfACall(t *testing.T) {
	require.LessOrEqual(t, int(unsafe.Sizeof(exchange[string, string]{})), 256)
}

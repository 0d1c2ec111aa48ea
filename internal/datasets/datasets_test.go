package datasets_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/datasets"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("RESILIENCE_DATA", dir)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "set"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "set", "a.csv"), []byte("1,2"), 0o600))
	text, err := io.ReadAll(datasets.Open(t, "set/a.csv"))
	require.NoError(t, err)
	require.Equal(t, "1,2", string(text))
	require.Equal(t, filepath.Join(dir, "set", "a.csv"), datasets.Path(t, "set/a.csv"))
}

func TestWhatIsNotThereSkips(t *testing.T) {
	t.Setenv("RESILIENCE_DATA", t.TempDir())
	skipped := true
	t.Run("it", func(t *testing.T) {
		defer func() { require.True(t, t.Skipped()) }()
		datasets.Path(t, "set/b.csv")
		skipped = false
	})
	require.True(t, skipped)
}

// Without the variable they are beside the module, whatever the package.
func TestBesideTheModule(t *testing.T) {
	t.Setenv("RESILIENCE_DATA", "")
	path := datasets.Path(t, ".")
	require.Equal(t, filepath.Join("shared", "data"), filepath.Join(filepath.Base(filepath.Dir(path)), filepath.Base(path)))
	_, err := os.Stat(filepath.Join(path, "..", "..", filepath.Base(moduleRoot(t)), "go.mod"))
	require.NoError(t, err)
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	return dir
}

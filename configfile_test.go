package resilience_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// watched runs a pool with a file that says one, and looks at it each second.
func watched(t *testing.T, f func(p *resilience.Pool, one *section, path string, log *logged)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "resilience.json")
		write(t, path, `{"models": [{"id": "a"}], "one": 5}`)
		var log logged
		one := &section{name: "one", given: 1}
		p := newPool(t, resilience.ConfigFile(path, time.Second), one, resilience.Logger(slog.New(slog.NewTextHandler(&log, nil))))
		require.Equal(t, int64(5), one.value.Load())
		require.Len(t, p.Models(), 1)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		time.Sleep(1500 * time.Millisecond) // looks come at full seconds
		f(p, one, path, &log)
		stop()
		require.NoError(t, <-done)
	})
}

func TestConfigFileSettlesOnTwoEqualLooks(t *testing.T) {
	watched(t, func(p *resilience.Pool, one *section, path string, log *logged) {
		before := p.Generation()
		time.Sleep(time.Minute)
		require.Equal(t, before, p.Generation(), "unchanged")
		write(t, path, `{"models": [{"id": "a"}], "one": 6}`)
		time.Sleep(time.Second)
		require.Equal(t, int64(5), one.value.Load(), "seen once")
		time.Sleep(time.Second)
		require.Equal(t, int64(6), one.value.Load(), "seen twice")
		require.Equal(t, before+1, p.Generation())
		for i := range 10 { // never the same twice
			write(t, path, `{"models": [{"id": "a"}], "one": 1`+strings.Repeat("0", i)+`}`)
			time.Sleep(time.Second)
			require.Equal(t, int64(6), one.value.Load())
		}
		require.NotContains(t, log.String(), "ERROR")
		require.Contains(t, log.String(), "configuration applied")
	})
}

func TestConfigFileThatIsNoGoodKeepsTheOld(t *testing.T) {
	for name, text := range map[string]string{
		"empty":     "",
		"half":      `{"models": [{"id": "a"}], "on`,
		"refused":   `{"models": [{"id": "a"}], "one": -1}`,
		"oversized": `{"models": [{"id": "a"}], "x-pad": "` + strings.Repeat("x", 1<<20) + `"}`,
		"removed":   "",
	} {
		t.Run(name, func(t *testing.T) {
			watched(t, func(p *resilience.Pool, one *section, path string, log *logged) {
				before := p.Generation()
				write(t, path, text)
				if name == "removed" {
					require.NoError(t, os.Remove(path))
				}
				if name == "empty" {
					time.Sleep(time.Second)
					require.NotContains(t, log.String(), "ERROR", "a look between truncating and writing")
				}
				time.Sleep(20 * time.Second)
				require.Equal(t, before, p.Generation())
				require.Equal(t, int64(5), one.value.Load())
				require.Equal(t, 1, strings.Count(log.String(), "level=ERROR"), "logged once: %s", log)
				write(t, path, `{"models": [{"id": "a"}], "one": 8}`)
				time.Sleep(2 * time.Second)
				require.Equal(t, int64(8), one.value.Load(), "and taken up again")
			})
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func TestConfigFileAtFirst(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "resilience.json")
	_, err := resilience.NewPool(resilience.ConfigFile("", 0))
	require.Equal(t, []string{"configFile: the path is empty"}, problems(t, err))
	_, err = resilience.NewPool(resilience.ConfigFile(path, 0), models())
	require.ErrorContains(t, err, "no such file")
	require.ErrorContains(t, err, "models: is empty")
	_, err = resilience.NewPool(resilience.ConfigFile(dir, 0))
	require.ErrorContains(t, err, "is a directory")
	require.NoError(t, os.WriteFile(path, []byte(`{"timeouts": {}, "models": [{"id": "a"}]}`), 0o600))
	_, err = resilience.NewPool(resilience.ConfigFile(path, 0))
	require.Equal(t, []string{"timeouts: no feature of this pool has such a section"}, problems(t, err))

	p := newPool(t, resilience.ConfigFile(path, -1), resilience.Timeouts{}, models("other"))
	require.NotNil(t, p.Model("a"), "a file's models take the place of these")
	require.Nil(t, p.Model("other"))
	_, err = resilience.NewClient(p, resilience.BindFunc("b", says("b")))
	require.Equal(t, []string{"client.bind.b: is not among the pool's models"}, problems(t, err))
}

package bipadapter_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/bipadapter"
)

// crash runs fn, which must not return by itself, and leaves it where it is after d, as
// the end of a process does: its journal is let go, and nothing it does later counts.
func crash(t *testing.T, a *adapter, d time.Duration, fn func(ctx context.Context)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn(ctx)
	}()
	time.Sleep(d)
	require.NoError(t, a.Close()) // no more is written
	cancel()
	<-done
}

// A round goes on where it was: who has been heard is not asked again.
func TestResume(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asked := map[string]int{}
		h := hive{}
		for i, id := range []string{"a", "b", "c", "d", "e"} {
			h[id] = func(ctx context.Context, p bipadapter.Paper) (string, error) {
				mu.Lock()
				asked[id]++
				mu.Unlock()
				select {
				case <-time.After(time.Duration(i+1) * 2 * time.Second):
				case <-ctx.Done():
					return "", ctx.Err()
				}
				return paperFor(p, "approve"), nil
			}
		}
		cfg := bipadapter.Config{Journal: path}
		a := h.adapter(t, cfg)
		crash(t, a, 5*time.Second, func(ctx context.Context) {
			_, err := a.Consensus(ctx, voting, prompt{text: "?"}, 0)
			require.Error(t, err)
		})
		b := h.adapter(t, cfg)
		require.Equal(t, 1, b.Status().Rounds)
		other := voting
		other.BIP = "BIP-04"
		_, err := b.Consensus(t.Context(), other, prompt{text: "?"}, 0)
		require.NoError(t, err)
		_, err = b.Consensus(t.Context(), voting, prompt{text: "another question"}, 0)
		require.NoError(t, err)
		require.Equal(t, 3, asked["a"], "other rounds")
		d, err := b.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		require.Equal(t, bipadapter.Approved, d.Outcome)
		require.Equal(t, 5, d.Ballots)
		require.Equal(t, map[string]int{"a": 3, "b": 3, "c": 4, "d": 4, "e": 4}, asked)
		require.Len(t, d.Record.Evidence[0].Attempts, 1)
		require.Len(t, d.Record.Evidence[4].Attempts, 2, "the record shows that it was asked before")
		require.Equal(t, "interrupted", d.Record.Evidence[4].Attempts[0].Kind)
		require.NoError(t, b.Close())
		c := h.adapter(t, cfg)
		require.Zero(t, c.Status().Rounds)
		require.NoError(t, c.Close())
	})
}

// A round whose deadline has passed meanwhile is not taken up again.
func TestResumeTooLate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	synctest.Test(t, func(t *testing.T) {
		h := hive{}
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			h[id] = func(ctx context.Context, p bipadapter.Paper) (string, error) {
				<-ctx.Done()
				return "", ctx.Err()
			}
		}
		cfg := bipadapter.Config{Journal: path, Deadline: time.Minute}
		a := h.adapter(t, cfg)
		crash(t, a, 5*time.Second, func(ctx context.Context) { _, _ = a.Consensus(ctx, voting, prompt{text: "?"}, 0) })
		time.Sleep(time.Hour)
		b := h.adapter(t, cfg)
		require.Zero(t, b.Status().Rounds)
		require.NoError(t, b.Close())
	})
}

// Without a place to write to nothing is decided, and calls go on.
func TestJournalThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hive{"a": says("x"), "b": says("x"), "c": says("x"), "d": says("x"), "e": says("x")}
		cfg := bipadapter.Config{Journal: filepath.Join(t.TempDir(), "journal")}
		a := h.adapter(t, cfg)
		require.NoError(t, a.Close())
		_, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.ErrorContains(t, err, "no round begins: journal:")
		res, err := a.Execute(t.Context(), bipadapter.Operation{Type: bipadapter.Analysis, BIP: "BIP-03"}, prompt{text: "?"})
		require.NoError(t, err)
		require.NotEmpty(t, res.Value)
		cfg.Journal = filepath.Join(t.TempDir(), "missing", "journal")
		_, err = bipadapter.New(h.pool(t), nil, cfg, hooks)
		require.ErrorContains(t, err, "missing")
	})
}

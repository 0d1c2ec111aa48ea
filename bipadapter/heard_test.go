package bipadapter_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/bipadapter"
)

// killed has a decision made by an adapter that is then as if it had been killed before
// anybody heard of it: its journal is as it was when the decision was in it.
func killed(t *testing.T, h hive, cfg bipadapter.Config, rounds int) (ids []string) {
	t.Helper()
	a := h.adapter(t, cfg)
	for range rounds {
		d, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		ids = append(ids, d.Record.Opening.Round)
	}
	data, err := os.ReadFile(cfg.Journal)
	require.NoError(t, err)
	require.NoError(t, a.Close())
	require.NoError(t, os.WriteFile(cfg.Journal, data, 0o600))
	return ids
}

// A decision that nobody has heard of is that of the next vote on the same, once, until
// the round's deadline; and after an orderly end everybody has.
func TestDecisionsThatNobodyHeard(t *testing.T) {
	for _, logged := range []string{"with a log", "without one"} {
		t.Run(logged, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				cfg := bipadapter.Config{Journal: filepath.Join(dir, "journal")}
				if logged == "with a log" {
					cfg.Log = openLog(t, filepath.Join(dir, "log"))
				}
				var asked atomic.Int64
				h := every(func(_ context.Context, p bipadapter.Paper) (string, error) {
					asked.Add(1)
					return paperFor(p, "approve"), nil
				})
				ids := killed(t, h, cfg, 2)
				asked.Store(0)
				b := h.adapter(t, cfg)
				require.Equal(t, 2, b.Status().Rounds)
				other := voting
				other.Proposal = []byte("another")
				d, err := b.Consensus(t.Context(), other, prompt{text: "?"}, 0)
				require.NoError(t, err)
				require.NotContains(t, ids, d.Record.Opening.Round)
				require.EqualValues(t, 5, asked.Load())
				d, err = b.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
				require.NoError(t, err)
				require.Equal(t, ids[1], d.Record.Opening.Round, "the last one")
				require.Equal(t, bipadapter.Approved, d.Outcome)
				require.Equal(t, 5, d.Ballots)
				require.Len(t, d.Votes, 5)
				require.Equal(t, bipadapter.Approve, d.Votes[0].Ballot.Choice)
				require.EqualValues(t, 5, asked.Load(), "nobody was asked again")
				require.Zero(t, b.Status().Rounds)
				d, err = b.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
				require.NoError(t, err)
				require.NotContains(t, ids, d.Record.Opening.Round, "a new one")
				require.NoError(t, b.Close())
				c := h.adapter(t, cfg)
				require.Zero(t, c.Status().Rounds, "all was heard")
				require.NoError(t, c.Close())

				killed(t, h, cfg, 1)
				e := h.adapter(t, cfg)
				require.Equal(t, 1, e.Status().Rounds)
				time.Sleep(2 * time.Minute)
				require.Zero(t, e.Status().Rounds, "its deadline has passed")
				require.NoError(t, e.Close())
				if cfg.Log != nil {
					require.NoError(t, cfg.Log.Close())
				}
			})
		})
	}
}

// A round that was interrupted and is not taken up is counted once its deadline has
// passed, when the next one begins.
func TestInterruptedRoundsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := every(func(ctx context.Context, _ bipadapter.Paper) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})
		h["a"], h["b"], h["c"] = says("approve"), says("approve"), says("approve")
		dir := t.TempDir()
		log := openLog(t, filepath.Join(dir, "log"))
		cfg := bipadapter.Config{Journal: filepath.Join(dir, "journal"), Log: log, Rule: bipadapter.Rule{Method: bipadapter.Majority}}
		a := h.adapter(t, cfg)
		crash(t, a, 5*time.Second, func(ctx context.Context) { _, _ = a.Consensus(ctx, voting, prompt{text: "?"}, 0) })
		client := h.pool(t)
		events := client.Pool().Subscribe(10, resilience.EventRound)
		b, err := bipadapter.New(client, nil, cfg, hooks)
		require.NoError(t, err)
		require.Equal(t, 1, b.Status().Rounds)
		time.Sleep(3 * time.Minute)
		h["d"], h["e"] = says("approve"), says("approve")
		other := voting
		other.BIP = "BIP-04"
		_, err = b.Consensus(t.Context(), other, prompt{text: "?"}, 0)
		require.NoError(t, err)
		records, err := log.Records(t.Context(), voting.BIP)
		require.NoError(t, err)
		require.Len(t, records, 1)
		require.Equal(t, bipadapter.Approved, records[0].Closing.Outcome)
		require.Equal(t, "approved", (<-events.C).To)
		require.NoError(t, b.Close())
		require.NoError(t, log.Close())
		events.Close()
	})
}

// A journal stays small, however many rounds there are, and loses none under way.
func TestJournalStaysSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := strings.Repeat("I approve. ", 5000) // of which a record has all
		h := every(func(context.Context, bipadapter.Paper) (string, error) { return long, nil })
		path := filepath.Join(t.TempDir(), "journal")
		a, err := bipadapter.New(h.pool(t), func(string) (bipadapter.Ballot, error) {
			return bipadapter.Ballot{Choice: bipadapter.Approve}, nil
		}, bipadapter.Config{Journal: path})
		require.NoError(t, err)
		slow := make(chan struct{})
		h["e"] = func(context.Context, bipadapter.Paper) (string, error) {
			<-slow
			return long, nil
		}
		done := make(chan bipadapter.Decision[string])
		go func() {
			d, _ := a.Consensus(t.Context(), voting, prompt{text: "slow"}, 0)
			done <- d
		}()
		synctest.Wait()
		h["e"] = h["a"]
		size, shrunk := int64(0), false
		for range 8 {
			_, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
			require.NoError(t, err)
			info, err := os.Stat(path)
			require.NoError(t, err)
			shrunk = shrunk || info.Size() < size
			size = info.Size()
			require.Less(t, size, int64(2<<20))
		}
		close(slow)
		require.True(t, shrunk)
		require.Equal(t, 5, (<-done).Ballots)
		require.NoError(t, a.Close())
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Less(t, info.Size(), int64(100))
	})
}

// A journal of another version, or of another log, is refused with what to do.
func TestForeignJournals(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	h := every(says("approve"))
	open := func(cfg bipadapter.Config) error {
		cfg.Journal = path
		_, err := bipadapter.New(h.pool(t), nil, cfg, hooks)
		return err
	}
	require.NoError(t, os.WriteFile(path, []byte("bipadapter journal 2\nwhatever"), 0o600))
	require.ErrorContains(t, open(bipadapter.Config{}), `want "bipadapter journal 1\n"`)
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o700))
	require.ErrorContains(t, open(bipadapter.Config{}), "journal")
	require.NoError(t, os.Remove(path))
	require.ErrorContains(t, open(bipadapter.Config{Journal: "x", Deadline: -1}), "deadline")
	synctest.Test(t, func(t *testing.T) {
		killed(t, h, bipadapter.Config{Journal: path}, 1)
		log := openLog(t, filepath.Join(dir, "log"))
		require.ErrorContains(t, open(bipadapter.Config{Log: log}), "open it with its own log, or move it away")
		require.NoError(t, log.Close())
	})
}

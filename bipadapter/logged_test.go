package bipadapter_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/bipadapter"
)

func openLog(t require.TestingT, dir string) *bipadapter.Log {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	l, err := bipadapter.OpenLog(dir, "example.org/votes", key)
	require.NoError(t, err)
	return l
}

// found writes records and has them verified.
func found(t require.TestingT, records ...bipadapter.Record) (bipadapter.Finding, string) {
	var files []io.Reader
	for _, r := range records {
		var file bytes.Buffer
		_, err := r.WriteTo(&file)
		require.NoError(t, err)
		files = append(files, &file)
	}
	return bipadapter.Verify(bipadapter.Keys{}, files...)
}

// Records of rounds of any kind can be verified.
func TestLoggedRounds(t *testing.T) {
	dead := fails(resilience.Unreachable)
	babbles := func(context.Context, bipadapter.Paper) (string, error) { return "approve!", nil }
	for name, c := range map[string]struct {
		hive hive
		cfg  bipadapter.Config
		op   bipadapter.Operation
		ask  bool
	}{
		"all well":       {hive{"a": says("approve"), "b": says("approve"), "c": says("approve"), "d": says("approve"), "e": says("reject")}, bipadapter.Config{}, voting, true},
		"some fail":      {hive{"a": says("approve"), "b": says("approve"), "c": dead, "d": babbles, "e": says("abstain")}, bipadapter.Config{}, voting, true},
		"all fail":       {hive{"a": dead, "b": dead, "c": dead, "d": dead, "e": dead}, bipadapter.Config{}, voting, true},
		"early":          {hive{"a": says("approve"), "b": says("approve"), "c": says("approve"), "d": says("approve"), "e": says("approve")}, bipadapter.Config{Early: true}, voting, true},
		"sealed":         {hive{"a": says("approve"), "b": says("approve"), "c": says("approve"), "d": babbles, "e": says("reject")}, bipadapter.Config{Sealed: true}, voting, true},
		"without papers": {hive{"a": says("approve"), "b": says("approve"), "c": says("approve"), "d": says("approve"), "e": says("reject")}, bipadapter.Config{}, voting, false},
		"with other options": {
			hive{"a": says("tea"), "b": says("tea"), "c": says("tea"), "d": says("coffee"), "e": says("tea")},
			bipadapter.Config{Rule: bipadapter.Rule{Method: bipadapter.Plurality}},
			bipadapter.Operation{Type: bipadapter.Consensus, BIP: "drinks", Options: []string{"tea", "coffee"}, By: "ann", Authority: "minutes 0006"}, true,
		},
	} {
		virtual(t, name, func(t bubble) {
			log := openLog(t, t.TempDir())
			defer func() { require.NoError(t, log.Close()) }()
			c.cfg.Log = log
			with := hooks
			if !c.ask {
				with.Ask = nil
			}
			client := c.hive.pool(t)
			a, err := bipadapter.New(client, nil, c.cfg, with)
			require.NoError(t, err)
			var records []bipadapter.Record
			for range 3 {
				d, _ := a.Consensus(t.Context(), c.op, prompt{text: "?"}, 0)
				require.NotEmpty(t, d.Outcome)
				records = append(records, d.Record)
				time.Sleep(time.Second)
			}
			require.NoError(t, client.Pool().Model("e").Drain(t.Context(), by))
			d, _ := a.Consensus(t.Context(), c.op, prompt{text: "?"}, 0)
			records = append(records, d.Record)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Millisecond, cancel)
			d, _ = a.Consensus(ctx, c.op, prompt{text: "?"}, 0)
			records = append(records, d.Record)
			for i, r := range records {
				require.Equal(t, uint64(i+1), r.Opening.Counter)
			}
			finding, reason := found(t, records...)
			require.Equal(t, bipadapter.SelfAttested, finding, reason)
			kept, err := log.Records(t.Context(), c.op.BIP)
			require.NoError(t, err)
			require.Len(t, kept, 5)
			finding, reason = found(t, records[0], records[2], records[3], records[4])
			require.Equal(t, bipadapter.Failed, finding)
			require.Contains(t, reason, "2", "a round is missing")
			records[0].Evidence = records[0].Evidence[1:]
			finding, _ = found(t, records...)
			require.Equal(t, bipadapter.Failed, finding, "a voter was dropped")
		})
	}
}

// Ballots of voters whose operators sign them.
func TestSignedBallots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
		other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
		public := base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
		var proposal bipadapter.Digest
		signs := func(voter string, with ed25519.PrivateKey) func(context.Context, bipadapter.Paper) (string, error) {
			return func(_ context.Context, p bipadapter.Paper) (string, error) {
				b, err := bipadapter.ReadBallot([]byte(paperFor(p, "approve")))
				require.NoError(t, err)
				b, err = bipadapter.SignBallot(with, voter, p, proposal, b)
				require.NoError(t, err)
				text, err := json.Marshal(b)
				return string(text), err
			}
		}
		h := hive{"a": signs("a", key), "b": signs("b", other), "c": says("approve"), "d": signs("a", key), "e": says("approve")}
		log := openLog(t, t.TempDir())
		defer func() { require.NoError(t, log.Close()) }()
		var voters []bipadapter.Voter
		for _, id := range []string{"a", "b", "c", "d"} {
			voters = append(voters, bipadapter.Voter{Model: id, PublicKey: public})
		}
		voters = append(voters, bipadapter.Voter{Model: "e"})
		proposal = sha256.Sum256(voting.Proposal)
		a, err := bipadapter.New(h.pool(t), nil, bipadapter.Config{Voters: voters, Log: log, Rule: bipadapter.Rule{Method: bipadapter.Plurality}}, hooks)
		require.NoError(t, err)
		d, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		for i, want := range []bipadapter.Standing{bipadapter.Counted, bipadapter.Void, bipadapter.Void, bipadapter.Void, bipadapter.Counted} {
			require.Equal(t, want, d.Votes[i].Standing, "%d: %s", i, d.Record.Evidence[i].Reason)
		}
		finding, reason := found(t, d.Record)
		require.Equal(t, bipadapter.SelfAttested, finding, reason)
	})
}

// Where the log cannot be written, no round begins.
func TestLogThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hive{"a": says("approve"), "b": says("approve"), "c": says("approve"), "d": says("approve"), "e": says("approve")}
		log := openLog(t, filepath.Join(t.TempDir(), "log"))
		a := h.adapter(t, bipadapter.Config{Log: log})
		require.NoError(t, log.Close())
		asked := 0
		h["a"] = func(context.Context, bipadapter.Paper) (string, error) { asked++; return "", nil }
		_, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.ErrorContains(t, err, "no round begins: log:")
		require.Zero(t, asked)
	})
}

// Prompts and keys stay out of errors.
func TestErrorsTellNoPrompts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const secret = "the prompt that nobody may see"
		h := hive{}
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			h[id] = func(context.Context, bipadapter.Paper) (string, error) { return secret, fmt.Errorf("bad: %s", secret) }
		}
		d, err := h.adapter(t, bipadapter.Config{}).Consensus(t.Context(), voting, prompt{text: secret}, 0)
		require.Error(t, err)
		require.NotContains(t, err.Error(), secret)
		data, err := json.Marshal(d.Record)
		require.NoError(t, err)
		require.NotContains(t, string(data), secret)
	})
}

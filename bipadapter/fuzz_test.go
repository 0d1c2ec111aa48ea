package bipadapter_test

import (
	"bytes"
	"testing"

	"github.com/cmmv-hive/resilience/bipadapter"
)

// FuzzVerifyChain reads what strangers publish: nothing of it may be believed
// that does not verify, and what is written again is the same chain.
func FuzzVerifyChain(f *testing.F) {
	_, files := made(bipadapter.VotingChain)
	_, more := made(bipadapter.BIP01Chain)
	for name, file := range more {
		if files[name] == nil {
			files[name] = file
		}
	}
	for i, format := range []bipadapter.Format{bipadapter.VotingChain, bipadapter.BIP01Chain} {
		chain, _ := made(format)
		var buf bytes.Buffer
		if err := bipadapter.WriteChains(&buf, chain); err != nil {
			f.Fatal(err)
		}
		f.Add(i == 1, buf.Bytes())
	}
	f.Add(false, []byte(`[{"index":0,"previous_hash":"genesis","vote_file":"../x","timestamp":7}]`))
	f.Fuzz(func(t *testing.T, bip bool, text []byte) {
		format := bipadapter.VotingChain
		if bip {
			format = bipadapter.BIP01Chain
		}
		verdicts, err := bipadapter.VerifyChain(format, bytes.NewReader(text), files)
		if err != nil {
			return
		}
		good := true
		for _, v := range verdicts {
			if v.OK() != (len(v.Problems) == 0) && v.Ordered && v.Replayed == "" {
				t.Fatalf("%+v", v)
			}
			good = good && v.OK()
		}
		chains, err := bipadapter.ReadChains(format, bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if !good || len(chains) == 0 {
			return
		}
		var buf bytes.Buffer
		if err := bipadapter.WriteChains(&buf, chains...); err != nil {
			t.Fatal(err)
		}
		again, err := bipadapter.VerifyChain(format, &buf, files)
		if err != nil || len(again) != len(verdicts) {
			t.Fatal(len(again), err)
		}
		for _, v := range again {
			if !v.OK() {
				t.Fatalf("%+v", v)
			}
		}
	})
}

// FuzzReadSheet reads ballot files.
func FuzzReadSheet(f *testing.F) {
	f.Add([]byte(rated))
	f.Add([]byte(`{"model_id":"a","timestamp":"2025-09-07T10:20:00Z","proposals":[{"proposal_id":"P-022","vote":"SUPPORT"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := bipadapter.ReadSheet(text)
		if err != nil {
			return
		}
		if s.Model == "" || s.Time.IsZero() || len(s.Ballots) == 0 {
			t.Fatalf("%+v", s)
		}
		for proposal := range s.Ballots {
			if again, err := bipadapter.Proposal(proposal); err != nil || again != proposal {
				t.Fatal(proposal, again, err)
			}
			casts, err := bipadapter.Casts(proposal, []bipadapter.Sheet{s})
			if err != nil || len(casts) != 1 {
				t.Fatal(casts, err)
			}
		}
	})
}

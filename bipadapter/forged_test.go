package bipadapter

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// recounted has records counted again in another language, which must say what begins
// with want.
func recounted(t *testing.T, want string, records ...*Record) {
	t.Helper()
	if testing.Short() {
		return
	}
	var files []string
	for i, r := range records {
		files = append(files, filepath.Join(t.TempDir(), fmt.Sprint(i)))
		require.NoError(t, os.WriteFile(files[i], textOf(t, r), 0o600))
	}
	out, _ := python(t, files...)
	require.True(t, strings.HasPrefix(out, want), out)
}

// unasked makes r's voters but the first n in its order ones that were not asked.
func unasked(r *Record, n int) {
	r.Closing.Order = r.Closing.Order[:n]
	for i := range r.Evidence {
		if e := &r.Evidence[i]; !slices.Contains(r.Closing.Order, e.Voter) {
			e.Attempts, e.Ballot, e.Standing, e.Reason = []Answer{}, nil, Absent, "not asked"
		}
	}
	_ = conclude(r)
}

// TestVerifyOfForgeries has an operator log what no honest one would.
func TestVerifyOfForgeries(t *testing.T) {
	for name, c := range map[string]struct {
		words   string
		opening func(*Opening)
		record  func(*Record)
		want    string
	}{
		"a model of another version": {"y y y", nil, func(r *Record) {
			r.Evidence[2].Attempts[0].Served = "model-c-1-2026-01-01"
		}, `evidence of "c": it says "counted", and by its answers and its times the voter is void`},
		"a ballot without any answer": {"y y n", nil, func(r *Record) {
			a := &r.Evidence[2].Attempts[0]
			a.Raw, a.Salt, a.Digest = nil, nil, Digest{}
			r.Evidence[2].Ballot = &Ballot{Choice: Approve}
		}, `evidence of "c": it says "counted", and by its answers and its times the voter is absent`},
		"early, and a veto is left": {"y y y y y", func(o *Opening) { o.Early, o.Rule = true, Rule{Method: Approval, Veto: Veto{Reject: 0.2}} }, func(r *Record) {
			unasked(r, 4)
		}, "closing: order: 4 of 5 voters were asked, and nothing allows that"},
		"a salt of no answer": {"y y n", nil, func(r *Record) {
			r.Evidence[2].Attempts[0].Raw = nil
		}, `evidence of "c": attempts[0]: the digest`},
		"early, and too early": {"y n y y y", func(o *Opening) { o.Early = true }, func(r *Record) {
			unasked(r, 2)
		}, "closing: order: 2 of 5 voters were asked, and nothing allows that"},
		"too dear, and nobody asked": {"y y y", func(o *Opening) { o.MaxCost = 1 }, func(r *Record) {
			unasked(r, 0)
		}, "closing: order: 0 of 3 voters were asked, and nothing allows that"},
		"by nobody":            {"y y n", func(o *Opening) { o.OpenedBy = "" }, nil, "opening: openedBy: it is empty"},
		"by no authority":      {"y y n", func(o *Opening) { o.Authority = " " }, nil, "opening: authority: it is empty"},
		"without a judge":      {"y y n", func(o *Opening) { o.Judge = "" }, nil, "opening: judge: it is empty"},
		"without a proposal":   {"y y n", func(o *Opening) { o.Proposal = Digest{} }, nil, "opening: proposal: it is empty"},
		"without a nonce":      {"y y n", func(o *Opening) { o.Nonce, o.Papers = "", nil }, func(r *Record) { noPapers(r) }, "opening: nonce: want 16 bytes in hexadecimal"},
		"an unlikely score":    {"y y n", nil, func(r *Record) { r.Evidence[2].Ballot.Score = 1e300 }, `evidence of "c": the ballot is not`},
		"a debt":               {"y y n", nil, func(r *Record) { r.Evidence[2].Attempts[0].Cost = -1; _ = conclude(r) }, "it costs less than nothing"},
		"more than everything": {"y y n", nil, func(r *Record) { r.Evidence[1].Attempts[0].Cost, r.Evidence[2].Attempts[0].Cost = 1e308, 1e308 }, "closing: "},
	} {
		t.Run(name, func(t *testing.T) {
			k, l := newKit(), newLog(t)
			r := k.changed(t, l, "BIP-07", Rule{}, c.words, c.opening, c.record)
			f, reason := verify(Keys{Logs: []string{l.key.vkey}}, textOf(t, r))
			require.Equal(t, Failed, f, reason)
			require.Contains(t, reason, c.want)
			recounted(t, "FAILED ", r)
		})
	}
}

func noPapers(r *Record) {
	for i := range r.Evidence {
		r.Evidence[i].Paper = nil
	}
	_ = conclude(r)
}

// TestVerifyOfOddRounds has records that are unusual and right.
func TestVerifyOfOddRounds(t *testing.T) {
	for name, c := range map[string]struct {
		words   string
		opening func(*Opening)
		record  func(*Record)
		says    string
	}{
		"interrupted until the deadline was over": {"y y y y y", nil, func(r *Record) {
			unasked(r, 2)
			r.Closing.Time = r.Opening.Deadline
		}, "no_decision"},
		"early, and decided": {"y y y y y", func(o *Opening) { o.Early = true }, func(r *Record) {
			unasked(r, 4)
		}, "approved"},
		"early, and out of time": {"y n y y y", func(o *Opening) { o.Early = true }, func(r *Record) {
			unasked(r, 2)
			r.Closing.Time = r.Opening.Deadline.Add(time.Second)
		}, "no_decision"},
		"an answer that is empty": {"y y y", nil, func(r *Record) {
			a := &r.Evidence[2].Attempts[0]
			a.Raw, a.Digest = nil, commit(a.Salt, nil)
			_ = conclude(r)
		}, "approved"},
		"without papers": {"m m m", func(o *Opening) { o.Papers = nil }, noPapers, "no_decision"},
	} {
		t.Run(name, func(t *testing.T) {
			k, l := newKit(), newLog(t)
			r := k.changed(t, l, "BIP-07", Rule{}, c.words, c.opening, c.record)
			f, reason := verify(Keys{Logs: []string{l.key.vkey}}, textOf(t, r))
			require.Equal(t, SelfAttested, f, reason)
			require.Contains(t, reason, c.says)
			require.NotContains(t, reason, "not shown")
			recounted(t, fmt.Sprintf("RECOUNTED %s\n", r.Closing.Outcome), r)
		})
	}
}

// TestVerifySaysWhatItBelieves: what is taken from the record as it stands there is in
// the line that people read.
func TestVerifySaysWhatItBelieves(t *testing.T) {
	k, l := newKit(), newLog(t)
	judged := textOf(t, k.changed(t, l, "BIP-07", Rule{}, "n n n", func(o *Opening) { o.Judge = "ballot/1 " }, func(r *Record) {
		for i := range r.Evidence {
			r.Evidence[i].Ballot = &Ballot{Choice: Approve}
		}
		require.NoError(t, conclude(r))
	}))
	f, reason := verify(Keys{}, judged)
	require.Equal(t, SelfAttested, f, reason)
	require.Contains(t, reason, `ballots are as the judge "ballot/1 " read them`)

	// A BIP that looks like another is shown for what it is.
	alike := textOf(t, k.round(t, l, "\u0412IP-07", Rule{}, "y y n"))
	f, reason = verify(Keys{}, alike)
	require.Equal(t, SelfAttested, f, reason)
	require.Contains(t, reason, `on "\u0412IP-07"`)

	named := struct {
		io.Reader
		namer
	}{bytes.NewReader([]byte("{}")), "votes/7.json"}
	_, reason = Verify(Keys{}, bytes.NewReader(judged), named)
	require.Contains(t, reason, "votes/7.json: ")
}

type namer string

func (n namer) Name() string { return string(n) }

// TestVerifyOfOneNonceInTwoRounds: answers of one round would be ballots of the other.
func TestVerifyOfOneNonceInTwoRounds(t *testing.T) {
	k, l := newKit(), newLog(t)
	first := k.round(t, l, "BIP-07", Rule{}, "y y n")
	again := k.changed(t, l, "BIP-08", Rule{}, "y y n", func(o *Opening) {
		o.Nonce = first.Opening.Nonce
		for name, e := range byVoter(first) {
			p := *e.Paper
			p.Round = o.Round
			o.Papers[name] = p.digest()
		}
	}, func(r *Record) {
		for i := range r.Evidence {
			e := &r.Evidence[i]
			p := *first.Evidence[i].Paper
			p.Round = r.Opening.Round
			e.Paper = &p
			a := &e.Attempts[0]
			a.Raw = first.Evidence[i].Attempts[0].Raw
			a.Digest = commit(a.Salt, a.Raw)
		}
		require.NoError(t, conclude(r))
	})
	f, reason := verify(Keys{}, textOf(t, again))
	require.Equal(t, SelfAttested, f, "alone nobody can tell: %s", reason)
	f, reason = verify(Keys{}, textOf(t, first), textOf(t, again))
	require.Equal(t, Failed, f, reason)
	require.Contains(t, reason, `rounds "r1" and "r2" have one nonce`)
	recounted(t, "FAILED  two rounds with one nonce", first, again)
}

func byVoter(r *Record) map[string]Evidence {
	out := map[string]Evidence{}
	for _, e := range r.Evidence {
		out[e.Voter] = e
	}
	return out
}

// TestVerifyOfKeysSpeltOtherwise: a log that spells its key in two ways is one log.
func TestVerifyOfKeysSpeltOtherwise(t *testing.T) {
	k, l := newKit(), newLog(t)
	first := k.round(t, l, "BIP-07", Rule{}, "y y n")
	parts := strings.SplitN(l.key.vkey, "+", 3)
	for _, other := range []string{
		parts[0] + "+" + strings.ToUpper(parts[1]) + "+" + parts[2],
		l.key.vkey + "\n", parts[0] + "+" + parts[1] + "+" + parts[2][:4] + "\n" + parts[2][4:],
	} {
		if other == l.key.vkey {
			continue
		}
		forged := *first
		proof := *first.Proof
		proof.Log, forged.Proof = other, &proof
		f, reason := verify(Keys{}, textOf(t, &forged))
		require.Equal(t, Failed, f, "%q: %s", other, reason)
		require.Contains(t, reason, "proof: log: ")
	}
	f, reason := verify(Keys{Logs: []string{" " + l.key.vkey + "\n"}}, textOf(t, first))
	require.Equal(t, SelfAttested, f, "of what people paste, space around it is no matter: %s", reason)
}

// TestVerifyOfAWitnessWithTwoKeys: a witness replaces its key too.
func TestVerifyOfAWitnessWithTwoKeys(t *testing.T) {
	k, l := newKit(), newLog(t)
	w := newWatcher(l.key.vkey, func() time.Time { return k.now })
	l.SetWitness(w)
	r := k.round(t, l, "BIP-07", Rule{}, "y y n")
	next := newWatcher(l.key.vkey, w.now)
	next.key = keyOf(10)
	head, err := readCheckpoint(r.Proof.Closed.Checkpoint, l.key)
	require.NoError(t, err)
	r.Proof.Cosignatures = append(r.Proof.Cosignatures, strings.TrimSuffix(next.cosign(k.now.Unix(), head), "\n"))
	for _, keys := range [][]string{{w.vkey(), next.vkey()}, {next.vkey(), w.vkey()}, {w.vkey()}, {next.vkey()}} {
		f, reason := verify(Keys{Logs: []string{l.key.vkey}, Witnesses: keys}, textOf(t, r))
		require.Equal(t, Verified, f, "%d keys: %s", len(keys), reason)
	}
}

func TestVerifyOfKeysThatAreNone(t *testing.T) {
	k, l := newKit(), newLog(t)
	w := newWatcher(l.key.vkey, func() time.Time { return k.now })
	text := textOf(t, k.round(t, l, "BIP-07", Rule{}, "y y n"))
	for want, keys := range map[string]Keys{
		"is the key of a witness":  {Logs: []string{w.vkey()}},
		"is the key of a log":      {Witnesses: []string{l.key.vkey}},
		"want NAME+HASH+BASE64":    {Logs: []string{base64.StdEncoding.EncodeToString(keyOf(1))}},
		"is no public key of a lo": {Logs: []string{"PRIVATE+KEY+" + l.key.vkey}},
	} {
		f, reason := verify(keys, text)
		require.Equal(t, Failed, f)
		require.Contains(t, reason, want)
		require.NotContains(t, reason, fmt.Sprintf("%.20s", base64.StdEncoding.EncodeToString(keyOf(1))), "a private key that is given by mistake is not shown")
	}
}

// TestRecountsAgreeOnAnswers gives both languages answers that are odd.
func TestRecountsAgreeOnAnswers(t *testing.T) {
	k, l := newKit(), newLog(t)
	var records []*Record
	want := "RECOUNTED"
	long := strings.Repeat(" ", 5000)
	for i, c := range []struct {
		answer string // with TOKEN for approval's
		want   Standing
	}{
		{`{"choice":"TOKEN"}`, Counted},
		{" \r\n\t{\"choice\":\"TOKEN\"}\n", Counted},
		{long + `{"choice":"TOKEN"}` + long, Counted},
		{`{"choice":"TOKEN",` + long + `"score":1}`, Illegible},
		{"\u00a0{\"choice\":\"TOKEN\"}", Illegible},
		{"\v{\"choice\":\"TOKEN\"}", Illegible},
		{"\ufeff{\"choice\":\"TOKEN\"}", Illegible},
		{`{"choice":"TOKEN","choice":"TOKEN"}`, Illegible},
		{`{"choice":"TOKEN","Choice":"TOKEN"}`, Illegible},
		{`{"choice":"\u0054OKEN"}`, Illegible},
		{`{"choice":"TOKEN","score":1e-400}`, Counted},
		{`{"choice":"TOKEN","score":1e999999999}`, Illegible},
		{`{"choice":"TOKEN","score":NaN}`, Illegible},
		{`{"choice":"TOKEN","score":-1}`, Illegible},
		{`{"choice":"TOKEN","score":-0}`, Counted},
		{`{"choice":"TOKEN","score":` + strings.Repeat("9", 500) + `}`, Illegible},
		{`{"choice":"TOKEN","confidence":true}`, Illegible},
		{`{"choice":null}`, Illegible},
		{`{"choice":"TOKEN","reason":"` + strings.Repeat("é", 500) + `"}`, Counted},
		{`{"choice":"TOKEN","reason":"` + strings.Repeat("é", 501) + `"}`, Illegible},
		{`{"choice":"TOKEN","reason":"\ud800"}`, Counted},
		{`{"choice":"TOKEN","signature":"AAAA"}`, Counted},
		{`{"choice":"TOKEN","signature":""}`, Illegible},
		{`{"choice":"TOKEN","signature":"A"}`, Illegible},
		{`{"choice":"TOKEN","nonce":"00"}`, Illegible},
		{`{"choice":""}`, Abstained},
		{`{"choice":"abstain"}`, Abstained},
		{`{"score":1}`, Abstained},
		{strings.Repeat(`{"choice":`, 400), Illegible},
		{strings.Repeat(`[`, 4000), Illegible},
		{`{"choice":"TOKEN"}{}`, Illegible},
		{"{\"choice\":\"TOKEN\"}\x00", Illegible},
		{"{\"choice\":\"\xff\"}", Illegible},
		{``, Illegible},
	} {
		r := k.changed(t, l, fmt.Sprintf("BIP-%d", i), Rule{}, "y y n", nil, func(r *Record) {
			e := &r.Evidence[2]
			for _, o := range e.Paper.Options {
				if o.Text == Approve {
					e.Attempts[0].Raw = []byte(strings.ReplaceAll(c.answer, "TOKEN", o.Token))
				}
			}
			e.Attempts[0].Digest = commit(e.Attempts[0].Salt, e.Attempts[0].Raw)
			require.NoError(t, conclude(r))
		})
		f, reason := verify(Keys{}, textOf(t, r))
		require.Equal(t, SelfAttested, f, "%.60q: %s", c.answer, reason)
		require.Equal(t, c.want, r.Evidence[2].Standing, "%.60q", c.answer)
		records = append(records, r)
		want += fmt.Sprintf(", %s", r.Closing.Outcome)
	}
	recounted(t, strings.Replace(want, ",", "", 1)+"\n", records...)
}

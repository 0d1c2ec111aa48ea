package bipadapter

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestVerify(t *testing.T) {
	k, l := newKit(), newLog(t)
	w := newWatcher(l.key.vkey, func() time.Time { return k.now })
	l.SetWitness(w)
	var texts [][]byte
	for _, c := range []struct {
		rule    Rule
		words   string
		outcome Outcome
	}{
		{Rule{Name: "m"}, "y y y n a", Approved},
		{Rule{Method: Approval}, "y y y 2 m", Approved},
		{Rule{Method: Approval, Veto: Veto{Reject: 0.2}}, "y y y y V", Refused},
		{Rule{Method: Scores, Quorum: 0.5}, "8 9.5 7 x x", NoDecision},
		{Rule{Method: Scores}, "8 9.5 7 6 8", Approved},
		{Rule{Method: Plurality}, "red red blue l", NoDecision},
		{Rule{Method: Supermajority}, "red red red blue o", NoDecision},
		{Rule{Method: Unanimous}, "y y y", Approved},
	} {
		r := k.round(t, l, "BIP-07", c.rule, c.words)
		require.Equal(t, c.outcome, r.Closing.Outcome, "%s: %s", c.words, r.Closing.Reason)
		texts = append(texts, textOf(t, r))
	}
	require.Empty(t, l.Warnings())
	keys := Keys{Logs: []string{l.key.vkey}, Witnesses: []string{w.vkey()}}

	f, reason := verify(keys, texts...)
	require.Equal(t, Verified, f, reason)
	require.Equal(t, `8 rounds; cosigned by witness.example`, reason)
	f, reason = verify(keys, texts[0])
	require.Equal(t, Verified, f, reason)
	require.Equal(t, `round "r1" on "BIP-07": approved, "approve"; cosigned by witness.example`, reason)
	slices.Reverse(texts)
	f, reason = verify(keys, texts...)
	require.Equal(t, Verified, f, reason)

	f, reason = verify(Keys{Logs: keys.Logs}, texts...)
	require.Equal(t, SelfAttested, f)
	require.Contains(t, reason, "no key of a witness was given")
	f, reason = verify(Keys{Witnesses: keys.Witnesses}, texts...)
	require.Equal(t, SelfAttested, f)
	require.Contains(t, reason, "no key of a log was given")
	f, reason = verify(Keys{}, texts...)
	require.Equal(t, SelfAttested, f, reason)

	records, err := l.Records(t.Context(), "bip 07")
	require.NoError(t, err)
	require.Len(t, records, 8)
	for i := range records {
		require.Equal(t, string(texts[7-i]), string(textOf(t, &records[i])))
	}
}

// TestVerifyFindsWhatAnOperatorLogs changes rounds before they are logged, so that
// signatures and hashes are right and only what they say is not.
func TestVerifyFindsWhatAnOperatorLogs(t *testing.T) {
	for name, c := range map[string]struct {
		words   string
		opening func(*Opening)
		record  func(*Record)
		want    string
	}{
		"another outcome":  {"y y n", nil, func(r *Record) { r.Closing.Outcome = Refused }, "closing: it says \"rejected\", and the ballots come to approved"},
		"another margin":   {"y y n", nil, func(r *Record) { r.Closing.Margin = 0.5 }, "the arithmetic is not"},
		"a step left out":  {"y y n", nil, func(r *Record) { r.Closing.Steps = r.Closing.Steps[1:] }, "the arithmetic is not"},
		"another cost":     {"y y n", nil, func(r *Record) { r.Closing.Cost = 0 }, "its answers cost 0.75"},
		"another ballot":   {"y y n", nil, func(r *Record) { r.Evidence[2].Ballot.Choice = Approve }, `evidence of "c": the ballot is not`},
		"another standing": {"y y n", nil, func(r *Record) { r.Evidence[2].Standing, r.Evidence[2].Ballot = Late, nil }, `evidence of "c": it says "late", and by its answers`},
		"another answer":   {"y y n", nil, func(r *Record) { r.Evidence[2].Attempts[0].Raw = r.Evidence[0].Attempts[0].Raw }, `evidence of "c": attempts[0]: the digest`},
		"a salt in the answer": {"y y n", nil, func(r *Record) {
			a := &r.Evidence[2].Attempts[0]
			a.Raw = append(a.Salt[31:], a.Raw...)
			a.Salt = a.Salt[:31]
		}, "a salt of 31 bytes"},
		"an answer left out":    {"y y n", nil, func(r *Record) { r.Evidence[2].Attempts = nil }, `it says "counted"`},
		"a voter left out":      {"y y n", nil, func(r *Record) { r.Evidence = r.Evidence[:2] }, `"c" has a paper in the opening`},
		"a voter and its paper": {"y y n", func(o *Opening) { delete(o.Papers, "c") }, func(r *Record) { r.Evidence = r.Evidence[:2]; r.Closing.Order = []string{"a", "b"} }, "closing: order"},
		"a voter twice":         {"y y n", nil, func(r *Record) { r.Evidence[2] = r.Evidence[1] }, "has a paper in the opening"},
		"another paper": {"y y n", nil, func(r *Record) {
			p := *r.Evidence[2].Paper
			p.Options = slices.Clone(p.Options)
			p.Options[0].Text, p.Options[1].Text = p.Options[1].Text, p.Options[0].Text
			r.Evidence[2].Paper = &p
		}, "paper: not the one that the opening commits to"},
		"no paper":               {"y y n", nil, func(r *Record) { r.Evidence[2].Paper = nil }, "paper: committed to and not shown"},
		"a paper of other words": {"y y n", func(o *Opening) { o.Options = []string{"approve", "refuse"} }, nil, "paper: its options are not those of the round"},
		"late, dated back":       {"y y l", nil, func(r *Record) { r.Evidence[2].Attempts[0].End = r.Opening.Deadline }, `evidence of "c": it says "late"`},
		"asked before the round": {"y y n", nil, func(r *Record) { r.Evidence[0].Attempts[0].Start = r.Opening.Time.Add(-time.Second) }, "attempts[0]: its times are not"},
		"answered after the end": {"y y n", nil, func(r *Record) { r.Evidence[0].Attempts[0].End = r.Closing.Time.Add(time.Second) }, "attempts[0]: its times are not"},
		"another seed":           {"y y n", nil, func(r *Record) { r.Closing.Seed = "00" }, "closing: seed: not the one"},
		"another order":          {"y y n", nil, func(r *Record) { slices.Reverse(r.Closing.Order) }, "closing: order: not the one that the seed draws"},
		"not all were asked": {"y y y", nil, func(r *Record) {
			last := r.Closing.Order[2]
			r.Closing.Order = r.Closing.Order[:2]
			for i := range r.Evidence {
				if r.Evidence[i].Voter == last {
					r.Evidence[i].Attempts = nil
				}
			}
			_ = conclude(r)
		}, "2 of 3 voters were asked, and nothing allows that"},
		"asked, and not in order": {"y y n", nil, func(r *Record) { r.Closing.Order = r.Closing.Order[:2] }, "was asked and is not in it"},
		"no voter in order":       {"y y n", nil, func(r *Record) { r.Closing.Order = append(r.Closing.Order, "d") }, `closing: order: "d" is no voter`},
		"aborted without reason":  {"y y n", nil, func(r *Record) { r.Closing.Count = Count{Outcome: Aborted} }, "aborted, and no reason"},
		"aborted, and decided":    {"y y n", nil, func(r *Record) { r.Closing.Outcome = Aborted }, "aborted, and something was counted"},
		"another model allowed":   {"y y o", nil, func(r *Record) { r.Evidence[2].Standing = Counted }, `by its answers and its times the voter is void`},
		"a deadline in the past":  {"y y n", func(o *Opening) { o.Deadline = o.Time.Add(-time.Second) }, func(r *Record) {}, "the deadline is before the opening"},
		"bytes that are no text":  {"y y n", nil, func(r *Record) { r.Evidence[2].Attempts[0].Served = "\xff"; _ = conclude(r) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			k, l := newKit(), newLog(t)
			r := k.changed(t, l, "BIP-07", Rule{}, c.words, c.opening, c.record)
			f, reason := verify(Keys{Logs: []string{l.key.vkey}}, textOf(t, r))
			if c.want == "" {
				require.Equal(t, SelfAttested, f, reason)
				return
			}
			require.Equal(t, Failed, f)
			require.Contains(t, reason, c.want)
			require.Contains(t, reason, "record 1 (round \"r1\", counter 1 on \"BIP-07\"): ")
			require.NotContains(t, reason, "\n")
		})
	}
}

func TestVerifyOfOtherJudges(t *testing.T) {
	judged := func(t *testing.T, words string, change func(*Record)) (Finding, string) {
		t.Helper()
		k, l := newKit(), newLog(t)
		r := k.changed(t, l, "BIP-07", Rule{}, words, func(o *Opening) { o.Judge = "essays/3" }, func(r *Record) {
			for i, word := range strings.Fields(words) {
				switch e := &r.Evidence[i]; word {
				case "m":
					e.Reason = "an essay without a verdict"
				case "y", "n":
					e.Ballot = &Ballot{Choice: choiceOf(word), Reason: "as it said"}
				}
			}
			require.NoError(t, conclude(r))
			if change != nil {
				change(r)
			}
		})
		return verify(Keys{Logs: []string{l.key.vkey}}, textOf(t, r))
	}
	f, reason := judged(t, "y y m", nil)
	require.Equal(t, SelfAttested, f, reason)
	f, reason = judged(t, "y y n", nil)
	require.Equal(t, SelfAttested, f, reason)
	for name, change := range map[string]func(*Record){
		"a voter who answered is absent": func(r *Record) { r.Evidence[2].Ballot, r.Evidence[2].Standing = nil, Absent },
		"a ballot without an answer":     func(r *Record) { r.Evidence[2].Attempts = []Answer{} },
		"void for nothing":               func(r *Record) { r.Evidence[2].Ballot, r.Evidence[2].Standing = nil, Void },
	} {
		f, reason = judged(t, "y y n", change)
		require.Equal(t, Failed, f, name)
		require.Contains(t, reason, `evidence of "c"`)
	}
}

func TestVerifyOfAnswersThatAreOnlyCommittedTo(t *testing.T) {
	k, l := newKit(), newLog(t)
	hide := func(r *Record) {
		for i := range r.Evidence {
			r.Evidence[i].Attempts[0].Raw, r.Evidence[i].Attempts[0].Salt = nil, nil
		}
	}
	r := k.changed(t, l, "BIP-07", Rule{}, "y y n", nil, hide)
	f, reason := verify(Keys{}, textOf(t, r))
	require.Equal(t, SelfAttested, f, reason)
	require.Contains(t, reason, "3 answers are committed to and not shown")
}

func TestVerifySignaturesOfVoters(t *testing.T) {
	for name, c := range map[string]struct {
		sign func(o *Opening, p Paper, b Ballot) Ballot
		want Standing
	}{
		"signed": {func(o *Opening, p Paper, b Ballot) Ballot {
			b, err := SignBallot(keyOf(5), "a", p, o.Proposal, b)
			require.NoError(t, err)
			return b
		}, Counted},
		"not signed": {func(_ *Opening, _ Paper, b Ballot) Ballot { return b }, Void},
		"by another key": {func(o *Opening, p Paper, b Ballot) Ballot {
			b, err := SignBallot(keyOf(6), "a", p, o.Proposal, b)
			require.NoError(t, err)
			return b
		}, Void},
		"on another proposal": {func(_ *Opening, p Paper, b Ballot) Ballot {
			b, err := SignBallot(keyOf(5), "a", p, Digest{}, b)
			require.NoError(t, err)
			return b
		}, Void},
		"changed after it": {func(o *Opening, p Paper, b Ballot) Ballot {
			b, err := SignBallot(keyOf(5), "a", p, o.Proposal, b)
			require.NoError(t, err)
			b.Confidence = 1
			return b
		}, Void},
	} {
		t.Run(name, func(t *testing.T) {
			k, l := newKit(), newLog(t)
			var opening Opening
			r := k.changed(t, l, "BIP-07", Rule{}, "y y y", func(o *Opening) {
				s, err := newSigner("x", keyOf(5))
				require.NoError(t, err)
				o.Voters[0].PublicKey = publicText(s)
				opening = *o
			}, func(r *Record) {
				e := &r.Evidence[0]
				b, err := ReadBallot(e.Attempts[0].Raw)
				require.NoError(t, err)
				e.Attempts[0].Raw, err = json.Marshal(c.sign(&opening, *e.Paper, b))
				require.NoError(t, err)
				e.Attempts[0].Digest = commit(e.Attempts[0].Salt, e.Attempts[0].Raw)
				require.NoError(t, conclude(r))
			})
			require.Equal(t, c.want, r.Evidence[0].Standing)
			f, reason := verify(Keys{}, textOf(t, r))
			require.Equal(t, SelfAttested, f, reason)
			forged := *r
			forged.Evidence = slices.Clone(r.Evidence)
			forged.Evidence[0].Standing = map[Standing]Standing{Counted: Void, Void: Counted}[c.want]
			f, reason = verify(Keys{}, textOf(t, &forged))
			require.Equal(t, Failed, f)
			require.Contains(t, reason, `evidence of "a"`)
		})
	}
}

func TestVerifyRoundsOnABIP(t *testing.T) {
	k, l := newKit(), newLog(t)
	var texts [][]byte
	for range 3 {
		texts = append(texts, textOf(t, k.round(t, l, "BIP-07", Rule{}, "y y n")))
	}
	other := textOf(t, k.round(t, l, "BIP-08", Rule{}, "y y n"))
	keys := Keys{Logs: []string{l.key.vkey}}
	for name, c := range map[string]struct {
		texts [][]byte
		want  string
	}{
		"the second alone":  {[][]byte{texts[1]}, "is number 2 on \"BIP-07\", and number 1 is missing"},
		"without the first": {[][]byte{texts[1], texts[2]}, "number 1 is missing"},
		"a gap":             {[][]byte{texts[0], texts[2]}, "number 2 is missing"},
		"one of them twice": {[][]byte{texts[0], texts[0]}, "round \"r1\" is there twice"},
		"nothing":           {nil, "there is no record"},
	} {
		f, reason := verify(keys, c.texts...)
		require.Equal(t, Failed, f, name)
		require.Contains(t, reason, c.want, name)
	}
	f, reason := verify(keys, append(texts, other)...)
	require.Equal(t, SelfAttested, f, reason)

	// Run again in a log of its own, by the same key and by another.
	for _, key := range []byte{1, 2} {
		l2, err := OpenLog(t.TempDir(), logName, keyOf(key))
		require.NoError(t, err)
		k.rounds = 10
		again := textOf(t, k.round(t, l2, "BIP-07", Rule{}, "n n n"))
		require.NoError(t, l2.Close())
		f, reason = verify(Keys{}, texts[0], again)
		require.Equal(t, Failed, f)
		require.Contains(t, reason, map[byte]string{1: "two roots at 2 entries", 2: "both number 1 on"}[key])
		if key == 2 {
			f, reason = verify(keys, again)
			require.Equal(t, Failed, f)
			require.Contains(t, reason, "is not a log that is trusted")
		}
	}
}

func TestVerifyIsStrict(t *testing.T) {
	k, l := newKit(), newLog(t)
	text := textOf(t, k.round(t, l, "BIP-07", Rule{}, "y y n"))
	var indented bytes.Buffer
	require.NoError(t, json.Indent(&indented, text, "", "  "))
	before, _, found := bytes.Cut(text, []byte(`,"proof":`))
	require.True(t, found)
	sub := func(old, with string) []byte {
		require.Contains(t, string(text), old)
		return []byte(strings.Replace(string(text), old, with, 1))
	}
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"indented":           {indented.Bytes(), "edited, or indented again"},
		"no line end":        {bytes.TrimSpace(text), "edited, or indented again"},
		"more after it":      {append(slices.Clone(text), "{}"...), "text after the JSON value"},
		"two":                {append(slices.Clone(text), text...), "text after the JSON value"},
		"a space":            {sub(`{"opening":`, `{"opening": `), "at byte 11: not as a log writes it"},
		"an unknown key":     {sub(`{"opening":`, `{"x":1,"opening":`), "not as a log writes it"},
		"a key twice":        {sub(`"early":false`, `"early":true,"early":false`), "not as a log writes it"},
		"a key in capitals":  {sub(`"early":`, `"Early":`), "not as a log writes it"},
		"an escape":          {sub(`"openedBy":"ci"`, `"openedBy":"\u0063i"`), "not as a log writes it"},
		"another number":     {sub(`"cost":0.25`, `"cost":0.250`), "not as a log writes it"},
		"a leading zero":     {sub(`"index":0`, `"index":00`), "not JSON"},
		"a wrong type":       {sub(`"counter":1`, `"counter":"1"`), "a value of another type"},
		"a digest too short": {sub(`"seed":"`, `"seed":"AAAA`), "a value that is none of its kind"},
		"empty":              {[]byte(" \n"), "it is empty"},
		"null":               {[]byte("null\n"), "not as a log writes it"},
		"binary":             {[]byte("\xff\xfe"), "invalid UTF-8"},
		"deep":               {bytes.Repeat([]byte("["), 100_000), "not JSON"},
		"no proof":           {before, "not JSON"},
	} {
		f, reason := verify(Keys{}, c.text)
		require.Equal(t, Failed, f, name)
		require.Contains(t, reason, c.want, name)
		require.NotContains(t, reason, "\n")
	}
	f, reason := verify(Keys{}, slices.Concat(before, []byte("}\n")))
	require.Equal(t, Failed, f)
	require.Contains(t, reason, "no proof")
	for _, keys := range []Keys{{Logs: []string{"x"}}, {Witnesses: []string{"x"}}, {Witnesses: []string{l.key.vkey}}} {
		f, reason = verify(keys, text)
		require.Equal(t, Failed, f)
		require.Contains(t, reason, "keys: ")
	}
}

func TestVerifyWitnesses(t *testing.T) {
	for name, c := range map[string]struct {
		late   time.Duration
		want   Finding
		reason string
	}{
		"in time":     {time.Minute, Verified, "cosigned by"},
		"late":        {2 * time.Hour, SelfAttested, "saw it only 2h0m0s after its end"},
		"before":      {-2 * time.Hour, Failed, "before the time that it says"},
		"a bit early": {-time.Minute, Verified, ""},
	} {
		t.Run(name, func(t *testing.T) {
			k, l := newKit(), newLog(t)
			w := newWatcher(l.key.vkey, func() time.Time { return k.now.Add(c.late) })
			l.SetWitness(w)
			r := k.round(t, l, "BIP-07", Rule{}, "y y n")
			keys := Keys{Logs: []string{l.key.vkey}, Witnesses: []string{w.vkey()}}
			f, reason := verify(keys, textOf(t, r))
			require.Equal(t, c.want, f, reason)
			require.Contains(t, reason, c.reason)

			// A cosignature that is not of this checkpoint, or not by this key.
			forged := *r
			proof := *r.Proof
			forged.Proof = &proof
			w.key = keyOf(8)
			proof.Cosignatures = []string{strings.TrimSuffix(w.cosign(k.now.Unix(), newCheckpoint("x", 1, [32]byte{})), "\n")}
			f, reason = verify(keys, textOf(t, &forged))
			require.Equal(t, Failed, f)
			require.Contains(t, reason, "not \"witness.example\"'s signature of the checkpoint")
			proof.Cosignatures = []string{"— x y"}
			f, _ = verify(keys, textOf(t, &forged))
			require.Equal(t, Failed, f)
			proof.Cosignatures = nil
			f, reason = verify(keys, textOf(t, &forged))
			require.Equal(t, SelfAttested, f)
			require.Contains(t, reason, "no witness that is trusted has cosigned it")
		})
	}
}

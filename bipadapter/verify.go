package bipadapter

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience/internal/mutants"
)

// Finding is what verification comes to.
type Finding string

// What records can be.
const (
	Verified     Finding = "VERIFIED"
	SelfAttested Finding = "SELF-ATTESTED" // in order, but nobody who is trusted saw it in time
	Failed       Finding = "FAILED"
)

// Keys are the public keys that a verifier trusts, as text: of logs in the format of
// golang.org/x/mod/sumdb/note, and of witnesses in the same with the algorithm of
// C2SP's cosignatures. Without the key of a log, the one that the record names is
// taken, which anybody can have made. Of a log that had several keys any one is enough,
// as far as the records show the handovers between them; see [Log.Rotate].
type Keys struct{ Logs, Witnesses []string }

// witnessed is how long before or after its end a record must be cosigned.
const witnessed = time.Hour

// Verify counts records again and checks what they prove. It needs nothing but the
// records, as [Record.WriteTo] writes them, and the keys. Reason is a line that says
// what failed and where, or what is missing, or what the records come to, and what of
// them had to be believed. It calls a record by the Name of its reader, if it has one,
// as an [os.File] does.
//
// They fail unless all of this holds: each record is to the byte what its log signed;
// the opening was logged before the rest; answers have the digests, papers the
// commitments and ballots the signatures that they need; standings, count and closing
// are what follows from them; times are in order; checkpoints of one log do not
// contradict each other; and the rounds on each BIP are all there, from the first.
//
// Records are Verified if a key of Keys.Logs signed the log and one of Keys.Witnesses
// cosigned each of them within an hour of its end.
func Verify(keys Keys, records ...io.Reader) (f Finding, reason string) {
	v, err := newVerifier(keys)
	if err != nil {
		return Failed, err.Error()
	}
	if len(records) == 0 {
		return Failed, "there is no record"
	}
	for i, from := range records {
		r, err := readRecord(from)
		if err == nil && r.Proof != nil {
			err = v.handovers.of(r.Proof)
		}
		if err != nil {
			return Failed, fmt.Sprintf("%s: %s", nameOf(i, from), err)
		}
		v.records = append(v.records, &r)
	}
	for i, r := range v.records {
		if err := v.record(r); err != nil {
			return Failed, fmt.Sprintf("%s (round %s, counter %d on %s): %s", nameOf(i, records[i]), clip(r.Opening.Round), r.Opening.Counter, ascii(r.Opening.BIP), err)
		}
	}
	if err := v.together(); err != nil {
		return Failed, err.Error()
	}
	return v.finding()
}

// nameOf is what a record is called by.
func nameOf(i int, from io.Reader) string {
	if named, ok := from.(interface{ Name() string }); ok && plain(named.Name()) {
		return named.Name()
	}
	return fmt.Sprintf("record %d", i+1)
}

// ascii is [clip] of a name that people tell apart by sight.
func ascii(s string) string {
	text, err := strconv.Unquote(strings.TrimSuffix(clip(s), "…"))
	if err != nil {
		return clip(s)
	}
	return strconv.QuoteToASCII(text) + strings.Repeat("…", min(1, len(s)-len(text)))
}

// A verifier goes through records.
type verifier struct {
	keys      trusted
	records   []*Record
	handovers handovers
	trees     map[string]*tree // by the first key of a log
	missing   []string         // what keeps records from being verified
	witnesses []string
	hidden    int      // answers that are only committed to
	judges    []string // whose word is taken
}

// record verifies one record by itself.
func (v *verifier) record(r *Record) error {
	if r.Proof == nil {
		return errors.New("no proof: it is in no log")
	}
	for _, check := range []func(*Record) error{checkOpening, checkTimes, checkEvidence, checkOrder, v.recount, v.proof} {
		if err := check(r); err != nil {
			return err
		}
	}
	if judge := r.Opening.Judge; judge != ballotJudge {
		v.judges = append(v.judges, ascii(judge))
	}
	return nil
}

// checkOpening returns what an opening does not say.
func checkOpening(r *Record) error {
	o := &r.Opening
	for _, f := range []struct{ name, text string }{{"openedBy", o.OpenedBy}, {"authority", o.Authority}, {"judge", o.Judge}} {
		if strings.TrimSpace(f.text) == "" {
			return fmt.Errorf("opening: %s: it is empty", f.name)
		}
	}
	nonce, err := hex.DecodeString(o.Nonce)
	switch {
	case !plain(o.Round) || !plain(o.BIP) || spelling(o.BIP) == "":
		return fmt.Errorf("opening: round and bip: want printable text of 1 to %d bytes", maxName)
	case err != nil || len(nonce) != nonceSize:
		return fmt.Errorf("opening: nonce: want %d bytes in hexadecimal", nonceSize)
	case o.Proposal == Digest{}:
		return errors.New("opening: proposal: it is empty")
	}
	return nil
}

// checkTimes returns which times are not in order.
func checkTimes(r *Record) error {
	o := &r.Opening
	switch {
	case o.Time.IsZero() || o.Deadline.Before(o.Time):
		return errors.New("opening: the deadline is before the opening")
	case r.Closing.Time.Before(o.Time):
		return errors.New("closing: before the opening")
	case o.Emergency != nil && o.Emergency.Until.Before(o.Time):
		return errors.New("opening: the emergency was over")
	}
	for i := range r.Evidence {
		last := o.Time
		for j, a := range r.Evidence[i].Attempts {
			if a.Start.Before(last) || a.End.Before(a.Start) || r.Closing.Time.Before(a.End) {
				return fmt.Errorf("evidence of %s: attempts[%d]: its times are not between those before and after it", clip(r.Evidence[i].Voter), j)
			}
			last = a.Start
		}
	}
	return nil
}

// checkEvidence returns what is wrong with papers.
func checkEvidence(r *Record) error {
	eligible := map[string]bool{}
	for i := range r.Evidence {
		e := &r.Evidence[i]
		eligible[e.Voter] = true
		if err := r.Opening.checkPaper(e); err != nil {
			return fmt.Errorf("evidence of %s: %w", clip(e.Voter), err)
		}
	}
	for name := range r.Opening.Papers {
		if !eligible[name] {
			return fmt.Errorf("evidence: %s has a paper in the opening, and no part in the round", clip(name))
		}
	}
	return nil
}

// checkOrder returns what is wrong with the order in which voters were asked.
func checkOrder(r *Record) error {
	o, c := &r.Opening, &r.Closing
	var names []string
	for i := range r.Evidence {
		e := &r.Evidence[i]
		names = append(names, e.Voter)
		if len(e.Attempts) > 0 && !slices.Contains(c.Order, e.Voter) {
			return fmt.Errorf("closing: order: %s was asked and is not in it", clip(e.Voter))
		}
	}
	for i, name := range c.Order {
		if !slices.Contains(names, name) || slices.Contains(c.Order[:i], name) {
			return fmt.Errorf("closing: order: %s is no voter, or twice in it", clip(name))
		}
	}
	if len(c.Order) != len(names) && !mayLeaveOut(r) {
		return fmt.Errorf("closing: order: %d of %d voters were asked, and nothing allows that", len(c.Order), len(names))
	}
	if lost := c.Outcome == Aborted && c.Seed == "" && len(c.Order) == 0; lost || o.Seed == (Digest{}) {
		return nil
	}
	seed, err := seedOf(c.Seed)
	if err != nil || commit(nil, seed) != o.Seed {
		return errors.New("closing: seed: not the one that the opening commits to")
	}
	if order := drawn(seed, names); !slices.Equal(order[:len(c.Order)], c.Order) {
		return errors.New("closing: order: not the one that the seed draws")
	}
	return nil
}

// mayLeaveOut reports whether a round may have ended before all voters were asked:
// aborted, out of time, or early and decided whatever the others say.
func mayLeaveOut(r *Record) bool {
	o, c := &r.Opening, &r.Closing
	if c.Outcome == Aborted || !c.Time.Before(o.Deadline) || !o.Early {
		return c.Outcome == Aborted || !c.Time.Before(o.Deadline)
	}
	poll := Poll{Topic: o.Topic, Options: o.Options, Voters: o.Voters, Emergency: o.Emergency != nil}
	for _, cast := range c.Casts { // which are compared with the answers later
		if slices.Contains(c.Order, cast.Voter) {
			poll.Casts = append(poll.Casts, cast)
		}
	}
	settled, err := o.Rule.Settled(poll)
	return settled && err == nil
}

// recount compares a record with what follows from its opening and its answers.
func (v *verifier) recount(r *Record) error {
	again := *r
	again.Evidence = slices.Clone(r.Evidence)
	if err := conclude(&again); err != nil {
		return err
	}
	for i := range r.Evidence {
		was, is := &r.Evidence[i], &again.Evidence[i]
		for _, a := range was.Attempts {
			if a.Kind == "" && !a.shown() && a.Digest != (Digest{}) {
				v.hidden++
			}
		}
		switch {
		case was.Standing != is.Standing:
			return fmt.Errorf("evidence of %s: it says %s, and by its answers and its times the voter is %s", clip(was.Voter), clip(string(was.Standing)), is.Standing)
		case same(was, is):
		case was.Reason != is.Reason:
			return fmt.Errorf("evidence of %s: the reason is not the one that follows from its answers", clip(was.Voter))
		default:
			return fmt.Errorf("evidence of %s: the ballot is not the one that the voter gave", clip(was.Voter))
		}
	}
	if mutants.On("record-closing-is-believed") {
		return nil
	}
	was, is := &r.Closing, &again.Closing
	switch {
	case was.Outcome == Aborted && was.Reason == "":
		return errors.New("closing: aborted, and no reason")
	case same(was, is):
		return nil
	case was.Outcome == Aborted && is.Cost == was.Cost:
		return errors.New("closing: aborted, and something was counted")
	case was.Outcome != is.Outcome || was.Winner != is.Winner:
		return fmt.Errorf("closing: it says %s, and the ballots come to %s", clip(string(was.Outcome)), is.Outcome)
	case was.Cost != is.Cost:
		return fmt.Errorf("closing: it says that the round cost %v, and its answers cost %v", was.Cost, is.Cost)
	}
	return errors.New("closing: the outcome is right, and the arithmetic is not what follows from the ballots")
}

// together checks what records say about each other.
func (v *verifier) together() error {
	for _, t := range v.trees {
		if err := t.check(); err != nil {
			return err
		}
	}
	slices.SortStableFunc(v.records, func(a, b *Record) int {
		return cmp.Or(cmp.Compare(spelling(a.Opening.BIP), spelling(b.Opening.BIP)), cmp.Compare(a.Opening.Counter, b.Opening.Counter))
	})
	rounds, nonces := map[string]bool{}, map[string]string{}
	for i, r := range v.records {
		o := &r.Opening
		if rounds[o.Round] {
			return fmt.Errorf("round %s is there twice", clip(o.Round))
		}
		rounds[o.Round] = true
		if other, twice := nonces[strings.ToLower(o.Nonce)]; twice {
			return fmt.Errorf("rounds %s and %s have one nonce, and answers in one pass for the other's: it was not drawn", clip(other), clip(o.Round))
		}
		nonces[strings.ToLower(o.Nonce)] = o.Round
		want, before := uint64(1), (*Record)(nil)
		if i > 0 && spelling(v.records[i-1].Opening.BIP) == spelling(o.BIP) {
			before = v.records[i-1]
			want = before.Opening.Counter + 1
		}
		if err := v.follows(r, before, want); err != nil {
			return err
		}
	}
	return nil
}

// follows returns why r is not the next round on its BIP.
func (v *verifier) follows(r, before *Record, want uint64) error {
	o := &r.Opening
	switch {
	case mutants.On("record-gaps-pass"):
		return nil
	case o.Counter < want && before == nil:
		return fmt.Errorf("round %s: rounds on %s are counted from 1, and it says 0", clip(o.Round), ascii(o.BIP))
	case o.Counter < want:
		return fmt.Errorf("rounds %s and %s are both number %d on %s: it was run again", clip(before.Opening.Round), clip(o.Round), o.Counter, ascii(o.BIP))
	case o.Counter > want:
		return fmt.Errorf("round %s is number %d on %s, and number %d is missing: give all its records", clip(o.Round), o.Counter, ascii(o.BIP), want)
	case before == nil:
	case v.handovers.line(before.Proof.Log)[0] != v.handovers.line(r.Proof.Log)[0]:
		return fmt.Errorf("rounds %d and %d on %s are in two logs, and no record shows that one key was handed over to the other", want-1, want, ascii(o.BIP))
	case before.Proof.Opened.Index >= r.Proof.Opened.Index:
		return fmt.Errorf("rounds %d and %d on %s are in the log in another order", want-1, want, ascii(o.BIP))
	}
	return nil
}

// finding says what records come to that are in order.
func (v *verifier) finding() (Finding, string) {
	text := v.summary()
	if v.hidden > 0 {
		text += fmt.Sprintf("; %d answers are committed to and not shown, and their ballots taken as recorded", v.hidden)
	}
	if slices.Sort(v.judges); len(v.judges) > 0 {
		text += "; ballots are as the judge " + strings.Join(slices.Compact(v.judges), ", ") + " read them"
	}
	if len(v.missing) > 0 {
		return SelfAttested, text + "; " + v.missing[0]
	}
	slices.Sort(v.witnesses)
	return Verified, text + "; cosigned by " + strings.Join(slices.Compact(v.witnesses), ", ")
}

func (v *verifier) summary() string {
	if len(v.records) == 1 {
		r := v.records[0]
		text := fmt.Sprintf("round %s on %s: %s", clip(r.Opening.Round), ascii(r.Opening.BIP), r.Closing.Outcome)
		if r.Closing.Winner != "" {
			text += ", " + clip(r.Closing.Winner)
		}
		return text
	}
	return fmt.Sprintf("%d rounds", len(v.records))
}

package bipadapter

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ballotJudge is the [Opening].Judge that reads answers as [ReadBallot] does, and
// looks options up on the voter's paper. What it makes of an answer can be repeated.
const ballotJudge = "ballot/1"

// conclude sets what follows from r's opening and answers: each voter's standing and
// its ballot, and of the closing the count and the cost. Where another judge has
// read the answers, or where they are only committed to, ballots are taken as they
// are recorded. A round is verified by concluding it again.
func conclude(r *Record) error {
	var names []string
	voters, err := Collapse(r.Opening.Voters)
	if err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	for _, v := range voters {
		if r.Opening.Rule.votes(v.Role) {
			names = append(names, v.Name)
		}
	}
	slices.Sort(names)
	if len(names) != len(r.Evidence) {
		return fmt.Errorf("evidence: of %d voters, and %d are eligible", len(r.Evidence), len(names))
	}
	poll := Poll{Topic: r.Opening.Topic, Options: r.Opening.Options, Voters: r.Opening.Voters, Emergency: r.Opening.Emergency != nil}
	r.Closing.Cost = 0
	for i := range r.Evidence {
		e := &r.Evidence[i]
		if e.Voter != names[i] {
			return fmt.Errorf("evidence[%d]: of %s, and it is %s whose turn it is by name", i, clip(e.Voter), clip(names[i]))
		}
		v, _ := Find(voters, e.Voter)
		e.legible()
		c, err := r.Opening.settle(v, e)
		if err != nil {
			return fmt.Errorf("evidence of %s: %w", clip(e.Voter), err)
		}
		poll.Casts = append(poll.Casts, c)
		for _, a := range e.Attempts {
			r.Closing.Cost += a.Cost
		}
	}
	if r.Closing.Outcome == Aborted {
		r.Closing.Count = Count{Outcome: Aborted, Reason: r.Closing.Reason}
		return nil
	}
	r.Closing.Count, err = r.Opening.Rule.Count(poll)
	if err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	for i := range r.Evidence {
		e, c := &r.Evidence[i], r.Closing.Casts[i]
		if e.Standing = c.Standing; c.Standing != Absent {
			e.Reason = c.Reason
		}
	}
	return nil
}

// legible makes UTF-8 of what providers have sent as such.
func (e *Evidence) legible() {
	for i := range e.Attempts {
		a := &e.Attempts[i]
		for _, s := range []*string{&a.Kind, &a.RequestID, &a.Served} {
			*s = strings.ToValidUTF8(*s, "\uFFFD")
		}
	}
	e.Reason = strings.ToValidUTF8(e.Reason, "\uFFFD")
}

// settle returns what v has cast, by its answers, and sets it in e.
func (o *Opening) settle(v Voter, e *Evidence) (Cast, error) {
	c := Cast{Voter: v.Name, Standing: Absent}
	abstains := (&table{rule: Rule{Method: cmp.Or(o.Rule.Method, Majority)}}).abstains
	for i := range e.Attempts {
		next, err := o.cast(v, e, &e.Attempts[i])
		if err != nil {
			return Cast{}, fmt.Errorf("attempts[%d]: %w", i, err)
		}
		if next.Standing, err = standing(next, abstains); err != nil {
			return Cast{}, err
		}
		c = settle(c, next)
	}
	e.Ballot = nil
	if c.Standing == Counted || c.Standing == Abstained {
		e.Ballot = &c.Ballot
	}
	if c.Standing == Absent {
		c.Reason = e.Reason
	}
	e.Standing, e.Reason = c.Standing, c.Reason
	return c, nil
}

// cast returns what one answer amounts to.
func (o *Opening) cast(v Voter, e *Evidence, a *Answer) (Cast, error) {
	c := Cast{Voter: v.Name}
	if err := a.check(); err != nil {
		return c, err
	}
	switch {
	case a.Kind != "" || a.Digest == Digest{}: // nothing came that it could be held to
		c.Standing = Absent
		return c, nil
	case a.End.After(o.Deadline):
		c.Standing, c.Reason = Late, "answered after the deadline"
		return c, nil
	case !servedBy(v, a.Served):
		c.Standing, c.Reason = Void, "another model answered: "+clip(a.Served)
		return c, nil
	}
	var err error
	switch {
	case o.Judge == ballotJudge && a.shown():
		c.Ballot, err = o.read(e.Paper, a.Raw)
	case e.Ballot != nil:
		c.Ballot = *e.Ballot
	case e.Standing == Void && len(e.Attempts) > 1:
		c.Standing, c.Reason = Void, e.Reason
		return c, nil
	default:
		err = errors.New(cmp.Or(e.Reason, "no ballot"))
	}
	switch {
	case err != nil:
		c.Ballot, c.Standing, c.Reason = Ballot{}, Illegible, err.Error()
	case v.PublicKey != "" && !c.Ballot.signedBy(v, o):
		c.Ballot, c.Standing, c.Reason = Ballot{}, Void, "no signature of the voter's operator"
	}
	return c, nil
}

// read reads an answer as the judge of ballots does.
func (o *Opening) read(p *Paper, raw []byte) (Ballot, error) {
	b, err := ReadBallot(bytes.Trim(raw, " \t\r\n"))
	if err != nil || p == nil {
		return b, err
	}
	return p.Resolve(b)
}

// shown reports whether what came is there, which may be nothing but a salt.
func (a *Answer) shown() bool { return a.Raw != nil || a.Salt != nil }

// check returns what is wrong with an answer by itself.
func (a *Answer) check() error {
	switch {
	case a.End.Before(a.Start):
		return errors.New("it ends before it starts")
	case a.Digest == Digest{}:
		if a.shown() {
			return errors.New("an answer, and no digest of it")
		}
	case a.Salt != nil && len(a.Salt) != saltSize:
		return fmt.Errorf("a salt of %d bytes, not %d", len(a.Salt), saltSize)
	case a.shown() && commit(a.Salt, a.Raw) != a.Digest:
		return errors.New("the digest is not that of the salt and the answer")
	}
	if !(a.Cost >= 0) {
		return errors.New("it costs less than nothing")
	}
	return nil
}

// checkPaper returns what is wrong with the paper that e shows.
func (o *Opening) checkPaper(e *Evidence) error {
	committed, ok := o.Papers[e.Voter]
	p := e.Paper
	switch {
	case p == nil && ok && len(e.Attempts) > 0 && o.Judge == ballotJudge:
		return errors.New("paper: committed to and not shown")
	case p == nil:
		return nil
	case !ok || p.digest() != committed:
		return errors.New("paper: not the one that the opening commits to")
	case p.Round != o.Round || hex.EncodeToString(p.Nonce[:]) != o.Nonce:
		return errors.New("paper: of another round")
	case len(p.Options) == 0:
		return nil
	}
	want, err := optionsOf(o.Options)
	if err != nil {
		return err
	}
	if len(want) == 0 {
		want = []string{Approve, Reject}
	}
	var texts []string
	tokens := map[string]bool{}
	for _, option := range p.Options {
		texts = append(texts, option.Text)
		tokens[option.Token] = true
	}
	slices.Sort(want)
	slices.Sort(texts)
	if !slices.Equal(want, texts) || len(tokens) != len(texts) {
		return errors.New("paper: its options are not those of the round")
	}
	return nil
}

// same reports whether two values are the same, as they are written.
func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

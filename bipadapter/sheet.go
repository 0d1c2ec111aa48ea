package bipadapter

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Sheet is a ballot file as the hive publishes it: one model's ballots on the
// proposals of a session.
type Sheet struct {
	Session string // "0003"; empty in files that do not say
	Model   string // as the file spells it; see [Find]
	Time    time.Time

	// Ballots are by proposal, as [Proposal] spells it. Proposals that the
	// session does not have are among them, and others may be missing.
	Ballots map[string]Ballot
}

const (
	maxSheet   = 1 << 20
	maxComment = 10_000 // characters
)

// ReadSheet reads a ballot file in the formats of sessions 0001, 0003 and 0004
// ("weights" from 1 to 10) and 0002 ("SUPPORT" or "REJECT"). It is as lenient as
// published files need: line ends of any kind, proposals spelled 056, P056 or
// P-056, any time that is one, text in any language, vetoes with high ratings
// (which the rule judges), files that do not rate all proposals or rate unknown
// ones. In all else it is strict: unknown or repeated keys, a proposal that is
// rated twice, ratings that are no whole number from 1 to 10, and forms that
// were not filled in are errors.
func ReadSheet(data []byte) (Sheet, error) {
	members, err := object(data, maxSheet)
	if err != nil {
		return Sheet{}, fmt.Errorf("ballot file: %w", err)
	}
	s := Sheet{Ballots: map[string]Ballot{}}
	for _, m := range members {
		if err := s.set(m); err != nil {
			return Sheet{}, fmt.Errorf("ballot file: %w", err)
		}
	}
	switch {
	case s.Model == "":
		return Sheet{}, errors.New("ballot file: no model")
	case s.Time.IsZero():
		return Sheet{}, errors.New("ballot file: no timestamp")
	case len(s.Ballots) == 0:
		return Sheet{}, errors.New("ballot file: it rates nothing")
	}
	return s, nil
}

func (s *Sheet) set(m member) (err error) {
	switch m.key {
	case "minute_id":
		s.Session, err = text(m, maxName)
	case "model", "model_id":
		if s.Model != "" {
			return errors.New("both model and model_id")
		}
		if s.Model, err = text(m, maxName); err == nil && (!plain(s.Model) || strings.ContainsAny(s.Model, "<>")) {
			err = fmt.Errorf("%s: %s is no model", m.key, clip(s.Model))
		}
	case "timestamp":
		var stamp string
		if stamp, err = text(m, maxName); err == nil {
			if s.Time, err = time.Parse(time.RFC3339, stamp); err != nil {
				err = errors.New("timestamp: want a time such as 2025-09-07T15:05:00Z")
			}
		}
	case "vote_type":
		var kind string
		if kind, err = text(m, maxName); err == nil && kind != "snapshot_proposal_voting" {
			err = fmt.Errorf("vote_type: %s is unknown", clip(kind))
		}
	case "weights", "proposals":
		err = s.rate(m)
	default:
		err = fmt.Errorf("unknown key %s", clip(m.key))
	}
	return err
}

func (s *Sheet) rate(m member) error {
	elements, err := list(m.value, maxSheet)
	if err != nil {
		return fmt.Errorf("%s: %w", m.key, err)
	}
	for i, e := range elements {
		members, err := object(e, maxSheet)
		if err != nil {
			return fmt.Errorf("%s[%d]: %w", m.key, i, err)
		}
		proposal, b, err := rating(m.key, members)
		if err != nil {
			return fmt.Errorf("%s[%d]: %w", m.key, i, err)
		}
		if _, twice := s.Ballots[proposal]; twice {
			return fmt.Errorf("%s[%d]: proposal %s is rated twice", m.key, i, clip(proposal))
		}
		s.Ballots[proposal] = b
	}
	return nil
}

// rating reads what a file says about one proposal.
func rating(format string, members []member) (proposal string, b Ballot, err error) {
	rated := false
	for _, m := range members {
		switch key := format + " " + m.key; key {
		case "weights proposal_id", "proposals proposal_id":
			if proposal, err = text(m, maxName); err == nil {
				if proposal, err = Proposal(proposal); err != nil {
					err = fmt.Errorf("proposal_id: %w", err)
				}
			}
		case "weights weight":
			rated = true
			if b.Score, err = number(m, 1, 10); err == nil && b.Score != float64(int(b.Score)) {
				err = errors.New("weight: want a whole number from 1 to 10")
			}
		case "weights comment":
			b.Reason, err = text(m, maxComment)
		case "weights veto":
			b.Veto, err = text(m, maxComment)
		case "proposals vote":
			rated = true
			var vote string
			if vote, err = text(m, maxName); err == nil {
				choice, known := map[string]string{"SUPPORT": Approve, "REJECT": Reject}[vote]
				if !known {
					err = fmt.Errorf("vote: want SUPPORT or REJECT, not %s", clip(vote))
				}
				b.Choice = choice
			}
		default:
			err = fmt.Errorf("unknown key %s", clip(m.key))
		}
		if err != nil {
			return "", Ballot{}, err
		}
	}
	if proposal == "" || !rated {
		return "", Ballot{}, errors.New("no proposal_id, or nothing said about it")
	}
	return proposal, b, nil
}

// Proposal returns the name of a proposal in one spelling, three digits or more:
// 056 for P056, P-056, p-56 and 056.
func Proposal(name string) (string, error) {
	digits := strings.TrimPrefix(strings.TrimPrefix(strings.ToUpper(name), "P"), "-")
	digits = strings.TrimLeft(digits, "0")
	if digits == "" || len(digits) > 6 || strings.Trim(digits, "0123456789") != "" {
		return "", fmt.Errorf("%s is no proposal such as P-056", clip(name))
	}
	return strings.Repeat("0", max(0, 3-len(digits))) + digits, nil
}

// Casts returns what sheets say about a proposal, as casts of their models. A
// model whose sheet does not say abstains.
func Casts(proposal string, sheets []Sheet) ([]Cast, error) {
	proposal, err := Proposal(proposal)
	if err != nil {
		return nil, err
	}
	var casts []Cast
	for _, s := range sheets {
		b, ok := s.Ballots[proposal]
		if !ok {
			b.Choice = Abstain
		}
		casts = append(casts, Cast{Voter: s.Model, Ballot: b})
	}
	return casts, nil
}

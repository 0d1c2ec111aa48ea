package bipadapter

import (
	"encoding/base64"
	"errors"
	"fmt"
	"unicode/utf8"
)

// A Ballot is what a voter's answer amounts to.
type Ballot struct {
	// Choice is an option, or its token on the voter's [Paper]. "abstain"
	// abstains in every poll, and so does nothing at all where options are
	// chosen.
	Choice string `json:"choice,omitempty"`

	Score      float64 `json:"score"`              // for [Scores], from 0 to 10
	Confidence float64 `json:"confidence"`         // from 0 to 1; nothing counts it
	Reason     string  `json:"reason,omitempty"`   // at most 500 characters
	Veto       string  `json:"veto,omitempty"`     // what is objected; at most 500 characters
	Nonce      string  `json:"nonce,omitempty"`    // of the paper
	Signature  []byte  `json:"signature,omitzero"` // at most 256 bytes
}

// What a voter can say about a proposal.
const (
	Approve = "approve"
	Reject  = "reject"
	Abstain = "abstain"
)

const (
	maxBallot    = 4 << 10
	maxReason    = 500
	maxSignature = 256
)

// ReadBallot reads a ballot in JSON strictly: one object of at most 4 KiB in
// valid UTF-8, no text around it, no unknown or repeated key, letter case
// included, no null, numbers that are finite and in range. It says something:
// a choice or a score. The error says what is wrong and where, and quotes
// nothing of answer but the names of keys that ballots have.
func ReadBallot(answer []byte) (Ballot, error) {
	members, err := object(answer, maxBallot)
	if err != nil {
		return Ballot{}, fmt.Errorf("ballot: %w", err)
	}
	var b Ballot
	says := false
	for _, m := range members {
		says = says || m.key == "choice" || m.key == "score"
		if err := b.set(m); err != nil {
			return Ballot{}, fmt.Errorf("ballot: %w", err)
		}
	}
	if !says {
		return Ballot{}, errors.New("ballot: neither choice nor score")
	}
	return b, nil
}

// check returns why no answer could be read as b.
func (b *Ballot) check() error {
	for _, t := range []struct {
		name, text string
		most       int
	}{{"choice", b.Choice, maxOption}, {"reason", b.Reason, maxReason}, {"veto", b.Veto, maxReason}, {"nonce", b.Nonce, 2 * nonceSize}} {
		if !utf8.ValidString(t.text) || utf8.RuneCountInString(t.text) > t.most {
			return fmt.Errorf("ballot: %s: want at most %d characters of UTF-8", t.name, t.most)
		}
	}
	switch {
	case !(b.Score >= 0 && b.Score <= 10):
		return errors.New("ballot: score: want a number from 0 to 10")
	case !(b.Confidence >= 0 && b.Confidence <= 1):
		return errors.New("ballot: confidence: want a number from 0 to 1")
	case len(b.Signature) > maxSignature:
		return fmt.Errorf("ballot: signature: want at most %d bytes", maxSignature)
	}
	return nil
}

func (b *Ballot) set(m member) (err error) {
	switch m.key {
	case "choice":
		b.Choice, err = text(m, maxOption)
	case "score":
		b.Score, err = number(m, 0, 10)
	case "confidence":
		b.Confidence, err = number(m, 0, 1)
	case "reason":
		b.Reason, err = text(m, maxReason)
	case "veto":
		b.Veto, err = text(m, maxReason)
	case "nonce":
		b.Nonce, err = text(m, 2*nonceSize)
	case "signature":
		var s string
		if s, err = text(m, base64.StdEncoding.EncodedLen(maxSignature)); err == nil {
			b.Signature, err = base64.StdEncoding.DecodeString(s)
			if err != nil || len(b.Signature) == 0 {
				err = errors.New("signature: want base64")
			}
		}
	default:
		err = errors.New("an unknown key; a ballot has choice, score, confidence, reason, veto, nonce and signature")
	}
	return err
}

package bipadapter

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// A Paper is what one voter is handed: the round's nonce, and each option with
// a random token that is good for this voter alone, in random order. So what a
// voter reads cannot name the token that is to win, the order favors nobody, and
// a ballot of another round or voter is none of this one.
type Paper struct {
	Round   string
	Nonce   [nonceSize]byte
	Options []Option // none where ballots rate
}

// An Option is a choice on a [Paper].
type Option struct{ Token, Text string }

const (
	nonceSize  = 16
	tokenSize  = 8
	maxOptions = 100
	maxOption  = 256 // characters
)

// NewPaper draws a voter's paper; all chance comes from random. Every voter of
// a round gets the same nonce and a paper of its own. An abstention is no
// option: [Abstain] is understood as it is. The error is that of options that
// are empty, repeated, too long (256 characters) or too many (100), or that of
// random.
func NewPaper(round string, nonce [nonceSize]byte, options []string, random io.Reader) (Paper, error) {
	options, err := optionsOf(options)
	if err != nil {
		return Paper{}, err
	}
	p := Paper{Round: round, Nonce: nonce}
	taken := map[string]bool{}
	for _, text := range options {
		var raw [tokenSize]byte
		if _, err := io.ReadFull(random, raw[:]); err != nil {
			return Paper{}, fmt.Errorf("paper: no randomness: %w", err)
		}
		token := hex.EncodeToString(raw[:])
		if taken[token] {
			return Paper{}, errors.New("paper: two tokens are the same: what should be random is not")
		}
		taken[token] = true
		p.Options = append(p.Options, Option{token, text})
	}
	// Tokens are random, so their order is.
	slices.SortFunc(p.Options, func(a, b Option) int {
		if a.Token < b.Token {
			return -1
		}
		return 1
	})
	return p, nil
}

// Resolve returns b with the option in place of its token. A choice that is no
// token of p is an error, also if it is the text of an option, and so is another
// nonce. Where there are no options and so no tokens, the nonce must be there.
func (p Paper) Resolve(b Ballot) (Ballot, error) {
	nonce := hex.EncodeToString(p.Nonce[:])
	if b.Nonce != nonce && (b.Nonce != "" || len(p.Options) == 0) {
		return Ballot{}, errors.New("ballot: nonce: not that of this round")
	}
	if b.Choice == "" || b.Choice == Abstain {
		return b, nil
	}
	for _, o := range p.Options {
		if o.Token == b.Choice {
			b.Choice = o.Text
			return b, nil
		}
	}
	return Ballot{}, errors.New("ballot: choice: no token of this voter's paper")
}

// optionsOf returns options without abstention, checked.
func optionsOf(options []string) ([]string, error) {
	var out []string
	for i, text := range options {
		switch {
		case text == Abstain:
			continue
		case text == "" || !utf8.ValidString(text) || utf8.RuneCountInString(text) > maxOption:
			return nil, fmt.Errorf("options[%d]: want 1 to %d characters of UTF-8", i, maxOption)
		case slices.Contains(out, text):
			return nil, fmt.Errorf("options[%d]: %s is repeated", i, clip(text))
		}
		out = append(out, text)
	}
	if len(out) > maxOptions {
		return nil, fmt.Errorf("options: %d are more than %d", len(out), maxOptions)
	}
	return out, nil
}

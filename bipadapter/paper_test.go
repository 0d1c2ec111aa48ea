package bipadapter_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/bipadapter"
)

func draw(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

func TestPaper(t *testing.T) {
	nonce := [16]byte{1, 2, 3}
	options := []string{"yes", "no", bipadapter.Abstain, "later"}
	p, err := bipadapter.NewPaper("r1", nonce, options, draw(1))
	require.NoError(t, err)
	q, err := bipadapter.NewPaper("r1", nonce, options, draw(2))
	require.NoError(t, err)
	require.Len(t, p.Options, 3, "who abstains needs no token")

	again, err := bipadapter.NewPaper("r1", nonce, options, draw(1))
	require.NoError(t, err)
	require.Equal(t, p, again, "chance is what was handed in")

	own := map[string]string{}
	for _, o := range p.Options {
		own[o.Text] = o.Token
		require.Len(t, o.Token, 16)
		got, err := p.Resolve(bipadapter.Ballot{Choice: o.Token, Reason: "r", Nonce: hex.EncodeToString(nonce[:])})
		require.NoError(t, err)
		require.Equal(t, o.Text, got.Choice)
		require.Equal(t, "r", got.Reason)
	}
	for _, o := range q.Options {
		require.NotEqual(t, own[o.Text], o.Token)
		_, err := p.Resolve(bipadapter.Ballot{Choice: o.Token})
		require.ErrorContains(t, err, "no token of this voter's paper", "another voter's token")
	}
	_, err = p.Resolve(bipadapter.Ballot{Choice: "yes"})
	require.ErrorContains(t, err, "no token", "what a text can name is no vote")
	_, err = p.Resolve(bipadapter.Ballot{Choice: p.Options[0].Token, Nonce: strings.Repeat("0", 32)})
	require.ErrorContains(t, err, "nonce", "a ballot of another round")
	for _, choice := range []string{"", bipadapter.Abstain} {
		got, err := p.Resolve(bipadapter.Ballot{Choice: choice})
		require.NoError(t, err)
		require.Equal(t, choice, got.Choice)
	}

	rating, err := bipadapter.NewPaper("r1", nonce, nil, draw(1))
	require.NoError(t, err)
	_, err = rating.Resolve(bipadapter.Ballot{Score: 9})
	require.ErrorContains(t, err, "nonce", "nothing else ties a rating to its round")
	_, err = rating.Resolve(bipadapter.Ballot{Score: 9, Nonce: hex.EncodeToString(nonce[:])})
	require.NoError(t, err)
}

// TestPaperOrder looks whether an option has a place of its own.
func TestPaperOrder(t *testing.T) {
	first := map[string]int{}
	random := draw(7)
	for range 3000 {
		p, err := bipadapter.NewPaper("r", [16]byte{}, []string{"a", "b", "c"}, random)
		require.NoError(t, err)
		first[p.Options[0].Text]++
	}
	for option, n := range first {
		require.InDelta(t, 1000, n, 120, option) // 4.6 σ
	}
}

func TestPaperRefuses(t *testing.T) {
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for want, options := range map[string][]string{
		"options[1]: \"a\" is repeated":        {"a", "a"},
		"options[0]: want 1 to 256 characters": {""},
		"options[1]: want 1 to 256 characters": {"a", strings.Repeat("é", 257)},
		"options: 101 are more than 100":       many,
	} {
		_, err := bipadapter.NewPaper("r", [16]byte{}, options, draw(1))
		require.ErrorContains(t, err, want)
	}
	broken := errors.New("broken")
	_, err := bipadapter.NewPaper("r", [16]byte{}, []string{"a"}, iotest.ErrReader(broken))
	require.ErrorIs(t, err, broken)
	_, err = bipadapter.NewPaper("r", [16]byte{}, []string{"a", "b"}, zeros{})
	require.ErrorContains(t, err, "what should be random is not")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

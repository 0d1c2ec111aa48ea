package bipadapter

import (
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// What is hashed or signed says first what it is, so that nothing passes for
// something else.
const (
	domain       = "github.com/cmmv-hive/resilience/bipadapter/"
	openingLeaf  = domain + "opening/v1\n"
	closingLeaf  = domain + "closing/v1\n"
	paperDomain  = domain + "paper/v1\n"
	ballotDomain = domain + "ballot/v1\n"
)

// saltSize is how long a salt of an answer is, so that it is clear where it ends.
const saltSize = 32

// commit is the digest that an [Answer] has.
func commit(salt, raw []byte) Digest {
	return sha256.Sum256(slices.Concat(salt, raw))
}

// fields are texts of which none can run into the next: each as length, colon,
// text, comma.
func fields(domain string, texts ...string) []byte {
	data := []byte(domain)
	for _, text := range texts {
		data = fmt.Appendf(data, "%d:%s,", len(text), text)
	}
	return data
}

// digest is the commitment to p that is in [Opening].Papers. The tokens, which are
// random, keep it from being guessed.
func (p Paper) digest() Digest {
	texts := []string{p.Round, hex.EncodeToString(p.Nonce[:])}
	for _, o := range p.Options {
		texts = append(texts, o.Token, o.Text)
	}
	return sha256.Sum256(fields(paperDomain, texts...))
}

type paperText struct {
	Round   string       `json:"round"`
	Nonce   string       `json:"nonce"`
	Options []optionText `json:"options"`
}

type optionText struct {
	Token string `json:"token"`
	Text  string `json:"text"`
}

// MarshalJSON writes the nonce in hexadecimal.
func (p Paper) MarshalJSON() ([]byte, error) {
	text := paperText{p.Round, hex.EncodeToString(p.Nonce[:]), []optionText{}}
	for _, o := range p.Options {
		text.Options = append(text.Options, optionText(o))
	}
	return json.Marshal(text)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (p *Paper) UnmarshalJSON(data []byte) error {
	var text paperText
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	nonce, err := hex.DecodeString(text.Nonce)
	if err != nil || len(nonce) != nonceSize {
		return fmt.Errorf("paper: nonce: want %d bytes in hexadecimal", nonceSize)
	}
	*p = Paper{Round: text.Round, Nonce: [nonceSize]byte(nonce)}
	for _, o := range text.Options {
		p.Options = append(p.Options, Option(o))
	}
	return nil
}

// drawn returns names in the order that a seed draws: by the SHA-256 of the seed,
// then the name.
func drawn(seed []byte, names []string) []string {
	names = slices.Clone(names)
	slices.SortFunc(names, func(a, b string) int {
		x, y := commit(seed, []byte(a)), commit(seed, []byte(b))
		return cmp.Or(slices.Compare(x[:], y[:]), cmp.Compare(a, b))
	})
	return names
}

// SignBallot returns b with the signature of a voter's operator, whose public key is
// [Voter].PublicKey. The paper is the one that the voter was handed, and proposal
// its digest; the signature is of what the ballot says, so that a token and the
// option that it stands for are the same. The error is that of [Paper.Resolve].
func SignBallot(key ed25519.PrivateKey, voter string, p Paper, proposal Digest, b Ballot) (Ballot, error) {
	meant, err := p.Resolve(b)
	if err != nil {
		return Ballot{}, err
	}
	b.Signature = ed25519.Sign(key, meant.message(voter, p.Round, hex.EncodeToString(p.Nonce[:]), proposal))
	return b, nil
}

// message is what is signed of a ballot that says options, not tokens.
func (b *Ballot) message(voter, round, nonce string, proposal Digest) []byte {
	decimal := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
	return fields(ballotDomain, round, nonce, base64.StdEncoding.EncodeToString(proposal[:]), voter,
		b.Choice, decimal(b.Score), decimal(b.Confidence), b.Reason, b.Veto)
}

// signedBy reports whether b has the signature that v's ballots need.
func (b *Ballot) signedBy(v Voter, o *Opening) bool {
	key, err := base64.StdEncoding.DecodeString(v.PublicKey)
	return err == nil && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, b.message(v.Name, o.Round, o.Nonce, o.Proposal), b.Signature)
}

// servedBy reports whether a model that a provider names is v's: by one of its
// names, with or without what comes before the last slash and "-latest" after it, and
// with or without a date or a version of digits after it: of two at least, as claude-sonnet-4 is not
// claude-sonnet-4-5.
func servedBy(v Voter, served string) bool {
	last := func(name string) string { return spelling(name[strings.LastIndex(name, "/")+1:]) }
	return served == "" || slices.ContainsFunc(v.names(), func(name string) bool {
		rest, ok := strings.CutPrefix(strings.TrimSuffix(last(served), "-latest"), strings.TrimSuffix(last(name), "-latest"))
		return ok && (rest == "" || rest[0] == '-' && !slices.ContainsFunc(strings.Split(rest[1:], "-"), func(part string) bool {
			return len(part) < 2 || strings.Trim(part, "0123456789") != ""
		}))
	})
}

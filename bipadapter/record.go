package bipadapter

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"github.com/cmmv-hive/resilience"
)

// A Record is what a round leaves behind for those who distrust its operator. Its
// JSON is described in docs/record.md, with test vectors.
type Record struct {
	Opening  Opening    `json:"opening"`
	Evidence []Evidence `json:"evidence"` // one for each eligible voter, by name
	Closing  Closing    `json:"closing"`
	Proof    *Proof     `json:"proof,omitempty"` // without a log there is none
}

// An Opening is written down before the first voter is asked, and binds what comes
// after it.
type Opening struct {
	Round   string        `json:"round"`   // its name, random
	Counter uint64        `json:"counter"` // of the log's rounds on the proposal's BIP, from 1, without gaps
	BIP     string        `json:"bip"`
	Type    OperationType `json:"type"`

	Proposal  Digest            `json:"proposal"`
	Nonce     string            `json:"nonce"`             // that ballots carry, in hexadecimal
	Papers    map[string]Digest `json:"papers"`            // by voter: commitments to what each is handed
	Prompts   map[string]Digest `json:"prompts,omitempty"` // by voter: of the requests
	Rule      Rule              `json:"rule"`              // with the threshold that was asked for
	Topic     string            `json:"topic,omitempty"`
	Options   []string          `json:"options,omitempty"`
	Voters    []Voter           `json:"voters"` // all eligible ones
	Emergency *Declaration      `json:"emergency,omitempty"`

	Judge    string    `json:"judge"`    // name and version of what reads ballots
	Software string    `json:"software"` // this module's path and version
	Seed     Digest    `json:"seed"`     // commitment to the order in which voters are asked
	Early    bool      `json:"early"`    // no further voters are asked once the outcome is certain
	MaxCost  float64   `json:"maxCost,omitempty"`
	Deadline time.Time `json:"deadline"`

	OpenedBy  string    `json:"openedBy"`
	Authority string    `json:"authority"` // by which it was opened
	Time      time.Time `json:"time"`
}

// Evidence is what one voter did, every attempt of it.
type Evidence struct {
	Voter    string   `json:"voter"`
	Attempts []Answer `json:"attempts"` // none if it was not asked
	Ballot   *Ballot  `json:"ballot,omitempty"`
	Standing Standing `json:"standing"`
	Reason   string   `json:"reason,omitempty"` // why it does not count
	Paper    *Paper   `json:"paper,omitempty"`  // that the opening commits to
}

// An Answer is one attempt at a voter.
type Answer struct {
	Start     time.Time `json:"start"`
	End       time.Time `json:"end"`
	Kind      string    `json:"kind,omitempty"` // that it failed with
	Status    int       `json:"status,omitempty"`
	RequestID string    `json:"requestId,omitempty"`
	Served    string    `json:"served,omitempty"` // the model, as the provider names it
	Raw       []byte    `json:"raw,omitempty"`    // unless only committed to, as what has more than 64 KiB is
	Digest    Digest    `json:"digest"`           // of Salt, then Raw
	Salt      []byte    `json:"salt,omitempty"`
	Cost      float64   `json:"cost"` // US dollars
}

// A Closing ends a round. A round that was left before anything was counted ends
// with the outcome [Aborted], and the reason.
type Closing struct {
	Count

	Seed  string    `json:"seed,omitempty"` // that the opening commits to, in hexadecimal
	Order []string  `json:"order"`          // in which voters were asked
	Cost  float64   `json:"cost"`
	Time  time.Time `json:"time"`
}

// Aborted is the outcome of a round that counted nothing.
const Aborted Outcome = "aborted"

// A Proof shows that a record is in a log, the opening before the evidence.
type Proof struct {
	Log          string    `json:"log"`                 // its public key, as the log says; see [Keys]
	Handovers    []string  `json:"handovers,omitempty"` // from its former keys to this one; see [Log.Rotate]
	Opened       Inclusion `json:"opened"`
	Closed       Inclusion `json:"closed"`                 // as of the same checkpoint
	Cosignatures []string  `json:"cosignatures,omitempty"` // of witnesses, of that checkpoint
}

// An Inclusion is a place in a log, as of a signed checkpoint.
type Inclusion struct {
	Index      int64    `json:"index"`
	Hashes     []Digest `json:"hashes"`
	Checkpoint string   `json:"checkpoint"`
}

// A Declaration says who declares an emergency: two persons, or one with the token of
// a quorum.
type Declaration struct {
	Actors []string          `json:"actors"`
	Token  resilience.Secret `json:"-"`
	Reason string            `json:"reason"`
	Until  time.Time         `json:"until"`
}

// A Digest is a SHA-256.
type Digest [sha256.Size]byte

// MarshalText returns d in base64.
func (d Digest) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, d[:]), nil
}

// UnmarshalText reads what MarshalText writes.
func (d *Digest) UnmarshalText(text []byte) error {
	raw, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil || len(raw) != len(d) {
		return errors.New("want a SHA-256 in base64")
	}
	copy(d[:], raw)
	return nil
}

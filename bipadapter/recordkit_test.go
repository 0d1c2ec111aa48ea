package bipadapter

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const logName = "example.org/votes"

func keyOf(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

// A kit makes rounds whose answers are known, all chance from a seed.
type kit struct {
	random io.Reader
	now    time.Time
	rounds int
}

func newKit() *kit {
	return &kit{random: rand.NewChaCha8([32]byte{7}), now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
}

func (k *kit) bytes(n int) []byte {
	data := make([]byte, n)
	_, _ = io.ReadFull(k.random, data)
	return data
}

func (k *kit) tick() time.Time {
	k.now = k.now.Add(time.Second)
	return k.now
}

// open returns the opening of a round on a BIP, and each voter's paper, for words as
// of a poll: "y", "n", "V", "a", a rating, "x" for no answer, "m" for one that
// nobody can read, "l" for a late one, "2" for two that differ, "o" for another
// model; any other word is an option.
func (k *kit) open(bip string, rule Rule, words string) (Opening, map[string]Paper) {
	k.rounds++
	nonce := [nonceSize]byte(k.bytes(nonceSize))
	o := Opening{
		Round: fmt.Sprintf("r%d", k.rounds), BIP: bip, Type: Voting,
		Proposal: sha256.Sum256([]byte("Proposal of " + bip)), Nonce: hex.EncodeToString(nonce[:]),
		Papers: map[string]Digest{}, Rule: rule, Judge: ballotJudge, Software: "github.com/cmmv-hive/resilience v0.0.0",
		Time: k.tick(), OpenedBy: "ci", Authority: "BIP-01",
	}
	o.Deadline = o.Time.Add(time.Minute)
	o.Seed = commit(nil, k.seed(o.Round))
	for i, word := range strings.Fields(words) {
		o.Voters = append(o.Voters, Voter{Name: fmt.Sprintf("%c", 'a'+i), Model: fmt.Sprintf("vendor/model-%c", 'a'+i), Role: General, Weight: 1})
		if rule.Method != Scores && choiceOf(word) == word && !slices.Contains(o.Options, word) {
			o.Options = append(o.Options, word)
		}
	}
	options := o.Options
	if options == nil {
		options = []string{Approve, Reject}
	}
	if rule.Method == Scores {
		options = nil
	}
	papers := map[string]Paper{}
	for _, v := range o.Voters {
		p, err := NewPaper(o.Round, nonce, options, k.random)
		if err != nil {
			panic(err)
		}
		papers[v.Name], o.Papers[v.Name] = p, p.digest()
	}
	return o, papers
}

func (k *kit) seed(round string) []byte { return []byte("seed of " + round) }

// choiceOf returns what a word chooses: itself, if it is none of the words that are
// known.
func choiceOf(word string) string {
	known := map[string]string{"y": Approve, "n": Reject, "V": Reject, "a": Abstain, "x": "", "m": "", "l": Approve, "2": Approve, "o": Approve}
	if choice, ok := known[word]; ok {
		return choice
	}
	return word
}

// answer returns what a voter says on its paper.
func (k *kit) answer(rule Rule, p Paper, word string) []byte {
	b := Ballot{Nonce: hex.EncodeToString(p.Nonce[:]), Confidence: 0.75, Reason: "as I see it"}
	choice := choiceOf(word)
	if score, err := strconv.ParseFloat(strings.TrimSuffix(word, "!"), 64); err == nil && rule.Method == Scores {
		b.Score, choice = score, ""
	}
	if strings.HasSuffix(word, "!") || word == "V" {
		b.Veto = "unsafe"
	}
	b.Choice = choice
	for _, option := range p.Options {
		if option.Text == choice {
			b.Choice = option.Token
		}
	}
	text, err := json.Marshal(b)
	if err != nil {
		panic(err)
	}
	return text
}

// fill writes down what voters did, and concludes the round.
func (k *kit) fill(o Opening, papers map[string]Paper, words string) *Record {
	r := &Record{Opening: o}
	var names []string
	var late time.Time
	for i, word := range strings.Fields(words) {
		v := o.Voters[i]
		p := papers[v.Name]
		names = append(names, v.Name)
		e := Evidence{Voter: v.Name, Attempts: []Answer{}, Paper: &p}
		add := func(raw []byte) *Answer {
			a := Answer{Start: k.tick(), End: k.tick(), Raw: raw, Salt: k.bytes(saltSize), Cost: 0.25, Served: "model-" + v.Name + "-2026-01-01", RequestID: fmt.Sprintf("req-%d", k.now.Unix())}
			a.Digest = commit(a.Salt, raw)
			e.Attempts = append(e.Attempts, a)
			return &e.Attempts[len(e.Attempts)-1]
		}
		switch word {
		case "x":
			e.Attempts = append(e.Attempts, Answer{Start: k.tick(), End: k.tick(), Kind: "timeout"})
			e.Reason = "timeout"
		case "m":
			add([]byte("I approve!"))
		case "2":
			add(k.answer(o.Rule, p, "y"))
			add(k.answer(o.Rule, p, "n"))
		case "o":
			add(k.answer(o.Rule, p, word)).Served = "somebody-else"
		default:
			a := add(k.answer(o.Rule, p, word))
			if word == "l" {
				a.End = o.Deadline.Add(time.Second)
				late = a.End
			}
		}
		r.Evidence = append(r.Evidence, e)
	}
	r.Closing.Seed, r.Closing.Order = hex.EncodeToString(k.seed(o.Round)), drawn(k.seed(o.Round), names)
	if k.now.Before(late) {
		k.now = late
	}
	r.Closing.Time = k.tick()
	if err := conclude(r); err != nil {
		panic(err)
	}
	return r
}

// round holds a round and logs it.
func (k *kit) round(tb testing.TB, l *Log, bip string, rule Rule, words string) *Record {
	tb.Helper()
	return k.changed(tb, l, bip, rule, words, nil, nil)
}

// changed holds a round whose opening and record its operator changes before they
// are logged.
func (k *kit) changed(tb testing.TB, l *Log, bip string, rule Rule, words string, opening func(*Opening), record func(*Record)) *Record {
	tb.Helper()
	o, papers := k.open(bip, rule, words)
	if opening != nil {
		opening(&o)
	}
	_, err := l.begin(&o)
	require.NoError(tb, err)
	r := k.fill(o, papers, words)
	if record != nil {
		record(r)
	}
	require.NoError(tb, l.end(r))
	return r
}

func newLog(tb testing.TB) *Log {
	tb.Helper()
	l, err := OpenLog(tb.TempDir(), logName, keyOf(1))
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = l.Close() })
	return l
}

func textOf(tb testing.TB, r *Record) []byte {
	tb.Helper()
	var out bytes.Buffer
	_, err := r.WriteTo(&out)
	require.NoError(tb, err)
	return out.Bytes()
}

func verify(keys Keys, texts ...[]byte) (Finding, string) {
	var readers []io.Reader
	for _, text := range texts {
		readers = append(readers, bytes.NewReader(text))
	}
	return Verify(keys, readers...)
}

// A watcher is a witness that does what it should.
type watcher struct {
	name    string
	key     ed25519.PrivateKey
	log     string // its key
	now     func() time.Time
	size    int64
	root    tlog.Hash
	err     error
	cosigns int
}

func newWatcher(log string, now func() time.Time) *watcher {
	return &watcher{name: "witness.example", key: keyOf(9), log: log, now: now}
}

func (w *watcher) vkey() string {
	public, _ := w.key.Public().(ed25519.PublicKey)
	return fmt.Sprintf("%s+%08x+%s", w.name, cosignerHash(w.name, public), base64.StdEncoding.EncodeToString(append([]byte{cosignatureV1}, public...)))
}

func (w *watcher) Cosign(_ context.Context, text string, consistency []Digest) (string, error) {
	if w.err != nil {
		return "", w.err
	}
	log, err := note.NewVerifier(w.log)
	if err != nil {
		return "", err
	}
	c, err := readCheckpoint(text, log)
	if err != nil {
		return "", err
	}
	if w.size > 0 {
		proof := make(tlog.TreeProof, len(consistency))
		for i, d := range consistency {
			proof[i] = tlog.Hash(d)
		}
		if tlog.CheckTree(proof, c.size, c.root, w.size, w.root) != nil {
			return "", &WitnessError{w.size}
		}
	}
	w.size, w.root = c.size, c.root
	w.cosigns++
	return w.cosign(w.now().Unix(), c), nil
}

func (w *watcher) cosign(at int64, c checkpoint) string {
	public, _ := w.key.Public().(ed25519.PublicKey)
	raw := binary.BigEndian.AppendUint32(nil, cosignerHash(w.name, public))
	raw = binary.BigEndian.AppendUint64(raw, uint64(at))
	raw = append(raw, ed25519.Sign(w.key, cosigned(at, c.body))...)
	return fmt.Sprintf("— %s %s\n", w.name, base64.StdEncoding.EncodeToString(raw))
}

// publicText returns a signer's public key as voters have it.
func publicText(s *signer) string {
	public, _ := s.key.Public().(ed25519.PublicKey)
	return base64.StdEncoding.EncodeToString(public)
}

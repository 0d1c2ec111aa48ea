package bipadapter

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// trusted are keys, read.
type trusted struct {
	logs      map[string]bool
	witnesses []cosigner
}

func newVerifier(keys Keys) (*verifier, error) {
	v := &verifier{
		keys: trusted{logs: map[string]bool{}}, trees: map[string]*tree{},
		handovers: handovers{by: map[string]handover{}, to: map[string]handover{}},
	}
	// What is no public key may be a secret, and is not quoted.
	for i, key := range keys.Logs {
		key = strings.TrimSpace(key)
		_, err := readLogKey(key)
		if _, of := readCosigner(key); err != nil && of == nil {
			return nil, fmt.Errorf("keys: logs[%d] is the key of a witness: give it as one", i)
		}
		if err != nil {
			return nil, fmt.Errorf("keys: logs[%d] is no public key of a log: want NAME+HASH+BASE64", i)
		}
		v.keys.logs[key] = true
	}
	for i, key := range keys.Witnesses {
		key = strings.TrimSpace(key)
		w, err := readCosigner(key)
		if _, of := readLogKey(key); err != nil && of == nil {
			return nil, fmt.Errorf("keys: witnesses[%d] is the key of a log: give it as one", i)
		}
		if err != nil {
			return nil, fmt.Errorf("keys: witnesses[%d] is %w", i, err)
		}
		v.keys.witnesses = append(v.keys.witnesses, w)
	}
	return v, nil
}

func seedOf(text string) ([]byte, error) { return hex.DecodeString(text) }

// log returns the key that a record's log must have signed with.
func (v *verifier) log(p *Proof) (note.Verifier, error) {
	log, err := readLogKey(p.Log)
	if err != nil {
		return nil, errors.New("proof: log: not a public key of a log")
	}
	if len(v.keys.logs) > 0 {
		if !slices.ContainsFunc(v.handovers.line(p.Log), func(key string) bool { return v.keys.logs[key] }) {
			return nil, fmt.Errorf("proof: log: %s is not a log that is trusted", clip(p.Log))
		}
		return log, nil
	}
	v.missing = append(v.missing, "no key of a log was given, and anybody can have made the one in the record")
	return log, nil
}

// proof checks that a record is in its log.
func (v *verifier) proof(r *Record) error {
	p := r.Proof
	log, err := v.log(p)
	if err != nil {
		return err
	}
	head, err := readCheckpoint(p.Closed.Checkpoint, log)
	if over, ok := v.handovers.by[p.Log]; ok && err == nil {
		err = over.ended(head.size)
	}
	switch {
	case err != nil:
		return fmt.Errorf("proof: closed: %w", err)
	case p.Opened.Checkpoint != p.Closed.Checkpoint:
		return errors.New("proof: the opening and the closing are shown in two checkpoints, not in one")
	case p.Opened.Index >= p.Closed.Index:
		return errors.New("proof: the opening was logged after the closing")
	}
	opening, errO := json.Marshal(r.Opening)
	bare := *r
	bare.Proof = nil
	record, errR := json.Marshal(bare)
	if err := errors.Join(errO, errR); err != nil {
		return err
	}
	keys := v.handovers.line(p.Log)
	t := v.trees[keys[0]]
	if t == nil {
		t = &tree{name: log.Name(), nodes: map[span]tlog.Hash{}, times: map[int64]time.Time{}}
		v.trees[keys[0]] = t
		for _, key := range keys[:len(keys)-1] {
			over := v.handovers.by[key]
			t.heads = append(t.heads, newCheckpoint(log.Name(), over.size, over.root))
		}
	}
	t.heads = append(t.heads, head)
	if err := t.include(head, p.Opened, leaf(openingLeaf, opening), r.Opening.Time); err != nil {
		return fmt.Errorf("proof: opened: %w", err)
	}
	if err := t.include(head, p.Closed, leaf(closingLeaf, record), r.Closing.Time); err != nil {
		return fmt.Errorf("proof: closed: %w", err)
	}
	return v.cosignatures(r, head)
}

// cosignatures looks for a witness that is trusted.
func (v *verifier) cosignatures(r *Record, head checkpoint) error {
	if len(r.Proof.Cosignatures) > maxCosignatures {
		return fmt.Errorf("proof: cosignatures: %d are more than %d", len(r.Proof.Cosignatures), maxCosignatures)
	}
	inTime, late := false, ""
	var other error // by another key of a witness, or by nobody's
	for i, line := range r.Proof.Cosignatures {
		c, err := readCosignature(line)
		if err != nil {
			return fmt.Errorf("proof: cosignatures[%d]: %w", i, err)
		}
		for _, w := range v.keys.witnesses {
			switch {
			case c.name != w.name && c.hash != w.hash:
				continue
			case !c.of(w, head):
				err := fmt.Errorf("proof: cosignatures[%d]: not %s's signature of the checkpoint", i, clip(w.name))
				if c.name == w.name && c.hash == w.hash {
					return err
				}
				other = err
				continue
			}
			switch after := time.Unix(c.time, 0).Sub(r.Closing.Time); {
			case after < -witnessed:
				return fmt.Errorf("proof: cosignatures[%d]: %s saw the closing %s before the time that it says", i, clip(w.name), -after.Round(time.Second))
			case after > witnessed:
				late = fmt.Sprintf("round %s: %s saw it only %s after its end", clip(r.Opening.Round), clip(w.name), after.Round(time.Second))
			default:
				inTime = true
				v.witnesses = append(v.witnesses, w.name)
			}
		}
	}
	switch {
	case inTime:
	case other != nil && late == "":
		return other
	case len(v.keys.witnesses) == 0:
		v.missing = append(v.missing, "no key of a witness was given, and its operator alone says that there is no other history")
	default:
		v.missing = append(v.missing, cmp.Or(late, fmt.Sprintf("round %s: no witness that is trusted has cosigned it", clip(r.Opening.Round))))
	}
	return nil
}

// A span is a run of leaves, from the first to before the last.
type span struct{ from, to int64 }

// A tree is what records tell about a log. The hash of a span is the same in every
// tree that has these leaves, so two of one span are two histories.
type tree struct {
	name  string
	nodes map[span]tlog.Hash
	times map[int64]time.Time // of leaves
	heads []checkpoint
	fork  error
}

func (t *tree) know(s span, h tlog.Hash) {
	if was, ok := t.nodes[s]; ok && was != h {
		t.fork = fmt.Errorf("log %s: entries %d to %d are there in two versions: the log was rewritten or forked", clip(t.name), s.from, s.to-1)
	}
	t.nodes[s] = h
}

// include checks that a leaf is in the log at a checkpoint.
func (t *tree) include(head checkpoint, in Inclusion, data []byte, at time.Time) error {
	if in.Index < 0 || in.Index >= head.size || len(in.Hashes) > 64 {
		return fmt.Errorf("entry %d: the log has %d", in.Index, head.size)
	}
	walk := walker{proof: in.Hashes, leaf: tlog.RecordHash(data), index: in.Index}
	root, ok := walk.span(span{0, head.size})
	if !ok || len(walk.proof) != 0 || root != head.root {
		return fmt.Errorf("entry %d of the log is not this: it was edited after it was signed", in.Index)
	}
	for _, n := range walk.nodes {
		t.know(n.span, n.hash)
	}
	// What is to the left of the leaf makes the roots that the log had before it and
	// with it.
	if left, ok := walk.fold(nil); ok {
		t.know(span{0, in.Index}, left)
	}
	if with, ok := walk.fold(&walk.leaf); ok {
		t.know(span{0, in.Index + 1}, with)
	}
	t.times[in.Index] = at
	return nil
}

// check returns what contradicts itself in a log.
func (t *tree) check() error {
	bySize := map[int64]tlog.Hash{}
	for _, head := range t.heads {
		if was, ok := bySize[head.size]; ok && was != head.root {
			return fmt.Errorf("log %s: it has two roots at %d entries: it was forked", clip(t.name), head.size)
		}
		bySize[head.size] = head.root
		t.know(span{0, head.size}, head.root)
	}
	if t.fork != nil {
		return t.fork
	}
	indexes := make([]int64, 0, len(t.times))
	for i := range t.times {
		indexes = append(indexes, i)
	}
	slices.Sort(indexes)
	for i, at := range indexes {
		if i > 0 && t.times[at].Before(t.times[indexes[i-1]]) {
			return fmt.Errorf("log %s: entry %d is of a time before that of entry %d", clip(t.name), at, indexes[i-1])
		}
	}
	return nil
}

// A walker goes from a root to a leaf, as RFC 6962 says, and keeps the nodes that it
// sees.
type walker struct {
	proof []Digest // from the leaf up
	leaf  tlog.Hash
	index int64
	nodes []node
	left  []tlog.Hash // that are left of the leaf, from it on
}

type node struct {
	span
	hash tlog.Hash
}

func (w *walker) span(s span) (tlog.Hash, bool) {
	if s.to-s.from == 1 {
		w.nodes = append(w.nodes, node{s, w.leaf})
		return w.leaf, true
	}
	middle := s.from + int64(1)<<(bits.Len64(uint64(s.to-s.from-1))-1)
	near, far := span{s.from, middle}, span{middle, s.to}
	if w.index >= middle {
		near, far = far, near
	}
	own, ok := w.span(near)
	if !ok || len(w.proof) == 0 {
		return own, false
	}
	other := tlog.Hash(w.proof[0])
	w.proof = w.proof[1:]
	w.nodes = append(w.nodes, node{far, other})
	sum := tlog.NodeHash(own, other)
	if far.from < near.from {
		w.left = append(w.left, other)
		sum = tlog.NodeHash(other, own)
	}
	w.nodes = append(w.nodes, node{s, sum})
	return sum, true
}

// fold returns the root of all that is left of the leaf, and of the leaf if it is
// given.
func (w *walker) fold(last *tlog.Hash) (sum tlog.Hash, ok bool) {
	if last != nil {
		sum, ok = *last, true
	}
	for _, h := range w.left {
		if ok {
			h = tlog.NodeHash(h, sum)
		}
		sum, ok = h, true
	}
	return sum, ok
}

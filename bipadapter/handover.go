package bipadapter

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A handover is that a log has another key from a size on: a note, signed with both,
// of what it had until then.
type handover struct {
	from, to string // public keys
	size     int64
	root     tlog.Hash
	text     string
}

const maxHandovers = 64

func (h *handover) body(name string) string {
	return fmt.Sprintf("%s handover\n%d\n%s\n%s\n%s\n", name, h.size, h.root, h.from, h.to)
}

func readHandover(text string) (handover, error) {
	fail := errors.New("want a note of the log's name, its size, its root, the former key and the next, signed with both")
	body, _, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(body, "\n")
	if len(text) > maxCheckpoint || len(lines) != 5 {
		return handover{}, fail
	}
	h := handover{from: lines[3], to: lines[4], text: text}
	from, errFrom := readLogKey(h.from)
	to, errTo := readLogKey(h.to)
	var errSize, errRoot error
	h.size, errSize = strconv.ParseInt(lines[1], 10, 64)
	h.root, errRoot = tlog.ParseHash(lines[2])
	if errors.Join(errFrom, errTo, errSize, errRoot) != nil || h.size < 0 || h.from == h.to || from.Name() != to.Name() {
		return handover{}, fail
	}
	if signed, err := openNote(text, from, to); err != nil || signed != h.body(from.Name()) {
		return handover{}, fail
	}
	return h, nil
}

// readLogKey reads the public key of a log, in the one spelling that it has.
func readLogKey(vkey string) (note.Verifier, error) {
	v, err := note.NewVerifier(vkey)
	if err == nil {
		var raw []byte
		parts := strings.SplitN(vkey, "+", 3)
		if raw, err = strict64(parts[2]); err == nil {
			var again string
			if again, err = note.NewEd25519VerifierKey(v.Name(), raw[1:]); err == nil && (again != vkey || !plain(v.Name())) {
				err = errors.New("spelt otherwise than it is written")
			}
		}
	}
	return v, err
}

// Rotate goes over to another key: from now on it signs all that the log shows,
// earlier records too, which say since when. Records and checkpoints that were handed
// out under the former key stay good up to here. Whoever trusts either key can verify;
// see docs/trust.md. Keep the new key before, as the log opens with it alone from then
// on, and tell witnesses. After an error the log takes nothing more until it is
// reopened: with the former key, which says so if it was handed over after all.
func (l *Log) Rotate(key ed25519.PrivateKey) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file.failed != nil {
		return fmt.Errorf("log: %w", l.file.failed)
	}
	next, err := newSigner(l.key.name, key)
	switch {
	case err != nil:
		return fmt.Errorf("log: %w", err)
	case next.vkey == l.key.vkey || slices.ContainsFunc(l.handovers, func(h handover) bool { return h.from == next.vkey }):
		return errors.New("log: it has or had this key; make another one")
	case len(l.handovers) == maxHandovers:
		return fmt.Errorf("log: it had %d keys; begin another one", maxHandovers)
	}
	root, err := tlog.TreeHash(l.leaves, l.reader())
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	h := handover{from: l.key.vkey, to: next.vkey, size: l.leaves, root: root}
	signed, err := note.Sign(&note.Note{Text: h.body(l.key.name)}, l.key, next)
	if err == nil {
		_, err = l.file.append(append([]byte{handoverFrame}, signed...))
	}
	if err == nil {
		h.text = string(signed)
		l.key, l.handovers = next, append(l.handovers, h)
		err = l.acknowledge()
	}
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}

// replayHandover takes in that the log went over to another key.
func (l *Log) replayHandover(text string) error {
	h, err := readHandover(text)
	if err != nil {
		return fmt.Errorf("a handover to another key: %w", err)
	}
	root, err := tlog.TreeHash(l.leaves, l.reader())
	n := len(l.handovers)
	if err != nil || h.size != l.leaves || h.root != root || n > 0 && l.handovers[n-1].to != h.from {
		return errors.New("a handover to another key, of another log or from another time")
	}
	l.handovers = append(l.handovers, h)
	return nil
}

// own reads a checkpoint that the log has signed with its key, or with a former one
// while it had that.
func (l *Log) own(text string) (checkpoint, error) {
	c, err := readCheckpoint(text, l.key)
	for _, h := range l.handovers {
		key, errKey := readLogKey(h.from)
		if errKey != nil {
			return checkpoint{}, errKey
		}
		if old, errOld := readCheckpoint(text, key); errOld == nil {
			return old, h.ended(old.size)
		}
	}
	return c, err
}

// ended returns an error if the former key has signed what came after it.
func (h *handover) ended(size int64) error {
	if size > h.size {
		return fmt.Errorf("checkpoint: of %d entries, signed with a key that was handed over at %d: somebody goes on with it", size, h.size)
	}
	return nil
}

// handovers are those that records show.
type handovers struct{ by, to map[string]handover }

func (hs *handovers) add(h handover) error {
	for _, known := range []handover{hs.by[h.from], hs.to[h.to]} {
		if known.text != "" && known.text != h.text {
			return fmt.Errorf("it was handed over to two keys, or from two: %s and %s; one of them is a thief's, or the log was forked", clip(known.to), clip(h.to))
		}
	}
	if slices.Contains(hs.line(h.to), h.from) && hs.by[h.from].text == "" {
		return errors.New("it was handed over in a circle")
	}
	hs.by[h.from], hs.to[h.to] = h, h
	return nil
}

// line returns all keys that a log had, of which one is given, from the first.
func (hs *handovers) line(key string) []string {
	for h, ok := hs.to[key]; ok; h, ok = hs.to[key] {
		key = h.from
	}
	keys := []string{key}
	for h, ok := hs.by[key]; ok; h, ok = hs.by[key] {
		key = h.to
		keys = append(keys, key)
	}
	return keys
}

// of takes in what a record shows.
func (hs *handovers) of(p *Proof) error {
	if len(p.Handovers) > maxHandovers {
		return fmt.Errorf("proof: handovers: %d are more than %d", len(p.Handovers), maxHandovers)
	}
	key := ""
	for i, text := range p.Handovers {
		h, err := readHandover(text)
		if err == nil && i > 0 && h.from != key {
			err = errors.New("not from the key that the one before leads to")
		}
		if err == nil {
			err = hs.add(h)
		}
		if err != nil {
			return fmt.Errorf("proof: handovers[%d]: %w", i, err)
		}
		key = h.to
	}
	if key != "" && key != p.Log {
		return errors.New("proof: handovers: they do not lead to the log's key")
	}
	return nil
}

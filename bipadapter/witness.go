package bipadapter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// A Witness signs checkpoints that extend those it has signed, so that a log cannot
// show two histories to two people.
//
// Cosign gets the checkpoint, signed by the log, and the proof that it extends the
// last one that the witness has signed for this log, which is empty at first. It
// returns lines in the format of C2SP's cosignature/v1, one a witness:
//
//	— NAME BASE64(key hash, time, signature)
//
// A witness that has signed up to another size than the log believes returns a
// [*WitnessError] with it, and is asked once more. The context ends after 10
// seconds.
type Witness interface {
	Cosign(ctx context.Context, checkpoint string, consistency []Digest) (cosignature string, err error)
}

// A WitnessError is the answer of a witness that has signed up to Size entries.
type WitnessError struct{ Size int64 }

// Error says where the witness is.
func (e *WitnessError) Error() string { return fmt.Sprintf("the witness is at %d entries", e.Size) }

const witnessTime = 10 * time.Second

// SetWitness has rounds cosigned that end from now on. A record that the witness
// does not answer for goes without, which [Log.Warnings] says.
func (l *Log) SetWitness(w Witness) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.witness = w
}

// A request is what a witness is asked to sign.
type request struct {
	size        int64
	checkpoint  string
	consistency []Digest
}

// cosign has the log's head cosigned, and keeps that with the round whose record it
// is for. Only a failed write is an error.
func (l *Log) cosign(e *logged) error {
	l.mu.Lock()
	w := l.witness
	l.mu.Unlock()
	if w == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), witnessTime)
	defer cancel()
	// Witnesses go forward only, so one request at a time.
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return l.unwitnessed(e, ctx.Err())
	}
	size, lines, err := l.ask(ctx, w)
	if err != nil {
		return l.unwitnessed(e, err)
	}
	return l.keep(e, size, lines)
}

func (l *Log) unwitnessed(e *logged, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.warn("round %s: no witness has cosigned it: %v", clip(e.round), err)
	return nil
}

func (l *Log) ask(ctx context.Context, w Witness) (size int64, lines []string, err error) {
	l.mu.Lock()
	since := l.cosigned
	l.mu.Unlock()
	for range 2 {
		var r request
		if r, err = l.request(since); err != nil {
			return 0, nil, err
		}
		var text string
		text, err = w.Cosign(ctx, r.checkpoint, r.consistency)
		if err == nil {
			lines, err = cosignatureLines(text)
			return r.size, lines, err
		}
		behind, ok := errors.AsType[*WitnessError](err)
		if !ok {
			break
		}
		since = behind.Size
	}
	return 0, nil, err
}

// request returns the head and what shows that it extends the log at a size.
func (l *Log) request(since int64) (request, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if since < 0 || since > l.leaves {
		return request{}, fmt.Errorf("the witness is at %d entries, and the log has %d: it is not the log that the witness knows", since, l.leaves)
	}
	text, err := l.checkpoint(l.leaves)
	if err != nil || since == 0 {
		return request{size: l.leaves, checkpoint: text}, err
	}
	proof, err := tlog.ProveTree(l.leaves, since, l.reader())
	return request{l.leaves, text, digests(proof)}, err
}

func digests[T ~[]tlog.Hash](hashes T) []Digest {
	out := make([]Digest, len(hashes))
	for i, h := range hashes {
		out[i] = Digest(h)
	}
	return out
}

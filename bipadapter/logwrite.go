package bipadapter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// begin logs the opening of a round. It sets o's counter, and o's time to that of
// the entry before if the clock was set back by no more than a minute. When it
// returns without an error, the opening is on the disk.
func (l *Log) begin(o *Opening) (Inclusion, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(&o.Time); err != nil {
		return Inclusion{}, err
	}
	bip := spelling(o.BIP)
	switch {
	case !plain(o.Round) || bip == "" || !plain(o.BIP):
		return Inclusion{}, fmt.Errorf("log: a round's name and its BIP must be printable text of 1 to %d bytes", maxName)
	case l.byName[o.Round] != nil:
		return Inclusion{}, fmt.Errorf("log: there is a round %s already", clip(o.Round))
	}
	o.Counter = l.counters[bip] + 1
	text, err := exact[Opening](o)
	if err != nil {
		return Inclusion{}, fmt.Errorf("log: opening: %w", err)
	}
	at, err := l.file.append(append([]byte{openingFrame}, text...))
	if err == nil {
		err = l.addOpening(at, *o, text)
	}
	if err == nil {
		err = l.acknowledge()
	}
	if err != nil {
		return Inclusion{}, fmt.Errorf("log: %w", err)
	}
	return l.inclusion(l.leaves-1, l.leaves)
}

// end logs the rest of a round, sets r's proof, and has it cosigned if there is a
// witness. When it returns without an error, the record is on the disk. After an
// error it may be: once the log is reopened, [Log.open] tells.
func (l *Log) end(r *Record) error {
	e, err := l.close(r)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if err := l.cosign(e); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Proof, err = l.prove(e)
	return err
}

func (l *Log) close(r *Record) (*logged, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(&r.Closing.Time); err != nil {
		return nil, err
	}
	e := l.byName[r.Opening.Round]
	if e == nil || e.ended != 0 {
		return nil, fmt.Errorf("there is no open round %s", clip(r.Opening.Round))
	}
	opening, errO := exact[Opening](&r.Opening)
	evidence, errE := exact[[]Evidence](r.Evidence)
	closing, errC := exact[Closing](&r.Closing)
	if err := errors.Join(errO, errE, errC); err != nil {
		return nil, err
	}
	if !bytes.Equal(opening, e.text) {
		return nil, fmt.Errorf("round %s: the opening is not the one that was logged", clip(e.round))
	}
	c := closingText{r.Opening.Round, evidence, closing}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	record := c.record(opening)
	if len(record) > maxRecord-(64<<10) {
		return nil, fmt.Errorf("round %s: a record of %d bytes is too long; commit to the answers only", clip(e.round), len(record))
	}
	at, err := l.file.append(append([]byte{closingFrame}, text...))
	if err != nil {
		return nil, err
	}
	if err := l.addClosing(at, e, record, r.Closing.Time); err != nil {
		return nil, err
	}
	return e, l.acknowledge()
}

// keep logs cosignatures of the checkpoint at a size.
func (l *Log) keep(e *logged, size int64, lines []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, err := json.Marshal(cosignedText{e.round, size, lines})
	if err != nil {
		return err
	}
	if _, err := l.file.append(append([]byte{cosignedFrame}, text...)); err != nil {
		return err
	}
	e.size, e.cosignatures, l.cosigned = size, lines, max(l.cosigned, size)
	return l.acknowledge()
}

// exact returns v as JSON that is the same after reading it.
func exact[T any](v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var again T
	if err := json.Unmarshal(text, &again); err != nil {
		return nil, err
	}
	if other, err := json.Marshal(again); err != nil || !bytes.Equal(text, other) {
		return nil, errors.New("it is not the same after it was written and read; are its texts UTF-8 and its times in UTC?")
	}
	return text, nil
}

// ready returns why the log takes no entry of a time, which it may move.
func (l *Log) ready(t *time.Time) error {
	if l.file.failed != nil {
		return fmt.Errorf("log: %w", l.file.failed)
	}
	if back := l.last.Sub(*t); back > maxSkew {
		return fmt.Errorf("log: the last entry is of %s, and the clock says %s: set the clock right", l.last.Format(time.RFC3339), t.Format(time.RFC3339))
	} else if back > 0 {
		*t = l.last
	}
	return nil
}

// acknowledge signs what is on the disk. Without that nothing is acknowledged, and
// nothing follows.
func (l *Log) acknowledge() error {
	root, err := tlog.TreeHash(l.leaves, l.reader())
	if err == nil {
		var text string
		if text, err = l.headText(head{l.file.size, l.leaves, root}); err == nil {
			err = l.save(filepath.Join(l.dir, headFile), []byte(text))
		}
	}
	if err != nil && l.file.failed == nil {
		l.file.failed = fmt.Errorf("%s takes nothing more until it is reopened: %w", l.dir, err)
	}
	return err
}

// open returns the rounds that have begun and not ended.
func (l *Log) open() []Opening {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Opening
	for _, e := range l.rounds {
		if e.ended == 0 {
			out = append(out, e.opening)
		}
	}
	return out
}

// Checkpoint returns the log's head, signed. Kept where the log's owner cannot reach
// it, it shows later that the log still has all that it had: see [Log.Extends].
func (l *Log) Checkpoint() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, _ := l.checkpoint(l.leaves) // of hashes that are there, with a key that is right
	return text
}

func (l *Log) checkpoint(size int64) (string, error) {
	root, err := tlog.TreeHash(size, l.reader())
	if err != nil {
		return "", err
	}
	return l.key.sign(newCheckpoint(l.key.name, size, root).body)
}

// Extends returns an error unless l begins with all that it had at a checkpoint of
// its own: then it was cut short or rewritten.
func (l *Log) Extends(checkpoint string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.own(checkpoint)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if c.size > l.leaves {
		return fmt.Errorf("log: it has %d entries and had %d: it was cut short", l.leaves, c.size)
	}
	if root, err := tlog.TreeHash(c.size, l.reader()); err != nil || root != c.root {
		return fmt.Errorf("log: its first %d entries are not those that it had: it was rewritten", c.size)
	}
	return nil
}

// inclusion shows that a leaf is in the log at a size.
func (l *Log) inclusion(index, size int64) (Inclusion, error) {
	proof, err := tlog.ProveRecord(size, index, l.reader())
	if err != nil {
		return Inclusion{}, err
	}
	text, err := l.checkpoint(size)
	return Inclusion{index, digests(proof), text}, err
}

func (l *Log) prove(e *logged) (*Proof, error) {
	opened, errO := l.inclusion(e.opened, e.size)
	closed, errC := l.inclusion(e.closed, e.size)
	p := &Proof{Log: l.key.vkey, Opened: opened, Closed: closed, Cosignatures: slices.Clone(e.cosignatures)}
	for _, h := range l.handovers {
		p.Handovers = append(p.Handovers, h.text)
	}
	return p, errors.Join(errO, errC)
}

// Records returns the records of the rounds on a BIP, or of all rounds for "", in
// the order in which they were opened. Rounds that are not over have none yet.
func (l *Log) Records(ctx context.Context, bip string) ([]Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Record
	for _, e := range l.rounds {
		if e.ended == 0 || bip != "" && e.bip != spelling(bip) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r, err := l.record(e)
		if err != nil {
			return nil, fmt.Errorf("log: round %s: %w", clip(e.round), err)
		}
		out = append(out, r)
	}
	return out, nil
}

func (l *Log) record(e *logged) (r Record, err error) {
	for _, part := range []struct {
		at int64
		to any
	}{{e.at, &r.Opening}, {e.ended, &r}} {
		payload, bad, err := l.file.read(part.at)
		if bad.found {
			err = fmt.Errorf("%s: at byte %d: not as it was written", l.file.path, bad.at)
		}
		if err == nil {
			err = json.Unmarshal(payload[1:], part.to)
		}
		if err != nil {
			return Record{}, err
		}
	}
	r.Proof, err = l.prove(e)
	return r, err
}

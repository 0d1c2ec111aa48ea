package bipadapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
)

// A journal keeps what happens in rounds under way, so that a process that was
// killed goes on where it was. An entry that was acknowledged is on the disk. Its
// methods may be called from several goroutines.
type journal struct {
	mu    sync.Mutex
	path  string
	lock  *os.File
	least int64 // its size after it was compacted
	*frames
}

// A journalEntry is one thing that happened in a round. Its kind is "opening",
// "evidence", "answer" or "closed".
type journalEntry struct {
	Round string          `json:"round"`
	Kind  string          `json:"kind"`
	Data  json.RawMessage `json:"data,omitempty"`
}

const journalMagic = "bipadapter journal 1\n"

var errClosed = errors.New("it is closed")

// openJournal opens a journal, or makes one, and returns what is in it. What a
// crash has left of an entry at the end is cut off, as nobody was told that it is
// there. Any other damage is an error that says where it is, and nothing is
// skipped.
func openJournal(path string) (*journal, []journalEntry, error) {
	held, err := lock(path + ".lock")
	if err != nil {
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	j := &journal{path: path, lock: held}
	entries, err := j.load()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("journal: %w", err), j.Close())
	}
	return j, entries, nil
}

func (j *journal) load() (entries []journalEntry, err error) {
	f, bad, err := openFrames(j.path, journalMagic, func(_ int64, payload []byte) error {
		e, err := readEntry(payload)
		entries = append(entries, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	j.frames = f
	switch {
	case !bad.found:
		return entries, nil
	case !bad.torn:
		return nil, fmt.Errorf("%s: at byte %d: not as it was written; restore it from a copy, or move it away and have its rounds aborted", j.path, bad.at)
	}
	return entries, f.cut(bad.at)
}

func readEntry(payload []byte) (e journalEntry, err error) {
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		return e, fmt.Errorf("not an entry: %w", err)
	}
	return e, nil
}

// append adds an entry, and returns when it is on the disk. After an error nothing
// more is added until the journal is reopened.
func (j *journal) append(e journalEntry) error {
	payload, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("journal: round %s: %w", clip(e.Round), err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.trouble(); err != nil {
		return err
	}
	if _, err := j.frames.append(payload); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// grown reports whether compacting is worth it.
func (j *journal) grown() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.frames != nil && j.failed == nil && j.size > max(1<<20, 2*j.least)
}

// trouble returns why nothing can be written, or nil. It needs the lock.
func (j *journal) trouble() error {
	switch {
	case j.frames == nil:
		return fmt.Errorf("journal: %s: %w", j.path, errClosed)
	case j.failed != nil:
		return fmt.Errorf("journal: %w", j.failed)
	}
	return nil
}

// compact leaves the entries of the rounds to keep. A crash leaves all of them, or
// those.
func (j *journal) compact(keep func(round string) bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.trouble(); err != nil {
		return err
	}
	left := []byte(journalMagic)
	bad, err := j.scan(int64(len(journalMagic)), func(_ int64, payload []byte) error {
		e, err := readEntry(payload)
		if err == nil && keep(e.Round) {
			left = append(left, frame(int64(len(left)), payload)...)
		}
		return err
	})
	if bad.found {
		err = fmt.Errorf("%s: at byte %d: not as it was written", j.path, bad.at)
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	// Windows replaces no open file.
	j.failed = errors.Join(j.file.Close(), replace(j.path, left))
	if j.failed == nil {
		f, _, err := openFrames(j.path, journalMagic, func(int64, []byte) error { return nil })
		if err == nil {
			j.frames, j.least = f, f.size
			return nil
		}
		j.failed = err
	}
	return fmt.Errorf("journal: %w", j.failed)
}

// Close lets go of the journal. What was appended is there.
func (j *journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.lock == nil {
		return nil
	}
	var err error
	if j.frames != nil {
		err = j.file.Close()
	}
	err = errors.Join(err, j.lock.Close())
	j.frames, j.lock = nil, nil
	return err
}

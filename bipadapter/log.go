package bipadapter

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A Log is a Merkle log of rounds in a directory, with signed checkpoints. An
// opening is in it before the first voter is asked, and a record when its round is
// over. Its methods may be called from several goroutines.
type Log struct {
	dir  string
	lock *os.File
	turn chan struct{} // to ask the witness

	mu        sync.Mutex
	key       *signer
	handovers []handover // from former keys
	file      *frames
	save      func(path string, data []byte) error
	leaves    int64
	hashes    []tlog.Hash // as tlog stores them
	rounds    []*logged   // in the order of their openings
	byName    map[string]*logged
	counters  map[string]uint64
	last      time.Time // of the last entry
	witness   Witness
	cosigned  int64 // up to here
	warnings  []string
}

// A logged round is where in the log one is.
type logged struct {
	round, bip     string
	opening        Opening // until it has ended
	text           []byte  // of the opening, until it has ended
	at, ended      int64   // places in the file; ended is 0 while it is open
	opened, closed int64   // leaves
	size           int64   // of the checkpoint that the record is shown with
	cosignatures   []string
}

const (
	logMagic = "bipadapter log 1\n"
	logFile  = "log"
	headFile = "head"
	lockFile = "lock"

	maxSkew = time.Minute // that a clock may be set back between two entries
)

// What a frame of the file begins with.
const (
	openingFrame  = 'o'
	closingFrame  = 'c'
	cosignedFrame = 'w'
	handoverFrame = 'k'
)

// OpenLog opens the log in a directory, or makes one. Its name, such as
// example.org/votes, never changes, and the key that checkpoints are signed with does
// by [Log.Rotate] alone. Only one process has a log open.
//
// The error says where the log is not as this key has signed it: whoever has the
// directory can change it, and only not unnoticed. What a crash has left of an
// entry that nobody was told of is cut off, which [Log.Warnings] says.
func OpenLog(dir, name string, key ed25519.PrivateKey) (*Log, error) {
	s, err := newSigner(name, key)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	held, err := lock(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	l := &Log{dir: dir, key: s, lock: held, turn: make(chan struct{}, 1), save: replace, byName: map[string]*logged{}, counters: map[string]uint64{}}
	if err := l.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("log: %w", err), l.Close())
	}
	return l, nil
}

// A head is what the log has acknowledged.
type head struct {
	bytes, leaves int64
	root          tlog.Hash
}

func (l *Log) headText(h head) (string, error) {
	return l.key.sign(fmt.Sprintf("%s head\n%d\n%d\n%s\n", l.key.name, h.bytes, h.leaves, h.root))
}

// readHead reads what was acknowledged: with the former key, if the handover to this
// one is the last that the log has.
func (l *Log) readHead(handedOver bool) (head, error) {
	data, err := os.ReadFile(filepath.Join(l.dir, headFile))
	if errors.Is(err, fs.ErrNotExist) {
		return head{}, nil
	}
	if err != nil {
		return head{}, err
	}
	path := filepath.Join(l.dir, headFile)
	body, err := openNote(string(data), l.key)
	if n := len(l.handovers); err != nil && handedOver {
		var former note.Verifier
		if former, err = readLogKey(l.handovers[n-1].from); err == nil {
			body, err = openNote(string(data), former)
		}
	}
	if err != nil {
		return head{}, fmt.Errorf("%s: %w: another key, or damaged", path, err)
	}
	lines := strings.Split(body, "\n")
	if len(lines) != 5 || lines[0] != l.key.name+" head" {
		return head{}, fmt.Errorf("%s: it is no head of a log", path)
	}
	var h head
	var errs [3]error
	h.bytes, errs[0] = strconv.ParseInt(lines[1], 10, 64)
	h.leaves, errs[1] = strconv.ParseInt(lines[2], 10, 64)
	h.root, errs[2] = tlog.ParseHash(lines[3])
	return h, errors.Join(errs[:]...)
}

// load reads the log and compares it with what was acknowledged.
func (l *Log) load() error {
	path := filepath.Join(l.dir, logFile)
	var places []int64
	var last byte
	f, bad, err := openFrames(path, logMagic, func(at int64, payload []byte) error {
		places, last = append(places, at), payload[0]
		return l.replay(at, payload)
	})
	if err != nil {
		return err
	}
	l.file = f
	if n := len(l.handovers); n > 0 && l.handovers[n-1].to != l.key.vkey {
		return fmt.Errorf("%s: it was handed over to another key, %s: open it with that one", path, clip(l.handovers[n-1].to))
	}
	acked, err := l.readHead(last == handoverFrame)
	if err != nil {
		return err
	}
	beyond := 0
	for _, at := range places {
		if at >= acked.bytes && acked.bytes > 0 {
			beyond++
		}
	}
	end := f.size
	if bad.found {
		end = bad.at
	}
	switch {
	case acked.bytes > end:
		return fmt.Errorf("%s: at byte %d: not as it was written, and up to byte %d it was acknowledged: restore it from a copy", path, end, acked.bytes)
	case acked.bytes == 0 && l.leaves > 1, beyond > 1:
		return fmt.Errorf("%s: it goes on after byte %d, up to which it was acknowledged: %s is lost or older than it", path, acked.bytes, headFile)
	}
	root, err := tlog.TreeHash(acked.leaves, l.reader())
	if err != nil || acked.leaves > l.leaves || acked.bytes > 0 && root != acked.root {
		return fmt.Errorf("%s: its %d entries are not those that were signed", path, acked.leaves)
	}
	if bad.found {
		l.warn("cut off %d bytes of an entry that was not acknowledged", f.size-bad.at)
		if err := f.cut(bad.at); err != nil {
			return err
		}
	}
	if acked.bytes != f.size {
		return l.acknowledge()
	}
	return nil
}

// replay takes in what a frame says.
func (l *Log) replay(at int64, payload []byte) error {
	switch kind, data := payload[0], payload[1:]; kind {
	case openingFrame:
		var o Opening
		if err := json.Unmarshal(data, &o); err != nil {
			return err
		}
		if o.Counter != l.counters[spelling(o.BIP)]+1 || l.byName[o.Round] != nil {
			return errors.New("an opening that does not follow those before it")
		}
		return l.addOpening(at, o, data)
	case closingFrame:
		var c closingText
		if err := json.Unmarshal(data, &c); err != nil {
			return err
		}
		var closing Closing
		if err := json.Unmarshal(c.Closing, &closing); err != nil {
			return err
		}
		e := l.byName[c.Round]
		if e == nil || e.ended != 0 {
			return errors.New("a closing of a round that is not open")
		}
		return l.addClosing(at, e, c.record(e.text), closing.Time)
	case cosignedFrame:
		var c cosignedText
		if err := json.Unmarshal(data, &c); err != nil {
			return err
		}
		e := l.byName[c.Round]
		if e == nil || e.ended == 0 || c.Size <= e.closed || c.Size > l.leaves {
			return errors.New("cosignatures of a round that has not ended")
		}
		e.size, e.cosignatures, l.cosigned = c.Size, c.Cosignatures, max(l.cosigned, c.Size)
		return nil
	case handoverFrame:
		return l.replayHandover(string(data))
	}
	return errors.New("an entry of a kind that there is not")
}

type closingText struct {
	Round    string          `json:"round"`
	Evidence json.RawMessage `json:"evidence"`
	Closing  json.RawMessage `json:"closing"`
}

type cosignedText struct {
	Round        string   `json:"round"`
	Size         int64    `json:"size"`
	Cosignatures []string `json:"cosignatures"`
}

// record returns the text of the record but its proof.
func (c closingText) record(opening []byte) []byte {
	return slices.Concat([]byte(`{"opening":`), opening, []byte(`,"evidence":`), c.Evidence, []byte(`,"closing":`), c.Closing, []byte("}"))
}

// leaf returns what a leaf is the hash of.
func leaf(domain string, text []byte) []byte {
	digest := sha256.Sum256(text)
	return append([]byte(domain), digest[:]...)
}

func (l *Log) addOpening(at int64, o Opening, text []byte) error {
	e := &logged{round: o.Round, bip: spelling(o.BIP), opening: o, text: text, at: at, opened: l.leaves}
	if err := l.grow(leaf(openingLeaf, text)); err != nil {
		return err
	}
	l.rounds = append(l.rounds, e)
	l.byName[e.round] = e
	l.counters[e.bip] = o.Counter
	l.last = o.Time
	return nil
}

func (l *Log) addClosing(at int64, e *logged, record []byte, t time.Time) error {
	e.ended, e.closed, e.size = at, l.leaves, l.leaves+1
	e.opening, e.text = Opening{}, nil
	l.last = t
	return l.grow(leaf(closingLeaf, record))
}

// grow adds a leaf.
func (l *Log) grow(data []byte) error {
	hashes, err := tlog.StoredHashes(l.leaves, data, l.reader())
	if err != nil {
		return err
	}
	l.hashes = append(l.hashes, hashes...)
	l.leaves++
	return nil
}

func (l *Log) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, 0, len(indexes))
		for _, i := range indexes {
			if i >= int64(len(l.hashes)) {
				return nil, errors.New("a hash that the log does not have")
			}
			out = append(out, l.hashes[i])
		}
		return out, nil
	})
}

// warn keeps what whoever runs the log should know.
func (l *Log) warn(format string, args ...any) {
	const most = 100
	if len(l.warnings) == most {
		l.warnings = l.warnings[1:]
	}
	l.warnings = append(l.warnings, "log "+l.dir+": "+fmt.Sprintf(format, args...))
}

// Warnings returns the last 100 things that went wrong without anything that was
// acknowledged being lost: the end of the file was cut off after a crash, a witness
// did not answer.
func (l *Log) Warnings() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.warnings)
}

// Close lets go of the log.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lock == nil {
		return nil
	}
	var err error
	if l.file != nil {
		l.file.failed = errClosed
		err = l.file.file.Close()
	}
	err = errors.Join(err, l.lock.Close())
	l.lock = nil
	return err
}

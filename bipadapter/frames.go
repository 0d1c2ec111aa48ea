package bipadapter

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// A disk is what of a file frames need.
type disk interface {
	io.Writer
	io.ReaderAt
	Sync() error
	Truncate(size int64) error
	Close() error
}

// frames is a file that only grows: a line that says what it is, then payloads.
// Each has its length before it, with a checksum, and a checksum after it. Both
// depend on the place in the file, so that payloads cannot change places.
type frames struct {
	path   string
	file   disk
	size   int64
	failed error // of the write that nothing follows
}

const (
	frameHead = 8 // length, checksum of it
	frameTail = 8 // checksum of the payload
	maxFrame  = 64 << 20
)

// A damage is where a file is not as it was written. At its end that may be the
// rest of a write that was cut off.
type damage struct {
	found bool
	at    int64
	torn  bool // nothing whole can follow
}

// openFrames opens a file of frames, or makes one, and hands over each payload.
func openFrames(path, magic string, each func(at int64, payload []byte) error) (*frames, damage, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, damage{}, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, damage{}, errors.Join(err, file.Close())
	}
	f := &frames{path: path, file: file, size: info.Size()}
	var bad damage
	if err = f.begin(magic); err == nil {
		bad, err = f.scan(int64(len(magic)), each)
	}
	if err != nil {
		return nil, damage{}, errors.Join(err, file.Close())
	}
	return f, bad, nil
}

// begin reads the first line, or writes it.
func (f *frames) begin(magic string) error {
	first := make([]byte, min(int64(len(magic)), f.size))
	if _, err := f.file.ReadAt(first, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case string(first) == magic:
		return nil
	case !bytes.HasPrefix([]byte(magic), first) && !blank(first):
		return fmt.Errorf("%s: at byte 0: want %q; it is another file, or damaged", f.path, magic)
	}
	if f.size > int64(len(magic)) {
		return fmt.Errorf("%s: at byte 0: its first line is gone; the file is damaged", f.path)
	}
	if err := f.file.Truncate(0); err != nil {
		return err
	}
	f.size = 0
	f.put([]byte(magic))
	if f.failed == nil {
		f.failed = syncDir(filepath.Dir(f.path))
	}
	return f.failed
}

// scan reads frames from a place on until the end, or until one is damaged.
func (f *frames) scan(at int64, each func(at int64, payload []byte) error) (damage, error) {
	for at < f.size {
		payload, bad, err := f.read(at)
		if bad.found || err != nil {
			return bad, err
		}
		if err := each(at, payload); err != nil {
			return damage{}, fmt.Errorf("%s: at byte %d: %w", f.path, at, err)
		}
		at += frameHead + int64(len(payload)) + frameTail
	}
	return damage{}, nil
}

// read reads the frame at a place.
func (f *frames) read(at int64) ([]byte, damage, error) {
	rest := f.size - at
	if rest < frameHead {
		return nil, damage{true, at, true}, nil
	}
	head := make([]byte, frameHead)
	if _, err := f.file.ReadAt(head, at); err != nil {
		return nil, damage{}, err
	}
	if blank(head) {
		empty, err := f.blankFrom(at)
		return nil, damage{true, at, empty}, err
	}
	n := int64(binary.BigEndian.Uint32(head))
	if !bytes.Equal(head, headOf(at, int(n))) || n == 0 || n > maxFrame {
		return nil, damage{true, at, false}, nil
	}
	if rest < frameHead+n+frameTail {
		return nil, damage{true, at, true}, nil
	}
	body := make([]byte, n+frameTail)
	if _, err := f.file.ReadAt(body, at+frameHead); err != nil {
		return nil, damage{}, err
	}
	payload, tail := body[:n:n], body[n:]
	if !bytes.Equal(tail, tailOf(at, payload)) {
		// A file may be made longer before it is written.
		return nil, damage{true, at, blank(tail) && rest == frameHead+n+frameTail}, nil
	}
	return payload, damage{}, nil
}

// blankFrom reports whether there are only zeros from a place on.
func (f *frames) blankFrom(at int64) (bool, error) {
	part := make([]byte, 64<<10)
	for at < f.size {
		n, err := f.file.ReadAt(part[:min(int64(len(part)), f.size-at)], at)
		if err != nil {
			return false, err
		}
		if !blank(part[:n]) {
			return false, nil
		}
		at += int64(n)
	}
	return true, nil
}

// append adds a payload. When it returns without an error, the payload is on the
// disk. After an error there is nothing more to add until the file is reopened.
func (f *frames) append(payload []byte) (at int64, err error) {
	if len(payload) == 0 || len(payload) > maxFrame {
		return 0, fmt.Errorf("%s: an entry of %d bytes; want 1 to %d", f.path, len(payload), maxFrame)
	}
	at = f.size
	f.put(frame(at, payload))
	return at, f.failed
}

func (f *frames) put(data []byte) {
	if f.failed != nil {
		return
	}
	n, err := f.file.Write(data)
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	if err == nil {
		err = f.file.Sync()
	}
	if err != nil {
		f.failed = fmt.Errorf("%s takes nothing more until it is reopened: %w", f.path, err)
		return
	}
	f.size += int64(len(data))
}

// cut takes away what is from a place on.
func (f *frames) cut(at int64) error {
	if err := f.file.Truncate(at); err != nil {
		return err
	}
	f.size = at
	return f.file.Sync()
}

func frame(at int64, payload []byte) []byte {
	data := make([]byte, 0, frameHead+len(payload)+frameTail)
	data = append(data, headOf(at, len(payload))...)
	data = append(data, payload...)
	return append(data, tailOf(at, payload)...)
}

func headOf(at int64, n int) []byte {
	head := binary.BigEndian.AppendUint32(nil, uint32(n))
	sum := crc32.Checksum(binary.BigEndian.AppendUint64(bytes.Clone(head), uint64(at)), crc32.MakeTable(crc32.Castagnoli))
	return binary.BigEndian.AppendUint32(head, sum)
}

func tailOf(at int64, payload []byte) []byte {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(at)))
	h.Write(payload)
	return h.Sum(nil)[:frameTail]
}

func blank(data []byte) bool { return len(bytes.Trim(data, "\x00")) == 0 }

// replace puts data in a file's place: after a crash it is there whole, or what was
// there before is.
func replace(path string, data []byte) error {
	next := path + ".new"
	file, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

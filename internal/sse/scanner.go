package sse

import (
	"errors"
)

// A Scanner reads the events of bytes as they pass by, for those who hand a
// stream on and must not wait for whole events. It is not safe for concurrent
// use.
type Scanner struct {
	r  *Reader
	in feed
}

// feed is a source that has what it was given last.
type feed []byte

var errMore = errors.New("no more yet")

func (f *feed) Read(p []byte) (int, error) {
	if len(*f) == 0 {
		return 0, errMore
	}
	n := copy(p, *f)
	*f = (*f)[n:]
	return n, nil
}

// NewScanner returns a Scanner that keeps of an event what [Config] allows by
// default, and sees streams of any length.
func NewScanner() *Scanner {
	s := &Scanner{}
	s.r = NewReader(&s.in, Config{MaxBody: -1, MaxEvents: -1})
	return s
}

// Scan calls see for each event that p completes. It returns a [*LimitError]
// once an event is too large; from then on it sees nothing.
func (s *Scanner) Scan(p []byte, see func(Event)) error {
	s.in = p
	for {
		ev, err := s.r.Next()
		if errors.Is(err, errMore) {
			s.r.err = nil
			return nil
		}
		if err != nil {
			s.in = nil
			return err
		}
		see(ev)
	}
}

// End calls see for an event that the stream's end has left without its blank
// line.
func (s *Scanner) End(see func(Event)) { _ = s.Scan([]byte("\n\n"), see) }

// Package simtest simulates what is behind models: servers that queue, fail and
// hang, and the calls that arrive. It is for tests in the
// virtual time of testing/synctest; each part draws from a source of its own.
package simtest

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// A Server answers as many requests at a time as it has slots, and the others
// in the order of arrival. It does not notice that a client has left: a request
// takes its place in the queue and the whole time of its slot all the same.
type Server struct {
	slots int
	rand  *rand.Rand
	time  Law

	mu    sync.Mutex
	state Fault
	asked int64
	busy  int
	queue []chan struct{}
	life  int // what a former one had accepted is lost
}

// A Fault is how a server misbehaves. The zero Fault is that it does not.
type Fault struct {
	Hang  bool          // accept, and never answer; what was accepted before is lost
	Err   error         // of so large a Share of the requests, past the queue
	Share float64       // 1
	After time.Duration // until the error
	Slow  float64       // factor on the time of requests that begin now; 1
	Lost  int           // slots that take nothing up
}

// NewServer returns a server whose requests each take a time drawn from law.
func NewServer(seed uint64, slots int, law Law) *Server {
	return &Server{slots: slots, rand: rand.New(rand.NewPCG(seed, uint64(slots))), time: law}
}

// Set makes the server misbehave so from now on. A server that ceases to hang
// starts empty.
func (s *Server) Set(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Hang || s.state.Hang {
		s.life++
		s.busy, s.queue = 0, nil
	}
	s.state = f
	s.fill()
}

// Asked counts the requests so far.
func (s *Server) Asked() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Do is one request. It returns the server's error, or the cause of ctx's end
// where that comes first.
func (s *Server) Do(ctx context.Context) error {
	done, after, err := s.accept()
	if err != nil {
		t := time.NewTimer(after)
		defer t.Stop()
		select {
		case <-t.C:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// accept returns a channel that is closed when the request is done, or how it
// will fail.
func (s *Server) accept() (done chan struct{}, after time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	f := s.state
	if f.Err != nil && (f.Share == 0 || s.rand.Float64() < f.Share) {
		return nil, f.After, f.Err
	}
	done = make(chan struct{})
	if !f.Hang {
		s.queue = append(s.queue, done)
		s.fill()
	}
	return done, 0, nil
}

// fill puts those who wait into the slots that are free. The caller has mu.
func (s *Server) fill() {
	for len(s.queue) > 0 && s.busy < s.slots-s.state.Lost {
		next := s.queue[0]
		s.queue = s.queue[1:]
		s.begin(next)
	}
}

// begin puts a request into a slot. The caller has mu.
func (s *Server) begin(done chan struct{}) {
	s.busy++
	took, life := s.time(s.rand), s.life
	if s.state.Slow > 0 {
		took = time.Duration(float64(took) * s.state.Slow)
	}
	time.AfterFunc(took, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.life != life {
			return
		}
		close(done)
		s.busy--
		s.fill()
	})
}

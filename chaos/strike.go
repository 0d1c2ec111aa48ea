package chaos

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/cmmv-hive/resilience"
)

// refusal is the error that an SDK makes of a response that refuses. Its fields
// have the names that errors of SDKs have, and are read by these.
type refusalError struct {
	StatusCode          int
	Type, Code, Message string
	Header              http.Header
}

func (e *refusalError) Error() string { return e.Message }

// refusal is what an SDK of OpenAI's makes of f.
func (f Fault) refusal(i *Injector) error {
	said := f.failure(openAI)
	if f.Name == StreamError {
		said = f.late(openAI, "")
	}
	e := &refusalError{said.status, said.kind, said.code, said.text, http.Header{}}
	wait := f.Wait
	if f.Name == Throttled && wait == 0 {
		wait = limitWindow
	}
	wait = i.clock(wait)
	switch {
	case f.RetryAfter != "":
		e.Header.Set("Retry-After", f.RetryAfter)
	case wait == 0:
	case f.WaitAs.inBody(openAI):
		e.Message += " Please try again in " + wait.String() + "."
	default:
		f.WaitAs.ask(e.Header, openAI, wait, i.pool.At(i.pool.Now()))
	}
	return e
}

func errReset() error {
	return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
}

// errSyntax is what a decoder makes of bytes that are no JSON.
func errSyntax() error { return json.Unmarshal([]byte("{oops"), new(any)) }

// A strike is an injection that an attempt meets.
type strike struct {
	*injected
	dose   *dose
	delay  time.Duration // instead of Fault.After
	broke  func(chunks int)
	asked  func(chunks int)
	inject *Injector
}

// play makes the attempt go wrong. What is over meanwhile does it no harm.
func (s *strike) play(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
	if c.Streams() && s.ofStreams() {
		c.Fault(true)
		c.Spoil(s.spoil)
		return next(ctx, c)
	}
	if over, err := s.wait(ctx, s.delay); err != nil || over {
		return s.missed(ctx, c, err, next)
	}
	if !s.Fault.fails() {
		c.Fault(true)
		return next(ctx, c)
	}
	var err error
	switch f := s.Fault; f.Name {
	case Silent, HeadersOnly, Stall:
		if over, ended := s.wait(ctx, endless(f.For)); ended != nil || over {
			return s.missed(ctx, c, ended, next)
		}
		err = io.ErrUnexpectedEOF
	case Cut:
		err = io.ErrUnexpectedEOF
	case Reset, CutByReset:
		err = errReset()
	case Malformed:
		err = errSyntax()
	default:
		if err = f.dialing(c.Model().Info().Provider); err == nil {
			err = f.refusal(s.inject)
		}
	}
	c.Fault(false)
	return err
}

// missed is what comes of an attempt that waited for its fault, and whose
// context ended with err, or whose fault was over before.
func (s *strike) missed(ctx context.Context, c *resilience.Call, err error, next resilience.Handler) error {
	c.Fault(err == nil)
	if err != nil {
		return err
	}
	return next(ctx, c)
}

// ofStreams reports whether the fault shows in the middle of a stream.
func (s *strike) ofStreams() bool {
	switch s.Fault.Name {
	case SlowStart, Drip, Cut, CutByReset, Stall, StreamError, Malformed:
		return true
	}
	return false
}

// spoil is asked before each chunk of a stream.
func (s *strike) spoil(ctx context.Context, chunks int) error {
	if s.dose.over(s.inject.now()) {
		return nil
	}
	if s.asked != nil {
		s.asked(chunks)
	}
	f := s.Fault
	switch {
	case f.Name == SlowStart && chunks == 0:
		_, err := s.wait(ctx, s.delay)
		s.delay = 0
		return err
	case f.Name == Drip:
		_, err := s.wait(ctx, f.Pace)
		return err
	case !f.fails() || chunks < f.Tokens:
		return nil
	}
	if s.broke != nil {
		s.broke(chunks)
	}
	switch f.Name {
	case Stall:
		if over, err := s.wait(ctx, endless(f.For)); err != nil || over {
			return err
		}
		return io.ErrUnexpectedEOF
	case Cut:
		return io.EOF
	case CutByReset:
		return errReset()
	case Malformed:
		return errSyntax()
	default:
		return f.refusal(s.inject)
	}
}

// wait waits for d, without end if that is negative, and returns the cause of
// ctx's end where that comes first, or whether the fault was over first.
func (s *strike) wait(ctx context.Context, d time.Duration) (over bool, err error) {
	if d == 0 {
		return false, context.Cause(ctx)
	}
	left := s.dose.until - s.inject.now()
	if d < 0 {
		d = left
	}
	t := time.NewTimer(s.inject.clock(min(d, left)))
	defer t.Stop()
	select {
	case <-t.C:
		return d >= left, nil
	case <-s.dose.done:
		return true, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

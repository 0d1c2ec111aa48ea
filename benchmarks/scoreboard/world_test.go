package scoreboard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience/internal/simtest"
)

// The world: five models, two at each of the providers a and b, one at c. Each
// answers eight requests at a time, the others queue. A request goes on at the
// provider when its client has left.
const (
	models  = 5
	slots   = 8
	service = 1500 * time.Millisecond // in the mean, all of an answer
	first   = 400 * time.Millisecond  // of it, until the first chunk
	chunks  = 8

	capacity = models * slots / 1.5 // answers a second

	patience = 24 * time.Second // of a caller
)

var providers = [models]string{"a", "a", "b", "b", "c"}

// A statusError is an error as an SDK makes it of a response.
type statusError struct {
	StatusCode int
	RetryAfter time.Duration
}

func (e *statusError) Error() string { return fmt.Sprint("status ", e.StatusCode) }

var errCut = errors.New("connection reset by peer")

// A trouble is how a model misbehaves. The zero trouble is that it does not.
type trouble struct {
	hang  bool          // accept, and never answer; what was accepted is lost
	err   error         // of a share of the requests, past the queue
	share float64       // 1
	after time.Duration // until err
	slow  float64       // factor on the time of answers that begin now
	cut   float64       // share of the answers that break off in the middle
	limit float64       // requests a second; the others are told to come again in 2 s
}

// A model is a simulated one.
type model struct {
	mu        sync.Mutex
	draw      *rand.Rand
	now       trouble
	busy      int
	queue     []func()
	life      int
	asked     int64
	made      int64 // chunks, whoever got them
	allowance float64
	counted   time.Time
}

func newModel(seed uint64, i int) *model {
	return &model{draw: rand.New(rand.NewPCG(seed, uint64(i)))}
}

func (m *model) set(t trouble) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.hang || m.now.hang {
		m.life++
		m.busy, m.queue = 0, nil
	}
	m.now, m.counted, m.allowance = t, time.Now(), t.limit
}

// An answer is one on its way.
type answer struct {
	chunks chan error // nil is a chunk, io.EOF the end
}

// next waits for a chunk.
func (a *answer) next(ctx context.Context) error {
	select {
	case err := <-a.chunks:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ask begins an answer, of which the client has some chunks already.
func (m *model) ask(has int) *answer {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	a := &answer{chunks: make(chan error, chunks+1)}
	t := m.now
	switch {
	case t.limit > 0 && !m.allowed():
		time.AfterFunc(20*time.Millisecond, func() { a.chunks <- &statusError{429, 2 * time.Second} })
	case t.err != nil && (t.share == 0 || m.draw.Float64() < t.share):
		time.AfterFunc(t.after, func() { a.chunks <- t.err })
	case t.hang:
	case m.busy < slots:
		m.begin(a, has)
	default:
		m.queue = append(m.queue, func() { m.begin(a, has) })
	}
	return a
}

// allowed takes a request from the limit. The caller has mu.
func (m *model) allowed() bool {
	now := time.Now()
	m.allowance = min(m.allowance+m.now.limit*now.Sub(m.counted).Seconds(), m.now.limit)
	m.counted = now
	if m.allowance < 1 {
		return false
	}
	m.allowance--
	return true
}

// begin puts a request into a slot. The caller has mu.
func (m *model) begin(a *answer, has int) {
	m.busy++
	life, last := m.life, chunks
	took := simtest.LogNormal(service, 0.5)(m.draw)
	if m.now.slow > 0 {
		took = time.Duration(float64(took) * m.now.slow)
	}
	broken := m.now.cut > 0 && m.draw.Float64() < m.now.cut
	if broken {
		last = has + (chunks-has)/2
	}
	start := took * time.Duration(first) / time.Duration(service)
	step := (took - start) / chunks
	var tell func(n int)
	tell = func(n int) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.life != life {
			return
		}
		if n < last {
			m.made++
			a.chunks <- nil
			time.AfterFunc(step, func() { tell(n + 1) })
			return
		}
		if broken {
			a.chunks <- errCut
		} else {
			a.chunks <- io.EOF
		}
		m.busy--
		if len(m.queue) > 0 {
			next := m.queue[0]
			m.queue = m.queue[1:]
			next()
		}
	}
	time.AfterFunc(start, func() { tell(has) })
}

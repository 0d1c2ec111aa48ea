package chaos

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// A memory serves a handler over connections that are pipes.
type memory struct {
	mu        sync.Mutex
	started   bool
	closed    bool
	ended     chan struct{} // closed when closed is set
	conns     chan net.Conn // to accept
	server    *http.Server
	transport *http.Transport
	running   sync.WaitGroup // the server and its connections
}

func (m *memory) init(h http.Handler) {
	m.ended, m.conns = make(chan struct{}), make(chan net.Conn)
	m.server = &http.Server{
		Handler: h, ConnContext: serves, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute,
		ConnState: func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				m.running.Add(1)
			case http.StateClosed, http.StateHijacked:
				m.running.Done()
			}
		},
	}
	m.transport = &http.Transport{DialContext: m.dial, DialTLSContext: m.dial, MaxIdleConnsPerHost: 1000}
}

// start starts the server, unless it is started or closed.
func (m *memory) start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.started || m.closed {
		return
	}
	m.started = true
	m.running.Go(func() {
		_ = m.server.Serve(listener{m}) // until close
		_ = m.server.Close()            // connections, of which there are no new ones now
	})
}

func (m *memory) close() {
	m.mu.Lock()
	if !m.closed {
		m.closed = true
		close(m.ended)
	}
	m.mu.Unlock()
	m.running.Wait()
	m.transport.CloseIdleConnections()
}

func (m *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case m.conns <- theirs:
		return ours, nil
	case <-m.ended:
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: errors.New("chaos: the provider is closed")}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A listener accepts what is dialed.
type listener struct{ m *memory }

// Accept implements [net.Listener].
func (l listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.m.conns:
		return c, nil
	case <-l.m.ended:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l listener) Close() error { return nil }

// Addr implements [net.Listener].
func (l listener) Addr() net.Addr { return address{} }

type address struct{}

func (address) Network() string { return "memory" }
func (address) String() string  { return "chaos.Provider" }

// Client returns an HTTP client whose requests p answers, in memory, whatever
// host and scheme they name: an SDK keeps its own base URL, and nothing leaves
// the process. It works in a bubble of testing/synctest, where p must have been
// made as well. Its connections last until [Provider.Close]; as with any
// client, response bodies are the caller's to close. After Close its requests
// fail.
func (p *Provider) Client() *http.Client {
	p.memory.start()
	return &http.Client{Transport: p.memory.transport}
}

// Close ends what p has under way, as if the network went, and waits until the
// server behind [Provider.Client] has stopped. Requests that reach p by other
// servers are from then on cut off before an answer.
func (p *Provider) Close() {
	if p != nil {
		p.memory.close()
	}
}

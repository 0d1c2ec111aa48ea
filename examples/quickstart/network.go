package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience/chaos"
)

// Network is the fakes as servers on loopback.
type Network struct {
	fakes     []Fake
	listeners []net.Listener
	servers   []*http.Server
	serving   sync.WaitGroup
}

// listen takes a port for each fake, from port on, or any if port is 0.
func listen(fakes []Fake, port int) (*Network, error) {
	n := &Network{fakes: fakes}
	for i := range fakes {
		addr := "127.0.0.1:0"
		if port != 0 {
			addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port+i))
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("-port: %w", err), n.Close())
		}
		n.listeners = append(n.listeners, l)
	}
	return n, nil
}

// serve starts the servers.
func (n *Network) serve(seed uint64, clock *Clock) error {
	for i, f := range n.fakes {
		p, err := chaos.NewProvider(chaos.ProviderConfig{Models: []chaos.Model{f.Model}, Seed: seed, Speed: float64(clock.pace), Now: clock.Now})
		if err != nil {
			return err
		}
		srv := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
		n.servers = append(n.servers, srv)
		n.serving.Go(func() { _ = srv.Serve(n.listeners[i]) }) // until Close
	}
	return nil
}

// Close stops the servers and waits until they have stopped.
func (n *Network) Close() error {
	var errs []error
	for _, srv := range n.servers {
		errs = append(errs, srv.Close())
	}
	if len(n.servers) == 0 {
		for _, l := range n.listeners {
			errs = append(errs, l.Close())
		}
	}
	n.serving.Wait()
	return errors.Join(errs...)
}

// models returns the fakes as models to ask, over connections of their own.
func (n *Network) models() []Server {
	// As many as a burst needs, and not as many as there may be files open.
	const conns = 500
	base := &http.Transport{MaxConnsPerHost: conns, MaxIdleConnsPerHost: conns}
	out := make([]Server, len(n.listeners))
	for i, l := range n.listeners {
		f := n.fakes[i]
		out[i] = Server{Model: f.Name, Price: f.Price, URL: fmt.Sprintf("http://%v/v1", l.Addr()),
			HTTP: &http.Client{Transport: stamp{base, i}}}
	}
	return out
}

// A passage is one call on its way, as the network sees it.
type passage struct {
	id    string
	tries [8]atomic.Int32 // by fake
}

type passageKey struct{}

func withPassage(ctx context.Context, id string) (context.Context, *passage) {
	p := &passage{id: id}
	return context.WithValue(ctx, passageKey{}, p), p
}

// attempts counts the requests that went out.
func (p *passage) attempts() (n int) {
	for i := range p.tries {
		n += int(p.tries[i].Load())
	}
	return n
}

// stamp tells the i-th fake which attempt of which call a request is, so that
// all rows meet the same fate.
type stamp struct {
	base http.RoundTripper
	i    int
}

func (s stamp) RoundTrip(req *http.Request) (*http.Response, error) {
	if p, ok := req.Context().Value(passageKey{}).(*passage); ok {
		req = req.Clone(req.Context())
		req.Header.Set(chaos.HeaderCall, p.id)
		req.Header.Set(chaos.HeaderTry, strconv.Itoa(int(p.tries[s.i].Add(1))-1))
	}
	return s.base.RoundTrip(req)
}

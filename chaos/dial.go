package chaos

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
)

// Faults of the way to a provider, which an [Injector] plays: they happen in the
// client, and no server sees them. After is how late they show.
const (
	NoSuchHost         FaultName = "no_such_host"        // the name is not found
	ConnectionRefused  FaultName = "connection_refused"  // nobody listens
	TLSHandshake       FaultName = "tls_handshake"       // it fails
	CertificateExpired FaultName = "certificate_expired" // the provider's, so that nothing is sent

	// StaleConnection is a connection that was kept alive and that the other side has
	// given up. A [Provider] resets each request on a connection that has served one
	// before, over those of its [Provider.Client], and all of them elsewhere.
	StaleConnection FaultName = "stale_connection"
)

// onTheWay are the faults that happen before anybody is asked.
var onTheWay = []FaultName{NoSuchHost, ConnectionRefused, TLSHandshake, CertificateExpired}

// dialing is what a client makes of a fault on the way to host, or nil.
func (f Fault) dialing(host string) error {
	switch f.Name {
	case NoSuchHost:
		return &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
	case ConnectionRefused:
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	case TLSHandshake:
		const handshakeFailure = 40
		return &net.OpError{Op: "remote error", Err: tls.AlertError(handshakeFailure)}
	case CertificateExpired:
		return &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired}}
	case StaleConnection:
		return &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.EPIPE)}
	}
	return nil
}

type servedKey struct{}

// serves gives the requests of a connection a count of them.
func serves(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, servedKey{}, new(atomic.Int64))
}

// reused counts a request, and reports whether its connection has served one
// before, as far as its server tells.
func reused(ctx context.Context) bool {
	served, ok := ctx.Value(servedKey{}).(*atomic.Int64)
	return !ok || served.Add(1) > 1
}

// AtWire reports whether a [Provider] can play a fault. Many can be played by an
// [Injector] as well: see [FaultName.InProcess].
func (n FaultName) AtWire() bool {
	_, known := looks[n]
	return known && !slices.Contains(onTheWay, n)
}

// InProcess reports whether an [Injector] can play a fault.
func (n FaultName) InProcess() bool {
	_, refuses := meanings[n]
	return refuses || slices.Contains(inProcess, n) || slices.Contains(onTheWay, n)
}

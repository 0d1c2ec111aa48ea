package email_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor/email"
)

// A server takes mail on a port of its own.
type server struct {
	implicit bool              // TLS from the start
	plain    bool              // no TLS at all
	auth     string            // the methods that it offers
	replies  map[string]string // to commands that begin so; "hang" and "drop" do that

	listener net.Listener
	tls      *tls.Config
	roots    *x509.CertPool
	stop     chan struct{}
	wg       sync.WaitGroup

	mu       sync.Mutex
	commands []string // with + before those that were encrypted
	messages []received
}

type received struct {
	from, data string
	to         []string
}

func (s *server) start(t *testing.T) *server {
	t.Helper()
	t.Cleanup(s.run().close)
	return s
}

func (s *server) run() *server {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	must(err)
	parsed, err := x509.ParseCertificate(der)
	must(err)
	s.roots = x509.NewCertPool()
	s.roots.AddCert(parsed)
	s.tls = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.stop = make(chan struct{})
	s.listener, err = net.Listen("tcp", "127.0.0.1:0")
	must(err)
	s.wg.Go(func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() {
				defer func() { _ = conn.Close() }()
				s.serve(conn)
			})
		}
	})
	return s
}

func (s *server) close() {
	close(s.stop)
	_ = s.listener.Close()
	s.wg.Wait()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (s *server) port() int {
	_, port, _ := net.SplitHostPort(s.listener.Addr().String())
	n, _ := strconv.Atoi(port)
	return n
}

// trusted returns a configuration that trusts the server.
func (s *server) trusted() *tls.Config {
	return &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS12}
}

// config returns that of a channel to the server.
func (s *server) config() email.Config {
	cfg := email.Config{
		Host: "127.0.0.1", Port: s.port(), TLS: s.trusted(),
		From: "Resilience <alerts@example.com>", To: []string{"oncall@example.com"}, Timeout: 5 * time.Second,
	}
	if s.implicit {
		cfg.Security = "tls"
	}
	if s.auth != "" {
		cfg.Username, cfg.Password = "alerts", resilience.NewSecret("hunter2")
	}
	return cfg
}

func (s *server) seen() ([]string, []received) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commands, s.messages
}

func (s *server) reply(command string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for begin, reply := range s.replies {
		if strings.HasPrefix(command, begin) {
			return reply
		}
	}
	return ""
}

func (s *server) set(replies map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replies = replies
}

func (s *server) serve(conn net.Conn) {
	encrypted := false
	encrypt := func() {
		conn, encrypted = tls.Server(conn, s.tls), true
	}
	if s.implicit {
		encrypt()
	}
	in := bufio.NewReader(conn)
	say := func(reply string) { _, _ = fmt.Fprintf(conn, "%s\r\n", reply) }
	var m received
	next := func() (string, bool) {
		l, err := in.ReadString('\n')
		l = strings.TrimRight(l, "\r\n")
		s.mu.Lock()
		defer s.mu.Unlock()
		s.commands = append(s.commands, map[bool]string{true: "+"}[encrypted]+l)
		return l, err == nil
	}
	special := func(reply string) bool {
		switch reply {
		case "hang":
			<-s.stop
		case "drop":
		default:
			return false
		}
		return true
	}
	if special(s.reply("greeting")) {
		return
	}
	say("220 ready")
	for {
		l, ok := next()
		if !ok {
			return
		}
		if reply := s.reply(l); reply != "" {
			if special(reply) {
				return
			}
			say(reply)
			continue
		}
		verb, _, _ := strings.Cut(l, " ")
		switch verb {
		case "EHLO":
			say("250-here")
			if !encrypted && !s.plain {
				say("250-STARTTLS")
			}
			if s.auth != "" {
				say("250-AUTH " + s.auth)
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go on")
			encrypt()
			in = bufio.NewReader(conn)
		case "AUTH":
			if strings.HasPrefix(l, "AUTH LOGIN") {
				for _, ask := range []string{"Username:", "Password:"} {
					say("334 " + base64.StdEncoding.EncodeToString([]byte(ask)))
					if _, ok := next(); !ok {
						return
					}
				}
			}
			say("235 welcome")
		case "MAIL":
			m = received{from: l}
			say("250 fine")
		case "RCPT":
			m.to = append(m.to, strings.Trim(strings.TrimPrefix(l, "RCPT TO:"), "<>"))
			say("250 fine")
		case "DATA":
			say("354 go on")
			if special(s.reply("in data")) {
				return
			}
			data, err := textproto.NewReader(in).ReadDotBytes()
			if err != nil {
				return
			}
			if reply := s.reply("after data"); reply != "" {
				if special(reply) {
					return
				}
				say(reply)
				continue
			}
			m.data = string(data)
			s.mu.Lock()
			s.messages = append(s.messages, m)
			s.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		case "*":
			say("501 aborted")
		default:
			say("502 what?")
		}
	}
}

package email

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// errFinal marks what no other try would change.
var errFinal = errors.New("not tried again")

// permanent reports whether the server, or how it is, will not have it later either.
func permanent(err error) bool {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.code >= 500
	}
	return errors.Is(err, errFinal)
}

// A refusal is what the server said to a command.
type refusal struct {
	code  int
	words string
}

func (r *refusal) Error() string { return strings.TrimSpace(strconv.Itoa(r.code) + " " + r.words) }

// deliver sends a message to those of whom the server takes it, and returns those
// of whom it does not. An error means that nobody has it for certain.
func (c *channel) deliver(ctx context.Context, to []*mail.Address, msg *gomail.Msg) (refused map[string]error, err error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	s, err := smtp.NewClient(conn, c.cfg.Host)
	if err != nil {
		return nil, step("the greeting", err)
	}
	if err := c.open(s); err != nil {
		return nil, err
	}
	if refused, err = c.envelope(s, to); err != nil {
		return nil, err
	}
	if err := write(s, msg); err != nil {
		return nil, err
	}
	_, _ = s.Text.Cmd("QUIT") // the message is theirs, whatever they say now
	return refused, nil
}

func (c *channel) dial(ctx context.Context) (net.Conn, error) {
	dial := (&net.Dialer{}).DialContext
	if c.cfg.Security == securityTLS {
		dial = (&tls.Dialer{Config: c.tls}).DialContext
	}
	conn, err := dial(ctx, "tcp", c.cfg.server())
	if err != nil {
		return nil, fmt.Errorf("no connection: %w", err)
	}
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline.Add(time.Second)); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("no connection: %w", err)
	}
	return conn, nil
}

// open greets, encrypts and says who it is.
func (c *channel) open(s *smtp.Client) error {
	if err := s.Hello(me()); err != nil {
		return step("EHLO", err)
	}
	if c.cfg.Security == securitySTARTTLS {
		if ok, _ := s.Extension("STARTTLS"); !ok {
			return fmt.Errorf("%w: the server does not offer STARTTLS, and nothing is sent in the clear; set security to tls if the port is one for TLS", errFinal)
		}
		if err := s.StartTLS(c.tls); err != nil {
			return step("STARTTLS", err)
		}
	}
	if c.cfg.Username == "" {
		return nil
	}
	auth, err := c.auth(s)
	if err != nil {
		return err
	}
	if err := s.Auth(auth); err != nil {
		return fmt.Errorf("the user name or password did not pass: %w", wordless(err))
	}
	return nil
}

func (c *channel) auth(s *smtp.Client) (smtp.Auth, error) {
	_, offered := s.Extension("AUTH")
	for m := range strings.FieldsSeq(strings.ToUpper(offered)) {
		switch m {
		case "PLAIN":
			return smtp.PlainAuth("", c.cfg.Username, c.cfg.Password.Reveal(), c.cfg.Host, false), nil
		case "LOGIN":
			return smtp.LoginAuth(c.cfg.Username, c.cfg.Password.Reveal(), c.cfg.Host, false), nil
		}
	}
	return nil, fmt.Errorf("%w: the server offers neither AUTH PLAIN nor LOGIN", errFinal)
}

// wordless leaves of an error what it is alone: its words may repeat what was sent.
func wordless(err error) error {
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		return &refusal{code: reply.Code}
	}
	if lost, ok := errors.AsType[net.Error](err); ok {
		return lost
	}
	return errors.New("the connection or the protocol broke")
}

// envelope says who the message is from and for. Its error says that it is for nobody.
func (c *channel) envelope(s *smtp.Client, to []*mail.Address) (refused map[string]error, err error) {
	if err := s.Mail("<" + c.from.Address + ">"); err != nil {
		return nil, step("MAIL FROM "+c.from.Address, err)
	}
	refused = map[string]error{}
	var errs []error
	for _, a := range to {
		switch err := step("RCPT TO "+a.Address, s.Rcpt("<"+a.Address+">")); {
		case err == nil:
		case broken(err):
			return nil, err
		case permanent(err):
			refused[a.Address] = err
			errs = append(errs, err)
		default: // goes first, as it makes another try worth it
			refused[a.Address] = err
			errs = append([]error{err}, errs...)
		}
	}
	if len(refused) < len(to) {
		return refused, nil
	}
	return nil, errors.Join(errs...)
}

// broken reports whether the server will hear no other command.
func broken(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return !ok || r.code == 421
}

func write(s *smtp.Client, msg *gomail.Msg) error {
	w, err := s.Data()
	if err != nil {
		return step("DATA", err)
	}
	if _, err := msg.WriteTo(w); err != nil {
		return step("the message", err)
	}
	return step("the message", w.Close())
}

// step says what it was that failed, if it did.
func step(what string, err error) error {
	if err == nil {
		return nil
	}
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		return fmt.Errorf("%s was refused: %w", what, &refusal{reply.Code, line(reply.Msg, 100)})
	}
	return fmt.Errorf("%s failed: %w", what, err)
}

// me is the name of this host, if it has one that can be said.
func me() string {
	name, err := os.Hostname()
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.'
	}
	if err != nil || name == "" || len(name) > 255 || strings.ContainsFunc(name, odd) {
		return "localhost"
	}
	return name
}

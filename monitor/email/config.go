package email

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

const section = "email"

// Config configures a channel. Host, From and To must be set.
type Config struct {
	// Name is what configuration and records call the channel.
	Name string `json:"name" default:"email"`

	// Host is the server that takes mail, and Port where it listens; 587 with
	// starttls, 465 with tls and 25 with none.
	Host string `json:"host"`
	Port int    `json:"port" max:"65535"`

	// Security is how the connection is encrypted: starttls begins in the clear,
	// and sends nothing to a server that does not offer to go on with TLS; tls is
	// encrypted from the start. With none all can be read, and changed, on the
	// way, so that it goes without a password.
	Security string `json:"security" default:"starttls" oneof:"starttls tls none"`

	// TLS is the configuration of TLS; nil means the roots of the system, and
	// TLS 1.2 or newer. The name in the certificate is Host, if it says no other.
	TLS *tls.Config `json:"-"`

	// Username and Password are shown to the server by AUTH PLAIN or LOGIN,
	// if there is a Username.
	Username string            `json:"username"`
	Password resilience.Secret `json:"-"`

	// From is who the mail is from, and To whom it is for: addresses in ASCII,
	// each with a name before it or without, as in "On call <oncall@example.com>".
	From string   `json:"from"`
	To   []string `json:"to"`

	// SubjectPrefix stands before each subject. Services whose mail is from the
	// same address each need one of their own: it tells their threads apart.
	SubjectPrefix string `json:"subjectPrefix"`

	// Timeout bounds a delivery, along with the context that it is given.
	Timeout time.Duration `json:"timeout" default:"30s" min:"10ms" max:"10m" off:"no"`
}

// maxTo is how many recipients servers have to take at once.
const maxTo = 100

func (c Config) check() error {
	problems := settings.Check(section, c)
	fail := func(field, format string, args ...any) {
		problems = append(problems, settings.Problem{Path: section + "." + field, Problem: fmt.Sprintf(format, args...)})
	}
	for _, f := range []struct{ field, text string }{
		{"name", c.Name}, {"host", c.Host}, {"username", c.Username},
		{"from", c.From}, {"subjectPrefix", c.SubjectPrefix},
	} {
		if strings.ContainsFunc(f.text, unprintable) {
			fail(f.field, "has a character that cannot be printed")
		}
	}
	switch {
	case c.Host == "":
		fail("host", "is missing: it is the server that takes mail")
	case strings.ContainsAny(c.Host, " /[]@") || strings.Contains(c.Host, ":") && net.ParseIP(c.Host) == nil:
		fail("host", "is not the name or address of a host; the port has a field of its own")
	}
	if c.Port < 0 {
		fail("port", "is negative")
	}
	if c.Username == "" && c.Password.Reveal() != "" {
		fail("username", "is missing, and there is a password")
	}
	if c.Username != "" && c.Security == securityNone {
		fail("security", "is none, which would send the password in the clear; use starttls or tls")
	}
	if _, err := parse(c.From); err != nil {
		fail("from", "%s", err)
	}
	if len(c.To) == 0 || len(c.To) > maxTo {
		fail("to", "has %d addresses, and needs 1 to %d", len(c.To), maxTo)
	}
	seen := map[string]bool{}
	for i, to := range c.To {
		field := fmt.Sprintf("to[%d]", i)
		switch a, err := parse(to); {
		case err != nil:
			fail(field, "%s", err)
		case seen[a.Address]:
			fail(field, "is there twice")
		default:
			seen[a.Address] = true
		}
	}
	var errs []error
	for _, p := range problems {
		errs = append(errs, &resilience.ConfigError{Path: p.Path, Problem: p.Problem})
	}
	return errors.Join(errs...)
}

const (
	securitySTARTTLS = "starttls"
	securityTLS      = "tls"
	securityNone     = "none"
)

// server returns host and port.
func (c Config) server() string {
	port := c.Port
	if port == 0 {
		port = map[string]int{securitySTARTTLS: 587, securityTLS: 465, securityNone: 25}[c.Security]
	}
	return net.JoinHostPort(c.Host, strconv.Itoa(port))
}

// parse returns an address that can stand in a command as it is.
func parse(s string) (*mail.Address, error) {
	if strings.ContainsFunc(s, unprintable) {
		return nil, errors.New("has a character that cannot be printed")
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		return nil, errors.New("is not an address such as oncall@example.com")
	}
	odd := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`<>"\,;`, r) }
	if len(a.Address) > 254 || strings.ContainsFunc(a.Address, odd) {
		return nil, errors.New("has an address that is too long, not in ASCII, or needs quotes")
	}
	return a, nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

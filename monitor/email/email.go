// Package email sends notifications of alerts by e-mail: one message each, as text
// and as HTML, of which mail clients make one thread for each group. It is a module
// of its own, so that who sends no mail need not have it.
package email

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"sync"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

// New returns a channel that sends mail. It does not connect yet. Its error joins
// [*resilience.ConfigError]s.
//
// Notify connects for each message and returns when the server has taken it. What
// the server refuses for good, such as a password or all recipients, is
// [notify.Permanent]. An address that is refused does not keep the mail from
// others: they get it, once, and Notify returns an error that names the one. A try
// that broke off after the message may have reached the server twice; both times
// it is the same message by its Message-ID.
//
// A group's first message has an ID that is derived from the group, the host,
// From and SubjectPrefix; all others refer to it, also those of a process that was
// started later.
func New(cfg Config) (notify.Channel, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	settings.Fill(&cfg)
	c := &channel{cfg: cfg, taken: map[string]map[string]bool{}}
	var errs []error
	parsed := func(s string) *mail.Address {
		a, err := parse(s)
		errs = append(errs, err)
		return a
	}
	c.from = parsed(cfg.From)
	for _, to := range cfg.To {
		c.to = append(c.to, parsed(to))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, &resilience.ConfigError{Path: section, Problem: err.Error()}
	}
	c.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.TLS != nil {
		c.tls = cfg.TLS.Clone()
	}
	c.tls.ServerName = cmp.Or(c.tls.ServerName, cfg.Host)
	return c, nil
}

type channel struct {
	cfg  Config
	tls  *tls.Config
	from *mail.Address
	to   []*mail.Address

	mu    sync.Mutex
	taken map[string]map[string]bool // by Message-ID, who has one that others could not get yet
}

// Name implements [notify.Channel].
func (c *channel) Name() string { return c.cfg.Name }

// Notify implements [notify.Channel].
func (c *channel) Notify(ctx context.Context, n notify.Notification) error {
	msg, id, err := c.message(n)
	if err != nil {
		return notify.Permanent(fmt.Errorf("email: the message cannot be written: %w", err))
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	refused, err := c.deliver(ctx, c.missing(id), msg)
	if err != nil {
		return c.fail(ctx, err)
	}
	return c.outcome(id, refused)
}

// fail says where it failed, and whether another try could go better.
func (c *channel) fail(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = fmt.Errorf("%w, after %w", context.Cause(ctx), err)
	}
	final := permanent(err)
	err = fmt.Errorf("email: %s: %w", c.cfg.server(), err)
	if final {
		return notify.Permanent(err)
	}
	return notify.Retryable(err, 0)
}

// missing returns who has not got the message yet.
func (c *channel) missing(id string) (list []*mail.Address) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, to := range c.to {
		if !c.taken[id][to.Address] {
			list = append(list, to)
		}
	}
	return list
}

// maxTaken bounds how many messages are remembered that only some have got.
const maxTaken = 64

// outcome remembers who has got a message while others are to be tried again, and
// says whom the server refused.
func (c *channel) outcome(id string, refused map[string]error) error {
	if len(refused) == 0 {
		c.forget(id)
		return nil
	}
	var errs []error
	again := false
	for _, to := range c.to {
		if err := refused[to.Address]; err != nil {
			errs = append(errs, err)
			again = again || !permanent(err)
		}
	}
	err := fmt.Errorf("email: %s took the message for all but %d of %d: %w", c.cfg.server(), len(errs), len(c.to), errors.Join(errs...))
	if !again {
		c.forget(id)
		return notify.Permanent(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for old := range c.taken {
		if len(c.taken) < maxTaken {
			break
		}
		delete(c.taken, old)
	}
	has := map[string]bool{}
	for _, to := range c.to {
		has[to.Address] = refused[to.Address] == nil
	}
	c.taken[id] = has
	return notify.Retryable(err, 0)
}

func (c *channel) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.taken, id)
}

// domain is the part of an address after the @.
func domain(a *mail.Address) string { return a.Address[strings.LastIndexByte(a.Address, '@')+1:] }

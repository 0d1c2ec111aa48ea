package email_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
	"github.com/cmmv-hive/resilience/monitor/email"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func notification() notify.Notification {
	return notify.Notification{
		Group: "0123456789abcdef.sz1", Reason: notify.New, Severity: notify.Critical, Time: noon,
		Alerts: []notify.Alert{{
			Rule: "model_unavailable", Severity: notify.Critical, Labels: map[string]string{"provider": "openai", "model": "gpt-5"},
			Summary: "gpt-5 lets nothing through", Description: "Its breaker is open.\nLook at <status>.",
			Runbook: "https://example.com/runbook?a=1&b=2", Value: 1, Threshold: 0.5, StartsAt: noon.Add(-time.Minute),
		}},
	}
}

func send(t *testing.T, cfg email.Config, n notify.Notification) error {
	t.Helper()
	c, err := email.New(cfg)
	require.NoError(t, err)
	return c.Notify(t.Context(), n)
}

// permanent asks an outbox, which alone can tell.
func permanent(t *testing.T, err error) bool {
	t.Helper()
	o := notify.NewOutbox(notify.Config{Channels: []notify.Channel{fails{err}}, Backoff: time.Millisecond, Flush: -1})
	pool, perr := resilience.NewPool(o)
	require.NoError(t, perr)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = pool.Run(ctx)
	}()
	require.Eventually(t, func() bool { return o.Send("fails", notification()) == nil }, 5*time.Second, time.Millisecond)
	require.Eventually(t, func() bool {
		s := o.Stats()[0]
		return s.Retries > 0 || s.Outcomes[notify.Failed] > 0
	}, 5*time.Second, time.Millisecond)
	cancel()
	<-done
	return o.Stats()[0].Outcomes[notify.Failed] > 0
}

type fails struct{ err error }

func (f fails) Name() string                                      { return "fails" }
func (f fails) Notify(context.Context, notify.Notification) error { return f.err }

// open returns a message's header and its parts by type.
func open(t *testing.T, m received) (mail.Header, map[string]string) {
	t.Helper()
	msg, err := mail.ReadMessage(strings.NewReader(m.data))
	require.NoError(t, err)
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	require.NoError(t, err)
	require.Equal(t, "multipart/alternative", kind)
	parts := map[string]string{}
	for r := multipart.NewReader(msg.Body, params["boundary"]); ; {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return msg.Header, parts
		}
		require.NoError(t, err)
		require.Equal(t, "quoted-printable", p.Header.Get("Content-Transfer-Encoding"))
		body, err := io.ReadAll(quotedprintable.NewReader(p))
		require.NoError(t, err)
		kind, _, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		require.NoError(t, err)
		parts[kind] = string(body)
	}
}

func TestMessage(t *testing.T) {
	for _, s := range []*server{{}, {implicit: true}, {auth: "PLAIN LOGIN"}, {auth: "LOGIN", implicit: true}, {plain: true}} {
		s.start(t)
		cfg := s.config()
		cfg.SubjectPrefix = "[shop]"
		if s.plain {
			cfg.Security = "none"
		}
		require.NoError(t, send(t, cfg, notification()))
		commands, messages := s.seen()
		require.Len(t, messages, 1)
		require.True(t, strings.HasPrefix(messages[0].from, "MAIL FROM:<alerts@example.com>"))
		require.Equal(t, []string{"oncall@example.com"}, messages[0].to)
		for _, c := range commands {
			sent := strings.TrimPrefix(c, "+")
			if strings.HasPrefix(sent, "AUTH") || strings.HasPrefix(sent, "MAIL") {
				require.Equal(t, !s.plain, strings.HasPrefix(c, "+"), c)
			}
		}
		if s.auth != "" {
			all := strings.Join(commands, "\n")
			require.True(t, strings.Contains(all, base64.StdEncoding.EncodeToString([]byte("\x00alerts\x00hunter2"))) ||
				strings.Contains(all, base64.StdEncoding.EncodeToString([]byte("hunter2"))), all)
		}

		h, parts := open(t, messages[0])
		require.Equal(t, `"Resilience" <alerts@example.com>`, h.Get("From"))
		require.Equal(t, "<oncall@example.com>", h.Get("To"))
		require.Equal(t, "[shop] [CRITICAL] gpt-5 lets nothing through", h.Get("Subject"))
		require.Equal(t, "auto-generated", h.Get("Auto-Submitted"))
		date, err := h.Date()
		require.NoError(t, err)
		require.True(t, date.Equal(noon))
		require.Equal(t, `New. 2026-12-01 12:00:00 UTC

CRITICAL model_unavailable
gpt-5 lets nothing through
since 2026-12-01 11:59:00 UTC
measured 1, may be 0.5
  model: gpt-5
  provider: openai

Its breaker is open.
Look at <status>.

Runbook: https://example.com/runbook?a=1&b=2
`, strings.ReplaceAll(parts["text/plain"], "\r\n", "\n"))
		require.Contains(t, parts["text/html"], "Look at &lt;status&gt;.")
		require.Contains(t, parts["text/html"], `<a href="https://example.com/runbook?a=1&amp;b=2">`)
	}
}

func TestThread(t *testing.T) {
	s := (&server{}).start(t)
	n := notification()
	require.NoError(t, send(t, s.config(), n))
	require.NoError(t, send(t, s.config(), n)) // tried again
	for i, r := range []notify.Reason{notify.Repeated, notify.Repeated, notify.Resolved} {
		later := n
		later.Reason, later.Time = r, noon.Add(time.Duration(i+1)*time.Hour)
		if r == notify.Resolved {
			later.Alerts = []notify.Alert{n.Alerts[0]}
			later.Alerts[0].EndsAt = later.Time
		}
		require.NoError(t, send(t, s.config(), later), "by a new channel, as after a restart")
	}
	n.Group = "other"
	require.NoError(t, send(t, s.config(), n))
	cfg := s.config()
	cfg.SubjectPrefix = "other"
	require.NoError(t, send(t, cfg, n))

	_, messages := s.seen()
	var ids []string
	var headers []mail.Header
	for _, m := range messages {
		h, _ := open(t, m)
		headers = append(headers, h)
		ids = append(ids, h.Get("Message-ID"))
	}
	require.Regexp(t, `^<[0-9a-f]{32}@example\.com>$`, ids[0])
	require.Equal(t, ids[0], ids[1])
	for _, h := range headers[2:5] {
		require.Equal(t, ids[0], h.Get("In-Reply-To"))
		require.Equal(t, ids[0], h.Get("References"))
	}
	for _, h := range []mail.Header{headers[0], headers[5], headers[6]} {
		require.Empty(t, h.Get("In-Reply-To"))
	}
	different := map[string]bool{}
	for _, id := range ids[1:] {
		different[id] = true
	}
	require.Len(t, different, 6)
	require.Equal(t, "[RESOLVED] gpt-5 lets nothing through", headers[4].Get("Subject"))
	require.Equal(t, "high", headers[0].Get("Importance"))
	require.Empty(t, headers[4].Get("Importance"))
}

func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		name    string
		server  *server
		replies map[string]string
		want    string
		final   bool
	}{
		{"refused password", &server{auth: "PLAIN"}, map[string]string{"AUTH": "535 no, hunter2 is wrong"}, "the user name or password did not pass: 535", true},
		{"password later", &server{auth: "LOGIN"}, map[string]string{"AUTH": "454 later"}, "did not pass: 454", false},
		{"no auth", &server{auth: "GSSAPI"}, nil, "neither AUTH PLAIN nor LOGIN", true},
		{"no STARTTLS", &server{plain: true}, nil, "does not offer STARTTLS", true},
		{"STARTTLS refused", &server{}, map[string]string{"STARTTLS": "454 no"}, "STARTTLS was refused: 454", false},
		{"sender later", &server{}, map[string]string{"MAIL": "451 greylisted"}, "MAIL FROM alerts@example.com was refused: 451 greylisted", false},
		{"sender refused", &server{}, map[string]string{"MAIL": "550 not you"}, "refused: 550 not you", true},
		{"recipient refused", &server{}, map[string]string{"RCPT": "550 no such user"}, "RCPT TO oncall@example.com was refused: 550", true},
		{"recipient later", &server{}, map[string]string{"RCPT": "450 busy"}, "450 busy", false},
		{"shutting down", &server{}, map[string]string{"RCPT": "421 bye"}, "421 bye", false},
		{"data refused", &server{}, map[string]string{"DATA": "554 no"}, "DATA was refused: 554", true},
		{"message refused", &server{}, map[string]string{"after data": "552 too big"}, "the message was refused: 552", true},
		{"message later", &server{}, map[string]string{"after data": "452 full"}, "452 full", false},
		{"drops in data", &server{}, map[string]string{"in data": "drop"}, "the message failed", false},
		{"drops after data", &server{}, map[string]string{"after data": "drop"}, "the message failed", false},
		{"drops at once", &server{}, map[string]string{"greeting": "drop"}, "the greeting failed", false},
		{"long words", &server{}, map[string]string{"MAIL": "550 " + strings.Repeat("x", 500)}, "…", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.server.replies = tt.replies
			s := tt.server.start(t)
			err := send(t, s.config(), notification())
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, "email: 127.0.0.1:")
			require.Equal(t, tt.final, permanent(t, err), err)
			require.NotContains(t, err.Error(), "hunter2")
			require.NotContains(t, err.Error(), base64.StdEncoding.EncodeToString([]byte("\x00alerts\x00hunter2")))
			require.Less(t, len(err.Error()), 400)
			commands, messages := s.seen()
			require.Empty(t, messages)
			if tt.server.plain {
				require.NotContains(t, strings.Join(commands, "\n"), "MAIL")
			}
		})
	}
}

func TestCertificate(t *testing.T) {
	for _, s := range []*server{{}, {implicit: true}} {
		s.start(t)
		cfg := s.config()
		cfg.TLS = nil
		err := send(t, cfg, notification())
		require.ErrorContains(t, err, "certificate")
		require.False(t, permanent(t, err), "certificates are renewed")
		commands, _ := s.seen()
		require.NotContains(t, strings.Join(commands, "\n"), "MAIL")
	}
}

func TestNobodyListens(t *testing.T) {
	s := (&server{}).start(t)
	require.NoError(t, s.listener.Close())
	err := send(t, s.config(), notification())
	require.ErrorContains(t, err, "no connection")
	require.False(t, permanent(t, err))
}

func TestHangs(t *testing.T) {
	for _, at := range []string{"greeting", "EHLO", "STARTTLS", "MAIL", "RCPT", "in data", "after data"} {
		for _, byContext := range []bool{false, true} {
			s := (&server{replies: map[string]string{at: "hang"}}).start(t)
			cfg := s.config()
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if !byContext {
				cfg.Timeout, ctx = 50*time.Millisecond, t.Context()
			}
			c, err := email.New(cfg)
			require.NoError(t, err)
			began := time.Now()
			err = c.Notify(ctx, notification())
			require.ErrorIs(t, err, context.DeadlineExceeded, at)
			require.Less(t, time.Since(began), 3*time.Second)
			require.False(t, permanent(t, err))
		}
	}
	s := (&server{replies: map[string]string{"QUIT": "hang"}}).start(t)
	began := time.Now()
	require.NoError(t, send(t, s.config(), notification()), "it has been taken")
	require.Less(t, time.Since(began), time.Second)
}

func TestSomeRefused(t *testing.T) {
	s := (&server{replies: map[string]string{"RCPT TO:<gone@": "550 no such user", "RCPT TO:<busy@": "450 later"}}).start(t)
	cfg := s.config()
	cfg.To = []string{"oncall@example.com", "Gone <gone@example.com>", "busy@example.com"}
	c, err := email.New(cfg)
	require.NoError(t, err)
	err = c.Notify(t.Context(), notification())
	require.ErrorContains(t, err, "took the message for all but 2 of 3")
	require.ErrorContains(t, err, "gone@example.com was refused: 550 no such user")
	require.False(t, permanent(t, err), "one of them is worth another try")

	s.set(map[string]string{"RCPT TO:<gone@": "550 no such user"})
	err = c.Notify(t.Context(), notification())
	require.ErrorContains(t, err, "took the message for all but 1 of 3")
	require.True(t, permanent(t, err))

	s.set(nil)
	require.NoError(t, c.Notify(t.Context(), notification()))
	_, messages := s.seen()
	var to [][]string
	for _, m := range messages {
		to = append(to, m.to)
		h, _ := open(t, m)
		require.Contains(t, h.Get("To"), "busy@example.com", "all see who else has it")
	}
	require.Equal(t, [][]string{
		{"oncall@example.com"},
		{"busy@example.com"},
		{"oncall@example.com", "gone@example.com", "busy@example.com"}, // as it was given up before
	}, to)
}

func TestInjection(t *testing.T) {
	s := (&server{}).start(t)
	n := notification()
	evil := "x\r\nBcc: everyone@example.com\r\n\r\n.\r\nMAIL FROM:<a@b>\x00\x1b[31m\u202e"
	a := &n.Alerts[0]
	a.Rule, a.Summary, a.Description, a.AckedBy, n.Group = evil, evil, evil+"<script>alert(1)</script>", evil, evil
	a.Labels = map[string]string{evil: evil}
	a.Runbook = "javascript:alert(1)"
	require.NoError(t, send(t, s.config(), n))
	_, messages := s.seen()
	require.Len(t, messages, 1)
	require.Equal(t, []string{"oncall@example.com"}, messages[0].to)
	h, parts := open(t, messages[0])
	require.Empty(t, h.Get("Bcc"))
	require.NotContains(t, parts["text/html"], "<script>")
	require.NotContains(t, parts["text/html"], "javascript:")
	for _, p := range parts {
		require.NotContains(t, p, "\x1b")
		require.NotContains(t, p, "\u202e")
		require.NotContains(t, p, "\x00")
	}
}

func TestEmptyAndHuge(t *testing.T) {
	s := (&server{}).start(t)
	require.NoError(t, send(t, s.config(), notify.Notification{Time: noon}))
	n := notification()
	a := n.Alerts[0]
	a.Description, a.Summary = strings.Repeat("é", 1<<20), strings.Repeat("日", 1000)
	a.Labels = map[string]string{}
	for i := range 1000 {
		a.Labels[fmt.Sprint(i)] = strings.Repeat("x", 1000)
	}
	n.Alerts = nil
	for range 1000 {
		n.Alerts = append(n.Alerts, a)
	}
	require.NoError(t, send(t, s.config(), n))
	_, messages := s.seen()
	require.Len(t, messages, 2)
	h, _ := open(t, messages[0])
	require.Equal(t, "[RESOLVED]", h.Get("Subject"))
	h, parts := open(t, messages[1])
	subject, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
	require.NoError(t, err)
	require.Contains(t, subject, "日…")
	require.Less(t, len(subject), 250)
	require.Contains(t, parts["text/plain"], "And 900 more.")
	require.Less(t, len(messages[1].data), 8<<20)
}

func TestConfig(t *testing.T) {
	require.NoError(t, settings.Lint(email.Config{}))
	good := email.Config{Host: "smtp.example.com", From: "a@example.com", To: []string{"b@example.com"}}
	c, err := email.New(good)
	require.NoError(t, err)
	require.Equal(t, "email", c.Name())
	for want, change := range map[string]func(*email.Config){
		"email.host: is missing":                             func(c *email.Config) { c.Host = "" },
		"email.host: is not the name":                        func(c *email.Config) { c.Host = "smtp.example.com:25" },
		"email.host: has a character that cannot be printed": func(c *email.Config) { c.Host = "a\r\nb" },
		"email.port":                           func(c *email.Config) { c.Port = 70000 },
		"email.port: is negative":              func(c *email.Config) { c.Port = -1 },
		"email.security":                       func(c *email.Config) { c.Security = "ssl" },
		"email.security: is none, which":       func(c *email.Config) { c.Security, c.Username = "none", "me" },
		"email.username: is missing":           func(c *email.Config) { c.Password = resilience.NewSecret("hunter2") },
		"email.username: has a character":      func(c *email.Config) { c.Username = "a\nb" },
		"email.from: is not an address":        func(c *email.Config) { c.From = "nobody" },
		"email.from: has a character":          func(c *email.Config) { c.From = "a@example.com\r\nBcc: b@example.com" },
		"email.subjectPrefix: has a character": func(c *email.Config) { c.SubjectPrefix = "a\nb" },
		"email.to: has 0 addresses":            func(c *email.Config) { c.To = nil },
		"email.to: has 101 addresses":          func(c *email.Config) { c.To = make([]string, 101) },
		"email.to[0]: is not an address":       func(c *email.Config) { c.To = []string{"b@"} },
		"email.to[0]: has an address that":     func(c *email.Config) { c.To = []string{"ü@example.com"} },
		"email.to[0]: has an address that is":  func(c *email.Config) { c.To = []string{`"a b"@example.com`} },
		"email.to[1]: is there twice":          func(c *email.Config) { c.To = append(c.To, "B <b@example.com>") },
		"email.timeout":                        func(c *email.Config) { c.Timeout = time.Hour },
	} {
		cfg := good
		cfg.To = append([]string{}, good.To...)
		change(&cfg)
		_, err := email.New(cfg)
		require.ErrorContains(t, err, want)
		var bad *resilience.ConfigError
		require.ErrorAs(t, err, &bad)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestConcurrent(t *testing.T) {
	s := (&server{replies: map[string]string{"RCPT TO:<busy@": "450 later"}}).start(t)
	cfg := s.config()
	cfg.To = append(cfg.To, "busy@example.com")
	c, err := email.New(cfg)
	require.NoError(t, err)
	errs := make(chan error, 80)
	for i := range cap(errs) {
		go func() {
			n := notification()
			n.Group = fmt.Sprint(i)
			errs <- c.Notify(t.Context(), n)
		}()
	}
	for range cap(errs) {
		require.ErrorContains(t, <-errs, "450")
	}
	_, messages := s.seen()
	require.Len(t, messages, cap(errs))
}

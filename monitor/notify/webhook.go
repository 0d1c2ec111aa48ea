package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// WebhookConfig configures [NewWebhook].
type WebhookConfig struct {
	// Name is the channel's.
	Name string `json:"name" default:"webhook"`

	// URL is posted to.
	URL resilience.Secret `json:"-"`

	// Secret signs what is posted. It is "whsec_" and 24 to 64 bytes in base64.
	Secret resilience.Secret `json:"-"`

	// Labels are added to those of alerts that do not have them, such as
	// {"service": "checkout"}.
	Labels map[string]string `json:"labels,omitempty"`

	// Link is where people see more, such as a dashboard.
	Link string `json:"link,omitempty"`

	HTTP HTTP `json:"http"`
}

type webhook struct {
	cfg    WebhookConfig
	secret []byte
	poster *poster
}

// NewWebhook returns a channel that posts JSON, as Alertmanager does to its
// webhooks (version 4): what receives from Alertmanager receives from it.
//
// An Idempotency-Key, the same in each try, tells one notification from another.
// With a Secret requests are signed as Standard Webhooks has it, so that there is
// a library to check that in most languages: in webhook-signature is "v1," and,
// in base64, the HMAC-SHA256 of webhook-id, ".", webhook-timestamp (the seconds of
// the try in Unix time), "." and the body.
//
// Alerts that would take a body beyond 256 KiB are left out and counted in
// truncatedAlerts. Errors join [*resilience.ConfigError]s.
func NewWebhook(cfg WebhookConfig) (Channel, error) {
	const path = section + ".webhook"
	problems := settings.Check(path, cfg)
	settings.Fill(&cfg)
	w := &webhook{cfg: cfg}
	w.cfg.Labels = maps.Clone(cfg.Labels)
	p, more := newPoster(path+".http", cfg.HTTP)
	problems = append(problems, more...)
	w.poster = p
	if !plainName(cfg.Name) {
		problems = append(problems, settings.Problem{Path: path + ".name", Problem: "want 1 to 64 letters, digits and -_."})
	}
	if problem := p.problem(cfg.URL.Reveal()); problem != "" {
		problems = append(problems, settings.Problem{Path: path + ".url", Problem: problem})
	}
	if text := cfg.Secret.Reveal(); text != "" {
		code, ok := strings.CutPrefix(text, "whsec_")
		secret, err := base64.StdEncoding.DecodeString(code)
		if !ok || err != nil || len(secret) < 24 || len(secret) > 64 {
			problems = append(problems, settings.Problem{Path: path + ".secret", Problem: `want "whsec_" and 24 to 64 bytes in base64, such as "whsec_$(openssl rand -base64 32)"`})
		}
		w.secret = secret
	}
	if err := configErrors(problems); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *webhook) Name() string { return w.cfg.Name }

func (w *webhook) Notify(ctx context.Context, n Notification) error {
	body, err := bodyOf(n, w.cfg.Name, w.cfg.Link, w.cfg.Labels).encode()
	if err != nil {
		return Permanent(fmt.Errorf("notify: a notification cannot be written: %w", err))
	}
	id := w.id(n)
	header := http.Header{"Idempotency-Key": {id}}
	if w.secret != nil {
		at := strconv.FormatInt(time.Now().Unix(), 10)
		header.Set("Webhook-Id", id)
		header.Set("Webhook-Timestamp", at)
		header.Set("Webhook-Signature", sign(w.secret, id, at, body))
	}
	return w.poster.post(ctx, w.cfg.URL.Reveal(), "application/json", body, header)
}

// id is the same in each try of a notification.
func (w *webhook) id(n Notification) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d %d", w.cfg.Name, n.Group, n.Reason, n.Time.UnixNano()))
	return hex.EncodeToString(sum[:16])
}

func sign(secret []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

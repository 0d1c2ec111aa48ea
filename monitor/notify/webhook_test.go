package notify

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

var began = time.Date(2026, 12, 1, 3, 0, 0, 5, time.FixedZone("", 3600))

// outage is two models that are down, one of them no longer.
func outage() Notification {
	alert := func(model string, ends time.Time) Alert {
		return Alert{
			Rule: "model_unavailable", Severity: Critical, Labels: map[string]string{"model": model, "name": "gpt-5"}, Fingerprint: "f-" + model,
			Summary: "model " + model + " is down", Description: "look", Runbook: "https://runbooks.example/#model_unavailable",
			Value: math.NaN(), StartsAt: began, EndsAt: ends,
		}
	}
	return Notification{
		Group: "0123456789abcdef.t", Reason: Changed, Severity: Critical, Truncated: 3, Time: began.Add(time.Minute),
		Alerts: []Alert{alert("a", time.Time{}), alert("b", began.Add(time.Minute))},
	}
}

// inbox keeps what is posted to it.
type inbox struct {
	*httptest.Server

	header []http.Header
	body   []string
	path   []string
}

func newInbox(t *testing.T, status int) *inbox {
	t.Helper()
	in := &inbox{}
	in.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		in.header, in.body, in.path = append(in.header, r.Header), append(in.body, string(body)), append(in.path, r.URL.Path)
		w.WriteHeader(status)
	}))
	t.Cleanup(in.Close)
	return in
}

var toTest = HTTP{AllowHTTP: true, Allow: loopback, Timeout: 5 * time.Second}

func TestWebhook(t *testing.T) {
	in := newInbox(t, http.StatusOK)
	c, err := NewWebhook(WebhookConfig{
		URL: resilience.NewSecret(in.URL), Labels: map[string]string{"service": "checkout", "model": "?"}, Link: "https://dash.example", HTTP: toTest,
	})
	require.NoError(t, err)
	require.Equal(t, "webhook", c.Name())
	require.NoError(t, c.Notify(t.Context(), outage()))
	require.JSONEq(t, `{
		"version": "4", "groupKey": "0123456789abcdef.t", "truncatedAlerts": 3, "status": "firing", "reason": "changed", "receiver": "webhook",
		"groupLabels": {"alertname": "model_unavailable"},
		"commonLabels": {"alertname": "model_unavailable", "severity": "critical", "name": "gpt-5", "service": "checkout"},
		"commonAnnotations": {"description": "look", "runbook_url": "https://runbooks.example/#model_unavailable"},
		"externalURL": "https://dash.example",
		"alerts": [{
			"status": "firing", "fingerprint": "f-a", "generatorURL": "https://dash.example",
			"labels": {"alertname": "model_unavailable", "severity": "critical", "model": "a", "name": "gpt-5", "service": "checkout"},
			"annotations": {"summary": "model a is down", "description": "look", "runbook_url": "https://runbooks.example/#model_unavailable"},
			"startsAt": "2026-12-01T02:00:00.000000005Z", "endsAt": "0001-01-01T00:00:00Z"
		}, {
			"status": "resolved", "fingerprint": "f-b", "generatorURL": "https://dash.example",
			"labels": {"alertname": "model_unavailable", "severity": "critical", "model": "b", "name": "gpt-5", "service": "checkout"},
			"annotations": {"summary": "model b is down", "description": "look", "runbook_url": "https://runbooks.example/#model_unavailable"},
			"startsAt": "2026-12-01T02:00:00.000000005Z", "endsAt": "2026-12-01T02:01:00.000000005Z"
		}]
	}`, in.body[0])
	require.Equal(t, "application/json", in.header[0].Get("Content-Type"))
	require.Empty(t, in.header[0].Get("Webhook-Signature"))

	over := outage()
	over.Alerts, over.Reason = over.Alerts[1:], Resolved
	require.NoError(t, c.Notify(t.Context(), over))
	require.Contains(t, in.body[1], `"status":"resolved","reason":"resolved"`)
	require.NoError(t, c.Notify(t.Context(), Notification{Group: "g", Reason: Resolved}))
	require.Contains(t, in.body[2], `"alerts":[]`)
}

func TestWebhookKeysAreOfNotifications(t *testing.T) {
	in := newInbox(t, http.StatusInternalServerError)
	c, err := NewWebhook(WebhookConfig{URL: resilience.NewSecret(in.URL), HTTP: toTest})
	require.NoError(t, err)
	n, other := outage(), outage()
	other.Reason = Repeated
	for _, n := range []Notification{n, n, other} {
		require.ErrorContains(t, c.Notify(t.Context(), n), "answered 500")
	}
	key := func(i int) string { return in.header[i].Get("Idempotency-Key") }
	require.Len(t, key(0), 32)
	require.Equal(t, key(0), key(1))
	require.NotEqual(t, key(0), key(2))
}

// The example is that of Standard Webhooks.
func TestSign(t *testing.T) {
	secret, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	require.NoError(t, err)
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
		sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)))
}

func TestWebhookSigns(t *testing.T) {
	in := newInbox(t, http.StatusOK)
	secret := []byte("0123456789abcdef0123456789abcdef")
	cfg := WebhookConfig{
		Name: "signed", URL: resilience.NewSecret(in.URL), Secret: resilience.NewSecret("whsec_" + base64.StdEncoding.EncodeToString(secret)), HTTP: toTest,
	}
	cfg.HTTP.Header = map[string]resilience.Secret{"authorization": resilience.NewSecret("Bearer x")}
	c, err := NewWebhook(cfg)
	require.NoError(t, err)
	require.NoError(t, c.Notify(t.Context(), outage()))
	h := in.header[0]
	at, err := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), time.Unix(at, 0), time.Minute)
	require.Equal(t, h.Get("Idempotency-Key"), h.Get("Webhook-Id"))
	require.Equal(t, sign(secret, h.Get("Webhook-Id"), h.Get("Webhook-Timestamp"), []byte(in.body[0])), h.Get("Webhook-Signature"))
	require.Equal(t, "Bearer x", h.Get("Authorization"))
}

func TestNewWebhookRefuses(t *testing.T) {
	ok := resilience.NewSecret("https://hooks.example/secret")
	for want, cfg := range map[string]WebhookConfig{
		"notify.webhook.url: is missing":      {},
		"notify.webhook.url: is not https":    {URL: resilience.NewSecret("http://hooks.example/secret")},
		"notify.webhook.url: is at an addr":   {URL: resilience.NewSecret("https://10.0.0.1/secret")},
		"notify.webhook.url: is not a URL":    {URL: resilience.NewSecret("https://hooks.example/%secret")},
		"notify.webhook.name: want":           {URL: ok, Name: "a b"},
		"notify.webhook.secret: want":         {URL: ok, Secret: resilience.NewSecret("secret")},
		"notify.webhook.secret: want \"wh":    {URL: ok, Secret: resilience.NewSecret("whsec_c2VjcmV0")},
		"notify.webhook.http.timeout: ":       {URL: ok, HTTP: HTTP{Timeout: -1}},
		"notify.webhook.http.header: has":     {URL: ok, HTTP: HTTP{Header: map[string]resilience.Secret{"A b": ok}}},
		"notify.webhook.http.header: has a n": {URL: ok, HTTP: HTTP{Header: map[string]resilience.Secret{"A": resilience.NewSecret("secret\r\nB: c")}}},
	} {
		c, err := NewWebhook(cfg)
		require.ErrorContains(t, err, want)
		require.NotContains(t, strings.ReplaceAll(err.Error(), ".secret: ", ""), "secret")
		require.Nil(t, c)
	}
	require.NoError(t, settings.Lint(WebhookConfig{}))
}

func TestBodyIsBounded(t *testing.T) {
	n := outage()
	for i := range 3000 {
		a := n.Alerts[0]
		a.Fingerprint, a.Description = fmt.Sprint(i), strings.Repeat("x", 500)
		n.Alerts = append(n.Alerts, a)
	}
	data, err := bodyOf(n, "r", "", nil).encode()
	require.NoError(t, err)
	require.LessOrEqual(t, len(data), maxBody)
	require.Greater(t, len(data), maxBody*3/4)
	var b webhookBody
	require.NoError(t, json.Unmarshal(data, &b))
	require.Equal(t, len(n.Alerts)+n.Truncated, len(b.Alerts)+b.TruncatedAlerts)
	require.Equal(t, "f-a", b.Alerts[0].Fingerprint)

	n.Alerts = n.Alerts[:1]
	n.Alerts[0].Summary = strings.Repeat("x", maxBody)
	data, err = bodyOf(n, "r", "", nil).encode()
	require.NoError(t, err)
	require.Greater(t, len(data), maxBody, "one is always told")
}

func TestLabels(t *testing.T) {
	labels := labelsOf(Alert{Rule: "r", Severity: Warning, Labels: map[string]string{
		"alertname": "x", "severity": "x", "a.b": "1", "1st": "2", "": "3", "é": "4", "empty": "", "bad": "a\xff",
	}}, map[string]string{"a_b": "more", "more": "m"})
	require.Equal(t, map[string]string{"alertname": "r", "severity": "warning", "a_b": "1", "_1st": "2", "_": "4", "bad": "a�", "more": "m"}, labels)
}

// Alerts of different rules go by what else they have in common.
func TestGroupLabels(t *testing.T) {
	n := outage()
	n.Alerts[1].Rule = "slow"
	require.Equal(t, map[string]string{"name": "gpt-5"}, bodyOf(n, "r", "", map[string]string{"service": "s"}).GroupLabels)
	n.Alerts = nil
	require.Empty(t, bodyOf(n, "r", "", nil).GroupLabels)
}

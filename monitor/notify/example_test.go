package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

// down is a notification of one model that is down.
func down() notify.Notification {
	at := time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)
	return notify.Notification{
		Group: "9f86d081884c7d65.t5ixc0", Reason: notify.New, Severity: notify.Critical, Time: at,
		Alerts: []notify.Alert{{
			Rule: "model_unavailable", Severity: notify.Critical, Labels: map[string]string{"model": "gpt-5"},
			Summary: "model gpt-5: nothing has succeeded for 1m", StartsAt: at,
		}},
	}
}

// A receiver in the own network is allowed by its prefix, and plain HTTP is by
// AllowHTTP.
func ExampleNewWebhook() {
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct {
			Status string
			Alerts []struct{ Labels, Annotations map[string]string }
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		fmt.Println(body.Status, body.Alerts[0].Labels["alertname"])
		fmt.Println(body.Alerts[0].Annotations["summary"])
	}))
	defer receiver.Close()

	hook, err := notify.NewWebhook(notify.WebhookConfig{
		URL:  resilience.NewSecret(receiver.URL + "/hooks/T0/B0"),
		HTTP: notify.HTTP{AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(hook.Notify(context.Background(), down()))

	_, err = notify.NewWebhook(notify.WebhookConfig{URL: resilience.NewSecret("https://169.254.169.254/latest")})
	fmt.Println(err)
	// Output:
	// firing model_unavailable
	// model gpt-5: nothing has succeeded for 1m
	// <nil>
	// notify.webhook.url: is at an address that is not public; add it to Allow if it is meant
}

// Each replica is told. Repeat and Lease go together: here as with Prometheus.
func ExampleNewAlertmanager() {
	replica := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var alerts []struct{ Labels map[string]string }
		_ = json.NewDecoder(r.Body).Decode(&alerts)
		fmt.Println(r.URL.Path, alerts[0].Labels)
	}))
	defer replica.Close()

	am, err := notify.NewAlertmanager(notify.AlertmanagerConfig{
		URLs:   []resilience.Secret{resilience.NewSecret(replica.URL)},
		Lease:  5 * time.Minute, // and alert.Config{Repeat: time.Minute}
		Labels: map[string]string{"service": "checkout"},
		HTTP:   notify.HTTP{AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(am.Notify(context.Background(), down()))
	// Output:
	// /api/v2/alerts map[alertname:model_unavailable model:gpt-5 service:checkout severity:critical]
	// <nil>
}

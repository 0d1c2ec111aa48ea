package notify

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

func TestAlertmanagerPosts(t *testing.T) {
	in := newInbox(t, http.StatusOK)
	c, err := NewAlertmanager(AlertmanagerConfig{
		URLs: []resilience.Secret{resilience.NewSecret(in.URL + "/am/")}, Lease: time.Hour, Labels: map[string]string{"service": "checkout"},
		Link: "https://dash.example", HTTP: toTest,
	})
	require.NoError(t, err)
	require.Equal(t, "alertmanager", c.Name())
	require.NoError(t, c.Notify(t.Context(), outage()))
	var got []postableAlert
	require.NoError(t, json.Unmarshal([]byte(in.body[0]), &got))
	require.Len(t, got, 2)
	require.WithinDuration(t, time.Now().Add(time.Hour), got[0].EndsAt, time.Minute)
	require.Equal(t, "/am/api/v2/alerts", in.path[0])
	require.Equal(t, postableAlert{
		Labels:      map[string]string{"alertname": "model_unavailable", "severity": "critical", "model": "b", "name": "gpt-5", "service": "checkout"},
		Annotations: map[string]string{"summary": "model b is down", "description": "look", "runbook_url": "https://runbooks.example/#model_unavailable"},
		StartsAt:    began.UTC(), EndsAt: began.Add(time.Minute).UTC(), GeneratorURL: "https://dash.example",
	}, got[1])
	require.NoError(t, c.Notify(t.Context(), Notification{Group: "g", Reason: Resolved}))
	require.Len(t, in.body, 1, "there is nothing to tell")
}

func TestAlertmanagerTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		a := &alertmanager{cfg: AlertmanagerConfig{Lease: time.Hour}}
		ends := func(starts, ends time.Time) time.Time {
			return a.postable(Notification{Alerts: []Alert{{StartsAt: starts, EndsAt: ends}}}, now)[0].EndsAt
		}
		require.Equal(t, now.Add(time.Hour).UTC(), ends(now.Add(-time.Minute), time.Time{}))
		require.Equal(t, now.UTC(), ends(now.Add(-time.Minute), now))
		require.Equal(t, now.UTC(), ends(now, now.Add(-time.Minute)), "the clock was set back")
		require.Equal(t, now.Add(2*time.Hour).UTC(), ends(now.Add(2*time.Hour), time.Time{}))
	})
}

func TestAlertmanagerReplicas(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	answer := func(status int) string { return newInbox(t, status).URL }
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer busy.Close()
	for name, c := range map[string]struct {
		urls []string
		log  int // lines
		want failure
	}{
		"all":             {urls: []string{answer(200), answer(200)}},
		"one":             {urls: []string{answer(500), answer(200), gone.URL}, log: 2},
		"none":            {urls: []string{answer(500), gone.URL}, want: failure{}},
		"none reached":    {urls: []string{gone.URL, gone.URL}, want: failure{unsent: true}},
		"all refuse":      {urls: []string{answer(400), answer(404)}, want: failure{permanent: true, unsent: true}},
		"one refuses":     {urls: []string{answer(400), gone.URL}, want: failure{unsent: true}},
		"all busy":        {urls: []string{busy.URL, busy.URL}, want: failure{unsent: true, after: 7 * time.Second}},
		"busy and gone":   {urls: []string{busy.URL, gone.URL}, want: failure{unsent: true}},
		"busy and broken": {urls: []string{busy.URL, answer(502)}, want: failure{}},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			cfg := AlertmanagerConfig{HTTP: toTest, Log: slog.New(slog.NewTextHandler(&log, nil))}
			for _, u := range c.urls {
				cfg.URLs = append(cfg.URLs, resilience.NewSecret(strings.Replace(u, "//", "//user:secret@", 1)+"/secret"))
			}
			a, err := NewAlertmanager(cfg)
			require.NoError(t, err)
			err = a.Notify(t.Context(), outage())
			require.Equal(t, c.log, strings.Count(log.String(), "a replica of Alertmanager was not told"))
			require.NotContains(t, log.String(), "secret")
			if c.log > 0 || name == "all" {
				require.NoError(t, err)
				return
			}
			require.NotContains(t, err.Error(), "secret")
			require.Equal(t, len(c.urls), strings.Count(err.Error(), "POST to"))
			f := failureOf(err)
			f.err = nil
			require.Equal(t, c.want, f)
		})
	}
}

func TestNewAlertmanagerRefuses(t *testing.T) {
	ok := []resilience.Secret{resilience.NewSecret("https://am.example/secret")}
	for want, cfg := range map[string]AlertmanagerConfig{
		"notify.alertmanager.urls: is missing":        {},
		"notify.alertmanager.urls[1]: is not https":   {URLs: append(ok, resilience.NewSecret("http://am.example/secret"))},
		"notify.alertmanager.name: want":              {URLs: ok, Name: "/"},
		"notify.alertmanager.lease: ":                 {URLs: ok, Lease: time.Millisecond},
		"notify.alertmanager.http.timeout: -1ns must": {URLs: ok, HTTP: HTTP{Timeout: -1}},
	} {
		c, err := NewAlertmanager(cfg)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret")
		require.Nil(t, c)
	}
	require.NoError(t, settings.Lint(AlertmanagerConfig{}))
}

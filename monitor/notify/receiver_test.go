package notify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

// here lets channels post to servers of tests.
var here = notify.HTTP{AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}

// A receiver is a server that remembers what it is sent.
type receiver struct {
	*httptest.Server

	mu  sync.Mutex
	got [][]byte
}

// newReceiver returns a receiver that answers by the code for each request, from the
// first, and by the last code when there are no more.
func newReceiver(t *testing.T, codes ...int) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil || req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s as %q: %v", req.Method, req.Header.Get("Content-Type"), err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, body)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(codes[min(len(r.got), len(codes))-1])
	}))
	t.Cleanup(r.Close)
	return r
}

// all are the bodies that it has got.
func (r *receiver) all() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got
}

// strictly reads a document that has no other fields than v.
func strictly(t *testing.T, data []byte, v any) {
	t.Helper()
	require.True(t, utf8.Valid(data))
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(v), "%s", data)
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// twoModels is a notification of which one alert fires and one is over.
func twoModels() notify.Notification {
	return notify.Notification{
		Group: "9f2c1e5ab0d4c377.t2x4k", Reason: notify.Changed, Severity: notify.Critical, Time: noon.Add(5 * time.Minute),
		Alerts: []notify.Alert{
			{
				Rule: "model_unavailable", Severity: notify.Critical, Labels: map[string]string{"provider": "openai", "model": "gpt-5"}, Fingerprint: "00aa",
				Summary: "model gpt-5 is unavailable", Description: "It has been for a minute & more.", Runbook: "https://wiki.example/run?a=1&b=2#model_unavailable",
				Value: 1, Threshold: 0.5, StartsAt: noon, AckedBy: "mia",
			},
			{
				Rule: "model_unavailable", Severity: notify.Critical, Labels: map[string]string{"model": "<o3>"}, Fingerprint: "00bb",
				Summary: "model <o3> is unavailable", StartsAt: noon, EndsAt: noon.Add(time.Minute), Value: 0, Threshold: 0.5,
			},
		},
	}
}

// ended is n when all of it is over.
func ended(n notify.Notification) notify.Notification {
	n.Reason = notify.Resolved
	n.Alerts = append([]notify.Alert(nil), n.Alerts...)
	for i := range n.Alerts {
		n.Alerts[i].EndsAt = noon.Add(10 * time.Minute)
	}
	return n
}

// vast is a notification in which all is too long, and full of what is special.
func vast() notify.Notification {
	wide := strings.Repeat("é<&>|\n`*_\x00\xff", 400)
	n := notify.Notification{Group: wide, Reason: notify.New, Severity: notify.Critical, Truncated: 7}
	labels := map[string]string{}
	for i := range 12 {
		labels[fmt.Sprint(wide, i)] = wide
	}
	for range 200 {
		n.Alerts = append(n.Alerts, notify.Alert{
			Rule: wide, Severity: 99, Labels: labels, Summary: wide, Description: wide, Runbook: "https://h/" + wide, AckedBy: wide,
			Value: nan, Threshold: -nan,
		})
	}
	return n
}

var nan = func() float64 { var zero float64; return zero / zero }()

// channels are those that post, to a receiver.
func channels(t *testing.T, to string) map[string]notify.Channel {
	t.Helper()
	s, err := notify.NewSlack(notify.SlackConfig{URL: resilience.NewSecret(to + "/services/T0/B0/secretpath"), HTTP: here})
	require.NoError(t, err)
	p, err := notify.NewPagerDuty(notify.PagerDutyConfig{URL: to + "/v2/enqueue", RoutingKey: resilience.NewSecret("secretkey"), Source: "here", HTTP: here})
	require.NoError(t, err)
	return map[string]notify.Channel{"slack": s, "pagerduty": p}
}

// What a receiver answers decides what comes of a notification.
func TestChannelsReadAnswers(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]notify.Outcome{
		200: notify.Delivered, 202: notify.Delivered, 400: notify.Failed, 403: notify.Failed, 404: notify.Failed,
		302: notify.Expired, 429: notify.Expired, 500: notify.Expired, 503: notify.Expired,
	} {
		r := newReceiver(t, code)
		for name, c := range channels(t, r.URL) {
			t.Run(fmt.Sprint(name, code), func(t *testing.T) {
				t.Parallel()
				o, stop := outbox(t, notify.Config{Channels: []notify.Channel{c}, Keep: time.Second, Backoff: 400 * time.Millisecond})
				defer stop()
				n := twoModels()
				n.Alerts[0].AckedBy = ""
				err := o.Channel(name).Notify(t.Context(), n)
				require.Equal(t, want == notify.Delivered, err == nil, err)
				require.EqualValues(t, 1, o.Stats()[0].Outcomes[want], "%v", o.Stats())
				hasNoSecret(t, err, o)
			})
		}
	}
}

// A receiver that hangs, breaks off or floods is an error in time.
func TestChannelsSurviveReceivers(t *testing.T) {
	release := make(chan struct{})
	for name, do := range map[string]http.HandlerFunc{
		"hangs": func(http.ResponseWriter, *http.Request) { <-release },
		"drops": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"floods": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			for chunk := make([]byte, 1<<16); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		},
	} {
		s := httptest.NewServer(do)
		defer s.Close()
		for kind, c := range channels(t, s.URL) {
			t.Run(kind+" "+name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				began := time.Now()
				err := c.Notify(ctx, twoModels())
				require.Error(t, err)
				require.Less(t, time.Since(began), 2*time.Second)
				hasNoSecret(t, err, nil)
			})
		}
	}
	close(release)
}

// Neither keys nor the paths of addresses get into what people read.
func hasNoSecret(t *testing.T, err error, o *notify.Outbox) {
	t.Helper()
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	for e := err; e != nil; e = errors.Unwrap(e) {
		text += fmt.Sprintf("%v %#v", e, e)
	}
	if o != nil {
		text += fmt.Sprintf("%+v %+v", o.Records(), o.String())
	}
	require.NotContains(t, text, "secret")
}

func TestChannelsHideTheirKeys(t *testing.T) {
	for _, c := range channels(t, "http://127.0.0.1:1") {
		var lines bytes.Buffer
		slog.New(slog.NewTextHandler(&lines, nil)).Info("made", "channel", c)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", c, c, c)+lines.String(), "secret")
	}
	for _, url := range []string{"https://user:secret@h\x7f/secret", "http://h/secret", "https:///secret", "secret"} {
		_, err := notify.NewSlack(notify.SlackConfig{URL: resilience.NewSecret(url)})
		require.ErrorContains(t, err, "notify.slack.url")
		require.ErrorAs(t, err, new(*resilience.ConfigError))
		hasNoSecret(t, err, nil)
		_, err = notify.NewPagerDuty(notify.PagerDutyConfig{URL: url, RoutingKey: resilience.NewSecret("secret key")})
		require.ErrorContains(t, err, "notify.pagerduty.url")
		require.ErrorContains(t, err, "notify.pagerduty.routingKey")
		hasNoSecret(t, err, nil)
	}
	_, err := notify.NewPagerDuty(notify.PagerDutyConfig{})
	require.ErrorContains(t, err, "notify.pagerduty.routingKey: is missing")
	_, err = notify.NewSlack(notify.SlackConfig{Alerts: 49})
	require.ErrorContains(t, err, "notify.slack.alerts")
	require.ErrorContains(t, err, "notify.slack.url: is missing")
}

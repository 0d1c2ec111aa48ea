package notify_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

// What PagerDuty documents of an event.
type pagerEvent struct {
	RoutingKey  string `json:"routing_key"`
	EventAction string `json:"event_action"`
	DedupKey    string `json:"dedup_key"`
	Client      string
	Payload     *struct {
		Summary, Source, Severity, Timestamp, Component, Group, Class string
		CustomDetails                                                 struct {
			Reason   string
			Firing   []pagerDetail
			Resolved []pagerDetail
			LeftOut  int `json:"left_out"`
		} `json:"custom_details"`
	}
	Links []struct{ Href, Text string }
}

type pagerDetail struct {
	Rule, Severity, Summary, Description, Labels, Measured, Threshold, Since, Until string
	AcknowledgedBy                                                                  string `json:"acknowledged_by"`
}

// paged are the events for n as PagerDuty takes them.
func paged(t *testing.T, n notify.Notification, codes ...int) (list []pagerEvent, raw [][]byte, err error) {
	t.Helper()
	r := newReceiver(t, append(codes, http.StatusAccepted)...)
	c, err := notify.NewPagerDuty(notify.PagerDutyConfig{URL: r.URL + "/v2/enqueue", RoutingKey: resilience.NewSecret("0123456789abcdef0123456789abcdef"), Source: "gateway-1", HTTP: here})
	require.NoError(t, err)
	err = c.Notify(t.Context(), n)
	raw = r.all()
	for _, data := range raw {
		require.LessOrEqual(t, len(data), 512<<10)
		var e pagerEvent
		strictly(t, data, &e)
		require.Len(t, e.RoutingKey, 32)
		require.LessOrEqual(t, len(e.DedupKey), 255)
		switch e.EventAction {
		case "trigger":
			require.NotEmpty(t, e.Payload.Summary)
			require.LessOrEqual(t, utf8.RuneCountInString(e.Payload.Summary), 1024)
			require.NotEmpty(t, e.Payload.Source)
			require.Contains(t, []string{"critical", "error", "warning", "info"}, e.Payload.Severity)
			for _, l := range e.Links {
				require.Regexp(t, "^https?://", l.Href)
				require.NotEmpty(t, l.Text)
			}
		case "acknowledge", "resolve":
			require.Nil(t, e.Payload)
		default:
			t.Error(e.EventAction)
		}
		list = append(list, e)
	}
	return list, raw, err
}

func actions(list []pagerEvent) (all string) {
	for _, e := range list {
		all += e.EventAction + " "
	}
	return strings.TrimSpace(all)
}

func TestPagerDutyEvents(t *testing.T) {
	list, raw, err := paged(t, twoModels())
	require.NoError(t, err)
	require.Equal(t, "trigger acknowledge", actions(list))
	require.JSONEq(t, `{
  "routing_key": "0123456789abcdef0123456789abcdef",
  "event_action": "trigger",
  "dedup_key": "9f2c1e5ab0d4c377.t2x4k",
  "client": "resilience",
  "payload": {
    "summary": "Critical (changed): model gpt-5 is unavailable",
    "source": "gateway-1",
    "severity": "critical",
    "timestamp": "2026-03-01T12:00:00.000Z",
    "component": "gpt-5",
    "group": "9f2c1e5ab0d4c377.t2x4k",
    "class": "model_unavailable",
    "custom_details": {
      "reason": "changed",
      "firing": [
        {
          "rule": "model_unavailable",
          "severity": "critical",
          "summary": "model gpt-5 is unavailable",
          "description": "It has been for a minute & more.",
          "labels": "model gpt-5, provider openai",
          "measured": "1",
          "threshold": "0.5",
          "since": "2026-03-01T12:00:00.000Z",
          "acknowledged_by": "mia"
        }
      ],
      "resolved": [
        {
          "rule": "model_unavailable",
          "severity": "critical",
          "summary": "model <o3> is unavailable",
          "labels": "model <o3>",
          "measured": "0",
          "threshold": "0.5",
          "since": "2026-03-01T12:00:00.000Z",
          "until": "2026-03-01T12:01:00.000Z"
        }
      ]
    }
  },
  "links": [
    {
      "href": "https://wiki.example/run?a=1&b=2#model_unavailable",
      "text": "runbook: model_unavailable"
    }
  ]
}`, string(raw[0]))
	require.JSONEq(t, `{"routing_key":"0123456789abcdef0123456789abcdef","event_action":"acknowledge","dedup_key":"9f2c1e5ab0d4c377.t2x4k"}`, string(raw[1]))
}

func TestPagerDutyFollowsTheGroup(t *testing.T) {
	one := func(change func(n *notify.Notification)) string {
		n := twoModels()
		change(&n)
		list, _, err := paged(t, n)
		require.NoError(t, err)
		return actions(list)
	}
	require.Equal(t, "trigger", one(func(n *notify.Notification) { n.Alerts[0].AckedBy = "" }))
	require.Equal(t, "trigger", one(func(n *notify.Notification) { n.Truncated = 1 }), "nobody knows of the others")
	require.Equal(t, "resolve", one(func(n *notify.Notification) { *n = ended(*n) }))
	require.Equal(t, "resolve", one(func(n *notify.Notification) { n.Alerts = nil }))
}

// An acknowledgement that fails does not make the trigger before it unsaid.
func TestPagerDutyFailsAtTheSecondEvent(t *testing.T) {
	list, _, err := paged(t, twoModels(), http.StatusAccepted, http.StatusTooManyRequests)
	require.ErrorContains(t, err, "429")
	require.Equal(t, "trigger acknowledge", actions(list))
	list, _, err = paged(t, twoModels(), http.StatusTooManyRequests)
	require.ErrorContains(t, err, "429")
	require.Equal(t, "trigger", actions(list))
}

func TestPagerDutyEventIsBounded(t *testing.T) {
	n := vast()
	list, _, err := paged(t, n)
	require.NoError(t, err)
	d := list[0].Payload.CustomDetails
	require.Less(t, len(d.Firing), 200)
	require.NotEmpty(t, d.Firing)
	require.Equal(t, 207, len(d.Firing)+len(d.Resolved)+d.LeftOut)
	require.Equal(t, "NaN", d.Firing[0].Measured)
	for i := range n.Alerts[1:] {
		n.Alerts[i+1].EndsAt = noon
	}
	list, _, err = paged(t, n)
	require.NoError(t, err)
	d = list[0].Payload.CustomDetails
	require.Len(t, d.Firing, 1, "what is over goes first")
	require.Equal(t, 207, len(d.Firing)+len(d.Resolved)+d.LeftOut)
	for i := range n.Alerts {
		n.Alerts[i].Rule, n.Alerts[i].Runbook = fmt.Sprint(i), "https://wiki.example/"+fmt.Sprint(i%20)
	}
	list, _, err = paged(t, n)
	require.NoError(t, err)
	require.Len(t, list[0].Links, 10)
}

func TestPagerDutySaysWhoseItIs(t *testing.T) {
	r := newReceiver(t, http.StatusAccepted)
	c, err := notify.NewPagerDuty(notify.PagerDutyConfig{URL: r.URL, RoutingKey: resilience.NewSecret("k"), HTTP: here})
	require.NoError(t, err)
	require.NoError(t, errors.Join(c.Notify(t.Context(), twoModels())))
	var e pagerEvent
	strictly(t, r.all()[0], &e)
	host, err := os.Hostname()
	require.NoError(t, err)
	require.Equal(t, host, e.Payload.Source)
}

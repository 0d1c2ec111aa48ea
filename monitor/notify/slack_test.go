package notify_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

// What Slack documents of a message.
type (
	slackBlock struct {
		Type     string `json:"type"`
		Text     *slackText
		Elements []slackText
	}
	slackText struct {
		Type, Text string
		Verbatim   bool
	}
	slackMessage struct {
		Text        string
		Blocks      []slackBlock
		Attachments []struct {
			Color  string
			Blocks []slackBlock
		}
	}
)

// slacked is the message for n as Slack takes it.
func slacked(t *testing.T, n notify.Notification, alerts int) (m slackMessage, raw []byte) {
	t.Helper()
	r := newReceiver(t, http.StatusOK)
	c, err := notify.NewSlack(notify.SlackConfig{URL: resilience.NewSecret(r.URL + "/services/T0/B0/x"), Alerts: alerts, HTTP: here})
	require.NoError(t, err)
	require.NoError(t, c.Notify(t.Context(), n))
	raw = r.all()[0]
	strictly(t, raw, &m)
	require.NotEmpty(t, m.Text)
	require.Len(t, m.Attachments, 1)
	require.Regexp(t, "^#[0-9a-f]{6}$", m.Attachments[0].Color)
	all := slices.Concat(m.Blocks, m.Attachments[0].Blocks)
	require.LessOrEqual(t, len(all), 50)
	for _, b := range all {
		most := map[string]int{"header": 150, "section": 3000, "context": 2000}[b.Type]
		texts := b.Elements
		if b.Text != nil {
			texts = append(texts, *b.Text)
		}
		require.NotEmpty(t, texts)
		for _, x := range texts {
			require.Equal(t, b.Type == "header", x.Type == "plain_text")
			require.Equal(t, x.Type == "mrkdwn", x.Verbatim, "names in it link to nobody")
			require.NotEmpty(t, x.Text)
			require.LessOrEqual(t, utf8.RuneCountInString(x.Text), most)
			require.NotRegexp(t, `&(a|am|amp|l|lt|g|gt)?(…|$)`, x.Text, "an escape is cut")
		}
	}
	return m, raw
}

func TestSlackMessage(t *testing.T) {
	m, raw := slacked(t, twoModels(), 0)
	require.JSONEq(t, `{
  "text": "Critical (changed): model gpt-5 is unavailable",
  "blocks": [
    {
      "type": "header",
      "text": {
        "type": "plain_text",
        "text": "Critical (changed): model gpt-5 is unavailable"
      }
    }
  ],
  "attachments": [
    {
      "color": "#d50200",
      "blocks": [
        {
          "type": "section",
          "text": {
            "type": "mrkdwn",
            "text": "*model gpt-5 is unavailable*\nIt has been for a minute &amp; more.\nmodel_unavailable · critical · since <!date^1772366400^{date_short_pretty} {time_secs}|2026-03-01T12:00:00Z> · model gpt-5 · provider openai · measured 1, threshold 0.5 · acknowledged by mia · <https://wiki.example/run?a=1&amp;b=2#model_unavailable|runbook>",
            "verbatim": true
          }
        },
        {
          "type": "section",
          "text": {
            "type": "mrkdwn",
            "text": "*Over: model &lt;o3&gt; is unavailable*\nmodel_unavailable · from <!date^1772366400^{date_short_pretty} {time_secs}|2026-03-01T12:00:00Z> to <!date^1772366460^{date_short_pretty} {time_secs}|2026-03-01T12:01:00Z> · model &lt;o3&gt; · measured 0, threshold 0.5",
            "verbatim": true
          }
        },
        {
          "type": "context",
          "elements": [
            {
              "type": "mrkdwn",
              "text": "group 9f2c1e5ab0d4c377.t2x4k",
              "verbatim": true
            }
          ]
        }
      ]
    }
  ]
}`, string(raw))
	require.Equal(t, "Critical (changed): model gpt-5 is unavailable", m.Text)

	m, _ = slacked(t, ended(twoModels()), 0)
	require.Equal(t, "Resolved: model gpt-5 is unavailable, and 1 more", m.Text)
	require.Equal(t, "#2eb67d", m.Attachments[0].Color)
}

func TestSlackMessageIsBounded(t *testing.T) {
	for _, alerts := range []int{1, 10, 48} {
		m, _ := slacked(t, vast(), alerts)
		require.Len(t, m.Attachments[0].Blocks, alerts+1)
	}
	m, _ := slacked(t, vast(), 10)
	require.Contains(t, m.Attachments[0].Blocks[10].Elements[0].Text, "197 more alerts · ")
	slacked(t, notify.Notification{}, 0)
	n := twoModels()
	n.Alerts[0].Summary = "<!channel> & <https://evil.example|click>"
	n.Alerts[0].Runbook = "javascript:alert(1)"
	_, raw := slacked(t, n, 0)
	require.NotContains(t, string(raw), `\u003c!channel`)
	require.Contains(t, string(raw), `lt;!channel`)
	require.NotContains(t, string(raw), `\u003chttps://evil`)
	require.NotContains(t, string(raw), "javascript")
	for length := 140; length < 160; length++ { // where the header is cut
		n.Alerts[0].Summary = strings.Repeat("é", length-100) + strings.Repeat("&", 20)
		slacked(t, n, 0)
	}
}

func TestChannelConfigsLint(t *testing.T) {
	require.NoError(t, settings.Lint(notify.SlackConfig{}))
	require.NoError(t, settings.Lint(notify.PagerDutyConfig{}))
}

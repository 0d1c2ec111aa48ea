package email_test

import (
	"context"
	"fmt"
	"net/mail"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor/email"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

func Example() {
	smtp := (&server{auth: "PLAIN"}).run() // takes mail, as one of a provider does
	defer smtp.close()
	channel, err := email.New(email.Config{
		Host: "127.0.0.1", Port: smtp.port(), TLS: smtp.trusted(),
		Username: "alerts", Password: resilience.NewSecret("hunter2"),
		From: "Resilience <alerts@example.com>", To: []string{"oncall@example.com"},
		SubjectPrefix: "[shop]",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	began := time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)
	fmt.Println(channel.Notify(context.Background(), notify.Notification{
		Group: "0123456789abcdef.sz1", Reason: notify.New, Severity: notify.Critical, Time: began,
		Alerts: []notify.Alert{{
			Rule: "model_unavailable", Severity: notify.Critical, StartsAt: began,
			Summary: "gpt-5 lets nothing through", Value: 1, Threshold: 0.5,
		}},
	}))
	for _, m := range smtp.messages {
		msg, err := mail.ReadMessage(strings.NewReader(m.data))
		fmt.Println(msg.Header.Get("Subject"), err)
		fmt.Println(msg.Header.Get("Message-Id"))
	}
	// Output:
	// <nil>
	// [shop] [CRITICAL] gpt-5 lets nothing through <nil>
	// <1861955d3c7382ca4e849b9913d3c1d2@example.com>
}

package calllog_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/monitor/calllog"
)

func Example() {
	lines := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch {
			case a.Key == slog.TimeKey || a.Key == "took":
				return slog.Attr{}
			case strings.HasPrefix(a.Key, "a"): // how long it took
				text, _, _ := strings.Cut(a.Value.String(), " after")
				text, _, _ = strings.Cut(text, " ok")
				return slog.String(a.Key, text)
			}
			return a
		},
	}))
	pool, err := resilience.NewPool(resilience.Logger(lines), fallback.New(fallback.Config{}), calllog.New(calllog.Config{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	chat, err := resilience.NewClient(pool,
		resilience.BindFunc("gpt-5", func(context.Context, string) (string, error) {
			return "", resilience.Overloaded
		}),
		resilience.BindFunc("claude-sonnet-5", func(context.Context, string) (string, error) {
			return "Rayleigh scattering.", nil
		}))
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := chat.Call(context.Background(), "Why is the sky blue?")
	fmt.Println(answer, err)
	// Output:
	// level=WARN msg="call rescued" call=1 model=claude-sonnet-5 generation=1 a1="gpt-5 overloaded" a2=claude-sonnet-5
	// Rayleigh scattering. <nil>
}

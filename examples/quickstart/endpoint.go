package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/cmmv-hive/resilience"
)

// questions are a short conversation.
var questions = []string{
	"Name a prime number between 10 and 20. Answer with the number alone.",
	"Add one to it. Answer with the number alone.",
	"Which of the two numbers is even? Answer with the number alone.",
}

// converse talks to a real server through the library.
func converse(ctx context.Context, o options, stdout io.Writer) error {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	server := Server{Model: o.model, URL: o.endpoint, Key: o.key, HTTP: &http.Client{Transport: transport}}
	chat, err := protect([]Server{server}, 1)
	if err != nil {
		return err
	}
	var so []Message
	for i, q := range questions {
		so = append(so, Message{"user", q})
		res, report, err := chat.Do(ctx, ChatRequest{Messages: so}, resilience.CallOptions{})
		if err != nil {
			return failed(i, err)
		}
		if i == 0 {
			fmt.Fprintf(stdout, "%s at %s, through the library:\n\n", o.model, o.endpoint)
			fmt.Fprintf(stdout, "%4s %9s %9s %10s %11s   %s\n", "call", "took", "attempts", "tokens in", "tokens out", "answer")
		}
		fmt.Fprintf(stdout, "%4d %9v %9d %10d %11d   %.40q\n", i+1, report.Duration.Round(time.Millisecond),
			len(report.Attempts), report.Usage.Input, report.Usage.Output, res.Text())
		so = append(so, Message{"assistant", res.Text()})
	}
	return nil
}

// failed is the error of the i-th call. If the first finds nobody there, or no
// such model, the URL or the name is wrong.
func failed(i int, err error) error {
	e, ok := errors.AsType[*resilience.Error](err)
	if i == 0 && ok && (e.Kind == resilience.NotFound || e.Kind == resilience.Unreachable && e.Status == 0) {
		return usagef("-endpoint: %w", err)
	}
	return fmt.Errorf("call %d: %w", i+1, err)
}

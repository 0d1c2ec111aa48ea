package main

import (
	"cmp"
	"context"
	"iter"
	"log/slog"
	"net/http"
	"os"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/openai"
)

// An upstream is where models are asked.
type upstream struct{ http.Client }

func (u *upstream) at(m *resilience.Model) openai.Server {
	labels := m.Info().Labels
	return openai.Server{
		HTTP: &u.Client, URL: labels["url"], Key: os.Getenv(labels["keyEnv"]), Model: cmp.Or(labels["model"], m.ID()),
		Skipped: func(n int) { slog.Warn("events of a stream were no JSON", "model", m.ID(), "events", n) },
	}
}

func (u *upstream) whole(ctx context.Context, m *resilience.Model, req *openai.Request) (openai.Chunk, error) {
	c, err := u.at(m).Ask(ctx, req)
	used, _ := usage(c)
	resilience.ReportUsage(ctx, used)
	return c, err
}

func (u *upstream) stream(ctx context.Context, m *resilience.Model, req *openai.Request) iter.Seq2[openai.Chunk, error] {
	return u.at(m).Stream(ctx, req)
}

func usage(c openai.Chunk) (resilience.Usage, bool) {
	return resilience.Usage{Input: c.Usage.Input, Output: c.Usage.Output}, c.Usage != openai.Usage{}
}

// hooks say what the chunks mean, and how an answer that broke off goes on.
var hooks = resilience.StreamHooks[*openai.Request, openai.Chunk]{
	Meaningful: openai.Chunk.Meaningful, Terminal: openai.Chunk.Last, Usage: usage,
	Resume: (*openai.Request).Resume, Text: func(c *openai.Chunk) *string { return &c.Text },
}

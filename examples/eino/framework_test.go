package eino

import (
	"context"
	"testing"

	"github.com/cloudwego/eino/callbacks"
	"github.com/cloudwego/eino/compose"
	"github.com/cloudwego/eino/schema"
	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// TestFramework runs the chat model in a chain of the framework, with callbacks
// that read its stream as well.
func TestFramework(t *testing.T) {
	p := newPool(t)
	c, rep := protect(t, p, &scripted{refuse: overloaded}, &scripted{chunks: []*schema.Message{text("so "), text("blue"), end("stop")}})
	chain := compose.NewChain[[]*schema.Message, *schema.Message]()
	chain.AppendChatModel(c)
	run, err := chain.Compile(t.Context())
	require.NoError(t, err)

	heard := make(chan string, 4)
	listen := callbacks.NewHandlerBuilder().OnEndWithStreamOutputFn(
		func(ctx context.Context, info *callbacks.RunInfo, output *schema.StreamReader[callbacks.CallbackOutput]) context.Context {
			output.Close()
			heard <- string(info.Component)
			return ctx
		}).Build()
	r, err := run.Stream(t.Context(), question, compose.WithCallbacks(listen))
	require.NoError(t, err)
	said, err := all(r)
	require.NoError(t, err)
	require.Equal(t, "so blue", said)
	require.NoError(t, p.Drain(t.Context()))
	require.Equal(t, "b", rep.Model.ID())
	require.Equal(t, used, rep.Usage)
	require.Equal(t, "ChatModel", <-heard)

	p = newPool(t)
	c, _ = protect(t, p, &scripted{chunks: []*schema.Message{text("so ")}})
	chain = compose.NewChain[[]*schema.Message, *schema.Message]()
	chain.AppendChatModel(c)
	run, err = chain.Compile(t.Context())
	require.NoError(t, err)
	r, err = run.Stream(t.Context(), question)
	require.NoError(t, err)
	said, err = all(r)
	require.Equal(t, "so ", said)
	require.ErrorIs(t, err, resilience.Truncated)
	require.NoError(t, p.Drain(t.Context()))
}

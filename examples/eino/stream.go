package eino

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/cloudwego/eino/schema"

	"github.com/cmmv-hive/resilience"
)

// source is a reader of the framework as [resilience.FromRecv] wants it.
type source struct {
	*schema.StreamReader[*schema.Message]
}

func (s source) Close() error { s.StreamReader.Close(); return nil }

// chunks are what the model streams.
func (m Model) chunks(ctx context.Context, r request) iter.Seq2[*schema.Message, error] {
	return func(yield func(*schema.Message, error) bool) {
		s, err := m.Stream(ctx, r.input, r.opts...)
		if err == nil && s == nil {
			err = fmt.Errorf("%w: a nil reader without an error", resilience.Malformed)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		resilience.FromRecv(source{s})(yield)
	}
}

// reader makes a reader of the framework of a stream, which is read on the
// goroutine that receives. The framework tells that a reader was closed only to
// somebody who sends to it, so a goroutine offers turns to receive; it is gone
// when the stream has ended. Ended is called once, then.
func reader(stream *resilience.Stream[*schema.Message], ended func()) *schema.StreamReader[*schema.Message] {
	next, stop := iter.Pull2(stream.All())
	end := sync.OnceFunc(func() {
		stop()
		_ = stream.Close() // stop alone does not begin what was not begun
		ended()
	})
	turns, offer := schema.Pipe[struct{}](0)
	turns.SetAutomaticClose()
	taken := make(chan bool)
	go func() {
		defer offer.Close()
		defer end()
		for closed := false; !closed; {
			closed = offer.Send(struct{}{}, nil) || !<-taken
		}
	}()
	return schema.StreamReaderWithConvert(turns, func(struct{}) (chunk *schema.Message, err error) {
		more := false
		defer func() { taken <- more }()
		defer func() {
			if !more {
				turns.Close() // so that the garbage collector need not
				end()
			}
		}()
		chunk, err, ok := next()
		if !ok {
			return nil, io.EOF
		}
		more = err == nil
		return chunk, err
	})
}

// meta never fails: a chunk may be nil, and often has none.
func meta(m *schema.Message) schema.ResponseMeta {
	if m == nil || m.ResponseMeta == nil {
		return schema.ResponseMeta{}
	}
	return *m.ResponseMeta
}

func meaningful(m *schema.Message) bool {
	return m != nil && (m.Content != "" || m.ReasoningContent != "" || len(m.ToolCalls) > 0 || len(m.AssistantGenMultiContent) > 0)
}

// finished knows that some models write "null" while they go on.
func finished(m *schema.Message) bool {
	reason := meta(m).FinishReason
	return reason != "" && reason != "null"
}

func usage(m *schema.Message) (resilience.Usage, bool) {
	u := meta(m).Usage
	if u == nil {
		return resilience.Usage{}, false
	}
	return resilience.Usage{
		Input: int64(u.PromptTokens), CachedInput: int64(u.PromptTokenDetails.CachedTokens),
		Output: int64(u.CompletionTokens), Reasoning: int64(u.CompletionTokensDetails.ReasoningTokens),
	}, true
}

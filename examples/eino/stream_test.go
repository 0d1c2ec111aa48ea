package eino

import (
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudwego/eino/components/model"
	"github.com/cloudwego/eino/schema"
	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

var whole = []*schema.Message{text(""), text("so "), text("blue"), end("stop")}

// TestStreams is what becomes of each way to stream, where b would answer.
func TestStreams(t *testing.T) {
	reset := errors.New("connection reset by peer")
	for name, c := range map[string]struct {
		a      *scripted
		said   string
		kind   resilience.Kind // of a's attempt
		model  string
		reason string
	}{
		"whole":                         {&scripted{chunks: whole}, "so blue", 0, "a", ""},
		"broken after its end":          {&scripted{chunks: whole, broken: reset}, "so blue", 0, "a", ""},
		"cut by the limit it was given": {&scripted{chunks: []*schema.Message{text("so blue"), end("length")}}, "so blue", 0, "a", ""},
		"usage after its finish":        {&scripted{chunks: []*schema.Message{text("so blue"), {ResponseMeta: &schema.ResponseMeta{FinishReason: "stop"}}, end("")}}, "so blue", 0, "a", ""},
		"refused":                       {&scripted{refuse: overloaded}, "so blue", resilience.Overloaded, "b", ""},
		"broken before any text":        {&scripted{chunks: []*schema.Message{text("")}, broken: overloaded}, "so blue", resilience.Overloaded, "b", ""},
		"ended before any text":         {&scripted{chunks: []*schema.Message{text("")}}, "so blue", resilience.Truncated, "b", ""},
		"empty":                         {&scripted{chunks: []*schema.Message{end("stop")}}, "so blue", resilience.Malformed, "b", ""},
		"broken after text":             {&scripted{chunks: whole[:3], broken: reset}, "so blue", resilience.Truncated, "a", "after 3 chunks"},
		"overloaded after text":         {&scripted{chunks: whole[:2], broken: overloaded}, "so ", resilience.Truncated, "a", "overloaded"},
		"broken off with io.EOF":        {&scripted{chunks: whole[:2], broken: io.EOF}, "so ", resilience.Truncated, "a", "without its end marker"},
		"ended without a finish":        {&scripted{chunks: whole[:3]}, "so blue", resilience.Truncated, "a", "without its end marker after 3 chunks"},
		"a finish reason that is null":  {&scripted{chunks: []*schema.Message{text("so blue"), end("null")}}, "so blue", resilience.Truncated, "a", "without its end marker"},
		"a nil chunk":                   {&scripted{chunks: []*schema.Message{nil, text("so blue"), end("stop")}}, "so blue", 0, "a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t)
			var asked []model.Options
			chat, rep := protect(t, p, c.a, &scripted{chunks: whole, asked: &asked})
			r, err := chat.Stream(t.Context(), question)
			require.NoError(t, err)
			said, err := drained(r)
			require.Equal(t, c.said, said)
			require.Equal(t, c.kind, rep.Attempts[0].Kind)
			if c.kind == 0 {
				require.Equal(t, used, rep.Usage)
			}
			if c.reason == "" {
				require.NoError(t, err)
				require.Equal(t, c.model, rep.Model.ID())
			} else {
				require.ErrorIs(t, err, resilience.Truncated)
				require.ErrorContains(t, err, c.reason)
				require.Empty(t, asked, "nobody is asked after text")
			}
			require.NoError(t, p.Drain(t.Context()))
		})
	}
}

// drained reads to the end, allowing for nil chunks, and asks once more.
func drained(r *schema.StreamReader[*schema.Message]) (said string, err error) {
	defer r.Close()
	for {
		chunk, e := r.Recv()
		if e != nil {
			if _, again := r.Recv(); again != io.EOF {
				return said, errors.New("goes on after its end")
			}
			if e != io.EOF {
				err = e
			}
			return said, err
		}
		if chunk != nil {
			said += chunk.Content
		}
	}
}

// TestClose frees the slot at once, whatever the model does.
func TestClose(t *testing.T) {
	for name, after := range map[string]int{"unread": 0, "between chunks": 1, "while the model hangs": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPool(t)
				c, rep := protect(t, p, &scripted{chunks: []*schema.Message{text("so "), text("blue")}, hang: true})
				r, err := c.Stream(t.Context(), question)
				require.NoError(t, err)
				for range after {
					_, err := r.Recv()
					require.NoError(t, err)
				}
				require.EqualValues(t, 1, p.InFlight())
				r.Close()
				start := time.Now()
				require.NoError(t, p.Drain(t.Context()))
				require.Zero(t, time.Since(start))
				synctest.Wait()
				require.Equal(t, resilience.Canceled, rep.Attempts[0].Kind)
				require.Zero(t, p.Model("a").Stats(time.Minute).Failures)
			})
		})
	}
}

// TestStreamCanceledByTheCaller while the reader waits for a chunk.
func TestStreamCanceledByTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t)
		c, rep := protect(t, p, &scripted{chunks: whole[:2], hang: true})
		ctx, cancel := context.WithCancel(t.Context())
		r, err := c.Stream(ctx, question)
		require.NoError(t, err)
		go func() {
			synctest.Wait()
			cancel()
		}()
		_, err = all(r)
		require.ErrorIs(t, err, resilience.Canceled)
		require.Len(t, rep.Attempts, 1)
		require.Zero(t, p.Model("a").Stats(time.Minute).Failures)
		require.NoError(t, p.Drain(t.Context()))
	})
}

// TestGap has a model that stalls after text: our timer, and against it.
func TestGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, resilience.Timeouts{Gap: time.Second})
		c, _ := protect(t, p, &scripted{chunks: whole[:2], hang: true}, &scripted{chunks: whole})
		r, err := c.Stream(t.Context(), question)
		require.NoError(t, err)
		_, err = all(r)
		require.ErrorIs(t, err, resilience.Truncated)
		require.ErrorContains(t, err, "Timeouts.Gap")
		require.EqualValues(t, 1, p.Model("a").Stats(time.Minute).Failures)
	})
}

// TestCopies are how the framework reads a stream in two places.
func TestCopies(t *testing.T) {
	p := newPool(t)
	c, rep := protect(t, p, &scripted{chunks: whole})
	r, err := c.Stream(t.Context(), question)
	require.NoError(t, err)
	copies := r.Copy(2)
	said := make(chan string)
	for _, r := range copies {
		go func() {
			s, err := all(r)
			if err != nil {
				s = err.Error()
			}
			said <- s
		}()
	}
	require.Equal(t, "so blue", <-said)
	require.Equal(t, "so blue", <-said)
	require.NoError(t, p.Drain(t.Context()))
	require.Equal(t, used, rep.Usage)
}

// TestLostReader is closed by the garbage collector.
func TestLostReader(t *testing.T) {
	p := newPool(t)
	c, _ := protect(t, p, &scripted{chunks: whole, hang: true})
	_, err := c.Stream(t.Context(), question)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		runtime.GC()
		return p.InFlight() == 0
	}, 10*time.Second, 10*time.Millisecond)
}

// TestReadWithoutClose leaves nothing to the garbage collector, which would not
// be let into the bubble.
func TestReadWithoutClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t)
		c, _ := protect(t, p, &scripted{chunks: whole[3:]}, &scripted{chunks: whole[1:]})
		r, err := c.Stream(t.Context(), question)
		require.NoError(t, err)
		for range 3 {
			_, err = r.Recv()
			require.NoError(t, err)
		}
		_, err = r.Recv()
		require.Equal(t, io.EOF, err)
		require.NoError(t, p.Drain(t.Context()))
	})
	runtime.GC()
	runtime.GC()
	time.Sleep(10 * time.Millisecond) // the finalizers' goroutine tells nobody
}

// TestPanic of a source passes through the reader, and leaves nothing open.
func TestPanic(t *testing.T) {
	p := newPool(t)
	c, rep := protect(t, p, panicking{&scripted{}})
	r, err := c.Stream(t.Context(), question)
	require.NoError(t, err)
	_, err = r.Recv()
	require.NoError(t, err)
	require.PanicsWithValue(t, "a bug", func() { _, _ = r.Recv() })
	r.Close()
	require.NoError(t, p.Drain(t.Context()))
	require.Equal(t, resilience.Unknown, rep.Attempts[0].Kind)
}

// panicking streams a chunk, and then panics.
type panicking struct{ *scripted }

func (panicking) Stream(context.Context, []*schema.Message, ...model.Option) (*schema.StreamReader[*schema.Message], error) {
	chunks := schema.StreamReaderFromArray([]string{"so ", ""})
	return schema.StreamReaderWithConvert(chunks, func(s string) (*schema.Message, error) {
		if s == "" {
			panic("a bug")
		}
		return text(s), nil
	}), nil
}

func (p panicking) WithTools([]*schema.ToolInfo) (model.ToolCallingChatModel, error) { return p, nil }

// TestNilReader is a model that returns nothing.
func TestNilReader(t *testing.T) {
	c, rep := protect(t, newPool(t), nilReader{&scripted{}}, &scripted{chunks: whole})
	r, err := c.Stream(t.Context(), question)
	require.NoError(t, err)
	_, err = all(r)
	require.NoError(t, err)
	require.Equal(t, resilience.Malformed, rep.Attempts[0].Kind)
}

type nilReader struct{ *scripted }

func (nilReader) Stream(context.Context, []*schema.Message, ...model.Option) (*schema.StreamReader[*schema.Message], error) {
	return nil, nil //nolint:nilnil // the fault under test
}

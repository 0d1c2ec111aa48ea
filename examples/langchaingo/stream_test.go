package langchaingo

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tmc/langchaingo/llms"

	"github.com/cmmv-hive/resilience"
)

// TestStreams is what becomes of each way to stream, where b would answer. What
// the callback got is the beginning of one answer in every case.
func TestStreams(t *testing.T) {
	two := []string{"so ", "blue"}
	for name, c := range map[string]struct {
		a      *scripted
		anyEnd bool
		said   string
		model  string
		reason string
	}{
		"whole":                         {&scripted{words: two, stop: "stop"}, false, "so blue", "a", ""},
		"on a goroutine of its own":     {&scripted{words: two, stop: "stop", apart: true}, false, "so blue", "a", ""},
		"not streamed at all":           {&scripted{words: two, stop: "stop", silent: true}, false, "", "a", ""},
		"any end will do":               {&scripted{words: two}, true, "so blue", "a", ""},
		"refused":                       {&scripted{broken: overloaded}, false, "again", "b", ""},
		"broken before any text":        {&scripted{words: []string{""}, broken: overloaded}, false, "again", "b", ""},
		"ended before any text":         {&scripted{words: []string{""}}, false, "again", "b", ""},
		"silent, without a stop reason": {&scripted{words: two, silent: true}, false, "again", "b", ""},
		"broken after text":             {&scripted{words: two, broken: errors.New("connection reset by peer")}, false, "so blue", "", "after 2 chunks"},
		"overloaded after text":         {&scripted{words: two[:1], broken: overloaded}, false, "so ", "", "overloaded"},
		"broken off with io.EOF":        {&scripted{words: two[:1], broken: io.EOF}, false, "so ", "", "truncated"},
		"broken, and any end will do":   {&scripted{words: two[:1], broken: io.EOF}, true, "so ", "", "truncated"},
		"without a stop reason":         {&scripted{words: two}, false, "so blue", "", "without its end marker"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPool(t)
				b := &scripted{words: []string{"", "again"}, stop: "stop"}
				l, err := New(p, Model{ID: "a", Model: c.a, AnyEnd: c.anyEnd}, Model{ID: "b", Model: b})
				require.NoError(t, err)
				var rep resilience.Report
				l.Report = func(_ context.Context, r resilience.Report) { rep = r }
				var said string
				resp, err := l.GenerateContent(t.Context(), question, into(&said))
				require.Equal(t, c.said, said)
				if c.reason == "" {
					require.NoError(t, err)
					require.Equal(t, c.model, rep.Model.ID())
					require.Equal(t, used, rep.Attempts[len(rep.Attempts)-1].Usage)
					if said != "" {
						require.Equal(t, said, resp.Choices[0].Content)
					}
				} else {
					require.ErrorIs(t, err, resilience.Truncated)
					require.ErrorContains(t, err, c.reason)
					require.Nil(t, resp)
					require.Equal(t, 1, c.a.calls, "no retry after text")
					require.Zero(t, b.calls, "no fallback after text")
					require.EqualValues(t, 1, p.Model("a").Stats(time.Minute).Failures)
				}
				require.NoError(t, p.Drain(t.Context()))
			})
		})
	}
}

// TestCallbackFails ends the call with the callback's own error, stops the
// model, and says nothing against it.
func TestCallbackFails(t *testing.T) {
	enough := errors.New("enough")
	for name, a := range map[string]*scripted{
		"at once":                   {words: []string{"so ", "blue"}, hang: true},
		"on a goroutine of its own": {words: []string{"so ", "blue"}, hang: true, apart: true},
		"unheard":                   {words: []string{"so ", "blue"}, deaf: true, stop: "stop"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPool(t)
				b := &scripted{}
				l, rep := protect(t, p, a, b)
				times := 0
				_, err := l.GenerateContent(t.Context(), question, llms.WithStreamingFunc(func(context.Context, []byte) error {
					times++
					return enough
				}))
				require.Equal(t, enough, err)
				require.Equal(t, 1, times)
				require.Equal(t, resilience.Canceled, rep.Attempts[0].Kind)
				require.Zero(t, b.calls)
				require.Zero(t, p.Model("a").Stats(time.Minute).Failures)
				require.NoError(t, p.Drain(t.Context()))
			})
		})
	}
}

// TestCallbackRunsWithTheCallersContext, on its goroutine, which may panic.
func TestCallbackRunsWithTheCallersContext(t *testing.T) {
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "mine")
	p := newPool(t)
	l, rep := protect(t, p, &scripted{words: []string{"so "}, stop: "stop", apart: true})
	require.PanicsWithValue(t, "the caller's bug", func() {
		_, _ = l.GenerateContent(ctx, question, llms.WithStreamingFunc(func(ctx context.Context, _ []byte) error {
			require.Equal(t, "mine", ctx.Value(key{}))
			require.Nil(t, resilience.CallFrom(ctx), "what it calls is a call of its own")
			panic("the caller's bug")
		}))
	})
	require.Equal(t, resilience.Canceled, rep.Attempts[0].Kind)
	require.NoError(t, p.Drain(t.Context()))
}

// TestReasoning goes to the function that is for it, in order.
func TestReasoning(t *testing.T) {
	var said []string
	thoughts := llms.WithStreamingReasoningFunc(func(_ context.Context, reasoning, text []byte) error {
		said = append(said, "("+string(reasoning)+")"+string(text))
		return nil
	})
	texts := llms.WithStreamingFunc(func(_ context.Context, text []byte) error {
		said = append(said, string(text))
		return nil
	})
	l, _ := protect(t, newPool(t), blue)
	_, err := l.GenerateContent(t.Context(), question, thoughts)
	require.NoError(t, err)
	require.Equal(t, []string{"(hm)so ", "(hm)blue"}, said)
	said = nil
	_, err = l.GenerateContent(t.Context(), question, thoughts, texts)
	require.NoError(t, err)
	require.Equal(t, []string{"so ", "(hm)so ", "blue", "(hm)blue"}, said)
}

// TestLateCallback comes after its model has returned, and reaches nobody.
func TestLateCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &scripted{words: []string{"so "}, broken: overloaded, late: make(chan error)}
		l, _ := protect(t, newPool(t), a)
		var said string
		_, err := l.GenerateContent(t.Context(), question, into(&said))
		require.ErrorIs(t, err, resilience.Truncated)
		a.late <- nil
		require.ErrorIs(t, <-a.late, context.Canceled)
		require.Equal(t, "so ", said)
	})
}

// TestGap has a model that stalls after text, and a callback that is slow.
func TestGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, resilience.Timeouts{Gap: time.Second})
		slow := llms.WithStreamingFunc(func(context.Context, []byte) error {
			time.Sleep(time.Minute)
			return nil
		})
		l, _ := protect(t, p, blue)
		_, err := l.GenerateContent(t.Context(), question, slow)
		require.NoError(t, err, "a slow reader is not a slow model")

		var said string
		for _, deaf := range []bool{false, true} {
			l, _ = protect(t, p, &scripted{words: []string{"so "}, hang: true, deaf: deaf, stop: "stop"})
			_, err = l.GenerateContent(t.Context(), question, into(&said))
			require.ErrorIs(t, err, resilience.Truncated)
			require.ErrorContains(t, err, "Timeouts.Gap")
		}
		require.EqualValues(t, 2, p.Model("a").Stats(time.Minute).Failures)
	})
}

// TestPanic of a model reaches the caller, who can recover.
func TestPanic(t *testing.T) {
	for name, words := range map[string][]string{"before any text": nil, "after text": {"so "}} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t)
			l, _ := protect(t, p, &scripted{words: words, panics: true})
			var said string
			require.PanicsWithValue(t, "a bug", func() { _, _ = l.GenerateContent(t.Context(), question, into(&said)) })
			require.NoError(t, p.Drain(t.Context()))
			require.EqualValues(t, 1, p.Model("a").Stats(time.Minute).Failures)
		})
	}
}

package eino

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudwego/eino/components/model"
	"github.com/cloudwego/eino/schema"
	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
)

func TestGenerate(t *testing.T) {
	c, rep := protect(t, newPool(t), &scripted{refuse: overloaded}, &scripted{chunks: []*schema.Message{text("so"), end("stop")}})
	m, err := c.Generate(t.Context(), question)
	require.NoError(t, err)
	require.Equal(t, "so", m.Content)
	require.Equal(t, "b", rep.Model.ID())
	require.Equal(t, resilience.Overloaded, rep.Attempts[0].Kind)
	require.Equal(t, 529, rep.Attempts[0].Status)
	require.Equal(t, used, rep.Usage)
}

func TestGenerateFails(t *testing.T) {
	c, rep := protect(t, newPool(t), &scripted{refuse: overloaded}, &scripted{refuse: overloaded})
	_, err := c.Generate(t.Context(), question)
	require.ErrorIs(t, err, resilience.Overloaded)
	require.ErrorIs(t, err, overloaded, "the provider's own error is behind it")
	require.Nil(t, rep.Model)
	require.Len(t, rep.Attempts, 2)

	c.Report = nil
	_, err = c.Generate(t.Context(), question)
	require.Error(t, err)
	_, err = c.Stream(t.Context(), question)
	require.Error(t, err)
}

// TestCanceledByTheCaller says nothing against the model, and asks no other.
func TestCanceledByTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t)
		c, rep := protect(t, p, &scripted{hang: true}, &scripted{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			synctest.Wait()
			cancel()
		}()
		_, err := c.Generate(ctx, question)
		require.ErrorIs(t, err, resilience.Canceled)
		require.ErrorIs(t, err, context.Canceled)
		require.Len(t, rep.Attempts, 1)
		require.Zero(t, p.Model("a").Stats(time.Minute).Calls)
	})
}

// TestWithTools leaves the model as it was, and shares what is known.
func TestWithTools(t *testing.T) {
	var asked []model.Options
	p, err := resilience.NewPool(fallback.New(fallback.Config{})) // a goes on failing
	require.NoError(t, err)
	plain, rep := protect(t, p, &scripted{refuse: overloaded, asked: &asked}, &scripted{chunks: []*schema.Message{text("so"), end("stop")}, asked: &asked})
	tools := []*schema.ToolInfo{{Name: "weather"}}
	armed, err := plain.WithTools(tools)
	require.NoError(t, err)
	other, err := armed.WithTools([]*schema.ToolInfo{{Name: "news"}})
	require.NoError(t, err)

	for _, c := range []struct {
		chat  model.ToolCallingChatModel
		opts  []model.Option
		tools []*schema.ToolInfo
	}{
		{plain, nil, nil},
		{armed, nil, tools},
		{other, nil, []*schema.ToolInfo{{Name: "news"}}},
		{armed, []model.Option{model.WithTools(nil)}, []*schema.ToolInfo{}},
	} {
		asked = nil
		_, err := c.chat.Generate(t.Context(), question, c.opts...)
		require.NoError(t, err)
		r, err := c.chat.Stream(t.Context(), question, c.opts...)
		require.NoError(t, err)
		_, err = all(r)
		require.NoError(t, err)
		require.Len(t, asked, 4, "two models, two calls")
		for _, o := range asked {
			require.Equal(t, c.tools, o.Tools)
		}
		require.Equal(t, "b", rep.Model.ID(), "all report alike")
	}
	require.Len(t, p.Models(), 2)
	require.EqualValues(t, 8, p.Model("b").Stats(time.Minute).Calls)
}

func TestWithToolsFails(t *testing.T) {
	c, _ := protect(t, newPool(t), &scripted{}, &scripted{toolError: overloaded})
	_, err := c.WithTools(nil)
	require.ErrorIs(t, err, overloaded)
}

// TestOptions go to every model, but for a name that only one would know.
func TestOptions(t *testing.T) {
	var asked []model.Options
	c, rep := protect(t, newPool(t), &scripted{refuse: overloaded, asked: &asked}, &scripted{chunks: []*schema.Message{text("so"), end("stop")}, asked: &asked})
	opts := []model.Option{model.WithTemperature(0.5), model.WithModel("b"), model.WithMaxTokens(9)}
	_, err := c.Generate(t.Context(), question, opts...)
	require.NoError(t, err)
	require.Len(t, asked, 1)
	require.Len(t, rep.Attempts, 1)
	require.Nil(t, asked[0].Model)
	require.InDelta(t, 0.5, *asked[0].Temperature, 0)
	require.Equal(t, 9, *asked[0].MaxTokens)
	require.Equal(t, "b", *model.GetCommonOptions(nil, opts...).Model, "the caller's are as they were")

	_, err = c.Stream(t.Context(), question, model.WithModel("bb"))
	require.ErrorIs(t, err, resilience.NotFound)
	require.ErrorContains(t, err, `no model "bb" is bound`)

	asked = nil
	_, err = c.Generate(resilience.WithOptions(t.Context(), resilience.CallOptions{Model: "a", Op: "ask"}), question)
	require.ErrorIs(t, err, resilience.Overloaded)
	require.Len(t, asked, 1)
	require.Equal(t, "ask", rep.Op)
}

// TestCallbacks are left to models only if all see to them.
func TestCallbacks(t *testing.T) {
	does, not := &scripted{callbacks: true}, &scripted{}
	c, _ := protect(t, newPool(t), does, does)
	require.True(t, c.IsCallbacksEnabled())
	c, _ = protect(t, newPool(t), does, not)
	require.False(t, c.IsCallbacksEnabled())
}

func TestNewRefuses(t *testing.T) {
	for want, models := range map[string][]Model{
		"eino.models.a: the model is nil": {{ID: "a"}},
		"client: binds no model":          nil,
		"name is empty":                   {{"", &scripted{}}},
		"client.bind.a: is bound twice":   {{"a", &scripted{}}, {"a", &scripted{}}},
	} {
		_, err := New(newPool(t), models...)
		require.ErrorContains(t, err, want)
	}
}

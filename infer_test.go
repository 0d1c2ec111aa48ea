package resilience_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// sdk has the method shape of the official SDKs.
type sdk struct{ seen []string }

type requestOption string

func (s *sdk) New(_ context.Context, params struct{ Prompt string }, opts ...requestOption) (*string, error) {
	for _, o := range opts {
		s.seen = append(s.seen, string(o))
	}
	answer := "re: " + params.Prompt
	return &answer, nil
}

// TestTypesAreInferred compiles what the documentation promises: no type
// parameter is written.
func TestTypesAreInferred(t *testing.T) {
	s := &sdk{}
	chat := resilience.Wrap(resilience.SDK(s.New, requestOption("no retries"), requestOption("beta")), resilience.Timeouts{})
	answer, err := chat.Call(t.Context(), struct{ Prompt string }{"why"})
	require.NoError(t, err)
	require.Equal(t, "re: why", *answer)
	require.Equal(t, []string{"no retries", "beta"}, s.seen)

	embed := func(context.Context, string) ([]float64, error) { return []float64{1}, nil }
	p := newPool(t, resilience.Timeouts{})
	vectors, err := resilience.NewClient(p, resilience.BindFunc("embed", embed), resilience.Bind("other", resilience.FuncOf(embed)))
	require.NoError(t, err)
	var caller resilience.ModelCaller[string, []float64] = vectors.Pin("other")
	v, err := caller.Call(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, []float64{1}, v)
	require.NotSame(t, vectors, resilience.Wrap(caller))
}

func TestChain(t *testing.T) {
	around := func(open, shut string) resilience.Middleware[string, string] {
		return func(next resilience.ModelCaller[string, string]) resilience.ModelCaller[string, string] {
			return ask(func(ctx context.Context, req string) (string, error) {
				answer, err := next.Call(ctx, open+req)
				return answer + shut, err
			})
		}
	}
	c := resilience.Chain(ask(func(_ context.Context, req string) (string, error) { return strings.ToUpper(req), nil }),
		around("a(", ")a"), around("b(", ")b"))
	answer, err := c.Call(t.Context(), "x")
	require.NoError(t, err)
	require.Equal(t, "B(A(X)b)a", answer, "the first is the outermost")
	answer, err = resilience.Chain[string, string](says("x")).Call(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, "x", answer)
}

// TestClientsOfDifferentTypesShareModels, and what is known about them.
func TestClientsOfDifferentTypesShareModels(t *testing.T) {
	p := newPool(t)
	chat := newClient(t, p, echo("a")...)
	embed, err := resilience.NewClient(p, resilience.BindFunc("a", func(context.Context, int) ([]int, error) { return nil, nil }))
	require.NoError(t, err)
	require.Same(t, chat.Models()[0], embed.Models()[0])
	require.NoError(t, p.Model("a").Drain(t.Context(), by))
	_, err = embed.Call(t.Context(), 1)
	require.ErrorIs(t, err, resilience.Rejected)
}

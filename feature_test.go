package resilience_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

var allLayers = []resilience.Layer{
	resilience.LayerObserve, resilience.LayerAdmit, resilience.LayerCache, resilience.LayerRoute, resilience.LayerRetry,
	resilience.LayerLimit, resilience.LayerBreaker, resilience.LayerTimeout, resilience.LayerFault,
}

// TestLayersAreFixedPoints installs layers in the wrong order, two of each.
func TestLayersAreFixedPoints(t *testing.T) {
	var got, want []string
	var features []resilience.Feature
	for _, at := range slices.Backward(allLayers) {
		for _, nth := range []string{" 1", " 2"} {
			name := at.String() + nth
			around := func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
				got = append(got, name)
				require.Equal(t, at > resilience.LayerRoute, c.Model() != nil)
				return next(ctx, c)
			}
			if at != resilience.LayerRoute {
				features = append(features, layer(at, around))
			} else if nth == " 1" {
				features = append(features, feature(func(s *resilience.Setup) error {
					s.Route(func(ctx context.Context, r *resilience.Route, next resilience.Handler) error {
						got = append(got, "route")
						r.Next(ctx, false)
						return next(ctx, r.Call())
					})
					return nil
				}))
			}
		}
	}
	for _, at := range allLayers {
		if at == resilience.LayerRoute {
			want = append(want, "route")
			continue
		}
		want = append(want, at.String()+" 1", at.String()+" 2")
	}
	c := newClient(t, newPool(t, features...), resilience.BindFunc("a", func(context.Context, string) (string, error) {
		got = append(got, "caller")
		return "", nil
	}))
	_, err := c.Call(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, append(want, "caller"), got)
	require.Len(t, c.Pool().Stack(), len(want))
	require.Equal(t, "unknown", resilience.Layer(-1).String())
	require.Equal(t, "unknown", resilience.Layer(99).String())
}

// TestFaultLayerStandsInForTheModel: what it does is measured, bounded and
// believed.
func TestFaultLayerStandsInForTheModel(t *testing.T) {
	n := 0
	var fault func(ctx context.Context, c *resilience.Call, next resilience.Handler) error
	p := newPool(t, resilience.Timeouts{Attempt: 20 * time.Millisecond},
		layer(resilience.LayerFault, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
			return fault(ctx, c, next)
		}))
	var saw context.Context
	c := newClient(t, p, resilience.BindFunc("a", counted(&n, ask(func(ctx context.Context, _ string) (string, error) {
		saw = ctx //nolint:fatcontext // to look at after the call
		resilience.ReportUsage(ctx, resilience.Usage{Input: 5})
		return "a", nil
	}))), resilience.Hooks[string, string]{})
	stats := func() resilience.CallStats { return p.Model("a").Stats(time.Minute) }

	fault = func(context.Context, *resilience.Call, resilience.Handler) error { return &sdkError{StatusCode: 529} }
	_, err := c.Call(t.Context(), "")
	require.ErrorIs(t, err, resilience.Overloaded)
	require.ErrorContains(t, err, "a: overloaded")
	require.Equal(t, []int64{1, 1}, []int64{stats().Calls, stats().Failures})

	fault = func(ctx context.Context, _ *resilience.Call, _ resilience.Handler) error {
		<-ctx.Done()
		return ctx.Err()
	}
	_, err = c.Call(t.Context(), "")
	require.ErrorIs(t, err, resilience.TimedOut)
	require.Zero(t, n)

	fault = func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
		ctx, cancel := context.WithCancel(context.WithValue(ctx, traceKey{}, "fault"))
		defer cancel()
		return next(ctx, c)
	}
	answer, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
	require.NoError(t, err)
	require.Equal(t, "a", answer)
	require.Equal(t, "fault", saw.Value(traceKey{}), "its context reaches the caller")
	require.Equal(t, int64(5), rep.Usage.Input)
	idle(t, p)
}

func TestOwners(t *testing.T) {
	route := func(s *resilience.Setup) error {
		s.Route(func(context.Context, *resilience.Route, resilience.Handler) error { return nil })
		return nil
	}
	budget := func(s *resilience.Setup) error { s.RetryBudget(func(bool) bool { return true }); return nil }
	nobody := pick(func(*resilience.Call, resilience.Candidates) *resilience.Model { return nil })
	for name, c := range map[string]struct {
		features []resilience.Feature
		want     []string
	}{
		"section":   {[]resilience.Feature{&section{name: "one"}, &section{name: "one"}}, []string{"one: two features own this section"}},
		"timeouts":  {[]resilience.Feature{resilience.Timeouts{}, resilience.Timeouts{}}, []string{"timeouts: two features own this section"}},
		"router":    {[]resilience.Feature{feature(route), feature(route)}, []string{"route: two features want to go through models"}},
		"picker":    {[]resilience.Feature{nobody, nobody}, []string{"pick: two features want to choose among models"}},
		"budget":    {[]resilience.Feature{feature(budget), feature(budget)}, []string{"retryBudget: two features own the retry budget"}},
		"no layer":  {[]resilience.Feature{layer(-1, nil), layer(99, nil), layer(resilience.LayerRoute, nil)}, []string{"feature: there is no place for it at layer unknown", "feature: there is no place for it at layer unknown", "feature: there is no place for it at layer route"}},
		"nil":       {[]resilience.Feature{nil}, []string{"feature: is nil"}},
		"arguments": {[]resilience.Feature{resilience.Models(), resilience.Logger(nil), resilience.Seed(nil), resilience.Classify(nil), resilience.Audit(nil)}, []string{"models: is empty: a pool needs a model", "logger: is nil", "seed: is nil", "classify: the function is nil", "audit: the function is nil"}},
		"all of it at once": {
			[]resilience.Feature{nil, models("a", "a"), resilience.Timeouts{Models: map[string]resilience.Timeouts{"x": {Call: 1}}}},
			[]string{"feature: is nil", `models[1].id: "a" is the ID of models[0] too`, "timeouts.models.x.call: a call may go to several models; set attempt"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := resilience.NewPool(c.features...)
			require.ElementsMatch(t, c.want, problems(t, err))
		})
	}
}

func TestDefaults(t *testing.T) {
	def := func(f *section) resilience.Feature {
		return feature(func(s *resilience.Setup) error { s.Default(f.name, f); return nil })
	}
	explicit, first, second := &section{name: "one", given: 1}, &section{name: "one", given: 2}, &section{name: "one", given: 3}
	p := newPool(t, models("a"), def(first), explicit, def(second))
	require.NoError(t, p.Reload(t.Context(), []byte(`{"one": 9}`), by))
	require.Equal(t, []int64{9, 0, 0}, []int64{explicit.value.Load(), first.value.Load(), second.value.Load()}, "an explicit one wins, whatever the order")

	first, second = &section{name: "one", given: 2}, &section{name: "one", given: 3}
	nested := feature(func(s *resilience.Setup) error {
		s.Default("outer", feature(func(s *resilience.Setup) error { s.Default("one", second); return nil }))
		s.Default("one", first)
		return nil
	})
	newPool(t, models("a"), nested)
	require.Equal(t, []int64{2, 0}, []int64{first.value.Load(), second.value.Load()}, "of two defaults the first")
}

func TestAFeaturesPrepareRefusesAll(t *testing.T) {
	fail := errors.New("not a ConfigError")
	bad := feature(func(s *resilience.Setup) error {
		s.Configure("bad", func(json.RawMessage) (func(), error) { return nil, fail })
		return nil
	})
	lazy := feature(func(s *resilience.Setup) error {
		s.Configure("lazy", func(json.RawMessage) (commit func(), err error) { return commit, err })
		return nil
	})
	one := &section{name: "one", given: 1}
	p := newPool(t, models("a"), bad, one)
	require.ErrorIs(t, p.Reload(t.Context(), []byte(`{"one": 4}`), by), fail)
	require.Equal(t, int64(1), one.value.Load())
	p = newPool(t, models("a"), lazy)
	require.NoError(t, p.Reload(t.Context(), []byte(`{"lazy": {}}`), by), "nothing to do")
}

func TestPerModel(t *testing.T) {
	var one, two resilience.PerModel[int]
	p := newPool(t, models("a", "b"))
	*one.Of(p.Model("a")) = 1
	*two.Of(p.Model("a")) = 2
	require.Equal(t, []int{1, 2, 0}, []int{*one.Of(p.Model("a")), *two.Of(p.Model("a")), *one.Of(p.Model("b"))})
}

func TestWrapAddsToTheSamePool(t *testing.T) {
	var got []string
	note := func(at resilience.Layer) resilience.Feature {
		return layer(at, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
			got = append(got, at.String())
			return next(ctx, c)
		})
	}
	inner := resilience.Wrap(says("x"), note(resilience.LayerRetry))
	m := inner.Models()[0]
	outer := resilience.Wrap(inner, note(resilience.LayerBreaker), note(resilience.LayerObserve), note(resilience.LayerFault))
	require.Same(t, inner.Pool(), outer.Pool())
	require.Equal(t, []*resilience.Model{m}, outer.Models())
	require.Equal(t, "model", m.ID())
	_, err := outer.Call(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, []string{"observe", "retry", "breaker", "fault"}, got)
	require.Equal(t, int64(1), m.Stats(time.Minute).Calls, "once")

	pinned := resilience.Wrap(outer.Pin("model"))
	require.NotSame(t, inner.Pool(), pinned.Pool(), "a pool of its own")
}

type named struct {
	ask
	name string
}

func (n named) Name() string { return n.name }

func TestWrapNames(t *testing.T) {
	ids := func(c *client) (list []string) {
		for _, m := range c.Models() {
			list = append(list, m.ID())
		}
		return list
	}
	require.Equal(t, []string{"gpt-5"}, ids(resilience.Wrap(named{says("x"), "gpt-5"})))
	require.Equal(t, []string{"model"}, ids(resilience.Wrap(named{says("x"), ""})))
	require.Equal(t, []string{"1", "b", "3"}, ids(resilience.WrapAll([]resilience.ModelCaller[string, string]{
		says("x"), named{says("x"), "b"}, resilience.Wrap(says("x")),
	})))
}

func TestWrapPanicsOnWhatIsWrong(t *testing.T) {
	bad := resilience.Timeouts{Models: map[string]resilience.Timeouts{"x": {Call: 1}}}
	for name, wrap := range map[string]func(){
		"a setting":        func() { resilience.Wrap(says("x"), bad) },
		"a nested setting": func() { resilience.Wrap(resilience.Wrap(says("x")), bad) },
		"no caller":        func() { resilience.Wrap[string, string](nil) },
		"a nil function":   func() { resilience.Wrap(ask(nil)) },
		"no callers":       func() { resilience.WrapAll[string, string](nil) },
		"a name twice": func() {
			resilience.WrapAll([]resilience.ModelCaller[string, string]{named{says("x"), "b"}, named{says("x"), "b"}})
		},
		"a name that breaks lines": func() { resilience.Wrap(named{says("x"), "a\nb"}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				err, ok := recover().(error)
				require.True(t, ok)
				require.NotEmpty(t, problems(t, err))
			}()
			wrap()
		})
	}
}

func TestNewClientProblems(t *testing.T) {
	p := newPool(t, models("alpha", "beta"))
	hooks := resilience.Hooks[string, string]{Usage: func(string, string) resilience.Usage { return resilience.Usage{} }}
	for name, c := range map[string]struct {
		pool *resilience.Pool
		opts []option
		want []string
	}{
		"no pool":  {nil, echo("alpha"), []string{"client: has no pool"}},
		"nothing":  {p, nil, []string{"client: binds no model; give it a Bind, BindFunc or BindProvider"}},
		"hooks":    {p, append(echo("alpha"), hooks, hooks), []string{"client.hooks: are given twice"}},
		"unknown":  {p, echo("alpa", "gamma"), []string{`client.bind.alpa: is not among the pool's models; did you mean "alpha"?`, "client.bind.gamma: is not among the pool's models"}},
		"bad ID":   {newPool(t), echo("a b"), []string{`client.bind: "a b" is longer than 64 bytes or has characters other than printable ASCII without spaces`}},
		"nil":      {p, append(echo("alpha"), nil), []string{"client: option 2 is nil"}},
		"nil call": {p, []option{resilience.BindFunc[string, string]("alpha", nil), resilience.Bind[string, string]("beta", nil)}, []string{"client.bind.alpha: the caller is nil", "client.bind.beta: the caller is nil", "client: binds no model; give it a Bind, BindFunc or BindProvider"}},
		"twice":    {p, echo("alpha", "alpha"), []string{"client.bind.alpha: is bound twice"}},
		"no name":  {p, append(echo("alpha"), resilience.BindFunc("", says("x")), resilience.BindProvider[string, string]("x", nil)), []string{"client: a model's ID or a provider's name is empty", "client.bindProvider.x: the caller is nil"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := resilience.NewClient(c.pool, c.opts...)
			require.ElementsMatch(t, c.want, problems(t, err))
		})
	}
}

// TestDeclaredModels: a pool that declares its models learns no others, and
// one that does not learns all that are bound.
func TestDeclaredModels(t *testing.T) {
	p := newPool(t)
	require.Empty(t, p.Models())
	newClient(t, p, echo("a", "b")...)
	newClient(t, p, echo("b", "c")...)
	var ids []string
	for _, m := range p.Models() {
		ids = append(ids, m.ID())
	}
	require.Equal(t, []string{"a", "b", "c"}, ids)
	info := p.Model("a").Info()
	require.Equal(t, resilience.ModelInfo{ID: "a", Name: "a", Weight: 1}, info)
	require.Equal(t, "a", p.Model("a").String())
}

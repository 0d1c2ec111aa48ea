package resilience_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// section is a feature with one setting, and a refusal of its own.
type section struct {
	name  string
	given int
	value atomic.Int64
}

func (f *section) Install(s *resilience.Setup) error {
	f.value.Store(int64(f.given))
	s.Configure(f.name, func(raw json.RawMessage) (func(), error) {
		next := f.given
		if raw != nil {
			if err := json.Unmarshal(raw, &next); err != nil || next < 0 {
				return nil, &resilience.ConfigError{Path: f.name, Problem: "want a number"}
			}
		}
		return func() { f.value.Store(int64(next)) }, nil
	})
	return nil
}

// problems lists the ConfigErrors joined in err.
func problems(t *testing.T, err error) (list []string) {
	t.Helper()
	require.Error(t, err)
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			list = append(list, problems(t, e)...)
		}
		return list
	}
	var one *resilience.ConfigError
	require.ErrorAs(t, err, &one)
	require.Same(t, one, err)
	return []string{one.Error()}
}

func TestReloadRefusals(t *testing.T) {
	one, two := &section{name: "one", given: 1}, &section{name: "two", given: 2}
	p := newPool(t, models("a"), resilience.Timeouts{}, one, two)
	for name, c := range map[string]struct {
		config string
		want   []string
	}{
		"nothing":           {``, []string{"config: line 1, column 1: unexpected end of JSON input"}},
		"not an object":     {`[]`, []string{"config: want an object"}},
		"half":              {`{"one": 5,`, []string{"config: line 1, column 10: unexpected end of JSON input"}},
		"unknown":           {`{"onne": 5}`, []string{`onne: no feature of this pool has such a section; did you mean "one"?`}},
		"unlike any":        {`{"breaker": {}}`, []string{`breaker: no feature of this pool has such a section`}},
		"a model's section": {`{"model": []}`, []string{`model: no feature of this pool has such a section; did you mean "models"?`}},
		"twice":             {`{"one": 5, "one": 6}`, []string{"one: duplicate key"}},
		"twice, but case":   {`{"one": 5, "One": 6}`, []string{`One: differs from the key "one" in letter case alone`}},
		"bypass":            {`{"bypass": "yes"}`, []string{"bypass: want true or false, not a string"}},
		"bypass null":       {`{"bypass": null}`, []string{"bypass: null has no meaning here; leave it out"}},
		"no models":         {`{"models": []}`, []string{"models: is empty: a pool needs a model"}},
		"a model's key":     {`{"models": [{"id": "a", "wieght": 2}]}`, []string{`models[0].wieght: unknown key; did you mean "weight"?`}},
		"models":            {`{"models": {"id": "a"}}`, []string{"models: want an array, not an object", "models: is empty: a pool needs a model"}},
		"IDs": {`{"models": [{"id": "a"}, {}, {"id": "a"}, {"id": "b c"}]}`, []string{
			"models[1].id: is missing", `models[2].id: "a" is the ID of models[0] too`,
			"models[3].id: is longer than 64 bytes or has characters other than printable ASCII without spaces",
		}},
		"numbers": {`{"models": [{"id": "a", "weight": -1, "contextWindow": -5, "price": {"input": -1}}]}`, []string{
			"models[0].weight: is negative or too large", "models[0].contextWindow: is negative", "models[0].price: is negative or too large",
		}},
		"free but not":      {`{"models": [{"id": "a", "price": {"input": 1, "free": true}}]}`, []string{"models[0].price: is free and has a price"}},
		"a feature's":       {`{"one": -1}`, []string{"one: want a number"}},
		"a duration":        {`{"timeouts": {"call": 5}}`, []string{`timeouts.call: want a duration such as "15s", not a number`}},
		"zero":              {`{"timeouts": {"call": "0s"}}`, []string{`timeouts.call: "0s" means the default here, 2m; leave it out, or say "-1s" to switch it off`}},
		"to no effect":      {`{"timeouts": {"models": {"a": {"call": "1s"}}}}`, []string{"timeouts.models.a.call: a call may go to several models; set attempt"}},
		"observed per op":   {`{"timeouts": {"ops": {"x": {"observeOnly": true}}}}`, []string{"timeouts.ops.x.observeOnly: is for all calls; set it beside ops"}},
		"observed per name": {`{"timeouts": {"models": {"a": {"observeOnly": true}}}}`, []string{"timeouts.models.a.observeOnly: is for all models; set it beside models"}},
		"everything at once": {`{"two": "x", "one": -1, "three": {}, "models": [{"id": ""}]}`, []string{
			`three: no feature of this pool has such a section`, "models[0].id: is missing", "one: want a number", "two: want a number",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			before := p.Generation()
			err := p.Reload(t.Context(), []byte(c.config), by)
			require.ElementsMatch(t, c.want, problems(t, err))
			require.Equal(t, before, p.Generation())
			require.Equal(t, []int64{1, 2}, []int64{one.value.Load(), two.value.Load()})
		})
	}
	require.NoError(t, p.Reload(t.Context(), []byte(`{"x-note": {"anything": null}, "one": 7}`), by))
	require.Equal(t, int64(7), one.value.Load())
}

func TestReloadIsAllOrNothing(t *testing.T) {
	one, two := &section{name: "one", given: 1}, &section{name: "two", given: 2}
	var refuse error
	p := newPool(t, models("a", "b"), one, two, resilience.Audit(func(context.Context, resilience.Change) error { return refuse }))
	events := p.Subscribe(10, resilience.EventConfig)
	before := p.Generation()
	state := func() []any { return []any{one.value.Load(), two.value.Load(), len(p.Models()), p.Generation()} }
	same := []any{int64(1), int64(2), 2, before}

	require.Error(t, p.Reload(t.Context(), []byte(`{"one": 5, "two": -1, "models": [{"id": "a"}]}`), by))
	require.Equal(t, same, state())
	var config *resilience.ConfigError
	require.ErrorAs(t, p.Reload(t.Context(), []byte(`{"one": 5}`), resilience.Control{}), &config)
	require.Equal(t, "control.actor", config.Path)
	require.Equal(t, same, state())
	refuse = errors.New("change freeze")
	require.EqualError(t, p.Reload(t.Context(), []byte(`{"one": 5}`), by), "the audit refuses config: change freeze")
	require.Equal(t, same, state())
	refuse = nil
	require.NoError(t, p.Reload(t.Context(), []byte(`{"one": 5, "models": [{"id": "a"}, {"id": "c"}, {"id": "d"}]}`), by))
	require.Equal(t, []any{int64(5), int64(2), 3, before + 1}, state())
	require.NoError(t, p.Reload(t.Context(), []byte(`{"two": 6}`), by))
	require.Equal(t, []any{int64(1), int64(6), 2, before + 2}, state(), "what is absent is as it was given to NewPool")

	events.Close()
	var got []bool
	for e := range events.C {
		got = append(got, e.Err == nil)
		if e.Err == nil {
			require.Equal(t, "operator: a test", e.Reason)
		}
	}
	require.Equal(t, []bool{false, false, false, true, true}, got)
}

func TestReloadKeepsWhatIsKnown(t *testing.T) {
	p := newPool(t, resilience.Models(resilience.ModelInfo{ID: "a", Tier: 1}, resilience.ModelInfo{ID: "b"}))
	c := newClient(t, p, echo("a", "b")...)
	answer, err := c.Call(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, "b", answer)
	b := p.Model("b")
	limit(t, p, "a", time.Hour)
	require.NoError(t, p.Reload(t.Context(), []byte(`{"models": [{"id": "b", "tier": 3, "name": "bb"}, {"id": "a"}]}`), by))
	require.Same(t, b, p.Model("b"))
	require.Equal(t, "bb", b.Name())
	require.Equal(t, int64(1), b.Stats(time.Minute).Calls)
	require.Len(t, p.Model("a").Holds(), 1)
	p.Model("a").Release(t.Context(), resilience.HoldLimit)
	answer, err = c.Call(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, "a", answer, "the new tiers count")
	_, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
	require.NoError(t, err)
	require.Equal(t, p.Generation(), rep.Generation)

	err = p.Reload(t.Context(), []byte(`{"models": [{"id": "z"}]}`), by)
	require.EqualError(t, err, "models: leave a client without a model, which binds a, b")
	require.Len(t, c.Models(), 2, "a misspelt ID must not take a service down")
}

func TestModelsLearntFromBindingsComeBack(t *testing.T) {
	p := newPool(t)
	c := newClient(t, p, echo("a", "b")...)
	require.NoError(t, p.Reload(t.Context(), []byte(`{"models": [{"id": "b"}]}`), by))
	require.Len(t, c.Models(), 1)
	require.NoError(t, p.Reload(t.Context(), []byte(`{}`), by))
	require.Len(t, c.Models(), 2)
}

func TestModelsRemovedWhileTheyAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, models("a", "b"), inTurn(false))
		slow := ask(func(context.Context, string) (string, error) {
			time.Sleep(time.Second)
			return "", resilience.Overloaded
		})
		c := newClient(t, p, resilience.BindFunc("a", slow), resilience.BindFunc("b", says("b")))
		a := p.Model("a")
		var rep resilience.Report
		var err error
		go func() { _, rep, err = c.Do(t.Context(), "", resilience.CallOptions{}) }()
		synctest.Wait()
		before := p.Generation()
		require.NoError(t, p.Reload(t.Context(), []byte(`{"models": [{"id": "b"}, {"id": "c"}]}`), by))
		require.Nil(t, p.Model("a"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.NoError(t, err)
		require.Equal(t, "b", rep.Model.ID(), "a call keeps the view that it began with")
		require.Equal(t, before, rep.Generation)
		require.Zero(t, a.InFlight())
		require.Equal(t, int64(1), a.Stats(time.Minute).Calls)
		idle(t, p)
	})
}

func TestReloadUnderLoad(t *testing.T) {
	one, two := &section{name: "one"}, &section{name: "two"}
	p := newPool(t, models("m0", "m1"), one, two, resilience.Timeouts{}, inTurn(true))
	c := newClient(t, p, resilience.BindProvider("x", func(_ context.Context, m *resilience.Model, _ string) (string, error) {
		return m.ID(), nil
	}), resilience.BindFunc("m0", says("m0")))
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				_, rep, err := c.Do(t.Context(), "", resilience.CallOptions{Op: "x"})
				if err != nil || rep.Model == nil {
					t.Errorf("%v, %+v", err, rep)
					return
				}
				p.Explain("")
				p.Stack()
			}
		})
	}
	for i := range 200 {
		config := fmt.Sprintf(`{"models": [{"id": "m0", "tier": %d}, {"id": "n%d", "provider": "x"}], "timeouts": {"call": "%ds"}}`, i%3, i, i+1)
		require.NoError(t, p.Reload(t.Context(), []byte(config), by))
		require.Error(t, p.Reload(t.Context(), []byte(`{"one": -1}`), by))
	}
	stop.Store(true)
	wg.Wait()
	idle(t, p)
}

func TestBindProviderFollowsReload(t *testing.T) {
	p := newPool(t, resilience.Models(resilience.ModelInfo{ID: "a", Provider: "x"}, resilience.ModelInfo{ID: "b", Provider: "y"}), inTurn(false))
	c := newClient(t, p, resilience.BindProvider("x", func(_ context.Context, m *resilience.Model, _ string) (string, error) {
		return "provider " + m.ID(), nil
	}), resilience.BindFunc("b", says("own b")))
	answers := func() (list []string) {
		for _, m := range c.Models() {
			answer, err := c.Pin(m.ID()).Call(t.Context(), "")
			require.NoError(t, err)
			list = append(list, answer)
		}
		return list
	}
	require.Equal(t, []string{"provider a", "own b"}, answers())
	require.NoError(t, p.Reload(t.Context(), []byte(`{"models": [
		{"id": "b", "provider": "x"}, {"id": "c", "provider": "x"}, {"id": "d", "provider": "z"}]}`), by))
	require.Equal(t, []string{"provider c", "own b"}, answers(), "a binding by ID wins")
}

func TestBindAll(t *testing.T) {
	said := func(by string) func(context.Context, *resilience.Model, string) (string, error) {
		return func(_ context.Context, m *resilience.Model, _ string) (string, error) { return by + " " + m.ID(), nil }
	}
	p := newPool(t, resilience.Models(resilience.ModelInfo{ID: "a", Provider: "x"}, resilience.ModelInfo{ID: "b"}, resilience.ModelInfo{ID: "c"}))
	c := newClient(t, p, resilience.BindAll(said("any")), resilience.BindProvider("x", said("x")), resilience.BindFunc("c", says("own c")))
	answers := func() (list []string) {
		for _, m := range c.Models() {
			answer, err := c.Pin(m.ID()).Call(t.Context(), "")
			require.NoError(t, err)
			list = append(list, answer)
		}
		return list
	}
	require.Equal(t, []string{"any b", "x a", "own c"}, answers())
	require.NoError(t, p.Reload(t.Context(), []byte(`{"models": [{"id": "d"}, {"id": "e", "provider": "y"}]}`), by), "no model is nobody's")
	require.Equal(t, []string{"any d", "any e"}, answers())

	_, err := resilience.NewClient(p, resilience.BindAll(said("")), resilience.BindAll(said("")))
	require.EqualError(t, err, "client.bindAll: is bound twice")
	_, err = resilience.NewClient(p, resilience.BindAll[string, string](nil))
	require.ErrorContains(t, err, "client.bindAll: the caller is nil")
}

func TestBypass(t *testing.T) {
	p := newPool(t, models("a", "b"), layer(resilience.LayerObserve, func(context.Context, *resilience.Call, resilience.Handler) error {
		return resilience.Reject("everything", 0)
	}))
	c := newClient(t, p, resilience.BindFunc("b", says("b")), resilience.BindFunc("a", fails(errBroken)))
	_, err := c.Call(t.Context(), "")
	require.ErrorIs(t, err, resilience.Rejected)

	require.NoError(t, p.Reload(t.Context(), []byte(`{"bypass": true}`), by))
	require.Equal(t, "bypassed: none of these is in effect", p.Stack()[len(p.Stack())-1])
	answer, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
	require.NoError(t, err)
	require.Equal(t, "b", answer, "the first one bound")
	require.True(t, rep.Bypassed)
	require.Equal(t, "b", rep.Model.ID())
	require.Zero(t, p.Model("b").Stats(time.Minute))
	_, err = c.Pin("a").Call(t.Context(), "")
	require.Equal(t, errBroken, err, "as it came, from the model that was asked for")
	_, _, err = c.Do(t.Context(), "", resilience.CallOptions{Model: "a"})
	require.Equal(t, errBroken, err)
	_, err = c.Pin("x").Call(t.Context(), "")
	require.ErrorIs(t, err, resilience.NotFound)

	require.Error(t, p.Reload(t.Context(), []byte(`{"bypass": true, "models": [{"id": "z"}]}`), by), "nothing to go to")
	require.NoError(t, p.Reload(t.Context(), []byte(`{}`), by))
	_, err = c.Call(t.Context(), "")
	require.ErrorIs(t, err, resilience.Rejected)

	require.NoError(t, p.Reload(t.Context(), []byte(`{"bypass": true}`), by))
	require.NoError(t, p.Drain(t.Context()))
	_, err = c.Call(t.Context(), "")
	require.ErrorContains(t, err, "the pool is draining")
}

func TestReloadsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var inside, most atomic.Int64
		p := newPool(t, models("a"), resilience.Audit(func(context.Context, resilience.Change) error {
			most.Store(max(most.Load(), inside.Add(1)))
			defer inside.Add(-1)
			time.Sleep(time.Second)
			return nil
		}))
		for range 5 {
			go func() { _ = p.Reload(t.Context(), []byte(`{}`), by) }()
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errBroken)
		defer cancel()
		require.Equal(t, errBroken, p.Reload(ctx, []byte(`{}`), by))
		newClient(t, p, echo("a")...) // does not wait for the audit
		time.Sleep(10 * time.Second)
		require.Equal(t, int64(1), most.Load())
	})
}

func TestReloadOfManyModels(t *testing.T) {
	var config bytes.Buffer
	config.WriteString(`{"models": [`)
	for i := range 5000 {
		fmt.Fprintf(&config, `%s{"id": "deployment-%d", "name": "model-%d", "provider": "x", "tier": %d, "weight": 2}`, strings.Repeat(",", min(i, 1)), i, i%100, i%3)
	}
	config.WriteString(`]}`)
	p := newPool(t)
	c := newClient(t, p, resilience.BindProvider("x", func(_ context.Context, m *resilience.Model, _ string) (string, error) {
		return m.ID(), nil
	}))
	require.NoError(t, p.Reload(t.Context(), config.Bytes(), by))
	answer, err := c.Call(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, "deployment-0", answer)
	require.NoError(t, p.Reload(t.Context(), config.Bytes(), by))
	require.Len(t, c.Models(), 5000)
}

func FuzzReload(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"models": [{"id": "a", "weight": 2, "price": {"input": 1, "output": 2}, "labels": {"k": "v"}}]}`,
		`{"timeouts": {"call": "1m", "ops": {"x": {"attempt": "-1s"}}, "models": {"a": {"attempt": "5s"}}}}`,
		`{"bypass": true, "one": 3}`, `{"one": -1}`, `{"models": []}`, `{"x-": 1}`, `[`, `{"one": 1, "One": 2}`,
	} {
		f.Add([]byte(seed))
	}
	one := &section{name: "one", given: 1}
	p := newPool(f, models("a"), resilience.Timeouts{}, one)
	c := newClient(f, p, resilience.BindProvider("p", func(context.Context, *resilience.Model, string) (string, error) { return "", nil }),
		resilience.BindFunc("a", says("a")))
	f.Fuzz(func(t *testing.T, config []byte) {
		before, value, stack := p.Generation(), one.value.Load(), p.Stack()
		if err := p.Reload(t.Context(), config, by); err != nil {
			require.NotEmpty(t, problems(t, err))
			require.Equal(t, before, p.Generation())
			require.Equal(t, value, one.value.Load())
			require.Equal(t, stack, p.Stack())
			return
		}
		require.Equal(t, before+1, p.Generation())
		require.NotEmpty(t, p.Models())
		if _, err := c.Call(t.Context(), ""); err != nil {
			require.ErrorIs(t, err, resilience.Rejected, "what it binds may be gone")
		}
	})
}

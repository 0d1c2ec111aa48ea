package fallback_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
)

// wrongs returns what is wrong, as lines.
func wrongs(err error) (list []string) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			list = append(list, wrongs(e)...)
		}
		return list
	}
	if e, ok := errors.AsType[*resilience.ConfigError](err); ok {
		list = append(list, e.Error())
	}
	return list
}

func TestConfigProblems(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg  fallback.Config
		want []string
	}{
		"strategy": {
			fallback.Config{Strategy: "hedge"},
			[]string{`fallback.strategy: "hedge" is none of sequential, parallel, weighted, random, hedged; did you mean "hedged"?`},
		},
		"numbers": {
			fallback.Config{Limit: -1, Width: -1, HedgeAfter: 1, HedgeShare: .6, Hedges: 5},
			[]string{"fallback.limit: ", "fallback.width: ", "fallback.hedgeAfter: ", "fallback.hedgeShare: ", "fallback.hedges: "},
		},
		"too wide":       {fallback.Config{Width: 9}, []string{"fallback.width: 9 is more than 8"}},
		"negative share": {fallback.Config{HedgeShare: -1}, []string{"fallback.hedgeShare: "}},
		"operations": {
			fallback.Config{Ops: map[string]fallback.Config{
				"x": {Strategy: "Random", Width: 10}, "y": {Ops: map[string]fallback.Config{"z": {}}}, "z": {StandIns: map[string][]string{"a": {"b"}}},
			}},
			[]string{
				"fallback.ops.x.strategy: ", "fallback.ops.x.width: ", "fallback.ops.y.ops: ",
				"fallback.ops.z.standIns: stand-ins are for all operations; set them beside ops",
			},
		},
		"stand-ins": {
			fallback.Config{StandIns: map[string][]string{"": {"a"}, "a": {"b", "a", "c", "b", ""}, "b": {"a"}}},
			[]string{
				"empty name", "fallback.standIns.a[1]: is a cycle: a model does not stand in for itself",
				`fallback.standIns.a[3]: is a cycle: "b" is tried already, as standIns[0]`, "fallback.standIns.a[4]: empty name",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := resilience.NewPool(fallback.New(tc.cfg))
			got := wrongs(err)
			require.Len(t, got, len(tc.want), "%v", err)
			for i, want := range tc.want {
				require.Contains(t, got[i], want)
			}
		})
	}
	_, err := resilience.NewPool(fallback.New(fallback.Config{Ops: map[string]fallback.Config{
		"x": {Strategy: fallback.Hedged, HedgeAfter: -1, Limit: -1},
	}}))
	require.NoError(t, err, "negative is off in an override")
}

func TestStrategyInAFile(t *testing.T) {
	w := newWorld(t, fallback.Config{}, script{}, models("a", "b")...)
	by := resilience.Control{Actor: "test", Reason: "reload"}
	require.NoError(t, w.Pool().Reload(t.Context(), []byte(`{"fallback": {"strategy": "hedged", "hedgeAfter": "2s",
		"standIns": {"a": ["b"]}, "ops": {"x": {"strategy": "parallel", "width": 3}}}}`), by))
	require.Contains(t, strings.Join(w.Pool().Stack(), "\n"), "strategy=hedged limit=all width=2 hedgeAfter=2s hedgeShare=0.05 hedges=2 "+
		"lastResort=false filtered=false observeOnly=false standIns=1 ops=1")
	for doc, want := range map[string]string{
		`{"fallback": {"strategy": "paralel"}}`:                    `did you mean "parallel"?`,
		`{"fallback": {"width": 0}}`:                               `fallback.width: `,
		`{"fallback": {"hedgeAfter": 5}}`:                          `fallback.hedgeAfter: want a duration`,
		`{"fallback": {"standIns": {"a": ["a"]}}}`:                 `fallback.standIns.a[0]: is a cycle`,
		`{"fallback": {"standIns": {"a": ["bb"]}}}`:                `fallback.standIns.a[0]: no model has this ID or name`,
		`{"fallback": {"ops": {"x": {"standIns": {"a": ["b"]}}}}}`: `fallback.ops.x.standIns: `,
	} {
		require.ErrorContains(t, w.Pool().Reload(t.Context(), []byte(doc), by), want)
	}
}

func TestStandIns(t *testing.T) {
	cfg := fallback.Config{StandIns: map[string][]string{"a": {"c", "b"}, "b": {"a"}, "family": {"a"}}}
	infos := []resilience.ModelInfo{{ID: "a"}, {ID: "b"}, {ID: "c", Tier: -1}, {ID: "d", Name: "family"}, {ID: "e", Name: "family"}}
	down := []error{resilience.Overloaded}
	for _, tc := range []struct {
		opts  resilience.CallOptions
		asked []string
	}{
		{resilience.CallOptions{Model: "a"}, []string{"a", "c", "b"}},
		{resilience.CallOptions{Model: "b"}, []string{"b", "a"}}, // not what stands in for a
		{resilience.CallOptions{Model: "c"}, []string{"c"}},
		{resilience.CallOptions{Model: "family"}, []string{"d", "e", "a"}},
		{resilience.CallOptions{Model: "d"}, []string{"d"}}, // this one and no other
		{resilience.CallOptions{Model: "a", Fallbacks: []string{"e"}}, []string{"a", "e"}},
	} {
		w := newWorld(t, cfg, script{"a": down, "b": down, "c": down, "d": down, "e": down}, infos...)
		_, _, err := w.Do(t.Context(), "?", tc.opts)
		require.ErrorIs(t, err, resilience.Overloaded)
		require.Equal(t, tc.asked, w.asked)
	}
	w := newWorld(t, cfg, script{"a": down}, infos...)
	_, rep, err := w.Do(t.Context(), "?", resilience.CallOptions{Model: "a"})
	require.NoError(t, err)
	require.True(t, rep.Substituted)
	_, err = w.Pin("a").Call(t.Context(), "?")
	require.Error(t, err, "a pinned client goes nowhere else")
}

// A pool may learn its models from bindings, so that nobody knows better before
// the first call.
func TestStandInsThatThereAreNotAreTold(t *testing.T) {
	var logged strings.Builder
	pool, err := resilience.NewPool(resilience.Logger(slog.New(slog.NewTextHandler(&logged, nil))),
		fallback.New(fallback.Config{StandIns: map[string][]string{"gpt-5": {"claude-sonet"}, "gone": {"gpt-5"}}}))
	require.NoError(t, err)
	sub := pool.Subscribe(8, resilience.EventWarning)
	defer sub.Close()
	c, err := resilience.NewClient(pool, resilience.BindFunc("gpt-5", takes(0, "fine")), resilience.BindFunc("claude-sonnet", takes(0, "fine")))
	require.NoError(t, err)
	for range 3 {
		_, _, err = c.Do(t.Context(), "?", resilience.CallOptions{Model: "gpt-5"})
		require.NoError(t, err)
	}
	require.Len(t, sub.C, 2, "once")
	require.Equal(t, `fallback.standIns.gone: no model has the ID or name "gone"`, (<-sub.C).Reason)
	require.Equal(t, `fallback.standIns.gpt-5[0]: no model has the ID or name "claude-sonet"; did you mean "claude-sonnet"?`, (<-sub.C).Reason)
	require.Contains(t, logged.String(), "claude-sonet")
}

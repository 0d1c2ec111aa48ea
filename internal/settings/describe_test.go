package settings

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDescribe(t *testing.T) {
	five := 5
	text := "sk-123"
	for _, test := range []struct {
		name string
		give config
		want string
	}{
		{"zero", config{},
			"failureRate=0.5 slowRate=off openFor=15s gap=off minCalls=10 width=all tenants=100 offset=0 small=off observeOnly=false " +
				"strategy=sequential admit=normal floor=high mode=calm price.input=off"},
		{"all", config{
			FailureRate: -1, SlowRate: 0.25, OpenFor: 90 * time.Minute, Gap: 2 * time.Second, MinCalls: -3, Width: 2, Tenants: 7, Offset: -2, Small: 0.1,
			ObserveOnly: true, Strategy: "parallel", Note: "two words", Admit: -1, Floor: -1, Window: period{"week"}, Key: secret{&text}, Mode: 1,
			Price: price{Input: 3, Long: &price{Input: 4}}, Limit: &limit{Only: "a\nb"}, Limits: []limit{{}, {}},
			Ramp: []float64{0.5, 1}, Kinds: []strategy{"a", "b c"}, Exact: &five,
			Labels: map[string]string{"a": "1"}, Steps: map[string]limit{"one": {}},
			On: func(error) bool { return true }, Actions: map[int][]string{1: nil, 2: nil}, Count: 3,
			Models: map[string]config{"m": {}, "n": {}}, Ops: map[string]config{"o": {}},
		}, "failureRate=off slowRate=0.25 openFor=1h30m gap=2s minCalls=off width=2 tenants=7 offset=-2 small=0.1 " +
			`observeOnly=true strategy=parallel note="two words" admit=low floor=low window=week key=[redacted] mode=busy ` +
			`price.input=3 price.long.input=4 limit.only="a\nb" limit.weight=1 limit.every=1m limit.burst=off limits=2 ramp=[0.5 1] kinds=[a "b c"] exact=5 ` +
			"labels=1 steps=1 on=set actions=2 count=set models=2 ops=1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, Describe(test.give))
			before := test.give.Strategy
			require.Equal(t, test.want, Describe(&test.give))
			require.Equal(t, before, test.give.Strategy, "Describe filled what it was lent")
		})
	}
}

func TestShowDuration(t *testing.T) {
	for text, want := range map[string]string{
		"0s": "0s", "15s": "15s", "300s": "5m", "90s": "1m30s", "3600s": "1h", "5400s": "1h30m", "10h": "10h", "20m": "20m",
		"1h0m1s": "1h0m1s", "250ms": "250ms", "-2m": "-2m",
	} {
		d, err := time.ParseDuration(text)
		require.NoError(t, err)
		require.Equal(t, want, showAny(d), text)
	}
}

type moody struct{}

func (moody) MarshalText() ([]byte, error)  { return nil, errors.New("not today") }
func (*moody) UnmarshalText(_ []byte) error { return nil }

// mute reads text and does not write it.
type mute int

func (*mute) UnmarshalText(_ []byte) error { return nil }

func TestShowByMethod(t *testing.T) {
	require.Equal(t, "?", showAny(moody{}))
	require.Equal(t, "7", showAny(mute(7)))
	require.Equal(t, "busy", showAny(mode(1)))
}

func TestWord(t *testing.T) {
	for s, want := range map[string]string{"plain": "plain", "a b": `"a b"`, "a\x07": `"a\a"`, `"`: `"\""`, "é✓": "é✓", "": ""} {
		require.Equal(t, want, word(s))
	}
}

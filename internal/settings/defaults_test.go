package settings

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFill(t *testing.T) {
	shared := []limit{{}, {Weight: 2, Every: -1}}
	steps := map[string]limit{"one": {}}
	pointed := &limit{Only: "a"}
	got := config{
		MinCalls: -1, Limits: shared, Steps: steps, Limit: pointed,
		FailureRate: math.Copysign(0, -1),
		Models:      map[string]config{"m": {}},
	}
	Fill(&got)
	require.Equal(t, config{
		FailureRate: 0.5, OpenFor: 15 * time.Second, MinCalls: -1, Tenants: 100, Strategy: "sequential", Floor: 1,
		Limits: []limit{{Weight: 1, Every: time.Minute}, {Weight: 2, Every: -1}},
		Steps:  map[string]limit{"one": {Weight: 1, Every: time.Minute}},
		Limit:  &limit{Only: "a", Weight: 1, Every: time.Minute},
		Models: map[string]config{"m": {}},
	}, got)
	require.Equal(t, []limit{{}, {Weight: 2, Every: -1}}, shared, "Fill wrote to a slice it was lent")
	require.Equal(t, map[string]limit{"one": {}}, steps, "Fill wrote to a map it was lent")
	require.Equal(t, &limit{Only: "a"}, pointed, "Fill wrote through a pointer it was lent")

	again := got
	Fill(&again)
	require.Equal(t, got, again)

	limits := []limit{{}}
	Fill(&limits)
	require.Equal(t, []limit{{Weight: 1, Every: time.Minute}}, limits)
}

func TestFillPanicsOnABadTag(t *testing.T) {
	var bad struct {
		N int `json:"n" default:"ten"`
	}
	require.PanicsWithValue(t, `settings: tag default of field N: ten is not a whole number`, func() { Fill(&bad) })
}

func TestCheck(t *testing.T) {
	nine, ten := 9, 10
	for _, test := range []struct {
		name string
		give config
		want string
	}{
		{"zero", config{}, ""},
		{"at the bounds", config{FailureRate: 1, MinCalls: 2, OpenFor: time.Hour, Offset: -5, Exact: &nine, Ramp: []float64{0.1, 1}}, ""},
		{"below", config{MinCalls: 1, Offset: -6}, "c.minCalls: 1 is less than 2\nc.offset: -6 is less than -5"},
		{"above", config{FailureRate: 1.5, OpenFor: 61 * time.Minute, Exact: &ten}, "c.failureRate: 1.5 is more than 1\nc.openFor: 1h1m is more than 1h\nc.exact: 10 is more than 9"},
		{"negative with a default", config{FailureRate: -0.5, OpenFor: -1, MinCalls: -100}, ""},
		{"negative without", config{SlowRate: -1, Width: -1, Small: -1, Price: price{Input: -2}},
			"c.slowRate: -1 must not be negative\nc.width: -1 must not be negative\nc.small: -1 must not be negative\nc.price.input: -2 must not be negative"},
		{"negative in override", config{Models: map[string]config{"m": {SlowRate: -1, FailureRate: -1, Price: price{Input: -1}}}}, ""},
		{"negative in an element of an override", config{Ops: map[string]config{"o": {
			Ramp: []float64{-1}, Price: price{Long: &price{Input: -1}}, Limits: []limit{{Weight: -1, Burst: -1}}, Steps: map[string]limit{"a": {Burst: -1}}}}},
			"c.ops.o.price.long.input: -1 must not be negative\nc.ops.o.limits[0].weight: -1 must not be negative\n" +
				"c.ops.o.limits[0].burst: -1 must not be negative\nc.ops.o.ramp[0]: -1 must not be negative\nc.ops.o.steps.a.burst: -1 must not be negative"},
		{"cannot be off", config{Limit: &limit{Weight: -1, Every: -1}}, "c.limit.weight: -1 must not be negative"},
		{"not finite", config{FailureRate: math.NaN(), SlowRate: math.Inf(1), Small: float32(math.Inf(-1))},
			"c.failureRate: NaN is not a finite number\nc.slowRate: +Inf is not a finite number\nc.small: -Inf is not a finite number"},
		{"elements", config{Ramp: []float64{0, 1, 2, math.NaN()}}, "c.ramp[0]: 0 is less than 0.1\nc.ramp[2]: 2 is more than 1\nc.ramp[3]: NaN is not a finite number"},
		{"word", config{Strategy: "paralell"}, `c.strategy: "paralell" is none of sequential, parallel; did you mean "parallel"?`},
		{"words", config{Kinds: []strategy{"a", "", "z"}}, "c.kinds[1]: \"\" is none of a, b\nc.kinds[2]: \"z\" is none of a, b"},
		{"nested, by name", config{Steps: map[string]limit{"b": {Weight: 101}, "a.1": {Weight: 102}}},
			"c.steps[\"a.1\"].weight: 102 is more than 100\nc.steps.b.weight: 101 is more than 100"},
		{"override", config{Models: map[string]config{"m": {FailureRate: 2, MinCalls: 1}}}, "c.models.m.failureRate: 2 is more than 1\nc.models.m.minCalls: 1 is less than 2"},
		{"override in override", config{Models: map[string]config{"m": {Ops: map[string]config{"o": {}}}}}, "c.models.m.ops: an override cannot hold overrides"},
		{"out of a file's reach", config{Count: -1}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, lines(Check("c", test.give)))
			require.Equal(t, test.want, lines(Check("c", &test.give)))
			filled := test.give
			Fill(&filled)
			require.Equal(t, test.want, lines(Check("c", filled)))
		})
	}
	require.Equal(t, "models[1].weight: 101 is more than 100", lines(Check("models", []limit{{}, {Weight: 101}})))
}

func TestOverlay(t *testing.T) {
	yes, no := func(error) bool { return true }, func(error) bool { return false }
	base := config{
		FailureRate: 0.5, OpenFor: time.Second, Opaque: struct{ A, B int }{1, 1}, ObserveOnly: true, Strategy: "parallel", Price: price{Input: 1, Long: &price{Input: 2}},
		Limit: &limit{Only: "base"}, Limits: []limit{{}, {}}, Window: period{"day"}, On: yes, Actions: map[int][]string{1: nil}, hidden: 1,
		Labels: map[string]string{"a": "1"}, Models: map[string]config{"m": {}},
	}
	over := config{
		FailureRate: -1, MinCalls: 3, Opaque: struct{ A, B int }{0, 2}, Price: price{Input: 5}, Limit: &limit{Weight: 2}, Limits: []limit{},
		Window: period{"week"}, Labels: map[string]string{"b": "2"}, On: no, hidden: 2,
	}
	got := Overlay(base, over)
	require.True(t, Overlay(base, config{}).On(nil))
	require.False(t, got.On(nil))
	got.On = nil
	require.Equal(t, config{
		FailureRate: -1, MinCalls: 3, Opaque: struct{ A, B int }{0, 2}, OpenFor: time.Second, ObserveOnly: true, Strategy: "parallel",
		Price: price{Input: 5, Long: &price{Input: 2}}, Limit: &limit{Weight: 2}, Limits: []limit{}, Window: period{"week"},
		Actions: map[int][]string{1: nil}, hidden: 1, Labels: map[string]string{"b": "2"}, Models: map[string]config{"m": {}},
	}, got)
	require.Equal(t, 0.5, base.FailureRate)
	require.Equal(t, map[string]string{"a": "1"}, base.Labels)

	models := map[string]config{"n": {MinCalls: 1}}
	require.Equal(t, models, Overlay(base, config{Models: models}).Models, "maps are taken whole")
}

// name is a key that is a string and yet has a form of its own.
type name string

func (*name) UnmarshalText(_ []byte) error { return nil }

func TestLint(t *testing.T) {
	type unread struct {
		C chan int `json:"c"`
	}
	type Embedded struct {
		A int `json:"a"`
	}
	for _, test := range []struct {
		name string
		give any
		want string
	}{
		{"default", struct {
			N time.Duration `json:"n" default:"15"`
		}{}, `.N: default: "15" is not a duration such as "15s" or "1m30s"`},
		{"min and max", struct {
			N int `json:"n" min:"a" max:"1.5"`
		}{}, ".N: min: a is not a whole number\n.N: max: 1.5 is not a whole number"},
		{"max of elements", struct {
			N []float64 `json:"n" max:"inf"`
		}{}, ".N: max: inf is not finite"},
		{"default by method", struct {
			N level `json:"n" default:"highest"`
		}{}, `.N: default: "highest" is no level`},
		{"default out of a file's reach", struct {
			N uint `json:"-" default:"-1"`
		}{}, ".N: default: -1 is not a whole number, 0 or more"},
		{"default of bool", struct {
			N bool `json:"n" default:"true"`
		}{}, ".N: a bool cannot have a default"},
		{"default of slice", struct {
			N []int `json:"n" default:"1"`
		}{}, ".N: a []int cannot have a default"},
		{"zero default", struct {
			N int `json:"n" default:"0"`
		}{}, ".N: a default of zero says nothing"},
		{"negative default", struct {
			N int `json:"n" default:"-1"`
		}{}, ".N: a negative default means off; leave it out"},
		{"negative default among negatives", struct {
			N int `json:"n" default:"-1" min:"-1"`
		}{}, ""},
		{"default below", struct {
			N int `json:"n" default:"1" min:"2"`
		}{}, ".N: the default is out of bounds"},
		{"default above", struct {
			N float64 `json:"n" default:"1.5" max:"1"`
		}{}, ".N: the default is out of bounds"},
		{"bounds crossed", struct {
			N uint `json:"n" min:"2" max:"1"`
		}{}, ".N: min is more than max"},
		{"bounds of a string", struct {
			N string `json:"n" max:"9"`
		}{}, ".N: a string cannot have a max"},
		{"default not a word", struct {
			N string `json:"n" default:"c" oneof:"a b"`
		}{}, ".N: the default is not one of its words"},
		{"no words", struct {
			N []string `json:"n" oneof:" "`
		}{}, ".N: oneof has no words"},
		{"default of a struct", struct {
			N price `json:"n" default:"1"`
		}{}, ".N: a settings.price cannot have a default"},
		{"words of a number", struct {
			N int `json:"n" oneof:"1 2"`
		}{}, ".N: a int cannot have oneof"},
		{"off", struct {
			A uint   `json:"a" off:"no"`
			B int    `json:"b" off:"yes" default:"1"`
			C string `json:"c" off:"no"`
			D int    `json:"d" off:"no" min:"-1"`
			E int    `json:"e" off:"maybe"`
			F int    `json:"f" off:"yes"`
		}{}, strings.ReplaceAll(".A: #\n.B: #\n.C: #\n.D: #\n.E: #", "#",
			`off is for numbers that a negative value could switch off: "no", or "yes" without a default`)},
		{"zero", struct {
			A int    `json:"a" default:"1" zero:"all"`
			B string `json:"b" zero:"all"`
		}{}, ".A: zero is for numbers without a default\n.B: zero is for numbers without a default"},
		{"no name", struct{ N int }{}, ".N: has no JSON name"},
		{"escaped name", struct {
			N int `json:"x-n"`
		}{}, ".N: files ignore the key x-n"},
		{"same name", struct {
			A int `json:"n"`
			B int `json:"N"`
		}{}, ".B: its key N repeats n"},
		{"option", struct {
			N int `json:"n,string"`
		}{}, `.N: JSON option "string"`},
		{"embedded", struct {
			Embedded `json:"e"`
		}{}, ".Embedded: an embedded field; give it a name"},
		{"unreadable", struct {
			A any            `json:"a"`
			B []unread       `json:"b"`
			C map[int]string `json:"c"`
			D func()         `json:"-"`
			E [2]int         `json:"e"`

			F map[name]string `json:"f"`
		}{}, ".A: a file cannot set a interface {}\n.B.C: a file cannot set a chan int\n.C: a file cannot set a map[int]string\n.E: a file cannot set a [2]int\n.F: a file cannot set a map[settings.name]string"},
		{"pointer to a recursive type", &price{}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := Lint(test.give); test.want == "" {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, test.want)
			}
		})
	}
}

func TestOver(t *testing.T) {
	type config struct {
		Least int `json:"least" default:"3" max:"9"`
		Most  int `json:"most" default:"7" max:"9"`
	}
	given := config{Least: 2}
	got, problems := Over("section", nil, given)
	require.Empty(t, problems)
	require.Equal(t, config{2, 7}, got)
	got, problems = Over("section", []byte(`{"most": 8}`), given)
	require.Empty(t, problems)
	require.Equal(t, config{2, 8}, got)
	require.Equal(t, config{Least: 2}, given)
	for _, bad := range []string{`{"moss": 8}`, `{"most": 10}`, `{"most": 0}`, `{`} {
		_, problems = Over("section", []byte(bad), given)
		require.Len(t, problems, 1, bad)
	}
	_, problems = Over("section", nil, config{Least: 10})
	require.Len(t, problems, 1)
}

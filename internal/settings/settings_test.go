package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type strategy string

// level reads and prints as a name.
type level int8

func (l level) MarshalText() ([]byte, error) {
	return []byte([]string{"low", "normal", "high"}[l+1]), nil
}

func (l *level) UnmarshalText(text []byte) error {
	for i, name := range []string{"low", "normal", "high"} {
		if string(text) == name {
			*l = level(i - 1)
			return nil
		}
	}
	return fmt.Errorf("%s is no level", quote(string(text)))
}

// period is a struct that is text in a file.
type period struct{ text string }

func (p period) MarshalText() ([]byte, error) { return []byte(p.text), nil }

func (p *period) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return errors.New("empty period")
	}
	p.text = string(text)
	return nil
}

type secret struct{ text *string }

func (secret) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

func (s *secret) UnmarshalText(text []byte) error {
	t := string(text)
	s.text = &t
	return nil
}

// mode prints as a name but is a number in a file.
type mode uint8

func (m mode) String() string { return []string{"calm", "busy"}[m%2] }

type price struct {
	Input float64 `json:"input"`
	Long  *price  `json:"long,omitempty"`
}

type limit struct {
	Only   string        `json:"only,omitempty"`
	Weight float64       `json:"weight" default:"1" max:"100" off:"no"`
	Every  time.Duration `json:"every" default:"1m"`
	Burst  int           `json:"burst"`
	Keys   []string      `json:"keys,omitempty"`
}

type config struct {
	FailureRate float64           `json:"failureRate" default:"0.5" min:"0" max:"1"`
	SlowRate    float64           `json:"slowRate" max:"1"`
	OpenFor     time.Duration     `json:"openFor" default:"15s" max:"1h"`
	Gap         time.Duration     `json:"gap"`
	MinCalls    int               `json:"minCalls" default:"10" min:"2"`
	Width       int8              `json:"width" zero:"all"`
	Tenants     uint16            `json:"tenants" default:"100"`
	Offset      int               `json:"offset" min:"-5" max:"5"`
	Small       float32           `json:"small"`
	ObserveOnly bool              `json:"observeOnly"`
	Strategy    strategy          `json:"strategy" default:"sequential" oneof:"sequential parallel"`
	Note        string            `json:"note"`
	Admit       level             `json:"admit"`
	Floor       level             `json:"floor" default:"high"`
	Window      period            `json:"window,omitzero"`
	Key         secret            `json:"key,omitzero"`
	Mode        mode              `json:"mode"`
	Price       price             `json:"price"`
	Limit       *limit            `json:"limit,omitempty"`
	Limits      []limit           `json:"limits,omitempty"`
	Ramp        []float64         `json:"ramp,omitempty" min:"0.1" max:"1"`
	Kinds       []strategy        `json:"kinds,omitempty" oneof:"a b"`
	Exact       *int              `json:"exact,omitempty" max:"9"`
	Labels      map[string]string `json:"labels,omitempty"`
	Steps       map[string]limit  `json:"steps,omitempty"`

	On      func(error) bool   `json:"-"`
	Actions map[int][]string   `json:"-"`
	Count   int                `json:"-"`
	Opaque  struct{ A, B int } `json:"-"`
	hidden  int
	Models  map[string]config `json:"models,omitempty"`
	Ops     map[string]config `json:"ops,omitempty"`
}

func decode(t *testing.T, text string) config {
	t.Helper()
	var c config
	require.Empty(t, Decode("c", []byte(text), &c))
	return c
}

// lines is problems as text, to read in tables.
func lines(problems []Problem) string {
	var all []string
	for _, p := range problems {
		all = append(all, p.Path+": "+p.Problem)
	}
	return strings.Join(all, "\n")
}

func TestDecode(t *testing.T) {
	one, zero := 1.5, 0
	text := `{
		"failureRate": 0.25, "slowRate": 0, "openFor": "-1s", "minCalls": -1, "width": 127, "tenants": 65535, "offset": -5,
		"small": 0.5, "observeOnly": true, "strategy": "parallel", "note": "a \"b\" ✓", "admit": "normal", "floor": "low",
		"window": "sliding 1h", "mode": 1,
		"price": {"input": 2, "long": {"input": 1.5}},
		"limit": {"weight": 3, "x-why": [1, {"y": null}]},
		"limits": [{"only": "a", "keys": ["k1", ""]}, {}],
		"ramp": [0.5, 1], "kinds": [], "exact": 0,
		"labels": {"x-team": "core", "empty": ""},
		"steps": {"one": {"every": "90m"}},
		"x-note": 1, "x-note": null,
		"models": {"x-ai/grok": {"slowRate": -1, "limits": [], "price": {"input": -1}}}, "ops": {}
	}`
	require.Equal(t, config{
		FailureRate: 0.25, OpenFor: -time.Second, MinCalls: -1, Width: 127, Tenants: 65535, Offset: -5,
		Small: 0.5, ObserveOnly: true, Strategy: "parallel", Note: `a "b" ✓`, Floor: -1,
		Window: period{"sliding 1h"}, Mode: 1,
		Price:  price{Input: 2, Long: &price{Input: one}},
		Limit:  &limit{Weight: 3},
		Limits: []limit{{Only: "a", Keys: []string{"k1", ""}}, {}},
		Ramp:   []float64{0.5, 1}, Kinds: []strategy{}, Exact: &zero,
		Labels: map[string]string{"x-team": "core", "empty": ""},
		Steps:  map[string]limit{"one": {Every: 90 * time.Minute}},
		Models: map[string]config{"x-ai/grok": {SlowRate: -1, Limits: []limit{}, Price: price{Input: -1}}},
		Ops:    map[string]config{},
	}, decode(t, text))
}

func TestDecodeRefuses(t *testing.T) {
	deep := `{"x-deep": ` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`
	for _, test := range []struct{ name, text, want string }{
		{"unknown", `{"failureRat": 1}`, `c.failureRat: unknown key; did you mean "failureRate"?`},
		{"letter case", `{"FAILURERATE": 1}`, `c.FAILURERATE: unknown key; did you mean "failureRate"?`},
		{"not near", `{"colour": 1}`, `c.colour: unknown key`},
		{"not of a file", `{"On": 1, "count": 1}`, "c.On: unknown key\nc.count: unknown key"},
		{"empty key", `{"": 1}`, `c[""]: unknown key`},
		{"unexported", `{"hidden": 1}`, `c.hidden: unknown key`},
		{"unknown in override", `{"models": {"gpt-5": {"failureRat": 1}}}`, `c.models.gpt-5.failureRat: unknown key; did you mean "failureRate"?`},
		{"odd names", `{"models": {"gpt-4.1": {"a b": 1}}}`, `c.models["gpt-4.1"]["a b"]: unknown key`},
		{"long name", `{"a` + strings.Repeat("é", 100) + `": 1}`, `c["a` + strings.Repeat("é", 29) + `…"]: unknown key`},
		{"unknown in slice", `{"limits": [{}, {"wieght": 2}]}`, `c.limits[1].wieght: unknown key; did you mean "weight"?`},
		{"duplicate", `{"note": "a", "note": "b"}`, `c.note: duplicate key`},
		{"duplicate by case", `{"note": "a", "Note": "b"}`, `c.Note: differs from the key "note" in letter case alone`},
		{"duplicate unknown", `{"q": 1, "q": 2}`, "c.q: unknown key\nc.q: duplicate key"},
		{"duplicate by escape", `{"note": "a", "not\u0065": "b"}`, `c.note: duplicate key`},
		{"duplicate in map", `{"labels": {"a": "1", "a": "2", "A": "3"}}`, "c.labels.a: duplicate key\nc.labels.A: differs from the key \"a\" in letter case alone"},
		{"duplicate override", `{"ops": {"x-a": {}, "x-a": {}}}`, `c.ops.x-a: duplicate key`},
		{"empty name", `{"ops": {"": {}}}`, `c.ops[""]: empty name`},
		{"nested override", `{"ops": {"chat": {"models": {"m": {}}}}}`, `c.ops.chat.models: an override cannot hold overrides`},
		{"no hint of what is refused", `{"ops": {"chat": {"modells": 1}}}`, `c.ops.chat.modells: unknown key`},

		{"zero float", `{"failureRate": 0.0}`, `c.failureRate: 0.0 means the default here, 0.5; leave it out, or say -1 to switch it off`},
		{"minus zero", `{"failureRate": -0}`, `c.failureRate: -0 means the default here, 0.5; leave it out, or say -1 to switch it off`},
		{"zero int", `{"minCalls": 0}`, `c.minCalls: 0 means the default here, 10; leave it out, or say -1 to switch it off`},
		{"zero uint", `{"tenants": 0}`, `c.tenants: 0 means the default here, 100; leave it out`},
		{"zero duration", `{"openFor": "0s"}`, `c.openFor: "0s" means the default here, 15s; leave it out, or say "-1s" to switch it off`},
		{"empty string", `{"strategy": ""}`, `c.strategy: "" means the default here, sequential; leave it out`},
		{"zero text", `{"floor": "normal"}`, `c.floor: "normal" means the default here, high; leave it out`},
		{"zero where off is no", `{"limits": [{"weight": 0}]}`, `c.limits[0].weight: 0 means the default here, 1; leave it out`},
		{"zero in override", `{"models": {"m": {"slowRate": 0, "offset": 0, "observeOnly": false, "note": ""}}}`,
			"c.models.m.slowRate: 0 changes nothing in an override; leave it out, or say -1 to switch it off\n" +
				"c.models.m.offset: 0 changes nothing in an override; leave it out\n" +
				"c.models.m.observeOnly: false changes nothing in an override; leave it out\n" +
				`c.models.m.note: "" changes nothing in an override; leave it out`},
		{"zero within override", `{"models": {"m": {"price": {"input": 0}}}}`, `c.models.m.price.input: 0 changes nothing in an override; leave it out, or say -1 to switch it off`},

		{"number as duration", `{"openFor": 15}`, `c.openFor: want a duration such as "15s", not a number`},
		{"bad duration", `{"openFor": "15 seconds"}`, `c.openFor: "15 seconds" is not a duration such as "15s" or "1m30s"`},
		{"duration without unit", `{"openFor": "15"}`, `c.openFor: "15" is not a duration such as "15s" or "1m30s"`},
		{"duration overflow", `{"openFor": "9999999h"}`, `c.openFor: "9999999h" is not a duration such as "15s" or "1m30s"`},
		{"string as number", `{"failureRate": "0.5"}`, `c.failureRate: want a number, not a string`},
		{"NaN as string", `{"failureRate": "NaN"}`, `c.failureRate: want a number, not a string`},
		{"bool as number", `{"minCalls": true}`, `c.minCalls: want a number, not true or false`},
		{"number as bool", `{"observeOnly": 1}`, `c.observeOnly: want true or false, not a number`},
		{"number as string", `{"note": 1}`, `c.note: want a string, not a number`},
		{"number as text", `{"key": 12345}`, `c.key: want a string, not a number`},
		{"object as number", `{"minCalls": {}}`, `c.minCalls: want a number, not an object`},
		{"array as struct", `{"price": []}`, `c.price: want an object, not an array`},
		{"string as override", `{"models": {"m": "x"}}`, `c.models.m: want an object, not a string`},
		{"array as map", `{"models": [], "labels": []}`, "c.models: want an object, not an array\nc.labels: want an object, not an array"},
		{"object as slice", `{"limits": {}}`, `c.limits: want an array, not an object`},
		{"wrong element", `{"ramp": [1, "2", null]}`, "c.ramp[1]: want a number, not a string\nc.ramp[2]: null has no meaning here; leave it out"},
		{"null", `{"note": null, "limit": null, "models": null, "key": null}`,
			"c.note: null has no meaning here; leave it out\nc.limit: null has no meaning here; leave it out\n" +
				"c.models: null has no meaning here; leave it out\nc.key: null has no meaning here; leave it out"},
		{"fraction", `{"minCalls": 1.5}`, `c.minCalls: 1.5 is not a whole number`},
		{"exponent", `{"minCalls": 1e3}`, `c.minCalls: 1e3 is not a whole number`},
		{"int8 overflow", `{"width": 128}`, `c.width: 128 is out of range`},
		{"int overflow", `{"minCalls": 9223372036854775808}`, `c.minCalls: 9223372036854775808 is out of range`},
		{"long overflow", `{"minCalls": ` + strings.Repeat("9", 100) + `}`, `c.minCalls: ` + strings.Repeat("9", 60) + `… is out of range`},
		{"negative uint", `{"tenants": -1}`, `c.tenants: -1 is not a whole number, 0 or more`},
		{"float overflow", `{"failureRate": 1e999}`, `c.failureRate: 1e999 is out of range`},
		{"float32 overflow", `{"small": 1e39}`, `c.small: 1e39 is out of range`},
		{"text refuses", `{"admit": "highest", "window": ""}`, "c.admit: \"highest\" is no level\nc.window: empty period"},

		{"empty", ``, `c: line 1, column 1: unexpected end of JSON input`},
		{"half written", "{\n  \"note\": \"é", `c: line 2, column 12: unexpected end of JSON input`},
		{"syntax", "{\n  \"note\": \"é\",}", `c: line 2, column 15: invalid character '}' looking for beginning of object key string`},
		{"trailing", `{} {}`, `c: line 1, column 4: invalid character '{' after top-level value`},
		{"NaN", `{"failureRate": NaN}`, `c: line 1, column 17: invalid character 'N' looking for beginning of value`},
		{"comment", "{\n// no\n}", `c: line 2, column 1: invalid character '/' looking for beginning of object key string`},
		{"byte order mark", "\ufeff{}", `c: line 1, column 1: invalid character 'ï' looking for beginning of value`},
		{"invalid UTF-8", "{\"note\":\n\"é\xff\"}", `c: line 2, column 3: invalid UTF-8`},
		{"depth", strings.Replace(deep, "[]", "[[]]", 1), `c: line 1, column 43: nested deeper than 32 levels`},
		{"huge depth", strings.Repeat("[", 20000), `c: line 1, column 10001: invalid character '[' exceeded max depth`},
		{"size", `"` + strings.Repeat("a", 1<<20) + `"`, `c: 1048578 bytes are more than the limit of 1048576`},
		{"not an object", `[]`, `c: want an object, not an array`},
		{"null alone", `null`, `c: null has no meaning here; leave it out`},

		{"all at once", `{"minCals": 1, "openFor": 5, "note": "a", "models": {"m": {"minCalls": "x"}}, "note": "b"}`,
			"c.minCals: unknown key; did you mean \"minCalls\"?\n" + `c.openFor: want a duration such as "15s", not a number` +
				"\nc.models.m.minCalls: want a number, not a string\nc.note: duplicate key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, lines(Decode("c", []byte(test.text), new(config))))
		})
	}
	t.Run("zero in what an override takes whole", func(t *testing.T) {
		c := decode(t, `{"models": {"m": {"price": {}, "limit": {"burst": 0}, "limits": [{"burst": 0}], "steps": {"a": {"burst": 0}}, "ramp": [0]}}}`)
		require.Equal(t, config{Limit: &limit{}, Limits: []limit{{}}, Steps: map[string]limit{"a": {}}, Ramp: []float64{0}}, c.Models["m"])
	})
	t.Run("at the limit", func(t *testing.T) {
		require.Empty(t, Decode("c", []byte(deep), new(config)))
		require.Empty(t, Decode("c", []byte(`{"note": "`+strings.Repeat("a", 1<<20-12)+`"}`), new(config)))
		require.Empty(t, Decode("c", []byte(`{"note": "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["}`), new(config)))
	})
}

func TestDecodeOtherTypes(t *testing.T) {
	var limits []limit
	require.Equal(t, `models[3].weight: want a number, not a string`,
		lines(Decode("models", []byte(`[{}, {}, {}, {"weight": "1"}]`), &limits)))
	require.Empty(t, Decode("", []byte(`[{"weight": 2}]`), &limits))
	require.Equal(t, []limit{{Weight: 2}}, limits)

	var bypass bool
	require.Empty(t, Decode("bypass", []byte(`true`), &bypass))
	require.True(t, bypass)
	require.Equal(t, "bypass: want true or false, not a string", lines(Decode("bypass", []byte(`"yes"`), &bypass)))

	require.Equal(t, "note: want a string, not a number", lines(Decode("", []byte(`{"note": 1}`), new(config))))

	var unreadable struct {
		C chan int `json:"c"`
	}
	require.Equal(t, "c: cannot be set in a file", lines(Decode("", []byte(`{"c": 1}`), &unreadable)))
}

// What a program set stays where the file says nothing, and is not written to.
func TestDecodeLiesOver(t *testing.T) {
	given := config{
		SlowRate: 0.3, MinCalls: 7, Price: price{Input: 1, Long: &price{Input: 2}},
		Limit:  &limit{Only: "a", Weight: 4},
		Limits: []limit{{Only: "a"}},
		Labels: map[string]string{"a": "1"},
		On:     func(error) bool { return true },
		Models: map[string]config{"m": {MinCalls: 3}},
		hidden: 9,
	}
	next := given
	require.Empty(t, Decode("", []byte(`{"slowRate": 0, "price": {"long": {"input": 3}}, "limit": {"weight": 5},
		"limits": [{"only": "b"}], "labels": {"b": "2"}, "models": {"m": {"slowRate": 1}}}`), &next))
	require.NotNil(t, next.On)
	next.On = nil
	require.Equal(t, config{
		MinCalls: 7, Price: price{Input: 1, Long: &price{Input: 3}},
		Limit:  &limit{Only: "a", Weight: 5},
		Limits: []limit{{Only: "b"}},
		Labels: map[string]string{"b": "2"},
		Models: map[string]config{"m": {SlowRate: 1}},
		hidden: 9,
	}, next)
	require.Equal(t, &limit{Only: "a", Weight: 4}, given.Limit)
	require.Equal(t, []limit{{Only: "a"}}, given.Limits)
	require.Equal(t, map[string]string{"a": "1"}, given.Labels)
	require.Equal(t, map[string]config{"m": {MinCalls: 3}}, given.Models)
	require.Equal(t, 2.0, given.Price.Long.Input)
}

func TestSections(t *testing.T) {
	sections, problems := Sections([]byte(`{"breaker": {"a": [1, 2]}, "x-note": {}, "x-note": 1, "bypass": true}`))
	require.Empty(t, problems)
	require.Equal(t, map[string]json.RawMessage{"breaker": json.RawMessage(`{"a": [1, 2]}`), "bypass": json.RawMessage(`true`)}, sections)

	sections, problems = Sections([]byte(` { } `))
	require.Empty(t, problems)
	require.NotNil(t, sections)
	require.Empty(t, sections)

	for _, test := range []struct{ name, text, want string }{
		{"duplicate", `{"retry": 1, "retry": 2}`, "retry: duplicate key"},
		{"letter case", `{"retry": 1, "Retry": 2}`, `Retry: differs from the key "retry" in letter case alone`},
		{"array", `[]`, ": want an object"},
		{"null", `null`, ": want an object"},
		{"empty", ``, ": line 1, column 1: unexpected end of JSON input"},
		{"cut off", "{\n\"retry\": {", ": line 2, column 10: unexpected end of JSON input"},
		{"trailing", "{}\n]", ": line 2, column 1: invalid character ']' after top-level value"},
		{"depth", `{"retry":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`, ": line 1, column 41: nested deeper than 32 levels"},
		{"invalid UTF-8", "{\"x-\": \"\xc3\"}", ": line 1, column 9: invalid UTF-8"},
		{"size", `{"x-": "` + strings.Repeat("a", 1<<20) + `"}`, ": 1048586 bytes are more than the limit of 1048576"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, problems := Sections([]byte(test.text))
			require.Equal(t, test.want, lines(problems))
		})
	}
}

func TestNearest(t *testing.T) {
	known := []string{"failureRate", "slowRate", "openFor", "min", "ops", "minCalls"}
	for word, want := range map[string]string{
		"failureRat": "failureRate", "fialureRate": "failureRate", "FailureRate": "failureRate", "failure_rate": "failureRate",
		"open-for": "openFor", "opnefor": "openFor", "falurRat": "failureRate", "falurRa": "",
		"mins": "min", "OPS": "ops", "mincall": "minCalls",
		"max": "", "": "", "o": "", "failure": "", "somethingElse": "", "slowRateAfterAll": "",
	} {
		require.Equal(t, want, Nearest(word, known), word)
	}
	require.Empty(t, Nearest("consecutiveFailWXYZ", []string{"consecutiveFailures"}), "4 of 19 letters")
	require.Equal(t, "aaab", Nearest("aaaa", []string{"zzzz", "aaab", "aaac"}), "the first of the equally near")
	require.Empty(t, Nearest("word", nil))
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "abd", 1}, {"abc", "acb", 1}, {"abc", "ab", 1},
		{"kitten", "sitting", 3}, {"ca", "abc", 3}, {"éa", "aé", 1},
	} {
		require.Equal(t, test.want, distance(test.a, test.b), "%s, %s", test.a, test.b)
		require.Equal(t, test.want, distance(test.b, test.a), "%s, %s", test.b, test.a)
	}
}

func TestConfigLints(t *testing.T) {
	require.NoError(t, Lint(config{}))
	require.NoError(t, Lint(&config{}))
}

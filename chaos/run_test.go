package chaos_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/fallback"
)

func outage() chaos.Experiment {
	return chaos.Experiment{
		Name: "outage", Seed: 3, Method: []chaos.Injection{{Name: "down", Fault: chaos.Fault{Status: 503}, Where: at("a")}},
		During: chaos.Promises{Success: .99},
	}
}

// What says nothing is neither passed nor failed.
func TestInvalid(t *testing.T) {
	for name, c := range map[string]struct {
		features func() []resilience.Feature
		of       load
		why      string
	}{
		"not steady": {good, func(*lab) func(context.Context) error {
			return func(context.Context) error { return resilience.Overloaded }
		}, "the load made no attempt at a model of the injector's pool"},
		"fails without faults": {good, func(l *lab) func(context.Context) error {
			return func(ctx context.Context) error {
				_, _ = l.chat.Call(ctx, "")
				return resilience.Overloaded
			}
		}, "without faults success is 0.0 %, want ≥ 99.0 %"},
		"elsewhere": {good, func(l *lab) func(context.Context) error {
			return func(ctx context.Context) error { _, err := l.ask(ctx, "b"); return err }
		}, "no attempt was struck, so nothing is shown: is the load long enough, and does it go to the models that were meant?"},
	} {
		t.Run(name, func(t *testing.T) {
			res := run(t, outage(), c.features, c.of)
			require.Equal(t, chaos.VerdictInvalid, res.Verdict)
			require.Equal(t, c.why, res.Why)
			require.Empty(t, res.Checks)
			require.Zero(t, res.Score)
		})
	}
}

// Whatever ends an experiment before its end, its faults and its drift are gone
// when Run returns, and its calls have ended.
func TestAborted(t *testing.T) {
	for name, c := range map[string]struct {
		change func(e *chaos.Experiment)
		blast  chaos.Blast
		during func(t *testing.T, l *lab, cancel func()) // ten seconds into the faults
		why    string
		thrown any
	}{
		"by a broken promise": {change: func(e *chaos.Experiment) {
			e.Method[0].Where, e.Blast.Models = chaos.Where{}, 3
			e.Abort.Success = .5
		}, blast: chaos.Blast{Models: 3}, why: "abort: success is 0.0 %, want ≥ 50.0 %"},
		"by its caller":          {during: func(_ *testing.T, _ *lab, cancel func()) { cancel() }, why: "context canceled"},
		"by a panic":             {during: func(*testing.T, *lab, func()) { panic("oops") }, why: "the load panicked", thrown: "oops"},
		"by Goexit":              {during: func(*testing.T, *lab, func()) { runtime.Goexit() }, thrown: "chaos: the load has ended its goroutine"},
		"by the share of faults": {change: func(e *chaos.Experiment) { e.Blast.Share = .05 }, why: "more than the allowed share of the attempts was struck"},
		"by switching it off": {during: func(t *testing.T, l *lab, _ func()) {
			t.Helper()
			require.NoError(t, l.pool.Reload(context.Background(), []byte(`{"chaos": {"enabled": false}}`), by))
		}, why: "chaos was switched off"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, chaos.InjectorConfig{Enabled: true, Blast: c.blast}, fallback.New(fallback.Config{}))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				e := outage()
				e.Drift.Drop = 1
				e.Method = append(e.Method, chaos.Injection{Name: "silent", Fault: chaos.Fault{Name: chaos.Silent}, Where: at("b"), When: chaos.Schedule{From: time.Second}})
				if c.change != nil {
					c.change(&e)
				}
				start := time.Now()
				var open, once atomic.Int32
				var res chaos.Result
				var err error
				thrown := func() (thrown any) {
					defer func() { thrown = recover() }()
					res, err = l.injector.Run(ctx, e, func(ctx context.Context) error {
						open.Add(1)
						defer open.Add(-1)
						if c.during != nil && time.Since(start) > 40*time.Second && once.Add(1) == 1 {
							require.Len(t, l.pool.Models(), 2)
							c.during(t, l, cancel)
						}
						_, err := l.chat.Call(ctx, "")
						return err
					})
					return nil
				}()
				require.Equal(t, c.thrown, thrown)
				if thrown == nil {
					require.Equal(t, chaos.VerdictAborted, res.Verdict, "%v", res)
					require.Equal(t, c.why, res.Why)
				}
				if name == "by its caller" {
					require.ErrorIs(t, err, context.Canceled)
				} else {
					require.NoError(t, err)
				}
				require.Zero(t, open.Load())
				require.Less(t, time.Since(start), 60*time.Second, "it does not go on")
				require.Len(t, l.pool.Models(), 3)
				for _, m := range []string{"a", "b", "c"} {
					rep, err := l.ask(t.Context(), m)
					require.NoError(t, err)
					require.False(t, rep.Attempts[0].Faulted)
				}
				if name != "by switching it off" {
					_, err := l.injector.Inject(time.Second, e.Method[0])
					require.NoError(t, err)
				}
			})
		})
	}
}

// A drift goes back to the configuration that was in force.
func TestDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inForce := []byte(`{"fallback": {"limit": 2}, "timeouts": {"attempt": "9s"}}`)
		refuse := false
		var changes []string
		l := newLab(t, chaos.InjectorConfig{Enabled: true, Config: func() []byte { return inForce }},
			append(good(), resilience.Audit(func(_ context.Context, c resilience.Change) error {
				changes = append(changes, c.Actor+": "+c.Reason)
				if refuse && strings.HasPrefix(c.Reason, "end") {
					return errors.New("not now")
				}
				return nil
			}))...)
		require.NoError(t, l.pool.Reload(t.Context(), inForce, by))
		before := l.pool.Stack()
		e := chaos.Experiment{Name: "drift", Drift: chaos.Drift{Config: json.RawMessage(`{"timeouts": {"attempt": "1s"}}`)}, For: 20 * time.Second}
		seen := false
		load := func(ctx context.Context) error {
			stack := strings.Join(l.pool.Stack(), "\n")
			seen = seen || strings.Contains(stack, "attempt=1s") && strings.Contains(stack, "limit=2")
			_, err := l.chat.Call(ctx, "")
			return err
		}
		res, err := l.injector.Run(t.Context(), e, load)
		require.NoError(t, err)
		require.Equal(t, chaos.VerdictPassed, res.Verdict, "%v", res)
		require.True(t, seen)
		require.Equal(t, before, l.pool.Stack())
		require.Equal(t, []string{"test: a test", "chaos: drift of experiment drift", "chaos: end of the drift of experiment drift"}, changes)

		refuse = true
		_, err = l.injector.Run(t.Context(), e, load)
		require.ErrorContains(t, err, "chaos: the pool does not go back to its configuration: ")
		require.ErrorContains(t, err, "not now")

		refuse = false
		e.Drift.Config = json.RawMessage(`{"timeout": {}}`)
		res, err = l.injector.Run(t.Context(), e, load)
		require.NoError(t, err)
		require.Equal(t, chaos.VerdictAborted, res.Verdict)
		require.Contains(t, res.Why, `the pool refuses the drift: timeout: no feature of this pool has such a section; did you mean "timeouts"?`)
	})
}

// What somebody else puts into effect during a drift stays, as it takes the
// drift's place; and what was in force is not guessed.
func TestDriftAndOtherReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, enabled, resilience.Timeouts{Attempt: 5 * time.Second})
		e := chaos.Experiment{Name: "drift", Drift: chaos.Drift{Drop: 1}, For: 20 * time.Second}
		for range 2 { // going back is to what the program gave
			_, err := l.injector.Run(t.Context(), e, whole(l))
			require.NoError(t, err)
		}
		off := false
		res, err := l.injector.Run(t.Context(), e, func(ctx context.Context) error {
			if !off && len(l.pool.Models()) == 2 {
				off = true
				require.NoError(t, l.pool.Reload(ctx, []byte(`{"chaos": {"enabled": false}, "timeouts": {"attempt": "9s"}}`), by))
			}
			_, err := l.chat.Call(ctx, "")
			return err
		})
		require.NoError(t, err)
		require.Equal(t, "chaos was switched off", res.Why)
		require.Len(t, l.pool.Models(), 3)
		require.Contains(t, strings.Join(l.pool.Stack(), "\n"), "attempt=9s")
		_, err = l.injector.Inject(time.Second, outage().Method...)
		require.EqualError(t, err, "chaos.enabled: chaos is switched off; set it to true")

		require.NoError(t, l.pool.Reload(t.Context(), []byte(`{"timeouts": {"attempt": "9s"}}`), by))
		_, err = l.injector.Run(t.Context(), e, whole(l))
		require.EqualError(t, err, "drift: the pool was reloaded, and nobody says what to go back to; set InjectorConfig.Config")
		require.Contains(t, strings.Join(l.pool.Stack(), "\n"), "attempt=9s")
	})
}

// What cannot be run is refused before a call is made.
func TestRunRefuses(t *testing.T) {
	never := func(context.Context) error { t.Error("a call was made"); return nil }
	for name, c := range map[string]struct {
		cfg    chaos.InjectorConfig
		change func(e *chaos.Experiment)
		want   string
	}{
		"off":       {chaos.InjectorConfig{}, nil, "chaos.enabled: chaos is switched off; set it to true"},
		"its blast": {enabled, func(e *chaos.Experiment) { e.Blast.For = time.Second }, "blast.for: the faults last 1m0s, and 1s are allowed"},
		"our blast": {chaos.InjectorConfig{Enabled: true, Blast: chaos.Blast{For: time.Second}}, nil, "chaos.blast.for: the faults last 1m0s, and 1s are allowed"},
		"too many":  {enabled, func(e *chaos.Experiment) { e.Load.PerSecond = 1e4 }, "load.perSecond: 10000 calls a second make 1800000 calls, more than 100000"},
		"all leave": {enabled, func(e *chaos.Experiment) { e.Drift.Drop = 3 }, "drift.drop: of 3 models 3 cannot leave"},
		"drift for": {enabled, func(e *chaos.Experiment) { e.Method, e.Drift.Drop, e.For = nil, 1, time.Hour }, "chaos.blast.for: the faults last 1h0m0s, and 10m0s are allowed\nblast.for: the faults last 1h0m0s, and 10m0s are allowed"},
		"too few left": {chaos.InjectorConfig{Enabled: true, Blast: chaos.Blast{Models: 3}}, func(e *chaos.Experiment) { e.Drift.Drop, e.Method[0].Where = 1, at("b", "c") },
			"blast.models: 3 models of 3 would be hit at once, and 2 are allowed"},
		"too short":          {enabled, func(e *chaos.Experiment) { e.Recover = 1 }, "recover: 1ns is less than 1s"},
		"too long":           {enabled, func(e *chaos.Experiment) { e.For, e.Load.PerSecond = math.MaxInt64, 1e-9 }, "for: 2562047h47m16.854775807s is more than 168h"},
		"too long a control": {enabled, func(e *chaos.Experiment) { e.Control = 168 * time.Hour }, "load.perSecond: 10 calls a second make 6049500 calls, more than 100000"},
		"too weighty":        {enabled, func(e *chaos.Experiment) { e.Weight = math.MaxFloat64 }, "weight: 1.7976931348623157e+308 is more than 1e+06"},
		"all of it": {enabled, func(e *chaos.Experiment) { e.Drift.Drop, e.Method[0].Where = 4, at("z") },
			"method[0].where.models[0]: no model of the pool is meant\ndrift.drop: of 3 models 4 cannot leave"},
		"nothing": {enabled, func(e *chaos.Experiment) { e.Method = nil }, "method: is empty: there is nothing to inject"},
	} {
		e := outage()
		if c.change != nil {
			c.change(&e)
		}
		_, err := newLab(t, c.cfg).injector.Run(t.Context(), e, never)
		require.EqualError(t, err, c.want, name)
	}
	l := newLab(t, enabled)
	_, err := l.injector.Inject(time.Minute, outage().Method...)
	require.NoError(t, err)
	_, err = l.injector.Run(t.Context(), outage(), never)
	require.EqualError(t, err, "chaos: faults are injected already: stop them first")
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, enabled)
		e := outage()
		e.Blast.Share, e.Control = .05, time.Second
		_, err := l.injector.Run(t.Context(), e, func(ctx context.Context) error {
			_, err := l.injector.Run(ctx, e, never)
			require.EqualError(t, err, "chaos: an experiment is running already in this pool")
			_, err = l.chat.Call(ctx, "")
			return err
		})
		require.NoError(t, err)
	})
}

// The experiments of a file as people write it, with all that is wrong said.
func TestReadExperiment(t *testing.T) {
	e, err := chaos.ReadExperiment(strings.NewReader(`{
		"name": "keys", "seed": 4, "for": "20s", "load": {"perSecond": 2.5},
		"method": [{"fault": {"name": "key_revoked"}, "where": {"providers": ["x"], "count": -1}, "when": {"rate": 0.5, "spans": [{"from": "5s", "for": "1s"}]}}],
		"drift": {"drop": 1, "config": {"anything": [1, null]}}, "during": {"p95": "2s"}, "x-why": "a comment"
	}`))
	require.NoError(t, err)
	require.Equal(t, chaos.Experiment{
		Name: "keys", Seed: 4, For: 20 * time.Second, Load: chaos.Traffic{PerSecond: 2.5},
		Method: []chaos.Injection{{
			Fault: chaos.Fault{Name: chaos.KeyRevoked}, Where: chaos.Where{Providers: []string{"x"}, Count: -1},
			When: chaos.Schedule{Rate: .5, Spans: []chaos.Span{{From: 5 * time.Second, For: time.Second}}},
		}},
		Drift: chaos.Drift{Drop: 1, Config: json.RawMessage(`{"anything": [1, null]}`)}, During: chaos.Promises{P95: 2 * time.Second},
	}, e)

	_, err = chaos.ReadExperiment(strings.NewReader(`{
		"nane": "x", "for": 20, "load": {"perSecond": 0}, "weight": -1,
		"method": [{"fault": {"name": "silen", "for": "1"}, "when": {"rate": 2}}],
		"steady": {"succes": 1}, "drift": {"config": [], "drip": 1}, "seed": 1, "Seed": 2
	}`))
	for _, want := range []string{
		`nane: unknown key; did you mean "name"?`, `for: want a duration such as "15s", not a number`, "load.perSecond: 0 means the default here, 10",
		"method[0].fault.for: ", "steady.succes: unknown key", `drift.drip: unknown key; did you mean "drop"?`, `Seed: differs from the key "seed" in letter case alone`,
		"weight: ", "method[0].when.rate: 2 is more than 1",
	} {
		require.ErrorContains(t, err, want)
	}
	for give, want := range map[string]string{
		"{": "experiment: line 1, column 1: unexpected end of JSON input",
		"":  "experiment: line 1, column 1: unexpected end of JSON input",
		`{"load": {"perSecond": -1}, "method": [{"fault": {"name": "silen"}}, {"fault": {"name": "slow", "after": "-1s"}}], "drift": {"config": {"a": 1, "A": 2, "b": 1, "B": 2}}}`: "load.perSecond: -1 must not be negative\nmethod[1].fault.after: -1s must not be negative\nname: is missing\n" +
			"method[0].fault.name: there is no fault \"silen\"; did you mean \"silent\"?\n" +
			"drift.config.A: differs from the key \"a\" in letter case alone\ndrift.config.B: differs from the key \"b\" in letter case alone",
		`{"name": 1, "method": {}, "weight": 2e6}`:          "name: want a string, not a number\nmethod: want an array, not an object\nweight: 2e+06 is more than 1e+06",
		`{"name": "x", "method": [{"fault": {"name": 1}}]}`: "method[0].fault.name: want a string, not a number",
	} {
		_, err = chaos.ReadExperiment(strings.NewReader(give))
		require.EqualError(t, err, want, give)
	}
}

// Calls so rare that none falls into the experiment are none.
func TestRareCalls(t *testing.T) {
	e := outage()
	e.Load.PerSecond = 1e-15
	res := run(t, e, good, func(*lab) func(context.Context) error {
		return func(context.Context) error { t.Error("a call was made"); return nil }
	})
	require.Equal(t, "no calls were made without faults", res.Why)

	e.Load.PerSecond, e.Recover, e.Seed = .2, time.Second, 6
	res = run(t, e, good, whole)
	require.NotZero(t, res.During.Calls, "%v", res)
	require.Zero(t, res.After.Calls, "%v", res)
	require.Contains(t, outcomes(res, chaos.CheckSkipped), chaos.CheckRecovered, "%v", res)
}

// Whether calls are as before is looked at whatever else was promised of them.
func TestRecoveredWithoutAPromise(t *testing.T) {
	e := outage()
	e.Steady, e.Conduct.Probes = chaos.Promises{P95: time.Second}, -1
	require.Contains(t, outcomes(run(t, e, sulking, whole), chaos.CheckFailed), chaos.CheckRecovered)
	require.Contains(t, outcomes(run(t, e, good, whole), chaos.CheckPassed), chaos.CheckRecovered)
}

func FuzzReadExperiment(f *testing.F) {
	f.Add([]byte(`{"name": "x", "method": [{"fault": {"name": "silent"}, "when": {"rate": 0.5, "on": "1s", "off": "2s"}}]}`))
	f.Add([]byte(`{"name": "x", "drift": {"config": {"models": []}}}`))
	f.Add([]byte(`{"drift": {"config": 1, "config": {}}, "for": "-1s"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := chaos.ReadExperiment(bytes.NewReader(data))
		if err != nil {
			var config *resilience.ConfigError
			require.ErrorAs(t, err, &config)
			require.NotEmpty(t, config.Path)
			return
		}
		require.NotEmpty(t, e.Name)
		require.False(t, len(e.Method) == 0 && e.Drift.Drop == 0 && len(e.Drift.Config) == 0)
	})
}

// A result is byte for byte the same for a seed.
func TestReports(t *testing.T) {
	write := func(seed uint64) (asJSON, text, junit string) {
		e := outage()
		e.Seed = seed
		e.Method = append(e.Method, chaos.Injection{Name: "cuts", Fault: chaos.Fault{Name: chaos.Cut, Tokens: 1}, Where: at("b"), When: chaos.Schedule{Rate: .2}})
		passed := run(t, e, good, func(l *lab) func(context.Context) error {
			return func(ctx context.Context) error { _, err := l.chat.Call(ctx, ""); return err }
		})
		failed := run(t, e, none, gullible)
		invalid := run(t, e, good, func(*lab) func(context.Context) error { return func(context.Context) error { return nil } })
		invalid.Weight = 5
		rep := chaos.NewReport(passed, failed, invalid)
		rep.Host = chaos.Host{}
		var a, b, c bytes.Buffer
		require.NoError(t, rep.WriteJSON(&a))
		require.NoError(t, rep.WriteText(&b))
		require.NoError(t, rep.WriteJUnit(&c))
		var back chaos.Report
		require.NoError(t, json.Unmarshal(a.Bytes(), &back))
		require.Len(t, back.Results, 3)
		return a.String(), b.String(), c.String()
	}
	asJSON, text, junit := write(3)
	again, _, _ := write(3)
	require.Empty(t, cmp.Compare(asJSON, again), "a seed replays byte for byte")
	other, _, _ := write(4)
	require.NotEqual(t, asJSON, other)

	for _, want := range []string{
		"outage: passed, score 100.0, seed 3\n", "outage: failed, score ", "outage: invalid, score 0.0, seed 3\n  the load made no attempt",
		"\n  model            fault           struck     broke   noticed      safe      back\n  a                down ",
		"  skipped  honoured_retry_after       no model asked for a wait\n", "  outage               invalid    0.0 × weight 5\n", " = the sum ÷ 25\n",
	} {
		require.Contains(t, text, want)
	}
	var doc struct {
		Suites []struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Errors   int `xml:"errors,attr"`
			Skipped  int `xml:"skipped,attr"`
			Cases    []struct {
				Name string `xml:"name,attr"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	require.NoError(t, xml.Unmarshal([]byte(junit), &doc))
	require.Len(t, doc.Suites, 3)
	require.Zero(t, doc.Suites[0].Failures)
	require.NotZero(t, doc.Suites[0].Skipped)
	require.NotZero(t, doc.Suites[1].Failures)
	require.Equal(t, 1, doc.Suites[2].Errors)
	require.Len(t, doc.Suites[1].Cases, doc.Suites[1].Tests)
}

func TestStandards(t *testing.T) {
	for _, name := range chaos.Standards() {
		e, ok := chaos.Standard(name)
		require.True(t, ok)
		require.Equal(t, name, e.Name)
		require.NotEmpty(t, e.About)
	}
	require.Len(t, chaos.Standards(), 10)
	_, ok := chaos.Standard("model_falure")
	require.False(t, ok)
}

package chaos_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/stack"
)

// A layer is a feature that is a function around what is within.
type layer struct {
	at     resilience.Layer
	around func(ctx context.Context, c *resilience.Call, next resilience.Handler) error
}

func (l layer) Install(s *resilience.Setup) error {
	s.Wrap(l.at, func(_ *resilience.Model, next resilience.Handler) resilience.Handler {
		return func(ctx context.Context, c *resilience.Call) error { return l.around(ctx, c, next) }
	})
	return nil
}

// tireless asks the same model ten times, whatever the budgets say.
func tireless() []resilience.Feature {
	return []resilience.Feature{layer{resilience.LayerRetry, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
		err := next(ctx, c)
		for n := 1; n < 10 && err != nil; n++ {
			err = next(ctx, c)
		}
		return err
	}}}
}

// sulking refuses all calls for more than two minutes after a fault.
func sulking() []resilience.Feature {
	var until time.Duration
	return []resilience.Feature{layer{resilience.LayerAdmit, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
		now := c.Pool().Now()
		if now < until {
			return resilience.Reject("sulking", 0)
		}
		err := next(ctx, c)
		if c.Faulted() {
			until = now + 130*time.Second
		}
		return err
	}}}
}

func good() []resilience.Feature { return []resilience.Feature{stack.New(stack.Config{})} }
func none() []resilience.Feature { return nil }
func three() []resilience.Feature {
	return []resilience.Feature{fallback.New(fallback.Config{Limit: 3})}
}

func quick() []resilience.Feature {
	return []resilience.Feature{fallback.New(fallback.Config{}), resilience.Timeouts{Attempt: 300 * time.Millisecond}}
}

func unforgiving() []resilience.Feature {
	return []resilience.Feature{fallback.New(fallback.Config{}), breaker.New(breaker.Config{OpenFor: time.Hour, MaxOpenFor: time.Hour})}
}

// A load is what a lab's calls are.
type load func(l *lab) func(ctx context.Context) error

func whole(l *lab) func(ctx context.Context) error {
	return func(ctx context.Context) error { _, err := l.chat.Call(ctx, ""); return err }
}

func streaming(l *lab) func(ctx context.Context) error {
	return func(ctx context.Context) error { _, err := l.read(ctx, "a"); return err }
}

// gullible takes whatever came for the answer.
func gullible(l *lab) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		if chunks, err := l.read(ctx, "a"); len(chunks) == 0 {
			return err
		}
		return nil
	}
}

// stubborn asks again when an answer breaks off that has been shown.
func stubborn(l *lab) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		_, err := l.read(ctx, "a")
		if err != nil {
			_, err = l.read(ctx, "b")
		}
		return err
	}
}

// run runs an experiment in virtual time.
func run(t *testing.T, e chaos.Experiment, features func() []resilience.Feature, of load) (res chaos.Result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, chaos.InjectorConfig{Enabled: true, Blast: chaos.Blast{Models: 3}}, features()...)
		var err error
		res, err = l.injector.Run(t.Context(), e, of(l))
		require.NoError(t, err)
	})
	return res
}

func outcomes(r chaos.Result, of chaos.CheckOutcome) (names []string) {
	for _, c := range r.Checks {
		if c.Outcome == of {
			names = append(names, c.Name)
		}
	}
	return names
}

// TestNegativeControls has for each check a stack that it passes, and one that
// must fail it, and nothing else.
func TestNegativeControls(t *testing.T) {
	down := []chaos.Injection{{Fault: chaos.Fault{Status: 503}, Where: at("a")}}
	everywhere := []chaos.Injection{{Fault: chaos.Fault{Status: 503}}}
	cut := []chaos.Injection{{Fault: chaos.Fault{Name: chaos.Cut, Tokens: 2}, Where: at("a"), When: chaos.Schedule{Rate: .5}}}
	unbound := chaos.Conduct{Probes: -1}
	type side struct {
		features func() []resilience.Feature
		load     load
	}
	for _, c := range []struct {
		check     string
		e         chaos.Experiment
		good, bad side
	}{
		{chaos.CheckSuccess, chaos.Experiment{Method: down, During: chaos.Promises{Success: .99}, Conduct: unbound}, side{good, whole}, side{none, whole}},
		{chaos.CheckGoodput, chaos.Experiment{
			Method: []chaos.Injection{{Fault: chaos.Fault{Status: 503}, Where: chaos.Where{Providers: []string{"x"}}}}, // both of them
			During: chaos.Promises{Goodput: .95}, Load: chaos.Traffic{PerSecond: 20, Capacity: 12}, Conduct: unbound,
		}, side{good, whole}, side{none, whole}},
		{chaos.CheckLatency, chaos.Experiment{
			Method: []chaos.Injection{{Fault: chaos.Fault{Name: chaos.Slow, After: 5 * time.Second}, Where: at("a")}},
			During: chaos.Promises{P95: time.Second},
		}, side{quick, whole}, side{none, whole}},
		{chaos.CheckAmplification, chaos.Experiment{Method: down, During: chaos.Promises{Attempts: 1.3}, Conduct: unbound}, side{good, whole}, side{three, whole}},
		{chaos.CheckAttempts, chaos.Experiment{Method: everywhere, Blast: chaos.Blast{Models: 3}, Conduct: unbound}, side{good, whole}, side{tireless, whole}},
		{chaos.CheckRetryAfter, chaos.Experiment{
			Method: []chaos.Injection{{Fault: chaos.Fault{Status: 429, Wait: 4 * time.Second}, Where: at("a")}}, Conduct: unbound,
		}, side{good, whole}, side{three, whole}},
		{chaos.CheckTruncated, chaos.Experiment{Method: cut}, side{good, streaming}, side{good, gullible}},
		{chaos.CheckReplay, chaos.Experiment{Method: cut}, side{good, streaming}, side{good, stubborn}},
		{chaos.CheckProbes, chaos.Experiment{Method: down}, side{good, whole}, side{three, whole}},
		{chaos.CheckRecovered, chaos.Experiment{Method: down}, side{good, whole}, side{sulking, whole}},
		{chaos.CheckAlive, chaos.Experiment{Method: down}, side{good, whole}, side{unforgiving, whole}},
	} {
		t.Run(c.check, func(t *testing.T) {
			c.e.Name, c.e.Seed = c.check, 5
			res := run(t, c.e, c.good.features, c.good.load)
			require.Equal(t, chaos.VerdictPassed, res.Verdict, "%v", res)
			require.Contains(t, outcomes(res, chaos.CheckPassed), c.check, "%v", res)
			require.InDelta(t, 100, res.Score, 0)

			res = run(t, c.e, c.bad.features, c.bad.load)
			require.Equal(t, []string{c.check}, outcomes(res, chaos.CheckFailed), "%v", res)
			require.Equal(t, chaos.VerdictFailed, res.Verdict)
			require.Less(t, res.Score, 100.)
			for _, failed := range res.Checks {
				if failed.Name == c.check && c.check != chaos.CheckSuccess && c.check != chaos.CheckLatency && c.check != chaos.CheckAmplification {
					require.NotEmpty(t, failed.Evidence)
				}
			}
		})
	}
}

// What is left for goodput is what the models can still answer: those that have
// left cannot, and those whose faults are counted can.
func TestGoodputOfWhatIsLeft(t *testing.T) {
	refusing := func(when func(l *lab) bool) load {
		return func(l *lab) func(context.Context) error {
			n := 0
			return func(ctx context.Context) error {
				_, err := l.chat.Call(ctx, "")
				if n++; when(l) && n%5 == 0 {
					return resilience.Overloaded
				}
				return err
			}
		}
	}
	e := chaos.Experiment{Name: "left", During: chaos.Promises{Goodput: .9}, Load: chaos.Traffic{PerSecond: 20, Capacity: 8}}
	e.Drift.Drop = 1
	res := run(t, e, good, refusing(func(l *lab) bool { return len(l.pool.Models()) == 2 }))
	require.Contains(t, outcomes(res, chaos.CheckPassed), chaos.CheckGoodput, "%v", res)

	e.Drift.Drop, e.Load.Capacity, e.Blast.Models = 0, 0, 3
	e.Method = []chaos.Injection{{Fault: chaos.Fault{Status: 500}, When: chaos.Schedule{Times: 2}}}
	res = run(t, e, good, refusing(func(l *lab) bool { return l.pool.Now() > 30*time.Second && l.pool.Now() < 90*time.Second }))
	require.Contains(t, outcomes(res, chaos.CheckFailed), chaos.CheckGoodput, "%v", res)
	res = run(t, e, good, whole)
	require.Contains(t, outcomes(res, chaos.CheckPassed), chaos.CheckGoodput, "%v", res)
}

package chaos_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/fallback"
)

func down(models ...string) chaos.Injection {
	return chaos.Injection{Fault: chaos.Fault{Status: 503}, Where: at(models...)}
}

// What is injected one after the other is limited together.
func TestBlastWhileItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, enabled)
		stop, err := l.injector.Inject(time.Minute, down("a", "b"))
		require.NoError(t, err)
		_, err = l.injector.Inject(time.Minute, down("c"))
		require.EqualError(t, err, "blast.models: with the faults that are injected already 3 models would be hit at once, and 2 are allowed")
		_, err = l.ask(t.Context(), "c")
		require.NoError(t, err)
		_, err = l.injector.Inject(time.Second, down("b"))
		require.NoError(t, err, "is hit already")
		later := down("c")
		later.When.From = time.Minute
		stopLater, err := l.injector.Inject(2*time.Minute, later)
		require.NoError(t, err, "the others are over by then")
		time.Sleep(59 * time.Second)
		_, err = l.injector.Inject(2*time.Second, down("a", "b"))
		require.ErrorContains(t, err, "with the faults that are injected already 3 models")
		stopLater()
		stop()
		_, err = l.injector.Inject(time.Second, down("c"))
		require.NoError(t, err)
		time.Sleep(time.Hour) // nobody makes an attempt that would see that it is over
		_, err = l.injector.Inject(time.Second, down("a", "b"))
		require.NoError(t, err)
		time.Sleep(time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = l.injector.Run(ctx, outage(), whole(l))
		require.EqualError(t, err, "context canceled", "and not that something is injected already")
	})
}

// So is their share, and an attempt that one of them strikes counts for all.
func TestBlastShareOfAll(t *testing.T) {
	l := newLab(t, chaos.InjectorConfig{Enabled: true, Blast: chaos.Blast{Share: .5}})
	for _, model := range []string{"a", "b"} {
		_, err := l.injector.Inject(time.Minute, down(model))
		require.NoError(t, err)
	}
	failed := 0
	for n := range 300 {
		if _, err := l.ask(t.Context(), []string{"a", "b", "c"}[n%3]); err != nil {
			failed++
		}
	}
	require.LessOrEqual(t, failed, 150)

	struck := func(others ...chaos.Injection) (list []int) {
		l := newLab(t, enabled)
		if len(others) > 0 {
			_, err := l.injector.Inject(time.Minute, others...)
			require.NoError(t, err)
		}
		_, err := l.injector.Inject(time.Minute, chaos.Injection{
			Name: "some", Fault: chaos.Fault{Status: 500}, Where: at("a"), When: chaos.Schedule{Rate: .3},
		})
		require.NoError(t, err)
		for n := range 100 {
			if rep, err := l.ask(t.Context(), "a"); err != nil && rep.Attempts[0].Status == 500 {
				list = append(list, n)
			}
		}
		return list
	}
	first := down("a")
	first.When.Times = 2
	alone := struck()
	require.Less(t, 2, alone[0], "or nothing is shown")
	require.Equal(t, alone, struck(first))
}

// A time that does not end is one in which models are hit.
func TestBlastForEver(t *testing.T) {
	for _, when := range []chaos.Schedule{
		{From: time.Second, For: math.MaxInt64}, {Spans: []chaos.Span{{From: time.Second, For: math.MaxInt64}}},
		{From: time.Second, Spans: []chaos.Span{{For: math.MaxInt64}}},
	} {
		_, err := newLab(t, enabled).injector.Inject(time.Minute, chaos.Injection{Fault: chaos.Fault{Status: 503}, When: when})
		require.ErrorContains(t, err, "blast.models: 3 models of 3")
	}
}

// Nothing is injected beside an experiment, which would blame the stack for it.
func TestInjectWhileAnExperimentRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, enabled, fallback.New(fallback.Config{}))
		_, err := l.injector.Run(t.Context(), outage(), func(ctx context.Context) error {
			if _, err := l.injector.Inject(time.Second, down("b")); err == nil || err.Error() != "chaos: an experiment is running already in this pool" {
				t.Error(err)
			}
			_, err := l.chat.Call(ctx, "")
			return err
		})
		require.NoError(t, err)
	})
}

// A pool of two is enough for all but the experiments that say otherwise.
func TestStandardsOfSmallPools(t *testing.T) {
	of3 := map[string]bool{chaos.Cascade: true, chaos.ConfigurationDrift: true}
	infos := []resilience.ModelInfo{{ID: "a"}, {ID: "b"}, {ID: "c"}}
	for _, name := range chaos.Standards() {
		for n := 2; n <= 3; n++ {
			injector := chaos.NewInjector(enabled)
			_, err := resilience.NewPool(injector, resilience.Models(infos[:n]...))
			require.NoError(t, err)
			e, _ := chaos.Standard(name)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err = injector.Run(ctx, e, func(context.Context) error { return nil })
			if n == 2 && of3[name] {
				require.ErrorContains(t, err, "2 models of 2 would be hit at once", name)
			} else {
				require.EqualError(t, err, "context canceled", name)
			}
		}
	}
}

// Package chaostest runs a stack through experiments of package chaos in tests,
// in the virtual time of testing/synctest: minutes of trouble take milliseconds.
package chaostest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/internal/simtest"
)

var seed = flag.Uint64("chaos.seed", 1, "the seed of chaostest.Suite, as a failure names it")

// Suite runs the stack that features makes through the standard experiments, a
// subtest each. A subtest fails if a check does, with the whole result and how to
// replay it:
//
//	func TestMyStackSurvives(t *testing.T) {
//		chaostest.Suite(t, func() []resilience.Feature {
//			return []resilience.Feature{stack.New(stack.Config{})}
//		})
//	}
//
// Features is called once for each experiment, within its bubble, since a
// feature belongs to one pool. It returns no [resilience.Models]: see [Run].
func Suite(t *testing.T, features func() []resilience.Feature) {
	t.Helper()
	for _, name := range chaos.Standards() {
		t.Run(name, func(t *testing.T) {
			e, _ := chaos.Standard(name)
			e.Seed = *seed
			res := Run(t, e, features)
			if res.Verdict != chaos.VerdictPassed {
				t.Errorf("%v\nreplay with: %s", res, replay(t.Name(), e.Seed))
			}
		})
	}
}

// replay is the command that runs a test alone: each level has a pattern.
func replay(test string, seed uint64) string {
	return fmt.Sprintf("go test -run '^%s$' . -chaos.seed=%d", strings.ReplaceAll(regexp.QuoteMeta(test), "/", "$/^"), seed)
}

// Run runs one experiment in virtual time, and returns its result. An experiment
// that cannot be run, or whose stack cannot be made, ends the test.
//
// The pool has four models: alpha-1 and alpha-2 of the provider alpha, beta-1
// and beta-2 of beta. Each answers sixteen requests at a time, in one second on
// average, and lets the others wait; it goes on with those whose clients have
// left. Every second call streams six chunks, and is whole only with the last.
// Chance, that of the pool too, is of the experiment's seed.
func Run(t *testing.T, e chaos.Experiment, features func() []resilience.Feature) (res chaos.Result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		injector := chaos.NewInjector(chaos.InjectorConfig{Enabled: true})
		var infos []resilience.ModelInfo
		for _, provider := range []string{"alpha", "beta"} {
			for n := range 2 {
				infos = append(infos, resilience.ModelInfo{ID: fmt.Sprintf("%s-%d", provider, n+1), Provider: provider})
			}
		}
		pool, err := resilience.NewPool(append(features(), injector, resilience.Models(infos...), resilience.Seed(rand.NewPCG(e.Seed, 1)))...)
		if err != nil {
			t.Fatalf("the stack cannot be made: %v", err)
		}
		load, err := newLoad(pool, e.Seed)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var background sync.WaitGroup
		background.Go(func() { _ = pool.Run(ctx) }) // until cancel
		res, err = injector.Run(t.Context(), e, load)
		cancel()
		background.Wait()
		if err != nil {
			t.Fatalf("experiment %s: %v", e.Name, err)
		}
	})
	return res
}

const (
	slots   = 16
	service = time.Second
	words   = 6
)

// newLoad returns calls of simulated models.
func newLoad(pool *resilience.Pool, seed uint64) (func(context.Context) error, error) {
	servers := map[string]*simtest.Server{}
	for n, m := range pool.Models() {
		servers[m.ID()] = simtest.NewServer(seed*31+uint64(n), slots, simtest.LogNormal(service, .3))
	}
	ask := func(ctx context.Context, m *resilience.Model, _ struct{}) (struct{}, error) {
		return struct{}{}, servers[m.ID()].Do(ctx)
	}
	tell := func(ctx context.Context, m *resilience.Model, _ struct{}) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			if err := servers[m.ID()].Do(ctx); err != nil {
				yield(0, err)
				return
			}
			for n := range words {
				if !yield(n+1, nil) {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
	}
	whole, err := resilience.NewClient(pool, resilience.BindAll(ask))
	if err != nil {
		return nil, err
	}
	streams, err := resilience.NewClient(pool, resilience.BindAllStreams(tell,
		resilience.StreamHooks[struct{}, int]{Terminal: func(n int) bool { return n == words }}))
	if err != nil {
		return nil, err
	}
	var calls atomic.Int64
	return func(ctx context.Context) error {
		if calls.Add(1)%2 == 0 {
			_, err := whole.Call(ctx, struct{}{})
			return err
		}
		stream, err := streams.Call(ctx, struct{}{})
		if err != nil {
			return err
		}
		read := 0
		for n, err := range stream.All() {
			if err != nil {
				return err
			}
			if read++; n != read {
				return errMixed
			}
		}
		return nil
	}, nil
}

var errMixed = errors.New("chaostest: the chunks of a stream are not those of one answer")

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/retry"
	"github.com/cmmv-hive/resilience/stack"
)

// gameDay runs experiments, each with a service of its own and all at once, and
// reports on those that began.
func gameDay(ctx context.Context, experiments []chaos.Experiment) (chaos.Report, error) {
	results, errs := make([]chaos.Result, len(experiments)), make([]error, len(experiments))
	var all sync.WaitGroup
	for i, e := range experiments {
		all.Go(func() { results[i], errs[i] = try(ctx, e) })
	}
	all.Wait()
	results = slices.DeleteFunc(results, func(r chaos.Result) bool { return r.Verdict == "" })
	return chaos.NewReport(results...), errors.Join(errs...)
}

// try runs one experiment on the service. In a service that runs, the injector
// is a feature of its pool, and load makes the calls that it makes anyway.
func try(ctx context.Context, e chaos.Experiment) (chaos.Result, error) {
	injector := chaos.NewInjector(chaos.InjectorConfig{Enabled: true, Speed: speed})
	pool, err := resilience.NewPool(stack.New(settings()), injector, resilience.Seed(rand.NewPCG(e.Seed, 1)), resilience.Models(
		resilience.ModelInfo{ID: "atlas-east", Name: "atlas", Provider: "atlas", Region: "us"},
		resilience.ModelInfo{ID: "atlas-west", Name: "atlas", Provider: "atlas", Region: "eu"},
		resilience.ModelInfo{ID: "boreal-chat", Provider: "boreal", Region: "us"},
		resilience.ModelInfo{ID: "cirrus-chat", Provider: "cirrus", Region: "eu"}))
	if err != nil {
		return chaos.Result{}, err
	}
	world := newModels(pool, e.Seed)
	chat, err := resilience.NewClient(pool, resilience.BindAll(world.ask))
	if err != nil {
		return chaos.Result{}, err
	}
	result, err := injector.Run(ctx, e, func(ctx context.Context) error {
		_, err := chat.Call(ctx, "Why is the sky blue?")
		return err
	})
	if err != nil {
		err = fmt.Errorf("%s: %w", e.Name, err)
	}
	return result, err
}

// speed is how much faster time passes here than in the world. All that waits is
// set to its default divided by it; in a service there is neither.
const speed = 20

func clock(d time.Duration) time.Duration { return d / speed }

func settings() stack.Config {
	return stack.Config{
		Timeouts: resilience.Timeouts{Call: clock(2 * time.Minute), Attempt: clock(time.Minute)},
		Balance:  balance.Config{SlowStart: clock(30 * time.Second)},
		Limiter:  balance.LimiterConfig{Wait: clock(10 * time.Second), Window: clock(time.Minute)},
		Retry:    retry.Config{Base: clock(500 * time.Millisecond), Max: clock(20 * time.Second), Patience: clock(5 * time.Second)},
		Breaker: breaker.Config{
			Window: clock(30 * time.Second), SlowAfter: clock(30 * time.Second),
			OpenFor: clock(15 * time.Second), MaxOpenFor: clock(30 * time.Second),
		},
	}
}

// models are simulated: each answers so many requests at a time, in a second
// or so, and lets the others wait.
type models struct {
	rooms map[string]chan struct{}
	mu    sync.Mutex
	rand  *rand.Rand
}

func newModels(pool *resilience.Pool, seed uint64) *models {
	const atOnce = 16
	w := &models{rooms: map[string]chan struct{}{}, rand: rand.New(rand.NewPCG(seed, 2))}
	for _, m := range pool.Models() {
		w.rooms[m.ID()] = make(chan struct{}, atOnce)
	}
	return w
}

func (w *models) ask(ctx context.Context, m *resilience.Model, _ string) (string, error) {
	w.mu.Lock()
	takes := clock(time.Duration((.5 + w.rand.ExpFloat64()/2) * float64(time.Second)))
	w.mu.Unlock()
	room := w.rooms[m.ID()]
	select {
	case room <- struct{}{}:
		defer func() { <-room }()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	t := time.NewTimer(takes)
	defer t.Stop()
	select {
	case <-t.C:
		return "Air scatters blue light most.", nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

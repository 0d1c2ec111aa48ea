package scoreboard

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go"
	fsbreaker "github.com/failsafe-go/failsafe-go/circuitbreaker"
	fsretry "github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/sony/gobreaker/v2"
	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/stack"
)

// A policy makes a function that has a call answered. Say is called for each
// chunk that the caller gets; an error means that he does not get all of it.
type policy struct {
	name, what string
	make       func(t *testing.T, all []*model, draw *rand.Rand) caller
}

type caller func(ctx context.Context, say func()) error

const limit = 8 * time.Second // until the first chunk, for policies that do not have a default of their own

var errSlow = errors.New("no first chunk in time")

// attempt asks one model and says what comes. Said counts the chunks, of which
// there may be some already.
func attempt(ctx context.Context, m *model, firstWithin time.Duration, said *int, say func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := time.AfterFunc(cmp.Or(firstWithin, time.Hour), func() { cancel(errSlow) })
	defer limit.Stop()
	a := m.ask(*said)
	for {
		err := a.next(ctx)
		limit.Stop()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		*said++
		say()
	}
}

// once is attempt for policies that give up when an answer breaks off.
func once(ctx context.Context, m *model, firstWithin time.Duration, say func()) (err error, final bool) {
	said := 0
	err = attempt(ctx, m, firstWithin, &said, say)
	return err, said > 0 || ctx.Err() != nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*statusError](err); ok {
		return e.RetryAfter
	}
	return 0
}

// turns gives each call the next model first, and then the others at random: in
// turn, the one after those that fail would get all of their calls.
func turns(draw *rand.Rand) func() []int {
	var mu sync.Mutex
	n := 0
	return func() []int {
		mu.Lock()
		defer mu.Unlock()
		n++
		order := []int{n % models}
		for _, i := range draw.Perm(models) {
			if i != n%models {
				order = append(order, i)
			}
		}
		return order
	}
}

var policies = []policy{
	{"none", "one attempt, models in turn, no timeout", func(_ *testing.T, all []*model, draw *rand.Rand) caller {
		next := turns(draw)
		return func(ctx context.Context, say func()) error {
			err, _ := once(ctx, all[next()[0]], 0, say)
			return err
		}
	}},
	{"SDK default", "two retries at the same model after 0.5 s, doubled, less up to a quarter, or as the server asks; no timeout", func(_ *testing.T, all []*model, draw *rand.Rand) caller {
		next, jitter := turns(draw), locked(rand.New(rand.NewPCG(draw.Uint64(), 0)))
		return func(ctx context.Context, say func()) error {
			m := all[next()[0]]
			for n := 0; ; n++ {
				err, final := once(ctx, m, 0, say)
				if err == nil || final || n == 2 {
					return err
				}
				wait := 500 * time.Millisecond << n
				if asked := retryAfter(err); asked > 0 {
					wait = asked
				} else {
					wait -= time.Duration(jitter() * float64(wait) / 4)
				}
				sleep(ctx, wait)
			}
		}
	}},
	{"retry ×3", "three attempts at the same model, 8 s each to the first chunk, 0.5 s and 1 s between them", func(_ *testing.T, all []*model, draw *rand.Rand) caller {
		next := turns(draw)
		return func(ctx context.Context, say func()) error {
			m := all[next()[0]]
			for n := 0; ; n++ {
				err, final := once(ctx, m, limit, say)
				if err == nil || final || n == 2 {
					return err
				}
				sleep(ctx, 500*time.Millisecond<<n)
			}
		}
	}},
	{"fallback ×3", "three models, the first in turn, the others at random, 8 s each to the first chunk", func(_ *testing.T, all []*model, draw *rand.Rand) caller {
		next := turns(draw)
		return func(ctx context.Context, say func()) error {
			order := next()
			for n := 0; ; n++ {
				err, final := once(ctx, all[order[n]], limit, say)
				if err == nil || final || n == 2 {
					return err
				}
			}
		}
	}},
	{"fallback + gobreaker", "the same, with a gobreaker of default settings before each model; open ones are passed by", func(_ *testing.T, all []*model, draw *rand.Rand) caller {
		next := turns(draw)
		var breakers [models]*gobreaker.TwoStepCircuitBreaker[struct{}]
		for i := range breakers {
			breakers[i] = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{})
		}
		return func(ctx context.Context, say func()) error {
			tried, last := 0, error(gobreaker.ErrOpenState)
			for _, i := range next() {
				done, err := breakers[i].Allow()
				if err != nil || tried == 3 {
					continue
				}
				tried++
				err, final := once(ctx, all[i], limit, say)
				done(err)
				if err == nil || final {
					return err
				}
				last = err
			}
			return last
		}
	}},
	{"failsafe-go", "its retry policy with two retries, each at the next model whose circuit breaker (half of the last ten failed, 10 s open) is closed, 8 s each to the first chunk", func(_ *testing.T, all []*model, draw *rand.Rand) caller {
		next := turns(draw)
		var breakers [models]fsbreaker.CircuitBreaker[any]
		for i := range breakers {
			breakers[i] = fsbreaker.NewBuilder[any]().WithFailureThresholdRatio(5, 10).WithDelay(10 * time.Second).Build()
		}
		retry := fsretry.NewBuilder[any]().WithMaxRetries(2).AbortOnErrors(errFinal).ReturnLastFailure().Build()
		return func(ctx context.Context, say func()) error {
			order := next()
			return failsafe.With(retry).WithContext(ctx).RunWithExecution(func(failsafe.Execution[any]) error {
				for len(order) > 0 {
					at := order[0]
					if order = order[1:]; !breakers[at].TryAcquirePermit() {
						continue
					}
					err, final := once(ctx, all[at], limit, say)
					if err != nil {
						breakers[at].RecordError(err)
					} else {
						breakers[at].RecordSuccess()
					}
					if err != nil && final {
						return errors.Join(err, errFinal)
					}
					return err
				}
				return fsbreaker.ErrOpen
			})
		}
	}},
	{"LiteLLM-like", "its documented defaults: models at random, two retries at once elsewhere, 5 s of cooldown after a 429 or when more than half of at least five requests of the minute failed; answers that break off go on elsewhere", litellm},
	{"Bifrost-like", "its documented defaults: no retries, two fallbacks, 30 s a request, never after the first chunk", func(_ *testing.T, all []*model, draw *rand.Rand) caller {
		next := turns(draw)
		return func(ctx context.Context, say func()) error {
			var primary error
			for _, i := range next()[:3] {
				ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
				err, final := once(ctx, all[i], 0, say)
				cancel()
				if err == nil {
					return nil
				}
				primary = errors.Join(primary, err)
				if final {
					break
				}
			}
			return primary
		}
	}},
	{"stack", "this library's ready-made stack with the settings that it comes with", readyMade},
}

var errFinal = errors.New("it cannot be asked again")

// locked draws numbers for several goroutines.
func locked(draw *rand.Rand) func() float64 {
	var mu sync.Mutex
	return func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return draw.Float64()
	}
}

func litellm(_ *testing.T, all []*model, draw *rand.Rand) caller {
	type deployment struct {
		minute       int64
		calls, fails int
		until        time.Time
	}
	var mu sync.Mutex
	var list [models]deployment
	pick := func() int {
		mu.Lock()
		defer mu.Unlock()
		var healthy []int
		for i, d := range list {
			if !time.Now().Before(d.until) {
				healthy = append(healthy, i)
			}
		}
		if len(healthy) == 0 {
			return -1
		}
		return healthy[draw.IntN(len(healthy))]
	}
	note := func(i int, err error) {
		mu.Lock()
		defer mu.Unlock()
		d := &list[i]
		if minute := time.Now().Unix() / 60; d.minute != minute {
			d.minute, d.calls, d.fails = minute, 0, 0
		}
		d.calls++
		if err == nil {
			return
		}
		d.fails++
		e, _ := errors.AsType[*statusError](err)
		if e != nil && e.StatusCode == 429 || d.calls >= 5 && 2*d.fails > d.calls {
			if now := time.Now(); !now.Before(d.until) {
				d.until = now.Add(max(5*time.Second, retryAfter(err)))
			}
		}
	}
	return func(ctx context.Context, say func()) error {
		said := 0
		last := errors.New("no deployments available")
		for range 3 {
			i := pick()
			if i < 0 {
				return last
			}
			err := attempt(ctx, all[i], 0, &said, say)
			note(i, err)
			if err == nil || ctx.Err() != nil {
				return err
			}
			last = err
		}
		return last
	}
}

// A request is one for the rest of an answer, or all of it.
type request struct{ has int }

// chunk is a part of an answer; the last has no text.
type chunk struct {
	text string
	last bool
}

func readyMade(t *testing.T, all []*model, draw *rand.Rand) caller {
	t.Helper()
	hooks := resilience.StreamHooks[request, chunk]{
		Terminal: func(c chunk) bool { return c.last },
		Resume: func(r request, delivered []chunk) (request, bool) {
			return request{r.has + len(delivered)}, true
		},
	}
	var infos []resilience.ModelInfo
	var bindings []resilience.ClientOption[request, *resilience.Stream[chunk]]
	for i, m := range all {
		id := string(rune('1' + i))
		infos = append(infos, resilience.ModelInfo{ID: id, Provider: providers[i]})
		bindings = append(bindings, resilience.BindStream(id, func(ctx context.Context, r request) iter.Seq2[chunk, error] {
			return func(yield func(chunk, error) bool) {
				a := m.ask(r.has)
				for {
					err := a.next(ctx)
					if errors.Is(err, io.EOF) {
						yield(chunk{last: true}, nil)
						return
					}
					if !yield(chunk{text: "."}, err) || err != nil {
						return
					}
				}
			}
		}, hooks))
	}
	pool, err := resilience.NewPool(stack.New(stack.Config{}), resilience.Models(infos...), resilience.Seed(draw))
	require.NoError(t, err)
	client, err := resilience.NewClient(pool, slices.Clip(bindings)...)
	require.NoError(t, err)
	return func(ctx context.Context, say func()) error {
		s, err := client.Call(ctx, request{})
		if err != nil {
			return err
		}
		for c, err := range s.All() {
			if err != nil {
				return err
			}
			if !c.last {
				say()
			}
		}
		return nil
	}
}

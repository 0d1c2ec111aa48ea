package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/simtest"
)

// A spell is a time in which a provider is at fault.
type spell struct {
	from, until time.Duration
	fault       simtest.Fault
	down        bool // nothing is answered
}

const (
	betweenSpells = 36 * time.Hour
	spellLasts    = time.Hour
	noise         = .003 // of the attempts fail at any time
)

// spells draws when a provider is at fault: half of the times it refuses at once,
// a quarter it is a black hole, and a quarter it is slow and refuses some.
func spells(seed uint64, lasts time.Duration) (list []spell) {
	draw := rand.New(rand.NewPCG(seed, 36))
	gap, length := simtest.Exponential(betweenSpells), simtest.LogNormal(spellLasts, 0.7)
	for at := gap(draw); at < lasts; at += gap(draw) {
		s := spell{from: at, until: at + length(draw)}
		switch kind := draw.Float64(); {
		case kind < .5:
			s.fault, s.down = simtest.Fault{Err: &statusError{503}, After: 100 * time.Millisecond}, true
		case kind < .75:
			s.fault, s.down = simtest.Fault{Hang: true}, true
		default:
			s.fault = simtest.Fault{Slow: 8, Err: &statusError{503}, Share: .2, After: time.Second}
		}
		list = append(list, s)
		at = s.until
	}
	return list
}

// A record of availability.
type record struct {
	calls, failed, hopeless, attempts int64 // hopeless are those that no router could have had answered
	p99                               time.Duration
}

func (r record) String() string {
	return fmt.Sprintf("%.4f %% of %d calls answered (%.5f %% of what a clairvoyant router reaches), %.3f attempts a call, p99 %.1f s",
		100*(1-float64(r.failed)/float64(r.calls)), r.calls, 100*r.ofClairvoyant(), float64(r.attempts)/float64(r.calls), r.p99.Seconds())
}

func (r record) ofClairvoyant() float64 {
	return float64(r.calls-r.failed) / float64(r.calls-r.hopeless)
}

// available sends a call a second to five models of three providers that are at
// fault now and then.
func available(t *testing.T, seed uint64, lasts time.Duration, models int, features ...resilience.Feature) (r record) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		const ample = 1 << 20
		well := simtest.Fault{Err: &statusError{500}, Share: noise, After: 200 * time.Millisecond}
		var servers []*simtest.Server
		var bindings []resilience.ClientOption[struct{}, struct{}]
		var infos []resilience.ModelInfo
		var times [][]spell
		start := time.Now()
		for i := range models {
			s := simtest.NewServer(seed*5+uint64(i), ample, simtest.LogNormal(service, 0.5))
			s.Set(well)
			servers = append(servers, s)
			info := resilience.ModelInfo{ID: fmt.Sprintf("replica-%d", i+1), Provider: fmt.Sprint("provider-", i/2)}
			infos = append(infos, info)
			bindings = append(bindings, resilience.BindFunc(info.ID,
				func(ctx context.Context, _ struct{}) (struct{}, error) { return struct{}{}, s.Do(ctx) }))
			list := spells(seed*3+uint64(i/2), lasts)
			times = append(times, list)
			for _, spell := range list {
				time.AfterFunc(spell.from, func() { s.Set(spell.fault) })
				time.AfterFunc(spell.until, func() { s.Set(well) })
			}
		}
		pool, err := resilience.NewPool(append(features, resilience.Models(infos...), resilience.Seed(rand.NewPCG(seed, 1)))...)
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, bindings...)
		require.NoError(t, err)

		// hopeless reports whether all models are down for as long as a call waits.
		hopeless := func(at time.Duration) bool {
			return !slices.ContainsFunc(times, func(list []spell) bool {
				return !slices.ContainsFunc(list, func(s spell) bool { return s.down && s.from <= at && s.until > at+patience-service })
			})
		}
		var mu sync.Mutex
		var took []time.Duration
		simtest.Arrive(t.Context(), seed, 1, lasts, func(time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			began := time.Now()
			_, err := client.Call(ctx, struct{}{})
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(began))
			if err != nil {
				r.failed++
				if hopeless(began.Sub(start)) {
					r.hopeless++
				}
			}
		})
		for _, s := range servers {
			r.attempts += s.Asked()
		}
		slices.Sort(took)
		r.calls, r.p99 = int64(len(took)), took[len(took)*99/100]
		time.Sleep(10 * spellLasts) // those that are not over
	})
	return r
}

// TestAvailability has outages of whole providers, one in 36 hours at each, black
// holes, brownouts, and noise.
func TestAvailability(t *testing.T) {
	lasts := 2 * 24 * time.Hour
	switch {
	case *long:
		lasts = 24 * 24 * time.Hour
	case testing.Short():
		lasts = 3 * time.Hour
	}
	for _, tt := range []struct {
		name      string
		models    int
		features  func() []resilience.Feature
		reference string
		check     func(r record)
	}{
		{"one model", 1, func() []resilience.Feature { return []resilience.Feature{resilience.Timeouts{Attempt: attemptTime}} }, "97.43 %", nil},
		{"fallback ×3", 5, naive, "99.989 %", nil},
		{"fallback ×3 and breaker", 5, withBreaker, "99.9997 % with gobreaker, 1.014 attempts, p99 9.8 s", nil},
		{"stack", 5, readyMade, "99.9997 % with gobreaker, 1.014 attempts", func(r record) {
			require.GreaterOrEqual(t, r.ofClairvoyant(), .99999)
			require.LessOrEqual(t, float64(r.attempts), 1.02*float64(r.calls))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !*long && tt.check == nil {
				t.Skip("-long runs it")
			}
			r := available(t, 1, lasts, tt.models, tt.features()...)
			t.Logf("published: availability over %.0f days, %s: measured %v, reference %s, target ≥ 99.999 %% of clairvoyant at ≤ 1.02 attempts", lasts.Hours()/24, tt.name, r, tt.reference)
			if tt.check != nil {
				tt.check(r)
			}
		})
	}
}

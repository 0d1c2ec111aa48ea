package chaos_test

import (
	"cmp"
	"compress/gzip"
	"context"
	"encoding/csv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/degrade"
	"github.com/cmmv-hive/resilience/health"
	"github.com/cmmv-hive/resilience/internal/datasets"
	"github.com/cmmv-hive/resilience/internal/simtest"
	"github.com/cmmv-hive/resilience/recovery"
)

// An incident is a time in which a provider said that its API had trouble.
type incident struct {
	provider    string
	from, until time.Time
}

// incidents are those of two providers' APIs in 417 days, of a day at most each,
// merged where they overlap, in the order of time.
func incidents(t *testing.T) (list []incident) {
	t.Helper()
	z, err := gzip.NewReader(datasets.Open(t, "llm_outages_icpe25/incidents.csv.gz"))
	require.NoError(t, err)
	rows, err := csv.NewReader(z).ReadAll()
	require.NoError(t, err)
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	const layout = "2006-01-02 15:04:05-07:00"
	first, last := time.Date(2023, 7, 11, 0, 0, 0, 0, time.UTC), time.Date(2024, 9, 1, 0, 0, 0, 0, time.UTC)
	for _, row := range rows[1:] {
		of := func(name string) string { return row[column[name]] }
		services := of("services")
		if !strings.Contains(services, "api.anthropic.com") && !strings.Contains(services, "API") {
			continue
		}
		from, err := time.Parse(layout, of("start_utc"))
		require.NoError(t, err)
		until, err := time.Parse(layout, of("resolved_utc"))
		if err != nil || !until.After(from) || until.Sub(from) > 24*time.Hour || from.Before(first) || until.After(last) {
			continue
		}
		list = append(list, incident{provider: of("provider"), from: from, until: until})
	}
	slices.SortFunc(list, func(a, b incident) int { return cmp.Or(a.from.Compare(b.from), a.until.Compare(b.until)) })
	latest := map[string]int{}
	merged := list[:0]
	for _, in := range list {
		if at, ok := latest[in.provider]; ok && !in.from.After(merged[at].until) {
			if in.until.After(merged[at].until) {
				merged[at].until = in.until
			}
			continue
		}
		latest[in.provider] = len(merged)
		merged = append(merged, in)
	}
	return closer(merged)
}

// closer moves incidents together that are days apart, to an hour.
func closer(list []incident) []incident {
	const apart = time.Hour
	end, shift := list[0].from, time.Duration(0)
	for i := range list {
		in := &list[i]
		if gap := in.from.Add(-shift).Sub(end); gap > apart {
			shift += gap - apart
		}
		in.from, in.until = in.from.Add(-shift), in.until.Add(-shift)
		if in.until.After(end) {
			end = in.until
		}
	}
	return list
}

// outOfOrder are the ways in which a provider is.
func outOfOrder(n int) simtest.Fault {
	switch n % 3 {
	case 0:
		return simtest.Fault{Err: &statusError{503}, After: 100 * time.Millisecond}
	case 1:
		return simtest.Fault{Hang: true}
	default:
		return simtest.Fault{Err: &statusError{529}, After: 2 * time.Second}
	}
}

// replayed sends calls around each incident, while both models of its provider
// are out of order, and counts those that a router which knows of it cannot have
// had answered either.
func replayed(t *testing.T, list []incident, perSecond float64, features ...resilience.Feature) (r record) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		servers := map[string]*simtest.Server{}
		var infos []resilience.ModelInfo
		var bindings []resilience.ClientOption[struct{}, struct{}]
		for i, id := range []string{"openai-1", "openai-2", "anthropic-1", "anthropic-2"} {
			provider, _, _ := strings.Cut(id, "-")
			s := simtest.NewServer(uint64(i)+7, 1<<20, simtest.LogNormal(service, .5))
			servers[id] = s
			infos = append(infos, resilience.ModelInfo{ID: id, Provider: provider})
			bindings = append(bindings, resilience.BindFunc(id, func(ctx context.Context, _ struct{}) (struct{}, error) { return struct{}{}, s.Do(ctx) }))
		}
		probe := func(ctx context.Context, m *resilience.Model) error { return servers[m.ID()].Do(ctx) }
		pool, err := resilience.NewPool(append(features, resilience.Probe(probe), resilience.Models(infos...), resilience.Seed(rand.NewPCG(7, 1)))...)
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, bindings...)
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		var background sync.WaitGroup
		background.Go(func() { _ = pool.Run(ctx) })
		defer background.Wait()
		defer stop()

		base, start := list[0].from.Add(-time.Hour), time.Now()
		now := func() time.Time { return base.Add(time.Since(start)) }
		for n, in := range list {
			set := func(f simtest.Fault) {
				for id, s := range servers {
					if strings.HasPrefix(id, in.provider) {
						s.Set(f)
					}
				}
			}
			time.AfterFunc(in.from.Sub(base), func() { set(outOfOrder(n)) })
			time.AfterFunc(in.until.Sub(base), func() { set(simtest.Fault{}) })
		}
		// hopeless reports whether both providers are down for as long as a call waits.
		hopeless := func(at time.Time) bool {
			for _, provider := range []string{"openai", "anthropic"} {
				if !slices.ContainsFunc(list, func(in incident) bool {
					return in.provider == provider && !in.from.After(at) && in.until.After(at.Add(patience-service))
				}) {
					return false
				}
			}
			return true
		}
		var mu sync.Mutex
		var took []time.Duration
		for n, in := range list {
			from, until := in.from.Add(-10*time.Minute), in.until.Add(20*time.Minute)
			if n+1 < len(list) {
				until = earlier(until, list[n+1].from.Add(-10*time.Minute))
			}
			if wait := from.Sub(now()); wait > 0 {
				time.Sleep(wait)
			}
			simtest.Arrive(ctx, uint64(n), perSecond, until.Sub(now()), func(time.Duration) {
				ctx, cancel := context.WithTimeout(ctx, patience)
				defer cancel()
				began := now()
				_, err := client.Call(ctx, struct{}{})
				mu.Lock()
				defer mu.Unlock()
				took = append(took, now().Sub(began))
				if err != nil {
					r.failed++
					if hopeless(began) {
						r.hopeless++
					}
				}
			})
		}
		for _, s := range servers {
			r.attempts += s.Asked()
		}
		slices.Sort(took)
		r.calls, r.p99 = int64(len(took)), took[len(took)*99/100]
		time.Sleep(time.Hour) // servers that hang let go
	})
	return r
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// TestIncidents replays what two providers reported of their APIs.
func TestIncidents(t *testing.T) {
	list := incidents(t)
	require.Greater(t, len(list), 150)
	perSecond := .02
	if *long {
		perSecond = .5
	} else if testing.Short() {
		list = list[:20]
	}
	for name, features := range map[string][]resilience.Feature{"stack": nil, "stack, health, recovery, degrade": {health.New(health.Config{}), degrade.New(degrade.Config{})}} {
		healer := recovery.New(recovery.Config{})
		list := list
		if features != nil {
			features = append(features, healer)
			if !*long {
				list = list[:10] // what runs in the background takes time
			}
		}
		r := replayed(t, list, perSecond, append(readyMade(), features...)...)
		t.Logf("published: %d incidents of two providers' APIs, %s: measured %v, %.0f %% of recoveries manual, reference none, target ≥ 99.99 %% of what a router that knows them reaches, 0",
			len(list), name, r, 100*healer.Times().Manual)
		require.GreaterOrEqual(t, r.ofClairvoyant(), .9999)
		require.Zero(t, healer.Times().Manual)
	}
}

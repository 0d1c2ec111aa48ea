package balance_test

import (
	"cmp"
	"compress/gzip"
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
	"github.com/cmmv-hive/resilience/internal/datasets"
)

// A law is the distribution of an endpoint's latencies on one day, through its
// recorded quantiles.
type law []point

type point struct{ q, ms float64 }

// at interpolates between quantiles, on the scale of the logarithm.
func (l law) at(q float64) float64 {
	for i := 1; i < len(l); i++ {
		if a, b := l[i-1], l[i]; q <= b.q {
			return math.Exp(math.Log(a.ms) + (q-a.q)/(b.q-a.q)*(math.Log(b.ms)-math.Log(a.ms)))
		}
	}
	return l[len(l)-1].ms
}

// An endpoint is one deployment of a model at a provider.
type endpoint struct {
	id   string
	days [2]law // that state is learnt on, and that is measured
}

func (e *endpoint) p50(day int) float64 { return e.days[day].at(.5) }

// readCases returns, for each model and day, the endpoints with at least 100
// requests on that day and the day before, where there are three or more.
func readCases(t *testing.T) (cases [][]endpoint) {
	t.Helper()
	gz, err := gzip.NewReader(datasets.Open(t, "openrouter_endpoints/endpoints.csv.gz"))
	require.NoError(t, err)
	rows, err := csv.NewReader(gz).ReadAll()
	require.NoError(t, err)
	col := map[string]int{}
	for i, name := range rows[0] {
		col[name] = i
	}
	type key struct{ day, model, endpoint string }
	laws := map[key]law{}
	var days []string
	for _, row := range rows[1:] {
		get := func(name string) string { return row[col[name]] }
		number := func(name string) float64 { x, _ := strconv.ParseFloat(get(name), 64); return x }
		k := key{day: get("date"), model: get("model")}
		if v := get("variant"); v != "" {
			k.model += ":" + v
		}
		if len(days) == 0 || days[len(days)-1] != k.day {
			days = append(days, k.day)
		}
		for _, name := range []string{"provider", "quant", "region", "ctx", "usd_per_mtok_in"} {
			k.endpoint += get(name) + "|"
		}
		if number("req_30min") < 100 || number("lat_p50_ms") <= 0 {
			continue
		}
		var l law
		for _, q := range []int{50, 75, 90, 95, 99} {
			l = append(l, point{float64(q) / 100, number(fmt.Sprintf("lat_p%d_ms", q))})
		}
		below := point{0, l[0].ms * l[0].ms / l[1].ms} // nothing is recorded: as far as the 75th percentile is above
		laws[k] = append(law{below}, l...)
	}
	slices.Sort(days)
	days = slices.Compact(days)
	yesterday := map[string]string{}
	for i := 1; i < len(days); i++ {
		yesterday[days[i]] = days[i-1]
	}
	groups := map[key][]endpoint{}
	for k, l := range laws {
		before, ok := laws[key{yesterday[k.day], k.model, k.endpoint}]
		if ok {
			group := key{day: k.day, model: k.model}
			groups[group] = append(groups[group], endpoint{k.endpoint, [2]law{before, l}})
		}
	}
	var keys []key
	for k, g := range groups {
		if len(g) >= 3 {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.model, b.model)) })
	for _, k := range keys {
		g := groups[k]
		slices.SortFunc(g, func(a, b endpoint) int { return cmp.Compare(a.id, b.id) })
		cases = append(cases, g)
	}
	return cases
}

// TestPublishedProviders sends calls to recorded endpoints whose state is known
// from the day before. Its measure is what calls cost in time that went to
// other endpoints than the one that turned out to be the fastest.
func TestPublishedProviders(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector")
	}
	cases := readCases(t)
	require.Len(t, cases, 1602)
	step := 40
	if *long {
		step = 1
	}
	n, least, two, random, yesterday := 0., 0., 0., 0., 0.
	for i := 0; i < len(cases); i += step {
		n++
		least += route(t, uint64(i), cases[i], balance.LeastLatency)
		two += route(t, uint64(i), cases[i], balance.TwoChoices)
		of := func(e *endpoint) float64 { return e.p50(1) / fastest(cases[i], 1).p50(1) }
		for j := range cases[i] {
			random += of(&cases[i][j]) / float64(len(cases[i]))
		}
		yesterday += of(fastest(cases[i], 0))
	}
	t.Logf("published: Providers: measured %.3f with least latency and %.2f with two choices in %.0f cases, "+
		"reference random %.2f and yesterday's best %.2f there, target ≤ 1.19", least/n, two/n, n, random/n, yesterday/n)
	require.LessOrEqual(t, least/n, 1.19)
}

func fastest(endpoints []endpoint, day int) *endpoint {
	best := &endpoints[0]
	for i := range endpoints {
		if e := &endpoints[i]; e.p50(day) < best.p50(day) {
			best = e
		}
	}
	return best
}

// route has the state learnt from one day, on which each endpoint gets a call
// every three seconds for five minutes, and makes a call a second for ten minutes
// of the next. It returns the mean over these calls of the median of the day
// where they went, as a multiple of the least; calls go on to be learnt from.
func route(t *testing.T, seed uint64, endpoints []endpoint, algorithm balance.Algorithm) (ratio float64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		type request struct {
			day int
			q   float64 // how slow it is, among those of the day
		}
		rng := rand.New(rand.NewPCG(seed, 3))
		pool, err := resilience.NewPool(balancer(algorithm), resilience.Seed(rand.NewPCG(seed, 4)))
		require.NoError(t, err)
		sum, measured := 0., 0
		var bindings []resilience.ClientOption[request, struct{}]
		for i := range endpoints {
			e := &endpoints[i]
			ask := func(_ context.Context, r request) (struct{}, error) {
				if r.day == 1 {
					sum += e.p50(1)
					measured++
				}
				time.Sleep(time.Duration(e.days[r.day].at(r.q) * float64(time.Millisecond)))
				return struct{}{}, nil
			}
			bindings = append(bindings, resilience.BindFunc(strconv.Itoa(i), ask))
		}
		client, err := resilience.NewClient(pool, bindings...)
		require.NoError(t, err)
		var calls sync.WaitGroup
		send := func(c *resilience.Client[request, struct{}], day int) {
			r := request{day, rng.Float64()}
			calls.Go(func() { _, _ = c.Call(t.Context(), r) })
		}
		for range 100 {
			time.Sleep(3 * time.Second)
			for i := range endpoints {
				send(client.Pin(strconv.Itoa(i)), 0)
			}
		}
		for range 600 {
			time.Sleep(time.Second)
			send(client, 1)
			synctest.Wait()
		}
		calls.Wait()
		ratio = sum / float64(measured) / fastest(endpoints, 1).p50(1)
	})
	return ratio
}

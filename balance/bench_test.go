package balance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cmmv-hive/resilience"
)

// An inCall is a balancer, and what is done with it in the middle of a call.
type inCall struct {
	*Balancer
	with func(c *resilience.Call, from resilience.Candidates)
}

func (tr *inCall) Install(s *resilience.Setup) error {
	tr.pool = s.Pool()
	tr.live.Store(newPlan(tr.given))
	s.Pick(tr)
	return tr.given.check()
}

func (tr *inCall) Pick(c *resilience.Call, from resilience.Candidates) *resilience.Model {
	if tr.with != nil {
		tr.with(c, from)
	}
	return tr.Balancer.Pick(c, from)
}

func benchmarkPick(b *testing.B, cfg Config, opts resilience.CallOptions, n, held int) {
	b.Helper()
	var bindings []resilience.ClientOption[string, string]
	for i := range n {
		bindings = append(bindings, resilience.BindFunc(fmt.Sprint("m", i),
			func(context.Context, string) (string, error) { return "", nil }))
	}
	measured := false
	tr := &inCall{Balancer: New(cfg)}
	pool, err := resilience.NewPool(tr)
	if err != nil {
		b.Fatal(err)
	}
	client, err := resilience.NewClient(pool, bindings...)
	if err != nil {
		b.Fatal(err)
	}
	for _, m := range pool.Models() { // so that each has a latency
		if _, err := client.Pin(m.ID()).Call(b.Context(), ""); err != nil {
			b.Fatal(err)
		}
	}
	until := time.Now().Add(time.Hour)
	rng := rand.New(rand.NewPCG(1, 1))
	for _, i := range rng.Perm(n)[:n*held/10] {
		pool.Models()[i].Hold(b.Context(), resilience.Hold{By: resilience.HoldLimit, Until: until})
	}
	tr.with = func(c *resilience.Call, from resilience.Candidates) {
		measured = true
		b.ReportAllocs()
		for b.Loop() {
			if tr.Balancer.Pick(c, from) == nil {
				b.Fatal("no model")
			}
		}
	}
	if _, _, err = client.Do(b.Context(), "", opts); err != nil || !measured {
		b.Fatal(measured, err)
	}
}

// BenchmarkPick is one pick among n models, by default 20 % of them held.
func BenchmarkPick(b *testing.B) {
	for _, bc := range []struct {
		name string
		n    int
		held int // of 10
	}{
		{"n=5", 5, 2}, {"n=50", 50, 2}, {"n=5000", 5000, 2}, {"n=5000/held=90", 5000, 9},
	} {
		b.Run(bc.name, func(b *testing.B) { benchmarkPick(b, Config{}, resilience.CallOptions{}, bc.n, bc.held) })
	}
}

// BenchmarkAlgorithm is one pick among five models, one of them held.
func BenchmarkAlgorithm(b *testing.B) {
	score := func(*resilience.Model) float64 { return 1 }
	for _, a := range []Algorithm{
		TwoChoices, RoundRobin, Weighted, WeightedRandom, LeastInFlight, LeastLatency, Cheapest, Scored, Regional, Priority,
	} {
		b.Run(string(a), func(b *testing.B) {
			benchmarkPick(b, Config{Algorithm: a, Score: score, Region: "eu"}, resilience.CallOptions{}, 5, 2)
		})
	}
	b.Run("affinity", func(b *testing.B) { benchmarkPick(b, Config{}, resilience.CallOptions{Affinity: "a user"}, 5, 2) })
	b.Run("last_resort", func(b *testing.B) { benchmarkPick(b, Config{LastResort: .5}, resilience.CallOptions{}, 5, 2) })
}

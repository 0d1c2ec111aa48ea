package health

import (
	"context"
	"fmt"
	"testing"

	"github.com/cmmv-hive/resilience"
)

// BenchmarkCheck is what a check takes besides the probe: as one of 50 models in the
// background, as one of 5,000, and with its result and score for who asks.
func BenchmarkCheck(b *testing.B) {
	made := func(n int) *Checker {
		c := New(Config{})
		var infos []resilience.ModelInfo
		for i := range n {
			infos = append(infos, resilience.ModelInfo{ID: fmt.Sprint("m", i)})
		}
		pool, err := resilience.NewPool(c, resilience.Models(infos...))
		if err != nil {
			b.Fatal(err)
		}
		client, err := resilience.NewClient(pool, resilience.BindAll(func(context.Context, *resilience.Model, string) (string, error) { return "", nil }))
		if err != nil {
			b.Fatal(err)
		}
		for i := range min(n, 50) {
			for range 20 {
				_, _ = client.Pin(fmt.Sprint("m", i)).Call(b.Context(), "?")
			}
		}
		c.begin()
		c.step()
		return c
	}
	for _, n := range []int{50, 5000} {
		b.Run(fmt.Sprint("background_", n), func(b *testing.B) {
			c := made(n)
			now := c.pool.Now()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				st := c.work.states[i%50]
				c.settle(st, st.judge(now, st.phi(now)))
			}
		})
	}
	b.Run("look_5000", func(b *testing.B) {
		c := made(5000)
		b.ReportAllocs()
		for b.Loop() {
			c.look(c.pool.Now())
		}
	})
	b.Run("asked", func(b *testing.B) {
		c := made(50)
		m := c.pool.Models()[0]
		b.ReportAllocs()
		for b.Loop() {
			c.Check(b.Context(), m)
		}
	})
}

package health_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/health"
)

// A service's models are probed by something cheap, such as their provider's list of
// models, while they are idle or held; its readiness says what is known of them.
func ExampleNew() {
	checker := health.New(health.Config{})
	pool, err := resilience.NewPool(checker,
		resilience.Models(resilience.ModelInfo{ID: "large"}, resilience.ModelInfo{ID: "small"}),
		resilience.Probe(func(ctx context.Context, m *resilience.Model) error {
			if m.ID() == "large" {
				return resilience.Overloaded // client.Models.List(ctx)
			}
			return nil
		}))
	if err != nil {
		panic(err)
	}
	// go pool.Run(ctx) checks each model every 30 s. One can also be checked at once:
	for _, m := range pool.Models() {
		r := checker.Check(context.Background(), m)
		fmt.Printf("%s: %v, score %.2f, probe: %v\n", m, r.Status, r.Score, resilience.KindOf(r.Err))
	}

	ready := httptest.NewRecorder()
	checker.Handler(1).ServeHTTP(ready, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	fmt.Println(ready.Code)
	// Output:
	// large: available, score 0.03, probe: overloaded
	// small: available, score 0.22, probe: ok
	// 200
}

// One caller is watched like several: its health is there to be seen.
func ExampleWrap() {
	model := resilience.FuncOf(func(context.Context, string) (string, error) { return "Rayleigh scattering.", nil })
	chat := health.Wrap(model, health.Config{})
	answer, err := chat.Call(context.Background(), "Why is the sky blue?")
	fmt.Println(answer, err, chat.Models()[0].Status())
	// Output: Rayleigh scattering. <nil> available
}

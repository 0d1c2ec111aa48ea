package balance_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
)

// A provider allows 50 requests a second, and 50 at once; 80 a second come for
// two minutes, at random.
func TestPublishedRateLimit(t *testing.T) {
	const capacity = 50*120 + 50
	for name, c := range map[string]struct {
		headers  bool
		used     float64
		refused  float64
		wasUsed  float64
		wasWrong float64
	}{
		"with headers":    {headers: true, used: 0.99, refused: 0.001, wasUsed: 5972.0 / capacity, wasWrong: 0},
		"without headers": {used: 0.97, refused: 0.05, wasUsed: 6048.0 / capacity, wasWrong: 0.053},
	} {
		t.Run(name, func(t *testing.T) {
			limited(t, balance.LimiterConfig{}, resilience.Limits{}, func(r *limitRig) {
				rng := rand.New(rand.NewPCG(9, 9))
				api := &limitedAPI{rate: 50, burst: 50, headers: c.headers, took: func() time.Duration {
					return 200*time.Millisecond + time.Duration(rng.ExpFloat64()*float64(100*time.Millisecond))
				}}
				r.do = limitGet(api)
				limitPoisson(rand.New(rand.NewPCG(9, 1)), 80, 2*time.Minute, func() { _, _ = r.client.Call(r.Context(), "?") })
				used, wrong := api.sum()
				used /= capacity
				r.Logf("published: rate limit %s, capacity used: measured %.4f, reference %.4f, target %.2f", name, used, c.wasUsed, c.used)
				r.Logf("published: rate limit %s, share of 429s: measured %.4f, reference %.4f, target %.3f", name, wrong, c.wasWrong, c.refused)
				require.GreaterOrEqual(r, used, c.used)
				require.LessOrEqual(r, wrong, c.refused)
				time.Sleep(time.Minute)
			})
		})
	}
}

package degrade_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/degrade"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/internal/simtest"
	"github.com/cmmv-hive/resilience/stack"
)

// An overload is what became of calls while two of five replicas were gone and twice
// as many calls came as the others can serve.
type overload struct {
	asked, served [4]int64 // by priority, of calls that came in the outage
	goodput       float64  // answers over what the replicas that are left can give
	level         degrade.Level
}

func (o overload) lost(p resilience.Priority) int64 { return o.asked[p+1] - o.served[p+1] }

func (o overload) share(p resilience.Priority) float64 {
	return float64(o.served[p+1]) / float64(o.asked[p+1])
}

// draws returns a source of numbers in [0, 1) for any goroutine.
func draws(seed uint64) func() float64 {
	var mu sync.Mutex
	draw := rand.New(rand.NewPCG(seed, 5))
	return func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return draw.Float64()
	}
}

// overloaded plays it. Replicas work on for clients that have left. Rates are calls a
// second by priority.
func overloaded(t *testing.T, seed uint64, rates [4]float64, features ...resilience.Feature) (o overload) {
	t.Helper()
	const (
		replicas, lost, slots = 5, 2, 20
		warm, lasts, settles  = time.Minute, 3 * time.Minute, 20 * time.Second
	)
	synctest.Test(t, func(t *testing.T) {
		var servers []*simtest.Server
		var bindings []resilience.ClientOption[struct{}, struct{}]
		var infos []resilience.ModelInfo
		for i := range uint64(replicas) {
			s := simtest.NewServer(seed*replicas+i, slots, simtest.LogNormal(time.Second, 0.5))
			servers = append(servers, s)
			info := resilience.ModelInfo{ID: fmt.Sprintf("replica-%d", i+1), Limits: resilience.Limits{Concurrency: slots}}
			infos = append(infos, info)
			bindings = append(bindings, resilience.BindFunc(info.ID,
				func(ctx context.Context, _ struct{}) (struct{}, error) { return struct{}{}, s.Do(ctx) }))
		}
		controller := degrade.New(degrade.Config{})
		pool, err := resilience.NewPool(append(features, controller, resilience.Models(infos...), resilience.Seed(rand.NewPCG(seed, 1)))...)
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, bindings...)
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- pool.Run(ctx) }()
		time.AfterFunc(warm, func() {
			for _, s := range servers[:lost] {
				s.Set(simtest.Fault{Hang: true})
			}
		})
		time.AfterFunc(warm+lasts-time.Second, func() { o.level = controller.Level() })
		var answers, all atomic.Int64
		var asked, served [4]atomic.Int64
		start := time.Now()
		total := 0.0
		for _, r := range rates {
			total += r
		}
		draw := draws(seed)
		simtest.Arrive(t.Context(), seed, total, warm+lasts, func(at time.Duration) {
			all.Add(1)
			x, class := draw()*total, 0
			for x >= rates[class] {
				x -= rates[class]
				class++
			}
			if at < warm && class < 2 {
				return // what comes before fits
			}
			if at >= warm+settles {
				asked[class].Add(1)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			_, _, err := client.Do(ctx, struct{}{}, resilience.CallOptions{Priority: resilience.Low + resilience.Priority(class)})
			if err != nil {
				return
			}
			if at >= warm+settles {
				served[class].Add(1)
			}
			if now := time.Since(start); now >= warm+settles && now < warm+lasts {
				answers.Add(1)
			}
		})
		for i := range o.asked {
			o.asked[i], o.served[i] = asked[i].Load(), served[i].Load()
		}
		o.goodput = float64(answers.Load()) / ((replicas - lost) * slots * (lasts - settles).Seconds())
		for _, s := range servers {
			s.Set(simtest.Fault{})
		}
		stop()
		require.NoError(t, <-ran)
	})
	return o
}

// Twice as many calls come as can be served: what is critical loses nothing, lower
// priorities are shed first, and what is left of the capacity is used.
func TestOverload(t *testing.T) {
	seeds := uint64(2)
	if *long {
		seeds = 20
	}
	for seed := range seeds {
		o := overloaded(t, seed, [4]float64{50, 40, 15, 15}, stack.New(stack.Config{}))
		t.Logf("published: degraded, goodput over the capacity that is left: measured %.4f, reference 0.9, target ≥ 0.95", o.goodput)
		t.Logf("published: degraded, critical calls lost at twice the load: measured %d of %d, reference a half, target 0", o.lost(resilience.Critical), o.asked[3])
		t.Logf("seed %d: %v, answered of low %.3f, normal %.3f, high %.3f", seed, o.level, o.share(resilience.Low), o.share(resilience.Normal), o.share(resilience.High))
		require.GreaterOrEqual(t, o.goodput, 0.95)
		require.Zero(t, o.lost(resilience.Critical))
		require.Greater(t, o.share(resilience.High), 0.999)
		require.Less(t, o.share(resilience.Low), 0.1)
		require.Greater(t, o.share(resilience.Normal), 0.6)
		require.GreaterOrEqual(t, o.level, degrade.Moderate)
	}
}

// Without a limiter a reserve leaves room to what is critical: two providers of ten
// places each refuse what is more, and three times as many calls come.
func TestReserve(t *testing.T) {
	for _, c := range []struct {
		reserve       float64
		capacity      int
		critical, low [2]float64 // least and most that is served
	}{
		{0, 10, [2]float64{0.3, 0.8}, [2]float64{0.2, 0.6}},
		{0.3, 10, [2]float64{0.97, 1}, [2]float64{0, 0.05}},
		{0.3, 0, [2]float64{0.3, 0.8}, [2]float64{0.2, 0.6}}, // nothing is known of the room
	} {
		infos := ids("a", "b")
		for i := range infos {
			infos[i].Limits.Concurrency = c.capacity
		}
		degraded(t, degrade.Config{Reserve: c.reserve, Throttle: -1}, infos, func(r *rig) {
			var busy [2]atomic.Int64
			r.do = func(_ context.Context, m *resilience.Model, _ string) (string, error) {
				n := &busy[m.ID()[0]-'a']
				defer n.Add(-1)
				if n.Add(1) > 10 {
					return "", resilience.Overloaded
				}
				time.Sleep(time.Second)
				return "", nil
			}
			var asked, served [4]atomic.Int64
			draw := draws(3)
			simtest.Arrive(r.Context(), 3, 60, 5*time.Minute, func(time.Duration) {
				p := []resilience.Priority{resilience.Low, resilience.Low, resilience.Normal, resilience.Normal, resilience.Normal, resilience.Critical}[int(6*draw())]
				asked[p+1].Add(1)
				if r.ask(p) == nil {
					served[p+1].Add(1)
				}
			})
			share := func(p resilience.Priority) float64 {
				return float64(served[p+1].Load()) / float64(asked[p+1].Load())
			}
			r.Logf("reserve %g: low %.3f normal %.3f critical %.3f", c.reserve, share(resilience.Low), share(resilience.Normal), share(resilience.Critical))
			require.InDelta(r, c.critical[0]+c.critical[1], 2*share(resilience.Critical), c.critical[1]-c.critical[0])
			require.InDelta(r, c.low[0]+c.low[1], 2*share(resilience.Low), c.low[1]-c.low[0])
			if c.reserve > 0 && c.capacity > 0 {
				drain(r.rejects)
				time.Sleep(2 * time.Minute)
				for range 15 {
					r.calls.Go(func() { _ = r.ask(resilience.Low) })
				}
				time.Sleep(2 * time.Second)
				require.Empty(r, drain(r.rejects), "nobody else has come for a while")
			}
		}, fallback.New(fallback.Config{}))
	}
}

// One place is room for one call.
func TestReserveOfOne(t *testing.T) {
	degraded(t, degrade.Config{Reserve: 0.1}, []resilience.ModelInfo{{ID: "a", Limits: resilience.Limits{Concurrency: 1}}}, func(r *rig) {
		require.NoError(r, r.ask(resilience.Critical))
		time.Sleep(time.Second)
		require.NoError(r, r.ask(resilience.Normal))
	})
}

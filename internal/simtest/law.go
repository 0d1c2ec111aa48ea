package simtest

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// A Law draws times.
type Law func(*rand.Rand) time.Duration

// Exponential is a law with this mean.
func Exponential(mean time.Duration) Law {
	return func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * float64(mean)) }
}

// LogNormal is a law with this mean and, sigma being the deviation of the
// logarithm, a tail like that of answers of language models.
func LogNormal(mean time.Duration, sigma float64) Law {
	median := float64(mean) * math.Exp(-sigma*sigma/2)
	return func(r *rand.Rand) time.Duration {
		return time.Duration(median * math.Exp(sigma*r.NormFloat64()))
	}
}

// Arrive calls fn for each arrival of a Poisson process within d, on a goroutine
// of its own, with the time since the beginning. It returns when all have.
func Arrive(ctx context.Context, seed uint64, perSecond float64, d time.Duration, fn func(at time.Duration)) {
	draw, law := rand.New(rand.NewPCG(seed, 0)), Exponential(time.Duration(float64(time.Second)/perSecond))
	var calls sync.WaitGroup
	defer calls.Wait()
	gap := law(draw)
	for at := gap; at < d && ctx.Err() == nil; at += gap {
		time.Sleep(gap)
		calls.Go(func() { fn(at) })
		gap = law(draw)
	}
}

package scoreboard

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmmv-hive/resilience/internal/simtest"
)

// A score is what callers and providers saw of a policy in an incident.
type score struct {
	success   float64       // of the calls that began in the incident, or within a minute after it, the share answered in full
	goodput   float64       // answers a second in the incident ÷ calls a second then, or what the models left can answer
	p50, p99  time.Duration // of those answered
	first     time.Duration // 99th percentile, of the first chunk
	attempts  float64       // a call
	extra     float64       // chunks made ÷ chunks of answers, less one
	recovered time.Duration // after the end, until 99 % of each ten seconds' calls are answered; negative for never
}

// call is one call's record.
type call struct {
	at, first, took time.Duration
	ok              bool
}

// play plays an incident through a policy, in a bubble.
func play(t *testing.T, i incident, p policy, seed uint64) (s score) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var all []*model
		for n := range models {
			all = append(all, newModel(seed, n))
		}
		ask := p.make(t, all, rand.New(rand.NewPCG(seed, 99)))
		i.play(all)
		end := warmUp + i.duration()
		var mu sync.Mutex
		var calls []call
		count := func() (asked, made int64) {
			for _, m := range all {
				m.mu.Lock()
				asked, made = asked+m.asked, made+m.made
				m.mu.Unlock()
			}
			return asked, made
		}
		var asked, made int64
		time.AfterFunc(warmUp, func() { asked, made = count() })
		simtest.Arrive(t.Context(), seed, i.perSecond, end+afterward, func(at time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			start, c := time.Now(), call{at: at}
			err := ask(ctx, func() {
				if c.first == 0 {
					c.first = time.Since(start)
				}
			})
			c.took, c.ok = time.Since(start), err == nil
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, c)
		})
		nowAsked, nowMade := count()
		s = sum(calls, i)
		n, answered := 0, 0
		for _, c := range calls {
			if c.at >= warmUp {
				n++
				if c.ok {
					answered++
				}
			}
		}
		s.attempts = float64(nowAsked-asked) / float64(n)
		s.extra = float64(nowMade-made)/float64(max(answered, 1)*chunks) - 1
		time.Sleep(time.Hour) // what models still do
	})
	return s
}

func sum(calls []call, i incident) (s score) {
	end := warmUp + i.duration()
	var took, first []time.Duration
	n, good, during := 0, 0, 0.0
	const window = 10 * time.Second
	begun, answered := map[time.Duration]float64{}, map[time.Duration]float64{}
	for _, c := range calls {
		begun[c.at/window]++
		if c.ok {
			answered[c.at/window]++
			if done := c.at + c.took; done >= warmUp && done < end {
				during++
			}
		}
		if c.at < warmUp || c.at >= end+time.Minute {
			continue
		}
		n++
		if c.ok {
			good++
			took, first = append(took, c.took), append(first, c.first)
		}
	}
	left := 0.0
	for _, p := range providers {
		if t, ill := i.trouble[p]; !ill || i.flap > 0 || t.slow > 0 || t.cut > 0 {
			left += slots / service.Seconds()
		} else {
			left += t.limit
		}
	}
	s.success = float64(good) / float64(n)
	s.goodput = during / i.duration().Seconds() / max(min(i.perSecond, left), 1)
	s.p50, s.p99, s.first = quantile(took, .5), quantile(took, .99), quantile(first, .99)
	for at := end; at < end+afterward-window; at += window {
		if answered[at/window] < .99*begun[at/window] {
			s.recovered = at - end + window
		}
	}
	if s.recovered >= afterward-window {
		s.recovered = -1
	}
	return s
}

func quantile(list []time.Duration, q float64) time.Duration {
	if len(list) == 0 {
		return math.MaxInt64
	}
	slices.Sort(list)
	return list[int(float64(len(list)-1)*q)]
}

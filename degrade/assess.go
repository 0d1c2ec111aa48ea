package degrade

import (
	"cmp"
	"context"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
)

// sample is what the signals are at now.
func (d *Controller) sample(r *rules, now, since int64) (x sample) {
	x[available] = left(d.pool)
	var failed, asked int64
	d.gauges(func(g *gauge) {
		f, n := g.errors(now, since)
		failed, asked = failed+f, asked+n
	})
	if asked >= errorCalls && failed >= errorFails {
		x[errorRate] = float64(failed) / float64(asked)
	}
	if over := min(int64(errorWindow), now-since); r.timed && d.took.Count(now, over) >= errorCalls {
		x[p95] = float64(d.took.Quantiles(now, over, 0.95)[0])
	}
	if r.burn != nil {
		x[burn] = d.burning(r)
	}
	return x
}

func (d *Controller) gauges(fn func(*gauge)) {
	fn(d.gauge)
	d.named.Range(func(_, g any) bool {
		fn(g.(*gauge))
		return true
	})
}

// maxBurn keeps the infinite out of averages.
const maxBurn = 1e6

func (d *Controller) burning(r *rules) (x float64) {
	defer func() {
		if v := recover(); v != nil {
			d.pool.Log().Error("Config.Burn of degrade panicked", "panic", v)
			x = 0
		}
	}()
	if x = r.burn(); !(x >= 0) {
		return 0
	}
	return min(x, maxBurn)
}

// left is the part of the capacity that is left.
func left(p *resilience.Pool) float64 {
	models := p.Models()
	if len(models) == 0 {
		return 1 // no client has told of one yet
	}
	var usable, whole float64
	for _, m := range models {
		switch m.Status() {
		case resilience.Maintenance:
			continue
		case resilience.Unavailable:
		default:
			usable += m.Weight() * m.Ramp()
		}
		whole += m.Weight()
	}
	if whole == 0 {
		return 0
	}
	return usable / whole
}

// lateAfter is how many intervals late an assessment makes the rest of a sample
// suspect, and how many are left out then: what went wrong meanwhile is this
// process.
const lateAfter = 5

// watch assesses, as long as the pool runs. Its end is that of the level: nobody
// would lower it.
func (d *Controller) watch(ctx context.Context) error {
	d.mu.Lock()
	d.watched = int64(d.pool.Now())
	interval := d.rules.interval
	d.mu.Unlock()
	timer := time.NewTimer(time.Duration(interval))
	defer timer.Stop()
	defer d.change(context.WithoutCancel(ctx), func() string {
		d.ladder = ladder{}
		if ctx.Err() == nil {
			return "assessing has failed"
		}
		return "Pool.Run has ended"
	})
	for {
		select {
		case <-timer.C:
			timer.Reset(time.Duration(d.assess(ctx)))
		case <-ctx.Done():
			return nil
		}
	}
}

// assess takes a sample, and returns how long to wait for the next.
func (d *Controller) assess(ctx context.Context) (wait int64) {
	now := int64(d.pool.Now())
	d.mu.Lock()
	r := d.rules
	dt := now - d.watched
	d.watched = now
	if dt > lateAfter*r.interval && !mutants.On("degrade-believes-what-a-pause-made") {
		d.doubted = now + lateAfter*r.interval
	}
	since := d.doubted
	d.mu.Unlock()
	if now < since {
		return r.interval
	}
	x := d.sample(r, now, since)
	d.change(ctx, func() string { return cmp.Or(d.ladder.step(r, x, min(dt, 2*r.interval)), d.noticed()) })
	return r.interval
}

package chaos

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
)

// A dose is injections that begin and end together.
type dose struct {
	injections []injected
	seed       uint64
	ttl        time.Duration
	gone       map[string]bool // models that leave meanwhile, by ID
	most       int             // models that may be hit at once
	share      float64         // of the attempts that may be struck

	start, until time.Duration // on the pool's clock
	once         sync.Once
	done         chan struct{}
	why          string // it ended; to be read after done
	exceeded     atomic.Bool

	mu            sync.Mutex
	counts        map[string]int64 // attempts of each model
	asked, struck int64            // by any dose
}

// injected is an injection with its defaults, and the models it is about.
type injected struct {
	Injection
	key    string
	models map[string]bool // by ID
}

func (d *dose) end(why string) {
	d.once.Do(func() {
		d.why = why
		close(d.done)
	})
}

// over reports whether nothing is to be struck any more.
func (d *dose) over(now time.Duration) bool {
	select {
	case <-d.done:
		return true
	default:
		return now >= d.until
	}
}

// pass counts an attempt at a model that another dose strikes.
func (d *dose) pass(model string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts[model]++
	d.asked++
	d.struck++
}

// besides notes that another dose strikes an attempt that was counted here.
func (d *dose) besides() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.struck++
}

// meet counts an attempt, and returns what strikes it, or nil.
func (d *dose) meet(i *Injector, c *resilience.Call, m *resilience.Model, now time.Duration) *strike {
	at := now - d.start
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.counts[m.ID()]
	d.counts[m.ID()]++
	d.asked++
	for k := range d.injections {
		x := &d.injections[k]
		if !x.models[m.ID()] || x.Fault.Name == None || x.Fault.Name == Drip && !c.Streams() ||
			!x.When.strikes(d.seed, x.key, m.ID(), n, at) {
			continue
		}
		if d.asked > enough && float64(d.struck+1) > d.share*float64(d.asked) {
			d.exceeded.Store(true)
		}
		d.struck++
		return &strike{injected: x, dose: d, delay: x.delay(d.seed, m.ID(), n, at), inject: i}
	}
	return nil
}

// delay is how late the fault of a model's n-th attempt shows, at t.
func (x *injected) delay(seed uint64, model string, n int64, t time.Duration) time.Duration {
	d := x.Fault.After
	if since := t - x.When.From; x.Grow > 0 {
		d = time.Duration(float64(d) * float64(since%x.Grow) / float64(x.Grow))
	}
	if x.Spread > 0 {
		d += time.Duration(chance(seed, x.key+" after", model, n) * float64(x.Spread))
	}
	return d
}

package resilience

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// work is something that a feature does in the background.
type work struct {
	name string
	run  func(ctx context.Context) error
}

const (
	restartAfter = time.Second // doubles
	restartMax   = time.Minute
)

// Run does the pool's background work until ctx is done, and returns nil after
// all of it has stopped. Work that panics or fails is logged and started again,
// after a second at first and after a minute at most; a panic is an
// [EventPanic] too. A second Run at the same time is an error.
//
// While it runs, a pool notices that the process does not, as when it was stopped for
// a while. Attempts that time out or lose their connection by that, and how long
// those took that went well, count neither for nor against their models.
func (p *Pool) Run(ctx context.Context) error {
	if !p.running.CompareAndSwap(false, true) {
		return errors.New("resilience: the pool is running already")
	}
	defer func() {
		p.running.Store(false)
		now := p.now()
		for _, m := range p.roster.Load().models {
			m.bound(now)
		}
	}()
	var wg sync.WaitGroup
	for _, w := range p.background {
		wg.Go(func() { p.supervise(ctx, w) })
	}
	p.watch(ctx)
	wg.Wait()
	return nil
}

// watch feels the process's pulse until ctx is done.
func (p *Pool) watch(ctx context.Context) {
	defer p.beat.Store(0)
	t := time.NewTicker(pulse)
	defer t.Stop()
	for {
		p.pulse(p.now())
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *Pool) supervise(ctx context.Context, w work) {
	wait := restartAfter
	for {
		began := p.now()
		err := p.once(ctx, w)
		if err == nil || ctx.Err() != nil {
			return
		}
		if p.now()-began > int64(restartMax) {
			wait = restartAfter
		}
		p.log.ErrorContext(ctx, "background work failed", "work", w.name, "err", err, "again", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, restartMax)
	}
}

// once runs w and makes an error of a panic, and of a Goexit.
func (p *Pool) once(ctx context.Context, w work) (err error) {
	returned := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { // of its own, for Goexit to end
		err := errors.New("ended its goroutine")
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("panicked: %v", v)
				p.log.ErrorContext(ctx, "background work panicked", "work", w.name, "panic", v, "stack", string(debug.Stack()))
				p.Emit(ctx, Event{Kind: EventPanic, Reason: w.name, Err: err})
			}
			returned <- err
		}()
		err = w.run(ctx)
	})
	wg.Wait()
	return <-returned
}

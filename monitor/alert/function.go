package alert

import (
	"context"
	"slices"
	"sync"
	"time"
)

// patience is how long a rule's function may take.
const patience = 10 * time.Second

// A functionCall is a rule's function: what it found, and the call under way.
type functionCall struct {
	rule *rule

	mu       sync.Mutex
	subjects []Subject
	began    time.Duration // the call under way, 0 without one
	ended    time.Duration
	failed   bool // the latest did not return
	found    map[string]found
}

type found struct {
	value float64
	ok    bool
}

// functions are the rules' functions that are to be called now.
func (a *Alerts) functions() (list []*functionCall) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	for name := range a.calls {
		if r := a.byName[name]; r == nil || r.Func == nil {
			delete(a.calls, name)
		}
	}
	for _, r := range a.rules {
		if r.Func == nil {
			continue
		}
		c := a.calls[r.name]
		if c == nil {
			c = &functionCall{}
			a.calls[r.name] = c
		}
		c.mu.Lock()
		if c.began == 0 && (c.ended == 0 || now-c.ended >= a.cfg.Interval-gap) {
			c.rule, c.began, c.subjects = r, now, slices.Clone(a.subjects.of[r.Per])
			list = append(list, c)
		}
		c.mu.Unlock()
	}
	return list
}

// call calls the function for all subjects.
func (c *functionCall) call(ctx context.Context, a *Alerts) {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	results, failed := map[string]found{}, true
	c.mu.Lock()
	list, r := c.subjects, c.rule
	c.mu.Unlock()
	guarded(func() {
		for _, s := range list {
			if limited.Err() != nil {
				return
			}
			if len(s.Models) < r.MinModels || !r.concerns(s.Name) {
				continue
			}
			value, ok := r.Func(limited, s)
			results[s.Name] = found{value, ok}
		}
		failed = limited.Err() != nil
	}, func(any) {
		a.pool.Log().ErrorContext(ctx, "a rule's function panicked", "rule", r.name)
	})
	c.mu.Lock()
	c.began, c.ended = 0, a.now()
	if ctx.Err() == nil {
		c.failed = failed
		if !failed {
			c.found = results
		}
	}
	c.mu.Unlock()
	a.stir()
}

// result is what the function found of a subject.
func (c *functionCall) result(s *Subject, now time.Duration) (float64, bool) {
	if c == nil {
		return 0, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.found[s.Name]
	return got.value, got.ok && now-c.ended < max(2*patience, time.Minute+patience)
}

// broken is 1 if the function panicked or does not return.
func (c *functionCall) broken(now time.Duration) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed || c.began != 0 && now-c.began > patience {
		return 1
	}
	return 0
}

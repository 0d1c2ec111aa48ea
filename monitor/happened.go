package monitor

import (
	"context"
	"math"
	"sync"
	"sync/atomic"

	"github.com/cmmv-hive/resilience"
)

// heeded are the events that are counted: none of them belongs to a call that goes
// well.
var heeded = []resilience.EventKind{
	resilience.EventRetry, resilience.EventFallback, resilience.EventHedge, resilience.EventRescue, resilience.EventReject,
	resilience.EventBreaker, resilience.EventHealth, resilience.EventRecovery, resilience.EventConfig, resilience.EventPanic,
	resilience.EventBudget, resilience.EventHold, resilience.EventWarning, resilience.EventRound,
}

// happened is what happened to a model, now and then.
type happened struct {
	retries, fallbacks, hedges, rescues, rejections atomic.Int64

	breaker, health, recovery, holds steps

	told atomic.Int64 // attempts that succeeded
}

// succeeded returns how many attempts did. What is counted while attempts end may be
// short.
func (h *happened) succeeded(counted int64) int64 {
	for {
		told := h.told.Load()
		if counted <= told || h.told.CompareAndSwap(told, counted) {
			return max(counted, told)
		}
	}
}

// steps counts steps by where they lead, which is of a small set.
type steps struct {
	mu   sync.Mutex
	to   []string
	made []int64
}

// most is how many places steps lead to; others are not counted.
const most = 16

func (s *steps) add(to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.to {
		if s.to[i] == to {
			s.made[i]++
			return
		}
	}
	if len(s.to) < most {
		s.to, s.made = append(s.to, to), append(s.made, 1)
	}
}

func (s *steps) each(fn func(to string, n int64)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, to := range s.to {
		fn(to, s.made[i])
	}
}

func (m *Monitor) heed(_ context.Context, e resilience.Event) {
	if e.Would {
		return
	}
	switch e.Kind {
	case resilience.EventConfig:
		if e.Err != nil {
			m.refused.Add(1)
		} else {
			m.applied.Add(1)
		}
		return
	case resilience.EventPanic:
		m.panics.Add(1)
		return
	case resilience.EventBudget:
		m.budgets.Add(1)
		return
	case resilience.EventWarning:
		m.warnings.Add(1)
		return
	case resilience.EventRound:
		m.rounds.add(e.To)
		if e.To != "opened" && e.To != "resumed" {
			m.divided.Store(math.Float64bits(e.Disagreement))
		}
		return
	}
	if e.Model == nil {
		return
	}
	of := m.counts.Of(e.Model)
	switch e.Kind {
	case resilience.EventRetry:
		of.retries.Add(1)
	case resilience.EventFallback:
		of.fallbacks.Add(1)
	case resilience.EventHedge:
		of.hedges.Add(1)
	case resilience.EventRescue:
		of.rescues.Add(1)
	case resilience.EventReject:
		of.rejections.Add(1)
	case resilience.EventBreaker:
		of.breaker.add(e.To)
	case resilience.EventHold:
		if e.Key == "" {
			of.holds.add(e.To)
		}
	case resilience.EventHealth:
		of.health.add(e.To)
	case resilience.EventRecovery:
		of.recovery.add(e.To)
	}
}

// trouble counts the calls of an operation that did not go as they should.
type trouble struct{ failed, canceled, rescued, degraded atomic.Int64 }

func (m *Monitor) read(_ context.Context, r resilience.Report, err error) {
	of := m.ops.of(r.Op, m.config.Load().Names)
	kind := resilience.KindOf(err)
	if err != nil {
		m.failures[kind].Add(1)
	}
	switch {
	case kind == resilience.Canceled:
		of.canceled.Add(1)
	case err != nil:
		of.failed.Add(1)
	case r.Level != "" && !rescued(&r):
		of.degraded.Add(1)
	default:
		of.rescued.Add(1)
	}
}

func rescued(r *resilience.Report) bool {
	return r.Substituted || r.LastResort || r.Rescued || r.Defaulted || len(r.Attempts) > 1
}

// money is what a group of tenants has cost, in billionths of a dollar.
type money struct{ spent atomic.Int64 }

func (m *Monitor) bill(c *resilience.Call, _ *resilience.Model, _ resilience.Usage, dollars float64) {
	group := m.given.TenantGroup(c.Tenant())
	m.groups.of(group, m.config.Load().Names).spent.Add(int64(dollars * 1e9))
}

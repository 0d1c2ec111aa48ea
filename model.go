package resilience

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience/internal/window"
)

// ModelInfo describes a model: one deployment, at one provider. It can be
// changed by a reload while the pool is in use.
type ModelInfo struct {
	ID            string            `json:"id"`
	Name          string            `json:"name,omitempty"` // shared by deployments of the same model; ID
	Provider      string            `json:"provider,omitempty"`
	Region        string            `json:"region,omitempty"` // where it runs; counts as a capability
	Tier          int               `json:"tier,omitempty"`   // lower tiers are tried first
	Weight        float64           `json:"weight,omitempty"` // within a tier; 1
	Capabilities  []string          `json:"capabilities,omitempty"`
	ContextWindow int               `json:"contextWindow,omitempty"` // in tokens; 0 is unknown
	Price         Price             `json:"price,omitzero"`
	Limits        Limits            `json:"limits,omitzero"`
	Labels        map[string]string `json:"labels,omitempty"`

	// Keys are names of keys with which the model can be asked, in turn; see
	// [KeyFrom]. They are names and not the keys themselves: they get into logs. The
	// same name is the same key at all models of a provider.
	Keys []string `json:"keys,omitempty"`
}

// Limits are what the provider allows, as far as it is known; 0 means unknown.
type Limits struct {
	Concurrency       int `json:"concurrency,omitempty"` // attempts at the same time
	RequestsPerMinute int `json:"requestsPerMinute,omitempty"`
	TokensPerMinute   int `json:"tokensPerMinute,omitempty"` // of requests and answers together
}

// A Model is one model of a pool: what it is and how it is doing. Features
// meet here: they read and write Models and do not know each other.
type Model struct {
	id   string
	pool *Pool
	info atomic.Pointer[ModelInfo]

	gate    atomic.Int64  // instant until which m is held; 0 is free
	ramp    atomic.Uint64 // bits of a float64
	weight  atomic.Uint64 // the same, and of info
	stats   *stats
	totals  *totals // nil if no feature wants them
	refusal atomic.Pointer[refusal]
	warned  atomic.Bool // that a client retries by itself
	chain   Handler     // the layers below LayerRoute, down to measure
	fault   Handler     // those below measure, or nil
	plain   access      // without a key
	keys    atomic.Pointer[ring]

	_        line
	inflight atomic.Int64
	queued   atomic.Int64
	capacity atomic.Int64
	full     atomic.Bool
	average  window.EWMA  // of latencies; here, as pickers read both
	errors   window.Share // with what is in flight
	_        line

	probes probes

	mu     sync.Mutex // of what follows; held for moments
	holds  [holders]hold
	states map[any]any // of features, by *PerModel
}

func newModel(p *Pool, info ModelInfo) *Model {
	m := &Model{id: info.ID, pool: p, stats: newStats()}
	m.plain.model = m
	if p.totals {
		m.totals = new(totals)
		m.stats.counts.Keep()
		m.stats.spread.Keep()
	}
	m.describe(info)
	m.ramp.Store(math.Float64bits(1))
	return m
}

func (m *Model) describe(info ModelInfo) {
	if info.Name == "" {
		info.Name = info.ID
	}
	if info.Weight == 0 {
		info.Weight = 1
	}
	m.weight.Store(math.Float64bits(info.Weight))
	m.info.Store(&info)
	m.equip(info)
}

// ID identifies the deployment.
func (m *Model) ID() string { return m.id }

// Name returns the name of the model that m is a deployment of.
func (m *Model) Name() string { return m.info.Load().Name }

// Info returns the description in force. The caller must not modify its map
// and slices.
func (m *Model) Info() ModelInfo { return *m.info.Load() }

// Weight returns Info().Weight. For feature authors.
func (m *Model) Weight() float64 { return math.Float64frombits(m.weight.Load()) }

// bulkPrice is what four million tokens cost, three of them input, and more than
// any price if that is not known.
func (m *Model) bulkPrice() float64 {
	dollars, known := costOf(&m.info.Load().Price, &Usage{Input: 3e6, Output: 1e6})
	if !known {
		return math.Inf(1)
	}
	return dollars
}

// String returns the ID.
func (m *Model) String() string { return m.id }

// Status sums up m for people. [Model.Holds] is the whole truth.
func (m *Model) Status() Status {
	now := m.pool.now()
	if m.free(now) {
		if m.Ramp() < 1 {
			return Degraded
		}
		return Available
	}
	if _, manual, _ := m.until(now); manual {
		return Maintenance
	}
	return Unavailable
}

// Drain takes m out of rotation by hand until the time in by, or until Restore
// if that is zero. Calls under way go on. It fails if by lacks an Actor or a
// Reason, if the time has passed, or if the audit refuses.
func (m *Model) Drain(ctx context.Context, by Control) error {
	if m == nil {
		return errNoModel
	}
	if !by.Until.IsZero() && !by.Until.After(m.pool.wall(m.pool.now())) {
		return &ConfigError{"control.until", "has passed"}
	}
	err := m.pool.Audit(ctx, Change{Control: by, What: "drain", Model: m, From: m.Status().String(), To: Maintenance.String()})
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.holds[HoldManual] = hold{} // a later order counts, even if it ends sooner
	m.regate()
	m.mu.Unlock()
	m.Hold(ctx, Hold{By: HoldManual, Reason: by.Actor + ": " + by.Reason, Until: by.Until})
	return nil
}

// Restore ends a Drain. Other holds stay. It fails as Drain does.
func (m *Model) Restore(ctx context.Context, by Control) error {
	if m == nil {
		return errNoModel
	}
	if err := m.pool.Audit(ctx, Change{Control: by, What: "restore", Model: m, From: m.Status().String()}); err != nil {
		return err
	}
	m.release(ctx, HoldManual, by.Actor+": "+by.Reason)
	return nil
}

// InFlight counts the attempts under way.
func (m *Model) InFlight() int64 { return m.inflight.Load() }

// Queued counts the attempts that wait for room. Queue changes it; for feature
// authors.
func (m *Model) Queued() int64 { return m.queued.Load() }

// Queue adds n to what Queued counts. For feature authors.
func (m *Model) Queue(n int64) { m.queued.Add(n) }

// Capacity is how many attempts m has room for at the same time, as far as it is
// known, or 0.
func (m *Model) Capacity() int64 {
	if n := m.capacity.Load(); n > 0 {
		return n
	}
	return int64(m.info.Load().Limits.Concurrency)
}

// SetCapacity says what Capacity is, 0 if it is not known. For feature authors.
func (m *Model) SetCapacity(n int64) { m.capacity.Store(n) }

// Full reports whether an attempt at m would have to wait for room. Models that
// have room are preferred.
func (m *Model) Full() bool { return m.full.Load() }

// SetFull says whether m is full. For feature authors.
func (m *Model) SetFull(full bool) { m.full.Store(full) }

// Latency is a moving average over the latest attempts that rises at once and
// falls slowly, also with time (peak-EWMA, as in Finagle); 0 before the first.
// Of a stream it takes the time until the first meaningful chunk.
func (m *Model) Latency() time.Duration { return m.LatencyAt(m.pool.Now()) }

// LatencyAt is Latency at an instant of the pool's clock. For feature authors.
func (m *Model) LatencyAt(now time.Duration) time.Duration {
	return time.Duration(m.average.Value(int64(now)))
}

// LatencyAge returns Latency as the latest attempt left it, and how long that was
// before now, an instant of the pool's clock. For feature authors.
func (m *Model) LatencyAge(now time.Duration) (latency, age time.Duration) {
	l, a := m.average.Last(int64(now))
	return time.Duration(l), time.Duration(a)
}

// Errors is the share of the latest attempts that failed for what is not the
// request's doing, limits of the provider among it: a moving average over ten
// attempts that also falls with time, by e in ten seconds.
func (m *Model) Errors() float64 { return m.ErrorsAt(m.pool.Now()) }

// ErrorsAt is Errors at an instant of the pool's clock. For feature authors.
func (m *Model) ErrorsAt(now time.Duration) float64 { return m.errors.Value(int64(now)) }

// Stats describes the attempts that ended within window, rounded up to ten
// seconds and at most five minutes. Quantiles may take in one minute more.
func (m *Model) Stats(window time.Duration) CallStats { return m.stats.sum(m.pool.now(), window) }

// Ramp is the part of its normal traffic that m gets, from 0 to 1.
func (m *Model) Ramp() float64 { return math.Float64frombits(m.ramp.Load()) }

// SetRamp changes the part of its normal traffic that m gets; it is clamped to
// 0 … 1. For feature authors.
func (m *Model) SetRamp(f float64) {
	if !(f >= 0) {
		f = 0
	}
	m.ramp.Store(math.Float64bits(min(f, 1)))
}

// has reports whether m has all of capabilities. Its region is one.
func (m *Model) has(capabilities []string) bool {
	info := m.info.Load()
	for _, c := range capabilities {
		if !slices.Contains(info.Capabilities, c) && (c != info.Region || c == "") {
			return false
		}
	}
	return true
}

// Status is a model's state as shown to people.
type Status uint8

// The states of a model.
const (
	Available   Status = iota
	Degraded           // in rotation, with less than its normal traffic
	Unavailable        // held
	Maintenance        // held by hand
)

// String returns the state's name.
func (s Status) String() string {
	names := [...]string{"available", "degraded", "unavailable", "maintenance"}
	if int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}

// PerModel holds a feature's own state for each model, as long as the model
// lives. The zero value is ready to use. For feature authors.
type PerModel[T any] struct{ _ [1]byte }

// Of returns m's value, made with its zero value on first use. Features take
// it while chains are built, not on every call.
func (p *PerModel[T]) Of(m *Model) *T {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.states[p].(*T); ok {
		return v
	}
	v := new(T)
	if m.states == nil {
		m.states = map[any]any{}
	}
	m.states[p] = v
	return v
}

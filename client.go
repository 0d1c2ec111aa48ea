package resilience

import (
	"context"
	"errors"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
)

// A Client calls whichever of a pool's models is best placed to answer, with
// every feature of the pool in effect. It is a [ModelCaller].
type Client[Req, Resp any] struct {
	*binding[Req, Resp]
	pinned string
	whole  bool // made by Wrap, which may add to it
}

// binding is what the pinned and unpinned forms of a client share.
type binding[Req, Resp any] struct {
	pool    *Pool
	bound   []Binding[Req, Resp]
	hooks   Hooks[Req, Resp]
	nilness nilness
	streams bool

	mu   sync.Mutex // of those who build a view
	view atomic.Pointer[view[Req, Resp]]
}

type call[Req, Resp any] func(context.Context, *Model, Req) (Resp, error)

// view is a client's table of one generation, with a caller at each position.
type view[Req, Resp any] struct {
	*table
	binding *binding[Req, Resp]
	calls   []call[Req, Resp]
}

// NewClient returns a client of pool. Its options are bindings ([Bind],
// [BindFunc], [BindProvider], [BindAll]) and, if wanted, [Hooks]. A binding by ID
// wins over one by provider, and that over one of all. What is wrong is reported
// at once, as joined errors of type [*ConfigError].
func NewClient[Req, Resp any](pool *Pool, opts ...ClientOption[Req, Resp]) (*Client[Req, Resp], error) {
	if pool == nil {
		return nil, &ConfigError{"client", "has no pool"}
	}
	b := &binding[Req, Resp]{pool: pool}
	b.nilness = nilnessOf(reflect.TypeFor[Resp]().Kind())
	var none Resp
	_, b.streams = any(none).(running)
	var errs []error
	for i, o := range opts {
		if o == nil {
			errs = append(errs, &ConfigError{"client", "option " + strconv.Itoa(i+1) + " is nil"})
			continue
		}
		errs = append(errs, o.apply(b))
	}
	if len(b.bound) == 0 {
		errs = append(errs, &ConfigError{"client", "binds no model; give it a Bind, BindFunc or BindProvider"})
	}
	var ids, providers []string
	all := false
	for _, bound := range b.bound {
		switch {
		case bound.all:
			all = true
		case bound.id != "":
			ids = append(ids, bound.id)
		default:
			providers = append(providers, bound.provider)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := pool.bind(ids, providers, all); err != nil {
		return nil, err
	}
	return &Client[Req, Resp]{binding: b}, nil
}

// A ClientOption is a [Binding] or [Hooks].
type ClientOption[Req, Resp any] interface {
	apply(*binding[Req, Resp]) error
}

// A Binding says how a client calls one model or all of a provider's.
type Binding[Req, Resp any] struct {
	id, provider string
	all          bool // the pool's models
	call         call[Req, Resp]
}

func (bd Binding[Req, Resp]) apply(b *binding[Req, Resp]) error {
	path, what := "client.bind", bd.id
	switch {
	case bd.all:
		path, what = "client", "bindAll"
	case bd.id == "":
		path, what = "client.bindProvider", bd.provider
	}
	if what == "" {
		return &ConfigError{"client", "a model's ID or a provider's name is empty"}
	}
	if bd.call == nil {
		return &ConfigError{path + "." + what, "the caller is nil"}
	}
	for _, other := range b.bound {
		if other.id == bd.id && other.provider == bd.provider && other.all == bd.all {
			return &ConfigError{path + "." + what, "is bound twice"}
		}
	}
	b.bound = append(b.bound, bd)
	return nil
}

// Bind binds the model with this ID to caller. A pool that was given [Models],
// or a [ConfigFile] that has them, accepts their IDs alone; any other pool
// learns IDs from bindings.
func Bind[Req, Resp any](id string, caller ModelCaller[Req, Resp]) Binding[Req, Resp] {
	if caller == nil {
		return Binding[Req, Resp]{id: id}
	}
	if fn, ok := caller.(Func[Req, Resp]); ok {
		return BindFunc(id, fn)
	}
	return BindFunc(id, caller.Call)
}

// BindFunc is [Bind] for a function.
func BindFunc[Req, Resp any](id string, fn Func[Req, Resp]) Binding[Req, Resp] {
	if fn == nil {
		return Binding[Req, Resp]{id: id}
	}
	return Binding[Req, Resp]{id: id, call: func(ctx context.Context, _ *Model, req Req) (Resp, error) {
		return fn(ctx, req)
	}}
}

// BindProvider binds every model of a provider, present or added later by a
// reload, to a function that is told which model to call.
func BindProvider[Req, Resp any](
	provider string, fn func(ctx context.Context, m *Model, req Req) (Resp, error),
) Binding[Req, Resp] {
	return Binding[Req, Resp]{provider: provider, call: fn}
}

// BindAll is [BindProvider] for every model of the pool that no other binding of
// the client has.
func BindAll[Req, Resp any](fn func(ctx context.Context, m *Model, req Req) (Resp, error)) Binding[Req, Resp] {
	return Binding[Req, Resp]{all: true, call: fn}
}

// current returns the client's view of the pool's models, rebuilt once after
// each change of them. A call keeps the view that it began with.
func (b *binding[Req, Resp]) current() *view[Req, Resp] {
	roster, v := b.pool.roster.Load(), b.view.Load()
	if v != nil && v.roster.generation == roster.generation {
		return v
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if v = b.view.Load(); v != nil && v.roster.generation >= roster.generation {
		return v
	}
	v = b.look(roster)
	b.view.Store(v)
	return v
}

func (b *binding[Req, Resp]) look(roster *roster) *view[Req, Resp] {
	v := &view[Req, Resp]{binding: b}
	var models []*Model
	ids, providers := map[string]bool{}, map[string]bool{}
	for _, bd := range b.bound {
		ids[bd.id] = true
		if bd.provider != "" {
			providers[bd.provider] = true
		}
	}
	for _, bd := range b.bound {
		if bd.id != "" {
			if m := roster.byID[bd.id]; m != nil {
				models, v.calls = append(models, m), append(v.calls, bd.call)
			}
			continue
		}
		for _, m := range roster.models {
			provider := m.info.Load().Provider
			if !ids[m.id] && (provider == bd.provider || bd.all && !providers[provider]) {
				models, v.calls = append(models, m), append(v.calls, bd.call)
			}
		}
	}
	plain := b.hooks.Tokens == nil && b.hooks.Output == nil && b.hooks.Cost == nil
	v.table = newTable(stem{owner: v, roster: roster, plain: plain}, models)
	return v
}

// Call sends req with the default options.
func (c *Client[Req, Resp]) Call(ctx context.Context, req Req) (Resp, error) {
	return c.send(ctx, req, nil, nil)
}

// Do sends req with opts and also reports how the answer came about. The
// report is filled in whether or not the call succeeds.
func (c *Client[Req, Resp]) Do(ctx context.Context, req Req, opts CallOptions) (Resp, Report, error) {
	var rep Report
	resp, err := c.send(ctx, req, &opts, &rep)
	return resp, rep, err
}

// Pin returns a client of the one model with this ID: still protected, never
// rerouted. Calls of an ID that is not bound fail as [NotFound].
func (c *Client[Req, Resp]) Pin(id string) *Client[Req, Resp] {
	return &Client[Req, Resp]{binding: c.binding, pinned: id}
}

// Name returns the name of the one model that c has, and "" if it has several.
// Wrappers around c go by it.
func (c *Client[Req, Resp]) Name() string {
	models := c.Models()
	if len(models) != 1 || models[0].id == unnamed {
		return ""
	}
	return models[0].id
}

// Pool returns the client's pool.
func (c *Client[Req, Resp]) Pool() *Pool { return c.pool }

// Models returns the models bound to c now, in the order of tier, then of
// binding.
func (c *Client[Req, Resp]) Models() []*Model {
	t := c.current().table
	if c.pinned != "" {
		if t = t.one(c.pinned); t == nil {
			return nil
		}
	}
	models := make([]*Model, len(t.entries))
	for i, e := range t.entries {
		models[i] = e.model
	}
	return models
}

package resilience

import "context"

// unprotected is what a caller gets while the library is out of the path: a key
// all the same.
func unprotected(ctx context.Context, m *Model, opts *CallOptions) context.Context {
	by := &m.plain
	if name := brought(ctx, opts); name != "" {
		by = owned(m, name)
	} else if m.keys.Load() != nil {
		by = m.access(m.pool.now())
	}
	if by.key == nil && KeyFrom(ctx) == "" {
		return ctx
	}
	return keyed{ctx, by}
}

// brought returns the caller's own key for a call that is made with ctx.
func brought(ctx context.Context, opts *CallOptions) string {
	if opts != nil && opts.Key != "" {
		return opts.Key
	}
	switch from := ctx.Value(callKey{}).(type) {
	case *Call:
		return from.own()
	case *ambient:
		if from.opts != nil && from.opts.Key != "" {
			return from.opts.Key
		}
		if from.call != nil {
			return from.call.own()
		}
	}
	return ""
}

// keyed is a context outside of an attempt that has a key.
type keyed struct {
	context.Context
	by *access
}

// Value implements [context.Context].
func (k keyed) Value(of any) any {
	if _, ok := of.(keyKey); ok {
		return k.by
	}
	return k.Context.Value(of)
}

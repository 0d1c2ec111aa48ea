package resilience

import (
	"context"
	"errors"
	"time"

	"github.com/cmmv-hive/resilience/internal/classify"
)

// KindOf returns the kind of any error, zero for nil.
//
// It knows contexts, net errors, this package's errors and those of the common
// SDKs by their shape. A provider's code or type decides before the message,
// and the message before the status. See [Classify].
func KindOf(err error) Kind {
	switch e := err.(type) {
	case nil:
		return 0
	case *Error:
		return e.Kind
	case *ExhaustedError:
		return e.Kind
	case *rejection, *BudgetError:
		return Rejected
	case Kind:
		return e
	}
	if k := ours(err); k != 0 {
		return k
	}
	return Kind(classify.Of(err, time.Now()).Kind)
}

// ours returns the kind of an error that carries one, or zero.
func ours(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	if e, ok := errors.AsType[*ExhaustedError](err); ok {
		return e.Kind
	}
	if k, ok := errors.AsType[Kind](err); ok {
		return k
	}
	if _, ok := errors.AsType[*rejection](err); ok {
		return Rejected
	}
	if _, ok := errors.AsType[*BudgetError](err); ok {
		return Rejected
	}
	if f, ok := errors.AsType[*flawed](err); ok {
		return f.kind
	}
	return 0
}

// kindOf asks the pool's own rules first, and falls back on what the built-in
// ones found.
func (p *Pool) kindOf(err error, builtin Kind) Kind {
	for _, rule := range p.rules {
		if k := rule(err); k != 0 {
			return k
		}
	}
	if k := ours(err); k != 0 {
		return k
	}
	return builtin
}

// RetryAfter returns how long the provider that err came from, or this
// package, asked to wait; 0 if that is not known.
func RetryAfter(err error) time.Duration {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*ExhaustedError](err); ok {
		return e.RetryAfter
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	if r, ok := errors.AsType[*rejection](err); ok {
		return r.after
	}
	if b, ok := errors.AsType[*BudgetError](err); ok {
		return b.RetryAfter
	}
	return classify.Of(err, time.Now()).RetryAfter
}

// HTTPStatus returns the status with which a handler should pass on err, 200
// for nil, and what to say in Retry-After, if anything. What is wrong with the
// service's own keys, quota or models is not the client's fault: it is a 502 or
// 503, or 429 where the providers' limits or a budget are all that keeps models
// from being asked. A name that no model has is a 404. A caller that went away gets 499, as
// nginx has it; one whose deadline passed gets 504,
// that of a [Budget] included.
func HTTPStatus(err error) (code int, retryAfter time.Duration) {
	k := KindOf(err)
	if k == Canceled && errors.Is(err, context.DeadlineExceeded) {
		return TimedOut.rule().status, 0
	}
	if e, ok := errors.AsType[*BudgetError](err); ok && k == Rejected && e.Resource == "deadline" {
		return TimedOut.rule().status, 0
	}
	switch code = k.rule().status; code {
	case 429, 503:
		if retryAfter = RetryAfter(err); k == Rejected && limited(err) {
			code = 429
		}
	case 502:
		if e, ok := errors.AsType[*Error](err); ok && k == NotFound && e.Model == "" {
			code = 404 // the name is the caller's
		}
	}
	return code, retryAfter
}

// limited reports whether no model was asked, since a limit held each, or for
// want of budget.
func limited(err error) bool {
	if e, ok := errors.AsType[*BudgetError](err); ok {
		return e.Resource != "price" // which no waiting mends
	}
	all, ok := errors.AsType[*ExhaustedError](err)
	if !ok || len(all.Attempts) > 0 || len(all.Skipped) == 0 {
		return false
	}
	for _, v := range all.Skipped {
		held := false
		for _, h := range v.Holds {
			if h.Key != "" && !v.own {
				continue
			}
			if held = true; h.By != HoldLimit {
				return false
			}
		}
		if !held {
			return false
		}
	}
	return true
}

// Package resilience keeps a service answering while the AI models behind it
// fail, slow down, throttle or disappear.
//
// There are three things to know.
//
// A [ModelCaller] sends one request to one model. It comes from a provider's
// SDK ([SDK]), from a function ([FuncOf]) or is a type of your own; the request
// and response types are yours.
//
// A [Pool] is a set of models and the features that protect them: breaker,
// retry, fallback, balance, each in a package of its own, or all of them as
// package stack puts them together. A feature's place in the stack is fixed, so
// the order in which features are listed does not matter.
//
// A [Client] binds callers to the pool's models and is itself a ModelCaller.
// Clients of different types (chat, embeddings) may share a pool, and so share
// what is known about each model.
//
// An SDK that takes an [net/http.Client] is best given one with [Tap], or with
// [Pool.Transport], which protects it without a Client.
//
// # One wrapper
//
// The features have Wrap functions, which nest as middleware does:
//
//	chat := retry.Wrap(breaker.Wrap(caller, breaker.Config{}), retry.Config{})
//	answer, err := chat.Call(ctx, "Why is the sky blue?")
//
// # One stack
//
//	pool, err := resilience.NewPool(stack.New(stack.Config{}))
//	chat, err := resilience.NewClient(pool,
//		resilience.BindFunc("gpt-5", askGPT),
//		resilience.BindFunc("claude-sonnet-5", askClaude))
//
// # One file
//
// [ConfigFile] declares models and settings in JSON and applies changes while
// the pool is in use.
//
// # Keys
//
// A model may have several keys, and a caller may bring his own. The library
// knows their names; whoever asks the model looks the key up by [KeyFrom]. With
// [ModelInfo].Keys attempts take the keys in turn. One that is refused
// ([Unauthorized]), spent or limited is held and, if the provider surely did not
// accept the request, the attempt is made again by the next free one, at once and
// at no cost to any budget, also with [CallOptions].Once; of a stream, before its
// first chunk.
//
// What is refused or spent is so for all models of the provider; a limit, and a
// refusal with status 403, is of the one model. A limited key is held as long as
// the provider says, or for a second that doubles up to a minute until it is
// answered; a spent one likewise, or for a minute up to an hour. A refused one is
// held until it is answered again, which is tried only where no other key of a
// model is free: then all refused keys of the provider are free again. So are
// refused and spent ones after [Pool.Reset] and [Pool.Reload].
//
// One [EventHold] with a Key, and for a refused or spent one a line of log, tells
// of it. A model is held only when all of its keys are: see [Call.Hold].
// [CallOptions].Key names a caller's own key.
//
// # Settings
//
// The zero value of every Config means the defaults. Where a default is not
// zero, a negative value means off. A Config with an Ops or a Models map can be
// different for calls of one [CallOptions].Op or for one model's name or ID:
// fields set there lie over the fields beside the map, and Models lies over
// Ops.
//
// With ObserveOnly a feature counts and reports what it would have done.
//
// Calls never need [Pool.Run]; it adds what happens between calls, such as
// configuration reloads.
//
// All types are safe for concurrent use unless they say otherwise.
//
// # Writing a feature
//
// Users of the package can skip what is marked "For feature authors":
// [Feature], [Setup], [Layer], [Handler], [Call], [Route], [Race], [Picker],
// [Candidates], [PerModel], and the methods of [Model] and [Pool] so marked.
package resilience

import (
	"context"
	"slices"
	"strconv"
)

// A ModelCaller sends a request to an AI model and waits for its response.
//
// Call must honor ctx, since deadlines work by canceling it, and must not
// modify req, which may be sent again, and at the same time to other models. Ctx
// ends when Call returns: what is returned is a whole answer or a [Stream], not
// a response whose body is still to be read. A nil pointer, map, function,
// channel or interface with a nil error has failed as [Malformed].
type ModelCaller[Req, Resp any] interface {
	Call(ctx context.Context, req Req) (Resp, error)
}

// Func is a function used as a [ModelCaller]. See [FuncOf].
type Func[Req, Resp any] func(ctx context.Context, req Req) (Resp, error)

// Call calls f(ctx, req).
func (f Func[Req, Resp]) Call(ctx context.Context, req Req) (Resp, error) { return f(ctx, req) }

// FuncOf makes a caller of a function. Unlike a conversion to [Func] it needs
// no type arguments.
func FuncOf[Req, Resp any](call func(context.Context, Req) (Resp, error)) Func[Req, Resp] {
	return call
}

// SDK makes a caller of an SDK's method, with the options to call it with. The
// SDK must not retry by itself.
//
//	resilience.SDK(client.Chat.Completions.New, option.WithMaxRetries(0))
func SDK[Req, Resp, Opt any](method func(context.Context, Req, ...Opt) (Resp, error), opts ...Opt) Func[Req, Resp] {
	if method == nil {
		return nil
	}
	return func(ctx context.Context, req Req) (Resp, error) { return method(ctx, req, opts...) }
}

// Adapt turns a caller of a provider's types into one of yours, so that models
// of different providers can stand in for each other. In sees the model that
// is about to be asked, nil outside of a pool, and leaves out what only another
// provider understands: signatures, response IDs, cached prefixes. An error of
// in is [Invalid], one of out [Malformed], unless it has a [Kind].
func Adapt[Req, Resp, PReq, PResp any](
	call Func[PReq, PResp],
	in func(ctx context.Context, m *Model, req Req) (PReq, error),
	out func(PResp) (Resp, error),
) Func[Req, Resp] {
	if call == nil || in == nil || out == nil {
		return nil
	}
	return func(ctx context.Context, req Req) (resp Resp, err error) {
		var m *Model
		if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
			m = a.model
		}
		preq, err := in(ctx, m, req)
		if err != nil {
			return resp, withKind(Invalid, err, "the request cannot be converted")
		}
		presp, err := call(ctx, preq)
		if err != nil {
			return resp, err
		}
		resp, err = out(presp)
		if err != nil {
			return resp, withKind(Malformed, err, "the answer cannot be converted")
		}
		return resp, nil
	}
}

// Middleware decorates a caller with something that must see its types: prompt
// rewriting, redaction, logging. Around a client it sees each call; around a
// caller given to [Bind] it sees each attempt at that model. Protection is a
// [Feature] instead.
type Middleware[Req, Resp any] func(next ModelCaller[Req, Resp]) ModelCaller[Req, Resp]

// Chain wraps caller in mw; the first middleware is the outermost.
func Chain[Req, Resp any](caller ModelCaller[Req, Resp], mw ...Middleware[Req, Resp]) ModelCaller[Req, Resp] {
	for _, m := range slices.Backward(mw) {
		caller = m(caller)
	}
	return caller
}

// Wrap protects one caller: a client of a pool of one model, named by the
// caller's Name method if it has one, and "model" otherwise.
//
// Wrapping what Wrap returned adds features to the same pool, so wrappers may
// nest in any order, each feature once; it is done before the first call. Wrap
// panics if a
// feature is misconfigured, as regexp.MustCompile does; settings from outside
// the program go through [NewPool], which returns an error.
func Wrap[Req, Resp any](caller ModelCaller[Req, Resp], features ...Feature) *Client[Req, Resp] {
	if c, ok := caller.(*Client[Req, Resp]); ok && c.whole {
		if err := c.pool.install(features); err != nil {
			panic(err)
		}
		return c
	}
	return wrap([]ModelCaller[Req, Resp]{caller}, unnamed, features)
}

// WrapAll protects callers that can stand in for each other. They are named
// "1", "2" and so on, unless they have a Name method. One that is wrapped
// already keeps its own pool; its calls join the budget of the outer call.
// WrapAll panics as [Wrap] does.
func WrapAll[Req, Resp any](callers []ModelCaller[Req, Resp], features ...Feature) *Client[Req, Resp] {
	return wrap(callers, "", features)
}

// unnamed is the ID of a caller that does not name itself.
const unnamed = "model"

func wrap[Req, Resp any](callers []ModelCaller[Req, Resp], name string, features []Feature) *Client[Req, Resp] {
	pool, err := NewPool(features...)
	if err != nil {
		panic(err)
	}
	var opts []ClientOption[Req, Resp]
	for i, caller := range callers {
		id := name
		if id == "" {
			id = strconv.Itoa(i + 1)
		}
		if named, ok := caller.(interface{ Name() string }); ok && named.Name() != "" {
			id = named.Name()
		}
		opts = append(opts, Bind(id, caller))
	}
	c, err := NewClient(pool, opts...)
	if err != nil {
		panic(err)
	}
	c.whole = true
	return c
}

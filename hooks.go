package resilience

// Hooks tell a client what it may know about its types. All are optional, and
// none may modify what it is given. They run on the call's goroutine; what
// they panic with passes through.
type Hooks[Req, Resp any] struct {
	// Usage reports the tokens that a response cost. What [ReportUsage] was
	// told wins.
	Usage func(Req, Resp) Usage
	// Cost reports in US dollars what the model's [Price] cannot say: fees for
	// tools and searches, batches. It is asked where there is a usage, of
	// every attempt, and for estimates; Resp is the zero value if there is none,
	// as it is of streams.
	// A zero is no reason to let a call pass whose budget is spent: that takes a
	// Price that is Free.
	Cost func(*Model, Req, Resp, Usage) float64
	// Validate rejects a response that arrived but is no good. Its error counts
	// as [Malformed] unless it has a [Kind] of its own, and never against the
	// model's breaker, whatever its kind.
	Validate func(Req, Resp) error
	// Revise returns the request to make after Validate has rejected resp with
	// err, so that the model is told what was wrong. With it the same model is
	// asked once more, by a pool that retries, before others are; they get the
	// revised request, too. Of a stream, resp is over. It must not modify req.
	Revise func(req Req, resp Resp, err error) Req
	// Tokens estimates the tokens that a request takes, with its answer, for
	// limits and budgets. Output is how many of them are the answer's, at most,
	// such as the request's max_tokens; without it all of them are priced as the
	// dearer of input and output.
	Tokens func(Req) int
	Output func(Req) int
	// Reduce returns a request that asks for less, by a step of 1, 2 or more, each
	// less than the one before: a shorter answer, less context, a smaller batch.
	// It is used while the service is degraded, with the request as the caller made
	// it, which it must not modify. What Validate demands stays.
	Reduce func(req Req, step int) Req
	// Default answers when every model failed and the caller still waits.
	Default func(Req, error) (Resp, error)
}

func (h Hooks[Req, Resp]) apply(b *binding[Req, Resp]) error {
	if h := b.hooks; !h.empty() {
		return &ConfigError{"client.hooks", "are given twice"}
	}
	b.hooks = h
	return nil
}

func (h *Hooks[Req, Resp]) empty() bool {
	return h.Usage == nil && h.Cost == nil && h.Validate == nil && h.Revise == nil &&
		h.Reduce == nil && h.Tokens == nil && h.Output == nil && h.Default == nil
}

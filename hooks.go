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
	// every attempt; Resp is the zero value if the attempt brought none.
	Cost func(*Model, Req, Resp, Usage) float64
	// Validate rejects a response that arrived but is no good. Its error counts
	// as [Malformed], which says nothing against the model, unless it has a
	// [Kind] of its own.
	Validate func(Req, Resp) error
	// Tokens estimates the tokens that a request takes, with its answer, for
	// limits in tokens a minute.
	Tokens func(Req) int
	// Default answers when every model failed and the caller still waits.
	Default func(Req, error) (Resp, error)
}

func (h Hooks[Req, Resp]) apply(b *binding[Req, Resp]) error {
	if h := b.hooks; h.Usage != nil || h.Cost != nil || h.Validate != nil || h.Tokens != nil || h.Default != nil {
		return &ConfigError{"client.hooks", "are given twice"}
	}
	b.hooks = h
	return nil
}

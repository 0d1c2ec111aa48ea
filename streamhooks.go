package resilience

// StreamHooks tell what the chunks of a source of streams mean. They are given
// with the source, since end markers do not survive conversion. All are
// optional.
//
// Resume and Text let a stream that breaks after its reader has got some of it
// go on; see [Stream.All]. They speak of the client's types, so where these
// are adapted they go with [AdaptStream].
type StreamHooks[Req, Chunk any] struct {
	// Meaningful reports whether a chunk carries part of the answer, unlike
	// keep-alives and roles. Without it all do, also the role with which OpenAI's
	// streams begin, and what breaks after that is no longer retried.
	Meaningful func(Chunk) bool
	// Terminal reports whether a chunk ends a whole answer. A stream that ends
	// without one is [Truncated]. Without Terminal any end will do.
	Terminal func(Chunk) bool
	// Usage reports the tokens that a chunk tells of, if it does. Of several
	// reports the last number counts that is not 0, field by field.
	Usage func(Chunk) (Usage, bool)

	// Resume returns a request for the rest of an answer that broke off after
	// delivered, such as one whose last message is the text so far, or false if
	// there is none. It must not keep delivered. The reader gets all chunks of
	// what is asked for then, its opening ones too, and as they come: whether it
	// is the rest is not looked at. An end marker alone is a rest.
	Resume func(req Req, delivered []Chunk) (Req, bool)
	// Text returns where a chunk holds its part of the text, or nil: a pointer
	// into the chunk, since what was delivered is cut off there. With it an
	// answer that broke off is asked for once more, and goes on if it begins word
	// for word with what was delivered. That pays where answers are repeated, by
	// a cache or a temperature of 0. A chunk that is meaningful without a text,
	// such as a tool's call, cannot be compared.
	Text func(*Chunk) *string
}

// marks are StreamHooks without the request's type.
type marks[Chunk any] struct {
	meaningful func(Chunk) bool // always set
	terminal   func(Chunk) bool
	usage      func(Chunk) (Usage, bool)
	resume     func(req any, delivered []Chunk) (any, bool)
	text       func(*Chunk) *string
}

func marksOf[Req, Chunk any](hooks []StreamHooks[Req, Chunk]) marks[Chunk] {
	m := marks[Chunk]{meaningful: func(Chunk) bool { return true }}
	for _, h := range hooks {
		if h.Meaningful != nil {
			m.meaningful = h.Meaningful
		}
		if h.Terminal != nil {
			m.terminal = h.Terminal
		}
		if h.Usage != nil {
			m.usage = h.Usage
		}
		if h.Text != nil {
			m.text = h.Text
		}
		if h.Resume != nil {
			m.resume = func(req any, delivered []Chunk) (any, bool) {
				own, ok := req.(Req)
				if !ok {
					return nil, false
				}
				return h.Resume(own, delivered)
			}
		}
	}
	return m
}

package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

// answer is what both models say.
const answer = `The sky looks blue because air scatters short waves of light far more than long ones. ` +
	`Sunlight holds all colors; the blue part is thrown about and reaches the eye from all over, ` +
	`while red and yellow go straight on. At dusk the path through the air is longer, most blue is lost on it, ` +
	`and what remains is red.`

// A way is something that may happen to the preferred model's streams.
type way struct {
	name    string
	fault   chaos.Fault
	holding time.Duration // the beginning back
	refused bool          // what the other model does with a request to continue
	plain   bool          // no hooks for a rescue
}

var cutAfter40 = way{name: "ends after 40 words", fault: chaos.Fault{Name: chaos.Cut, Tokens: 40}}

var ways = []way{
	{name: "is well"},
	{name: "is overloaded", fault: chaos.Fault{Name: chaos.Overloaded}},
	{name: "is overloaded, as a stream that began well tells", fault: chaos.Fault{Name: chaos.StreamError}},
	{name: "sends headers, and then keep-alives for 20 s", fault: chaos.Fault{Name: chaos.SlowStart, KeepAlive: 50 * time.Millisecond}},
	{name: "is silent after 20 words", fault: chaos.Fault{Name: chaos.Stall, Tokens: 20}},
	{name: "drips", fault: chaos.Fault{Name: chaos.Drip, Pace: 100 * time.Millisecond}},
	{name: "sends an event that is no JSON", fault: chaos.Fault{Name: chaos.Malformed, Tokens: 10}},
	{name: "sends two of them in a row", fault: chaos.Fault{Name: chaos.Malformed, Tokens: 10, Times: 2}},
	{name: "forgets [DONE]", fault: chaos.Fault{Name: chaos.NoDone}},
	cutAfter40,
	{name: "ends after 40 words, held back for 1 s", fault: chaos.Fault{Name: chaos.Cut, Tokens: 40}, holding: time.Second},
	{name: "ends after 40 words, and the other does not continue", fault: chaos.Fault{Name: chaos.Cut, Tokens: 40}, refused: true},
	{name: "ends after 40 words, and no hook says what to do", fault: chaos.Fault{Name: chaos.Cut, Tokens: 40}, plain: true},
}

// A result is what a reader got, and how.
type result struct {
	words    int
	attempts []string
	err      error // that ended the stream
}

// play lets a way happen, and prints what the reader gets.
func (w way) play(ctx context.Context, out io.Writer) (result, error) {
	first := chaos.Model{Name: "atlas-large", Text: answer, Rate: chaos.Always(100)}
	if w.fault.Name != chaos.None {
		first.Failures = []chaos.Failure{{Fault: w.fault, Share: 1}}
	}
	second := chaos.Model{Name: "boreal-chat", Text: answer, Rate: chaos.Always(100), NoPrefill: w.refused}
	p, err := chaos.NewProvider(chaos.ProviderConfig{Models: []chaos.Model{first, second}})
	if err != nil {
		return result{}, err
	}
	defer p.Close()
	chat, err := w.protect(p)
	if err != nil {
		return result{}, err
	}
	stream, err := chat.Call(ctx, ChatRequest{Messages: []Message{{"user", "Why is the sky blue?"}}})
	if err != nil {
		return result{}, err
	}
	var r result
	model := stream.Model()
	for chunk, err := range stream.All() {
		if err != nil {
			r.err = err
			break
		}
		if now := stream.Model(); now != model {
			fmt.Fprintf(out, "\n  (%s → %s)\n", model, now)
			model = now
		}
		fmt.Fprint(out, *text(&chunk))
		r.words += len(strings.Fields(*text(&chunk)))
	}
	for _, a := range stream.Report().Attempts {
		r.attempts = append(r.attempts, fmt.Sprint(a.Model, " ", a.Kind))
	}
	return r, nil
}

// protect puts the library between a service and both models. The times are
// short because the fake is quick; leave them out.
func (w way) protect(p *chaos.Provider) (*resilience.Client[ChatRequest, *resilience.Stream[Chunk]], error) {
	pool, err := resilience.NewPool(
		resilience.Timeouts{FirstChunk: time.Second, Gap: 500 * time.Millisecond, MinRate: 20, HoldBack: w.holding},
		fallback.New(fallback.Config{}),
		retry.New(retry.Config{Base: 10 * time.Millisecond}),
		breaker.New(breaker.Config{}))
	if err != nil {
		return nil, err
	}
	marks := hooks
	if w.plain {
		marks.Resume, marks.Text = nil, nil
	}
	bind := func(model string) resilience.Binding[ChatRequest, *resilience.Stream[Chunk]] {
		return resilience.BindStream(model, Server{Model: model, URL: "http://provider", HTTP: p.Client()}.Stream, marks)
	}
	return resilience.NewClient(pool, bind("atlas-large"), bind("boreal-chat"))
}

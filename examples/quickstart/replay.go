package main

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience/internal/trace"
)

// A Replay makes the calls of a trace, once per row, all rows at the same time
// and against the same servers.
type Replay struct {
	Calls []trace.Call
	Clock *Clock
	End   time.Time // no call is begun after it
	Done  atomic.Int64
}

// Run fills rows in, all to the same length: that of Calls, or less if the time
// has come to end. If ctx ends first it returns early, with ctx's error.
func (r *Replay) Run(ctx context.Context, rows []Row, ask []Ask) error {
	begun := make([]int, len(rows))
	var all sync.WaitGroup
	for i := range rows {
		rows[i].Samples = make([]Sample, len(r.Calls))
		all.Go(func() { begun[i] = r.row(ctx, rows[i].Samples, ask[i]) })
	}
	all.Wait()
	for i := range rows {
		rows[i].Samples = rows[i].Samples[:slices.Min(begun)]
	}
	return ctx.Err()
}

// row makes the calls of one row, and says how many.
func (r *Replay) row(ctx context.Context, samples []Sample, ask Ask) int {
	var calls sync.WaitGroup
	defer calls.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i, c := range r.Calls {
		if wait := r.Clock.Until(c.At); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return i
			}
		}
		if i > 0 && time.Now().After(r.End) {
			return i
		}
		r.Clock.Due(c.At)
		calls.Go(func() {
			samples[i] = r.call(ctx, i, c, ask)
			r.Done.Add(1)
		})
	}
	return len(r.Calls)
}

func (r *Replay) call(ctx context.Context, i int, c trace.Call, ask Ask) Sample {
	ctx, p := withPassage(ctx, "call-"+strconv.Itoa(i))
	ctx, cancel := context.WithTimeout(ctx, r.Clock.pace.of(patience))
	defer cancel()
	began := r.Clock.Now()
	res, model, cost, err := ask(ctx, question(c))
	// The clock may have been found to stand still in between.
	took := max(r.Clock.Now()-began, 0)
	return Sample{OK: err == nil && res.Text() != "", Took: took, Attempts: p.attempts(), Cost: cost, Model: model}
}

// A prompt has a length and no content, as in the trace. The fakes count a byte
// as a token.
const longestPrompt = 1 << 17

var prompt = strings.Repeat("a", longestPrompt)

func question(c trace.Call) ChatRequest {
	return ChatRequest{
		Messages:            []Message{{"user", prompt[:min(max(c.Input, 1), longestPrompt)]}},
		MaxCompletionTokens: max(c.Output, 1),
	}
}

package main

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience/internal/trace"
)

// patience is how long each call is waited for, in trace time, in every row.
const patience = time.Minute

// An Ask makes one call in the way of a row, and says which model answered and
// what it cost.
type Ask func(ctx context.Context, req ChatRequest) (res *ChatResponse, model string, cost float64, err error)

// A Replay makes the calls of a trace, once per row, all rows at the same time
// and against the same servers.
type Replay struct {
	Traffic Traffic
	Start   time.Time // of the trace's time
	Done    atomic.Int64
}

// Total counts the calls of a replay of n rows.
func (r *Replay) Total(n int) int64 { return int64(n) * int64(len(r.Traffic.Calls)) }

// Run fills rows in. If ctx ends first it returns early, with ctx's error.
func (r *Replay) Run(ctx context.Context, rows []Row, ask []Ask) error {
	var all sync.WaitGroup
	for i := range rows {
		rows[i].Samples = make([]Sample, len(r.Traffic.Calls))
		all.Go(func() { r.row(ctx, rows[i].Samples, ask[i]) })
	}
	all.Wait()
	return ctx.Err()
}

func (r *Replay) row(ctx context.Context, samples []Sample, ask Ask) {
	var calls sync.WaitGroup
	defer calls.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i, c := range r.Traffic.Calls {
		if wait := time.Until(r.Start.Add(r.clock(c.At))); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		}
		calls.Go(func() {
			samples[i] = r.call(ctx, i, c, ask)
			r.Done.Add(1)
		})
	}
}

func (r *Replay) call(ctx context.Context, i int, c trace.Call, ask Ask) Sample {
	ctx, p := withPassage(ctx, "call-"+strconv.Itoa(i))
	ctx, cancel := context.WithTimeout(ctx, r.clock(patience))
	defer cancel()
	began := time.Now()
	res, model, cost, err := ask(ctx, question(c))
	took := time.Duration(float64(time.Since(began)) * r.Traffic.Speed)
	return Sample{OK: err == nil && res.Text() != "", Took: took, Attempts: p.attempts(), Cost: cost, Model: model}
}

// clock turns a time of the trace into one of the clock.
func (r *Replay) clock(d time.Duration) time.Duration {
	return time.Duration(float64(d) / r.Traffic.Speed)
}

// A prompt has a length and no content, as in the trace.
const longestPrompt = 1 << 20

var filler = strings.Repeat("text", longestPrompt/4)

func question(c trace.Call) ChatRequest {
	return ChatRequest{
		Messages:            []Message{{"user", filler[:min(4*max(c.Input, 1), longestPrompt)]}},
		MaxCompletionTokens: max(c.Output, 1),
	}
}

// bare asks the first model, and that is all.
func bare(f Fake, s *Server) Ask {
	return func(ctx context.Context, req ChatRequest) (*ChatResponse, string, float64, error) {
		req.Model = f.Model
		res, err := s.Chat(ctx, req)
		if err != nil {
			return nil, "", 0, err
		}
		return res, f.Model, f.Cost(res.Usage.PromptTokens, res.Usage.CompletionTokens), nil
	}
}

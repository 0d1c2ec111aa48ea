package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/internal/trace"
)

func reply(text string) *ChatResponse {
	res := &ChatResponse{}
	res.Choices = append(res.Choices, struct {
		Message      Message `json:"message"`
		FinishReason string  `json:"finish_reason"`
	}{Message: Message{"assistant", text}})
	return res
}

func TestReplayKeepsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now().Add(time.Second)
		clock := &Clock{pace: 10, start: start, grace: time.Millisecond}
		replay := &Replay{Calls: every(30*time.Second, 4), Clock: clock, End: start.Add(time.Hour)}
		ask := func(ctx context.Context, req ChatRequest) (*ChatResponse, string, float64, error) {
			switch len(req.Messages[0].Content) { // the number of the call
			case 2:
				time.Sleep(time.Second)
				return nil, "", 0.5, errors.New("no")
			case 3:
				<-ctx.Done()
				return nil, "", 0, ctx.Err()
			}
			time.Sleep(2 * time.Second)
			return reply("yes"), "m", 1, nil
		}
		rows := []Row{{Name: "one"}}
		require.NoError(t, replay.Run(t.Context(), rows, []Ask{ask}))
		require.Equal(t, []Sample{
			{OK: true, Took: 20 * time.Second, Cost: 1, Model: "m"},
			{OK: true, Took: 20 * time.Second, Cost: 1, Model: "m"},
			{Took: 10 * time.Second, Cost: 0.5},
			{Took: patience},
		}, rows[0].Samples)
		require.Equal(t, int64(4), replay.Done.Load())
		require.Equal(t, 90*time.Second+patience, clock.Now())
		require.Zero(t, clock.Stopped())
	})
}

func TestReplayCountsAnswersWithText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		replay := &Replay{Calls: every(time.Second, 1), Clock: &Clock{pace: 1, start: time.Now()}}
		rows := make([]Row, 3)
		answer := func(res *ChatResponse, err error) Ask {
			return func(context.Context, ChatRequest) (*ChatResponse, string, float64, error) { return res, "m", 0, err }
		}
		require.NoError(t, replay.Run(t.Context(), rows, []Ask{answer(reply("a"), nil), answer(reply(""), nil), answer(&ChatResponse{}, nil)}))
		require.True(t, rows[0].Samples[0].OK)
		require.False(t, rows[1].Samples[0].OK)
		require.False(t, rows[2].Samples[0].OK)
	})
}

// A row that falls behind stops the clock for all; when the time is up, all end
// with the same call.
func TestReplayEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		replay := &Replay{Calls: every(time.Second, 100), Clock: &Clock{pace: 1, start: start}, End: start.Add(30 * time.Second)}
		yes := func(context.Context, ChatRequest) (*ChatResponse, string, float64, error) {
			return reply("yes"), "m", 0, nil
		}
		busy := time.AfterFunc(10500*time.Millisecond, func() { replay.Clock.stopped.Add(int64(5 * time.Second)) })
		defer busy.Stop()
		rows := make([]Row, 2)
		require.NoError(t, replay.Run(t.Context(), rows, []Ask{yes, yes}))
		require.InDelta(t, 26, len(rows[0].Samples), 1)
		require.Len(t, rows[1].Samples, len(rows[0].Samples))
		for _, s := range append(rows[0].Samples, rows[1].Samples...) {
			require.True(t, s.OK)
		}
		require.Less(t, time.Since(start), 32*time.Second)
	})
}

func TestReplayMakesOneCallAtLeast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		replay := &Replay{Calls: every(time.Second, 9), Clock: &Clock{pace: 1, start: time.Now()}}
		yes := func(context.Context, ChatRequest) (*ChatResponse, string, float64, error) {
			return reply("yes"), "m", 0, nil
		}
		rows := make([]Row, 1)
		require.NoError(t, replay.Run(t.Context(), rows, []Ask{yes}))
		require.Len(t, rows[0].Samples, 1)
	})
}

func TestReplayInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		replay := &Replay{Calls: every(time.Minute, 100), Clock: &Clock{pace: 1, start: time.Now()}, End: time.Now().Add(time.Hour)}
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		hang := func(ctx context.Context, _ ChatRequest) (*ChatResponse, string, float64, error) {
			<-ctx.Done()
			return nil, "", 0, ctx.Err()
		}
		start := time.Now()
		require.ErrorIs(t, replay.Run(ctx, make([]Row, 1), []Ask{hang}), context.DeadlineExceeded)
		require.Equal(t, 90*time.Second, time.Since(start))
	})
}

func TestQuestion(t *testing.T) {
	for _, c := range []struct {
		call          trace.Call
		bytes, tokens int
	}{
		{trace.Call{Input: 374, Output: 44}, 374, 44},
		{trace.Call{}, 1, 1},
		{trace.Call{Input: trace.MaxTokens, Output: trace.MaxTokens}, longestPrompt, trace.MaxTokens},
	} {
		q := question(c.call)
		require.Len(t, q.Messages, 1)
		require.Len(t, q.Messages[0].Content, c.bytes)
		require.Equal(t, c.tokens, q.MaxCompletionTokens)
	}
}

// network is a network of fakes that answer at once, unless plan says more.
func network(t *testing.T, plan chaos.Model) (*Network, *Clock) {
	t.Helper()
	var fakes []Fake
	for i := range 2 {
		plan.Name = "m" + strconv.Itoa(i)
		fakes = append(fakes, Fake{plan, resilience.Price{Input: 1, Output: 2}})
	}
	n, err := listen(fakes, 0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	clock := &Clock{pace: 100, start: time.Now()}
	require.NoError(t, n.serve(1, clock))
	return n, clock
}

// Rows meet the same fate: the first attempt of a call at a model fails in all
// of them or in none.
func TestRowsMeetTheSameFate(t *testing.T) {
	plan := chaos.Model{Failures: []chaos.Failure{{Fault: chaos.Fault{Name: chaos.BadGateway}, Share: 0.5}}}
	n, _ := network(t, plan)
	a, b := n.models()[0], n.models()[0]
	plan.Name = "m0"
	for i := range 40 {
		id := fmt.Sprint("call-", i)
		want := plan.Outcome(1, chaos.Try{Call: id, Tokens: 1}).Fault.Name == chaos.None
		for _, s := range []Server{a, b} {
			ctx, p := withPassage(t.Context(), id)
			_, err := s.Chat(ctx, question(trace.Call{}))
			require.Equal(t, want, err == nil)
			_, err = s.Chat(ctx, question(trace.Call{}))
			require.Equal(t, plan.Outcome(1, chaos.Try{Call: id, N: 1, Tokens: 1}).Fault.Name == chaos.None, err == nil)
			require.Equal(t, 2, p.attempts())
		}
	}
}

// What the library reports is what the network saw.
func TestReportAgreesWithTheNetwork(t *testing.T) {
	n, clock := network(t, chaos.Model{Failures: []chaos.Failure{{Fault: chaos.Fault{Name: chaos.BadGateway}, Share: 0.2}, {Fault: chaos.Fault{Name: chaos.Blank}, Share: 0.1}}})
	chat, err := protect(n.models(), clock.pace)
	require.NoError(t, err)
	more := 0
	for i := range 60 {
		ctx, p := withPassage(t.Context(), fmt.Sprint("call-", i))
		_, report, _ := chat.Do(ctx, question(trace.Call{Input: 10, Output: 5}), resilience.CallOptions{})
		sent := 0
		for _, a := range report.Attempts {
			if a.Kind != resilience.Rejected {
				sent++
			}
		}
		require.Equal(t, p.attempts(), sent)
		more += sent - 1
	}
	require.Positive(t, more)
}

func TestCost(t *testing.T) {
	n, clock := network(t, chaos.Model{})
	rows, ask, err := newRows(n, clock.pace)
	require.NoError(t, err)
	require.Len(t, rows, 3)
	for i := range rows {
		_, model, cost, err := ask[i](t.Context(), question(trace.Call{Input: 10, Output: 5}))
		require.NoError(t, err)
		require.Equal(t, "m0", model)
		require.InDelta(t, 20e-6, cost, 1e-12, rows[i].Name)
	}
}

func TestNetworkClosesWhatItOpened(t *testing.T) {
	n, err := listen(newFakes(1, time.Hour), 0)
	require.NoError(t, err)
	port := n.listeners[0].Addr().(*net.TCPAddr).Port
	require.NoError(t, n.Close())
	again, err := listen(newFakes(1, time.Hour)[:1], port)
	require.NoError(t, err, "the port is free again")
	require.NoError(t, again.Close())
}

package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/internal/failoverbench"
	"github.com/cmmv-hive/resilience/internal/openai"
	"github.com/cmmv-hive/resilience/stack"
)

// movesOn is a stack whose calls have a model to go to, as the bench's have.
var movesOn = stack.Config{
	Timeouts: resilience.Timeouts{Attempt: 30 * time.Second, FirstChunk: 12 * time.Second, Gap: 15 * time.Second},
	Breaker:  breaker.Config{Consecutive: 2, OpenFor: 30 * time.Second},
}

// TestFailoverBench plays the scenarios through the library, over HTTP in memory
// and in virtual time, as streams and whole, alone and with 50 calls at once.
func TestFailoverBench(t *testing.T) {
	seeds, alone, at := 1, 3, 50
	switch {
	case *long:
		seeds, alone = 20, 20
	case testing.Short():
		alone, at = 1, 10
	}
	for _, s := range failoverbench.Scenarios() {
		t.Run(s.ID, func(t *testing.T) {
			passed, plays := 0, 0
			play := func(seed, at int, stream bool) {
				result := playBench(t, s, uint64(seed), at, stream, stack.New(movesOn))
				v, why := s.Judge(result)
				plays++
				if v == failoverbench.Pass {
					passed++
				} else {
					t.Errorf("seed %d, %d at once, stream %v: %s: %s", seed, at, stream, s.Line(result, v), why)
				}
				if seed == 1 {
					t.Logf("%d at once, stream %v: %s", at, stream, s.Line(result, v))
				}
			}
			for _, stream := range []bool{true, false} {
				if !stream && s.Streams {
					continue
				}
				for seed := range alone {
					play(seed+1, 1, stream)
				}
				for seed := range seeds {
					play(seed+1, at, stream)
				}
			}
			t.Logf("published: Failover Bench %s: measured %d of %d plays passed, up to %d calls at once, reference best product 12 of 16 scenarios, target all", s.ID, passed, plays, at)
		})
	}
}

// TestFailoverBenchWithout is what the judge makes of no features at all.
func TestFailoverBenchWithout(t *testing.T) {
	for _, s := range failoverbench.Scenarios() {
		v, why := s.Judge(playBench(t, s, 1, 1, true))
		pass := s.ID == "S10" || s.ID == "S11" || s.ID == "S13"
		require.Equal(t, pass, v == failoverbench.Pass, "%s: %s %s", s.ID, v, why)
	}
}

// playBench plays s in a bubble.
func playBench(
	t *testing.T, s failoverbench.Scenario, seed uint64, at int, stream bool, features ...resilience.Feature,
) (p failoverbench.Played) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		models := chaos.FailoverBench()
		text := models[0].Text
		var infos []resilience.ModelInfo
		for i := range models {
			models[i].Script = slices.Repeat(models[i].Script, at) // what fails once does so for each call
			info := resilience.ModelInfo{ID: models[i].Name}
			if strings.HasSuffix(info.ID, "ok") {
				info.ContextWindow = 1_000_000
			}
			infos = append(infos, info)
		}
		provider, err := chaos.NewProvider(chaos.ProviderConfig{Models: models, Seed: seed})
		require.NoError(t, err)
		defer provider.Close()
		pool, err := resilience.NewPool(append(features, resilience.Models(infos...), resilience.Seed(rand.NewPCG(seed, 1)))...)
		require.NoError(t, err)
		ask := asks(t, pool, &http.Client{Transport: resilience.Tap(provider.Client().Transport)})
		p = s.Play(at, text, stream, func(q failoverbench.Question) failoverbench.Answer { return ask(t.Context(), q) },
			func(model string) (times []time.Time) {
				for _, a := range provider.Attempts() {
					if a.Model == model {
						times = append(times, a.Time)
					}
				}
				return times
			})
		require.NoError(t, pool.Drain(t.Context()))
	})
	return p
}

// asks returns a function that asks a pool's models as a service would, and reads
// the answer as its clients do.
func asks(t *testing.T, pool *resilience.Pool, client *http.Client) func(context.Context, failoverbench.Question) failoverbench.Answer {
	t.Helper()
	server := func(m *resilience.Model) openai.Server {
		return openai.Server{HTTP: client, URL: "http://fake/v1", Model: m.ID()}
	}
	usage := func(c openai.Chunk) (resilience.Usage, bool) {
		return resilience.Usage{Input: c.Usage.Input, Output: c.Usage.Output}, c.Usage != openai.Usage{}
	}
	wholes, err := resilience.NewClient(pool, resilience.BindAll(
		func(ctx context.Context, m *resilience.Model, req *openai.Request) (openai.Chunk, error) {
			return server(m).Ask(ctx, req)
		}))
	require.NoError(t, err)
	streams, err := resilience.NewClient(pool, resilience.BindAllStreams(
		func(ctx context.Context, m *resilience.Model, req *openai.Request) iter.Seq2[openai.Chunk, error] {
			return server(m).Stream(ctx, req)
		}, resilience.StreamHooks[*openai.Request, openai.Chunk]{
			Meaningful: openai.Chunk.Meaningful, Terminal: openai.Chunk.Last, Usage: usage,
			Resume: (*openai.Request).Resume, Text: func(c *openai.Chunk) *string { return &c.Text },
		}))
	require.NoError(t, err)
	return func(ctx context.Context, q failoverbench.Question) (a failoverbench.Answer) {
		req, err := openai.ReadRequest(strings.NewReader(fmt.Sprintf(
			`{"stream": %v, "stream_options": {"include_usage": true}, "messages": [{"role": "user", "content": "What happens at six?"}]}`, q.Stream)))
		if err != nil {
			return failoverbench.Answer{Broke: err}
		}
		opts, id := resilience.CallOptions{Model: q.Model, Fallbacks: q.Fallbacks}, ""
		take := func(c openai.Chunk) {
			if line := c.Line(&id); line != nil {
				a.Broke = errors.Join(a.Broke, a.Read(line))
			}
		}
		if !q.Stream {
			whole, _, err := wholes.Do(ctx, req, opts)
			if err != nil {
				return failoverbench.Answer{Failed: err.Error()}
			}
			take(whole)
			return a
		}
		stream, _, err := streams.Do(ctx, req, opts)
		if err != nil {
			return failoverbench.Answer{Failed: err.Error()}
		}
		for c, err := range stream.All() {
			if err != nil {
				a.Failed = err.Error()
				return a
			}
			take(c)
		}
		return a
	}
}

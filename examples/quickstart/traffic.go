package main

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"time"

	"github.com/cmmv-hive/resilience/internal/provider"
	"github.com/cmmv-hive/resilience/internal/trace"
)

// Traffic is the calls of a run, in order, and how fast to make them.
type Traffic struct {
	Calls []trace.Call
	Span  time.Duration
	Speed float64 // of trace time against the clock's
	Notes []string
}

// Limits bound what a run takes, whatever the trace.
type Limits struct {
	Wall             time.Duration // that the calls take to arrive
	Slowest, Fastest float64       // speeds
	Calls            int
}

// limits keep a run, of three rows at once, well below 40 s on two cores, and
// its times true to 0.2 s of trace time: a timer of Linux is late by up to 1 ms.
var limits = Limits{Wall: 20 * time.Second, Slowest: 60, Fastest: 200, Calls: 24_000}

// synthetic makes the traffic of an hour: Poisson arrivals at the rate, and
// lengths from the quantiles, of Azure's conversation trace of November 2023
// (Patel et al., Splitwise, ISCA '24). The quantiles were taken from its 19,366
// calls.
func synthetic(seed uint64, span time.Duration) []trace.Call {
	const perSecond = 5.53
	input := provider.Law{{P: 0.01, V: 29}, {P: 0.1, V: 207}, {P: 0.25, V: 396}, {P: 0.5, V: 1020}, {P: 0.75, V: 1189},
		{P: 0.9, V: 2735}, {P: 0.99, V: 4142}}
	output := provider.Law{{P: 0.01, V: 16}, {P: 0.1, V: 54}, {P: 0.25, V: 85}, {P: 0.5, V: 129}, {P: 0.75, V: 395},
		{P: 0.9, V: 424}, {P: 0.99, V: 601}}
	h := fnv.New64a()
	h.Write([]byte("traffic"))
	rng := rand.New(rand.NewPCG(seed, h.Sum64()))
	var calls []trace.Call
	for at := 0.0; ; {
		at += rng.ExpFloat64() / perSecond
		c := trace.Call{At: time.Duration(at * float64(time.Second)),
			Input: int(input.At(rng.Float64())), Output: int(output.At(rng.Float64()))}
		if c.At >= span {
			return calls
		}
		calls = append(calls, c)
	}
}

// readTrace reads a trace from a file.
func readTrace(path string) ([]trace.Call, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	calls, err := trace.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return calls, nil
}

// fit chooses a speed, and leaves out what does not fit in the limits. Of
// calls that are too many it keeps every second, third and so on.
func fit(calls []trace.Call, l Limits) Traffic {
	t := Traffic{Calls: calls}
	longest := time.Duration(l.Fastest * float64(l.Wall))
	if last := calls[len(calls)-1].At; last > longest {
		n := 0
		for n < len(calls) && calls[n].At <= longest {
			n++
		}
		t.Calls = calls[:n]
		t.Notes = append(t.Notes, fmt.Sprintf("only the first %v of %v are replayed: %d of %d calls",
			longest, last.Round(time.Second), n, len(calls)))
	}
	if n := len(t.Calls); n > l.Calls {
		step := (n + l.Calls - 1) / l.Calls
		thin := make([]trace.Call, 0, n/step+1)
		for i := 0; i < n; i += step {
			thin = append(thin, t.Calls[i])
		}
		t.Calls = thin
		t.Notes = append(t.Notes, fmt.Sprintf("one call of %d is replayed: %d of %d", step, len(thin), n))
	}
	// An incident needs some time even where the trace has none.
	t.Span = max(t.Calls[len(t.Calls)-1].At, time.Minute)
	t.Speed = min(max(float64(t.Span)/float64(l.Wall), l.Slowest), l.Fastest)
	return t
}

// rate is how many calls arrive in a second of trace time.
func (t Traffic) rate() float64 { return float64(len(t.Calls)) / t.Span.Seconds() }

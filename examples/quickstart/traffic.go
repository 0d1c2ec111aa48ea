package main

import (
	"fmt"
	"os"
	"time"

	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/internal/trace"
)

// Traffic is the calls of a run, in order, and how fast to make them.
type Traffic struct {
	Calls []trace.Call
	Span  time.Duration
	Pace  pace
	Notes []string // what was left out
}

// Limits bound what a run takes, whatever the trace.
type Limits struct {
	Wall             time.Duration // that the calls take to arrive
	Slowest, Fastest pace
	Late             time.Duration // that they may take more on a machine that is busy
	Calls            int
}

// These keep a run of three rows at once below 40 s on two cores that have
// other work too, and a millisecond, by which timers are late, below 0.2 s of
// trace time.
var limits = Limits{Wall: 26 * time.Second, Slowest: 60, Fastest: 150, Late: 8 * time.Second, Calls: 24_000}

// synthetic makes traffic with Poisson arrivals at the rate, and lengths from
// the quantiles, of Azure's conversation trace of November 2023 (Patel et al.,
// Splitwise, ISCA '24; 19,366 calls).
func synthetic(seed uint64, span time.Duration) []trace.Call {
	const perSecond = 5.53
	input := chaos.Law{
		{P: 0.01, V: 29}, {P: 0.1, V: 207}, {P: 0.25, V: 396}, {P: 0.5, V: 1020}, {P: 0.75, V: 1189}, {P: 0.9, V: 2735}, {P: 0.99, V: 4142},
	}
	output := chaos.Law{
		{P: 0.01, V: 16}, {P: 0.1, V: 54}, {P: 0.25, V: 85}, {P: 0.5, V: 129}, {P: 0.75, V: 395}, {P: 0.9, V: 424}, {P: 0.99, V: 601},
	}
	random := chance(seed, "traffic")
	var calls []trace.Call
	for at := 0.0; ; {
		at += random.ExpFloat64() / perSecond
		c := trace.Call{
			At:    time.Duration(at * float64(time.Second)),
			Input: int(input.At(random.Float64())), Output: int(output.At(random.Float64())),
		}
		if c.At >= span {
			return calls
		}
		calls = append(calls, c)
	}
}

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

// fit chooses a pace for calls, of which there is at least one, and leaves out
// what does not fit in l. Of calls that are too many it keeps every second,
// third and so on.
func fit(calls []trace.Call, l Limits) Traffic {
	t := Traffic{Calls: calls}
	longest := time.Duration(float64(l.Fastest) * float64(l.Wall))
	if last := calls[len(calls)-1].At; last > longest {
		n := 0
		for calls[n].At <= longest {
			n++
		}
		t.Calls = calls[:n]
		t.Notes = append(t.Notes, fmt.Sprintf("only its first %s of %s: %d of %d calls", clock(longest), clock(last), n, len(calls)))
	}
	if n := len(t.Calls); n > l.Calls {
		step := (n + l.Calls - 1) / l.Calls
		var thin []trace.Call
		for i := 0; i < n; i += step {
			thin = append(thin, t.Calls[i])
		}
		t.Calls = thin
		t.Notes = append(t.Notes, fmt.Sprintf("only one call in %d: %d of %d", step, len(thin), n))
	}
	// An incident takes some time even where the trace takes none.
	t.Span = max(t.Calls[len(t.Calls)-1].At, time.Minute)
	t.Pace = min(max(pace(float64(t.Span)/float64(l.Wall)), l.Slowest), l.Fastest)
	return t
}

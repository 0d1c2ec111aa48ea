package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cmmv-hive/resilience/internal/trace"
)

// grain is how late a timer may be, and busy for how long time may stand still,
// without anybody minding.
const (
	grain = time.Millisecond
	busy  = time.Second
)

// simulate replays traffic against the fakes in every way, and compares.
func simulate(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	calls, origin, err := o.calls()
	if err != nil {
		return err
	}
	traffic := fit(calls, o.limits)
	fakes := newFakes(o.seed, traffic.Span)
	network, err := listen(fakes, o.port)
	if err != nil {
		return &usageError{err}
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	introduce(stdout, o.seed, fakes, traffic, origin)

	// Some time for what follows, before the first call is due.
	clock := &Clock{pace: traffic.Pace, start: time.Now().Add(50 * time.Millisecond), grace: 4 * grain}
	if err := network.serve(o.seed, clock); err != nil {
		return err
	}
	rows, ask, err := newRows(network, traffic.Pace)
	if err != nil {
		return err
	}
	replay := &Replay{
		Calls: traffic.Calls, Clock: clock,
		End: clock.start.Add(traffic.Pace.of(traffic.Span) + o.limits.Late),
	}
	total := int64(len(rows) * len(traffic.Calls))
	stop := progress(stderr, total, replay.Done.Load)
	err = replay.Run(ctx, rows, ask)
	stop()
	if err != nil {
		return fmt.Errorf("interrupted after %d of %d calls", replay.Done.Load(), total)
	}
	writeTable(stdout, fakes, rows)
	fmt.Fprint(stdout, legend)
	if stopped := clock.Stopped(); stopped > busy {
		fmt.Fprintf(stdout, "The machine was busy: time had to stand still for %.1f s of its own, and latencies are less exact.\n", stopped.Seconds())
	}
	if n := len(rows[0].Samples); n < len(traffic.Calls) {
		fmt.Fprintf(stdout, "It was too busy: only the first %d of %d calls were made.\n", n, len(traffic.Calls))
	}
	return nil
}

// calls are what to replay, and where it comes from.
func (o options) calls() (calls []trace.Call, origin string, err error) {
	if o.trace == "" {
		return synthetic(o.seed, time.Hour), "synthetic, like Azure's conversation trace (Splitwise, ISCA '24)", nil
	}
	calls, err = readTrace(o.trace)
	if err != nil {
		return nil, "", fileError("-trace", err)
	}
	return calls, o.trace, nil
}

func introduce(w io.Writer, seed uint64, fakes []Fake, t Traffic, origin string) {
	fmt.Fprintf(w, "Four fake providers on loopback, seed %d:\n\n%s\n%s", seed, describe(fakes), sources)
	fmt.Fprintf(w, "traffic:   %s; %d calls in %s, %.2f a second\n",
		origin, len(t.Calls), clock(t.Span), float64(len(t.Calls))/t.Span.Seconds())
	for _, note := range t.Notes {
		fmt.Fprintf(w, "           %s\n", note)
	}
	fmt.Fprintf(w, "time:      %.0f times as fast; every time below is trace time, exact to about %.1f s\n\n",
		t.Pace, grain.Seconds()*float64(t.Pace))
}

const legend = `
success: answered, with text, within 2 minutes; p50, p95, p99: of the answered calls;
attempts: requests sent; cost: US dollars per 1,000 calls, answered or not
`

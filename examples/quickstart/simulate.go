package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/cmmv-hive/resilience/internal/trace"
)

// simulate replays traffic against the fakes, and compares.
func simulate(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	calls, origin, err := o.calls()
	if err != nil {
		return err
	}
	traffic := fit(calls, o.limits)
	fakes := fakes(o.seed, traffic.Span)
	network, err := listen(fakes, o.port)
	if err != nil {
		return &usageError{err}
	}
	defer func() { err = firstOf(err, network.Close()) }()

	fmt.Fprintf(stdout, "Four fake providers on loopback, seed %d:\n\n%s\n%s\n", o.seed, describe(fakes), sources)
	fmt.Fprintf(stdout, "traffic:   %s; %d calls in %s, %.2f a second\n", origin, len(traffic.Calls), clock(traffic.Span), traffic.rate())
	for _, note := range traffic.Notes {
		fmt.Fprintf(stdout, "           %s\n", note)
	}
	fmt.Fprintf(stdout, "time:      %.0f times as fast; all times here are trace time, true to about %.1f s\n\n",
		traffic.Speed, grain.Seconds()*traffic.Speed)

	// Time to start what follows, before the first call is due.
	start := time.Now().Add(50 * time.Millisecond)
	if err := network.serve(o.seed, start, traffic.Speed); err != nil {
		return err
	}
	rows, ask, err := ways(network, traffic.Speed)
	if err != nil {
		return err
	}
	replay := &Replay{Traffic: traffic, Start: start}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		progress(stderr, replay.Total(len(rows)), replay.Done.Load, stop)
	}()
	err = replay.Run(ctx, rows, ask)
	close(stop)
	<-stopped
	if err != nil {
		return fmt.Errorf("interrupted after %d of %d calls", replay.Done.Load(), replay.Total(len(rows)))
	}
	writeTable(stdout, models(fakes), rows)
	fmt.Fprintf(stdout, "\n%s", legend)
	return nil
}

// grain is how late a timer of Linux may be.
const grain = time.Millisecond

const legend = `success: answered, with text, within 60 s; p50 to p99: of the answered calls;
attempts: requests sent; cost: US dollars per 1,000 calls, answered or not.
`

// calls are what to replay, and where it comes from.
func (o options) calls() (calls []trace.Call, origin string, err error) {
	if o.trace == "" {
		calls = synthetic(o.seed, time.Hour)
		return calls, "synthetic, with the rate and lengths of Azure's conversation trace (Splitwise, ISCA '24)", nil
	}
	calls, err = readTrace(o.trace)
	if err != nil {
		return nil, "", fileError("-trace", err)
	}
	return calls, o.trace, nil
}

// ways are the rows of the table, and how each makes its calls.
func ways(n *Network, speed float64) (rows []Row, ask []Ask, err error) {
	return []Row{{Name: "bare"}}, []Ask{bare(n.fakes[0], n.clients()[0])}, nil
}

func models(fakes []Fake) []string {
	names := make([]string, len(fakes))
	for i, f := range fakes {
		names[i] = f.Model
	}
	return names
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

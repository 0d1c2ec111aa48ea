// Command chaos runs a game day: it breaks the models of a service in ten ways,
// while calls go on, and reports what the service's stack makes of it. The
// service and its models are simulated, and time passes twenty times as fast.
//
//	go run ./examples/chaos                          the ten standard experiments, in ten seconds
//	go run ./examples/chaos -run cascade             one of them
//	go run ./examples/chaos -file experiment.json    one of your own
//	go run ./examples/chaos -provider :8401          a fake provider, for clients in any language
//
// What a service would copy is in gameday.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/cmmv-hive/resilience/chaos"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

type options struct {
	run, file, provider string
	json, junit         string
	seed                uint64
}

// run returns the exit code: 2 if it was asked for what it cannot do, 1 if it
// failed, or a check did.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.run, "run", "", "run this standard experiment alone: "+strings.Join(chaos.Standards(), ", "))
	flags.StringVar(&o.file, "file", "", "run the experiment in this file")
	flags.Uint64Var(&o.seed, "seed", 0, "the seed of all chance, instead of the experiments' own")
	flags.StringVar(&o.json, "json", "", "also write the report to this file, as JSON")
	flags.StringVar(&o.junit, "junit", "", "also write the report to this file, as JUnit has it")
	flags.StringVar(&o.provider, "provider", "", "serve a fake provider at this address instead")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "chaos: unexpected argument %q\n", flags.Arg(0))
		return 2
	case o.provider != "" && flags.NFlag() > 1:
		fmt.Fprintln(stderr, "chaos: -provider serves, and runs nothing; give no other flag with it")
		return 2
	case o.run != "" && o.file != "":
		fmt.Fprintln(stderr, "chaos: -run and -file are two ways to say what to run; give one")
		return 2
	}
	if o.provider != "" {
		if err := serve(ctx, o.provider, stdout); err != nil {
			complain(stderr, err)
			return 1
		}
		return 0
	}
	experiments, err := o.experiments()
	if err != nil {
		complain(stderr, err)
		return 2
	}
	report, err := gameDay(ctx, experiments)
	err = errors.Join(err, report.WriteText(stdout), write(o.json, report.WriteJSON), write(o.junit, report.WriteJUnit))
	if err != nil {
		complain(stderr, err)
		return 1
	}
	if slices.ContainsFunc(report.Results, func(r chaos.Result) bool { return r.Verdict != chaos.VerdictPassed }) {
		return 1
	}
	return 0
}

// complain writes each line of what went wrong.
func complain(stderr io.Writer, err error) {
	fmt.Fprintln(stderr, "chaos: "+strings.ReplaceAll(err.Error(), "\n", "\nchaos: "))
}

// experiments are those that were asked for.
func (o options) experiments() (list []chaos.Experiment, err error) {
	names := chaos.Standards()
	switch {
	case o.file != "":
		f, err := os.Open(o.file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		e, err := chaos.ReadExperiment(f)
		if err != nil {
			return nil, fmt.Errorf("%s is no experiment:\n%w", o.file, err)
		}
		list, names = []chaos.Experiment{e}, nil
	case o.run != "":
		names = []string{o.run}
	}
	for _, name := range names {
		e, ok := chaos.Standard(name)
		if !ok {
			return nil, fmt.Errorf("there is no standard experiment %q, only %s", name, strings.Join(chaos.Standards(), ", "))
		}
		list = append(list, e)
	}
	for i := range list {
		if o.seed != 0 {
			list[i].Seed = o.seed
		}
	}
	return list, nil
}

// write writes what to a file, if there is to be one.
func write(path string, what func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(what(f), f.Close())
}

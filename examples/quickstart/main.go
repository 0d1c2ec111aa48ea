// Quickstart shows what the library does for a service whose AI models fail.
//
// It starts four fake providers on loopback, as real HTTP servers that behave
// as published measurements say that providers do, and makes an hour of calls
// to them in three ways: with nothing, with retries alone, and with the
// library. What a service would copy is in library.go.
//
//	go run ./examples/quickstart                             an hour of synthetic traffic
//	go run ./examples/quickstart -trace calls.csv.gz         a trace in Azure's format
//	go run ./examples/quickstart -endpoint URL -model NAME   a server of yours, without fakes
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run returns the exit code: 2 if it was asked for something it cannot do, 1 if
// it failed at what it was asked for.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0
	case err == nil && o.endpoint != "":
		err = converse(ctx, o, stdout)
	case err == nil:
		err = simulate(ctx, o, stdout, stderr)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "quickstart:", oneLine(err))
	if _, ok := errors.AsType[*usageError](err); ok {
		return 2
	}
	return 1
}

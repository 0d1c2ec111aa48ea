// Command streaming shows what becomes of a stream that breaks. A fake provider
// on this machine has a model that fails in a dozen ways and one that is well;
// both answer with the same sixty words. It shows one answer as it comes, then
// each of the ways.
//
//	go run ./examples/streaming
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"text/tabwriter"
)

const usage = `usage: streaming

Shows what becomes of streams that break. It needs no network and takes a few seconds.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run returns the exit code: 2 if it was asked for something, for it takes no
// arguments, 1 if it failed.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	switch {
	case len(args) == 1 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help"):
		fmt.Fprint(stdout, usage)
		return 0
	case len(args) > 0:
		fmt.Fprintf(stderr, "streaming: unexpected argument %q\n%s", args[0], usage)
		return 2
	}
	if err := show(ctx, stdout); err != nil {
		fmt.Fprintln(stderr, "streaming:", err)
		return 1
	}
	return 0
}

func show(ctx context.Context, out io.Writer) error {
	fmt.Fprintf(out, "A connection that ends after 40 of 60 words, as its reader sees it:\n\n")
	if _, err := cutAfter40.play(ctx, out); err != nil {
		return err
	}

	fmt.Fprintf(out, "\n\nand what else may happen to a stream:\n\n")
	results := make([]result, len(ways))
	errs := make([]error, len(ways))
	var all sync.WaitGroup
	for i, w := range ways {
		all.Go(func() { results[i], errs[i] = w.play(ctx, io.Discard) })
	}
	all.Wait()
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "the preferred model\twords\tattempts")
	for i, r := range results {
		if errs[i] != nil {
			return errs[i]
		}
		fmt.Fprintf(table, "%s\t%d\t%s\n", ways[i].name, r.words, strings.Join(r.attempts, ", "))
		if r.err != nil {
			fmt.Fprintf(table, "\t\t%v\n", r.err)
		}
	}
	return table.Flush()
}

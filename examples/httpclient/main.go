// Command httpclient shows what one line does for a client of HTTP that knows
// nothing of this library, as an SDK is one. A fake provider on this machine
// fails in several ways; each is met twice, with and without the line.
//
//	go run ./examples/httpclient
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/cmmv-hive/resilience/chaos"
)

const usage = `usage: httpclient

Shows what pool.Transport does for a client of HTTP. It needs no network and
takes a few seconds.
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
		fmt.Fprintf(stderr, "httpclient: unexpected argument %q\n%s", args[0], usage)
		return 2
	}
	if err := show(ctx, stdout); err != nil {
		fmt.Fprintln(stderr, "httpclient:", err)
		return 1
	}
	return 0
}

// A way is something that may happen to requests, in order; then all is well.
type way struct {
	name   string
	script []chaos.Fault
}

var ways = []way{
	{"all is well", nil},
	{"429, Retry-After: 1", []chaos.Fault{{Status: 429, Wait: time.Second}}},
	{"503, twice", []chaos.Fault{{Status: 503}, {Status: 503}}},
	{"the connection is reset", []chaos.Fault{{Name: chaos.Reset}}},
	{"200, and a web page", []chaos.Fault{{Name: chaos.HTML}}},
	{"the quota is spent", []chaos.Fault{{Name: chaos.QuotaSpent}}},
	{"an error before the first word", []chaos.Fault{{Name: chaos.StreamError}}},
	{"an error after 40 words", []chaos.Fault{{Name: chaos.StreamError, Tokens: 40}}},
	{"the stream ends after 40 words", []chaos.Fault{{Name: chaos.Cut, Tokens: 40}}},
	{"silence after 40 words", []chaos.Fault{{Name: chaos.Stall, Tokens: 40}}},
}

func show(ctx context.Context, out io.Writer) error {
	type pair struct{ bare, protected string }
	pairs := make([]pair, len(ways))
	errs := make([]error, len(ways))
	var all sync.WaitGroup
	for i, w := range ways {
		all.Go(func() {
			if pairs[i].bare, errs[i] = w.meet(ctx, bare); errs[i] == nil {
				pairs[i].protected, errs[i] = w.meet(ctx, protected)
			}
		})
	}
	all.Wait()
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "what happens\thttp.Client\twith pool.Transport")
	for i, w := range ways {
		if errs[i] != nil {
			return errs[i]
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", w.name, pairs[i].bare, pairs[i].protected)
	}
	return table.Flush()
}

//go:build unix

package stack_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/degrade"
	"github.com/cmmv-hive/resilience/health"
	"github.com/cmmv-hive/resilience/recovery"
	"github.com/cmmv-hive/resilience/stack"
)

var long = flag.Bool("long", false, "run the heavy checks whole")

const sleeper = "RESILIENCE_SLEEPER" // names the server that the process that sleeps calls

// TestSleeper is the process that sleeps. Until its input ends it makes 200 calls a
// second, of a fifth of a second each, to six models of three providers, and writes
// what happens to them.
func TestSleeper(t *testing.T) {
	url := os.Getenv(sleeper)
	if url == "" {
		t.Skip("is started by TestSuspended")
	}
	var infos []resilience.ModelInfo
	for i := range 6 {
		infos = append(infos, resilience.ModelInfo{ID: fmt.Sprint("m", i), Provider: fmt.Sprint("p", i/2)})
	}
	ask := func(ctx context.Context, _ *resilience.Model) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return errors.Join(err, resp.Body.Close())
	}
	pool := newPool(t, stack.New(stack.Config{Timeouts: resilience.Timeouts{Attempt: time.Second}}), health.New(health.Config{Interval: time.Second, Timeout: time.Second}),
		recovery.New(recovery.Config{}), degrade.New(degrade.Config{}), resilience.Models(infos...), resilience.Probe(ask),
		listener(func(e resilience.Event) {
			fmt.Println("event", e.Kind, e.Model, e.From, ">", e.To, e.Reason)
		}))
	client, err := resilience.NewClient(pool, resilience.BindAll(func(ctx context.Context, m *resilience.Model, _ int) (int, error) {
		return 0, ask(ctx, m)
	}))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = pool.Run(ctx) })
	wg.Go(func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	})
	var good, bad atomic.Int64
	for n := 0; ctx.Err() == nil; n++ {
		wg.Go(func() {
			if _, err := client.Call(context.WithoutCancel(ctx), n); err != nil {
				bad.Add(1)
				fmt.Println("error", err)
			} else {
				good.Add(1)
			}
		})
		time.Sleep(5 * time.Millisecond)
	}
	wg.Wait()
	fmt.Println("calls", good.Load(), bad.Load())
}

// TestSuspended stops a process that calls through everything that heals, as a machine
// or a container is suspended: for a while, or for a minute with -long. Timeouts
// of all that was under way are then over at once, and nobody is blamed.
func TestSuspended(t *testing.T) {
	if testing.Short() {
		t.Skip("its process shares two cores with the race detector's")
	}
	t.Parallel()
	asleep := 4 * time.Second
	if *long {
		asleep = time.Minute
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(200 * time.Millisecond)
		_, _ = io.WriteString(w, "fine")
	}))
	defer server.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestSleeper$")
	cmd.Env = append(os.Environ(), sleeper+"="+server.URL)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := make(chan []string)
	go func() {
		var all []string
		for s := bufio.NewScanner(out); s.Scan(); {
			all = append(all, s.Text())
		}
		lines <- all
	}()
	time.Sleep(3 * time.Second)
	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	time.Sleep(asleep)
	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	time.Sleep(3 * time.Second)
	require.NoError(t, in.Close())
	all := <-lines
	require.NoError(t, cmd.Wait())
	var good, bad int
	for _, line := range all {
		_, _ = fmt.Sscan(strings.TrimPrefix(line, "calls "), &good, &bad)
		require.False(t, strings.HasPrefix(line, "event") && !strings.HasPrefix(line, "event warning"), "%s", line)
	}
	t.Logf("published: a process that is stopped for %v: measured %d calls answered, %d not, reference none, target all, and no model held for it", asleep, good, bad)
	require.Greater(t, good, 500)
	require.Zero(t, bad, "another model answers")
}

package resilience

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestVigil(t *testing.T) {
	const s = int64(time.Second)
	var v vigil
	require.Zero(t, v.asleep(0, 100*s), "nobody feels the pulse")
	v.pulse(10 * s)
	v.pulse(10*s + s/2)
	v.pulse(12 * s)
	require.Zero(t, v.asleep(10*s, 12*s), "a second late is not asleep")
	require.Equal(t, 8*time.Second, v.asleep(11*s, 20*s), "before the pulse comes")
	v.pulse(20 * s)
	require.Equal(t, 8*time.Second, v.asleep(11*s, 20*s))
	require.Equal(t, 8*time.Second, v.asleep(10*s, 21*s))
	require.Equal(t, 5*time.Second, v.asleep(15*s, 21*s))
	require.Zero(t, v.asleep(20*s, 21*s), "begun after it")
	require.Equal(t, 10*time.Second, v.asleep(10*s, 22*s), "again")
	for at := 20 * s; at < 45*s; at += s / 2 {
		v.pulse(at)
	}
	require.Equal(t, 8*time.Second, v.asleep(12*s, 44*s))
	require.Zero(t, v.asleep(11*s, 44*s), "less than a quarter")
}

// doze makes a pool whose pulse runs believe that the process does not run for d.
func doze(p *Pool, d time.Duration) {
	time.Sleep(d)
	p.beat.Store(p.now())
	p.from.Store(p.now() - int64(d))
	p.to.Store(p.now())
}

// TestAsleep has what came of a process that slept speak neither for nor against a
// model, and says so.
func TestAsleep(t *testing.T) {
	reset := errors.New("read: connection reset by peer")
	for name, c := range map[string]struct {
		err     error
		timeout time.Duration
		against bool
		says    string
	}{
		"a timeout":           {nil, time.Second, false, "m: timed_out: timed out after 1s (Timeouts.Attempt); this process was not running for 10s of it"},
		"a broken connection": {reset, 0, false, "m: unreachable: connection failed; this process was not running for 10s of it"},
		"an answer":           {Overloaded, 0, true, "m: overloaded"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, err := NewPool(Models(ModelInfo{ID: "m"}), Timeouts{Attempt: c.timeout})
				require.NoError(t, err)
				client, err := NewClient(p, BindAll(func(ctx context.Context, _ *Model, _ int) (int, error) {
					doze(p, 10*time.Second)
					return 0, errors.Join(c.err, ctx.Err())
				}))
				require.NoError(t, err)
				_, err = client.Call(t.Context(), 0)
				require.ErrorContains(t, err, c.says)
				stats := p.Model("m").Stats(time.Minute)
				require.Equal(t, c.against, stats.Failures == 1)
				require.Zero(t, stats.P95, "ten seconds that nobody took")
			})
		})
	}
}

package resilience_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// by is somebody who may change things.
var by = resilience.Control{Actor: "operator", Reason: "a test"}

// errBroken says nothing that a classifier knows.
var errBroken = errors.New("broken")

type (
	ask    = resilience.Func[string, string]
	client = resilience.Client[string, string]
	option = resilience.ClientOption[string, string]
)

// feature is a feature made of a function.
type feature func(s *resilience.Setup) error

func (f feature) Install(s *resilience.Setup) error { return f(s) }

// layer is a feature of one layer.
func layer(at resilience.Layer, around func(ctx context.Context, c *resilience.Call, next resilience.Handler) error) resilience.Feature {
	return feature(func(s *resilience.Setup) error {
		s.Wrap(at, func(_ *resilience.Model, next resilience.Handler) resilience.Handler {
			return func(ctx context.Context, c *resilience.Call) error { return around(ctx, c, next) }
		})
		return nil
	})
}

// inTurn goes through models as long as the failure and the budget allow.
func inTurn(lastResort bool) resilience.Feature {
	return feature(func(s *resilience.Setup) error {
		s.Route(func(ctx context.Context, r *resilience.Route, next resilience.Handler) error {
			c := r.Call()
			var last error
			for {
				if r.Next(ctx, false) == nil && (!lastResort || r.Next(ctx, true) == nil) {
					if last == nil {
						return r.None()
					}
					return last
				}
				last = next(ctx, c)
				if last == nil || !resilience.KindOf(last).Elsewhere() || c.Remaining() == 0 && !lastResort || !r.Extra(last) {
					return last
				}
			}
		})
		return nil
	})
}

// again asks the same model up to n times.
func again(n int) resilience.Feature {
	return layer(resilience.LayerRetry, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
		err := next(ctx, c)
		for try := 1; err != nil && try < n && !c.GaveUp(err) && (resilience.KindOf(err).Retry() || c.Revises()) && c.Extra(err); try++ {
			err = next(ctx, c)
		}
		if err != nil {
			err = c.GiveUp(err)
		}
		return err
	})
}

// logged is a buffer that background work may write to while a test reads.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newPool(tb testing.TB, features ...resilience.Feature) *resilience.Pool {
	tb.Helper()
	p, err := resilience.NewPool(features...)
	require.NoError(tb, err)
	return p
}

func newClient(tb testing.TB, p *resilience.Pool, opts ...option) *client {
	tb.Helper()
	c, err := resilience.NewClient(p, opts...)
	require.NoError(tb, err)
	return c
}

// says answers with text.
func says(text string) ask {
	return func(context.Context, string) (string, error) { return text, nil }
}

// fails fails with err.
func fails(err error) ask {
	return func(context.Context, string) (string, error) { return "", err }
}

// counted counts the calls of f in n.
func counted(n *int, f ask) ask {
	return func(ctx context.Context, req string) (string, error) {
		*n++
		return f(ctx, req)
	}
}

// untilDone waits for its context and returns its error.
func untilDone(ctx context.Context, _ string) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

func models(ids ...string) resilience.Feature {
	infos := make([]resilience.ModelInfo, len(ids))
	for i, id := range ids {
		infos[i] = resilience.ModelInfo{ID: id}
	}
	return resilience.Models(infos...)
}

func bind(ids []string, f ask) (opts []option) {
	for _, id := range ids {
		opts = append(opts, resilience.BindFunc(id, f))
	}
	return opts
}

// echo binds models that answer with their own ID.
func echo(ids ...string) (opts []option) {
	for _, id := range ids {
		opts = append(opts, resilience.BindFunc(id, says(id)))
	}
	return opts
}

// idle checks that nothing is open or in flight.
func idle(t *testing.T, p *resilience.Pool) {
	t.Helper()
	require.Zero(t, p.InFlight(), "open calls")
	for _, m := range p.Models() {
		require.Zero(t, m.InFlight(), "attempts of %s", m)
	}
}

package alert_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor/alert"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

var long = flag.Bool("long", false, "run the heavy checks whole")

var by = resilience.Control{Actor: "mia", Reason: "a test"}

// An inbox is a channel that remembers.
type inbox struct {
	name string

	mu     sync.Mutex
	got    []notify.Notification
	fails  error
	hangs  bool
	panics bool
}

func (i *inbox) Name() string { return i.name }

func (i *inbox) Notify(ctx context.Context, n notify.Notification) error {
	i.mu.Lock()
	err, hangs, panics := i.fails, i.hangs, i.panics
	if err == nil && !hangs && !panics {
		i.got = append(i.got, n)
	}
	i.mu.Unlock()
	if panics {
		panic("a channel's")
	}
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (i *inbox) set(fails error, hangs, panics bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fails, i.hangs, i.panics = fails, hangs, panics
}

// all are the notifications.
func (i *inbox) all() []notify.Notification {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.got)
}

// lines are the notifications, each as "reason severity: alerts", those over with a -.
func (i *inbox) lines() (list []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, n := range i.got {
		line := n.Reason.String() + " " + n.Severity.String() + ":"
		for _, a := range n.Alerts {
			line += " "
			if !a.Firing() {
				line += "-"
			}
			line += a.Rule
			for _, label := range []string{"model", "name", "provider", "objective", "broken"} {
				if v := a.Labels[label]; v != "" {
					line += "/" + v
					break
				}
			}
		}
		if n.Truncated > 0 {
			line += fmt.Sprintf(" and %d", n.Truncated)
		}
		list = append(list, line)
	}
	return list
}

func (i *inbox) take() (list []string) {
	list = i.lines()
	i.mu.Lock()
	i.got = nil
	i.mu.Unlock()
	return list
}

// A rig is a pool whose models fail as they are told to.
type rig struct {
	*testing.T
	*resilience.Client[string, string]
	pool   *resilience.Pool
	alerts *alert.Alerts
	inbox  *inbox
	stop   func()

	mu    sync.Mutex
	fails map[string]error
}

func infos(ids ...string) (list []resilience.ModelInfo) {
	for _, id := range ids {
		provider, _, _ := strings.Cut(id, "-")
		list = append(list, resilience.ModelInfo{ID: id, Provider: provider})
	}
	return list
}

// named are models that are deployments of one.
func named(ids ...string) []resilience.ModelInfo {
	list := infos(ids...)
	for i := range list {
		list[i].Name = "gpt"
	}
	return list
}

// build makes a pool with cfg whose only channel, if there are no routes, is an inbox
// that gets all.
func build(t *testing.T, cfg alert.Config, models []resilience.ModelInfo, features ...resilience.Feature) *rig {
	t.Helper()
	r := &rig{T: t, fails: map[string]error{}, inbox: &inbox{name: "inbox"}, stop: func() {}}
	if cfg.Routes == nil {
		cfg.Routes = []alert.Route{{Channel: r.inbox, Severity: notify.Info}}
	}
	r.alerts = alert.New(cfg)
	var err error
	r.pool, err = resilience.NewPool(append([]resilience.Feature{
		r.alerts, resilience.Models(models...), resilience.Seed(rand.NewPCG(1, 2)),
	}, features...)...)
	require.NoError(t, err)
	r.Client, err = resilience.NewClient(r.pool, resilience.BindAll(func(_ context.Context, m *resilience.Model, _ string) (string, error) {
		time.Sleep(10 * time.Millisecond)
		r.mu.Lock()
		defer r.mu.Unlock()
		return "", r.fails[m.ID()]
	}))
	require.NoError(t, err)
	return r
}

func (r *rig) run() *rig {
	r.Helper()
	ctx, cancel := context.WithCancel(r.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.pool.Run(ctx); err != nil {
			r.Error(err)
		}
	})
	r.stop = func() {
		cancel()
		wg.Wait()
	}
	r.Cleanup(func() { r.stop() })
	synctest.Wait()
	return r
}

// fail makes a model fail with err, or no more.
func (r *rig) fail(id string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fails[id] = err
}

// calls asks each of the models once a second for d.
func (r *rig) calls(d time.Duration, ids ...string) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		for _, id := range ids {
			_, _, _ = r.Do(r.Context(), "", resilience.CallOptions{Model: id})
		}
		time.Sleep(time.Second - time.Duration(len(ids))*10*time.Millisecond)
	}
}

// keepCalling does so meanwhile, and the test ends when it has.
func (r *rig) keepCalling(d time.Duration, ids ...string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.calls(d, ids...)
	}()
	r.Cleanup(func() { <-done })
}

// only are rules that replace the default ones.
func only(rules map[string]alert.Rule) map[string]alert.Rule {
	for name := range alert.DefaultRules() {
		if _, has := rules[name]; !has {
			rules[name] = alert.Rule{Off: true}
		}
	}
	return rules
}

func (r *rig) active() (list []string) {
	for _, a := range r.alerts.Active() {
		if a.Inhibited {
			continue
		}
		list = append(list, a.Rule+" "+strings.Join(values(a.Labels), " "))
	}
	return list
}

func values(labels map[string]string) (list []string) {
	for k, v := range labels {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}

var errDown = fmt.Errorf("%w: secret-prompt sk-secret", resilience.Unreachable)

var errBroken = errors.New("a channel's error")

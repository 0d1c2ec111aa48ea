package main

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/stack"
)

// At pace 1 the settings are the library's defaults.
func TestPaceOneIsTheDefaults(t *testing.T) {
	one, err := resilience.NewPool(stack.New(pace(1).stack()))
	require.NoError(t, err)
	zero, err := resilience.NewPool(stack.New(stack.Config{Fallback: fallback.Config{LastResort: true}}))
	require.NoError(t, err)
	require.Equal(t, zero.Stack(), one.Stack())
}

// Every pace that a run may have makes a valid configuration.
func TestEveryPaceIsValid(t *testing.T) {
	for _, p := range []pace{1, limits.Slowest, limits.Fastest} {
		_, err := protect([]Server{{Model: "m"}}, p)
		require.NoError(t, err)
		require.NotPanics(t, func() { protectOne(Server{Model: "m"}, p) })
	}
}

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Clock{pace: 100, start: time.Now().Add(time.Second), grace: time.Millisecond}
		require.Equal(t, -100*time.Second, c.Now(), "before it starts")
		require.Equal(t, 2*time.Second, c.Until(100*time.Second))
		time.Sleep(2 * time.Second)
		require.Equal(t, 100*time.Second, c.Now())
		require.Zero(t, c.Until(100*time.Second))

		c.Due(100 * time.Second)
		time.Sleep(time.Millisecond)
		c.Due(100 * time.Second)
		require.Zero(t, c.Stopped(), "as late as usual")

		time.Sleep(29 * time.Millisecond)
		c.Due(100 * time.Second)
		require.Equal(t, 30*time.Millisecond, c.Stopped())
		require.Equal(t, 100*time.Second, c.Now(), "it stood still")
		require.Equal(t, 10*time.Millisecond, c.Until(101*time.Second))
		c.Due(200 * time.Second)
		require.Equal(t, 30*time.Millisecond, c.Stopped(), "what is early says nothing")
	})
}

// Three that notice the same delay make it stand still once.
func TestClockConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Clock{pace: 100, start: time.Now(), grace: time.Millisecond}
		time.Sleep(50 * time.Millisecond)
		var rows sync.WaitGroup
		for range 3 {
			rows.Go(func() { c.Due(time.Second) })
		}
		rows.Wait()
		require.Equal(t, 40*time.Millisecond, c.Stopped())
	})
}

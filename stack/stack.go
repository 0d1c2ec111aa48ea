// Package stack is the ready-made stack: timeouts, fallback, balancing, limits,
// retry and breaker in one feature, with settings that survive outages.
//
//	pool, err := resilience.NewPool(stack.New(stack.Config{}))
//
// What each part does is said in its package. Together they do this. A call goes
// to the better of two models drawn at random, waits its turn if that has no
// room, and is bounded in time. What fails is tried again, here or elsewhere,
// within one budget of the call and one of the pool that successes pay in. A
// model that keeps failing, or asks for a rest, gets no calls until it is well.
// Models are judged by their calls alone: nothing runs in the background, and
// nothing is sent that the service did not ask for.
//
// The parts need each other. Fallback, retry and breaker alone do not survive an
// outage of some of the models where capacity is finite: the calls that hang
// there, and those that come again, keep the others overloaded for good.
package stack

import (
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

// Config configures a [Stack]. The zero value is ready to use. In a
// configuration file each part has the section of its own name: "timeouts",
// "fallback", "balance", "limiter", "retry", "breaker".
//
// One default differs from the part's own: Breaker.MaxOpenFor is 30 s, or
// OpenFor if that is longer. After an outage of several models those that are
// left out for longer are missed by the others.
type Config struct {
	Timeouts resilience.Timeouts
	Fallback fallback.Config
	Balance  balance.Config
	Limiter  balance.LimiterConfig
	Retry    retry.Config
	Breaker  breaker.Config

	// ObserveOnly makes all parts only observe, but for the balancer, which has
	// to choose.
	ObserveOnly bool
}

// A Stack is a feature made of features. One that the pool is given besides
// takes the place of the stack's own, whatever the order:
//
//	resilience.NewPool(stack.New(stack.Config{}), breaker.New(mine))
type Stack struct{ config Config }

// New returns a stack. What is wrong with cfg is reported by
// [resilience.NewPool], all of it at once.
func New(cfg Config) *Stack {
	if cfg.ObserveOnly {
		cfg.Timeouts.ObserveOnly = true
		cfg.Fallback.ObserveOnly = true
		cfg.Limiter.ObserveOnly = true
		cfg.Retry.ObserveOnly = true
		cfg.Breaker.ObserveOnly = true
	}
	if cfg.Breaker.MaxOpenFor == 0 {
		cfg.Breaker.MaxOpenFor = max(30*time.Second, cfg.Breaker.OpenFor)
	}
	return &Stack{cfg}
}

// Install implements [resilience.Feature].
func (k *Stack) Install(s *resilience.Setup) error {
	s.Default("timeouts", k.config.Timeouts)
	s.Default("fallback", fallback.New(k.config.Fallback))
	s.Default("balance", balance.New(k.config.Balance))
	s.Default("retry", retry.New(k.config.Retry))
	s.Default("limiter", balance.NewLimiter(k.config.Limiter))
	s.Default("breaker", breaker.New(k.config.Breaker))
	return nil
}

// Wrap makes one caller of several that stand in for each other. See
// [resilience.WrapAll]; like it, Wrap panics if cfg is not valid.
func Wrap[Req, Resp any](cfg Config, callers ...resilience.ModelCaller[Req, Resp]) *resilience.Client[Req, Resp] {
	return resilience.WrapAll(callers, New(cfg))
}

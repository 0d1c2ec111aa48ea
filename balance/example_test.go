package balance_test

import (
	"context"
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
)

type replica struct {
	name  string
	takes time.Duration
}

func (r replica) Name() string { return r.name }

func (r replica) Call(context.Context, string) (string, error) {
	time.Sleep(r.takes)
	return r.name, nil
}

// Calls go to the better of two models drawn at random, by latency and load.
func ExampleWrap() {
	chat := balance.Wrap(balance.Config{},
		replica{name: "fast", takes: time.Millisecond},
		replica{name: "slow", takes: 100 * time.Millisecond})
	answers := map[string]int{}
	for range 50 {
		answer, err := chat.Call(context.Background(), "Why is the sky blue?")
		if err != nil {
			panic(err)
		}
		answers[answer]++
	}
	fmt.Println(answers["fast"] >= 40)
	// Output: true
}

// Calls of one conversation go to the replica that has its prompt cached.
func ExampleWrap_affinity() {
	chat := balance.Wrap(balance.Config{}, replica{name: "one"}, replica{name: "two"}, replica{name: "three"})
	for _, conversation := range []string{"mia", "ben", "mia", "mia", "ben"} {
		answer, _, err := chat.Do(context.Background(), "And then?", resilience.CallOptions{Affinity: conversation})
		fmt.Println(conversation, answer, err)
	}
	// Output:
	// mia one <nil>
	// ben two <nil>
	// mia one <nil>
	// mia one <nil>
	// ben two <nil>
}

// Two replicas of our own come before a hosted model. With one of them out,
// what it cannot take spills over: 1.4 times half of the calls stay.
func ExampleNew() {
	pool, err := resilience.NewPool(
		balance.New(balance.Config{Algorithm: balance.Priority}),
		resilience.Models(
			resilience.ModelInfo{ID: "replica-1"},
			resilience.ModelInfo{ID: "replica-2"},
			resilience.ModelInfo{ID: "hosted", Tier: 1}))
	if err != nil {
		panic(err)
	}
	chat, err := resilience.NewClient(pool,
		resilience.Bind("replica-1", replica{name: "replica-1"}),
		resilience.Bind("replica-2", replica{name: "replica-2"}),
		resilience.Bind("hosted", replica{name: "hosted"}))
	if err != nil {
		panic(err)
	}
	hosted := func() (n int) {
		for range 1000 {
			answer, err := chat.Call(context.Background(), "Why is the sky blue?")
			if err != nil {
				panic(err)
			}
			if answer == "hosted" {
				n++
			}
		}
		return n
	}
	fmt.Println("all are well:", hosted())

	pool.Model("replica-2").Hold(context.Background(), resilience.Hold{
		By: resilience.HoldHealth, Reason: "its probes fail", Until: time.Now().Add(time.Minute),
	})
	n := hosted()
	fmt.Println("one is out:", n > 200 && n < 400)
	// Output:
	// all are well: 0
	// one is out: true
}

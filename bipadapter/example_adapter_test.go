package bipadapter_test

import (
	"context"
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/bipadapter"
	"github.com/cmmv-hive/resilience/stack"
)

func ExampleAdapter_Consensus() {
	pool, err := resilience.NewPool(stack.New(stack.Config{}), resilience.Models(
		resilience.ModelInfo{ID: "atlas"}, resilience.ModelInfo{ID: "boreal"}, resilience.ModelInfo{ID: "corvid"}, resilience.ModelInfo{ID: "delta"},
	))
	if err != nil {
		panic(err)
	}
	client, err := resilience.NewClient(pool, resilience.BindAll(func(_ context.Context, m *resilience.Model, _ string) (string, error) {
		if m.ID() == "delta" {
			return "", resilience.Unauthorized
		}
		return `{"choice":"approve","reason":"it is sound"}`, nil
	}))
	if err != nil {
		panic(err)
	}
	hive, err := bipadapter.New(client, nil, bipadapter.Config{})
	if err != nil {
		panic(err)
	}
	op := bipadapter.Operation{Type: bipadapter.Voting, BIP: "BIP-03", Proposal: []byte("…")}
	d, err := hive.Consensus(context.Background(), op, `Approve or reject BIP-03 … Answer with {"choice": …}.`, 0.7)
	if err != nil {
		panic(err)
	}
	fmt.Println(d.Outcome, d.Share)
	for _, v := range d.Votes {
		fmt.Println(v.Voter.Name, v.Standing)
	}
	// Output:
	// approved 0.75
	// atlas counted
	// boreal counted
	// corvid counted
	// delta absent
}

// With too few voters left, two persons can declare an emergency.
func ExampleAdapter_Emergency() {
	pool, err := resilience.NewPool(stack.New(stack.Config{}), resilience.Models(resilience.ModelInfo{ID: "atlas"}, resilience.ModelInfo{ID: "boreal"}))
	if err != nil {
		panic(err)
	}
	client, err := resilience.NewClient(pool, resilience.BindAll(func(_ context.Context, m *resilience.Model, _ string) (string, error) {
		if m.ID() == "boreal" {
			return "", resilience.Unauthorized
		}
		return "Roll it back: …", nil
	}))
	if err != nil {
		panic(err)
	}
	hive, err := bipadapter.New(client, nil, bipadapter.Config{
		Authorize: func(_ context.Context, _ bipadapter.Operation, d bipadapter.Declaration) error {
			fmt.Println("declared by", d.Actors, "because", d.Reason)
			return nil
		},
	})
	if err != nil {
		panic(err)
	}
	op := bipadapter.Operation{Type: bipadapter.Implementation, BIP: "BIP-03"}
	res, err := hive.Emergency(context.Background(), op, "What is to be done?", bipadapter.Declaration{
		Actors: []string{"ann", "bo"}, Reason: "the rollout fails", Until: pool.At(pool.Now()).Add(time.Hour),
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(res.Value)
	fmt.Println("reviews due:", len(hive.Status().Reviews))
	// Output:
	// declared by [ann bo] because the rollout fails
	// Roll it back: …
	// reviews due: 1
}

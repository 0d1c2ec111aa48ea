package budget_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/budget"
)

// ask is a model that uses a thousand tokens for each answer.
func ask(ctx context.Context, _ string) (string, error) {
	resilience.ReportUsage(ctx, resilience.Usage{Input: 400, Output: 600})
	return "42", nil
}

// A tenant may spend five cents a day, and the pool 200 dollars.
func Example() {
	budgets := budget.New(budget.Config{Limits: []budget.Limit{
		{Cost: 200, Window: budget.Day(nil)},
		{Scope: budget.Tenant, Cost: 0.05, Window: budget.Day(nil)},
	}})
	pool, err := resilience.NewPool(budgets, resilience.Models(
		resilience.ModelInfo{ID: "gpt-5", Price: resilience.Price{Input: 5, Output: 30}}))
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := resilience.NewClient(pool, resilience.BindFunc("gpt-5", ask))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, tenant := range []string{"acme", "acme", "acme", "hive"} {
		_, _, err := client.Do(context.Background(), "Why?", resilience.CallOptions{Tenant: tenant, Tokens: 1000})
		if e, ok := errors.AsType[*resilience.BudgetError](err); ok {
			fmt.Printf("%s: $%.2f of $%.2f are spent\n", e.Budget, e.Spent, e.Max)
		}
	}
	for _, a := range budgets.Accounts("", "") {
		fmt.Printf("%s %q: $%.3f\n", a.Limit.Scope, a.Who, a.Spent.Cost)
	}
	// Output:
	// tenant acme (day): $0.04 of $0.05 are spent
	// pool "": $0.060
	// tenant "acme": $0.040
	// tenant "hive": $0.020
}

// In files windows are text.
func ExampleWindow() {
	var w budget.Window
	for _, text := range []string{"1h", "sliding 24h", "month Europe/Lisbon", "monthly"} {
		if err := w.UnmarshalText([]byte(text)); err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(w)
	}
	fmt.Println(budget.Sliding(90 * time.Minute))
	// Output:
	// 1h
	// sliding 24h
	// month Europe/Lisbon
	// "monthly" is no window such as "1h", "sliding 1h", "day", "week" or "month Europe/Lisbon"
	// sliding 1h30m
}

// Past a soft limit cheaper models go first, and somebody is told.
func ExampleLimit() {
	budgets := budget.New(budget.Config{Limits: []budget.Limit{{Cost: 0.05, Soft: 0.5, Window: budget.Month(nil)}}})
	pool, err := resilience.NewPool(budgets, resilience.Models(
		resilience.ModelInfo{ID: "gpt-5", Price: resilience.Price{Input: 5, Output: 30}},
		resilience.ModelInfo{ID: "gpt-5-mini", Tier: 1, Price: resilience.Price{Input: 0.5, Output: 4}}))
	if err != nil {
		fmt.Println(err)
		return
	}
	alarms := pool.Subscribe(10, resilience.EventBudget)
	defer alarms.Close()
	client, err := resilience.NewClient(pool, resilience.BindFunc("gpt-5", ask), resilience.BindFunc("gpt-5-mini", ask))
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 3 {
		_, report, err := client.Do(context.Background(), "Why?", resilience.CallOptions{})
		fmt.Println(report.Model, err)
	}
	fmt.Println((<-alarms.C).Reason)
	// Output:
	// gpt-5 <nil>
	// gpt-5 <nil>
	// gpt-5-mini <nil>
	// pool (month): $0.04 of $0.05 spent
}

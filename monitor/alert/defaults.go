package alert

import "time"

// Rules of the package's own, which are not of Config.Rules.
const (
	budgetBurn  = "budget_burn"
	budgetDrain = "budget_drain"
	ruleBroken  = "rule_broken"
)

var own = []string{budgetBurn, budgetDrain, ruleBroken}

// DefaultRules returns the rules that [Config].Rules lies over. Those that are
// critical are about what users notice, or what people alone can mend: one model that
// is down while others answer, or the breaker of one, wakes nobody.
func DefaultRules() map[string]Rule {
	return map[string]Rule{
		"model_unavailable": {
			Metric: "failures_in_row", Op: ">=", Threshold: lostRow, For: 12 * time.Second, KeepFiringFor: 5 * time.Minute,
			EscalateAfter: 5 * time.Minute, Description: "It is left out and tried again without anybody's doing.",
		},
		"high_failure_rate": {
			Metric: "error_rate", Threshold: 0.2, Clear: 0.1, For: 30 * time.Second, KeepFiringFor: 5 * time.Minute,
		},
		"throttled": {
			Metric: "throttled", Threshold: 0.5, Clear: 0.2, For: time.Minute, KeepFiringFor: 5 * time.Minute,
		},
		"breaker_flapping": {
			Metric: "breaker_opens", Op: ">=", Threshold: 4, Window: 15 * time.Minute, KeepFiringFor: 5 * time.Minute, Severity: "info",
		},
		"provider_down": {
			Per: "provider", Metric: "down", Op: ">=", Threshold: 1, MinModels: 2, For: 5 * time.Second, KeepFiringFor: 2 * time.Minute,
		},
		"name_lost": {
			Per: "name", Metric: "lost", Op: ">=", Threshold: 1, For: 12 * time.Second, KeepFiringFor: 2 * time.Minute, Severity: "critical",
		},
		"pool_lost": {
			Per: "pool", Metric: "down", Op: ">=", Threshold: 1, For: 12 * time.Second, KeepFiringFor: 2 * time.Minute, Severity: "critical",
		},
		"key_refused": {
			Per: "provider", Metric: "keys_refused", Op: ">=", Threshold: 1, KeepFiringFor: 2 * time.Minute, Severity: "critical",
			Description: "Nothing but a key that works, or the right plan or region, helps.",
		},
		"key_spent": {
			Per: "provider", Metric: "keys_spent", Op: ">=", Threshold: 1, KeepFiringFor: 2 * time.Minute, Severity: "critical",
			Description: "The account with the provider needs money, or a higher limit.",
		},
		"budget_spent": {
			Per: "pool", Metric: "budget_spent", Op: ">=", Threshold: 1, Severity: "critical",
			Description: "Calls are refused until its window is over or the limit is raised.",
		},
		"budget_near": {
			Per: "pool", Metric: "budget_near", Op: ">=", Threshold: 1, Window: time.Hour, Severity: "info",
		},
		"config_refused": {
			Per: "pool", Metric: "config_refused", Op: ">=", Threshold: 1, KeepFiringFor: -1, Severity: "critical",
			Description: "What the pool's log says was wrong is to be mended and the configuration loaded again.",
		},
		"degraded": {
			Per: "pool", Metric: "degradation", Op: ">=", Threshold: 3, For: time.Minute,
		},
		"background_panic": {
			Per: "pool", Metric: "panics", Op: ">=", Threshold: 1, Window: time.Hour,
			Description: "It was started again. The pool's log has the stack.",
		},
	}
}

// inhibitions are those that there are anyway.
var inhibitions = []Inhibition{
	{By: "pool_lost", Rules: []string{"name_lost", "provider_down", "model_unavailable", "high_failure_rate", "breaker_flapping", "degraded", budgetBurn, budgetDrain}},
	{By: "name_lost", Rules: []string{"model_unavailable", "high_failure_rate", "breaker_flapping"}, Same: []string{"name"}},
	{By: "provider_down", Rules: []string{"model_unavailable", "high_failure_rate", "breaker_flapping"}, Same: []string{"provider"}},
	{By: "key_refused", Rules: []string{"model_unavailable", "high_failure_rate", "breaker_flapping", "provider_down"}, Same: []string{"provider"}},
	{By: "key_spent", Rules: []string{"model_unavailable", "high_failure_rate", "breaker_flapping", "provider_down"}, Same: []string{"provider"}},
	{By: "model_unavailable", Rules: []string{"high_failure_rate", "breaker_flapping", "throttled"}, Same: []string{"model"}},
	{By: budgetBurn, Rules: []string{budgetDrain}, Same: []string{"objective"}},
}

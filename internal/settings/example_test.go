package settings_test

import (
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience/internal/settings"
)

type breakerConfig struct {
	FailureRate float64       `json:"failureRate" default:"0.5" max:"1"`
	SlowRate    float64       `json:"slowRate" max:"1"`
	OpenFor     time.Duration `json:"openFor" default:"15s"`

	Models map[string]breakerConfig `json:"models,omitempty"`
}

func Example() {
	file := `{
		"breaker": {"slowRate": 0.2, "models": {"gpt-5": {"openFor": "1m", "slowRate": -1}}},
		"x-comment": "keys that begin with x- are ignored"
	}`
	sections, _ := settings.Sections([]byte(file))
	var cfg breakerConfig
	problems := settings.Decode("breaker", sections["breaker"], &cfg)
	problems = append(problems, settings.Check("breaker", cfg)...)
	settings.Fill(&cfg)

	fmt.Println(problems)
	fmt.Println(settings.Describe(cfg))
	fmt.Println(settings.Describe(settings.Overlay(cfg, cfg.Models["gpt-5"])))
	// Output:
	// []
	// failureRate=0.5 slowRate=0.2 openFor=15s models=1
	// failureRate=0.5 slowRate=off openFor=1m models=1
}

func ExampleDecode() {
	var cfg breakerConfig
	for _, p := range settings.Decode("breaker", []byte(`{"openFor": 30, "models": {"gpt-5": {"failureRat": 1}}}`), &cfg) {
		fmt.Printf("%s: %s\n", p.Path, p.Problem)
	}
	// Output:
	// breaker.openFor: want a duration such as "15s", not a number
	// breaker.models.gpt-5.failureRat: unknown key; did you mean "failureRate"?
}

func ExampleCheck() {
	cfg := breakerConfig{FailureRate: -1, SlowRate: -1, Models: map[string]breakerConfig{"gpt-5": {SlowRate: 1.5}}}
	for _, p := range settings.Check("breaker", cfg) {
		fmt.Printf("%s: %s\n", p.Path, p.Problem)
	}
	// Output:
	// breaker.slowRate: -1 must not be negative
	// breaker.models.gpt-5.slowRate: 1.5 is more than 1
}

func ExampleNearest() {
	fmt.Println(settings.Nearest("fallbak", []string{"breaker", "fallback", "retry"}))
	// Output: fallback
}

func ExampleJoin() {
	path := settings.Join("breaker", "models")
	fmt.Println(settings.Join(settings.Join(path, "gpt-5"), "openFor"))
	fmt.Println(settings.Join(settings.Join(path, "gpt-4.1"), "openFor"))
	// Output:
	// breaker.models.gpt-5.openFor
	// breaker.models["gpt-4.1"].openFor
}

package budget

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// section is the name of the feature's part of a configuration file.
const section = "budget"

// Scope is what a limit is for.
type Scope string

// The scopes.
const (
	Pool   Scope = "pool"   // all calls together
	Tenant Scope = "tenant" // each CallOptions.Tenant; calls without one are one tenant
	Op     Scope = "op"     // each CallOptions.Op, likewise
	Model  Scope = "model"  // each ModelInfo.Name
)

// A Limit is what may be spent in a window. Of the amounts at least one is not
// zero; those that are zero are neither limited nor counted.
type Limit struct {
	Scope Scope `json:"scope" default:"pool" oneof:"pool tenant op model"`

	// Only is the one tenant, operation or name that the limit is for. It has
	// no other limits of its scope than those that name it.
	Only string `json:"only,omitempty"`

	Cost     float64 `json:"cost,omitempty" max:"1e9"` // in US dollars
	Tokens   int64   `json:"tokens,omitempty" max:"1000000000000000"`
	Requests int64   `json:"requests,omitempty" max:"1000000000000000"` // that a provider has accepted

	Window Window `json:"window"`

	// Soft is the part of an amount at which the limit is told of by an event
	// and, if that amount is dollars and the scope not a model, cheaper models
	// go first.
	Soft float64 `json:"soft,omitempty" default:"0.8" max:"1" off:"no"`
}

// Unpriced says what a model without a price costs.
type Unpriced string

// What a model without a price costs.
const (
	Refuse Unpriced = "refuse" // too much: where dollars are limited it is not asked
	Assume Unpriced = "assume" // as much as the dearest of the pool, of each kind of token
	Ignore Unpriced = "ignore" // nothing
)

// Config configures [Budgets]. The zero value limits nothing.
type Config struct {
	// Limits are all in force at the same time.
	Limits []Limit `json:"limits,omitempty"`

	Unpriced Unpriced `json:"unpriced" default:"refuse" oneof:"refuse assume ignore"`

	// Wait is how long a call waits, at most, for what others have reserved and
	// may not need; a tenth of that while it can go to another model. Negative
	// means that it is refused at once.
	Wait time.Duration `json:"wait" default:"10s" max:"1h"`

	// Queue is how many calls may wait for an account. Negative means none.
	Queue int `json:"queue" default:"1000" max:"10000"`

	// Names is how many tenants, operations and names of models are told apart,
	// of each. Those that come when all places are taken by such as have spent
	// something in their windows share the account of one that is called "other".
	Names int `json:"names" default:"10000" max:"1000000" off:"no"`

	// ObserveOnly counts, lets everything pass, and publishes what would have
	// been refused, or would have waited, with Would set.
	ObserveOnly bool `json:"observeOnly"`
}

// over returns c with what a section of a configuration file says lying over it.
func (c Config) over(raw json.RawMessage) (Config, error) {
	if err := configErrors(settings.Decode(section, raw, &c)); err != nil {
		return Config{}, err
	}
	return c, c.check()
}

// check returns what is wrong with c, as joined [*resilience.ConfigError]s.
func (c Config) check() error {
	problems := settings.Check(section, c)
	seen := map[string]int{}
	for i, l := range c.Limits {
		fail := func(field, problem string) {
			problems = append(problems, settings.Problem{Path: fmt.Sprintf("%s.limits[%d].%s", section, i, field), Problem: problem})
		}
		if err := l.Window.check(); err != nil {
			fail("window", err.Error())
		}
		if l.Cost == 0 && l.Tokens == 0 && l.Requests == 0 {
			fail("cost", "is missing, and so are tokens and requests; a limit limits one of them at least")
		}
		if l.Only != "" && (l.Scope == Pool || l.Scope == "") {
			fail("only", "is for tenants, operations and models; a pool has no name")
		}
		settings.Fill(&l)
		key := l.key()
		if first, twice := seen[key]; twice {
			fail("window", fmt.Sprintf("limits[%d] has the same scope and window; give its amounts there", first))
		}
		seen[key] = i
	}
	return configErrors(problems)
}

func configErrors(problems []settings.Problem) error {
	var errs []error
	for _, p := range problems {
		errs = append(errs, &resilience.ConfigError{Path: p.Path, Problem: p.Problem})
	}
	return errors.Join(errs...)
}

// key is what tells limits apart.
func (l Limit) key() string { return fmt.Sprintf("%s %s %q", l.Scope, l.Window, l.Only) }

// What is counted, in whole numbers, so that sums are exact.
const (
	cost     = iota // in billionths of a US dollar
	tokens          //
	requests        //
	resources
)

// price is what a model lacks, and no amount.
const price = resources

var resourceNames = [...]string{"cost", "tokens", "requests", "price"}

// amounts are of each resource.
type amounts [resources]int64

// nano is a billionth of a dollar; most is what an attempt can take.
const (
	nano = 1e9
	most = 1 << 50
)

// nanos makes whole numbers of dollars.
func nanos(dollars float64) int64 {
	if !(dollars > 0) {
		return 0
	}
	if n := dollars*nano + 0.5; n < most {
		return int64(n)
	}
	return most
}

// limits are the amounts of l; zero is none.
func (l Limit) limits() amounts {
	a := amounts{0, l.Tokens, l.Requests}
	if l.Cost > 0 {
		a[cost] = max(int64(math.Round(l.Cost*nano)), 1)
	}
	return a
}

// shown is an amount as people know it.
func shown(resource int, n int64) float64 {
	if resource == cost {
		return float64(n) / nano
	}
	return float64(n)
}

package bipadapter

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// Config configures an [Adapter]. With the zero value every model of the client
// votes, deployments of one model as one, with equal weight, by the rule of BIP-06, and
// no record is kept.
type Config struct {
	Voters []Voter `json:"voters"` // all models of the client when a round begins, as generals
	Rule   Rule    `json:"rule"`   // Preset("BIP-06")

	// Deadline is how long a round takes at most, or less if the context has a sooner
	// one. What has come by then is counted. A caller that is deaf to its context holds
	// a round up, as it does any call.
	Deadline time.Duration `json:"deadline" default:"2m" min:"10ms" max:"24h" off:"no"`

	// Early asks voters in a random order, and no more of them than it takes: once
	// those who have not been asked could not change the outcome, they are absent. It
	// spares money, and takes longer: those who turn out to be needed are asked later.
	Early bool `json:"early"`

	// MaxCost is what a round may cost, in US dollars; off. Voters for whom nothing
	// is left are absent.
	MaxCost float64 `json:"maxCost" max:"1e9"`

	Types map[OperationType]TypeConfig `json:"types,omitempty"`

	// Operator is who opens rounds unless an operation says so, and Judge the name and
	// version of what reads ballots, both for records.
	Operator string `json:"operator" default:"operator"`
	Judge    string `json:"judge" default:"judge"`

	// Sealed leaves answers out of records: there are digests of them, whose salts
	// [Vote] has. What such a record says of ballots has to be believed until who
	// keeps answers and salts shows them.
	Sealed bool `json:"sealed"`

	// Journal is a file, of this adapter alone, from which rounds resume that the end
	// of the process has interrupted, and in which reviews that are due outlive it;
	// none. It is kept small.
	Journal string `json:"journal,omitempty"`

	// Log is where records are kept; nil keeps none. Where it or the journal cannot
	// be written, no round begins, and none ends with a decision.
	Log *Log `json:"-"`

	// Authorize checks who declares an emergency, and what token says so. Without it
	// nobody can.
	Authorize func(ctx context.Context, op Operation, d Declaration) error `json:"-"`

	// Random is where names, nonces and tokens come from; crypto/rand.
	Random io.Reader `json:"-"`
}

// A setup is a Config with its defaults.
type setup struct {
	cfg Config
}

func newSetup(cfg Config) (*setup, error) {
	errs := problems(settings.Check("bipadapter", cfg))
	if reflect.ValueOf(cfg.Rule).IsZero() {
		cfg.Rule, _ = Preset("BIP-06")
	}
	settings.Fill(&cfg)
	errs = append(errs, cfg.Rule.Check())
	for _, name := range []struct{ field, text string }{{"operator", cfg.Operator}, {"judge", cfg.Judge}} {
		if !plain(name.text) {
			errs = append(errs, &resilience.ConfigError{Path: "bipadapter." + name.field, Problem: "want a name, printable text of at most 128 bytes"})
		}
	}
	cfg.Rule, cfg.Types = cfg.Rule.clone(), maps.Clone(cfg.Types)
	for _, t := range slices.Sorted(maps.Keys(cfg.Types)) {
		if _, ok := manners[t]; !ok {
			errs = append(errs, &resilience.ConfigError{Path: "bipadapter.types." + clip(string(t)), Problem: "is no type of operation"})
		}
		if p := cfg.Types[t].Priority; p != nil && (*p < resilience.Low || *p > resilience.Critical) {
			errs = append(errs, &resilience.ConfigError{Path: "bipadapter.types." + clip(string(t)) + ".priority", Problem: "is none; want low, normal, high or critical"})
		}
		if c := cfg.Types[t]; c.Rule != nil {
			if err := c.Rule.Check(); err != nil {
				errs = append(errs, fmt.Errorf("bipadapter.types.%s: %w", t, err))
			}
			rule := c.Rule.clone()
			c.Rule = &rule
			cfg.Types[t] = c
		}
	}
	voters, err := Collapse(cfg.Voters)
	cfg.Voters = voters
	for i, v := range voters {
		if v.Model == "" {
			errs = append(errs, &resilience.ConfigError{Path: fmt.Sprintf("bipadapter.voters[%d].model", i), Problem: "is missing: the ID of the model that votes as " + clip(v.Name)})
		}
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	cfg.Random = &shared{from: cfg.Random}
	return &setup{cfg}, errors.Join(append(errs, err)...)
}

// shared is a source of chance that several voters draw from at the same time.
type shared struct {
	mu   sync.Mutex
	from io.Reader
}

// Read implements [io.Reader].
func (s *shared) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.from.Read(p)
}

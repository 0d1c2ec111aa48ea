package chaos

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// An Experiment injects faults under load, and says what must hold meanwhile.
// [Injector.Run] runs it, in three parts: without faults, to see whether the
// steady state is met; with them, for For; and then, without them again, for one
// and a half times Recover.
type Experiment struct {
	Name  string  `json:"name"`
	About string  `json:"about,omitempty"` // what it stands for
	Seed  uint64  `json:"seed,omitempty"`
	Load  Traffic `json:"load,omitzero"`

	// Each a second at least and a week at most.
	Control time.Duration `json:"control,omitempty" default:"30s" min:"1s" max:"168h" off:"no"` // without faults
	For     time.Duration `json:"for,omitempty" default:"1m" min:"1s" max:"168h" off:"no"`      // with them
	Recover time.Duration `json:"recover,omitempty" default:"1m" min:"1s" max:"168h" off:"no"`  // after which all must be well again

	Method []Injection `json:"method,omitempty"`
	Drift  Drift       `json:"drift,omitzero"`

	Steady  Promises `json:"steady,omitzero"` // without faults, or the run is invalid; without any, 99 % of the calls succeed
	During  Promises `json:"during,omitzero"` // with them
	Conduct Conduct  `json:"conduct,omitzero"`
	Abort   Promises `json:"abort,omitzero"` // broken over a sixth of For, by ten calls at least, they end the experiment
	Blast   Blast    `json:"blast,omitzero"`

	Weight float64 `json:"weight,omitempty" default:"10" max:"1000000" off:"no"` // in the score of a [Report]
}

// Traffic is the calls that an experiment makes: a Poisson process, whatever
// becomes of the calls before, of 100,000 calls at most.
type Traffic struct {
	PerSecond float64       `json:"perSecond,omitempty" default:"10" off:"no"`
	AtOnce    int           `json:"atOnce,omitempty" default:"1000" off:"no"` // a call for which there is no room has failed
	Patience  time.Duration `json:"patience,omitempty" default:"30s" off:"no"`
	Capacity  float64       `json:"capacity,omitempty" zero:"enough"` // calls a second that each model can answer, for goodput; enough for all
}

// Promises are what must hold of calls. A zero field promises nothing.
type Promises struct {
	Success  float64       `json:"success,omitempty" max:"1"` // of the calls, at least
	Goodput  float64       `json:"goodput,omitempty" max:"1"` // of the calls that the models which are left can answer, at least
	P95      time.Duration `json:"p95,omitempty"`             // of the calls' time, at most
	Attempts float64       `json:"attempts,omitempty"`        // for each call, on average at most
}

// Conduct is how calls may behave, whatever their outcome. That a wait which a
// provider asked for is kept, that no broken answer passes for a whole one and
// that nothing is asked again of which the reader has got a part, is looked at in
// any case.
type Conduct struct {
	Attempts int     `json:"attempts,omitempty" default:"6"` // of one call, at most
	Probes   float64 `json:"probes,omitempty" default:"20"`  // attempts a minute at a model that answers nothing, after the first ten
}

// Drift is a change of the pool's configuration while the faults last, by
// [resilience.Pool.Reload], and back.
type Drift struct {
	Drop   int             `json:"drop,omitempty"` // so many models leave, the first ones
	Config json.RawMessage `json:"-"`              // sections that take the place of those in force; in a file it is "config"
}

func (d Drift) zero() bool { return d.Drop == 0 && len(d.Config) == 0 }

const maxCalls = 100_000

// ReadExperiment reads an experiment in JSON, as strictly as a configuration
// file is read: durations are text such as "15s". If something is wrong, the
// error has a [resilience.ConfigError] for each thing, with its path.
func ReadExperiment(r io.Reader) (Experiment, error) {
	const most = 1 << 20
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return Experiment{}, err
	}
	var e Experiment
	data, raw := extract(data)
	problems := settings.Decode("", data, &e)
	if len(problems) == 1 && problems[0].Path == "" {
		problems[0].Path = "experiment"
		return Experiment{}, configErrors(problems)
	}
	e.Drift.Config = raw
	errs := []error{configErrors(problems)}
	for _, err := range e.problems() {
		if !explained(err, problems) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Experiment{}, err
	}
	return e, nil
}

// explained reports whether err comes of what could not be read: at its path, or
// within.
func explained(err error, problems []settings.Problem) bool {
	wrong, ok := errors.AsType[*resilience.ConfigError](err)
	return ok && slices.ContainsFunc(problems, func(p settings.Problem) bool {
		rest, within := strings.CutPrefix(p.Path, wrong.Path)
		return within && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// extract takes drift.config out of a document, whatever it holds: it is the
// pool's to check.
func extract(data []byte) (rest []byte, config json.RawMessage) {
	sections, problems := settings.Sections(data)
	if len(problems) > 0 || sections["drift"] == nil {
		return data, nil
	}
	drift, problems := settings.Sections(sections["drift"])
	if config = drift["config"]; len(problems) > 0 || config == nil {
		return data, nil
	}
	delete(drift, "config")
	var err error
	if sections["drift"], err = json.Marshal(drift); err == nil {
		rest, err = json.Marshal(sections)
	}
	if err != nil {
		return data, nil
	}
	return rest, config
}

// problems returns all that is wrong with e, whatever the pool.
func (e Experiment) problems() []error {
	var c checker
	c.tags("", e)
	if e.Name == "" {
		c.bad("name", "is missing")
	}
	if len(e.Method) == 0 && e.Drift.zero() {
		c.bad("method", "is empty: there is nothing to inject")
	}
	c.injections("method", e.Method)
	if len(e.Drift.Config) > 0 {
		_, problems := settings.Sections(e.Drift.Config)
		for _, p := range problems {
			c.bad(within("drift.config", p.Path), "%s", p.Problem)
		}
	}
	settings.Fill(&e)
	if n := e.Load.PerSecond * (e.Control.Seconds() + e.For.Seconds() + 1.5*e.Recover.Seconds()); n > maxCalls {
		c.bad("load.perSecond", "%v calls a second make %.0f calls, more than %d", e.Load.PerSecond, min(n, 1e15), maxCalls)
	}
	return c.errs
}

// within is the path of what stands at a path within what stands at another.
func within(outer, inner string) string {
	if inner == "" || inner[0] == '[' {
		return outer + inner
	}
	return outer + "." + inner
}

// after is how long the calls go on after the faults.
func (e Experiment) after() time.Duration { return e.Recover * 3 / 2 }

package anomaly

import (
	"errors"

	"github.com/cmmv-hive/resilience/internal/settings"
)

// Config configures a [Detector]. The zero value is ready to use: a zero field
// means the default that is named beside it. Time is counted in rows: a
// detector is meant for values that come at an even pace.
type Config struct {
	// Threshold is what the strongest signal must come to: its value, times its
	// weight, over one more than the highest that it has come to lately.
	Threshold float64 `json:"threshold" default:"0.5" min:"0.001" max:"1000" off:"no"`

	// Hold is how many rows without an anomaly end an incident. What goes on for
	// more than twice as many is an incident again.
	Hold int `json:"hold" default:"120" max:"1000000000" off:"no"`

	// Memory is how many rows it takes a past peak to fall to 37 %.
	Memory int `json:"memory" default:"30000" max:"1000000000" off:"no"`

	// Weights of the signals. Negative is off.
	Spike float64 `json:"spike" default:"0.1" max:"1000"` // the distance of one value, long tails drawn in
	Drop  float64 `json:"drop" default:"0.25" max:"1000"` // how far one value is below the usual
	Shift float64 `json:"shift" default:"0.3" max:"1000"` // the distance of the mean of some 33 rows
	Drift float64 `json:"drift" default:"0.8" max:"1000"` // a CUSUM of what the hours do not explain
	Shape float64 `json:"shape" default:"0.6" max:"1000"` // how unlike the last 62 rows are to any before
}

// Check returns what is wrong with c: fields that are out of bounds.
func (c Config) Check() error {
	var errs []error
	for _, p := range settings.Check("anomaly", c) {
		errs = append(errs, errors.New(p.Path+": "+p.Problem))
	}
	return errors.Join(errs...)
}

// filled returns c with its defaults.
func (c Config) filled() Config {
	if c.Check() != nil {
		c = Config{}
	}
	settings.Fill(&c)
	return c
}

package history

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// section is the name of the feature's part of a configuration file.
const section = "history"

// Config configures a [History]. The zero value is ready to use: a zero field means
// the default that is named beside it.
type Config struct {
	// Models is how many models have a history of their own, in the order in which
	// they are met; the others share one, [Others]. A model that has left the pool
	// makes room for another.
	Models int `json:"models" default:"256" max:"10000" off:"no"`

	// Watched is how many of them, that have had attempts, are watched for what is
	// unusual. Negative is none, at once; a lower number keeps those that are.
	Watched int `json:"watched" default:"256" max:"10000"`

	// File is where the history is kept across restarts; without it there is none
	// before the process began. Its directory must be there, and one process alone
	// may have it and the name with ".next" after it, under which it is written before
	// it takes the place of the one before. It is read when the pool is made. One that
	// is damaged or of another version is moved aside, and history begins anew; the log
	// says so. A file that cannot be written while the pool runs is tried again, and
	// the log says that, too.
	File string `json:"-"`

	// SaveEvery is the time between two writes of File, beside that at the end of
	// [resilience.Pool.Run]: what may be lost if the process does not end well.
	// Negative means at the end only.
	SaveEvery time.Duration `json:"saveEvery" default:"5m" min:"10s" max:"24h"`

	// Location is where days, weeks and months of reports begin; UTC. An hour of
	// history begins when one of UTC does, so where clocks differ by a part of an hour
	// a day is that much off.
	Location *time.Location `json:"-"`
}

// over returns c with what a section of a configuration file says lying over it,
// and defaults filled in.
func (c Config) over(raw json.RawMessage) (Config, error) {
	c, problems := settings.Over(section, raw, c)
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = &resilience.ConfigError{Path: p.Path, Problem: p.Problem}
	}
	return c, errors.Join(errs...)
}

// String returns the settings.
func (c Config) String() string { return section + " " + settings.Describe(c) }

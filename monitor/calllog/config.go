package calllog

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// section is the name of the feature's part of a configuration file.
const section = "calllog"

// Config configures a [Log]. The zero value is ready to use: a zero field means
// the default that is named beside it.
type Config struct {
	// PerMinute is how many lines a minute there are of calls of one operation
	// that end in one kind at one model, at most, and Burst how many of them may
	// come at once. Sorts beyond the 256th share their lines with others.
	// Negative PerMinute means no limit.
	PerMinute int `json:"perMinute" default:"6" max:"60000"`
	Burst     int `json:"burst" default:"5" max:"1000" off:"no"`

	// Logger is where lines go, instead of the pool's logger, which discards
	// what it gets unless there is a [resilience.Logger].
	Logger *slog.Logger `json:"-"`

	// Trace returns the trace that a call belongs to, "" for none. It is asked
	// on the call's goroutine, for calls that have a line.
	Trace func(ctx context.Context) string `json:"-"`
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

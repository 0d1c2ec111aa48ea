package notify

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience/internal/settings"
)

const section = "notify"

// Config configures an [Outbox]. A zero field means the default that is named
// beside it.
type Config struct {
	// Channels are where notifications go. Their names differ.
	Channels []Channel `json:"-"`

	// Queue is how many groups wait for each channel, the one among them that it is
	// being told of.
	Queue int `json:"queue" default:"64" max:"10000" off:"no"`

	// Timeout bounds a try.
	Timeout time.Duration `json:"timeout" default:"10s" min:"10ms" max:"10m" off:"no"`

	// Backoff is the time to the second try. It doubles with each further one up to
	// MaxBackoff, and up to half of it is taken away at random. A channel that says
	// how long to wait is waited for, an hour at most.
	Backoff    time.Duration `json:"backoff" default:"1s" min:"1ms" max:"1h" off:"no"`
	MaxBackoff time.Duration `json:"maxBackoff" default:"1m" min:"1ms" max:"1h" off:"no"`

	// Keep is how long a notification is tried for, and waits at most, even if the
	// channel says to wait for longer.
	Keep time.Duration `json:"keep" default:"1h" min:"1s" max:"168h" off:"no"`

	// Flush is how long Run goes on when it is told to stop, while something waits
	// that has not failed yet.
	Flush time.Duration `json:"flush" default:"3s" max:"1m"`

	// Records is how many deliveries are remembered.
	Records int `json:"records" default:"256" max:"100000"`

	// Seed makes the backoff repeatable; by chance.
	Seed uint64 `json:"-"`
}

// over returns c with what a section of a configuration file says lying over it,
// and defaults filled in.
func (c Config) over(raw json.RawMessage) (Config, error) {
	c, problems := settings.Over(section, raw, c)
	return c, configErrors(problems)
}

func plainName(s string) bool {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r)
	}
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) })
}

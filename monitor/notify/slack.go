package notify

import (
	"context"
	"encoding/json"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// SlackConfig configures a channel to Slack. A zero field means the default that is
// named beside it.
type SlackConfig struct {
	// Name is the channel's.
	Name string `json:"name" default:"slack"`

	// URL is the address of an incoming webhook, which is its key, too.
	URL resilience.Secret `json:"-"`

	// Alerts is how many alerts a message shows. How many more there are it says.
	Alerts int `json:"alerts" default:"10" max:"48" off:"no"`

	// HTTP is how Slack is reached.
	HTTP HTTP `json:"http"`
}

type slack struct {
	cfg SlackConfig
	via *poster
}

// NewSlack returns a channel that posts a message for each notification to an incoming
// webhook of Slack, one a second in an [Outbox]. A webhook cannot change what it has
// posted: an end is a message of its own. Errors name the host of the URL alone. The error of
// NewSlack joins [*resilience.ConfigError]s.
func NewSlack(cfg SlackConfig) (Channel, error) {
	const path = section + ".slack"
	via, problems := newPoster(settings.Join(path, "http"), cfg.HTTP)
	problems = append(problems, settings.Check(path, cfg)...)
	if problem := via.problem(cfg.URL.Reveal()); problem != "" {
		problems = append(problems, settings.Problem{Path: settings.Join(path, "url"), Problem: problem})
	}
	settings.Fill(&cfg)
	if err := configErrors(problems); err != nil {
		return nil, err
	}
	return &slack{cfg, via}, nil
}

func (s *slack) Name() string { return s.cfg.Name }

// Pace implements [Paced].
func (s *slack) Pace() time.Duration { return time.Second }

func (s *slack) Notify(ctx context.Context, n Notification) error {
	body, err := json.Marshal(slackOf(n, s.cfg.Alerts))
	if err != nil {
		return Permanent(err)
	}
	return s.via.post(ctx, s.cfg.URL.Reveal(), "application/json", body, nil)
}

package notify

import (
	"cmp"
	"context"
	"os"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// PagerDutyConfig configures a channel to PagerDuty. A zero field means the default
// that is named beside it.
type PagerDutyConfig struct {
	// Name is the channel's.
	Name string `json:"name" default:"pagerduty"`

	// RoutingKey is the integration key of a service or a ruleset, for Events API v2.
	RoutingKey resilience.Secret `json:"-"`

	// URL takes events. In the EU it is https://events.eu.pagerduty.com/v2/enqueue.
	URL string `json:"url" default:"https://events.pagerduty.com/v2/enqueue"`

	// Source says whose pool it is; the name of the host.
	Source string `json:"source"`

	// HTTP is how PagerDuty is reached.
	HTTP HTTP `json:"http"`
}

type pagerDuty struct {
	cfg PagerDutyConfig
	via *poster
}

// NewPagerDuty returns a channel to PagerDuty, by events of its version 2. A group of
// alerts is one incident there, of which the custom details list the alerts, so that
// what fails together pages once. It is triggered when the group is new and again
// with what changes, acknowledged when somebody is at all that fires, and resolved
// when all of it is over.
//
// PagerDuty keeps the severity that an incident began with: a group that becomes
// critical later pages nobody anew unless critical alerts have a route of their own.
//
// Errors name the host of the URL alone. The error of NewPagerDuty joins
// [*resilience.ConfigError]s.
func NewPagerDuty(cfg PagerDutyConfig) (Channel, error) {
	const path = section + ".pagerduty"
	via, problems := newPoster(settings.Join(path, "http"), cfg.HTTP)
	problems = append(problems, settings.Check(path, cfg)...)
	settings.Fill(&cfg)
	fail := func(key, problem string) {
		problems = append(problems, settings.Problem{Path: settings.Join(path, key), Problem: problem})
	}
	if problem := via.problem(cfg.URL); problem != "" {
		fail("url", problem)
	}
	switch key := cfg.RoutingKey.Reveal(); {
	case key == "":
		fail("routingKey", "is missing")
	case line(key) != key || strings.Contains(key, " "):
		fail("routingKey", "has spaces or line breaks in it")
	}
	host, _ := os.Hostname()
	cfg.Source = cmp.Or(line(short(cfg.Source, pagerField)), host, "unknown")
	if err := configErrors(problems); err != nil {
		return nil, err
	}
	return &pagerDuty{cfg, via}, nil
}

func (p *pagerDuty) Name() string { return p.cfg.Name }

// Pace implements [Paced]: PagerDuty takes 120 events a minute.
func (p *pagerDuty) Pace() time.Duration { return time.Second }

func (p *pagerDuty) Notify(ctx context.Context, n Notification) error {
	for i, event := range pagerEvents(n, p.cfg.RoutingKey.Reveal(), p.cfg.Source) {
		if err := p.via.post(ctx, p.cfg.URL, "application/json", event, nil); err != nil {
			f := failureOf(err)
			f.unsent = f.unsent && i == 0 // if the one before has arrived
			return &f
		}
	}
	return nil
}

package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// AlertmanagerConfig configures [NewAlertmanager].
type AlertmanagerConfig struct {
	// Name is the channel's.
	Name string `json:"name" default:"alertmanager"`

	// URLs are those of all replicas, without /api/v2/alerts.
	URLs []resilience.Secret `json:"-"`

	// Lease is how long an alert fires on in Alertmanager that it is not told of
	// again, as when the process is gone. It has to be longer than the time after
	// which alerts are told of again, and than people take for one that they have
	// acknowledged.
	Lease time.Duration `json:"lease" default:"12h" min:"1s" max:"720h" off:"no"`

	// Labels are added to those of alerts that do not have them. Processes that
	// shall not end each other's alerts differ in one.
	Labels map[string]string `json:"labels,omitempty"`

	// Link is where people see more, such as a dashboard.
	Link string `json:"link,omitempty"`

	// Log is told which replicas were not reached while others were;
	// [slog.Default].
	Log *slog.Logger `json:"-"`

	HTTP HTTP `json:"http"`
}

type alertmanager struct {
	cfg    AlertmanagerConfig
	urls   []string
	poster *poster
}

// NewAlertmanager returns a channel to the Alertmanager of Prometheus, by its API
// v2, which then groups, silences and inhibits, and tells people. Each
// notification goes to all replicas at the same time, and is delivered with the
// first that takes it: the others get what is current with the next one. A
// replica that misses an alert's end lets it fire until its Lease is over.
//
// With alert.Config, a Repeat of a minute and a Lease of five are what Prometheus
// has; the defaults fit a Repeat of four hours. Alerts that a notification leaves
// out are not posted: Listed is to be as large as groups can be.
//
// Errors join [*resilience.ConfigError]s.
func NewAlertmanager(cfg AlertmanagerConfig) (Channel, error) {
	const path = section + ".alertmanager"
	problems := settings.Check(path, cfg)
	settings.Fill(&cfg)
	cfg.Labels = maps.Clone(cfg.Labels)
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	p, more := newPoster(path+".http", cfg.HTTP)
	problems = append(problems, more...)
	a := &alertmanager{cfg: cfg, poster: p}
	if !plainName(cfg.Name) {
		problems = append(problems, settings.Problem{Path: path + ".name", Problem: "want 1 to 64 letters, digits and -_."})
	}
	if len(cfg.URLs) == 0 {
		problems = append(problems, settings.Problem{Path: path + ".urls", Problem: "is missing"})
	}
	for i, u := range cfg.URLs {
		if problem := p.problem(u.Reveal()); problem != "" {
			problems = append(problems, settings.Problem{Path: fmt.Sprintf("%s.urls[%d]", path, i), Problem: problem})
			continue
		}
		to, err := url.JoinPath(u.Reveal(), "api/v2/alerts")
		if err != nil {
			return nil, &resilience.ConfigError{Path: path + ".urls", Problem: "is not a URL"}
		}
		a.urls = append(a.urls, to)
	}
	if err := configErrors(problems); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *alertmanager) Name() string { return a.cfg.Name }

// A postableAlert is one of API v2.
type postableAlert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"` //nolint:tagliatelle // as Alertmanager spells it
}

func (a *alertmanager) postable(n Notification, now time.Time) []postableAlert {
	list := make([]postableAlert, 0, len(n.Alerts))
	for _, alert := range n.Alerts {
		ends := alert.EndsAt
		if alert.Firing() {
			ends = now.Add(a.cfg.Lease)
		}
		if ends.Before(alert.StartsAt) { // it would refuse that
			ends = alert.StartsAt
		}
		list = append(list, postableAlert{
			Labels: labelsOf(alert, a.cfg.Labels), Annotations: annotationsOf(alert),
			StartsAt: alert.StartsAt.UTC(), EndsAt: ends.UTC(), GeneratorURL: a.cfg.Link,
		})
	}
	return list
}

func (a *alertmanager) Notify(ctx context.Context, n Notification) error {
	if len(n.Alerts) == 0 {
		return nil
	}
	body, err := json.Marshal(a.postable(n, time.Now()))
	if err != nil {
		return Permanent(fmt.Errorf("notify: a notification cannot be written: %w", err))
	}
	errs := make([]error, len(a.urls))
	var wg sync.WaitGroup
	for i, to := range a.urls {
		wg.Go(func() { errs[i] = a.poster.post(ctx, to, "application/json", body, nil) })
	}
	wg.Wait()
	failed := slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(failed) == len(a.urls) {
		return allOf(failed)
	}
	for _, err := range failed {
		a.cfg.Log.WarnContext(ctx, "a replica of Alertmanager was not told", "channel", a.cfg.Name, "group", n.Group, "error", safeText(err))
	}
	return nil
}

// allOf makes one error of those of all replicas. It is what all of them are.
func allOf(errs []error) error {
	all := failureOf(errs[0])
	for _, err := range errs[1:] {
		f := failureOf(err)
		all.permanent, all.unsent, all.after = all.permanent && f.permanent, all.unsent && f.unsent, min(all.after, f.after)
	}
	all.err = errors.Join(errs...)
	return &all
}

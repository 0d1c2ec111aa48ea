package resilience

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/cmmv-hive/resilience/internal/settings"
)

// problems makes joined errors of what is wrong.
func problems(list []settings.Problem) error {
	var errs []error
	for _, p := range list {
		path := p.Path
		if path == "" {
			path = "config"
		}
		errs = append(errs, &ConfigError{path, p.Problem})
	}
	return errors.Join(errs...)
}

// decode reads a section strictly into what v points to.
func decode(path string, raw json.RawMessage, v any) error {
	return problems(settings.Decode(path, raw, v))
}

// plan is a checked configuration, ready to be put into effect.
type plan struct {
	infos   []ModelInfo
	given   bool // infos
	bypass  bool
	commits []func()
}

// prepare checks a configuration as a whole.
func (p *Pool) prepare(config []byte) (*plan, error) {
	sections, list := settings.Sections(config)
	errs := []error{problems(list)}
	next := &plan{}
	known := []string{"models", "bypass"}
	for name := range p.setup.sections {
		known = append(known, name)
	}
	slices.Sort(known)
	names := make([]string, 0, len(sections))
	for name := range sections {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if slices.Contains(known, name) {
			continue
		}
		problem := "no feature of this pool has such a section"
		if near := settings.Nearest(name, known); near != "" {
			problem += fmt.Sprintf("; did you mean %q?", near)
		}
		errs = append(errs, &ConfigError{name, problem})
	}
	if raw, ok := sections["bypass"]; ok {
		errs = append(errs, decode("bypass", raw, &next.bypass))
	}
	if raw, ok := sections["models"]; ok {
		next.given = true
		var doc struct {
			Models []ModelInfo `json:"models"`
		}
		whole := slices.Concat([]byte(`{"models":`), raw, []byte("}"))
		errs = append(errs, decode("", whole, &doc))
		next.infos = doc.Models
		errs = append(errs, checkInfos("models", doc.Models)...)
		if len(doc.Models) == 0 {
			errs = append(errs, &ConfigError{"models", "is empty: a pool needs a model"})
		}
	}
	p.mu.Lock()
	infos := next.infos
	if !next.given {
		infos = p.declared()
	}
	errs = append(errs, p.setup.bound(infos))
	p.mu.Unlock()
	for _, name := range known {
		if raw := sections[name]; raw != nil && name != "models" && len(infos) > 0 {
			errs = append(errs, checkOverrides(name, raw, infos))
		}
		s := p.setup.sections[name]
		if s == nil {
			continue
		}
		commit, err := s.prepare(sections[name])
		errs = append(errs, err)
		if commit != nil {
			next.commits = append(next.commits, commit)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return next, nil
}

// declared are the models of a configuration that names none: those that the
// program gave or bound or, if it did neither, those that there are. The caller
// has p.mu.
func (p *Pool) declared() []ModelInfo {
	infos := slices.Concat(p.setup.infos, p.setup.learnt)
	if len(infos) == 0 {
		for _, m := range p.roster.Load().models {
			infos = append(infos, m.Info())
		}
	}
	return infos
}

// checkOverrides reports overrides of a section for models that there are not.
func checkOverrides(section string, raw json.RawMessage, infos []ModelInfo) error {
	var doc struct {
		Models   map[string]json.RawMessage `json:"models"`
		StandIns map[string][]string        `json:"standIns"`
	}
	_ = json.Unmarshal(raw, &doc) // whoever owns the section says better what is wrong with it
	var known []string
	for _, info := range infos {
		known = append(known, info.ID, info.Name)
	}
	var errs []error
	check := func(path, name string) {
		if slices.Contains(known, name) {
			return
		}
		problem := "no model has this ID or name"
		if near := settings.Nearest(name, known); near != "" {
			problem += fmt.Sprintf("; did you mean %q?", near)
		}
		errs = append(errs, &ConfigError{path, problem})
	}
	for _, name := range slices.Sorted(maps.Keys(doc.Models)) {
		check(settings.Join(section+".models", name), name)
	}
	for _, name := range slices.Sorted(maps.Keys(doc.StandIns)) {
		path := settings.Join(section+".standIns", name)
		check(path, name)
		for i, other := range doc.StandIns[name] {
			check(fmt.Sprintf("%s[%d]", path, i), other)
		}
	}
	return errors.Join(errs...)
}

// apply puts a plan into effect, as the configuration of this number. The
// models come first, so that a section that speaks of a new one finds it.
func (p *Pool) apply(next *plan, number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	infos := next.infos
	if !next.given {
		infos = p.declared()
	}
	p.publish(infos, number)
	for _, commit := range next.commits {
		commit()
	}
	p.bypass.Store(next.bypass)
}

// Reload applies a JSON configuration: one section per feature, "models", and
// "bypass". Either all of it takes effect or, if anything in it is wrong or
// the audit refuses, none; the error then has a [*ConfigError] for each thing
// that is wrong, with its path and the nearest right key. What a section says
// lies over the settings that the feature was given in the program; what it
// does not say is as it was given, whatever earlier configurations said. Keys
// that begin with "x-" are ignored.
//
// Calls under way keep the models that they began with. Models that stay keep
// all that is known about them. "bypass": true takes the whole library out of
// the path: calls go straight to the model asked for, or else to the first one
// bound, and nothing is counted. Reloads take turns; one whose ctx ends while it
// waits for its turn returns the cause.
func (p *Pool) Reload(ctx context.Context, config []byte, by Control) error {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	err := p.reload(ctx, config, by)
	if err != nil {
		p.log.ErrorContext(ctx, "configuration refused", "actor", by.Actor, "generation", p.Generation(), "err", err)
	}
	if p.Wants(EventConfig) {
		e := Event{Kind: EventConfig, Err: err, To: strconv.FormatUint(p.Generation(), 10), Reason: by.Actor + ": " + by.Reason}
		p.Emit(ctx, e)
	}
	return err
}

func (p *Pool) reload(ctx context.Context, config []byte, by Control) error {
	next, err := p.prepare(config)
	if err != nil {
		return err
	}
	from := p.Generation()
	change := Change{Control: by, What: "config", From: strconv.FormatUint(from, 10), To: strconv.FormatUint(from+1, 10)}
	if err := p.Audit(ctx, change); err != nil {
		return err
	}
	p.apply(next, from+1)
	p.renew(ctx, by)
	return nil
}

// checkInfos reports what is wrong with a list of models.
func checkInfos(path string, infos []ModelInfo) (errs []error) {
	bad := func(i int, field, problem string) {
		errs = append(errs, &ConfigError{fmt.Sprintf("%s[%d]%s", path, i, field), problem})
	}
	if len(infos) > maxModels {
		errs = append(errs, &ConfigError{path, fmt.Sprintf("has %d models, more than %d", len(infos), maxModels)})
	}
	seen := map[string]int{}
	for i, info := range infos {
		if info.ID == "" {
			bad(i, ".id", "is missing")
		} else if first, ok := seen[info.ID]; ok {
			bad(i, ".id", fmt.Sprintf("%q is the ID of models[%d] too", info.ID, first))
		} else if printable(info.ID) != info.ID {
			bad(i, ".id", notAnID)
		}
		if _, ok := seen[info.ID]; !ok {
			seen[info.ID] = i
		}
		if !(info.Weight >= 0) || info.Weight > maxWeight {
			bad(i, ".weight", "is negative or too large")
		}
		if l := info.Limits; l.Concurrency < 0 || l.RequestsPerMinute < 0 || l.TokensPerMinute < 0 {
			bad(i, ".limits", "are negative")
		}
		for j, key := range info.Keys {
			switch field := fmt.Sprintf(".keys[%d]", j); {
			case key == "":
				bad(i, field, "is empty")
			case printable(key) != key:
				bad(i, field, notAnID+": it is a name, not the key")
			case slices.Contains(info.Keys[:j], key):
				bad(i, field, fmt.Sprintf("%q is there twice", key))
			}
		}
		if info.ContextWindow < 0 {
			bad(i, ".contextWindow", "is negative")
		}
		if problem := info.Price.problem(); problem != "" {
			bad(i, ".price", problem)
		}
	}
	return errs
}

const (
	maxModels = 1 << 16 // positions are 16 bits
	maxWeight = 1e6

	notAnID = "is longer than 64 bytes or has characters other than printable ASCII without spaces"
)

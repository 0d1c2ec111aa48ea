package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

const maxSize = 1 << 30

// A checker collects what is wrong with a configuration.
type checker struct{ errs []error }

func (c *checker) bad(path, format string, args ...any) {
	c.errs = append(c.errs, &resilience.ConfigError{Path: path, Problem: fmt.Sprintf(format, args...)})
}

// tags reports what v's own tags say is wrong with it.
func (c *checker) tags(path string, v any) {
	for _, p := range settings.Check(path, v) {
		c.bad(p.Path, "%s", p.Problem)
	}
}

func (c *checker) law(path string, l Law) {
	if err := l.check(); err != nil {
		c.bad(path, "%v", err)
	}
}

func (c *checker) share(path string, s float64) {
	if !(s >= 0 && s <= 1) {
		c.bad(path, "a share of %v, want 0 to 1", s)
	}
}

// check returns all that is wrong with cfg.
func (cfg *ProviderConfig) check() error {
	var c checker
	if cfg.Speed < 0 || math.IsNaN(cfg.Speed) || math.IsInf(cfg.Speed, 1) {
		c.bad("provider.speed", "a speed of %v, want a positive number", cfg.Speed)
	}
	seen := map[string]bool{}
	for i := range cfg.Models {
		m := &cfg.Models[i]
		path := settings.Join("provider.models", m.Name)
		if seen[m.Name] {
			c.bad(path, "is there twice; models need names of their own")
		}
		seen[m.Name] = true
		c.model(path, m)
	}
	for key, f := range cfg.Keys {
		path := settings.Join("provider.keys", Fingerprint(key))
		if key == "" {
			c.bad(path, "is empty: a request without a key has none to fail by")
		}
		c.wire(path, f)
	}
	slices.SortFunc(c.errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(c.errs...)
}

func (c *checker) model(path string, m *Model) {
	if m.Arguments != "" && !json.Valid([]byte(m.Arguments)) {
		c.bad(path+".arguments", "are no JSON; to cut them is a fault, %s", ArgumentsCut)
	}
	c.law(path+".firstToken", m.FirstToken)
	c.law(path+".rate", m.Rate)
	for i, f := range m.Script {
		c.wire(fmt.Sprintf("%s.script[%d]", path, i), f)
	}
	total := 0.0
	for i, f := range m.Failures {
		at := fmt.Sprintf("%s.failures[%d]", path, i)
		switch f.Fault.Name {
		case Throttled, Slow:
			c.bad(at+".fault", "%s needs an incident", f.Fault.Name)
		default:
			c.strikes(at+".fault", f.Fault)
		}
		c.law(at+".after", f.After)
		c.share(at+".share", f.Share)
		if f.Share == 0 {
			c.bad(at+".share", "is missing: 1 is every attempt")
		}
		total += f.Share
	}
	if total > 1+1e-9 {
		c.bad(path+".failures", "have together a share of %v, more than 1", total)
	}
	for i, in := range m.Incidents {
		at := fmt.Sprintf("%s.incidents[%d]", path, i)
		c.strikes(at+".fault", in.Fault)
		c.law(at+".after", in.After)
		c.share(at+".share", in.Share)
		if in.From < 0 || in.For <= 0 {
			c.bad(at, "from %v for %v is not a time to come", in.From, in.For)
		}
		slow := in.Fault.Name == Slow
		if slow && !(in.Slower > 1) {
			c.bad(at+".slower", "a factor of %v slows nothing down", in.Slower)
		}
		if slow && (in.Fault.After != 0 || len(in.After) > 0) {
			c.bad(at, "a slow incident has a factor, slower, and no time")
		}
		if !slow && in.Slower != 0 {
			c.bad(at+".slower", "means nothing to %s", in.Fault)
		}
	}
}

// wire checks a fault that is for a provider.
func (c *checker) wire(path string, f Fault) {
	c.fault(path, f)
	if slices.Contains(onTheWay, f.Name) {
		c.bad(path+".name", "%s happens before a provider is asked: use an Injector", f.Name)
	}
}

// strikes checks a fault where there has to be one.
func (c *checker) strikes(path string, f Fault) {
	if f == (Fault{}) {
		c.bad(path, "is empty: want a name or a status")
	}
	c.wire(path, f)
}

// fault checks a fault whose tags nobody has looked at.
func (c *checker) fault(path string, f Fault) {
	c.sense(path, f)
	if f.After < 0 || f.For < 0 || f.Pace < 0 || f.KeepAlive < 0 {
		c.bad(path, "has a negative time: after %v, for %v, pace %v, keepAlive %v", f.After, f.For, f.Pace, f.KeepAlive)
	}
	if f.Tokens < 0 || f.Times < 0 || f.Size < 0 || f.Size > maxSize || f.Times > maxTokens {
		c.bad(path, "counts out of bounds: tokens %d, times %d (0 to %d), size %d (0 to %d)", f.Tokens, f.Times, maxTokens, f.Size, maxSize)
	}
}

// sense reports what does not belong together in a fault.
func (c *checker) sense(path string, f Fault) {
	uses, known := looks[f.Name]
	if !known {
		names := make([]string, 0, len(looks))
		for _, n := range Faults() {
			names = append(names, string(n))
		}
		hint := ""
		if near := settings.Nearest(string(f.Name), names); near != "" {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		c.bad(path+".name", "there is no fault %q%s", f.Name, hint)
		return
	}
	if f.Name == None && f.Status != 0 {
		uses = refusal
	}
	bare := Fault{Name: f.Name, Status: f.Status}
	for _, x := range []struct {
		name string
		of   field
		set  bool
	}{
		{"status", ofStatus, f.Status != 0},
		{"for", ofFor, f.For != 0},
		{"tokens", ofTokens, f.Tokens != 0},
		{"times", ofTimes, f.Times != 0},
		{"pace", ofPace, f.Pace != 0},
		{"keepAlive", ofKeepAlive, f.KeepAlive != 0},
		{"size", ofSize, f.Size != 0},
		{"text", ofText, f.Text != ""},
		{"model", ofModel, f.Model != ""},
		{"wait", ofWait, f.Wait != 0},
		{"waitAs", ofWait, f.WaitAs != ""},
		{"retryAfter", ofWait, f.RetryAfter != ""},
	} {
		if x.set && uses&x.of == 0 {
			c.bad(path+"."+x.name, "means nothing to %s", bare)
		}
	}
	if f.Status != 0 && (f.Status < 400 || f.Status > 599) {
		c.bad(path+".status", "%d is no status of an error, want 400 to 599", f.Status)
	}
	switch f.WaitAs {
	case "", WaitSeconds, WaitMillis, WaitDate, WaitReset, WaitBody:
	default:
		c.bad(path+".waitAs", "%q is no way to ask for a wait, want seconds, millis, date, reset or body", f.WaitAs)
	}
	if f.WaitAs != "" && f.Wait == 0 && f.Name != Throttled {
		c.bad(path+".waitAs", "needs a wait")
	}
	if f.RetryAfter != "" && (f.Wait != 0 || f.WaitAs != "") {
		c.bad(path+".retryAfter", "stands instead of wait and waitAs, not beside them")
	}
	if strings.ContainsAny(f.RetryAfter, "\r\n") {
		c.bad(path+".retryAfter", "has a line break in it")
	}
}

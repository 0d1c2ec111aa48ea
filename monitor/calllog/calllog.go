// Package calllog writes one line of log for each call that did not go as it
// should, and none for the others, nor for those that their callers canceled.
//
// A line is a warning with the message "call failed", "call rescued" or "call
// degraded" and the attributes of [resilience.Report]: the call, its operation,
// each attempt with its kind, status and the provider's request ID, models that
// were skipped and until when, cost and configuration. Before these come kind and
// retryAfter of a failure, and the tenant and the trace, if there are any. There
// is never a prompt, an answer or a key in it.
//
// What happens often is sampled: of calls of one operation that end in the same
// kind at the same model, [Config] says how many lines there are a minute. How
// many calls had no line is told by the attribute unlogged of the next line that
// is, and once a minute by a line of its own within [resilience.Pool.Run], so that
// lines and these counts make up all calls.
package calllog

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/cmmv-hive/resilience"
)

// Messages of lines.
const (
	failed   = "call failed"
	rescued  = "call rescued"
	degraded = "call degraded"
	unlogged = "calls without a line"
)

// A Log is the feature. It owns the section "calllog".
type Log struct {
	given  Config
	pool   *resilience.Pool
	config atomic.Pointer[Config]
	sample sample
}

// New returns a log. What is wrong with cfg is reported by [resilience.NewPool].
func New(cfg Config) *Log { return &Log{given: cfg} }

// Install implements [resilience.Feature].
func (l *Log) Install(s *resilience.Setup) error {
	if l.pool != nil {
		return &resilience.ConfigError{Path: section, Problem: "this log belongs to another pool"}
	}
	first, err := l.given.over(nil)
	if err != nil {
		return err
	}
	l.pool = s.Pool()
	l.config.Store(&first)
	s.Configure(section, func(raw json.RawMessage) (func(), error) {
		next, err := l.given.over(raw)
		return func() { l.config.Store(&next) }, err
	})
	s.Reports(l.read)
	s.Background(section, l.run)
	return nil
}

// String returns the settings in effect.
func (l *Log) String() string { return l.config.Load().String() }

// logger returns where lines go.
func (l *Log) logger() *slog.Logger {
	if own := l.given.Logger; own != nil {
		return own
	}
	return l.pool.Log()
}

func (l *Log) read(ctx context.Context, r resilience.Report, err error) {
	to := l.logger()
	if !to.Enabled(ctx, slog.LevelWarn) {
		return
	}
	kind := resilience.KindOf(err)
	if kind == resilience.Canceled {
		return
	}
	pass, before := l.sample.take(l.config.Load(), int64(l.pool.Now()), r.Op, kind, at(&r))
	if !pass {
		return
	}
	attrs := make([]slog.Attr, 0, 16)
	if err != nil {
		attrs = append(attrs, slog.String("kind", kind.String()))
		if after := resilience.RetryAfter(err); after > 0 {
			attrs = append(attrs, slog.Duration("retryAfter", after))
		}
	}
	attrs = name(attrs, "tenant", resilience.CallFrom(ctx).Tenant())
	if l.given.Trace != nil {
		attrs = name(attrs, "trace", l.given.Trace(ctx))
	}
	r.Op = clip(r.Op)
	attrs = append(attrs, r.LogValue().Group()...)
	if wait := waited(r.Attempts); wait > 0 {
		attrs = append(attrs, slog.Duration("waited", wait))
	}
	if before > 0 {
		attrs = append(attrs, slog.Uint64("unlogged", before))
	}
	to.LogAttrs(ctx, slog.LevelWarn, message(&r, err), attrs...)
}

// run tells once a minute, and at the end, of what had no line.
func (l *Log) run(ctx context.Context) error {
	tell := func() {
		if n := l.sample.left(); n > 0 {
			l.logger().LogAttrs(ctx, slog.LevelWarn, unlogged, slog.Uint64("unlogged", n))
		}
	}
	defer tell()
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			tell()
		}
	}
}

func message(r *resilience.Report, err error) string {
	switch {
	case err != nil:
		return failed
	case r.Substituted || r.LastResort || r.Rescued || r.Defaulted || waited(r.Attempts) > 0 || len(r.Attempts) > 1:
		return rescued
	default:
		return degraded
	}
}

// at returns the model that the call is sampled with: the first that failed, or
// else the one that answered.
func at(r *resilience.Report) *resilience.Model {
	for _, a := range r.Attempts {
		if a.Kind != 0 {
			return a.Model
		}
	}
	return r.Model
}

func waited(attempts []resilience.Attempt) (wait time.Duration) {
	for _, a := range attempts {
		wait += a.Wait
	}
	return wait
}

// name adds a foreign name, if there is one.
func name(attrs []slog.Attr, key, value string) []slog.Attr {
	if value == "" {
		return attrs
	}
	return append(attrs, slog.String(key, clip(value)))
}

// clip returns a foreign name in at most 64 bytes of printable text.
func clip(name string) string {
	const most = 64
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return -1
	}, name[:min(len(name), most)])
}

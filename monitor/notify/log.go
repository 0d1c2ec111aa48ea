package notify

import (
	"context"
	"errors"
	"log/slog"
	"slices"
)

// NewLog returns a channel called "log" that writes a line for each notification: at
// the level ERROR if it is critical, WARN if it is a warning, and INFO otherwise and
// when all of it is over. A nil logger is [slog.Default].
func NewLog(to *slog.Logger) Channel {
	return Func("log", func(ctx context.Context, n Notification) error {
		logger := to
		if logger == nil {
			logger = slog.Default()
		}
		firing, over := 0, 0
		var rules, models []string
		for _, a := range n.Alerts {
			if a.Firing() {
				firing++
			} else {
				over++
			}
			rules, models = named(rules, a.Rule), named(models, a.Labels["model"])
		}
		logger.LogAttrs(ctx, level(n), headline(n),
			slog.String("group", cut(n.Group, 64)), slog.String("reason", n.Reason.String()), slog.String("severity", n.Severity.String()),
			slog.Int("firing", firing), slog.Int("resolved", over), slog.Int("more", n.Truncated),
			slog.Any("rules", rules), slog.Any("models", models))
		return nil
	})
}

// maxNamed is how many rules and models a line names.
const maxNamed = 10

// named adds a name that is not in the list yet, if there is room.
func named(list []string, name string) []string {
	name = line(short(name, 64))
	switch {
	case name == "" || slices.Contains(list, name) || len(list) > maxNamed:
		return list
	case len(list) == maxNamed:
		return append(list, "…")
	}
	return append(list, name)
}

func level(n Notification) slog.Level {
	switch {
	case n.Reason == Resolved || !n.Firing():
		return slog.LevelInfo
	case n.Severity == Critical:
		return slog.LevelError
	case n.Severity == Warning:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// Func returns a channel that calls fn.
func Func(name string, fn func(ctx context.Context, n Notification) error) Channel {
	return function{name, fn}
}

type function struct {
	name string
	fn   func(ctx context.Context, n Notification) error
}

func (f function) Name() string { return f.name }

func (f function) Notify(ctx context.Context, n Notification) error {
	if f.fn == nil {
		return Permanent(errors.New("notify: the channel " + f.name + " has no function"))
	}
	return f.fn(ctx, n)
}

package resilience

import (
	"log/slog"
	"math/rand/v2"
	"slices"
)

// Models declares the pool's models. A pool given Models, or a [ConfigFile] that
// has them, knows no others; a file's "models" take the place of these.
func Models(infos ...ModelInfo) Feature {
	infos = slices.Clone(infos)
	return installer(func(s *Setup) error {
		if len(infos) == 0 {
			return &ConfigError{"models", "is empty: a pool needs a model"}
		}
		s.infos = append(s.infos, infos...)
		s.closed = true
		return nil
	})
}

// Logger sets the pool's logger; the default discards. It gets what nobody
// returns to a caller: refused configurations, background work that failed.
func Logger(l *slog.Logger) Feature {
	return installer(func(s *Setup) error {
		if l == nil {
			return &ConfigError{"logger", "is nil"}
		}
		s.pool.log = l
		return nil
	})
}

// Seed makes the pool's random choices come from src, one after the other, for
// tests.
func Seed(src rand.Source) Feature {
	return installer(func(s *Setup) error {
		if src == nil {
			return &ConfigError{"seed", "is nil"}
		}
		s.pool.random = &random{src: rand.New(src)}
		return nil
	})
}

// Classify puts fn ahead of the built-in classification of errors of attempts.
// Zero means that fn does not know. Given more than once, the first that knows
// wins. It does not overrule the caller's cancellation and this package's
// timers, and is not asked about errors that were classified already.
func Classify(fn func(error) Kind) Feature {
	return installer(func(s *Setup) error {
		if fn == nil {
			return &ConfigError{"classify", "the function is nil"}
		}
		s.pool.rules = append(s.pool.rules, fn)
		return nil
	})
}

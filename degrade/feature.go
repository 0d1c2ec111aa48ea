package degrade

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// Enabled reports whether an optional feature of the service is on for the call
// that ctx belongs to, or the nearest call around it that is degraded. It is on
// where the call is not degraded and outside of calls, for which there is
// [Controller.Enabled]. What a call was denied is in its report.
func Enabled(ctx context.Context, feature string) bool {
	l, ok := ctx.Value(lessenedKey{}).(*lessened)
	return !ok || l.enabled(feature)
}

type lessenedKey struct{}

// lessened is a call that is degraded.
type lessened struct {
	level Level
	step  *step

	mu     sync.Mutex
	denied []string // that the report does not have yet
	told   []string
}

// maxDenied bounds what a report tells of features, and maxName the name of each.
const (
	maxDenied = 16
	maxName   = 64
)

func (s *step) enabled(feature string) bool {
	return !slices.Contains(s.Disabled, feature) && !slices.Contains(s.Disabled, all)
}

func (l *lessened) enabled(feature string) bool {
	if l.step.enabled(feature) {
		return true
	}
	if len(feature) > maxName {
		feature = strings.ToValidUTF8(feature[:maxName], "")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.denied)+len(l.told) < maxDenied && !slices.Contains(l.denied, feature) && !slices.Contains(l.told, feature) {
		l.denied = append(l.denied, feature)
	}
	return false
}

// news returns what was denied since it was asked last.
func (l *lessened) news() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	news := l.denied
	l.told, l.denied = append(l.told, news...), nil
	return news
}

package resilience

import (
	"fmt"
	"log/slog"
)

// A Secret is text that prints as "[redacted]", whatever prints it: fmt with
// any verb, log/slog, encoding/json. The zero Secret is empty.
type Secret struct{ text *string }

// NewSecret returns a secret of text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

const redacted = "[redacted]"

// String returns "[redacted]".
func (s Secret) String() string { return redacted }

// Format implements [fmt.Formatter], with any verb and flag.
func (s Secret) Format(f fmt.State, verb rune) { format(f, verb, redacted) }

// LogValue implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements [encoding.TextMarshaler].
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText makes s a secret of text.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}

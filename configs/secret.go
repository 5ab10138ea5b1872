package configs

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted stands for a secret wherever one would be printed.
const redacted = "[redacted]"

// Secret is text that must not be seen. It redacts itself when printed with any verb, logged or
// marshalled; only Reveal gives it away, so that a search for Reveal finds every use.
type Secret struct{ text string }

// NewSecret wraps s.
func NewSecret(s string) Secret { return Secret{s} }

// Reveal returns the secret text.
func (s Secret) Reveal() string { return s.text }

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.text == "" }

// String returns a placeholder.
func (s Secret) String() string { return redacted }

// Format writes a placeholder for every verb: %d and %#v would print the field otherwise.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a placeholder; it serves JSON and YAML too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

package keys

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is 256 random bits. It prints, logs and marshals as a placeholder, and is assignable to a
// plain array where its octets are needed. Keep it out of unexported fields of values that are
// printed: there, package fmt does not ask.
type Secret [32]byte

// Secrets are what the installation record keeps sealed.
type Secrets struct {
	Pepper    Secret // keys the hashes of client secrets
	RecordKey Secret // authenticates every other record
}

// Format prints a placeholder whatever the verb: %x and %d would print the octets.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns a placeholder.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a placeholder.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format prints a placeholder whatever the verb.
func (Secrets) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns a placeholder.
func (Secrets) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a placeholder.
func (Secrets) MarshalText() ([]byte, error) { return []byte(redacted), nil }

package jose

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"log/slog"
)

// KEK is a key-encryption key of 256 bits, which seals other secrets. It prints, logs and marshals as
// a placeholder.
type KEK struct {
	secret [32]byte
	id     string
}

// NewKEK returns the key-encryption key with this secret, which must come from a random source.
func NewKEK(secret [32]byte) *KEK {
	// The id goes into every sealed blob, so it must tell nothing about the secret: a pseudo-random
	// function of it, under a label that nothing else uses. 96 bits make collisions no concern.
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte("marque key-encryption key id v1"))
	return &KEK{secret: secret, id: strictBase64.EncodeToString(mac.Sum(nil)[:12])}
}

// ID returns the public name of k, the kid of what k seals. It is derived from the secret.
func (k *KEK) ID() string { return k.id }

// MACKey returns a key that authenticates something which is named by label, and says nothing of the secret
// or of other such keys: HKDF with SHA-256 (RFC 5869). The salt is public and of the caller's making; another one
// gives another key.
func (k *KEK) MACKey(label string, salt []byte) ([32]byte, error) {
	key, err := hkdf.Key(sha256.New, k.secret[:], salt, "marque mac key: "+label, sha256.Size)
	if err != nil {
		return [32]byte{}, fmt.Errorf("jose: derive a key: %w", err)
	}
	defer clear(key)
	return [32]byte(key), nil
}

// String returns a placeholder.
func (k KEK) String() string { return "jose.KEK(" + k.id + ")" }

// Format prints the placeholder whatever the verb: %d would print the secret's octets.
func (k KEK) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }

// LogValue returns the placeholder.
func (k KEK) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText returns the placeholder.
func (k KEK) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

package authz

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"
)

// Request is a token request after its syntax was checked: what the endpoint read, nothing judged.
// An empty string means that the parameter was omitted (RFC 6749, Section 3.2).
type Request struct {
	GrantType            string // never empty
	Scope                string
	Resources            []string // in order; repeats are allowed (RFC 8707, Section 2)
	AuthorizationDetails bool     // the parameter was sent (RFC 9396)
	DPoP                 bool     // a DPoP field was sent (RFC 9449)
	Client               Presented
	Address              netip.Addr // of the caller, for the failure back-off and the log; may be invalid
}

// PresentedMethod says how client credentials were presented.
type PresentedMethod int

// How credentials can be presented.
const (
	PresentedNothing PresentedMethod = iota // no credentials and no client_id
	PresentedID                             // a client_id alone
	PresentedBasic                          // HTTP Basic (RFC 6749, Section 2.3.1)
	PresentedPost                           // client_id and client_secret in the body
)

// Presented is what a caller presented to authenticate itself; nothing of it is verified yet.
type Presented struct {
	Method   PresentedMethod
	ID       ClientID // %x20-7E, at most 255 octets
	Secret   Secret   // UTF-8 without control characters, at most 255 octets; may be empty
	Unusable Cause    // set when something was presented that cannot be used, such as a Bearer token
}

// Issued is a token that was issued, and what the log may say of it.
type Issued struct {
	AccessToken string
	TokenType   string        // "Bearer" (RFC 6749, Section 7.1)
	ExpiresIn   time.Duration // whole seconds; exp minus iat
	Scope       string        // empty when no scope was granted

	Client     ClientID
	Credential CredentialID
	JTI        string
	KeyID      string
}

// Secret is a client secret in memory. It redacts itself wherever it is printed, logged or encoded.
type Secret string

const redacted = "[redacted]"

// Reveal returns the secret itself, for the one answer that shows it and for comparison.
func (s Secret) Reveal() string { return string(s) }

// Format prints a placeholder whatever the verb: %d and %x would print the octets.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

func (Secret) String() string               { return redacted }
func (Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

package authz

import (
	"net/netip"
	"time"
)

// Refusal is one refused request, as the admin sees it: why, which the caller was not told.
type Refusal struct {
	Time       time.Time
	RequestID  string
	Route      string // such as "token"
	Cause      Cause
	Detail     string       // more about a syntax error, or the failure behind a throttled one
	Client     ClientID     // well-formed, but claimed only if Cause says that authentication failed
	Credential CredentialID // when one was recognised
	Address    netip.Addr
}

// Refusals remembers the last refusals of each client, in memory. It is safe for concurrent use.
type Refusals struct{}

// RefusalsPerClient is how many refusals are kept for one client.
const RefusalsPerClient = 50

// NewRefusals returns an empty memory.
func NewRefusals() *Refusals { return &Refusals{} }

// Add remembers a refusal.
func (m *Refusals) Add(r Refusal) {}

// Recent returns what is remembered of a client, newest first. Refusals of identifiers that no client
// has share one bounded memory, so that a stranger cannot push out those of clients.
func (m *Refusals) Recent(id ClientID) []Refusal { return nil }

// ByRequest returns the refusal of a request, if it is remembered.
func (m *Refusals) ByRequest(requestID string) (Refusal, bool) { return Refusal{}, false }

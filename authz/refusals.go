package authz

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Refusal is one refused request, as the admin sees it: why, which the caller was not told.
type Refusal struct {
	Time       time.Time
	RequestID  string
	Route      string // such as "token"
	Cause      Cause
	Detail     string       // more about a syntax error, the scope or resource that was refused, or the failure behind a throttled request
	Client     ClientID     // well-formed, but claimed only if Cause says that authentication failed
	Credential CredentialID // when one was recognised
	Address    netip.Addr
}

// RefusalsPerClient is how many refusals are kept for one client.
const RefusalsPerClient = 50

// What else bounds Refusals.
const (
	refusedClients   = 1_000 // clients whose refusals are kept
	strangerRefusals = 1_000 // refusals of callers that are no client, together
)

// Refusals remembers the last refusals of each client, in memory. It is safe for concurrent use.
type Refusals struct {
	mu        sync.Mutex // owns what follows
	count     uint64
	clients   map[ClientID]*refusalRing
	strangers *refusalRing
	requests  map[string]Refusal
}

// refusalRing holds the last refusals of a kind, oldest first from next on.
type refusalRing struct {
	size  int
	items []numbered
	next  int
	last  uint64 // the number of the newest
}

// numbered is a refusal and its place among all of them: clocks repeat themselves.
type numbered struct {
	Refusal
	n uint64
}

// NewRefusals returns an empty memory.
func NewRefusals() *Refusals {
	return &Refusals{
		clients:   map[ClientID]*refusalRing{},
		strangers: &refusalRing{size: strangerRefusals},
		requests:  map[string]Refusal{},
	}
}

// Add remembers a refusal.
func (m *Refusals) Add(r Refusal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count++
	if old, ok := m.ring(r).add(numbered{r, m.count}); ok {
		m.forget(old)
	}
	if r.RequestID != "" {
		m.requests[r.RequestID] = r
	}
}

// ring returns where a refusal belongs.
func (m *Refusals) ring(r Refusal) *refusalRing {
	if r.Client == "" || !provesClient(r) {
		return m.strangers
	}
	ring, ok := m.clients[r.Client]
	if !ok {
		if len(m.clients) >= refusedClients {
			m.evict()
		}
		ring = &refusalRing{size: RefusalsPerClient}
		m.clients[r.Client] = ring
	}
	return ring
}

// provesClient reports whether a refusal for this cause means that there is, or was, a client of that
// identifier. A stranger can make up any number of the others.
func provesClient(r Refusal) bool {
	cause := r.Cause
	if cause == CauseFailuresLimited {
		cause = Cause(r.Detail)
	}
	switch cause {
	case CauseDisabled, CauseDeletedClient, CauseWrongMethod, CauseWrongSecret, CauseEmptySecret, CauseSecretTypo, CauseSecretExpired,
		CauseSecretNotYetValid, CauseSecretRevoked, CauseSecretOfAnotherClient, CauseTrailingWhitespace:
		return true // somebody looked the client up
	case CauseGrantUnsupported, CauseGrantNotRegistered, CausePublicClient, CauseScopeMalformed, CauseScopeNotAllowed, CauseScopeMissing,
		CauseScopeNotOfResource, CauseScopeOfSeveralAPIs, CauseScopeOfNoAPI, CauseTokenTooLarge, CauseResourceMalformed, CauseResourceUnknown,
		CauseResourceNotAllowed, CauseResourceMissing, CauseResourceAmbiguous, CauseDetailsUnsupported, CauseDPoPUnsupported,
		CauseRateLimited, CauseUnknownLimited, CauseSigningQueueFull, CauseRevocationsFull, CauseNoSigningKey, CauseNotLoaded, CauseBornVoid, CauseClockBehind, CauseClockSkew,
		CauseInsufficientScope, CauseTokenRevoked, CauseTokenOfAnotherClient, CauseServesNothing, CauseFeedLimited, CauseFeedFull, CauseFeedUnavailable:
		return true // it was authenticated, or a token of this server says so
	}
	return false
}

// evict forgets the client that was refused least recently.
func (m *Refusals) evict() {
	var oldest ClientID
	var at *refusalRing
	for id, ring := range m.clients {
		if at == nil || ring.last < at.last {
			oldest, at = id, ring
		}
	}
	for _, r := range at.items {
		m.forget(r)
	}
	delete(m.clients, oldest)
}

// forget makes the request of a refusal unknown, unless a later refusal has the same.
func (m *Refusals) forget(old numbered) {
	if m.requests[old.RequestID] == old.Refusal {
		delete(m.requests, old.RequestID)
	}
}

// add returns what had to go.
func (g *refusalRing) add(r numbered) (old numbered, full bool) {
	g.last = r.n
	if len(g.items) < g.size {
		g.items = append(g.items, r)
		return numbered{}, false
	}
	old, g.items[g.next] = g.items[g.next], r
	g.next = (g.next + 1) % g.size
	return old, true
}

// Recent returns what is remembered of a client, newest first. Refusals of identifiers that no client
// has share one bounded memory, so that a stranger cannot push out those of clients.
func (m *Refusals) Recent(id ClientID) []Refusal {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []numbered
	if ring, ok := m.clients[id]; ok {
		all = slices.Clone(ring.items)
	}
	for _, r := range m.strangers.items {
		if r.Client == id {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b numbered) int { return cmp.Compare(b.n, a.n) })
	out := make([]Refusal, min(len(all), RefusalsPerClient))
	for i := range out {
		out[i] = all[i].Refusal
	}
	return out
}

// ByRequest returns the refusal of a request, if it is remembered.
func (m *Refusals) ByRequest(requestID string) (Refusal, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.requests[requestID]
	return r, ok
}

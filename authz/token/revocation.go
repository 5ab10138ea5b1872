package token

import (
	"errors"
	"strings"
	"time"
)

// RevocationKept is how long a revocation of tokens issued before an instant is kept after it: the
// longest life of any token, and the most leeway that any verifier may have. Both are constants, so
// that no setting of today revives a token of yesterday (RVK-14).
const RevocationKept = time.Hour + MaxLeeway

// RevocationKind says what a revocation is about.
type RevocationKind string

// The kinds of revocation, each named like the claim or header that it is compared with.
const (
	RevokedJTI        RevocationKind = "jti"
	RevokedClient     RevocationKind = "client"
	RevokedCredential RevocationKind = "credential"
	RevokedKey        RevocationKind = "kid"
	RevokedResource   RevocationKind = "resource" // any element of aud
	RevokedAll        RevocationKind = "all"      // its subjects have no value
)

// Subject is what a revocation is about. There is at most one revocation of a subject at a time.
type Subject struct {
	Kind  RevocationKind
	Value string
}

// String returns kind:value, which ParseSubject reads, and which orders subjects.
func (s Subject) String() string { return string(s.Kind) + ":" + s.Value }

var errSubject = errors.New("token: not the subject of a revocation")

// ParseSubject reads what String wrote.
func ParseSubject(text string) (Subject, error) {
	kind, value, ok := strings.Cut(text, ":")
	s := Subject{RevocationKind(kind), value}
	if !ok || !s.Valid() {
		return Subject{}, errSubject
	}
	return s, nil
}

// Valid reports whether the kind is known, and the value there if and only if the kind has one.
func (s Subject) Valid() bool {
	switch s.Kind {
	case RevokedJTI, RevokedClient, RevokedCredential, RevokedKey, RevokedResource:
		return s.Value != ""
	case RevokedAll:
		return s.Value == ""
	}
	return false
}

// Revocation withdraws tokens: those of its subject whose iat is neither before Since nor after
// Before, both inclusive. A revocation of a jti withdraws that token whatever its iat says. Times are
// UTC, whole seconds.
type Revocation struct {
	Subject
	Since  time.Time // zero: from the beginning
	Before time.Time // zero: open-ended, it withdraws whatever will be issued, too
	Until  time.Time // when it may be forgotten; zero: never
}

// Voids reports whether r withdraws a token of its subject that was issued at that time.
func (r Revocation) Voids(issued time.Time) bool {
	return r.Kind == RevokedJTI ||
		!issued.Before(r.Since) && (r.Before.IsZero() || !issued.After(r.Before))
}

// Merge returns the least revocation that withdraws whatever r or other does; both have the same
// subject. Revocations of one subject are never made weaker by another one.
func (r Revocation) Merge(other Revocation) Revocation {
	if other.Since.Before(r.Since) {
		r.Since = other.Since
	}
	r.Before = later(r.Before, other.Before)
	r.Until = later(r.Until, other.Until)
	return r
}

// later returns the later of two ends, of which zero is the latest.
func later(a, b time.Time) time.Time {
	if a.IsZero() || b.IsZero() {
		return time.Time{}
	}
	if a.After(b) {
		return a
	}
	return b
}

// Known is what somebody knows to be revoked: the store's answer for one token, or an Index.
type Known interface {
	// Revocation returns the revocation of a subject, if there is one.
	Revocation(s Subject) (Revocation, bool)
}

// Found is a Known that holds few revocations: what a store returned for the subjects of one token.
type Found []Revocation

// Revocation implements Known.
func (f Found) Revocation(s Subject) (Revocation, bool) {
	for _, r := range f {
		if r.Subject == s {
			return r, true
		}
	}
	return Revocation{}, false
}

// Void returns the revocation that withdraws a token, if one does. It is the one decision of its
// kind: introspection, verifiers and issuing itself ask it. The claims and the identifier of the key
// come from a token whose signature was verified, or is about to be made.
// It allocates nothing if known does not.
func Void(c *Claims, kid string, known Known) (Revocation, bool) {
	if x, ok := known.(*Index); ok {
		known = x.table.Load() // one state for all questions: see Replace
	}
	if r, ok := known.Revocation(Subject{RevokedJTI, c.JTI}); ok && r.Voids(c.IssuedAt) {
		return r, true
	}
	if r, ok := known.Revocation(Subject{RevokedClient, c.ClientID}); ok && r.Voids(c.IssuedAt) {
		return r, true
	}
	if c.CredentialID != "" {
		if r, ok := known.Revocation(Subject{RevokedCredential, c.CredentialID}); ok && r.Voids(c.IssuedAt) {
			return r, true
		}
	}
	if r, ok := known.Revocation(Subject{RevokedKey, kid}); ok && r.Voids(c.IssuedAt) {
		return r, true
	}
	for _, audience := range c.Audience {
		if r, ok := known.Revocation(Subject{RevokedResource, audience}); ok && r.Voids(c.IssuedAt) {
			return r, true
		}
	}
	if r, ok := known.Revocation(Subject{Kind: RevokedAll}); ok && r.Voids(c.IssuedAt) {
		return r, true
	}
	return Revocation{}, false
}

// Subjects returns every subject whose revocation could withdraw the token: what Void will ask for.
func Subjects(c *Claims, kid string) []Subject {
	out := make([]Subject, 0, 5+len(c.Audience))
	out = append(out, Subject{RevokedJTI, c.JTI}, Subject{RevokedClient, c.ClientID}, Subject{RevokedKey, kid}, Subject{Kind: RevokedAll})
	if c.CredentialID != "" {
		out = append(out, Subject{RevokedCredential, c.CredentialID})
	}
	for _, audience := range c.Audience {
		out = append(out, Subject{RevokedResource, audience})
	}
	return out
}

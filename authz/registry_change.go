package authz

import (
	"context"
	"errors"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// ErrPrecondition says that a record is not the one that the caller has seen: nothing was changed.
var ErrPrecondition = errors.New("it was changed since it was read")

// Match is which version of a record the caller has seen (RFC 9110, Section 13.1.1). A change that
// finds the record as it would leave it succeeds whatever it matches: it is a repeat.
type Match struct {
	Any     bool   // whatever it is
	Version uint64 // unless Any
}

// UpdateClient puts spec in place of what an admin said of a client before. Secrets, state and
// identifier stay. With revoke, the client's tokens issued until now are void (EVT-06); they always
// are when it loses Admin.
func (r *Registry) UpdateClient(ctx context.Context, by audit.Origin, id ClientID, match Match, spec ClientSpec, revoke bool) (Client, error) {
	return Client{}, errors.ErrUnsupported
}

// DeleteClient deletes a client for ever: its tokens are void, its identifier is never given to
// another (EVT-02). Deleting it again changes nothing.
func (r *Registry) DeleteClient(ctx context.Context, by audit.Origin, id ClientID, match Match) error {
	return errors.ErrUnsupported
}

// UpdateResource is UpdateClient for a resource.
func (r *Registry) UpdateResource(ctx context.Context, by audit.Origin, id ResourceID, match Match, spec ResourceSpec, revoke bool) (Resource, error) {
	return Resource{}, errors.ErrUnsupported
}

// DeleteResource deletes a resource: tokens for it are void (EVT-07). It may be registered anew. A
// resource that a client still has, or serves, is a *InUseError. Deleting it again changes nothing.
func (r *Registry) DeleteResource(ctx context.Context, by audit.Origin, id ResourceID, match Match) error {
	return errors.ErrUnsupported
}

// InUseError says that a resource cannot be deleted, and names clients that have or serve it.
type InUseError struct{ Clients []ClientID } // at most 10

func (e *InUseError) Error() string { return "the resource is in use" }

// RevocationSpec is what an admin says of a revocation.
type RevocationSpec struct {
	token.Subject
	Before time.Time // tokens issued until then are void; zero: now. Not for a jti.
}

// Revoke withdraws tokens: those of a client, of a credential, and so on (RVK-19). Repeating it
// withdraws no more than what it says each time.
func (r *Registry) Revoke(ctx context.Context, by audit.Origin, spec RevocationSpec) (Revocation, error) {
	return Revocation{}, errors.ErrUnsupported
}

// ListRevocations returns at most limit live revocations after the given Subject.String.
func (r *Registry) ListRevocations(ctx context.Context, after string, limit int) ([]Revocation, error) {
	return nil, errors.ErrUnsupported
}

// AuditQuery says which entries of the audit log to return. Empty fields match everything.
type AuditQuery struct {
	Cursor string // the place where the page before ended; empty: the newest entry
	Limit  int    // 1 to 1000
	Actor  string // audit.Actor.String
	Action string // the action itself, or a prefix that ends before a dot: "client" matches "client.create"
	Target string
	Since  time.Time // nothing older
}

// Audit returns entries of the audit log, newest first, and the cursor of the next page; empty when
// there is none. A page may hold less than Limit, even nothing, and still have a next one.
func (r *Registry) Audit(ctx context.Context, q AuditQuery) ([]audit.Entry, string, error) {
	return nil, "", errors.ErrUnsupported
}

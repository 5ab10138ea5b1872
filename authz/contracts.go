package authz

import (
	"context"
	"errors"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// ErrNotFound says that the asked-for record does not exist. It is an answer, not a fault.
var ErrNotFound = errors.New("not found")

// ErrConflict says that a record changed, or came to exist, since it was read.
var ErrConflict = errors.New("changed meanwhile")

// ErrCursor says that a cursor is not one that was given out, or no longer leads anywhere.
var ErrCursor = errors.New("unknown cursor")

// ErrDamaged says that one record cannot be authenticated: it was altered, cut off or forged. It is a
// fault, never an absence, and the other records may be whole.
var ErrDamaged = errors.New("the record is damaged")

// Clients is what authentication needs of the store. Its methods may be called concurrently. A
// record that cannot be authenticated is ErrDamaged, and one of a newer format another fault; neither is
// ErrNotFound. So it is in the other contracts.
type Clients interface {
	// Client returns the client with exactly this identifier, or ErrNotFound. One that was deleted is
	// returned, with its DeletedAt.
	Client(ctx context.Context, id ClientID) (Client, error)

	// ClientVersion returns the stored version of the client, and 0 if there is none. It takes as long
	// for both, whatever the record holds, and does not authenticate it: the version only tells whether
	// a copy is current. A record too short to have a version is a fault.
	ClientVersion(ctx context.Context, id ClientID) (uint64, error)

	// ClientOf returns the identifier of the client that holds, or held, the credential; or ErrNotFound.
	ClientOf(ctx context.Context, id CredentialID) (ClientID, error)
}

// ClientRecords is what management needs of the store beside Clients.
type ClientRecords interface {
	Clients

	// ListClients returns at most q.Limit clients that q describes, in the bytewise order of their
	// identifiers. Fewer than that means that there are no more. Deleted clients are left out.
	ListClients(ctx context.Context, q ClientQuery) ([]Client, error)

	// PutClient stores c, its credential index, the revocations that follow, their Changes and e in one
	// commit if the stored version of each equals its Version (0: there is none), and returns c with
	// its new version. Otherwise nothing is stored and the error is ErrConflict; so too if a credential
	// of c belongs to another client. Any other error means that the write may or may not have happened.
	PutClient(ctx context.Context, c Client, e audit.Entry, revoked ...Revocation) (Client, error)
}

// ClientQuery says which clients to list.
type ClientQuery struct {
	After ClientID // only identifiers that sort, bytewise, after this one
	Text  string   // only those whose identifier or name contains it, whatever the case of ASCII letters
	Limit int      // at least 1
}

// Resources is what policy needs of the store. Its method may be called concurrently.
type Resources interface {
	// Resource returns the resource with exactly this identifier, or ErrNotFound. One that was deleted
	// is returned, with its DeletedAt.
	Resource(ctx context.Context, id ResourceID) (Resource, error)
}

// ResourceRecords is what management needs of the store beside Resources.
type ResourceRecords interface {
	Resources

	// ListResources returns at most limit resources whose identifiers sort, bytewise, after the given
	// one, in that order. Fewer than limit means that there are no more. Deleted ones are left out.
	ListResources(ctx context.Context, after ResourceID, limit int) ([]Resource, error)

	// PutResource is as PutClient, for a resource.
	PutResource(ctx context.Context, r Resource, e audit.Entry, revoked ...Revocation) (Resource, error)
}

// Revocations is what introspection needs of the store. Its method may be called concurrently.
type Revocations interface {
	// Revocations returns the stored revocations of the given subjects, as of one instant, in no
	// particular order. One that cannot be authenticated is a fault, and so is a subject that is not
	// valid. Those whose Until has passed may be left out.
	Revocations(ctx context.Context, subjects []token.Subject) ([]Revocation, error)
}

// RevocationRecords is what revoking needs of the store beside Revocations.
type RevocationRecords interface {
	Revocations

	// ListRevocations returns at most limit revocations whose Subject.String sorts, bytewise, after the
	// given text, in that order. Fewer than limit means that there are no more. Those whose Until has
	// passed may be among them.
	ListRevocations(ctx context.Context, after string, limit int) ([]Revocation, error)

	// PutRevocation stores r, its Change and e in one commit if the stored version of its subject
	// equals r.Version, and returns r with its new version, which no revocation of that subject has had.
	// Otherwise nothing is stored and the error is ErrConflict. Any other error means that the write may
	// or may not have happened. A revocation whose Until has passed may be removed by any later write,
	// which no Change says; the version to give is 0 then.
	PutRevocation(ctx context.Context, r Revocation, e audit.Entry) (Revocation, error)
}

// AuditLog is what management needs of the audit log. Its methods may be called concurrently.
type AuditLog interface {
	// Latest returns at most limit entries committed before the cursor, newest first, and the cursor
	// of the last of them; an empty cursor when there are no more. The empty cursor given is the end; one
	// that this log did not give is ErrCursor. Each entry has its ID.
	Latest(ctx context.Context, before string, limit int) (entries []audit.Entry, next string, err error)
}

package authz

import (
	"context"
	"errors"

	"github.com/marque-auth/marque/authz/audit"
)

// ErrNotFound says that the asked-for record does not exist. It is an answer, not a fault.
var ErrNotFound = errors.New("not found")

// ErrConflict says that a record changed, or came to exist, since it was read.
var ErrConflict = errors.New("changed meanwhile")

// Clients is what authentication needs of the store. Its methods may be called concurrently. A
// record that cannot be authenticated, or is of a newer format, is a fault, never ErrNotFound.
type Clients interface {
	// Client returns the client with exactly this identifier, or ErrNotFound.
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

	// ListClients returns at most limit clients whose identifiers sort, bytewise, after the given
	// one, in that order. Fewer than limit means that there are no more.
	ListClients(ctx context.Context, after ClientID, limit int) ([]Client, error)

	// PutClient stores c, its credential index, its Change and e in one commit if the stored version
	// equals c.Version (0: there is none), and returns c with its new version. Otherwise nothing is
	// stored and the error is ErrConflict; so too if a credential of c belongs to another client.
	// Any other error means that the write may or may not have happened.
	PutClient(ctx context.Context, c Client, e audit.Entry) (Client, error)
}

// Resources is what policy needs of the store. Its method may be called concurrently.
type Resources interface {
	// Resource returns the resource with exactly this identifier, or ErrNotFound.
	Resource(ctx context.Context, id ResourceID) (Resource, error)
}

// ResourceRecords is what management needs of the store beside Resources.
type ResourceRecords interface {
	Resources

	// ListResources is as ListClients, for resources.
	ListResources(ctx context.Context, after ResourceID, limit int) ([]Resource, error)

	// PutResource is as PutClient, for a resource.
	PutResource(ctx context.Context, r Resource, e audit.Entry) (Resource, error)
}

package authz

import (
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// ClientID identifies a client. One that an admin chooses is [A-Za-z0-9._~-]{1,64} (TOK-49); what a
// stranger presents may be any %x20-7E string up to 255 octets (RFC 6749, Appendix A.1).
type ClientID string

// AuthMethod is a client authentication method, by its name in RFC 7591, Section 2.
type AuthMethod string

// The methods that Marque knows today.
const (
	AuthSecretBasic AuthMethod = "client_secret_basic"
	AuthSecretPost  AuthMethod = "client_secret_post"
	AuthNone        AuthMethod = "none" // a public client; it never gets a token from this grant
)

// GrantClientCredentials is the grant of RFC 6749, Section 4.4.
const GrantClientCredentials = "client_credentials"

// Client is a partner's application. A Client that came from a contract is shared: do not change
// what its slices hold.
type Client struct {
	ID         ClientID
	Name       string
	Disabled   bool
	AuthMethod AuthMethod
	GrantTypes []string

	// Admin lets it have tokens for the management API. It is stored alone: Resources, Scopes and their
	// defaults never name the built-in resource or its scope, which no admin can register or grant.
	// Policy treats such a client as if AdminResource were among its Resources and ScopeAdmin among its
	// Scopes, and as its defaults where it has no others.
	Admin bool

	Scopes          ScopeSet // what it may ask for
	DefaultScopes   ScopeSet // what it gets when it asks for nothing; a subset of Scopes
	Resources       []ResourceID
	DefaultResource ResourceID   // one of Resources, or empty
	Serves          []ResourceID // the resources that this client is the API of

	TokenLifetime time.Duration  // whole seconds; 0 means the resource's
	Claims        []token.Static // sorted by name; what every token of the client also says
	Credentials   []Credential   // in order of creation

	// IntrospectionAlgorithm signs introspection answers for it (RFC 9701, Section 6); canonical name,
	// empty for a client that serves nothing.
	IntrospectionAlgorithm jose.Algorithm

	CreatedAt time.Time
	UpdatedAt time.Time
	DeletedAt time.Time // set for ever once it is deleted: its identifier is not given to another (EVT-02)
	Version   uint64    // set by the store; 0 for a client that was never stored
}

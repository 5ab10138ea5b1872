package keys

import (
	"context"
	"errors"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

// ErrNotFound says that the asked-for record does not exist. It is an answer, not a fault.
var ErrNotFound = errors.New("keys: not found")

// ErrConflict says that the record changed since it was read; read it again and decide anew.
var ErrConflict = errors.New("keys: changed meanwhile")

// Key is one signing key at rest with its stamps. All times are UTC, whole seconds; the zero time
// means "not stamped". Which key signs follows from the stamps alone: see [RingRecord.Signing].
type Key struct {
	KeyID     string         // RFC 7638 thumbprint, SHA-256, base64url, unless Imported
	Imported  bool           // its KeyID is what another server called it, not its thumbprint
	Algorithm jose.Algorithm // canonical: Ed25519, never EdDSA
	Wire      jose.Algorithm // its name in headers and in the JWKS: stamped when the key is made, for verifiers keep a JWK by kid
	Public    []byte         // public JWK (RFC 7517) without use, alg, kid; kept after the private part is gone
	Sealed    string         // the private JWK as a compact JWE (RFC 7517, Section 7); empty once withdrawn

	CreatedAt   time.Time
	PublishedAt time.Time // in the JWKS from then on
	SignFrom    time.Time // signs from then on, until a key with a later SignFrom takes over
	WithdrawAt  time.Time // leaves the JWKS then; stamped when a successor is stamped
	RevokedAt   time.Time // useless from then on, whatever the other stamps say; see [Ring.Revoke]
	Windows     Windows   // the settings in force when the stamps were made
}

// Windows are the durations that a stamp was computed from. Later settings may lengthen a stamped
// window, never shorten it.
type Windows struct {
	PublishLead time.Duration // published this long before it signs
	RetireAfter time.Duration // published this long after it stopped signing
}

// RingRecord is every key of one algorithm, changed as a whole by compare-and-swap, so that two
// nodes that rotate at once have one winner and there is exactly one signing key at any time.
type RingRecord struct {
	Algorithm jose.Algorithm
	Keys      []Key // ordered by CreatedAt
	Emergency Emergency
	Version   uint64 // 0 for a ring that was never stored; set by the store
}

// Emergency is the last time that every key of the ring was revoked at once; zero if it never was.
type Emergency struct {
	ID string    // identifies the request, so that a repeat of it changes nothing
	At time.Time // UTC, whole seconds
}

// Rings is the store's contract for signing keys. Its methods may be called concurrently, and from
// several servers.
type Rings interface {
	// Rings returns every ring, in no particular order. A record that cannot be authenticated is a
	// fault, never an absence.
	Rings(ctx context.Context) ([]RingRecord, error)

	// PutRing stores r, its Change and e in one commit if the stored version equals r.Version, and
	// returns r with its new version. Otherwise nothing is stored and the error is ErrConflict.
	// Any other error means that the write may or may not have happened.
	PutRing(ctx context.Context, r RingRecord, e audit.Entry) (RingRecord, error)
}

// Installation is the record that makes a store belong to one issuer. It is made once, by marque init
// (or serve --dev and demo), read at every start, and replaced when another key-encryption key is to
// seal it.
type Installation struct {
	Format    int    // of this record; a newer one is refused
	ID        string // random; sealed blobs are bound to it
	Issuer    string
	Dev       bool   // made by --dev; refused without it
	KEKID     string // which key-encryption key opens the blobs below
	Pepper    string // sealed: keys the hashes of client secrets
	RecordKey string // sealed: authenticates every other record
	MAC       []byte // over all other fields, under the record key
	CreatedAt time.Time
}

// Genesis is the store's contract for the installation record.
type Genesis interface {
	// Installation returns the record, or ErrNotFound if this store has none.
	Installation(ctx context.Context) (Installation, error)

	// PutInstallation stores in and e if the store has no installation record yet, and returns the
	// record that the store holds afterwards: losers of a race get the winner's.
	PutInstallation(ctx context.Context, in Installation, e audit.Entry) (Installation, error)

	// ReplaceInstallation stores to and e in one commit if the store holds from, octet by octet as from
	// is stored. If it holds something else, nothing is stored and the error is ErrConflict, or
	// ErrNotFound if it holds nothing. If it holds to already, nothing is stored either, and nil says
	// that it is as durable as a write has to be: who was told of a fault may make the very call again.
	// from and to that differ in Format, ID, Issuer, Dev or CreatedAt are refused: with those it would
	// be another installation. Any other error means that the write may or may not have happened.
	ReplaceInstallation(ctx context.Context, from, to Installation, e audit.Entry) error
}

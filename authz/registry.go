package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

// RegistryConfig is what a Registry needs.
type RegistryConfig struct {
	Issuer          string
	Pepper          keys.Secret
	Clients         ClientRecords
	Resources       ResourceRecords
	Revocations     RevocationRecords
	Log             AuditLog
	Revoker         *Revoker
	ClaimNamespaces []string // static claims must begin with one of these; none allows no static claims

	// Algorithm is that of resources whose admin names none, and of the management API. Empty means
	// DefaultAlgorithm.
	Algorithm jose.Algorithm

	// EnsureKeys returns once the algorithm has a published key; it is called before whatever uses the
	// algorithm is acknowledged. From known on, every verifier that keeps the JWKS no longer than it may
	// knows the key that signs; it may have come long ago.
	EnsureKeys func(ctx context.Context, alg jose.Algorithm, by audit.Origin) (known time.Time, err error)

	// KnowsKey reports whether a key of that identifier is, or was, one of this server's. An error means
	// that it cannot be said.
	KnowsKey func(kid string) (bool, error)

	// Applied returns once this node has applied every change committed before the call. It is called
	// after each commit and before the answer, so that what was acknowledged holds here at once.
	Applied func(ctx context.Context) error

	Now func() time.Time
}

// Registry is every management operation. Each one that changes something commits the record, its
// Change and its audit entry together, and can be repeated: creating what exists returns it if it is
// equal, and is ErrConflict if it is not. It is safe for concurrent use, also by several servers.
//
// Beside *InvalidError, ErrNotFound and ErrConflict, every error means that a change may or may not
// have happened.
type Registry struct {
	config RegistryConfig
	hash   *hasher
}

// NewRegistry returns a Registry, or an error that names what is missing.
func NewRegistry(c RegistryConfig) (*Registry, error) {
	var errs []error
	need := func(ok bool, field string) {
		if !ok {
			errs = append(errs, fmt.Errorf("authz: RegistryConfig.%s is missing or out of range", field))
		}
	}
	need(c.Issuer != "", "Issuer")
	need(c.Pepper != keys.Secret{}, "Pepper")
	need(c.Clients != nil, "Clients")
	need(c.Resources != nil, "Resources")
	need(c.Revocations != nil, "Revocations")
	need(c.Log != nil, "Log")
	need(c.Revoker != nil, "Revoker")
	if c.Algorithm == "" {
		c.Algorithm = DefaultAlgorithm
	}
	need(canonical(c.Algorithm), "Algorithm")
	need(c.EnsureKeys != nil, "EnsureKeys")
	need(c.KnowsKey != nil, "KnowsKey")
	need(c.Applied != nil, "Applied")
	need(c.Now != nil, "Now")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Registry{config: c, hash: newHasher(c.Pepper)}, nil
}

// now is the instant that a record notes: UTC, whole seconds.
func (r *Registry) now() time.Time { return r.config.Now().UTC().Truncate(time.Second) }

// maxAttempts bounds how often a read-modify-write starts again after losing a race.
const maxAttempts = 8

// clientChange is one change of a client.
type clientChange struct {
	action  string
	deleted bool // it may be made of a client that is deleted

	// edit changes a private copy, and returns whether there is anything to write, and what is to be
	// withdrawn together with it.
	edit func(c *Client) (bool, []withdrawal, error)
}

// updateClient changes a client, and withdraws what follows, in one commit by compare-and-swap: a lost
// race, also for one of the revocations, starts again with what is stored then.
func (r *Registry) updateClient(ctx context.Context, id ClientID, by audit.Origin, change clientChange) (Client, error) {
	for range maxAttempts {
		old, err := r.config.Clients.Client(ctx, id)
		switch {
		case err != nil:
			return Client{}, err
		case !old.DeletedAt.IsZero() && !change.deleted:
			return Client{}, ErrNotFound
		}
		c := old
		write, withdraw, err := change.edit(&c)
		if err != nil {
			return Client{}, err
		}
		err = r.config.Revoker.alongside(ctx, by, withdraw, func(revisions []revision) (err error) {
			if !write && !writes(revisions) { // perhaps a repeat of what was committed and not yet applied here
				c = old
				return r.config.Applied(ctx)
			}
			c.UpdatedAt = r.now()
			if c, err = r.putClient(ctx, by, change.action, old, c, revisions); err != nil {
				return err
			}
			return r.config.Applied(ctx)
		})
		switch {
		case errors.Is(err, ErrConflict):
			continue
		case err != nil:
			return Client{}, err
		}
		return c, nil
	}
	return Client{}, fmt.Errorf("authz: client %q keeps changing: %w", id, ErrConflict)
}

// putClient stores c in place of old, the zero value for none, with its entry and what it withdraws.
func (r *Registry) putClient(ctx context.Context, by audit.Origin, action string, old, c Client, revisions []revision) (Client, error) {
	e, err := changed(by.Done(r.config.Now(), action, string(c.ID)), clientView(old, c), clientView(c, old), revisions)
	if err != nil {
		return Client{}, err
	}
	return r.config.Clients.PutClient(ctx, c, e, toStore(revisions)...)
}

// putResource is putClient for a resource.
func (r *Registry) putResource(ctx context.Context, by audit.Origin, action string, old, res Resource, revisions []revision) (Resource, error) {
	e, err := changed(by.Done(r.config.Now(), action, string(res.ID)), resourceView(old), resourceView(res), revisions)
	if err != nil {
		return Resource{}, err
	}
	return r.config.Resources.PutResource(ctx, res, e, toStore(revisions)...)
}

// ensureKeys returns once each algorithm has a published key.
func (r *Registry) ensureKeys(ctx context.Context, by audit.Origin, algorithms ...jose.Algorithm) error {
	for _, alg := range algorithms {
		if _, err := r.ensureKey(ctx, by, alg); err != nil {
			return err
		}
	}
	return nil
}

// ensureKey is ensureKeys for one algorithm, and returns from when on its key is known.
func (r *Registry) ensureKey(ctx context.Context, by audit.Origin, alg jose.Algorithm) (known time.Time, err error) {
	if known, err = r.config.EnsureKeys(ctx, alg, by); err != nil {
		return time.Time{}, fmt.Errorf("authz: keys for %s: %w", alg, err)
	}
	return known, nil
}

// FieldError says which field of a management request is wrong, and the rule that it breaks.
type FieldError struct {
	Field string // the field's name in the management API
	Rule  string // what is allowed, in a sentence without the value
}

// InvalidError names every wrong field of a management request at once. Nothing was stored.
type InvalidError struct{ Fields []FieldError }

func (e *InvalidError) Error() string {
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = f.Field + ": " + f.Rule
	}
	return "invalid: " + strings.Join(parts, "; ")
}

// problems collects field errors.
type problems []FieldError

// add notes that a field breaks a rule, once.
func (p *problems) add(field, rule string) {
	if e := (FieldError{field, rule}); !slices.Contains(*p, e) {
		*p = append(*p, e)
	}
}

func (p *problems) check(ok bool, field, rule string) {
	if !ok {
		p.add(field, rule)
	}
}

func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return &InvalidError{Fields: p}
}

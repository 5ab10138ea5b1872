package authz

import (
	"context"
	"errors"

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

func (m Match) check(version uint64) error {
	if m.Any || m.Version == version {
		return nil
	}
	return ErrPrecondition
}

// UpdateClient puts spec in place of what an admin said of a client before. Secrets, state and
// identifier stay. With revoke, the client's tokens issued until now are void (EVT-06); they always
// are when it loses Admin. A repeat with revoke withdraws again what was issued until then.
func (r *Registry) UpdateClient(ctx context.Context, by audit.Origin, id ClientID, match Match, spec ClientSpec, revoke bool) (Client, error) {
	old, err := r.Client(ctx, id) // before its fields are judged
	if err != nil {
		return Client{}, err
	}
	wanted, err := r.clientUpdate(ctx, old, spec)
	if err != nil {
		return Client{}, err
	}
	return r.updateClient(ctx, id, by, clientChange{action: "client.update", edit: func(c *Client) (bool, []withdrawal, error) {
		write := !sameRegistration(*c, wanted)
		if write {
			if err := match.check(c.Version); err != nil {
				return false, nil, err
			}
		}
		if err := r.ensureKeys(ctx, by, r.clientAlgorithms(wanted)...); err != nil {
			return false, nil, err
		}
		var withdraw []withdrawal
		if revoke || c.Admin && !wanted.Admin {
			withdraw = append(withdraw, untilNow(clientSubject(id)))
		}
		c.register(wanted)
		return write, withdraw, nil
	}})
}

// clientUpdate checks what is to be put in place of what was said of a client.
func (r *Registry) clientUpdate(ctx context.Context, old Client, spec ClientSpec) (Client, error) {
	var p problems
	p.check(spec.ID == "" || spec.ID == string(old.ID), "client_id", sameIDRule)
	p.check(spec.Secret == "", "client_secret", noSecretRule)
	c, err := r.client(ctx, &p, spec, old)
	if err != nil {
		return Client{}, err
	}
	return c, p.err()
}

// register takes over what an admin says of a client; the rest stays.
func (c *Client) register(wanted Client) {
	c.Name, c.AuthMethod, c.GrantTypes, c.Admin = wanted.Name, wanted.AuthMethod, wanted.GrantTypes, wanted.Admin
	c.Scopes, c.DefaultScopes = wanted.Scopes, wanted.DefaultScopes
	c.Resources, c.DefaultResource, c.Serves = wanted.Resources, wanted.DefaultResource, wanted.Serves
	c.TokenLifetime, c.Claims, c.IntrospectionAlgorithm = wanted.TokenLifetime, wanted.Claims, wanted.IntrospectionAlgorithm
}

// DeleteClient deletes a client for ever: its tokens are void, its identifier is never given to
// another (EVT-02). Deleting it again changes nothing. What is left of it is the identifier, and when.
func (r *Registry) DeleteClient(ctx context.Context, by audit.Origin, id ClientID, match Match) error {
	_, err := r.updateClient(ctx, id, by, clientChange{action: "client.delete", deleted: true, edit: func(c *Client) (bool, []withdrawal, error) {
		if !c.DeletedAt.IsZero() {
			return false, nil, nil
		}
		if err := match.check(c.Version); err != nil {
			return false, nil, err
		}
		*c = Client{ID: c.ID, CreatedAt: c.CreatedAt, DeletedAt: r.now(), Version: c.Version}
		return true, []withdrawal{{Revocation: openEnded(clientSubject(id))}}, nil
	}})
	return err
}

// UpdateResource is UpdateClient for a resource. Keys of its algorithm are published before the change
// is made: its tokens never wait for them. Another algorithm signs once verifiers know its key, see
// RegistryConfig.EnsureKeys; until then the one that signs now does. A spec that names none leaves what the
// resource has: the default may be another one by now.
func (r *Registry) UpdateResource(ctx context.Context, by audit.Origin, id ResourceID, match Match, spec ResourceSpec, revoke bool) (Resource, error) {
	if _, err := r.Resource(ctx, id); err != nil {
		return Resource{}, err
	}
	wanted, err := r.resourceUpdate(id, spec)
	if err != nil {
		return Resource{}, err
	}
	return r.updateResource(ctx, by, id, "resource.update", func(res *Resource) (bool, []withdrawal, error) {
		wanted := wanted
		if spec.Algorithm == "" {
			wanted.Algorithm = res.Algorithm
		}
		write := !sameResource(*res, wanted)
		switch {
		case !res.DeletedAt.IsZero():
			return false, nil, ErrNotFound
		case write && match.check(res.Version) != nil:
			return false, nil, ErrPrecondition
		}
		known, err := r.ensureKey(ctx, by, wanted.Algorithm)
		if err != nil {
			return false, nil, err
		}
		res.Scopes, res.TokenLifetime, res.TokenType = wanted.Scopes, wanted.TokenLifetime, wanted.TokenType
		res.turnTo(wanted.Algorithm, known, r.now())
		if revoke {
			return write, []withdrawal{untilNow(resourceSubject(id))}, nil
		}
		return write, nil, nil
	})
}

func (r *Registry) resourceUpdate(id ResourceID, spec ResourceSpec) (Resource, error) {
	var p problems
	p.check(spec.ID == "" || spec.ID == string(id), "resource", sameIDRule)
	spec.ID = string(id)
	res := r.resource(&p, spec)
	return res, p.err()
}

// DeleteResource deletes a resource: tokens for it are void (EVT-07). It may be registered anew. A
// resource that a client still has, or serves, is a *InUseError. Deleting it again changes nothing.
func (r *Registry) DeleteResource(ctx context.Context, by audit.Origin, id ResourceID, match Match) error {
	_, err := r.updateResource(ctx, by, id, "resource.delete", func(res *Resource) (bool, []withdrawal, error) {
		if !res.DeletedAt.IsZero() {
			return false, nil, nil
		}
		if err := match.check(res.Version); err != nil {
			return false, nil, err
		}
		if err := r.unused(ctx, id); err != nil {
			return false, nil, err
		}
		*res = Resource{ID: id, Algorithm: res.AlgorithmAt(r.now()), CreatedAt: res.CreatedAt, DeletedAt: r.now(), Version: res.Version}
		return true, []withdrawal{{Revocation: openEnded(resourceSubject(id))}}, nil
	})
	return err
}

func clientSubject(id ClientID) token.Subject {
	return token.Subject{Kind: token.RevokedClient, Value: string(id)}
}

func resourceSubject(id ResourceID) token.Subject {
	return token.Subject{Kind: token.RevokedResource, Value: string(id)}
}

func credentialSubject(id CredentialID) token.Subject {
	return token.Subject{Kind: token.RevokedCredential, Value: string(id)}
}

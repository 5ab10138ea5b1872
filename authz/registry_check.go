package authz

import (
	"context"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// The methods of this file judge what another one would be asked to do, and do nothing: they return its
// *InvalidError, nil when no field is wrong, or why that could not be found out. A surface that could
// not read all of a request names by them what is wrong with the rest. Whether a record is in the way,
// has the version that the caller has seen, or had a secret before, is not judged.

// CheckResource judges CreateResource.
func (r *Registry) CheckResource(spec ResourceSpec) error {
	var p problems
	r.resource(&p, spec)
	return p.err()
}

// CheckResourceUpdate judges UpdateResource. ErrNotFound means that there is no such resource.
func (r *Registry) CheckResourceUpdate(ctx context.Context, id ResourceID, spec ResourceSpec) error {
	if _, err := r.Resource(ctx, id); err != nil {
		return err
	}
	_, err := r.resourceUpdate(id, spec)
	return err
}

// CheckClient judges CreateClient.
func (r *Registry) CheckClient(ctx context.Context, by audit.Origin, spec ClientSpec) error {
	_, err := r.newClient(ctx, by, spec)
	return err
}

// CheckClientUpdate judges UpdateClient. ErrNotFound means that there is no such client.
func (r *Registry) CheckClientUpdate(ctx context.Context, id ClientID, spec ClientSpec) error {
	old, err := r.Client(ctx, id)
	if err != nil {
		return err
	}
	_, err = r.clientUpdate(ctx, old, spec)
	return err
}

// CheckSecret judges AddSecret, but for what it takes the client's record to see.
func (r *Registry) CheckSecret(by audit.Origin, id ClientID, spec SecretSpec) error {
	spec.NotBefore, spec.Expires = whole(spec.NotBefore), whole(spec.Expires)
	_, err := r.checkSecret(by, id, spec)
	return err
}

// CheckSecretRevocation judges RevokeSecret.
func (r *Registry) CheckSecretRevocation(why SecretRevocation) error {
	var p problems
	p.check(why.Compromised || why.Since.IsZero(), "since", compromisedRule)
	p.check(!whole(why.Since).After(r.config.Now()), "since", sinceRule)
	return p.err()
}

// CheckRevocation judges Revoke.
func (r *Registry) CheckRevocation(ctx context.Context, spec RevocationSpec) error {
	var p problems
	if err := r.checkSubject(ctx, &p, spec.Subject); err != nil {
		return err
	}
	now := r.config.Now()
	if spec.Kind == token.RevokedJTI {
		p.check(spec.Before.IsZero(), "before", beforeOfJTIRule)
	} else {
		p.check(spec.Before.IsZero() || !spec.Before.After(now) && now.Before(whole(spec.Before).Add(token.RevocationKept)), "before", beforeRule)
	}
	return p.err()
}

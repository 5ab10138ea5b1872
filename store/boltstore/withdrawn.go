package boltstore

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store"
)

// Withdrawn is what Withdraw took over, each in order of identifiers.
type Withdrawn struct {
	Disabled    []authz.ClientID
	Deleted     []authz.ClientID
	Secrets     []WithdrawnSecret // that were revoked, are to end sooner, or have gone
	Resources   []authz.ResourceID
	Revocations int

	// Keys are the signing keys that are revoked in the other store and not in this one, which has them. They are
	// not taken over: who revokes one has to make another one that signs.
	Keys []string

	// Damaged is what could not be read of the other store: nobody knows what that withdrew.
	Damaged []error
}

// WithdrawnSecret is a secret, by its identifier, and whose it is.
type WithdrawnSecret struct {
	Client     authz.ClientID
	Credential authz.CredentialID
}

// Withdraw takes over whatever from, the same installation at another time, knows to be withdrawn, and nothing that
// gives: live revocations, that clients and resources are disabled or deleted, and that secrets are revoked or end.
// Clients and resources that only from has stay away, but those which it deleted: their identifiers are not given
// again. It is one commit, with one entry for each record. Damaged records of from are told of and left out; any
// other error, also one of a later format, is Withdraw's, and then nothing is taken over.
func (s *Store) Withdraw(ctx context.Context, from *Store, by audit.Origin) (Withdrawn, error) {
	var w *withdrawing
	err := s.db.update(ctx, func(tx *bolt.Tx) error {
		w = &withdrawing{Store: s, ctx: ctx, tx: tx, from: from, by: by, now: s.db.now().UTC().Truncate(time.Second)}
		for _, look := range []struct {
			kind store.Kind
			take func(store.Stored) error
		}{
			{store.KindClient, w.client},
			{store.KindResource, w.resource},
			{store.KindRevocation, w.revocation}, // behind the clients, which it asks for
			{store.KindRing, w.ring},
		} {
			if err := w.each(look.kind, look.take); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Withdrawn{}, err
	}
	return w.done, nil
}

// withdrawing is one run of Withdraw.
type withdrawing struct {
	*Store
	ctx  context.Context // of the one call of Withdraw
	tx   *bolt.Tx
	from *Store
	by   audit.Origin
	now  time.Time // whole seconds
	done Withdrawn
}

// each calls fn with the records of one kind of the other store. An error of fn that is not ours is about that
// record.
func (w *withdrawing) each(kind store.Kind, fn func(store.Stored) error) error {
	return w.noted(w.from.db.Dump(w.ctx, kind, func(r store.Stored) error { return w.noted(fn(r)) }))
}

// oursError is an error of the store that is written to: what is damaged there is no reason to go on.
type oursError struct{ error }

// Unwrap returns what happened.
func (e *oursError) Unwrap() error { return e.error }

func ours(err error) error {
	if err == nil {
		return nil
	}
	return &oursError{err}
}

// noted keeps what is damaged in the other store, so that its reading goes on, and returns any other error.
func (w *withdrawing) noted(err error) error {
	if ours := (*oursError)(nil); errors.As(err, &ours) || !errors.Is(err, store.ErrDamaged) {
		return err
	}
	w.done.Damaged = append(w.done.Damaged, err)
	return nil
}

func (w *withdrawing) client(r store.Stored) error {
	was, err := w.from.env.OpenClient(authz.ClientID(r.Key), r.Octets)
	if err != nil {
		return err
	}
	is, there, err := w.ownClient(was.ID)
	switch {
	case err != nil:
		return ours(err)
	case there && !is.DeletedAt.IsZero(), !there && was.DeletedAt.IsZero():
		return nil
	case !was.DeletedAt.IsZero():
		w.done.Deleted = append(w.done.Deleted, was.ID)
		was.Version = is.Version // of a deleted client nothing is left but what both have
		return ours(w.putClient("client.delete", is, was))
	}
	next, action := is, "client.secret.revoke"
	if was.Disabled && !is.Disabled {
		next.Disabled, action = true, "client.disable"
		w.done.Disabled = append(w.done.Disabled, is.ID)
	}
	next.Credentials = slices.Clone(is.Credentials)
	before := len(w.done.Secrets)
	for i := range next.Credentials {
		if err := w.secret(&next.Credentials[i], was); err != nil {
			return err
		}
	}
	if next.Disabled == is.Disabled && len(w.done.Secrets) == before {
		return nil
	}
	next.UpdatedAt = w.now
	return ours(w.putClient(action, is, next))
}

func (w *withdrawing) ownClient(id authz.ClientID) (c authz.Client, there bool, err error) {
	b, err := w.db.bucket(w.tx, bucketClients)
	if err != nil {
		return c, false, err
	}
	sealed := b.Get([]byte(id))
	if sealed == nil {
		return c, false, nil
	}
	c, err = w.env.OpenClient(id, sealed)
	return c, true, err
}

// secret ends a secret where it has ended in was, the other store's client. Who has as many as he may have lost one
// that was of no use for each new one: the index alone remembers it then.
func (w *withdrawing) secret(is *authz.Credential, was authz.Client) error {
	old := *is
	at := slices.IndexFunc(was.Credentials, func(x authz.Credential) bool { return x.ID == is.ID })
	if at >= 0 {
		there := was.Credentials[at]
		if is.RevokedAt.IsZero() {
			is.RevokedAt = there.RevokedAt
		}
		if !there.Expires.IsZero() && (is.Expires.IsZero() || there.Expires.Before(is.Expires)) {
			is.Expires = there.Expires
		}
	} else if is.RevokedAt.IsZero() {
		owner, err := w.from.ClientOf(w.ctx, is.ID)
		switch {
		case errors.Is(err, authz.ErrNotFound): // it was made at another time
		case err != nil:
			return err
		case owner == was.ID:
			is.RevokedAt = w.now
		}
	}
	if !is.RevokedAt.Equal(old.RevokedAt) || !is.Expires.Equal(old.Expires) {
		w.done.Secrets = append(w.done.Secrets, WithdrawnSecret{was.ID, is.ID})
	}
	return nil
}

func (w *withdrawing) putClient(action string, is, next authz.Client) error {
	next.Version++
	sealed, err := w.env.SealClient(next)
	if err != nil {
		return err
	}
	if err := w.put(w.tx, put{
		kind: store.KindClient, bucket: bucketClients, key: string(next.ID),
		sealed: sealed, expected: is.Version, conflict: authz.ErrConflict,
	}); err != nil {
		return err
	}
	var after audit.View
	if next.DeletedAt.IsZero() {
		after = clientEnds(next)
	}
	return w.record(action, string(next.ID), clientEnds(is), after)
}

// clientEnds shows what Withdraw may change of a client.
func clientEnds(c authz.Client) audit.View {
	if c.ID == "" {
		return nil
	}
	secrets := []audit.View{}
	for _, x := range c.Credentials {
		v := audit.View{"credential_id": string(x.ID), "revoked": !x.RevokedAt.IsZero()}
		if !x.Expires.IsZero() {
			v["client_secret_expires_at"] = x.Expires.UTC().Format(time.RFC3339)
		}
		secrets = append(secrets, v)
	}
	return audit.View{"disabled": c.Disabled, "secrets": secrets}
}

func (w *withdrawing) resource(r store.Stored) error {
	was, err := w.from.env.OpenResource(authz.ResourceID(r.Key), r.Octets)
	if err != nil || was.DeletedAt.IsZero() {
		return err
	}
	b, err := w.db.bucket(w.tx, bucketResources)
	if err != nil {
		return ours(err)
	}
	var is authz.Resource
	if there := b.Get([]byte(r.Key)); there != nil {
		if is, err = w.env.OpenResource(was.ID, there); err != nil {
			return ours(err)
		}
	}
	if !is.DeletedAt.IsZero() {
		return nil
	}
	was.Version = is.Version + 1
	sealed, err := w.env.SealResource(was)
	if err != nil {
		return ours(err)
	}
	if err := w.put(w.tx, put{
		kind: store.KindResource, bucket: bucketResources, key: r.Key,
		sealed: sealed, expected: is.Version, conflict: authz.ErrConflict,
	}); err != nil {
		return ours(err)
	}
	w.done.Resources = append(w.done.Resources, was.ID)
	var before audit.View
	if is.ID != "" {
		before = audit.View{"scope": is.Scopes.String()}
	}
	return ours(w.record("resource.delete", r.Key, before, nil))
}

// revocation merges one that is live. One without an end, of a client that is not here, stays away: whoever makes
// that client again means another one, whose tokens it would withdraw for ever.
func (w *withdrawing) revocation(r store.Stored) error {
	was, err := w.from.env.OpenRevocation(r.Key, r.Octets)
	if err != nil || !w.live(was) {
		return err
	}
	if was.Kind == token.RevokedClient && was.Before.IsZero() {
		if _, there, err := w.ownClient(authz.ClientID(was.Value)); err != nil || !there {
			return ours(err)
		}
	}
	b, err := w.db.bucket(w.tx, bucketRevocations)
	if err != nil {
		return ours(err)
	}
	var is authz.Revocation
	if there := b.Get([]byte(r.Key)); there != nil {
		if is, err = w.env.OpenRevocation(r.Key, there); err != nil {
			return ours(err)
		}
	}
	next := was
	next.Version = is.Version
	if w.live(is) {
		next.Revocation = is.Merge(was.Revocation)
		next.Client = cmp.Or(was.Client, is.Client)
		if next.Revocation == is.Revocation {
			return nil
		}
	}
	if _, err := w.putRevocation(w.tx, next); err != nil {
		return ours(err)
	}
	w.done.Revocations++
	return ours(w.record("revocation.restore", r.Key, revocationView(is), revocationView(next)))
}

func (w *withdrawing) live(r authz.Revocation) bool {
	return r.Version > 0 && (r.Until.IsZero() || w.now.Before(r.Until))
}

func revocationView(r authz.Revocation) audit.View {
	if r.Kind == "" {
		return nil
	}
	v := audit.View{"kind": string(r.Kind), "value": r.Value}
	if r.Client != "" {
		v["client_id"] = string(r.Client)
	}
	for name, t := range map[string]time.Time{"since": r.Since, "before": r.Before, "until": r.Until} {
		if !t.IsZero() {
			v[name] = t.UTC().Format(time.RFC3339)
		}
	}
	return v
}

func (w *withdrawing) ring(r store.Stored) error {
	was, err := w.from.env.OpenRing(r.Key, r.Octets)
	if err != nil {
		return err
	}
	b, err := w.db.bucket(w.tx, bucketRings)
	if err != nil {
		return ours(err)
	}
	there := b.Get([]byte(r.Key))
	if there == nil {
		return nil
	}
	is, err := w.env.OpenRing(r.Key, there)
	if err != nil {
		return ours(err)
	}
	revoked := map[string]bool{}
	for _, k := range was.Keys {
		revoked[k.KeyID] = !k.RevokedAt.IsZero()
	}
	for _, k := range is.Keys {
		if revoked[k.KeyID] && k.RevokedAt.IsZero() {
			w.done.Keys = append(w.done.Keys, k.KeyID)
		}
	}
	return nil
}

// record adds an entry of what was taken over.
func (w *withdrawing) record(action, target string, before, after audit.View) error {
	e := w.by.Done(w.db.now(), action, target)
	var err error
	if e.Before, e.After, err = audit.Diff(before, after); err != nil {
		return err
	}
	entry, err := store.EncodeEntry(e)
	if err != nil {
		return err
	}
	return w.db.appendAudit(w.tx, entry)
}

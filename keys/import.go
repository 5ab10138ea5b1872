package keys

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

// ActionImport is the action of the audit entry of an imported key; the target is its identifier.
const ActionImport = "key.import"

// Why a key is not taken over.
var (
	// ErrUnfit says that a key cannot serve the algorithm, or is not one that this server signs with.
	ErrUnfit = errors.New("keys: the key does not fit")

	// ErrDuplicate says that a key, or its identifier, is known already, if only as one that was withdrawn
	// or revoked.
	ErrDuplicate = errors.New("keys: the key, or its identifier, is known already")
)

// ImportedKey is a key pair that another server signed with.
type ImportedKey struct {
	Key       crypto.Signer
	Algorithm jose.Algorithm // canonical
	KeyID     string         // by which validators know it; empty: its thumbprint

	// PublishedAt is since when validators have known it, from that other server. Zero: from now on. It is
	// not in the future.
	PublishedAt time.Time
}

// Import makes a key of another server a next key of the ring of its algorithm, under the identifier by
// which validators know it, so that a partner's or a service's cached set stays good when that server is
// replaced by this one. It signs when it is rotated to; how soon that can be, PublishedAt says: verifiers
// that have known it for the publish lead need not learn it first. A ring that does not exist is made, of
// this key and no other, and signs with it as soon as another first key would.
//
// ErrUnfit, ErrDuplicate and ErrTooManyKeys are for who asked. Importing the same key under the same identifier again
// changes nothing. One key serves one algorithm, and a revoked one never comes back, under whatever name.
func (r *Ring) Import(ctx context.Context, in ImportedKey, by audit.Origin) (View, error) {
	if err := r.enter(ctx); err != nil {
		return View{}, err
	}
	defer r.leave()
	now := r.config.Now()
	k, public, err := in.record(now)
	if err != nil {
		return View{}, err
	}
	if err := r.load(ctx, now); err != nil {
		return View{}, fmt.Errorf("keys: import %q: %w", k.KeyID, err)
	}
	err = r.act(ctx, k.Algorithm, now, by, func(rec RingRecord) (*step, error) {
		if known, err := r.known(rec, public); known || err != nil {
			return nil, err
		}
		return r.importation(ctx, rec, k, in.Key, now)
	})
	if err != nil {
		return View{}, fmt.Errorf("keys: import %q: %w", k.KeyID, err)
	}
	if err := r.settle(ctx, k.Algorithm, now, followUp(by)); err != nil { // as in rotate
		r.config.Log.WarnContext(ctx, "no next key published yet", "alg", string(k.Algorithm), "err", err)
	}
	rec := r.held(k.Algorithm)
	return r.current.Load().view(rec, rec.index(k.KeyID), r.config.Now()), nil
}

// record returns the key as it will be stored, but for what is sealed.
func (in ImportedKey) record(now time.Time) (Key, *jose.PublicKey, error) {
	if in.Key == nil {
		return Key{}, nil, fmt.Errorf("%w: there is none", ErrUnfit)
	}
	public, err := jose.NewPublicKey(in.KeyID, in.Algorithm, in.Key.Public())
	if err != nil {
		return Key{}, nil, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	published := in.PublishedAt
	switch {
	case published.After(now):
		return Key{}, nil, fmt.Errorf("%w: it cannot have been published at %s, which has yet to come", ErrUnfit, published.UTC().Format(time.RFC3339))
	case published.IsZero():
		published = now
	}
	return Key{
		KeyID: public.KeyID(), Algorithm: public.Algorithm(), Imported: true,
		CreatedAt: floor(now), PublishedAt: ceil(published),
	}, public, nil
}

// known reports whether the key is in its ring already, alive and under this identifier, and returns
// ErrDuplicate if it, or the identifier, is known in any other way.
func (r *Ring) known(rec RingRecord, public *jose.PublicKey) (bool, error) {
	if i := rec.index(public.KeyID()); i >= 0 && slices.Equal(rec.Keys[i].Public, public.BareJWK()) &&
		rec.Keys[i].Imported && !rec.Keys[i].withdrawn(r.config.Now()) {
		return true, nil
	}
	rings := r.current.Load().rings
	for _, alg := range slices.Sorted(maps.Keys(rings)) {
		for _, k := range rings[alg].Keys {
			// One that was revoked is remembered for ever, and one that was withdrawn for long.
			if state := rings[alg].State(k.KeyID, r.config.Now()); k.KeyID == public.KeyID() || slices.Equal(k.Public, public.BareJWK()) {
				return false, fmt.Errorf("%w: it is %q, %s, in the ring of %s", ErrDuplicate, k.KeyID, state, alg)
			}
		}
	}
	return false, nil
}

// importation seals the key and publishes it.
func (r *Ring) importation(ctx context.Context, rec RingRecord, k Key, private crypto.Signer, now time.Time) (*step, error) {
	if err := r.room(maxImporting, now); err != nil {
		return nil, err
	}
	kek, err := r.kek(rec)
	if err != nil {
		return nil, err
	}
	handle, err := r.config.Provider.Import(ctx, k.Algorithm, private)
	if err != nil {
		return nil, err
	}
	defer clear(handle)
	if k, err = r.sealer.record(k, private, handle, kek); err != nil {
		return nil, err
	}
	published := k.PublishedAt
	var s *step
	if len(rec.Keys) == 0 {
		s = rec.publishFirst(k, now, r.windows, r.firstWait())
	} else {
		s = rec.publish(k, now, r.windows)
	}
	s.ring.Keys[len(s.ring.Keys)-1].PublishedAt = published
	s.action, s.reason = ActionImport, ""
	return s, nil
}

package admin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin/internal/api"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

// Keys is what the handler needs of the signing keys: a *keys.Ring, and for Rewrap the installation
// record besides. Its methods are called concurrently.
type Keys interface {
	// List returns every key, in a stable order.
	List() []keys.View

	// Rotate stamps when the next key of a ring signs, or of every ring when alg is empty.
	Rotate(ctx context.Context, alg jose.Algorithm, by audit.Origin) ([]keys.Rotated, error)

	// Plan returns what will happen by itself, or is overdue, soonest first.
	Plan() []keys.PlannedStep

	// Import takes over a key of another server: keys.ErrUnfit, keys.ErrDuplicate.
	Import(ctx context.Context, in keys.ImportedKey, by audit.Origin) (keys.View, error)

	// Revoke makes a key useless at once. An unknown key is keys.ErrNotFound.
	Revoke(ctx context.Context, kid string, by audit.Origin) (keys.Revoked, error)

	// RevokeAll makes every key useless at once. id names the act; after an error the same id does the rest.
	RevokeAll(ctx context.Context, id string, by audit.Origin) ([]keys.RevokedRing, error)

	// Rewrap moves everything that is sealed to the present key-encryption key, and proves that no other is needed.
	Rewrap(ctx context.Context, by audit.Origin) (keys.Rewrapped, error)
}

// ListKeys reads every signing key; the private parts do not come near.
func (h *handler) ListKeys(context.Context, api.ListKeysRequestObject) (api.ListKeysResponseObject, error) {
	views := h.keys.List()
	out := api.ListKeys200JSONResponse{Keys: make([]api.Key, len(views))}
	for i, v := range views {
		var err error
		if out.Keys[i], err = keyOf(v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func keyOf(v keys.View) (api.Key, error) {
	k := api.Key{
		Algorithm:   api.Algorithm(v.Algorithm),
		KID:         v.KeyID,
		State:       api.KeyState(v.State),
		Imported:    optional(v.Imported),
		CreatedAt:   v.CreatedAt.UTC(),
		PublishedAt: optionalTime(v.PublishedAt),
		SignFrom:    optionalTime(v.SignFrom),
		WithdrawAt:  optionalTime(v.WithdrawAt),
	}
	if v.JWK == nil {
		return k, nil
	}
	// Into the members of the document, which are public: no other could pass.
	if err := json.Unmarshal(v.JWK, &k.Jwk); err != nil {
		return api.Key{}, fmt.Errorf("admin: public part of key %q: %w", v.KeyID, err)
	}
	return k, nil
}

// RotateKeys lets the next key of one ring, or of every ring, take over.
func (h *handler) RotateKeys(ctx context.Context, req api.RotateKeysRequestObject) (api.RotateKeysResponseObject, error) {
	var alg jose.Algorithm
	if req.Body != nil && req.Body.Algorithm != nil {
		parsed, err := authz.ParseAlgorithm("algorithm", string(*req.Body.Algorithm))
		if err != nil {
			return nil, err
		}
		alg = parsed
	}
	about(ctx, string(alg)) // empty: every ring
	rotated, err := h.keys.Rotate(ctx, alg, origin(ctx))
	if err != nil {
		return nil, err
	}
	out := api.RotateKeys200JSONResponse{Keys: make([]api.RotatedKey, len(rotated))}
	for i, r := range rotated {
		out.Keys[i] = api.RotatedKey{Algorithm: api.Algorithm(r.Algorithm), KID: r.KeyID, SignFrom: r.SignFrom.UTC()}
	}
	return out, nil
}

// PlanKeys reads what will happen to the keys by itself, and what should have happened.
func (h *handler) PlanKeys(context.Context, api.PlanKeysRequestObject) (api.PlanKeysResponseObject, error) {
	steps := h.keys.Plan()
	out := api.PlanKeys200JSONResponse{Steps: make([]api.KeyStep, len(steps))}
	for i, s := range steps {
		out.Steps[i] = api.KeyStep{
			At: s.At.UTC(), Algorithm: api.Algorithm(s.Algorithm), KID: optional(s.KeyID), State: api.KeyState(s.State),
			Scheduled: s.Scheduled, Overdue: s.Overdue,
		}
	}
	return out, nil
}

// RevokeKey makes a key useless at once.
func (h *handler) RevokeKey(ctx context.Context, req api.RevokeKeyRequestObject) (api.RevokeKeyResponseObject, error) {
	r, err := h.keys.Revoke(ctx, req.KID, origin(ctx))
	if err != nil {
		return nil, err
	}
	return api.RevokeKey200JSONResponse{
		KID:        r.KeyID,
		Algorithm:  api.Algorithm(r.Algorithm),
		Was:        api.KeyState(r.Was),
		Successor:  optional(r.Successor),
		SignFrom:   optionalTime(r.SignFrom),
		JWKSMaxAge: seconds(r.MaxAge),
	}, nil
}

// RevokeAllKeys makes every key useless at once. Rings that are done stay so when another one fails, whatever
// the reason: then the answer is to repeat it, and the repeat does the rest.
func (h *handler) RevokeAllKeys(ctx context.Context, req api.RevokeAllKeysRequestObject) (api.RevokeAllKeysResponseObject, error) {
	key := req.Params.IdempotencyKey
	if !authz.ValidIdempotencyKey(key) {
		return nil, invalidField(idempotencyKeyHeader, authz.IdempotencyKeyRule)
	}
	by := origin(ctx)
	done, err := h.keys.RevokeAll(ctx, actID(by.Actor, key), by)
	if err != nil {
		return nil, &unfinished{err}
	}
	out := api.RevokeAllKeys200JSONResponse{Keys: make([]api.RevokedRing, len(done))}
	for i, r := range done {
		out.Keys[i] = api.RevokedRing{
			Algorithm:  api.Algorithm(r.Algorithm),
			Kids:       words(r.KeyIDs),
			Successor:  optional(r.Successor),
			SignFrom:   optionalTime(r.SignFrom),
			JWKSMaxAge: seconds(r.MaxAge),
		}
	}
	return out, nil
}

// unfinished is why an act of several steps was not carried out as a whole.
type unfinished struct{ err error }

// retryUnfinished is how soon the rest can be asked for.
const retryUnfinished = time.Second

func (e *unfinished) Error() string { return e.err.Error() }
func (e *unfinished) Unwrap() error { return e.err }

// actID names an act by its Idempotency-Key, which counts for the actor that sent it: another's key must
// not make an emergency look as if it were dealt with.
func actID(by audit.Actor, key string) string {
	sum := sha256.Sum256([]byte(by.String() + "\x00" + key)) // neither has control characters
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// RewrapKeys moves everything that is sealed to the present key-encryption key.
func (h *handler) RewrapKeys(ctx context.Context, _ api.RewrapKeysRequestObject) (api.RewrapKeysResponseObject, error) {
	r, err := h.keys.Rewrap(ctx, origin(ctx))
	if err != nil {
		return nil, err
	}
	return api.RewrapKeys200JSONResponse{
		KekID: r.KEKID, Previous: words(r.Before), Keys: int64(r.Keys), Secrets: int64(r.Secrets),
	}, nil
}

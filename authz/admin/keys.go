package admin

import (
	"context"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin/internal/api"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

// Keys is what the handler needs of the signing keys: a *keys.Ring. Its methods are called concurrently.
type Keys interface {
	// List returns every key, in a stable order.
	List() []keys.View

	// Rotate stamps when the next key of a ring signs, or of every ring when alg is empty.
	Rotate(ctx context.Context, alg jose.Algorithm, by audit.Origin) ([]keys.Rotated, error)

	// Plan returns what is stamped to happen, soonest first.
	Plan() []keys.PlannedStep

	// Revoke makes a key useless at once. An unknown key is keys.ErrNotFound.
	Revoke(ctx context.Context, kid string, by audit.Origin) (keys.Revoked, error)
}

// ListKeys reads every signing key; the private parts do not come near.
func (h *handler) ListKeys(context.Context, api.ListKeysRequestObject) (api.ListKeysResponseObject, error) {
	views := h.keys.List()
	out := api.ListKeys200JSONResponse{Keys: make([]api.Key, len(views))}
	for i, v := range views {
		out.Keys[i] = api.Key{
			Algorithm:   api.Algorithm(v.Algorithm),
			KID:         v.KeyID,
			State:       api.KeyState(v.State),
			CreatedAt:   v.CreatedAt.UTC(),
			PublishedAt: optionalTime(v.PublishedAt),
			SignFrom:    optionalTime(v.SignFrom),
			WithdrawAt:  optionalTime(v.WithdrawAt),
		}
	}
	return out, nil
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

// PlanKeys reads what will happen to the keys by itself.
func (h *handler) PlanKeys(context.Context, api.PlanKeysRequestObject) (api.PlanKeysResponseObject, error) {
	steps := h.keys.Plan()
	out := api.PlanKeys200JSONResponse{Steps: make([]api.KeyStep, len(steps))}
	for i, s := range steps {
		out.Steps[i] = api.KeyStep{At: s.At.UTC(), Algorithm: api.Algorithm(s.Algorithm), KID: s.KeyID, State: api.KeyState(s.State)}
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

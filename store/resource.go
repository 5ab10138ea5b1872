package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/keys/jose"
)

// resourceForm is a resource as it is stored, under its identifier.
type resourceForm struct {
	resourceForm2
	PreviousAlgorithm string    `json:"previous_algorithm,omitempty"`
	AlgorithmFrom     time.Time `json:"algorithm_from,omitzero"` // whole seconds
}

func (f *resourceForm) of(format byte) any {
	switch format {
	case formatFirst:
		return &f.resourceForm1
	case formatSecond:
		return &f.resourceForm2
	}
	return f
}

// resourceForm2 is a resource in format 2.
type resourceForm2 struct {
	DeletedAt time.Time `json:"deleted_at,omitzero"`
	resourceForm1
}

// resourceForm1 is a resource in format 1.
type resourceForm1 struct {
	Scope         string    `json:"scope,omitempty"` // RFC 6749, Section 3.3
	TokenLifetime int64     `json:"token_lifetime"`  // seconds
	Algorithm     string    `json:"algorithm"`
	TokenType     string    `json:"token_type"`
	CreatedAt     time.Time `json:"created_at,omitzero"` // RFC 3339, UTC, as all times
	UpdatedAt     time.Time `json:"updated_at,omitzero"`
}

// SealResource is as SealClient, for a resource. A new algorithm between two seconds is refused.
func (e *Envelope) SealResource(r authz.Resource) ([]byte, error) {
	lifetime, err := seconds(r.TokenLifetime)
	if err != nil {
		return nil, fmt.Errorf("store: resource %q: %w", r.ID, err)
	}
	if !wholeSeconds(r.AlgorithmFrom) {
		return nil, fmt.Errorf("store: resource %q: %w", r.ID, errFraction)
	}
	return seal(e, KindResource, string(r.ID), r.Version, resourceForm{
		resourceForm2: resourceForm2{
			DeletedAt: r.DeletedAt.UTC(),
			resourceForm1: resourceForm1{
				Scope:         r.Scopes.String(),
				TokenLifetime: lifetime,
				Algorithm:     string(r.Algorithm),
				TokenType:     r.TokenType,
				CreatedAt:     r.CreatedAt.UTC(),
				UpdatedAt:     r.UpdatedAt.UTC(),
			},
		},
		PreviousAlgorithm: string(r.PreviousAlgorithm),
		AlgorithmFrom:     r.AlgorithmFrom.UTC(),
	})
}

// OpenResource is as OpenClient, for a resource.
func (e *Envelope) OpenResource(id authz.ResourceID, sealed []byte) (authz.Resource, error) {
	form, version, err := open[resourceForm](e, KindResource, string(id), sealed)
	if err != nil {
		return authz.Resource{}, err
	}
	lifetime, err1 := duration(form.TokenLifetime)
	scopes, err2 := scopeSet(form.Scope)
	if err := errors.Join(err1, err2); err != nil {
		return authz.Resource{}, damaged(KindResource, string(id), err.Error())
	}
	if !wholeSeconds(form.AlgorithmFrom) {
		return authz.Resource{}, damaged(KindResource, string(id), errFraction.Error())
	}
	return authz.Resource{
		ID:            id,
		Scopes:        scopes,
		TokenLifetime: lifetime,
		Algorithm:     jose.Algorithm(form.Algorithm),
		TokenType:     form.TokenType,

		PreviousAlgorithm: jose.Algorithm(form.PreviousAlgorithm),
		AlgorithmFrom:     form.AlgorithmFrom.UTC(),

		CreatedAt: form.CreatedAt.UTC(),
		UpdatedAt: form.UpdatedAt.UTC(),
		DeletedAt: form.DeletedAt.UTC(),
		Version:   version,
	}, nil
}

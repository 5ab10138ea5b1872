package admin

import (
	"context"
	"net/url"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin/internal/api"
	"github.com/marque-auth/marque/authz/audit"
)

// Resources are the management operations on resources, as authz.Registry documents them.
type Resources interface {
	CreateResource(ctx context.Context, by audit.Origin, spec authz.ResourceSpec) (authz.Resource, bool, error)
	Resource(ctx context.Context, id authz.ResourceID) (authz.Resource, error)
	ListResources(ctx context.Context, q authz.ResourceQuery) ([]authz.Resource, error)
	UpdateResource(ctx context.Context, by audit.Origin, id authz.ResourceID, match authz.Match, spec authz.ResourceSpec, revoke bool) (authz.Resource, error)
	DeleteResource(ctx context.Context, by audit.Origin, id authz.ResourceID, match authz.Match) error
}

// CreateResource registers a resource.
func (h *handler) CreateResource(ctx context.Context, req api.CreateResourceRequestObject) (api.CreateResourceResponseObject, error) {
	about(ctx, req.Body.Resource)
	r, created, err := h.registry.CreateResource(ctx, origin(ctx), authz.ResourceSpec{
		ID:            req.Body.Resource,
		Scopes:        list(req.Body.Scopes),
		TokenLifetime: lifetime(req.Body.TokenLifetime),
		Algorithm:     text(req.Body.Algorithm),
		TokenType:     text(req.Body.TokenType),
	})
	if err != nil {
		return nil, err
	}
	if !created {
		return api.CreateResource200JSONResponse{
			Body: resourceOf(r), Headers: api.CreateResource200ResponseHeaders{ETag: etag(r.Version)},
		}, nil
	}
	return api.CreateResource201JSONResponse{
		Body: resourceOf(r),
		Headers: api.CreateResource201ResponseHeaders{
			ETag: etag(r.Version), Location: "/admin/v1/resources/" + url.PathEscape(string(r.ID)),
		},
	}, nil
}

// GetResource reads a resource.
func (h *handler) GetResource(ctx context.Context, req api.GetResourceRequestObject) (api.GetResourceResponseObject, error) {
	r, err := h.registry.Resource(ctx, authz.ResourceID(req.Resource))
	if err != nil {
		return nil, err
	}
	return api.GetResource200JSONResponse{
		Body: resourceOf(r), Headers: api.GetResource200ResponseHeaders{ETag: etag(r.Version)},
	}, nil
}

// UpdateResource puts another definition in place of a resource's.
func (h *handler) UpdateResource(ctx context.Context, req api.UpdateResourceRequestObject) (api.UpdateResourceResponseObject, error) {
	id := authz.ResourceID(req.Resource)
	match, err := seen(ctx).match(h.resourceVersion(ctx, id))
	if err != nil {
		return nil, err
	}
	r, err := h.registry.UpdateResource(ctx, origin(ctx), id, match, authz.ResourceSpec{
		ID:            text(req.Body.Resource),
		Scopes:        list(req.Body.Scopes),
		TokenLifetime: lifetime(req.Body.TokenLifetime),
		Algorithm:     text(req.Body.Algorithm),
		TokenType:     text(req.Body.TokenType),
	}, isTrue(req.Params.RevokeTokens))
	if err != nil {
		return nil, err
	}
	return api.UpdateResource200JSONResponse{
		Body: resourceOf(r), Headers: api.UpdateResource200ResponseHeaders{ETag: etag(r.Version)},
	}, nil
}

// DeleteResource deletes a resource.
func (h *handler) DeleteResource(ctx context.Context, req api.DeleteResourceRequestObject) (api.DeleteResourceResponseObject, error) {
	id := authz.ResourceID(req.Resource)
	match, err := seen(ctx).match(h.resourceVersion(ctx, id))
	if err != nil {
		return nil, err
	}
	if err := h.registry.DeleteResource(ctx, origin(ctx), id, match); err != nil {
		return nil, err
	}
	return api.DeleteResource204Response{}, nil
}

func (h *handler) resourceVersion(ctx context.Context, id authz.ResourceID) func() (uint64, error) {
	return func() (uint64, error) {
		r, err := h.registry.Resource(ctx, id)
		return r.Version, err
	}
}

// ListResources reads one page of resources.
func (h *handler) ListResources(ctx context.Context, req api.ListResourcesRequestObject) (api.ListResourcesResponseObject, error) {
	after, n, err := page[authz.ResourceID](req.Params.Cursor, req.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, err := h.registry.ListResources(ctx, authz.ResourceQuery{After: after, Text: text(req.Params.Query), Limit: n + 1})
	if err != nil {
		return nil, err
	}
	found, next := cut(found, n, func(r authz.Resource) authz.ResourceID { return r.ID })
	out := api.ListResources200JSONResponse{Resources: make([]api.Resource, len(found)), Next: next}
	for i, r := range found {
		out.Resources[i] = resourceOf(r)
	}
	return out, nil
}

func resourceOf(r authz.Resource) api.Resource {
	return api.Resource{
		Resource:      string(r.ID),
		Scopes:        words(r.Scopes.Tokens()),
		TokenLifetime: seconds(r.TokenLifetime),
		Algorithm:     api.Algorithm(r.Algorithm),
		TokenType:     api.TokenType(r.TokenType),
		CreatedAt:     r.CreatedAt.UTC(),

		PreviousAlgorithm: optional(api.Algorithm(r.PreviousAlgorithm)),
		AlgorithmFrom:     optionalTime(r.AlgorithmFrom),
	}
}

// lifetime turns seconds into a duration; absent is 0, the default. What lies outside the document's
// bounds, and an explicit 0, becomes a duration that the domain refuses together with what else is wrong:
// multiplied, 2^55+60 seconds would be one minute.
func lifetime(s *api.TokenLifetime) time.Duration {
	switch {
	case s == nil:
		return 0
	case *s < 1 || *s > int64(authz.MaxTokenLifetime/time.Second):
		return -1
	}
	return time.Duration(*s) * time.Second
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

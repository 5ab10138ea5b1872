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
	ListResources(ctx context.Context, after authz.ResourceID, limit int) ([]authz.Resource, error)
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
		return api.CreateResource200JSONResponse(resourceOf(r)), nil
	}
	return api.CreateResource201JSONResponse{
		Body:    resourceOf(r),
		Headers: api.CreateResource201ResponseHeaders{Location: "/admin/v1/resources/" + url.PathEscape(string(r.ID))},
	}, nil
}

// GetResource reads a resource.
func (h *handler) GetResource(ctx context.Context, req api.GetResourceRequestObject) (api.GetResourceResponseObject, error) {
	r, err := h.registry.Resource(ctx, authz.ResourceID(req.Resource))
	if err != nil {
		return nil, err
	}
	return api.GetResource200JSONResponse(resourceOf(r)), nil
}

// ListResources reads one page of resources.
func (h *handler) ListResources(ctx context.Context, req api.ListResourcesRequestObject) (api.ListResourcesResponseObject, error) {
	after, n, err := page[authz.ResourceID](req.Params.Cursor, req.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, err := h.registry.ListResources(ctx, after, n+1)
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

package admin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

// A request of which some part cannot be read is refused. What is left of it goes the same way to the
// same operation, but behind that stands a domain that only judges: so one answer names everything that
// is wrong, and no second place says how a body becomes what the domain is asked.

// Checks judge what the registry would be asked to do, and do nothing, as authz.Registry documents them.
type Checks interface {
	CheckResource(spec authz.ResourceSpec) error
	CheckResourceUpdate(ctx context.Context, id authz.ResourceID, spec authz.ResourceSpec) error
	CheckClient(ctx context.Context, by audit.Origin, spec authz.ClientSpec) error
	CheckClientUpdate(ctx context.Context, id authz.ClientID, spec authz.ClientSpec) error
	CheckSecret(by audit.Origin, id authz.ClientID, spec authz.SecretSpec) error
	CheckSecretRevocation(why authz.SecretRevocation) error
	CheckRevocation(ctx context.Context, spec authz.RevocationSpec) error
}

// judge returns what the domain finds wrong with the rest of a request that is refused. An error means
// that it could not say. Nothing is done, and nothing is noted of the request.
func (h *handler) judge(c *call, body []byte) ([]authz.FieldError, error) {
	probe := *c
	probe.seen, probe.verdict = preconditions{any: true}, errors.New("admin: nobody has judged the request")
	r := c.r.Clone(context.WithValue(c.r.Context(), callKey{}, &probe))
	r.URL.RawQuery = "" // no rule of the domain is about it where there is a body
	r.Header.Set(ifMatchHeader, "*")
	if len(r.Header.Values(idempotencyKeyHeader)) > 1 {
		r.Header.Del(idempotencyKeyHeader)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	h.judges.ServeHTTP(&discard{header: http.Header{}}, r)

	var invalid *authz.InvalidError
	switch {
	case errors.As(probe.verdict, &invalid):
		return invalid.Fields, nil
	case errors.Is(probe.verdict, errJudged), errors.Is(probe.verdict, authz.ErrNotFound): // nothing is there to be changed
		return nil, nil
	}
	return nil, probe.verdict
}

// joined adds to what is wrong with the form what the domain finds wrong with the rest, but nothing about
// a field that it could not see, or that it compares with one.
func joined(form, domain []authz.FieldError) []authz.FieldError {
	unread := func(name string) bool {
		return slices.ContainsFunc(form, func(e authz.FieldError) bool {
			field, _, _ := strings.Cut(e.Field, "/")
			return name != "" && field == name
		})
	}
	all := slices.Clone(form)
	for _, e := range domain {
		if !unread(e.Field) && !unread(e.ComparedWith()) {
			all = append(all, e)
		}
	}
	return all
}

// judging returns the routes to a domain that only judges.
func judging(checks Checks) *http.ServeMux {
	j := &handler{registry: judgingRegistry{checks: checks}, tokens: judgingTokens{}, keys: judgingKeys{}}
	verdict := func(_ http.ResponseWriter, r *http.Request, err error) {
		if c, ok := r.Context().Value(callKey{}).(*call); ok {
			c.verdict = err
		}
	}
	return j.serve(verdict, verdict)
}

// errJudged is the verdict on what is not wrong. It was not done either.
var errJudged = errors.New("admin: judged, and not done")

func verdict(err error) error {
	if err == nil {
		return errJudged
	}
	return err
}

// judgingRegistry judges. The Registry in it is nil: what is not below is not done, but panics.
type judgingRegistry struct {
	Registry
	checks Checks
}

func (j judgingRegistry) CreateResource(_ context.Context, _ audit.Origin, spec authz.ResourceSpec) (authz.Resource, bool, error) {
	return authz.Resource{}, false, verdict(j.checks.CheckResource(spec))
}

func (j judgingRegistry) UpdateResource(ctx context.Context, _ audit.Origin, id authz.ResourceID, _ authz.Match, spec authz.ResourceSpec, _ bool) (authz.Resource, error) {
	return authz.Resource{}, verdict(j.checks.CheckResourceUpdate(ctx, id, spec))
}

func (j judgingRegistry) CreateClient(ctx context.Context, by audit.Origin, spec authz.ClientSpec) (authz.Client, authz.Secret, bool, error) {
	return authz.Client{}, "", false, verdict(j.checks.CheckClient(ctx, by, spec))
}

func (j judgingRegistry) UpdateClient(ctx context.Context, _ audit.Origin, id authz.ClientID, _ authz.Match, spec authz.ClientSpec, _ bool) (authz.Client, error) {
	return authz.Client{}, verdict(j.checks.CheckClientUpdate(ctx, id, spec))
}

func (j judgingRegistry) AddSecret(_ context.Context, by audit.Origin, id authz.ClientID, spec authz.SecretSpec) (authz.Credential, authz.Secret, bool, error) {
	return authz.Credential{}, "", false, verdict(j.checks.CheckSecret(by, id, spec))
}

func (j judgingRegistry) RevokeSecret(_ context.Context, _ audit.Origin, _ authz.ClientID, _ authz.CredentialID, why authz.SecretRevocation) (authz.Credential, error) {
	return authz.Credential{}, verdict(j.checks.CheckSecretRevocation(why))
}

func (j judgingRegistry) Revoke(ctx context.Context, _ audit.Origin, spec authz.RevocationSpec) (authz.Revocation, error) {
	return authz.Revocation{}, verdict(j.checks.CheckRevocation(ctx, spec))
}

// judgingTokens finds nothing wrong: a token is ours, or it is not.
type judgingTokens struct{}

func (judgingTokens) RevokeToken(context.Context, audit.Origin, string) (authz.Revocation, error) {
	return authz.Revocation{}, errJudged
}

// judgingKeys finds nothing wrong with an algorithm that exists, nor with a key that can sign. The Keys in it
// are nil.
type judgingKeys struct{ Keys }

func (judgingKeys) Import(context.Context, keys.ImportedKey, audit.Origin) (keys.View, error) {
	return keys.View{}, errJudged
}

func (judgingKeys) Rotate(context.Context, jose.Algorithm, audit.Origin) ([]keys.Rotated, error) {
	return nil, errJudged
}

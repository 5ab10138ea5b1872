package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// clientForm is a client as it is stored. Its identifier is the storage key and its version stands
// in the envelope, both under the MAC. Members are added only with a new Format.
type clientForm struct {
	DeletedAt time.Time `json:"deleted_at,omitzero"` // first, so that whoever lists clients need not read on
	clientForm1
	Admin                  bool   `json:"admin,omitzero"`
	IntrospectionAlgorithm string `json:"introspection_signed_response_alg,omitempty"` // canonical name
}

func (f *clientForm) of(format byte) any {
	if format == formatFirst {
		return &f.clientForm1
	}
	return f
}

// clientForm1 is a client in format 1.
type clientForm1 struct {
	Name            string           `json:"name"`
	Disabled        bool             `json:"disabled,omitzero"`
	AuthMethod      string           `json:"token_endpoint_auth_method"`
	GrantTypes      []string         `json:"grant_types,omitempty"`
	Scope           string           `json:"scope,omitempty"` // RFC 6749, Section 3.3
	DefaultScope    string           `json:"default_scope,omitempty"`
	Resources       []string         `json:"resources,omitempty"`
	DefaultResource string           `json:"default_resource,omitempty"`
	Serves          []string         `json:"serves,omitempty"`
	TokenLifetime   int64            `json:"token_lifetime,omitzero"` // seconds
	Claims          []claimForm      `json:"claims,omitempty"`
	Credentials     []credentialForm `json:"credentials,omitempty"`
	CreatedAt       time.Time        `json:"created_at,omitzero"` // RFC 3339, UTC, as all times
	UpdatedAt       time.Time        `json:"updated_at,omitzero"`
}

type claimForm struct {
	Name  string         `json:"name"`
	Value jsontext.Value `json:"value"`
}

type credentialForm struct {
	ID        string    `json:"id"`
	Scheme    string    `json:"scheme"`
	Digest    []byte    `json:"digest,omitempty"` // base64
	Generated bool      `json:"generated,omitzero"`
	NotBefore time.Time `json:"not_before,omitzero"`
	Expires   time.Time `json:"expires,omitzero"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	CreatedAt time.Time `json:"created_at,omitzero"`
}

// SealClient returns c as it is stored under its identifier, with the version c.Version, which must
// already be the new one. A client that could not be read back exactly is refused, and so is one
// that has a credential identifier twice, which the index could not tell apart.
func (e *Envelope) SealClient(c authz.Client) ([]byte, error) {
	form, err := clientFormOf(c)
	if err != nil {
		return nil, fmt.Errorf("store: client %q: %w", c.ID, err)
	}
	return seal(e, KindClient, string(c.ID), c.Version, form)
}

// OpenClient checks and reads a client stored under id. The error is a *RecordError.
func (e *Envelope) OpenClient(id authz.ClientID, sealed []byte) (authz.Client, error) {
	version, body, err := e.Open(KindClient, string(id), sealed)
	if err != nil {
		return authz.Client{}, err
	}
	return openClientBody(id, sealed[0], version, body)
}

// openClientBody reads the authenticated body of a client.
func openClientBody(id authz.ClientID, format byte, version uint64, body []byte) (authz.Client, error) {
	form, err := openBody[clientForm](KindClient, string(id), format, body)
	if err != nil {
		return authz.Client{}, err
	}
	c, err := form.client()
	if err != nil {
		return authz.Client{}, damaged(KindClient, string(id), err.Error())
	}
	c.ID, c.Version = id, version
	return c, nil
}

func clientFormOf(c authz.Client) (clientForm, error) {
	lifetime, err1 := seconds(c.TokenLifetime)
	claims, err2 := claimForms(c.Claims)
	credentials, err3 := credentialForms(c.Credentials)
	return clientForm{
		DeletedAt: c.DeletedAt.UTC(),
		clientForm1: clientForm1{
			Name:            c.Name,
			Disabled:        c.Disabled,
			AuthMethod:      string(c.AuthMethod),
			GrantTypes:      c.GrantTypes,
			Scope:           c.Scopes.String(),
			DefaultScope:    c.DefaultScopes.String(),
			Resources:       retyped[string](c.Resources),
			DefaultResource: string(c.DefaultResource),
			Serves:          retyped[string](c.Serves),
			TokenLifetime:   lifetime,
			Claims:          claims,
			Credentials:     credentials,
			CreatedAt:       c.CreatedAt.UTC(),
			UpdatedAt:       c.UpdatedAt.UTC(),
		},
		Admin:                  c.Admin,
		IntrospectionAlgorithm: string(c.IntrospectionAlgorithm),
	}, errors.Join(err1, err2, err3)
}

func (f clientForm) client() (authz.Client, error) {
	lifetime, err1 := duration(f.TokenLifetime)
	scopes, err2 := scopeSet(f.Scope)
	defaultScopes, err3 := scopeSet(f.DefaultScope)
	return authz.Client{
		Name:            f.Name,
		Disabled:        f.Disabled,
		Admin:           f.Admin,
		AuthMethod:      authz.AuthMethod(f.AuthMethod),
		GrantTypes:      f.GrantTypes,
		Scopes:          scopes,
		DefaultScopes:   defaultScopes,
		Resources:       retyped[authz.ResourceID](f.Resources),
		DefaultResource: authz.ResourceID(f.DefaultResource),
		Serves:          retyped[authz.ResourceID](f.Serves),
		TokenLifetime:   lifetime,
		Claims:          staticClaims(f.Claims),
		Credentials:     credentials(f.Credentials),

		IntrospectionAlgorithm: jose.Algorithm(f.IntrospectionAlgorithm),

		CreatedAt: f.CreatedAt.UTC(),
		UpdatedAt: f.UpdatedAt.UTC(),
		DeletedAt: f.DeletedAt.UTC(),
	}, errors.Join(err1, err2, err3)
}

func claimForms(in []token.Static) ([]claimForm, error) {
	out := make([]claimForm, len(in))
	for i, c := range in {
		if len(c.Value) == 0 {
			return nil, fmt.Errorf("static claim %q has no value", c.Name)
		}
		out[i] = claimForm{Name: c.Name, Value: c.Value}
	}
	return out, nil
}

func staticClaims(in []claimForm) []token.Static {
	var out []token.Static
	for _, f := range in {
		out = append(out, token.Static{Name: f.Name, Value: f.Value})
	}
	return out
}

func credentialForms(in []authz.Credential) ([]credentialForm, error) {
	out := make([]credentialForm, len(in))
	seen := make(map[authz.CredentialID]bool, len(in))
	for i, c := range in {
		if err := checkID(KindCredential, string(c.ID)); err != nil {
			return nil, err
		}
		if seen[c.ID] {
			return nil, fmt.Errorf("it has the credential %q twice", c.ID)
		}
		seen[c.ID] = true
		out[i] = credentialForm{
			ID:        string(c.ID),
			Scheme:    string(c.Scheme),
			Digest:    c.Digest,
			Generated: c.Generated,
			NotBefore: c.NotBefore.UTC(),
			Expires:   c.Expires.UTC(),
			RevokedAt: c.RevokedAt.UTC(),
			CreatedAt: c.CreatedAt.UTC(),
		}
	}
	return out, nil
}

func credentials(in []credentialForm) []authz.Credential {
	var out []authz.Credential
	for _, f := range in {
		out = append(out, authz.Credential{
			ID:        authz.CredentialID(f.ID),
			Scheme:    authz.Scheme(f.Scheme),
			Digest:    f.Digest,
			Generated: f.Generated,
			NotBefore: f.NotBefore.UTC(),
			Expires:   f.Expires.UTC(),
			RevokedAt: f.RevokedAt.UTC(),
			CreatedAt: f.CreatedAt.UTC(),
		})
	}
	return out
}

func scopeSet(text string) (authz.ScopeSet, error) {
	s, err := authz.ParseScope(text)
	if err != nil {
		return authz.ScopeSet{}, errors.New("its scope is not one")
	}
	return s, nil
}

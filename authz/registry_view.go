package authz

import (
	"bytes"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// The views of records in the audit log: the management API's names, each written here by hand, so that
// a digest never gets there by itself. Times are RFC 3339, lifetimes seconds. Members that are not set
// are left out.

// changed returns the entry of a change, with what it made different and what it withdrew.
func changed(e audit.Entry, before, after audit.View, revisions []revision) (audit.Entry, error) {
	for _, r := range revisions {
		if r.write {
			mention(before, r.old)
			mention(after, r.next)
		}
	}
	b, a, err := audit.Diff(before, after)
	e.Before, e.After = redactJSON(b), redactJSON(a)
	return e, err
}

// mention adds a revocation that is stored with a record to the record's view.
func mention(v audit.View, r Revocation) {
	if v == nil || !r.Valid() {
		return
	}
	list, _ := v["revocations"].([]audit.View)
	v["revocations"] = append(list, revocationView(r))
}

// redactJSON takes out what has the shape of a secret, which holds no character that JSON escapes: an
// admin may have pasted one into a name. What remains is the same JSON otherwise.
func redactJSON(v jsontext.Value) jsontext.Value {
	if v == nil {
		return nil
	}
	return jsontext.Value(Redact(string(v)))
}

// set adds a member unless its value is the zero value.
func set[T comparable](v audit.View, name string, value T) {
	var zero T
	if value != zero {
		v[name] = value
	}
}

func setTime(v audit.View, name string, t time.Time) {
	if !t.IsZero() {
		v[name] = t.UTC().Format(time.RFC3339)
	}
}

// clientView shows a client; of its secrets those that other does not have just so.
func clientView(c, other Client) audit.View {
	if c.Version == 0 && c.ID == "" || !c.DeletedAt.IsZero() {
		return nil
	}
	v := audit.View{"client_name": c.Name, "disabled": c.Disabled, "admin": c.Admin, "token_endpoint_auth_method": string(c.AuthMethod)}
	set(v, "scope", c.Scopes.String())
	set(v, "default_scope", c.DefaultScopes.String())
	set(v, "default_resource", string(c.DefaultResource))
	set(v, "token_lifetime", int64(c.TokenLifetime/time.Second))
	set(v, "introspection_signed_response_alg", string(c.IntrospectionAlgorithm))
	setList(v, "grant_types", c.GrantTypes)
	setList(v, "resources", c.Resources)
	setList(v, "serves", c.Serves)
	if len(c.Claims) > 0 {
		v["claims"] = claimsView(c.Claims)
	}
	secrets := []audit.View{}
	for _, x := range c.Credentials {
		if !slices.ContainsFunc(other.Credentials, x.equal) {
			secrets = append(secrets, credentialView(x))
		}
	}
	v["secrets"] = secrets
	return v
}

func setList[S ~string](v audit.View, name string, list []S) {
	if len(list) > 0 {
		v[name] = slices.Clone(list)
	}
}

func claimsView(claims []token.Static) audit.View {
	v := audit.View{}
	for _, c := range claims {
		v[c.Name] = c.Value
	}
	return v
}

func (c Credential) equal(o Credential) bool {
	return c.ID == o.ID && c.Scheme == o.Scheme && bytes.Equal(c.Digest, o.Digest) && c.Generated == o.Generated &&
		c.NotBefore.Equal(o.NotBefore) && c.Expires.Equal(o.Expires) && c.RevokedAt.Equal(o.RevokedAt)
}

func credentialView(c Credential) audit.View {
	v := audit.View{"credential_id": string(c.ID), "revoked": !c.RevokedAt.IsZero()}
	setTime(v, "not_before", c.NotBefore)
	setTime(v, "client_secret_expires_at", c.Expires)
	setTime(v, "revoked_at", c.RevokedAt)
	return v
}

func resourceView(r Resource) audit.View {
	if r.ID == "" || !r.DeletedAt.IsZero() {
		return nil
	}
	v := audit.View{"token_lifetime": int64(r.TokenLifetime / time.Second), "algorithm": string(r.Algorithm), "token_type": r.TokenType}
	setList(v, "scopes", r.Scopes.Tokens())
	set(v, "previous_algorithm", string(r.PreviousAlgorithm))
	setTime(v, "algorithm_from", r.AlgorithmFrom)
	return v
}

func revocationView(r Revocation) audit.View {
	if !r.Valid() {
		return nil
	}
	v := audit.View{"kind": string(r.Kind)}
	set(v, "value", r.Value)
	set(v, "client_id", string(r.Client))
	setTime(v, "since", r.Since)
	setTime(v, "before", r.Before)
	setTime(v, "until", r.Until)
	return v
}

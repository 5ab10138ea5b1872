package admin

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/marque-auth/marque/keys/jose"
)

// The document repeats the bounds of authz/rules.go, for people and their tools. This holds them
// together: at each bound a value is accepted, and just outside it is refused. Whoever changes one of
// both alone fails here.

// bounded names the bounds of each field of a request, so that one which is left out of the document, or
// is new in it, is missed here; a field that is not listed has none.
var bounded = map[string]string{
	"resource": "minLength maxLength", "client_id": "minLength maxLength", "client_name": "minLength maxLength",
	"default_resource": "minLength maxLength", "resources": "maxItems", "serves": "maxItems", "claims": "maxProperties",
	"token_lifetime": "minimum maximum", "client_secret": "minLength maxLength", "client_secret_expires_at": "minimum maximum",
	"algorithm": "enum", "token_type": "enum", "introspection_signed_response_alg": "enum", "kind": "enum",
	"value": "minLength maxLength", "token": "minLength",
	"key": "maxLength", "kid": "minLength maxLength",
	"cursor": "maxLength", "limit": "minimum maximum",
	"query": "minLength maxLength", "actor": "minLength maxLength", "action": "minLength maxLength", "target": "minLength maxLength",
	"If-Match": "minLength maxLength", "Idempotency-Key": "minLength maxLength", "X-Marque-Reason": "maxLength",
}

// bound is one bound of a field: values at it, and values just outside.
type bound struct {
	name        string
	at, outside []any
}

// boundsOf reads the bounds of a schema. of makes a value of a length or number.
func boundsOf(s *openapi3.Schema, others []any, of func(n int) any) (all []bound) {
	add := func(name string, at, outside int) {
		all = append(all, bound{name, []any{of(at)}, []any{of(outside)}})
	}
	if n := int(s.MinLength); n > 0 {
		add("minLength", n, n-1)
	}
	if s.MaxLength != nil {
		add("maxLength", int(*s.MaxLength), int(*s.MaxLength)+1)
	}
	if s.Min != nil {
		add("minimum", int(*s.Min), int(*s.Min)-1)
	}
	if s.Max != nil {
		add("maximum", int(*s.Max), int(*s.Max)+1)
	}
	if n := int(s.MinItems); n > 0 {
		add("minItems", n, n-1)
	}
	if s.MaxItems != nil {
		add("maxItems", int(*s.MaxItems), int(*s.MaxItems)+1)
	}
	if n := int(s.MinProps); n > 0 {
		add("minProperties", n, n-1)
	}
	if s.MaxProps != nil {
		add("maxProperties", int(*s.MaxProps), int(*s.MaxProps)+1)
	}
	if len(s.Enum) > 0 {
		outside := slices.DeleteFunc(slices.Clone(others), func(v any) bool { return slices.Contains(s.Enum, v) })
		all = append(all, bound{"enum", s.Enum, outside})
	}
	return all
}

// enumerable are names that are in some enumeration, or that standards or habit could have put there: one
// that is not in the document must be refused.
var enumerable = []any{
	"ES256", "ES384", "RS256", "PS256", "Ed25519", "EdDSA", "at+jwt", "JWT", "jti", "client", "credential", "kid", "resource", "all",
	"", "none", "HS256", "HS512", "RS384", "RS512", "ES256K", "es384", "ES512", "PS384", "PS512", "Ed448", "es256", "eddsa",
	"jwt", "AT+JWT", "application/at+jwt", "dpop+jwt", "token", "user", "scope", "issuer", "key", "secret", "client_id", "ALL",
}

// prober sends requests that are right but for one field.
type prober struct {
	*server
	others []any // of enumerations
}

// value makes a value of a field whose length, number or size is n, and which is right otherwise.
func value(e endpoint, field string, s *openapi3.Schema, n int) any {
	switch field {
	case "resource", "default_resource", "value":
		return identifier(n)
	case "resources", "serves":
		ids := []string{}
		for i := range n {
			ids = append(ids, fmt.Sprintf("urn:bound:%d", i))
		}
		return ids
	case "claims":
		claims := map[string]any{}
		for i := range n {
			claims[fmt.Sprint("https://claims.example/", i)] = i
		}
		return claims
	case "key":
		key := pemOf(jose.ES256)
		return key + strings.Repeat("\n", n-len(key))
	case "client_secret":
		return strings.Repeat("a1B2c3D4e5f6G7h8I9j0", n/20+1)[:n]
	case "cursor":
		for n%4 == 1 { // no base64 is so long
			n++
		}
		return base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("x", n*3/4)))
	case "If-Match":
		if n < 2 {
			return strings.Repeat("*", n)
		}
		return `"` + strings.Repeat("x", n-2) + `"`
	}
	if s.Type.Is("integer") {
		return n
	}
	return strings.Repeat("a", n)
}

// identifier is an identifier of a resource of a length; the shortest has three characters.
func identifier(n int) string {
	return ("u:" + strings.Repeat("x", n))[:n]
}

// body is what an operation is asked with, with one member as it is tried.
func (p prober) body(e endpoint, field string, v any) map[string]any {
	body := map[string]any{}
	switch e.op.OperationID {
	case "CreateClient", "UpdateClient":
		body["client_name"] = "N"
		switch field {
		case "default_resource":
			body["resources"] = []any{v}
		case "introspection_signed_response_alg":
			body["serves"] = []string{fulfilment}
		}
	case "CreateResource":
		body["resource"] = fmt.Sprintf("urn:made:%s:%v", field, v)
	case "CreateRevocation":
		body["kind"], body["value"] = "resource", fulfilment
		if field == "value" && len(v.(string)) < 3 { // no identifier of a resource is so short
			body["kind"] = "jti"
		}
		if field == "kind" {
			body["value"] = map[any]string{"jti": "j", "client": "acme", "kid": p.ring.List()[0].KeyID, "credential": p.secrets("acme")[0].CredentialID}[v]
			if v == "resource" {
				body["value"] = fulfilment
			}
			if v == "all" || body["value"] == "" {
				delete(body, "value")
			}
		}
	case "RevokeToken":
		body["token"] = "x"
	case "ImportKey":
		body["key"] = pemOf(jose.ES256)
		if alg, err := jose.ParseAlgorithm(fmt.Sprint(v)); field == "algorithm" && err == nil {
			body["key"] = pemOf(alg)
		}
	}
	if field != "" {
		body[field] = v
	}
	return body
}

// at is where an operation is asked. Where the identifier is repeated in the body, and can be one, both
// are the same.
func (p prober) at(e endpoint, field string, v any) string {
	client, resource := "acme", fulfilment
	switch made := p.prepare(e, field, v); {
	case made && field == "client_id":
		client = v.(string)
	case made && field == "resource":
		resource = v.(string)
	}
	return strings.NewReplacer("{client_id}", client, "{resource}", url.PathEscape(resource), "{credential_id}", "x", "{kid}", "x", "{request_id}", "x").Replace(e.path)
}

// prepare makes the records that a value names, and reports whether it could.
func (p prober) prepare(e endpoint, field string, v any) (made bool) {
	register := func(id any) { made = p.do("POST", "/admin/v1/resources", map[string]any{"resource": id}).Status < 300 }
	switch update := strings.HasPrefix(e.op.OperationID, "Update"); {
	case field == "client_id" && update && v != "":
		return p.do("POST", "/admin/v1/clients", map[string]any{"client_id": v, "client_name": "N"}).Status < 300
	case field == "resource" && update, field == "default_resource", field == "value":
		register(v)
	case field == "resources" || field == "serves":
		for _, id := range v.([]string) {
			register(id)
		}
	}
	return made
}

// ask asks with a value in one place.
func (p prober) ask(e endpoint, in, field string, v any) answer {
	p.t.Helper()
	path, headers := p.at(e, field, v), ifMatch("*")
	maps.Copy(headers, actOf(e))
	var body any
	if e.op.RequestBody != nil {
		body = p.body(e, "", nil)
	}
	switch in {
	case "body":
		body = p.body(e, field, v)
	case "query":
		path += "?" + field + "=" + url.QueryEscape(fmt.Sprint(v))
	case "header":
		headers[field] = v.(string)
	}
	return p.do(e.method, path, body, headers)
}

func (a answer) names(field string) bool {
	return a.Status == http.StatusBadRequest && slices.ContainsFunc(a.problem().Errors, func(f struct{ Field, Rule string }) bool { return f.Field == field })
}

// try asks with values at each bound of a field, and just outside.
func (p prober) try(e endpoint, in, field string, s *openapi3.Schema) {
	names := []string{}
	for _, b := range boundsOf(s, p.others, func(n int) any { return value(e, field, s, n) }) {
		names = append(names, b.name)
		for _, v := range b.at {
			opaque := e.op.OperationID == "ListAudit" && field == "cursor" // only the log knows its own
			if a := p.ask(e, in, field, v); a.Status == http.StatusBadRequest && !opaque {
				p.t.Errorf("%s %s: at the %s of the document, and refused: %s", e.op.OperationID, field, b.name, a.Body)
			}
		}
		for _, v := range b.outside {
			if a := p.ask(e, in, field, v); !a.names(field) {
				p.t.Errorf("%s %s: outside the %s of the document (%.20v), and not refused: %d %.200s", e.op.OperationID, field, b.name, v, a.Status, a.Body)
			}
		}
	}
	if got := strings.Join(names, " "); got != bounded[field] {
		p.t.Errorf("%s %s has the bounds %q in the document, want %q", e.op.OperationID, field, got, bounded[field])
	}
}

func TestDocument_BoundsAreTheDomains(t *testing.T) {
	doc := loadDocument(t)
	others := slices.Clone(enumerable)
	for _, schema := range doc.spec.Components.Schemas {
		for _, v := range schema.Value.Enum {
			if !slices.Contains(others, v) {
				others = append(others, v)
			}
		}
	}
	tried := map[string]bool{}
	for _, e := range doc.endpoints() {
		t.Run(e.op.OperationID, func(t *testing.T) {
			p := prober{startWithBoth(t), others}
			for _, param := range e.op.Parameters {
				if in := param.Value.In; in != "path" {
					p.try(e, in, param.Value.Name, param.Value.Schema.Value)
					tried[param.Value.Name] = true
				}
			}
			schema := bodySchema(e)
			if schema == nil {
				return
			}
			for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
				p.try(e, "body", name, schema.Properties[name].Value)
				tried[name] = true
			}
		})
	}
	for field := range bounded {
		if !tried[field] {
			t.Errorf("%s is no field of the document", field)
		}
	}
}

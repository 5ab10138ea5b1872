package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"pgregory.net/rapid"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/keys/jose"
)

// Requests that nobody thought of, made from the document alone: what it allows is not refused for its
// form, and what it forbids is.

// allowed draws a value that a schema allows.
func allowed(t *rapid.T, s *openapi3.Schema, label string) any {
	switch {
	case len(s.Enum) > 0:
		return rapid.SampledFrom(s.Enum).Draw(t, label)
	case s.Type.Is("boolean"):
		return rapid.Bool().Draw(t, label)
	case s.Type.Is("integer"):
		low, high := int64(-1<<53), int64(1<<53)
		if s.Min != nil {
			low = int64(*s.Min)
		}
		if s.Max != nil {
			high = int64(*s.Max)
		}
		return rapid.Int64Range(low, high).Draw(t, label)
	case s.Type.Is("string"):
		return validText(t, s, label)
	case s.Type.Is("array"):
		list := []any{}
		for i := range rapid.IntRange(int(s.MinItems), 3).Draw(t, label+" length") {
			list = append(list, allowed(t, s.Items.Value, fmt.Sprintf("%s/%d", label, i)))
		}
		return list
	case s.Type.Is("object"):
		return validObject(t, s, label)
	}
	return rapid.SampledFrom([]any{"x", 1, true, []any{}, map[string]any{"a": 1}}).Draw(t, label) // any value; a claim is never null
}

func validText(t *rapid.T, s *openapi3.Schema, label string) string {
	if s.Format == "date-time" {
		at := time.Unix(rapid.Int64Range(86_400, 253402300799-86_400).Draw(t, label), 0)
		return at.In(time.FixedZone("", 60*rapid.IntRange(-720, 840).Draw(t, label+" zone"))).Format(time.RFC3339)
	}
	if strings.HasSuffix(label, ".key") && rapid.Bool().Draw(t, label+" is one") {
		return pemOf(jose.ES384)
	}
	high := 40
	if s.MaxLength != nil {
		high = int(*s.MaxLength)
	}
	if s.Pattern != "" {
		chars := rapid.RuneFrom([]rune("abcXYZ019._~-"))
		return rapid.StringOfN(chars, max(1, int(s.MinLength)), min(high, 64), -1).Draw(t, label)
	}
	known := []string{"acme", fulfilment, "orders:read", "urn:x", "https://b.example/x?y", "client", "jti"}
	known = slices.DeleteFunc(known, func(v string) bool { return len(v) < int(s.MinLength) })
	if len(known) > 0 && rapid.Bool().Draw(t, label+" known") {
		return rapid.SampledFrom(known).Draw(t, label)
	}
	return rapid.StringN(max(1, int(s.MinLength)), min(high, 60), -1).Draw(t, label)
}

func validObject(t *rapid.T, s *openapi3.Schema, label string) map[string]any {
	object := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if slices.Contains(s.Required, name) || rapid.Bool().Draw(t, label+" has "+name) {
			object[name] = allowed(t, s.Properties[name].Value, label+"."+name)
		}
	}
	if more := s.AdditionalProperties.Schema; more != nil {
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"https://claims.example/a", "https://claims.example/b", "sub", "x"}), 0, 2, rapid.ID).Draw(t, label+" names") {
			object[name] = allowed(t, more.Value, label+"."+name)
		}
	}
	return object
}

// spoil changes an object that a schema allows into one that it should not allow, and returns the
// member that is wrong then.
func spoil(t *rapid.T, s *openapi3.Schema, object map[string]any) string {
	type change struct {
		field string
		make  func()
	}
	var all []change
	for _, name := range s.Required {
		all = append(all, change{name, func() { delete(object, name) }})
	}
	all = append(all, change{"surplus", func() { object["surplus"] = 1 }})
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		for _, bad := range forbidden(s.Properties[name].Value) {
			all = append(all, change{name, func() { object[name] = bad }})
		}
	}
	c := rapid.SampledFrom(all).Draw(t, "change")
	c.make()
	return c.field
}

// forbidden lists values that a schema forbids: each kind of mistake that it can name.
func forbidden(s *openapi3.Schema) []any {
	out := []any{nil}
	for kind, value := range map[string]any{"string": "x", "integer": 1, "boolean": true, "array": []any{}, "object": map[string]any{}} {
		if !s.Type.Is(kind) {
			out = append(out, value)
		}
	}
	if len(s.Enum) > 0 {
		out = append(out, "surplus", strings.ToLower(fmt.Sprint(s.Enum[0]))+" ")
	}
	if s.Type.Is("integer") {
		out = append(out, 1.5, "1")
		if s.Min != nil {
			out = append(out, int64(*s.Min)-1)
		}
		if s.Max != nil {
			out = append(out, int64(*s.Max)+1)
		}
	}
	if s.Type.Is("string") {
		if s.MinLength > 0 {
			out = append(out, strings.Repeat("a1b2c3d4", int(s.MinLength))[:s.MinLength-1])
		}
		if s.MaxLength != nil {
			out = append(out, strings.Repeat("a1b2c3d4", int(*s.MaxLength))[:*s.MaxLength+1])
		}
		if s.Pattern != "" {
			out = append(out, "ä\n", strings.Repeat("ü 1b2c3d", 4))
		}
		if s.Format == "date-time" {
			out = append(out, "x", "2026-01-01", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00")
		}
	}
	if s.Type.Is("array") {
		for _, bad := range forbidden(s.Items.Value) {
			out = append(out, []any{bad})
		}
	}
	return out
}

// aboutForm are the rules that tell of a wrong form: whoever keeps to the document never reads them.
var aboutForm = []string{
	"must be a string", "must be an integer", "must be true or false", "must be an array", "must be an object", "must be a time",
	"is no member", "is required", "must not be empty", "must not be repeated", "is no query parameter", "must be sent once", "must be a JSON object", "is not JSON",
	authz.LimitRule, authz.FilterRule,
}

func (a answer) tellsOfForm() bool {
	for _, e := range a.problem().Errors {
		if slices.ContainsFunc(aboutForm, func(rule string) bool { return strings.HasPrefix(e.Rule, rule) }) {
			return true
		}
	}
	return false
}

func bodySchema(e endpoint) *openapi3.Schema {
	if e.op.RequestBody == nil {
		return nil
	}
	return e.op.RequestBody.Value.Content.Get("application/json").Schema.Value
}

// generatedPath fills the path of an operation with records that exist, or do not.
func (s *server) generatedPath(t *rapid.T, e endpoint) string {
	path := e.path
	for _, p := range e.op.Parameters {
		if p.Value.In == "path" {
			value := rapid.SampledFrom([]string{"acme", fulfilment, "nobody", "a/b?c#d %2F", "."}).Draw(t, p.Value.Name)
			path = strings.ReplaceAll(path, "{"+p.Value.Name+"}", strings.ReplaceAll(url.PathEscape(value), ".", "%2E"))
		}
	}
	return path
}

func TestGenerated_ValidBodies(t *testing.T) {
	for _, e := range loadDocument(t).endpoints() {
		schema := bodySchema(e)
		if schema == nil {
			continue
		}
		t.Run(e.op.OperationID, func(t *testing.T) {
			s := startWithBoth(t)
			seen := map[int]int{}
			rapid.Check(t, func(rt *rapid.T) {
				body := marshal(rt, allowed(rt, schema, "body"))
				req := s.request(e.method, s.generatedPath(rt, e), body, ifMatch("*"))
				in, _, ok := s.doc.input(req, []byte(body))
				if !ok {
					rt.Skip("the path resolves to another one")
				}
				if err := openapi3filter.ValidateRequest(rt.Context(), in); err != nil {
					rt.Fatalf("drawn, but not in the document: %v\n%s", err, body)
				}
				a := s.send(req, []byte(body))
				seen[a.Status]++
				switch a.Status {
				case 200, 201, 404, 409:
				case 400:
					if a.tellsOfForm() {
						rt.Fatalf("refused for its form: %s\n%s", a.Body, body)
					}
				default:
					rt.Fatalf("%d %s\n%s", a.Status, a.Body, body)
				}
			})
			t.Logf("answers: %v", seen)
		})
	}
}

func TestGenerated_InvalidBodies(t *testing.T) {
	for _, e := range loadDocument(t).endpoints() {
		schema := bodySchema(e)
		if schema == nil {
			continue
		}
		t.Run(e.op.OperationID, func(t *testing.T) {
			s := startWithBoth(t)
			before := len(s.entries())
			rapid.Check(t, func(rt *rapid.T) {
				object := validObject(rt, schema, "body")
				field := spoil(rt, schema, object)
				body := marshal(rt, object)
				req := s.request(e.method, s.generatedPath(rt, e), body, ifMatch("*"))
				in, _, ok := s.doc.input(req, []byte(body))
				if !ok || openapi3filter.ValidateRequest(rt.Context(), in) == nil {
					rt.Skip("the change made nothing wrong")
				}
				a := s.send(req, []byte(body))
				if a.Status == 404 && strings.Contains(e.path, "{") {
					return // there is no such record, whatever is to be done with it
				}
				if a.Status != 400 {
					rt.Fatalf("%s is wrong: %d %s\n%s", field, a.Status, a.Body, body)
				}
				named := slices.ContainsFunc(a.problem().Errors, func(f struct{ Field, Rule string }) bool {
					name, _, _ := strings.Cut(f.Field, "/")
					return name == field
				})
				if !named {
					rt.Fatalf("%s is wrong, and not named: %s\n%s", field, a.Body, body)
				}
			})
			if n := len(s.entries()); n != before {
				t.Errorf("%d changes were recorded", n-before)
			}
		})
	}
}

// Every operation refuses a body that is none, and those without a body any body.
func TestGenerated_BodiesThatAreNone(t *testing.T) {
	s := startWithBoth(t)
	before := len(s.entries())
	for _, e := range s.doc.endpoints() {
		path := strings.NewReplacer("{client_id}", "acme", "{resource}", "https:%2F%2Ffulfilment.example", "{credential_id}", "x", "{kid}", "x", "{request_id}", "x").Replace(e.path)
		for _, body := range []string{`[]`, `"x"`, `null`, `1`, `{`, `{}{}`, `{"a":1,"a":2}`, "{\"\xff\":1}", "\x00", `{"kind":"all"`} {
			if a := s.do(e.method, path, body, ifMatch("*")); a.Status != 400 {
				t.Errorf("%s with %q: %d", e.pattern, body, a.Status)
			}
		}
		for _, mediaType := range []string{"application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "text/plain; a=application/json"} {
			s.do(e.method, path, `{}`, ifMatch("*"), header{"Content-Type": mediaType}).want(http.StatusUnsupportedMediaType)
		}
	}
	if n := len(s.entries()); n != before {
		t.Errorf("%d changes were recorded", n-before)
	}
}

// Query parameters and header fields, likewise: each one of the document, with values that it allows and
// values that it forbids.
func TestGenerated_Parameters(t *testing.T) {
	s := startWithBoth(t)
	n := 0
	for _, e := range s.doc.endpoints() {
		if e.method != "GET" {
			continue
		}
		path := strings.NewReplacer("{client_id}", "acme", "{resource}", "https:%2F%2Ffulfilment.example", "{request_id}", "x").Replace(e.path)
		s.do(e.method, path+"?surplus=1", nil).wantFields("surplus")
		for _, p := range e.op.Parameters {
			if p.Value.In != "query" {
				continue
			}
			schema, name := p.Value.Schema.Value, p.Value.Name
			at := func(v any) string { return path + "?" + name + "=" + url.QueryEscape(fmt.Sprint(v)) }
			s.do(e.method, at("1")+"&"+name+"=1", nil).wantFields(name)
			for _, v := range forbidden(schema) {
				text, simple := v.(string)
				if !simple && !schema.Type.Is("integer") || v == nil {
					continue // in a query everything is text
				}
				if _, list := v.([]any); list || schema.Type.Is("integer") && text == "1" {
					continue
				}
				s.do(e.method, at(v), nil).wantFields(name)
				n++
			}
			if name == "cursor" { // opaque: only what was given out is allowed
				continue
			}
			rapid.Check(t, func(rt *rapid.T) {
				s.do(e.method, at(allowed(rt, schema, name)), nil).want(200)
			})
		}
	}
	if n < 20 {
		t.Errorf("only %d forbidden values were tried", n)
	}
}

func marshal(t *rapid.T, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

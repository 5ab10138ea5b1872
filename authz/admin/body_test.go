package admin

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin/internal/api"
)

func TestBody_Strict(t *testing.T) {
	s := start(t)
	ok := `{"client_name":"N","client_id":"x"}`
	for name, c := range map[string]struct {
		body   string
		fields []string
	}{
		"no body":                 {"", []string{"body"}},
		"array":                   {`[]`, []string{"body"}},
		"string":                  {`"x"`, []string{"body"}},
		"null":                    {`null`, []string{"body"}},
		"white space":             {" \n", []string{"body"}},
		"not JSON":                {`client_name=N`, []string{"body"}},
		"cut off":                 {`{"client_name":"N"`, []string{"body"}},
		"cut off in a member":     {`{"client_name":"N`, []string{"body"}},
		"two objects":             {ok + ok, []string{"body"}},
		"something after":         {ok + ",", []string{"body"}},
		"comment":                 {`{/*x*/"client_name":"N"}`, []string{"body"}},
		"trailing comma":          {`{"client_name":"N",}`, []string{"body"}},
		"byte order mark":         {"\ufeff" + ok, []string{"body"}},
		"UTF-16":                  {"\xff\xfe{\x00}\x00", []string{"body"}},
		"invalid UTF-8":           {"{\"client_name\":\"\xff\"}", []string{"body"}},
		"lone surrogate":          {`{"client_name":"\ud800"}`, []string{"body"}},
		"control character":       {"{\"client_name\":\"a\nb\"}", []string{"body"}},
		"repeated":                {`{"client_name":"N","client_name":"N"}`, []string{"client_name"}},
		"repeated, escaped":       {`{"client_name":"N","client\u005fname":"M"}`, []string{"client_name"}},
		"repeated inside":         {`{"client_name":"N","claims":{"a":1,"a":2}}`, []string{"claims/a"}},
		"missing":                 {`{}`, []string{"client_name"}},
		"unknown":                 {`{"client_name":"N","administrator":true}`, []string{"administrator"}},
		"other case":              {`{"Client_Name":"N"}`, []string{"Client_Name", "client_name"}},
		"null member":             {`{"client_name":null}`, []string{"client_name"}},
		"null list":               {`{"client_name":"N","resources":null}`, []string{"resources"}},
		"null in a list":          {`{"client_name":"N","resources":["a",null]}`, []string{"resources/1"}},
		"number in a list":        {`{"client_name":"N","serves":[1]}`, []string{"serves/0"}},
		"string for a list":       {`{"client_name":"N","resources":"a"}`, []string{"resources"}},
		"list for a string":       {`{"client_name":"N","scope":["a","b"]}`, []string{"scope"}},
		"empty identifier":        {`{"client_name":"N","client_id":""}`, []string{"client_id"}},
		"empty default resource":  {`{"client_name":"N","default_resource":""}`, []string{"default_resource"}},
		"fraction":                {`{"client_name":"N","token_lifetime":1.5}`, []string{"token_lifetime"}},
		"exponent":                {`{"client_name":"N","token_lifetime":1e2}`, []string{"token_lifetime"}},
		"number in a string":      {`{"client_name":"N","token_lifetime":"60"}`, []string{"token_lifetime"}},
		"too large a number":      {`{"client_name":"N","token_lifetime":9223372036854775808}`, []string{"token_lifetime"}},
		"claims in a list":        {`{"client_name":"N","claims":["a"]}`, []string{"claims"}},
		"null claim":              {`{"client_name":"N","claims":{"https://claims.example/a":null}}`, []string{"claims"}},
		"no secret in the body":   {`{"client_name":"N","client_secret":""}`, []string{"client_secret"}},
		"text for true":           {`{"client_name":"N","admin":"true"}`, []string{"admin"}},
		"what only answers have":  {`{"client_name":"N","client_id_issued_at":1,"disabled":true}`, []string{"client_id_issued_at", "disabled"}},
		"everything at once":      {`{"x":1,"client_id":1,"client_name":2,"scope":3,"default_scope":4,"resources":5,"default_resource":6,"serves":7,"token_lifetime":"8","claims":9}`, []string{"x", "client_id", "client_name", "scope", "default_scope", "resources", "default_resource", "serves", "token_lifetime", "claims"}},
		"syntax after wrong type": {`{"client_name":1,"scope":}`, []string{"client_name", "body"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := *s
			s.t = t
			s.do("POST", "/admin/v1/clients", c.body).wantFields(c.fields...)
		})
	}
	var list struct{ Clients []any }
	if s.do("GET", "/admin/v1/clients", nil).decode(&list); len(list.Clients) != 0 {
		t.Errorf("a refused body made %v", list.Clients)
	}
	s.do("POST", "/admin/v1/clients", `{"client_name":"Änne & Söhne 🜨","scope":"","default_scope":""}`).want(201)
}

// What a stranger sent is not repeated to them: neither values, nor long names, nor secrets.
func TestBody_NoEcho(t *testing.T) {
	s := start(t)
	secret := "mrq_abcdefghijklmnop_AAAAAAAAAAAAAAAAAAAAAAAA"
	long := strings.Repeat("ä", 1000)
	for _, body := range []string{
		`{"client_name":"N","` + secret + `":1}`, `{"client_name":"N","client_id":"` + secret + `"}`,
		`{"client_name":"N","scope":"` + secret + `\u0000"}`, `{"client_name":"N","` + secret + `":1,"` + secret + `":1}`,
		`{"client_name":"N","` + long + `":1}`, `{"client_name":"N","resources":["` + secret + `"]}`,
	} {
		a := s.do("POST", "/admin/v1/clients", body).want(400)
		if strings.Contains(string(a.Body), secret) || strings.Contains(string(a.Body), long[:200]) || !utf8.Valid(a.Body) {
			t.Errorf("echoed: %s", a.Body)
		}
	}
	s.do("GET", "/admin/v1/clients?"+secret+"=1", nil).wantFields("[redacted]")
	s.do("GET", "/admin/v1/clients/"+secret, nil).want(404)
	if log := s.log.String(); strings.Contains(log, secret) {
		t.Errorf("logged: %s", log)
	}
}

func TestBody_Size(t *testing.T) {
	s := start(t)
	pad := func(n int) string { return `{"client_name":"N"}` + strings.Repeat(" ", n-len(`{"client_name":"N"}`)) }
	s.do("POST", "/admin/v1/clients", pad(64<<10)).want(201)
	s.do("POST", "/admin/v1/clients", pad(64<<10+1)).want(413)
	s.do("POST", "/admin/v1/clients/x/disable", pad(64<<10+1)).want(413)
	s.do("GET", "/admin/v1/keys", pad(64<<10+1)).want(413)
	s.do("POST", "/admin/v1/clients", strings.Repeat("[", 60<<10)).want(400)
	s.do("POST", "/admin/v1/clients", `{"client_name":"N","claims":{"https://claims.example/a":`+strings.Repeat("[", 30000)+strings.Repeat("]", 30000)+`}}`).want(400)
}

func TestBody_MediaType(t *testing.T) {
	s := start(t)
	body := `{"client_name":"N"}`
	for _, bad := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=iso-8859-1", "application/json; v=1", "application/jsonp", "application/problem+json", "application/json, text/plain", "json"} {
		s.do("POST", "/admin/v1/clients", body, header{"Content-Type": bad}).want(415)
	}
	s.do("POST", "/admin/v1/clients", body, header{"Content-Encoding": "gzip"}).want(415)
	for _, good := range []string{"application/json", "Application/JSON", "application/json; charset=UTF-8", `application/json;charset="utf-8"`} {
		s.do("POST", "/admin/v1/clients", body, header{"Content-Type": good}).want(201)
	}
	twice, _ := http.NewRequestWithContext(t.Context(), "POST", "http://localhost/admin/v1/clients", strings.NewReader(body))
	twice.Header["Content-Type"] = []string{"application/json", "application/json"}
	s.send(twice, []byte(body)).want(415)
}

// An operation without a body refuses one: whoever sends {"reason":…} believes that it is recorded.
func TestBody_WhereNoneIsTaken(t *testing.T) {
	s := startWithClient(t)
	s.do("POST", "/admin/v1/clients/acme/disable", `{"reason":"leaked"}`).wantFields("body")
	s.do("GET", "/admin/v1/clients", `{}`).wantFields("body")
	s.do("POST", "/admin/v1/clients/acme/disable", "", header{"Content-Type": "text/plain"}).want(200) // there is nothing to misread
}

func TestQuery_Strict(t *testing.T) {
	s := start(t)
	for query, fields := range map[string][]string{
		"limit=0": {"limit"}, "limit=1001": {"limit"}, "limit=-1": {"limit"}, "limit=01": {"limit"}, "limit=+1": {"limit"}, "limit=": {"limit"},
		"limit=1&limit=1": {"limit"}, "limit=99999999999999999999": {"limit"}, "limit=1e1": {"limit"},
		"cursor=": {"cursor"}, "cursor=%21": {"cursor"}, "cursor=YQ%3D%3D": {"cursor"}, "cursor=_w": {"cursor"}, "cursor=YR": {"cursor"},
		"cursor=YQ&cursor=YQ": {"cursor"}, "offset=1": {"offset"}, "Limit=1": {"Limit"}, "limit=x&cursor=%21&z=1": {"limit", "cursor", "z"},
		"limit=%zz": {"query"}, "a;b=1": {"query"},
	} {
		s.do("GET", "/admin/v1/clients?"+query, nil).wantFields(fields...)
	}
	s.do("GET", "/admin/v1/clients?cursor=YQ&limit=1000", nil).want(200)
	s.do("GET", "/admin/v1/keys?limit=1", nil).wantFields("limit")
	s.do("POST", "/admin/v1/keys/rotate?algorithm=ES256", nil).wantFields("algorithm")
	s.do("POST", "/admin/v1/clients?dry_run=true", `{"client_id":1}`).wantFields("dry_run", "client_id", "client_name")
}

func TestCursor_RoundTrip(t *testing.T) {
	for _, id := range []string{"a", "https://a.example/?b=c&d", "..", strings.Repeat("x", 512)} {
		if got, ok := parseCursor(*cursorAfter(id)); !ok || got != id {
			t.Errorf("%q became %q, %v", id, got, ok)
		}
	}
}

// fuzzed is the body of an operation, as the gate and the generated code read it.
type fuzzed struct {
	pattern string
	read    func([]byte) (any, error)
}

func bodyOf[T any](pattern string) fuzzed {
	return fuzzed{pattern, func(body []byte) (any, error) {
		var v T
		err := json.Unmarshal(body, &v)
		return v, err
	}}
}

// bodies lists every body that there is; TestBodies_AreAllFuzzed sees to that.
var bodies = []fuzzed{
	bodyOf[api.ClientMetadata]("POST /admin/v1/clients"),
	bodyOf[api.ClientUpdate]("PUT /admin/v1/clients/{client_id}"),
	bodyOf[api.SecretOptions]("POST /admin/v1/clients/{client_id}/secrets"),
	bodyOf[api.SecretRevocation]("POST /admin/v1/clients/{client_id}/secrets/{credential_id}/revoke"),
	bodyOf[api.ResourceDefinition]("POST /admin/v1/resources"),
	bodyOf[api.ResourceUpdate]("PUT /admin/v1/resources/{resource}"),
	bodyOf[api.RotateOptions]("POST /admin/v1/keys/rotate"),
	bodyOf[api.KeyImport]("POST /admin/v1/keys/import"),
	bodyOf[api.RevocationRequest]("POST /admin/v1/revocations"),
	bodyOf[api.TokenRevocation]("POST /admin/v1/tokens/revoke"),
}

func TestBodies_AreAllFuzzed(t *testing.T) {
	for pattern, op := range operations() {
		known := slices.ContainsFunc(bodies, func(b fuzzed) bool { return b.pattern == pattern })
		if known != (op.body != nil) {
			t.Errorf("%s: fuzzed is %v", pattern, known)
		}
	}
}

// FuzzBody: whatever the gate lets pass, the generated reader reads as the same value.
func FuzzBody(f *testing.F) {
	for i := range bodies {
		for _, seed := range []string{
			`{"client_name":"N"}`, `{"client_name":"N","resources":["a"],"claims":{"x":{"y":[1,null]}},"token_lifetime":60,"admin":true}`,
			`{"client_name":"N","client_name":"M"}`, `{"CLIENT_NAME":"N"}`, `{"client_name":"\ud83d\ude00"}`, "{}", "[", `{"client_name":"N"}x`,
			`{"client_name":"N","token_lifetime":-0}`, "{\"client_name\":\"\xff\"}", `{"compromised":true,"since":"2026-01-02T15:04:05.5+14:00"}`,
			`{"kind":"all","value":"x","before":"2026-01-02T24:00:00Z"}`, `{"token":"a.b.c"}`, `{"resource":"urn:x","scopes":[],"algorithm":"EdDSA"}`,
			`{"not_before":"2026-01-02t15:04:05z","client_secret_expires_at":0,"client_secret":"x"}`,
		} {
			f.Add(uint(i), []byte(seed))
		}
	}
	shapes := operations()
	f.Fuzz(func(t *testing.T, which uint, body []byte) {
		b := bodies[which%uint(len(bodies))]
		s := shapes[b.pattern].body
		rest, wrong := s.check(body)
		if rest != nil { // the domain judges it, so it must be readable
			if _, still := s.check(rest); slices.ContainsFunc(still, func(w authz.FieldError) bool { return w.Rule != "is required" }) {
				t.Errorf("the rest %s: %v", rest, still)
			}
			if _, err := b.read(rest); err != nil {
				t.Errorf("the rest %s: %v", rest, err)
			}
		}
		if len(wrong) > 0 {
			for _, w := range wrong {
				if w.Field == "" && w.Rule == "" || !utf8.ValidString(w.Field) || len(w.Field) > 200 {
					t.Errorf("%+v", w)
				}
			}
			return
		}
		read, err := b.read(body)
		if err != nil {
			t.Fatalf("passed, but is not read: %v", err)
		}
		printed, err := json.Marshal(read)
		if err != nil {
			t.Fatal(err)
		}
		if _, wrong := s.check(printed); len(wrong) > 0 {
			t.Fatalf("passed, but printed it does not: %v in %s", wrong, printed)
		}
		var sent, kept map[string]json.RawMessage
		if json.Unmarshal(body, &sent) != nil || json.Unmarshal(printed, &kept) != nil {
			t.Fatalf("%s is no object", body)
		}
		for name := range sent {
			if _, known := s.members[name]; !known {
				t.Errorf("unknown member %q passed", name)
			}
			if _, there := kept[name]; !there {
				t.Errorf("member %q was lost", name)
			}
		}
	})
}

func TestShapes_AreTheDocuments(t *testing.T) {
	doc := loadDocument(t)
	for pattern, op := range operations() {
		method, path, _ := strings.Cut(pattern, " ")
		body := doc.spec.Paths.Value(path).GetOperation(method).RequestBody
		if op.body == nil {
			if body != nil {
				t.Errorf("%s has a body in the document", pattern)
			}
			continue
		}
		if body == nil || body.Value.Required == op.bodyOptional {
			t.Errorf("%s: the body is not as in the document", pattern)
			continue
		}
		schema := body.Value.Content.Get("application/json").Schema.Value
		for name, m := range op.body.members {
			property := schema.Properties[name]
			if property == nil || slices.Contains(schema.Required, name) != m.required {
				t.Errorf("%s: member %s is not as in the document", pattern, name)
			}
		}
		if len(schema.Properties) != len(op.body.members) {
			t.Errorf("%s: %d members, %d in the document", pattern, len(op.body.members), len(schema.Properties))
		}
	}
}

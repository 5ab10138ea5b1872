package admin

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// document is openapi.yaml as a tool that others wrote reads it, and the routes in it.
type document struct {
	spec *openapi3.T
	mux  *http.ServeMux
}

// endpoint is one operation of the document.
type endpoint struct {
	pattern, method, path string
	op                    *openapi3.Operation
}

var readDocument = sync.OnceValues(func() (*document, error) {
	spec, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	d := &document{spec, http.NewServeMux()}
	for _, e := range d.endpoints() {
		d.mux.HandleFunc(e.pattern, func(http.ResponseWriter, *http.Request) {})
	}
	return d, nil
})

// loadDocument returns the document; nobody changes it.
func loadDocument(t testing.TB) *document {
	t.Helper()
	d, err := readDocument()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// endpoints lists every operation, in a stable order.
func (d *document) endpoints() (all []endpoint) {
	for path, item := range d.spec.Paths.Map() {
		for method, op := range item.Operations() {
			all = append(all, endpoint{method + " " + path, method, path, op})
		}
	}
	slices.SortFunc(all, func(a, b endpoint) int { return strings.Compare(a.pattern, b.pattern) })
	return all
}

// input is a request as the tool wants it; ok is false when the document has no such operation.
func (d *document) input(req *http.Request, sent []byte) (in *openapi3filter.RequestValidationInput, pattern string, ok bool) {
	probe := req.Clone(req.Context())
	probe.Body = io.NopCloser(bytes.NewReader(sent))
	d.mux.ServeHTTP(httptest.NewRecorder(), probe) // sets Pattern and the path values
	_, path, ok := strings.Cut(probe.Pattern, " ")
	if !ok || req.Method == http.MethodHead {
		return nil, "", false
	}
	item := d.spec.Paths.Value(path)
	in = &openapi3filter.RequestValidationInput{
		Request: probe, PathParams: map[string]string{},
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, MultiError: true},
		Route:   &routers.Route{Spec: d.spec, Path: path, PathItem: item, Method: req.Method, Operation: item.GetOperation(req.Method)},
	}
	for _, p := range in.Route.Operation.Parameters {
		if p.Value.In == "path" {
			in.PathParams[p.Value.Name] = probe.PathValue(p.Value.Name)
		}
	}
	probe.Body = io.NopCloser(bytes.NewReader(sent))
	return in, probe.Pattern, true
}

// check compares a request and its answer with what the document says of the operation. Every request
// of every test in this package comes through here.
func (d *document) check(t testing.TB, req *http.Request, sent []byte, a answer) {
	t.Helper()
	in, pattern, ok := d.input(req, sent)
	if !ok {
		if a.Status < 400 && req.Method != http.MethodHead && req.URL.Path != metricsPath {
			t.Errorf("%s %s was answered %d, and is not in the document", req.Method, req.URL, a.Status)
		}
		return
	}
	if a.Status < 300 {
		if err := openapi3filter.ValidateRequest(req.Context(), in); err != nil {
			t.Errorf("%s %s was accepted, but is not in the document: %v", req.Method, req.URL, err)
		}
	}
	if err := validateAnswer(in, a); err != nil {
		t.Errorf("answer of %s %s: %v\n%s", req.Method, req.URL, err, a.Body)
	}
	seenStatuses.add(pattern, a.Status)
}

func validateAnswer(in *openapi3filter.RequestValidationInput, a answer) error {
	return openapi3filter.ValidateResponse(in.Request.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: a.Status, Header: a.Header,
		Body: io.NopCloser(bytes.NewReader(a.Body)), Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
}

// seenStatuses is what the tests of the package saw of each operation.
var seenStatuses = coverage{seen: map[string]map[int]int{}}

type coverage struct {
	mu   sync.Mutex
	seen map[string]map[int]int
}

func (c *coverage) add(pattern string, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen[pattern] == nil {
		c.seen[pattern] = map[int]int{}
	}
	c.seen[pattern][status]++
}

// missing lists the statuses that the document names and no test has seen.
func (c *coverage) missing(d *document) (all []string) {
	for _, e := range d.endpoints() {
		for status := range e.op.Responses.Map() {
			var code int
			if _, err := fmt.Sscan(status, &code); err == nil && c.seen[e.pattern][code] == 0 {
				all = append(all, e.pattern+": "+status)
			}
		}
		for _, code := range []int{400, 401} { // of what default stands for, these are everywhere
			if c.seen[e.pattern][code] == 0 {
				all = append(all, e.pattern+fmt.Sprint(": ", code))
			}
		}
	}
	return all
}

// TestMain fails when all tests ran, and none of them saw an answer that the document promises.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	whole := flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.skip").Value.String() == "" && flag.Lookup("test.fuzz").Value.String() == "" && flag.Lookup("test.list").Value.String() == ""
	if code == 0 && whole {
		d, err := readDocument()
		if err != nil {
			panic(err)
		}
		if missing := seenStatuses.missing(d); len(missing) > 0 {
			fmt.Fprintf(os.Stderr, "no test saw what the document promises:\n%s\n", strings.Join(missing, "\n"))
			code = 1
		}
	}
	os.Exit(code)
}

// The tool that checks everything is checked first: it refuses what is not in the document.
func TestTool_RefusesWhatIsNotInTheDocument(t *testing.T) {
	d := loadDocument(t)
	const good = `{"resource":"https://a.example","scopes":["a"],"token_lifetime":600,"algorithm":"ES256","token_type":"at+jwt","created_at":"2026-01-01T00:00:00Z"}`
	const problem = `{"type":"about:blank","title":"Not Found","status":404,"request_id":"x"}`
	json, problemJSON := "application/json", "application/problem+json"
	for name, c := range map[string]struct {
		status    int
		mediaType string
		etag, id  string
		body      string
		ok        bool
	}{
		"good":               {200, json, `"1"`, "", good, true},
		"no ETag":            {200, json, "", "", good, false},
		"weak ETag":          {200, json, `W/"1"`, "", good, false},
		"no member":          {200, json, `"1"`, "", strings.Replace(good, `"scopes":["a"],`, "", 1), false},
		"another member":     {200, json, `"1"`, "", strings.Replace(good, `{`, `{"x":1,`, 1), false},
		"another type":       {200, json, `"1"`, "", strings.Replace(good, `600`, `"600"`, 1), false},
		"out of bounds":      {200, json, `"1"`, "", strings.Replace(good, `600`, `3601`, 1), false},
		"in no enum":         {200, json, `"1"`, "", strings.Replace(good, `ES256`, `HS256`, 1), false},
		"no time":            {200, json, `"1"`, "", strings.Replace(good, `2026-01-01T`, `2026-01-01 `, 1), false},
		"wrong item":         {200, json, `"1"`, "", strings.Replace(good, `["a"]`, `[1]`, 1), false},
		"null list":          {200, json, `"1"`, "", strings.Replace(good, `["a"]`, `null`, 1), false},
		"no JSON":            {200, json, `"1"`, "", "x", false},
		"another media type": {200, "text/plain", `"1"`, "", good, false},
		"another status":     {202, json, `"1"`, "", good, false},
		"problem":            {404, problemJSON, "", "x", problem, true},
		"problem, no id":     {404, problemJSON, "", "", problem, false},
		"problem, type":      {404, problemJSON, "", "x", strings.Replace(problem, "about:blank", "about:x", 1), false},
		"problem, no errors": {404, problemJSON, "", "x", strings.Replace(problem, "{", `{"errors":[],`, 1), false},
	} {
		req := httptest.NewRequest("GET", "http://localhost/admin/v1/resources/https:%2F%2Fa.example", nil)
		in, _, ok := d.input(req, nil)
		if !ok || in.PathParams["resource"] != "https://a.example" {
			t.Fatalf("no operation: %v", in)
		}
		h := http.Header{"Content-Type": {c.mediaType}}
		if c.etag != "" {
			h.Set("ETag", c.etag)
		}
		if c.id != "" {
			h.Set("X-Request-Id", c.id)
		}
		if err := validateAnswer(in, answer{t, c.status, h, []byte(c.body)}); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	for body, ok := range map[string]bool{
		`{"kind":"all"}`: true, `{"kind":"jti","value":"x","before":"2026-01-01T00:00:00Z"}`: true,
		`{"kind":"none"}`: false, `{}`: false, `{"kind":"all","x":1}`: false, `{"kind":"all","value":""}`: false, `{"kind":"all","before":"now"}`: false, `[]`: false,
	} {
		req := httptest.NewRequest("POST", "http://localhost/admin/v1/revocations", strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		in, _, _ := d.input(req, []byte(body))
		if err := openapi3filter.ValidateRequest(t.Context(), in); (err == nil) != ok {
			t.Errorf("request %s: %v", body, err)
		}
	}
}

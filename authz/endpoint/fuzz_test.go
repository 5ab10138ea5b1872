package endpoint_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/endpoint"
)

func TestTOK37_GoldenDescriptions(t *testing.T) {
	var golden strings.Builder
	for _, a := range endpoint.SyntaxAnswers() {
		fmt.Fprintf(&golden, "%d %s\n", a.Status, a.Body)
	}
	wantGolden(t, "testdata/syntax.golden", golden.String())
}

// knownAnswers is every answer without a token that can leave the token endpoint, as "status body".
func knownAnswers(t testing.TB) map[string]bool {
	t.Helper()
	known := map[string]bool{"405 ": true, "429 ": true}
	for _, a := range endpoint.SyntaxAnswers() {
		known[fmt.Sprintf("%d %s", a.Status, a.Body)] = true
	}
	matrix, err := os.ReadFile("testdata/matrix.golden")
	check(t, err)
	lines := strings.Split(strings.TrimSpace(string(matrix)), "\n")
	for i := 0; i+2 < len(lines); i += 3 {
		status, code, _ := strings.Cut(strings.TrimSpace(lines[i+1]), " ")
		known[fmt.Sprintf(`%s {"error":"%s","error_description":"%s"}`, status, code, strings.TrimSpace(lines[i+2]))] = true
	}
	return known
}

// challenges is every challenge that can leave an endpoint, its lines joined.
var challenges = map[string]bool{challenge: true, eitherChallenge: true, bearerChallenge("invalid_token"): true}

var requestID = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// knownFields checks that an answer has no field, and no value, but those that are meant to be. An
// answer to HEAD says how long its body would be.
func knownFields(h http.Header, bodyLen int, head bool) error {
	fixed := map[string][]string{
		"Cache-Control": {"no-store"}, "Pragma": {"no-cache"}, "Allow": {"POST"},
		"Accept-Encoding": {"identity"}, "Connection": {"close"}, "Vary": {"Accept"}, "Content-Length": {strconv.Itoa(bodyLen)},
	}
	for name, values := range h {
		switch {
		case name == "Www-Authenticate" && challenges[strings.Join(values, "|")]:
		case name == "Content-Type" && len(values) == 1 && (values[0] == "application/json" || values[0] == mediaJWT):
		case len(values) != 1:
			return fmt.Errorf("%s: %q", name, values)
		case name == "X-Request-Id" && requestID.MatchString(values[0]):
		case name == "Retry-After" && strings.Trim(values[0], "0123456789") == "":
		case name == "Content-Length" && head && strings.Trim(values[0], "0123456789") == "":
		case len(fixed[name]) > 0 && values[0] == fixed[name][0]:
		default:
			return fmt.Errorf("%s: %q", name, values)
		}
	}
	return nil
}

// FuzzTokenEndpoint throws requests at the whole server. Whatever is sent, the answer is a token or
// one of a closed set of texts: so nothing of a request can ever be echoed.
func FuzzTokenEndpoint(f *testing.F) {
	s := newStack(f)
	s.cast()
	read, err := authz.ParseScope("read")
	check(f, err)
	s.record(authz.Client{
		ID: "fuzz", AuthMethod: authz.AuthSecretBasic, GrantTypes: []string{authz.GrantClientCredentials}, Scopes: read,
		Resources: []authz.ResourceID{api}, Credentials: []authz.Credential{{ID: "kfuzz"}},
	}, map[authz.CredentialID]string{"kfuzz": "fuzz-secret"})
	known := knownAnswers(f)
	const form = "application/x-www-form-urlencoded"
	good := basic("fuzz", "fuzz-secret")
	f.Add("POST", "", form, good, "", "", []byte(b0Body))
	f.Add("POST", "", form, "none", "", "", []byte(b0Body+"&client_id=fuzz&client_secret=fuzz-secret"))
	f.Add("POST", "client_secret=x", form, good, "", "", []byte(b0Body))
	f.Add("POST", "", form+"; charset=iso-8859-1", good, "", "", []byte(b0Body+"&x=%E9"))
	f.Add("POST", "", form, good, "proof", "gzip", []byte(b0Body))
	f.Add("POST", "", form, "Bearer x", "", "", []byte("grant_type=client_credentials&client_assertion=x"))
	f.Add("GET", "a;b", "", "Basic !", "", "", []byte("a;b=%zz&scope=\x00"))
	f.Add("POST", "", form, good, "", "", []byte("grant_type=client_credentials&scope=read+write&resource=https://api.example%23x&authorization_details=[]"))
	f.Add("POST", "", form, basic("c1", "x"), "", "", bytes.Repeat([]byte("resource=a&"), 65))
	f.Add("POST", "", form, basic("public", ""), "", "", []byte("grant_type=password&client_id=public"))

	f.Fuzz(func(t *testing.T, method, query, contentType, authorization, dpop, coding string, body []byte) {
		w := s.serve(t, fuzzed(method, "/oauth2/token", query, body, map[string]string{
			"Content-Type": contentType, "Authorization": authorization, "Dpop": dpop, "Content-Encoding": coding,
		}))
		if w.Code == http.StatusOK {
			var got success
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || strings.Count(got.AccessToken, ".") != 2 {
				t.Fatalf("200 %s: %v", w.Body, err)
			}
			return
		}
		if answer := fmt.Sprintf("%d %s", w.Code, w.Body); !known[answer] {
			t.Fatalf("an answer of its own: %s", answer)
		}
	})
}

// fuzzed is a request as net/http would hand it on. A field of the value none is not there.
func fuzzed(method, path, query string, body []byte, fields map[string]string) *http.Request {
	r := &http.Request{
		Method: method, URL: &url.URL{Path: path, RawQuery: query}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), RemoteAddr: "127.0.0.1:1",
	}
	for name, value := range fields {
		if optional := name == "Dpop" || name == "Content-Encoding"; value != "none" && !(optional && value == "") {
			r.Header[name] = []string{value}
		}
	}
	return r
}

func (s *stack) serve(t *testing.T, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	s.ts.Config.Handler.ServeHTTP(w, r)
	if err := knownFields(w.Header(), w.Body.Len(), r.Method == http.MethodHead); err != nil {
		t.Fatal(err)
	}
	return w
}

// FuzzTokenQuestions throws requests at introspection and revocation. The answer is one of a closed set of
// texts, or what an active token says: so nothing of a request can ever be echoed. A token that nobody
// revoked stays active, whatever was sent.
func FuzzTokenQuestions(f *testing.F) {
	s := newStack(f)
	who := s.staff()
	compact, untouched, bossy := s.token(), s.token(), s.token(who.boss, without("scope", "resource"))
	known := knownAnswers(f)
	known[`401 {"error":"invalid_token","error_description":"the access token in the Authorization header field is malformed, expired, revoked or not for this server; get a new one"}`] = true
	known[fmt.Sprintf("400 %s", s.revoke(untouched, who.c2).body)] = true // of another client
	credentials := []string{basic("c1", s.secret), "Bearer " + bossy, "none", ""}
	const form = "application/x-www-form-urlencoded"
	for i := range credentials {
		for _, path := range []bool{true, false} {
			f.Add(path, "POST", "", form, i, "", []byte("token="+compact))
			f.Add(path, "POST", "", form, i, mediaJWT, []byte("token="+compact+"&token_type_hint=refresh_token"))
			f.Add(path, "POST", "token="+compact, form, i, "", []byte("token=a"))
			f.Add(path, "GET", "token="+compact, "", i, "*/*", []byte(nil))
			f.Add(path, "POST", "", form+"; charset=iso-8859-1", i, mediaJWT+";q=0.1,*/*;q=0", []byte("token=%E9&token=a"))
			f.Add(path, "POST", "", form, i, `a/b;x="\",`, []byte("token=a.b.c&client_id=c2&client_secret=x;y"))
			f.Add(path, "POST", "", form, i, "", []byte("token="+s.forged(compact)))
		}
	}
	f.Fuzz(func(t *testing.T, introspection bool, method, query, contentType string, who int, accept string, body []byte) {
		s := s.in(t)
		path := map[bool]string{true: introspectPath, false: revokePath}[introspection]
		if bytes.Contains(body, []byte(untouched)) {
			return
		}
		w := s.serve(t, fuzzed(method, path, query, body, map[string]string{
			"Content-Type": contentType, "Authorization": credentials[uint(who)%uint(len(credentials))], "Accept": accept,
		}))
		switch {
		case w.Code == http.StatusOK && !introspection && w.Body.Len() == 0:
		case w.Code == http.StatusOK && introspection && w.Header().Get("Content-Type") == mediaJWT:
			if _, claims := s.signedAnswer(reply{w.Code, w.Header(), w.Body.String()}); len(claims) != 4 {
				t.Fatalf("%v", claims)
			}
		case w.Code == http.StatusOK && introspection && w.Body.String() == inactive:
		case w.Code == http.StatusOK && introspection && object(t, reply{w.Code, w.Header(), w.Body.String()})["client_id"] == "c1":
		case known[fmt.Sprintf("%d %s", w.Code, w.Body)]:
		default:
			t.Fatalf("an answer of its own: %d %s", w.Code, w.Body)
		}
		if got, err := s.server.Introspect(t.Context(), authz.IntrospectRequest{Token: untouched, Bearer: bossy}); err != nil || !got.Active {
			t.Fatalf("the token that nobody revoked: %v, %s", err, got.Body)
		}
	})
}

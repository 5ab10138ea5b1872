package endpoint_test

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
)

func TestTOK02_POSTOnly(t *testing.T) {
	s := newStack(t)
	for _, m := range []string{"GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "post", "BREW"} {
		r := s.send(method(m))
		if r.status != 405 || r.header.Get("Allow") != "POST" || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, Allow %q", m, r.status, r.header.Get("Allow"))
		}
	}
}

func TestTOK03_TheQueryIsNoSource(t *testing.T) {
	s := newStack(t)
	_, claims := s.issued(without("scope"), query("scope=write"))
	if claims.Scope != "read" {
		t.Errorf("scope %q, want the default", claims.Scope)
	}
	s.refused(400, authz.InvalidRequest, body(""), query("grant_type=client_credentials"))
}

func TestTOK04_MediaTypeAndCharset(t *testing.T) {
	s := newStack(t)
	for _, media := range []string{
		"Application/X-WWW-Form-Urlencoded", `application/x-www-form-urlencoded; Charset="UTF-8"`,
		"application/x-www-form-urlencoded;charset=ISO-8859-1", "application/x-www-form-urlencoded; charset=us-ascii",
	} {
		s.issued(field("Content-Type", media))
	}
}

func TestTOK05_FormDecoding(t *testing.T) {
	s := newStack(t)
	_, plus := s.issued(without("scope"), raw("scope=read+write"))
	_, escaped := s.issued(without("scope"), raw("scope=read%20write"))
	if plus.Scope != escaped.Scope || plus.Scope != "read write" {
		t.Errorf("%q and %q", plus.Scope, escaped.Scope)
	}
	s.resource(authz.ResourceSpec{ID: "https://plus.example/a+b", Scopes: []string{"x"}})
	secret := s.client(authz.ClientSpec{ID: "plus", Scopes: []string{"x"}, Resources: []string{"https://plus.example/a+b"}})
	_, claims := s.issued(as("plus", secret), with("scope", "x"), without("resource"), raw("resource=https://plus.example/a%2Bb"))
	if !slices.Equal(claims.Audience, []string{"https://plus.example/a+b"}) {
		t.Errorf("audience %q", claims.Audience)
	}
}

func TestTOK06_AParameterWithoutAValueIsOmitted(t *testing.T) {
	s := newStack(t)
	if _, claims := s.issued(with("scope", ""), with("resource", ""), with("client_secret", ""), with("client_id", "")); claims.Scope != "read" {
		t.Errorf("scope %q, want the default", claims.Scope)
	}
	s.refused(400, authz.InvalidRequest, with("grant_type", ""))
}

func TestTOK07_UnrecognisedParametersAreIgnored(t *testing.T) {
	s := newStack(t)
	_, plain := s.issued()
	_, more := s.issued(with("foo", "bar"), with("code", "x"), with("redirect_uri", "y"))
	plain.JTI, plain.IssuedAt, plain.Expiry = more.JTI, more.IssuedAt, more.Expiry
	if !reflect.DeepEqual(plain, more) {
		t.Errorf("%+v\n%+v", plain, more)
	}
}

func TestTOK08_Repeats(t *testing.T) {
	s := newStack(t)
	for _, p := range []string{"scope=read", "scope=", "foo=1&foo=1", "audience=a&audience=a", "grant_type=client_credentials"} {
		s.refused(400, authz.InvalidRequest, raw(p))
	}
	_, claims := s.issued(raw("resource=https%3A%2F%2Fapi.example"))
	if !slices.Equal(claims.Audience, []string{api}) {
		t.Errorf("audience %q", claims.Audience)
	}
}

func TestTOK09_NamesAndValuesHaveCase(t *testing.T) {
	s := newStack(t)
	s.refused(400, authz.InvalidRequest, without("grant_type"), with("Grant_Type", "client_credentials"))
	s.refused(400, authz.UnsupportedGrantType, with("grant_type", "CLIENT_CREDENTIALS"))
	s.refused(401, authz.InvalidClient, as("C1", s.secret))
	s.refused(401, authz.InvalidClient, as("c1", strings.ToUpper(s.secret)))
	s.refused(400, authz.InvalidTarget, with("resource", "https://API.example"))
}

func TestTOK11_MalformedText(t *testing.T) {
	s := newStack(t)
	for _, p := range []string{"x=%zz", "x=%", "x=a;b", "x=%FF", "x=%00", "x=\x01", "x=%C2%85", "%00=x"} {
		s.refused(400, authz.InvalidRequest, raw(p))
	}
}

func TestTOK12_NoCORS(t *testing.T) {
	s := newStack(t)
	for _, r := range []reply{
		s.send(method("OPTIONS"), field("Origin", "https://evil.example"), field("Access-Control-Request-Method", "POST")),
		s.send(field("Origin", "https://evil.example")),
		s.send(field("Origin", "https://evil.example"), anonymous),
	} {
		for name := range r.header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%d answers %s", r.status, name)
			}
		}
	}
}

func TestTOK14_Order(t *testing.T) {
	s := newStack(t)
	s.cast()
	details, dpop, badScope := with("authorization_details", "[]"), field("DPoP", "x"), with("scope", "unheard")
	everything := all(details, dpop, badScope, with("resource", "/"), with("grant_type", "foo"), as("c1", "wrong"))
	s.refused(400, authz.InvalidRequest, everything, raw("scope=x"))
	s.refused(401, authz.InvalidClient, everything)
	s.refused(400, authz.UnsupportedGrantType, everything, as("c1", s.secret))
	s.refused(400, authz.InvalidAuthorizationDetails, everything, as("c1", s.secret), with("grant_type", "client_credentials"))
	s.refused(400, authz.InvalidScope, dpop, badScope, with("resource", "/"))
	s.refused(400, authz.InvalidTarget, dpop, with("resource", "/"))
	s.refused(400, authz.InvalidDPoPProof, dpop)
}

func TestTOK15_ConfidentialClientsOnly(t *testing.T) {
	s := newStack(t)
	s.cast()
	s.refused(400, authz.UnauthorizedClient, anonymous, with("client_id", "public"))
}

func TestTOK17_ScopeOmitted(t *testing.T) {
	s := newStack(t)
	s.cast()
	got, claims := s.issued(without("scope"))
	if got.Scope == nil || *got.Scope != "read" || claims.Scope != "read" {
		t.Errorf("with a default: %v, %q", got.Scope, claims.Scope)
	}
	s.refused(400, authz.InvalidScope, as("two", "two-secret"), without("scope"), without("resource"))
	bare := s.client(authz.ClientSpec{ID: "scopeless", Resources: []string{api}})
	got, claims = s.issued(as("scopeless", bare), without("scope"), without("resource"))
	if got.Scope != nil || claims.Scope != "" {
		t.Errorf("a client without scopes: %v, %q", got.Scope, claims.Scope)
	}
}

func TestTOK18_ScopeIsASet(t *testing.T) {
	s := newStack(t)
	_, a := s.issued(with("scope", "write read read"))
	_, b := s.issued(with("scope", "read write"))
	if a.Scope != b.Scope {
		t.Errorf("%q and %q", a.Scope, b.Scope)
	}
	s.refused(400, authz.InvalidScope, with("scope", "READ"))
}

func TestTOK19_NoNarrowerGrant(t *testing.T) {
	s := newStack(t)
	s.refused(400, authz.InvalidScope, with("scope", "read admin"))
}

func TestTOK20_TheGrantedScopeIsShown(t *testing.T) {
	s := newStack(t)
	for _, c := range []change{with("scope", "read"), without("scope")} {
		if got, _ := s.issued(c); got.Scope == nil || *got.Scope != "read" {
			t.Errorf("scope %v", got.Scope)
		}
	}
}

func TestTOK21_ResourceIsAnAbsoluteURI(t *testing.T) {
	s := newStack(t)
	for _, bad := range []string{"api.example", "/x", "//api.example", api + "#x", "https://", "https:///", "https://a b", "é", "https://u@api.example"} {
		s.refused(400, authz.InvalidTarget, with("resource", bad))
	}
}

func TestTOK22_AudienceIsTheRegisteredIdentifier(t *testing.T) {
	s := newStack(t)
	if _, claims := s.issued(); !slices.Equal(claims.Audience, []string{api}) {
		t.Errorf("audience %q", claims.Audience)
	}
	s.refused(400, authz.InvalidTarget, with("resource", api+"/"))
}

func TestTOK23_ResourceInferredFromScope(t *testing.T) {
	s := newStack(t)
	s.cast()
	none := without("resource")
	if _, claims := s.issued(none); !slices.Equal(claims.Audience, []string{api}) {
		t.Errorf("one resource: %q", claims.Audience)
	}
	if _, claims := s.issued(as("two", "two-secret"), none, with("scope", "other:read")); !slices.Equal(claims.Audience, []string{other}) {
		t.Errorf("the one that defines the scope: %q", claims.Audience)
	}
	s.refused(400, authz.InvalidScope, as("two", "two-secret"), none, with("scope", "read other:read"))
	s.refused(400, authz.InvalidTarget, as("ambiguous", "ambiguous-secret"), none, with("scope", "shared"))
	s.refused(400, authz.InvalidTarget, as("homeless", "homeless-secret"), none, without("scope"))
	left, right := "https://left.example", "https://right.example"
	secret := s.client(authz.ClientSpec{ID: "chosen", Scopes: []string{"shared"}, Resources: []string{left, right}, DefaultResource: right})
	if _, claims := s.issued(as("chosen", secret), none, with("scope", "shared")); !slices.Equal(claims.Audience, []string{right}) {
		t.Errorf("the default among several: %q", claims.Audience)
	}
}

func TestTOK24_SeveralAudiences(t *testing.T) {
	s := newStack(t)
	s.cast()
	_, claims := s.issued(as("two", "two-secret"), with("scope", "read other:read"), raw("resource=https%3A%2F%2Fother.example"))
	if !slices.Equal(claims.Audience, []string{api, other}) {
		t.Errorf("audience %q", claims.Audience)
	}
	s.refused(400, authz.InvalidTarget, as("ambiguous", "ambiguous-secret"), with("scope", "shared"),
		with("resource", "https://left.example"), raw("resource=https%3A%2F%2Fright.example"))
	s.resource(authz.ResourceSpec{ID: "https://eddsa.example", Scopes: []string{"e"}, Algorithm: "Ed25519"})
	s.resource(authz.ResourceSpec{ID: "https://jwt.example", Scopes: []string{"j"}, TokenType: token.TypeJWT})
	secret := s.client(authz.ClientSpec{ID: "mixed", Scopes: []string{"read e j"}, Resources: []string{api, "https://eddsa.example", "https://jwt.example"}})
	s.refused(400, authz.InvalidTarget, as("mixed", secret), with("scope", "read e"), raw("resource=https%3A%2F%2Feddsa.example"))
	s.refused(400, authz.InvalidTarget, as("mixed", secret), with("scope", "read j"), raw("resource=https%3A%2F%2Fjwt.example"))
}

func TestTOK25_AudienceIsNoParameter(t *testing.T) {
	s := newStack(t)
	if _, claims := s.issued(with("audience", "https://evil.example")); !slices.Equal(claims.Audience, []string{api}) {
		t.Errorf("audience %q", claims.Audience)
	}
}

func TestTOK28_OtherGrants(t *testing.T) {
	s := newStack(t)
	s.refused(400, authz.UnsupportedGrantType, with("grant_type", "password"), with("username", "u"), with("password", "p"))
	s.refused(400, authz.UnsupportedGrantType, with("grant_type", "foo"))
}

func TestTOK45_ClientIDBesideBasic(t *testing.T) {
	s := newStack(t)
	s.issued(with("client_id", "c1"))
	s.refused(400, authz.InvalidRequest, with("client_id", "c2"))
}

func TestTOK46_BasicAndPost(t *testing.T) {
	s := newStack(t)
	s.issued(as("c1", s.secret))
	s.issued(post("c1", s.secret))
}

func TestTOK48_LeastPrivilege(t *testing.T) {
	s := newStack(t)
	secret := s.client(authz.ClientSpec{ID: "new", Scopes: []string{"read write"}, Resources: []string{api}})
	s.refused(400, authz.InvalidScope, as("new", secret), without("scope"))
}

func TestTOK49_NoSubjectLooksLikeAPerson(t *testing.T) {
	s := newStack(t)
	for _, id := range []string{"user:x", "user:", "a b", "é", "a/b", strings.Repeat("x", 65)} {
		if _, _, _, err := s.registry.CreateClient(t.Context(), admin, authz.ClientSpec{ID: id, Name: "x"}); err == nil {
			t.Errorf("%q was registered", id)
		}
	}
	if _, claims := s.issued(); claims.Subject != "c1" || claims.ClientID != "c1" {
		t.Errorf("subject %q", claims.Subject)
	}
}

func TestTOK13_NoRedirect(t *testing.T) {
	s := newStack(t)
	for _, p := range []string{"//oauth2/token", "/oauth2/token/", "/oauth2//token", "/oauth2/../oauth2/token", "/x/../oauth2/token", "/OAUTH2/token", ""} {
		r := s.send(path(p))
		if r.status != http.StatusNotFound || r.header.Get("Location") != "" {
			t.Errorf("%s: %d, Location %q", p, r.status, r.header.Get("Location"))
		}
	}
}

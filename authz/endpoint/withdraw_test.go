package endpoint_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

const (
	introspectPath = "/oauth2/introspect"
	revokePath     = "/oauth2/revoke"

	inactive = `{"active":false}`
)

// eitherChallenge is what introspection says to a caller who presented nothing, header lines joined.
const eitherChallenge = challenge + `|Bearer realm="marque"`

// staff registers who asks about tokens: gateway is the API at api, archive the one at other, c2 another
// partner, boss an administrator. It returns their credentials.
type staff struct{ c1, c2, gateway, archive, boss change }

func (s *stack) staff() staff {
	s.t.Helper()
	return staff{
		c1:      as("c1", s.secret),
		c2:      as("c2", s.client(authz.ClientSpec{ID: "c2", Scopes: []string{"read"}, DefaultScopes: []string{"read"}, Resources: []string{api}})),
		gateway: as("gateway", s.client(authz.ClientSpec{ID: "gateway", Serves: []string{api}})),
		archive: as("archive", s.client(authz.ClientSpec{ID: "archive", Serves: []string{other}})),
		boss:    as("boss", s.client(authz.ClientSpec{ID: "boss", Admin: true})),
	}
}

// only replaces every parameter by one.
func only(name, value string) change {
	return func(r *wireRequest) { r.params = []string{name + "=" + url.QueryEscape(value)} }
}

// introspect asks about a token.
func (s *stack) introspect(compact string, changes ...change) reply {
	s.t.Helper()
	s.known[compact] = true
	return s.send(append([]change{path(introspectPath), only("token", compact)}, changes...)...)
}

// revoke asks to revoke a token.
func (s *stack) revoke(compact string, changes ...change) reply {
	s.t.Helper()
	s.known[compact] = true
	return s.send(append([]change{path(revokePath), only("token", compact)}, changes...)...)
}

// revoked is revoke, and wants it to succeed.
func (s *stack) revoked(compact string, changes ...change) {
	s.t.Helper()
	r := s.revoke(compact, changes...)
	if r.status != 200 || r.body != "" || r.header.Get("Content-Length") != "0" || r.header.Get("Cache-Control") != "no-store" || len(r.header["Content-Type"]) != 0 {
		s.t.Errorf("revocation: %d %s %v", r.status, r.body, r.header)
	}
}

// active introspects, and returns what the answer says.
func (s *stack) active(compact string, changes ...change) (active bool, members map[string]any) {
	s.t.Helper()
	r := s.introspect(compact, changes...)
	members = object(s.t, r)
	active, ok := members["active"].(bool)
	if !ok || r.header.Get("Content-Type") != "application/json" || !active && r.body != inactive {
		s.t.Errorf("introspection: %s %v", r.body, r.header)
	}
	return active, members
}

func (s *stack) wantActive(want bool, compact string, changes ...change) {
	s.t.Helper()
	if got, members := s.active(compact, changes...); got != want {
		s.t.Errorf("active is %v, want %v: %v", got, want, members)
	}
}

// token returns an access token of c1, or of who the changes say.
func (s *stack) token(changes ...change) string {
	s.t.Helper()
	got, _ := s.issued(changes...)
	return got.AccessToken
}

// forged returns compact with another signature, made by a key that nobody knows.
func (s *stack) forged(compact string) string {
	s.t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	check(s.t, err)
	signer, err := jose.NewSigner(key, "", jose.ES256, jose.ES256)
	check(s.t, err)
	payload := segment(s.t, compact, 1)
	forged, err := signer.Sign(token.TypeAccessToken, payload)
	check(s.t, err)
	return forged
}

// For every row of the error matrix that is about syntax, the other endpoints answer as the token endpoint
// does: status, code, and the line in the log.
func TestRVK01_RVK02_INT01_INT03_SyntaxAsAtTheTokenEndpoint(t *testing.T) {
	s := newStack(t)
	for _, p := range []string{introspectPath, revokePath} {
		seen := 0
		for _, row := range syntaxRows(s) {
			switch id, _, _ := strings.Cut(row.name, " "); id {
			case "TKE-04", "TKE-19", "TKE-20", "TOK-09": // other paths; the grant
				continue
			}
			seen++
			t.Run(p+" "+row.name, func(t *testing.T) {
				s := s.in(t)
				s.log.take()
				r := s.send(path(p), with("token", "x"), row.change)
				s.wantError(r, row.status, row.code)
				for name, want := range row.headers {
					if got := r.header.Get(name); got != want {
						t.Errorf("%s: %q, want %q", name, got, want)
					}
				}
				s.wantLogged(r, row)
			})
		}
		if seen < 40 {
			t.Errorf("only %d rows", seen)
		}
	}
}

func TestRVK01_RVK18_INT01_INT02_ClientsAsAtTheTokenEndpoint(t *testing.T) {
	s := newStack(t)
	s.cast()
	rows := clientRows(s)
	for _, p := range []string{introspectPath, revokePath} {
		for _, row := range rows {
			if p == introspectPath && row.name == "TKE-36 Bearer" {
				continue // see TestINT02_Bearer
			}
			t.Run(p+" "+row.name, func(t *testing.T) {
				s := s.in(t)
				s.log.take()
				request := all(path(p), with("token", "x"), row.change)
				r := s.send(request)
				want := challenge
				if w := s.b0(); p == introspectPath {
					request(w)
					field := w.header.Get("Authorization")
					if row.cause == authz.CauseMalformedCredentials || !strings.HasPrefix(field, "Basic ") && !strings.Contains(strings.Join(w.params, "&"), "client_secret=") || strings.HasSuffix(strings.Join(w.params, "&"), "client_secret=") {
						want = eitherChallenge
					}
				}
				s.wantErrorWith(r, row.status, row.code, want)
				s.wantLogged(r, row)
			})
		}
	}
}

func TestRVK01_INT01_OtherMethods(t *testing.T) {
	s := newStack(t)
	compact := s.token()
	for _, p := range []string{introspectPath, revokePath} {
		for _, m := range []string{"GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "post", "BREW"} {
			s.log.take()
			r := s.send(path(p), method(m), only("token", compact), query("token="+compact))
			if r.status != 405 || r.header.Get("Allow") != "POST" || r.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: %d, Allow %q", m, p, r.status, r.header.Get("Allow"))
			}
			log := s.log.take()
			s.nothingLeaked(t, log)
			if !strings.Contains(log, "level=WARN") || !strings.Contains(log, "cause=credentials_in_url") {
				t.Errorf("logged %s", log)
			}
		}
	}
	s.wantActive(true, compact)
}

func TestRVK02_INT03_OneTokenInTheBody(t *testing.T) {
	s := newStack(t)
	compact := s.token()
	for _, p := range []string{introspectPath, revokePath} {
		for name, c := range map[string]change{
			"missing": body(""), "empty": only("token", ""), "twice": raw("token=" + compact), "twice, once empty": raw("token="),
			"in the URL alone": all(body(""), query("token="+compact)), "in the URL too": query("token=" + compact),
			"another one in the URL": query("token=x"), "hint twice": all(raw("token_type_hint=a"), raw("token_type_hint=a")), "resource twice": all(raw("resource=a"), raw("resource=a")),
		} {
			t.Run(p+" "+name, func(t *testing.T) {
				s := s.in(t)
				s.log.take()
				s.refused(400, authz.InvalidRequest, path(p), only("token", compact), c)
				s.nothingLeaked(t, s.log.take())
			})
		}
	}
	s.wantActive(true, compact)
}

func TestRVK03_RVK04_INT05_ARevokedTokenIsDeadAtOnce(t *testing.T) {
	s := newStack(t)
	who := s.staff()
	mine, another := s.token(), s.token()
	for _, asking := range []change{who.gateway, who.c1} {
		s.wantActive(true, mine, asking)
	}
	s.revoked(mine)
	for _, asking := range []change{who.gateway, who.c1} {
		s.wantActive(false, mine, asking)
		s.wantActive(true, another, asking)
	}
	s.revoked(another, post("c1", s.secret))
	s.wantActive(false, another, who.gateway)
	s.wantActive(true, s.token(), who.gateway) // what is issued afterwards is good
}

func TestRVK05_WhatIsNoLiveTokenIsRevokedAlready(t *testing.T) {
	clock := newFrozenClock()
	s := newStack(t, func(c *settings) { c.clock = clock })
	expired := s.token()
	clock.set(clock.Now().Add(11 * time.Minute))
	twice := s.token()
	s.revoked(twice)
	before := s.stored()
	for _, compact := range []string{
		"random", "a.b.c", expired, twice, twice + "=", s.secret, "é", strings.Repeat("x", 60_000), " ", "..", expired[:len(expired)-4],
	} {
		s.revoked(compact)
	}
	if after := s.stored(); after != before {
		t.Errorf("something was stored: %+v, before %+v", after, before)
	}
}

func TestRVK06_ParallelRevocationsAreOne(t *testing.T) {
	s := newStack(t)
	compact := s.token()
	before := s.stored()
	var wg sync.WaitGroup
	replies := make(chan reply, 50)
	request := func() reply { return s.send(path(revokePath), only("token", compact)) }
	for range 50 {
		wg.Go(func() { replies <- request() })
	}
	wg.Wait()
	close(replies)
	for r := range replies {
		if r.status != 200 || r.body != "" {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	if after := s.stored(); after.entries != before.entries+1 {
		t.Errorf("%d audit entries", after.entries-before.entries)
	}
	s.wantActive(false, compact)
	if log := s.log.take(); strings.Count(log, "changed=true") != 1 || strings.Count(log, `msg="token revoked"`) != 50 {
		t.Errorf("logged %d changes", strings.Count(log, "changed=true"))
	}
}

func TestRVK07_AnotherClientsToken(t *testing.T) {
	s := newStack(t)
	who := s.staff()
	compact := s.token()
	before := s.stored()
	s.log.take()
	for _, asking := range []change{who.c2, who.gateway, who.boss} {
		r := s.revoke(compact, asking)
		s.wantError(r, 400, authz.InvalidGrant)
		log := s.log.take()
		s.nothingLeaked(t, log)
		if strings.Count(log, "\n") != 1 || !strings.Contains(log, "cause=token_of_another_client") {
			t.Errorf("logged %s", log)
		}
	}
	s.wantActive(true, compact, who.gateway)
	if after := s.stored(); after != before {
		t.Errorf("something was stored")
	}
}

func TestRVK08_RVK09_WhatWeDidNotSignChangesNothing(t *testing.T) {
	s := newStack(t)
	who := s.staff()
	mine := s.token()
	before := s.stored()
	for name, compact := range map[string]string{
		"RVK-08 forged":                   s.forged(mine),
		"RVK-08 unsigned":                 mine[:strings.LastIndexByte(mine, '.')+1],
		"RVK-08 with another's signature": mine[:strings.LastIndexByte(mine, '.')] + s.token()[strings.LastIndexByte(s.token(), '.'):],
		"RVK-09 an assertion":             s.assertion("c1", s.secret, false),
		"RVK-09 another issuer's":         newStack(t).token(),
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			s.revoked(compact)
			s.revoked(compact, who.c2)
			s.wantActive(false, compact, who.gateway)
		})
	}
	s.wantActive(true, mine, who.gateway)
	if after := s.stored(); after != before {
		t.Error("something was stored")
	}
}

func TestRVK10_RVK11_INT11_HintsAreHints(t *testing.T) {
	s := newStack(t)
	who := s.staff()
	for _, hint := range []string{"access_token", "refresh_token", "foo", "urn:ietf:params:oauth:token-type:jwt", ""} {
		compact := s.token()
		given := with("token_type_hint", hint)
		s.wantActive(true, compact, who.gateway, given)
		s.revoked(compact, given)
		s.wantActive(false, compact, who.gateway, given)
	}
}

// Whatever kind of token is issued here can be revoked here.
func TestRVK11_EveryKindOfTokenCanBeRevoked(t *testing.T) {
	s := newStack(t)
	who := s.staff()
	for i, spec := range []authz.ResourceSpec{
		{ID: "https://jwt.example", TokenType: token.TypeJWT}, {ID: "https://eddsa.example", Algorithm: "Ed25519"}, {ID: "urn:x:short", TokenLifetime: time.Minute},
	} {
		spec.Scopes = []string{"s"}
		s.resource(spec)
		id := fmt.Sprintf("of-%d", i)
		mine := as(id, s.client(authz.ClientSpec{ID: id, Scopes: []string{"s"}, DefaultScopes: []string{"s"}, Resources: []string{spec.ID}}))
		compact := s.token(mine, without("scope", "resource"))
		s.wantActive(true, compact, mine)
		s.revoked(compact, mine)
		s.wantActive(false, compact, mine)
	}
	compact := s.token(who.boss, without("scope", "resource")) // of the management API
	s.wantActive(true, compact, who.boss)
	s.revoked(compact, who.boss)
	s.wantActive(false, compact, who.boss)
	s.wantErrorWith(s.introspect("x", field("Authorization", "Bearer "+compact)), 401, "invalid_token", bearerChallenge("invalid_token"))
}

// Another node over the same store, which has heard of nothing yet, knows it right after the 200.
func TestRVK12_AnotherNodeAsksTheStore(t *testing.T) {
	var config *settings
	s := newStack(t, func(c *settings) { config = c })
	c := config.authz
	c.Index = token.NewIndex()
	node, err := authz.NewServer(c)
	check(t, err)
	node.ConfirmedAt(s.clock.Now())
	compact := s.token()
	ask := func() authz.Introspection {
		t.Helper()
		got, err := node.Introspect(t.Context(), authz.IntrospectRequest{
			Token: compact, Client: authz.Presented{Method: authz.PresentedBasic, ID: "c1", Secret: authz.Secret(s.secret)},
		})
		check(t, err)
		return got
	}
	if got := ask(); !got.Active {
		t.Fatalf("before: %+v", got)
	}
	s.revoked(compact)
	if got := ask(); got.Active || string(got.Body) != inactive {
		t.Errorf("after: %s", got.Body)
	}
}

func TestRVK13_INT13_AnOutageIsNoAnswer(t *testing.T) {
	s := newStack(t)
	who := s.staff()
	compact := s.token()
	s.wantActive(true, compact, who.gateway) // callers are cached
	s.gate.closed.Store(true)
	s.log.take()
	for _, r := range []reply{s.revoke(compact), s.introspect(compact, who.gateway), s.introspect(compact), s.revoke(compact, as("nobody", "x"))} {
		s.wantError(r, 503, "")
		s.wantRetryAfter(r)
	}
	if log := s.log.take(); strings.Count(log, "level=ERROR") != 4 {
		t.Errorf("logged %s", log)
	}
	s.gate.closed.Store(false)
	check(t, s.follower.CatchUp(t.Context()))
	s.wantActive(true, compact, who.gateway)
	s.revoked(compact)
	s.wantActive(false, compact, who.gateway)
}

func TestRVK17_NothingForBrowsers(t *testing.T) {
	s := newStack(t)
	compact := s.token()
	for _, p := range []string{introspectPath, revokePath} {
		for _, c := range []change{
			all(method("OPTIONS"), field("Access-Control-Request-Method", "POST")), with("callback", "f"), anonymous,
		} {
			r := s.send(path(p), only("token", compact), field("Origin", "https://evil.example"), c)
			for name := range r.header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%d answers %s", r.status, name)
				}
			}
			if strings.Contains(r.body, "f(") {
				t.Errorf("%s", r.body)
			}
		}
	}
}

func TestRVK18_EVT01_EVT10_DisabledClients(t *testing.T) {
	s := newStack(t)
	who := s.staff()
	compact := s.token()
	_, err := s.registry.SetClientDisabled(t.Context(), admin, "c1", true)
	check(t, err)
	s.wantError(s.revoke(compact), 401, authz.InvalidClient)
	s.wantError(s.introspect(compact), 401, authz.InvalidClient)
	s.wantActive(false, compact, who.gateway)
	_, err = s.registry.SetClientDisabled(t.Context(), admin, "c1", false)
	check(t, err)
	s.wantActive(false, compact, who.gateway)
	s.wantActive(true, s.token(), who.gateway)
}

func TestRVK20_EVT12_TheAuditEntryNamesTheJTI(t *testing.T) {
	s := newStack(t)
	got, claims := s.issued()
	r := s.revoke(got.AccessToken)
	entries, _, err := s.gate.Latest(t.Context(), "", 1)
	check(t, err)
	if len(entries) != 1 {
		t.Fatalf("%d entries", len(entries))
	}
	e := entries[0]
	if e.Action != "revocation.create" || e.Target != "jti:"+claims.JTI || e.Actor != (audit.Actor{Kind: audit.ActorClient, ID: "c1"}) || e.Reason != "revoked by its client (RFC 7009)" || e.RequestID != r.header.Get("X-Request-Id") {
		t.Errorf("%+v", e)
	}
	text, err := json.Marshal(e)
	check(t, err)
	s.nothingLeaked(t, string(text))
}

// An inactive token is inactive for one of many reasons, and the answers are the same, header fields too.
func TestINT04_INT06_INT14_InactiveAnswersAreTheSame(t *testing.T) {
	clock := newFrozenClock()
	s := newStack(t, func(c *settings) { c.clock = clock })
	who := s.staff()
	expired := s.token()
	clock.set(clock.Now().Add(11 * time.Minute))
	revoked := s.token()
	s.revoked(revoked)
	notYours := s.token()
	s.wantActive(true, notYours, who.gateway)
	clients := map[string]string{
		"INT-04 unknown": "unheard", "INT-04 malformed": "a.b.c", "INT-04 expired": expired, "INT-04 revoked": revoked,
		"INT-04 foreign": newStack(t).token(), "INT-04 forged": s.forged(notYours), "INT-14 an assertion": s.assertion("c1", s.secret, false),
		"INT-14 a client secret": s.secret, "INT-14 a signed introspection": s.introspect(notYours, who.c1, field("Accept", mediaJWT)).body,
	}
	var want reply
	compare := func(name string, r reply) {
		t.Helper()
		r.header.Del("Date")
		r.header.Del("X-Request-Id")
		if want.status == 0 {
			want = r
		}
		if d := cmp.Diff(r.header, want.header); r.status != 200 || r.body != inactive || d != "" {
			t.Errorf("%s: %d %s: %s", name, r.status, r.body, d)
		}
	}
	for name, compact := range clients {
		compare(name, s.introspect(compact, who.gateway))
	}
	compare("INT-06 not for this API", s.introspect(notYours, who.archive))
	compare("INT-06 of another client", s.introspect(notYours, who.c2))
}

func TestINT07_INT09_INT10_WhatAnActiveTokenSays(t *testing.T) {
	s := newStack(t)
	s.cast()
	who := s.staff()
	two := as("two", "two-secret")
	got, claims := s.issued(two, with("scope", "read other:read"), raw("resource=https%3A%2F%2Fother.example"))
	for name, c := range map[string]struct {
		asking change
		scope  string
	}{
		"INT-09 api": {who.gateway, "read"}, "INT-09 other": {who.archive, "other:read"}, "its owner": {two, claims.Scope},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			r := s.introspect(got.AccessToken, c.asking)
			m := object(t, r)
			if d := cmp.Diff(m, map[string]any{
				"active": true, "scope": c.scope, "client_id": "two", "token_type": "Bearer", "exp": float64(claims.Expiry.Unix()), "iat": float64(claims.IssuedAt.Unix()),
				"sub": "two", "aud": []any{api, other}, "iss": s.issuer, "jti": claims.JTI,
			}); d != "" {
				t.Error(d)
			}
			if r.header.Get("Content-Type") != "application/json" || r.header.Get("Cache-Control") != "no-store" || r.header.Get("Vary") != "Accept" {
				t.Errorf("%v", r.header)
			}
		})
	}
}

func TestINT12_Scanning(t *testing.T) {
	s := newStack(t, func(c *settings) { c.authz.Unknown = 30 })
	who := s.staff()
	throttled := 0
	for range 1000 {
		switch r := s.introspect("random-"+s.secret[:3], who.gateway); r.status {
		case 200:
		case 429:
			throttled++
			s.wantError(r, 429, "")
			s.wantRetryAfter(r)
		default:
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	if throttled < 900 {
		t.Errorf("only %d of 1000 were throttled", throttled)
	}
	compact := s.token()
	for range 1000 {
		s.wantActive(true, compact, who.gateway)
	}
}

func bearerChallenge(code string) string {
	description := "the access token in the Authorization header field is malformed, expired, revoked or not for this server; get a new one"
	return `Bearer realm="marque", error="` + code + `", error_description="` + description + `"`
}

// An administrator's access token authenticates it, and nothing else that looks like one does.
func TestINT01_INT02_Bearer(t *testing.T) {
	s := newStack(t)
	who := s.staff()
	bossy := s.token(who.boss, without("scope", "resource"))
	bearer := func(compact string) change { return field("Authorization", "Bearer "+compact) }
	compact := s.token()
	s.wantActive(true, compact, bearer(bossy))
	_, members := s.active(compact, bearer(bossy))
	if members["scope"] != "read" || members["client_id"] != "c1" {
		t.Errorf("%v", members)
	}
	signed := s.introspect(compact, who.c1, field("Accept", mediaJWT)).body
	for name, presented := range map[string]string{
		"nothing": "", "not a token": "x", "malformed": "a b", "a token for an API": compact, "forged": s.forged(bossy), "another issuer's": newStack(t).token(),
		"INT-17 a signed introspection": signed, "a client secret": s.secret,
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			s.log.take()
			r := s.introspect(compact, bearer(presented))
			s.wantErrorWith(r, 401, "invalid_token", bearerChallenge("invalid_token"))
			s.nothingLeaked(t, s.log.take())
		})
	}
	s.wantErrorWith(s.introspect(compact, anonymous), 401, authz.InvalidClient, eitherChallenge)
	s.wantError(s.introspect(compact, bearer(bossy), with("client_id", "c1"), with("client_secret", s.secret)), 400, authz.InvalidRequest)
	s.wantError(s.introspect(compact, field("Authorization", "Bearer "+bossy, basic("c1", s.secret))), 400, authz.InvalidRequest)
	s.wantError(s.revoke(compact, bearer(bossy)), 401, authz.InvalidClient)

	_, err := s.registry.SetClientDisabled(t.Context(), admin, "boss", true)
	check(t, err)
	s.wantErrorWith(s.introspect(compact, bearer(bossy)), 401, "invalid_token", bearerChallenge("invalid_token"))
	s.wantActive(true, compact, who.gateway)
}

// No secret and no token of a whole story is logged.
func TestTOK44_NothingOfTheStoryIsLogged(t *testing.T) {
	s := newStack(t)
	who := s.staff()
	compact, bossy := s.token(), s.token(who.boss, without("scope", "resource"))
	for _, c := range []change{who.gateway, who.c1, who.c2, who.archive, post("c1", s.secret), anonymous, as("c1", "wrong"), field("Authorization", "Bearer "+bossy), field("Authorization", "Bearer "+compact)} {
		s.introspect(compact, c)
		s.introspect(compact, c, field("Accept", mediaJWT))
		s.introspect(bossy, c)
		s.introspect(s.forged(compact), c)
		s.introspect(s.secret, c)
	}
	for _, c := range []change{who.c2, who.gateway, anonymous, as("c1", "wrong"), who.c1} {
		s.revoke(compact, c)
		s.revoke(s.forged(compact), c)
		s.revoke(s.secret, c)
	}
	log := s.log.take()
	if strings.Count(log, "\n") < 30 {
		t.Errorf("logged only %s", log)
	}
	s.nothingLeaked(t, log)
}

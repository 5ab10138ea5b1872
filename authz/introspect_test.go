package authz

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

// Whatever is not active is one answer, byte by byte, with and without a signature; and nothing of it
// depends on which of the reasons it was.
func TestINT04_INT14_OneAnswerForWhateverIsInactive(t *testing.T) {
	s := newScene(t, nil)
	good := s.issue(t, s.partner, "orders:read").AccessToken
	rows := map[string]struct {
		token string
		cause Cause
	}{}
	for name, compact := range s.forgeries(t, good) {
		rows["forged: "+name] = struct {
			token string
			cause Cause
		}{compact, ""}
	}
	for name, compact := range s.otherKinds(t, good) {
		rows["of another kind: "+name] = struct {
			token string
			cause Cause
		}{compact, ""}
	}
	expired := s.issue(t, s.partner, "orders:read").AccessToken
	s.advance(DefaultTokenLifetime)
	revoked, foreign := s.issue(t, s.partner, "orders:read").AccessToken, s.issue(t, s.partner, "accounts:create").AccessToken
	s.withdraw(t, s.partner, revoked)
	early := claims(t, revoked)
	early["jti"], early["nbf"] = "early", s.now().Add(time.Minute).Unix()
	late := claims(t, revoked)
	late["jti"], late["iat"], late["exp"] = "late", s.now().Add(2*time.Minute).Unix(), s.now().Add(5*time.Minute).Unix()
	for name, row := range map[string]struct {
		token string
		cause Cause
	}{
		"expired": {expired, CauseTokenExpired}, "revoked": {revoked, CauseTokenRevoked}, "foreign": {foreign, CauseTokenNotForCaller},
		"unknown": {encode("unknown"), CauseTokenMalformed}, "not yet valid": {s.sign(t, "at+jwt", early), CauseTokenNotYetValid},
		"issued later": {s.sign(t, "at+jwt", late), CauseTokenNotYetValid},
	} {
		rows[name] = row
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			got := s.ask(t, s.first, row.token)
			if string(got.Body) != `{"active":false}` || got.JWT != "" || got.Active {
				t.Errorf("%+v", got)
			}
			if got.Cause == "" || row.cause != "" && got.Cause != row.cause || got.Caller != s.first.id {
				t.Errorf("cause %q of %q, want %q", got.Cause, got.Caller, row.cause)
			}
			if strings.Contains(fmt.Sprintf("%q %q %q", got.Cause, got.JTI, got.Client), row.token) && len(row.token) > 3 {
				t.Error("the token is in what the log may say")
			}
		})
	}
}

// INT-05: break one thing at a time.
func TestINT05_ActiveMeansAllOfIt(t *testing.T) {
	for name, breaks := range map[string]func(*scene, token.Claims, string){
		"expired": func(s *scene, c token.Claims, _ string) { s.advance(c.Expiry.Sub(s.now())) }, // at the very instant
		"key withdrawn": func(s *scene, _ token.Claims, _ string) {
			delete(s.keys, jose.ES256)
		},
		"key replaced": func(s *scene, _ token.Claims, _ string) { s.addKey(t, jose.ES256) }, // as for one that is withdrawn
		"revoked by its client": func(s *scene, _ token.Claims, compact string) {
			s.withdraw(t, s.partner, compact)
		},
		"client disabled": func(s *scene, _ token.Claims, _ string) {
			mustDo(t)(s.registry.SetClientDisabled(t.Context(), admin, "acme", true))
		},
		"client deleted": func(s *scene, _ token.Claims, _ string) {
			if err := s.registry.DeleteClient(t.Context(), admin, "acme", Match{Any: true}); err != nil {
				t.Fatal(err)
			}
		},
		"secret compromised": func(s *scene, c token.Claims, _ string) {
			mustDo(t)(s.registry.RevokeSecret(t.Context(), admin, "acme", CredentialID(c.CredentialID), SecretRevocation{Compromised: true}))
		},
		"jti":        revokes(t, func(c token.Claims) token.Subject { return token.Subject{Kind: token.RevokedJTI, Value: c.JTI} }),
		"client":     revokes(t, func(token.Claims) token.Subject { return clientSubject("acme") }),
		"credential": revokes(t, func(c token.Claims) token.Subject { return credentialSubject(CredentialID(c.CredentialID)) }),
		"resource":   revokes(t, func(token.Claims) token.Subject { return resourceSubject(api) }),
		"all":        revokes(t, func(token.Claims) token.Subject { return token.Subject{Kind: token.RevokedAll} }),
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, nil)
			compact := s.issue(t, s.partner, "orders:read").AccessToken
			s.wantActive(t, s.first, compact)
			v, err := s.server.own.verify(t.Context(), compact)
			if err != nil {
				t.Fatal(err)
			}
			if name == "expired" {
				s.advance(v.Expiry.Sub(s.now()) - 1)
				s.server.ConfirmedAt(s.now())
				s.wantActive(t, s.first, compact)
			}
			breaks(s, v.Claims, compact)
			if got := s.ask(t, s.first, compact); got.Active || string(got.Body) != inactive {
				t.Errorf("%s", got.Body)
			}
		})
	}
}

func mustDo(t testing.TB) func(any, error) {
	return func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// revokes withdraws the subject of a token as an operator does (RVK-19).
func revokes(t *testing.T, subject func(token.Claims) token.Subject) func(*scene, token.Claims, string) {
	return func(s *scene, c token.Claims, _ string) {
		mustDo(t)(s.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: subject(c)}))
	}
}

func TestINT06_WhoMayKnow(t *testing.T) {
	s := newScene(t, nil)
	boss := s.boss(t)
	one, both := s.issue(t, s.partner, "orders:read").AccessToken, s.issue(t, s.partner, bothAPIs, api, otherAPI).AccessToken
	for _, row := range []struct {
		who       party
		one, both bool
	}{
		{s.partner, true, true}, // it was issued to it
		{s.first, true, true},   // it is for it
		{s.second, false, true}, // the API of something else
		{s.rival, false, false}, // a client of the same API, which serves nothing
		{boss, false, false},    // an administrator's own client credentials give no such right
	} {
		for compact, want := range map[string]bool{one: row.one, both: row.both} {
			if got := s.ask(t, row.who, compact); got.Active != want {
				t.Errorf("%s: active %t, want %t", row.who.id, got.Active, want)
			} else if !want && got.Cause != CauseTokenNotForCaller {
				t.Errorf("cause %s", got.Cause)
			}
		}
	}
	bearer := s.issue(t, boss, "").AccessToken
	got, err := s.server.Introspect(t.Context(), IntrospectRequest{Token: one, Bearer: bearer})
	if err != nil || !got.Active || got.Caller != boss.id {
		t.Errorf("an administrator: %+v, %v", got, err)
	}
	// What a client serves is what its record says now.
	mustDo(t)(s.registry.UpdateClient(t.Context(), admin, s.first.id, Match{Any: true}, ClientSpec{Name: "Acme", Serves: []string{otherAPI}}, false))
	s.wantInactive(t, s.first, one, CauseTokenNotForCaller)
	s.wantActive(t, s.first, both)
}

// boss is an admin client.
func (w *world) boss(t testing.TB) party {
	t.Helper()
	c, secret := w.client(t, ClientSpec{ID: "boss", Admin: true})
	return party{c.ID, secret}
}

func TestINT07_TheMembersAreTheTokens(t *testing.T) {
	s := newScene(t, nil)
	for name, compact := range map[string]string{
		"one API": s.issue(t, s.partner, "orders:read orders:write").AccessToken, "two": s.issue(t, s.partner, bothAPIs, api, otherAPI).AccessToken,
	} {
		want := claims(t, compact)
		delete(want, "credential_id") // what the server notes for itself
		want["active"], want["token_type"] = true, "Bearer"
		if diff := cmp.Diff(want, decoded(t, s.ask(t, s.partner, compact).Body)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	s.resource(t, ResourceSpec{ID: "https://bare.example"})
	c, secret := s.client(t, ClientSpec{ID: "plain", Resources: []string{"https://bare.example"}, Claims: map[string]jsontext.Value{"groups": jsontext.Value(`["a"]`)}})
	got := decoded(t, s.ask(t, party{c.ID, secret}, s.issue(t, party{c.ID, secret}, "").AccessToken).Body)
	var names []string
	for name := range got {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{"active", "aud", "client_id", "exp", "iat", "iss", "jti", "sub", "token_type"}; !slices.Equal(names, want) {
		t.Errorf("without scope, with a static claim: %v, want %v", names, want)
	}
}

func TestIntrospect_TokenTypeIsBearer(t *testing.T) { // INT-08 is not built: no token is bound to a key: policy refuses DPoP
	s := newScene(t, nil)
	if got := decoded(t, s.ask(t, s.first, s.issue(t, s.partner, "").AccessToken).Body); got["token_type"] != "Bearer" {
		t.Errorf("%v", got)
	}
}

func TestINT09_EachAPISeesItsOwnScopes(t *testing.T) {
	s := newScene(t, nil)
	compact := s.issue(t, s.partner, "orders:read orders:write accounts:create", api, otherAPI).AccessToken
	third, secret := s.client(t, ClientSpec{ID: "both", Serves: []string{api, otherAPI}})
	const all = "accounts:create orders:read orders:write"
	scopes := func() map[ClientID]any {
		got := map[ClientID]any{}
		for _, p := range []party{s.first, s.second, s.partner, {third.ID, secret}} {
			got[p.id] = decoded(t, s.ask(t, p, compact).Body)["scope"]
		}
		return got
	}
	want := map[ClientID]any{s.first.id: "orders:read orders:write", s.second.id: "accounts:create", s.partner.id: all, third.ID: all}
	if diff := cmp.Diff(want, scopes()); diff != "" {
		t.Error(diff)
	}
	// A scope that the API no longer has is none of its own.
	mustDo(t)(s.registry.UpdateResource(t.Context(), admin, api, Match{Any: true}, ResourceSpec{Scopes: []string{"orders:read"}}, false))
	want[s.first.id], want[third.ID] = "orders:read", "accounts:create orders:read"
	if diff := cmp.Diff(want, scopes()); diff != "" {
		t.Error(diff)
	}
	mustDo(t)(s.registry.UpdateResource(t.Context(), admin, api, Match{Any: true}, ResourceSpec{Scopes: []string{"other"}}, false))
	want[s.first.id], want[third.ID] = nil, "accounts:create" // and an empty scope is left out
	if diff := cmp.Diff(want, scopes()); diff != "" {
		t.Error(diff)
	}
	// What the API's scopes are cannot be said: nor can the answer.
	s.server.ResourceChanged(api)
	s.onCall(func(op string) error {
		if op == "resource" {
			return errDown
		}
		return nil
	})
	_, err := s.server.Introspect(t.Context(), IntrospectRequest{Token: compact, Client: presented(s.first.id, s.first.secret)})
	wantUnavailable(t, err, CauseStoreUnavailable)
}

func TestINT01_INT02_TheCallerProvesWhoItIs(t *testing.T) {
	s := newScene(t, func(c *Config) { c.Failures = 3 })
	compact := s.issue(t, s.partner, "").AccessToken
	w := s.world
	w.client(t, ClientSpec{ID: "public", Serves: []string{api}})
	w.edit(t, "public", func(c *Client) { c.AuthMethod, c.Credentials = AuthNone, nil })
	for name, row := range map[string]struct {
		p     Presented
		cause Cause
	}{
		"nothing":            {Presented{}, CauseNoCredentials},
		"an identifier":      {Presented{Method: PresentedID, ID: s.first.id}, CauseNoCredentials},
		"a public client's":  {Presented{Method: PresentedID, ID: "public"}, CauseNoCredentials},
		"a wrong secret":     {presented(s.first.id, "wrong"), CauseWrongSecret},
		"an unknown client":  {presented("nobody", "wrong"), CauseUnknownClient},
		"an unusable scheme": {Presented{Unusable: CauseUnsupportedScheme}, CauseUnsupportedScheme},
	} {
		_, err := s.server.Introspect(t.Context(), IntrospectRequest{Token: compact, Client: row.p})
		if e := (*Error)(nil); !errors.As(err, &e) || e.Code != InvalidClient || e.Cause != row.cause {
			t.Errorf("%s: %v, want %s", name, err, row.cause)
		}
		_, err = s.server.Revoke(t.Context(), RevokeRequest{Token: compact, Client: row.p, Address: netip.MustParseAddr("192.0.2.1")})
		wantError(t, err, InvalidClient, row.cause)
	}
	var throttled *ThrottledError
	for range 3 { // the back-off is that of the token endpoint
		_, err := s.server.Introspect(t.Context(), IntrospectRequest{Token: compact, Client: presented(s.first.id, "wrong")})
		if errors.As(err, &throttled) {
			break
		}
	}
	if throttled == nil || throttled.Cause != CauseFailuresLimited || throttled.Failure != CauseWrongSecret {
		t.Errorf("%v", throttled)
	}
	for name, bearer := range map[string]struct {
		token string
		cause Cause
	}{
		"nonsense": {"x", CauseTokenMalformed}, "for another API": {compact, CauseTokenAudience},
	} {
		_, err := s.server.Introspect(t.Context(), IntrospectRequest{Token: compact, Bearer: bearer.token})
		var invalid *InvalidTokenError
		if !errors.As(err, &invalid) || invalid.Cause != bearer.cause || invalid.Scope != "" {
			t.Errorf("%s: %T %v", name, err, err)
		}
	}
}

func TestINT12_OnlyTokensThatWeDidNotSignCount(t *testing.T) {
	s := newScene(t, func(c *Config) { c.Unknown = 300 })
	good := s.issue(t, s.partner, "").AccessToken
	foreign := s.issue(t, s.partner, "accounts:create").AccessToken
	ask := func(p party, compact string) error {
		_, err := s.server.Introspect(t.Context(), IntrospectRequest{Token: compact, Client: presented(p.id, p.secret)})
		return err
	}
	revoked := s.issue(t, s.partner, "").AccessToken
	s.withdraw(t, s.partner, revoked)
	for range 1_000 {
		for _, compact := range []string{good, foreign, revoked} {
			if err := ask(s.first, compact); err != nil {
				t.Fatal(err)
			}
		}
	}
	forged, answered := s.forgeries(t, good), 0
	var last error
	for i := range 1_000 {
		compact := encode(fmt.Sprint("unknown", i))
		if i%3 == 0 { // one that costs a signature
			compact = forged["another key under our kid"]
		}
		if err := ask(s.first, compact); err == nil {
			answered++
		} else {
			last = err
		}
	}
	var throttled *ThrottledError
	if answered != 300 || !errors.As(last, &throttled) || throttled.Cause != CauseUnknownLimited || throttled.Client != s.first.id || throttled.RetryAfter <= 0 {
		t.Errorf("%d answered, then %v", answered, last)
	}
	if err := ask(s.first, good); err != nil {
		t.Errorf("an own token: %v", err)
	}
	if err := ask(s.second, "nonsense"); err != nil {
		t.Errorf("another caller: %v", err)
	}
	s.advance(throttled.RetryAfter)
	if err := ask(s.first, "nonsense"); err != nil {
		t.Errorf("later: %v", err)
	}
	s.advance(time.Hour) // the expired ones were ours all the same
	s.server.ConfirmedAt(s.now())
	for range 1_000 {
		if err := ask(s.first, good); err != nil {
			t.Fatal(err)
		}
	}
}

// A store, or a key ring, that cannot answer: 503, for what the answer depends on.
func TestINT13_UnknownIsNotInactive(t *testing.T) {
	s := newScene(t, nil)
	good, foreign := s.issue(t, s.partner, "").AccessToken, s.issue(t, s.partner, "accounts:create").AccessToken
	s.wantActive(t, s.first, good)
	s.fail(errDown)
	for _, signed := range []bool{false, true} {
		got, err := s.server.Introspect(t.Context(), IntrospectRequest{Token: good, Client: presented(s.first.id, s.first.secret), Signed: signed})
		wantUnavailable(t, err, CauseStoreUnavailable)
		if got.Active || got.Body != nil || got.JWT != "" {
			t.Errorf("%+v", got)
		}
	}
	s.wantInactive(t, s.first, "nonsense", CauseTokenMalformed) // which needs no store
	s.wantInactive(t, s.first, foreign, CauseTokenNotForCaller)
	s.fail(nil)
	s.wantActive(t, s.first, good)

	for _, fault := range []error{keys.ErrStale, keys.ErrNotReady, errDown} {
		s := newScene(t, func(c *Config) { c.PublicKey = func(string) (*jose.PublicKey, error) { return nil, fault } })
		good := s.issue(t, s.partner, "").AccessToken
		_, err := s.server.Introspect(t.Context(), IntrospectRequest{Token: good, Client: presented(s.first.id, s.first.secret)})
		wantUnavailable(t, err, CauseKeysUnavailable)
		_, err = s.server.Revoke(t.Context(), RevokeRequest{Token: good, Client: presented(s.partner.id, s.partner.secret)})
		wantUnavailable(t, err, CauseKeysUnavailable)
		_, err = s.server.RevokeToken(t.Context(), admin, good)
		wantUnavailable(t, err, CauseKeysUnavailable)
		_, err = s.server.Admin(t.Context(), good)
		wantUnavailable(t, err, CauseKeysUnavailable)
	}
}

// What a caller may not know costs what an unknown token with a bad signature does: one signature, and no
// read of the store, whether the token is alive, withdrawn, or never was.
func TestINT04_INT06_ForeignCostsWhatUnknownDoes(t *testing.T) {
	s := newScene(t, nil)
	foreign, withdrawn := s.issue(t, s.partner, "accounts:create").AccessToken, s.issue(t, s.partner, "accounts:create").AccessToken
	s.withdraw(t, s.partner, withdrawn)
	own := s.issue(t, s.partner, "").AccessToken
	s.ask(t, s.first, own)
	for name, row := range map[string]struct {
		token string
		reads int64
	}{
		"foreign": {foreign, 0}, "foreign and withdrawn": {withdrawn, 0}, "forged": {s.forgeries(t, own)["another key under our kid"], 0},
		"unknown": {"nonsense", 0}, "of its own": {own, 1},
	} {
		before := s.calls.Load()
		s.ask(t, s.first, row.token)
		if got := s.calls.Load() - before; got != row.reads {
			t.Errorf("%s: %d reads of the store, want %d", name, got, row.reads)
		}
	}
}

// answer verifies a signed answer and returns its header and payload.
func (w *world) answer(t testing.TB, r IntrospectRequest) (jose.Header, map[string]any, Introspection) {
	t.Helper()
	r.Signed = true
	got, err := w.server.Introspect(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if got.Body != nil {
		t.Errorf("a body beside it: %s", got.Body)
	}
	h, payload, err := jose.Verify(got.JWT, jose.VerifyOptions{
		Types: []string{"token-introspection+jwt"}, Algorithms: []jose.Algorithm{jose.ES256, jose.RS256},
		Key: func(h jose.Header) (*jose.PublicKey, error) { return w.keys.public(h.KeyID) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return h, decoded(t, payload), got
}

func TestINT15_INT16_INT17_INT18_SignedAnswers(t *testing.T) {
	s := newScene(t, nil)
	boss := s.boss(t)
	both, secret := s.client(t, ClientSpec{ID: "both", Serves: []string{api, otherAPI}})
	compact := s.issue(t, s.partner, "orders:read").AccessToken
	bearer := s.issue(t, boss, "").AccessToken
	for name, row := range map[string]struct {
		r   IntrospectRequest
		aud any
	}{
		"an API":                  {IntrospectRequest{Token: compact, Client: presented(s.first.id, s.first.secret)}, api},
		"the API of two":          {IntrospectRequest{Token: compact, Client: presented(both.ID, secret)}, []any{otherAPI, api}},
		"the owner":               {IntrospectRequest{Token: compact, Client: presented(s.partner.id, s.partner.secret)}, "acme"},
		"an administrator":        {IntrospectRequest{Token: compact, Bearer: bearer}, testIssuer + "/admin/v1"},
		"inactive: another API":   {IntrospectRequest{Token: compact, Client: presented(s.second.id, s.second.secret)}, otherAPI},
		"inactive: no token":      {IntrospectRequest{Token: "x", Client: presented(s.first.id, s.first.secret)}, api},
		"inactive: to a stranger": {IntrospectRequest{Token: compact, Client: presented(s.rival.id, s.rival.secret)}, "rival"},
	} {
		t.Run(name, func(t *testing.T) {
			h, payload, got := s.answer(t, row.r)
			if h.Type != "token-introspection+jwt" || h.Algorithm != jose.ES256 {
				t.Errorf("header %+v", h)
			}
			want := map[string]any{
				"iss": testIssuer, "aud": row.aud, "iat": float64(s.now().Unix()),
				"token_introspection": map[string]any{"active": false}, // INT-18: and nothing else
			}
			if got.Active {
				plain, err := s.server.Introspect(t.Context(), row.r)
				if err != nil {
					t.Fatal(err)
				}
				want["token_introspection"] = decoded(t, plain.Body)
			}
			if got.Active == strings.HasPrefix(name, "inactive") {
				t.Errorf("active %t", got.Active)
			}
			if diff := cmp.Diff(want, payload); diff != "" { // INT-17: no sub, no exp, among others
				t.Error(diff)
			}
			s.wantInactive(t, s.first, got.JWT, CauseTokenType)
			if _, err := s.server.Admin(t.Context(), got.JWT); err == nil {
				t.Error("INT-17: taken as a Bearer token")
			}
		})
	}
}

func TestINT19_TheCallersAlgorithm(t *testing.T) {
	s := newScene(t, func(c *Config) { c.SigningQueue = 0 })
	s.addKey(t, jose.RS256)
	mustDo(t)(s.registry.UpdateClient(t.Context(), admin, s.first.id, Match{Any: true}, ClientSpec{Name: "Acme", Serves: []string{api}, IntrospectionAlgorithm: "RS256"}, false))
	r := IntrospectRequest{Token: "x", Client: presented(s.first.id, s.first.secret), Signed: true}
	h, _, _ := s.answer(t, r)
	if h.Algorithm != jose.RS256 {
		t.Errorf("signed with %s", h.Algorithm)
	}
	// Never another algorithm instead, and never more at once than may wait.
	queue := s.server.mint.queue
	for range cap(queue.slots) {
		queue.slots <- struct{}{}
	}
	_, err := s.server.Introspect(t.Context(), r)
	wantUnavailable(t, err, CauseSigningQueueFull)
	for range cap(queue.slots) {
		<-queue.slots
	}
	delete(s.keys, jose.RS256)
	_, err = s.server.Introspect(t.Context(), r)
	wantUnavailable(t, err, CauseNoSigningKey)
	r.Signed = false
	if got, err := s.server.Introspect(t.Context(), r); err != nil || string(got.Body) != inactive {
		t.Errorf("unsigned: %s, %v", got.Body, err)
	}
}

// An API that serves more than fits is told by its client_id whom the answer is for.
func TestINT16_TheAudienceIsBounded(t *testing.T) {
	s := newScene(t, nil)
	var many []string
	for i := range maxResources {
		id := fmt.Sprintf("https://many.example/%s%02d", strings.Repeat("x", 480), i)
		s.resource(t, ResourceSpec{ID: id})
		many = append(many, id)
	}
	c, secret := s.client(t, ClientSpec{ID: "many", Serves: many})
	if _, payload, _ := s.answer(t, IntrospectRequest{Token: "x", Client: presented(c.ID, secret)}); payload["aud"] != "many" {
		t.Errorf("aud %.100v", payload["aud"])
	}
}

// What the signature covers besides r and s is the token: the other signature that verifies is the same
// token, and is withdrawn with it.
func TestRVK03_TheTwinOfASignatureIsTheSameToken(t *testing.T) {
	s := newScene(t, nil)
	compact := s.issue(t, s.partner, "").AccessToken
	other := twin(t, compact)
	s.wantActive(t, s.first, other)
	s.withdraw(t, s.partner, other)
	s.wantInactive(t, s.first, compact, CauseTokenRevoked)
	s.wantInactive(t, s.first, other, CauseTokenRevoked)
}

// An answer belongs to its caller: what the endpoint writes into it must not show up in the next one.
func TestIntrospect_AnswersAreNotShared(t *testing.T) {
	s := newScene(t, nil)
	clear(s.ask(t, s.first, "x").Body)
	s.wantInactive(t, s.first, "x", CauseTokenMalformed)
}

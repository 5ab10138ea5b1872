package authz

import (
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

func presented(id ClientID, secret Secret) Presented {
	return Presented{Method: PresentedBasic, ID: id, Secret: secret}
}

// party is a client and how it proves who it is.
type party struct {
	id     ClientID
	secret Secret
}

// scene is a partner of two APIs, each with a client of its own that serves it, and another partner.
type scene struct {
	*world
	partner, rival, first, second party
}

const bothAPIs = "orders:read accounts:create"

func newScene(t testing.TB, edit func(*Config)) *scene {
	t.Helper()
	s := &scene{world: newWorld(t, edit)}
	s.resource(t, ResourceSpec{ID: api, Scopes: []string{"orders:read orders:write"}})
	s.resource(t, ResourceSpec{ID: otherAPI, Scopes: []string{"accounts:create"}})
	add := func(spec ClientSpec) party {
		c, secret := s.client(t, spec)
		return party{c.ID, secret}
	}
	s.partner = add(ClientSpec{
		ID: "acme", Scopes: []string{"orders:read orders:write accounts:create"}, DefaultScopes: []string{"orders:read"}, Resources: []string{api, otherAPI},
	})
	s.rival = add(ClientSpec{ID: "rival", Scopes: []string{"orders:read"}, DefaultScopes: []string{"orders:read"}, Resources: []string{api}})
	s.first = add(ClientSpec{ID: "fulfilment", Serves: []string{api}})
	s.second = add(ClientSpec{ID: "accounts", Serves: []string{otherAPI}})
	return s
}

// issue gets a token for the scope at the resources.
func (w *world) issue(t testing.TB, p party, scope string, resources ...string) Issued {
	t.Helper()
	r := request(p.id, p.secret)
	r.Scope, r.Resources = scope, resources
	got, err := w.server.Token(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// ask introspects.
func (w *world) ask(t testing.TB, p party, compact string) Introspection {
	t.Helper()
	got, err := w.server.Introspect(t.Context(), IntrospectRequest{Token: compact, Client: presented(p.id, p.secret)})
	if err != nil {
		t.Fatal(err)
	}
	if got.Active != (string(got.Body) != `{"active":false}`) || got.Active != (got.Cause == "") {
		t.Fatalf("active %t, cause %q, body %s", got.Active, got.Cause, got.Body)
	}
	return got
}

func (w *world) withdraw(t testing.TB, p party, compact string) Revoked {
	t.Helper()
	got, err := w.server.Revoke(t.Context(), RevokeRequest{Token: compact, Client: presented(p.id, p.secret), RequestID: "r7009"})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (w *world) wantInactive(t testing.TB, p party, compact string, cause Cause) {
	t.Helper()
	got := w.ask(t, p, compact)
	if got.Active || got.Cause != cause {
		t.Errorf("active %t, cause %q; want inactive, %q", got.Active, got.Cause, cause)
	}
}

func (w *world) wantActive(t testing.TB, p party, compact string) {
	t.Helper()
	if got := w.ask(t, p, compact); !got.Active {
		t.Errorf("inactive: %s", got.Cause)
	}
}

func wantUnavailable(t testing.TB, err error, cause Cause) {
	t.Helper()
	var u *UnavailableError
	if !errors.As(err, &u) || u.Cause != cause || u.RetryAfter <= 0 {
		t.Errorf("%T %v, want unavailable: %s", err, err, cause)
	}
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// sign signs anything with the server's own key: what a mistake elsewhere could do.
func (w *world) sign(t testing.TB, typ string, payload map[string]any) string {
	t.Helper()
	b, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := w.keys[jose.ES256].Sign(typ, b)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// forgeries are strings that are no access tokens of this server, made of one that is. Each is what an
// attacker tried, and none may have any effect.
func (w *world) forgeries(t testing.TB, good string) map[string]string {
	t.Helper()
	parts := strings.Split(good, ".")
	header, payload, signature := parts[0], parts[1], parts[2]
	own := w.keys[jose.ES256]
	stranger, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	underOurName, err := jose.NewSigner(stranger, own.KeyID(), jose.ES256, jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	underItsName, err := jose.NewSigner(stranger, "", jose.ES256, jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	said, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		t.Fatal(err)
	}
	by := func(s *jose.Signer, payload string) string {
		compact, err := s.Sign("at+jwt", []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		return compact
	}
	foreign := strings.Replace(string(said), testIssuer, "https://other.example", 1)
	head := func(alg, rest string) string {
		return encode(`{"alg":"` + alg + `","kid":"` + own.KeyID() + `"` + rest + `}`)
	}
	return map[string]string{
		"a word":                      "nonsense",
		"a space":                     " ",
		"two dots":                    "..",
		"random":                      encode(strings.Repeat("x", 40)) + "." + encode(strings.Repeat("y", 200)) + "." + encode(strings.Repeat("z", 64)),
		"very long":                   strings.Repeat("A", 60_000),
		"NUL":                         "\x00",
		"not UTF-8":                   "\xff\xfe",
		"a secret of ours":            newSecret("aaaaaaaaaaaaaaaa").Reveal(),
		"a jti":                       "Q2JKEUXTNSQ2JKEUXTNSQ2JKEU",
		"alg none":                    head("none", `,"typ":"at+jwt"`) + "." + payload + "." + signature,
		"alg none, no signature":      head("none", `,"typ":"at+jwt"`) + "." + payload + ".",
		"alg NONE":                    head("NONE", `,"typ":"at+jwt"`) + "." + payload + "." + signature,
		"alg HS256":                   head("HS256", `,"typ":"at+jwt"`) + "." + payload + "." + encode(strings.Repeat("m", 32)),
		"alg RS256 with our key":      head("RS256", `,"typ":"at+jwt"`) + "." + payload + "." + signature,
		"another key under our kid":   by(underOurName, string(said)),
		"another key":                 by(underItsName, string(said)),
		"the jti signed by nobody":    header + "." + payload + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
		"the claims, another scope":   header + "." + encode(strings.Replace(string(said), `"scope":"`, `"scope":"orders:write `, 1)) + "." + signature,
		"the claims, another client":  header + "." + encode(strings.Replace(string(said), fmt.Sprintf(`"client_id":%q`, claims(t, good)["client_id"]), `"client_id":"rival"`, 1)) + "." + signature,
		"a foreign issuer's":          by(underItsName, foreign),
		"a foreign issuer's, our kid": by(underOurName, foreign),
		"our key, a foreign issuer":   by(own, foreign),
		"a trailing dot":              good + ".",
		"a leading space":             " " + good,
		"a trailing newline":          good + "\n",
		"padding":                     good + "=",
		"twice":                       good + good,
		"Bearer before it":            "Bearer " + good,
		"JSON serialisation":          `{"payload":"` + payload + `","protected":"` + header + `","signature":"` + signature + `"}`,
		"no signature":                header + "." + payload,
		"an empty signature":          header + "." + payload + ".",
		"the signature cut":           good[:len(good)-4],
		"standard base64":             header + "." + base64.StdEncoding.EncodeToString(said) + "." + signature,
	}
}

// otherKinds are JWTs of this server's own key that say what a good token says and are of another kind.
func (w *world) otherKinds(t testing.TB, good string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, typ := range []string{
		"token-introspection+jwt", "secevent+jwt", "statuslist+jwt", "client-authentication+jwt", "dpop+jwt", "logout+jwt",
		"oauth-authz-req+jwt", "application/token-introspection+jwt", "JOSE", "at+jws",
	} {
		out["typ "+typ] = w.sign(t, typ, claims(t, good))
	}
	with := func(name string, edit func(map[string]any)) {
		c := claims(t, good)
		edit(c)
		out[name] = w.sign(t, "at+jwt", c)
	}
	with("a client assertion", func(c map[string]any) { c["iss"] = c["client_id"] })
	with("an event", func(c map[string]any) { delete(c, "client_id"); c["events"] = map[string]any{} })
	with("no jti", func(c map[string]any) { delete(c, "jti") })
	with("no exp", func(c map[string]any) { delete(c, "exp") })
	with("exp in words", func(c map[string]any) { c["exp"] = "2099-01-01" })
	with("no aud", func(c map[string]any) { delete(c, "aud") })
	with("no client", func(c map[string]any) { delete(c, "client_id") })
	with("bound to a key", func(c map[string]any) { c["cnf"] = map[string]any{"jkt": "x"} })
	return out
}

// twin rewrites an ES256 signature into the other one that verifies, n-s.
func twin(t testing.TB, compact string) string {
	t.Helper()
	cut := strings.LastIndexByte(compact, '.') + 1
	b, err := base64.RawURLEncoding.DecodeString(compact[cut:])
	if err != nil || len(b) != 64 {
		t.Fatal(len(b), err)
	}
	s := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(b[32:]))
	s.FillBytes(b[32:])
	return compact[:cut] + base64.RawURLEncoding.EncodeToString(b)
}

// live counts the stored revocations.
func (w *world) live() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.revocations)
}

func (w *world) journal() []audit.Entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.entries[:len(w.entries):len(w.entries)]
}

// Every Reason of a token is a Cause that is on the list.
func TestTokenCause_IsOnTheList(t *testing.T) {
	for reason, want := range map[token.Reason]Cause{
		token.ReasonMalformed: CauseTokenMalformed, token.ReasonHeader: CauseTokenHeader, token.ReasonType: CauseTokenType,
		token.ReasonAlgorithm: CauseTokenAlgorithm, token.ReasonUnknownKey: CauseTokenUnknownKey, token.ReasonSignature: CauseTokenSignature,
		token.ReasonClaims: CauseTokenClaims, token.ReasonIssuer: CauseTokenIssuer, token.ReasonAudience: CauseTokenAudience,
		token.ReasonExpired: CauseTokenExpired, token.ReasonNotYetValid: CauseTokenNotYetValid, token.ReasonConfirmation: CauseTokenConfirmation,
	} {
		if got := tokenCause(reason); got != want {
			t.Errorf("%s: %s, want %s", reason, got, want)
		}
	}
}

// What the Manager is asked for goes through one value that only this package can make: nothing else may
// reach a token through it, load it or remove it.
func TestManager_LoadsAndRemovesNothingOutsideOfACall(t *testing.T) {
	s := newScene(t, nil)
	good := s.issue(t, s.partner, "")
	m := s.server.core.manager
	for name, c := range map[string]call{
		"nothing": {}, "an issuance": {issue: &issuance{}}, "a removal of another token": {remove: &removal{access: "another"}},
	} {
		ctx := withCall(t.Context(), c)
		if info, err := m.LoadAccessToken(ctx, good.AccessToken); err == nil {
			t.Errorf("%s: loaded %v", name, info)
		}
		if err := m.RemoveAccessToken(ctx, good.AccessToken); err == nil {
			t.Errorf("%s: removed", name)
		}
	}
	ctx := withCall(t.Context(), call{look: &look{permits: func(*token.Verified) error { return nil }}})
	if err := m.RemoveAccessToken(ctx, good.AccessToken); err == nil {
		t.Error("a look removed")
	}
	info, err := m.LoadAccessToken(ctx, good.AccessToken)
	if err != nil || info.GetAccess() != good.AccessToken || info.GetAccessExpiresIn() != 0 || info.GetClientID() != "acme" {
		t.Errorf("%v, %v", info, err)
	}
	if s.live() != 0 {
		t.Error("something was withdrawn")
	}
	for name, f := range map[string]func() error{
		"code":    func() error { _, err := tokens{}.GetByCode(ctx, "x"); return err },
		"refresh": func() error { _, err := tokens{}.GetByRefresh(ctx, "x"); return err },
		"rm code": func() error { return tokens{}.RemoveByCode(ctx, "x") }, "rm refresh": func() error { return tokens{}.RemoveByRefresh(ctx, "x") },
	} {
		if f() == nil {
			t.Errorf("%s: done", name)
		}
	}
}

// The wall clock, which the Manager reads, is not ours: here it says that every token expired long ago,
// or is from a far future.
func TestManager_ItsClockIsNotAsked(t *testing.T) {
	for _, shift := range []time.Duration{-20 * 365 * 24 * time.Hour, 20 * 365 * 24 * time.Hour} {
		s := newScene(t, nil)
		s.advance(shift)
		s.server.ConfirmedAt(s.now())
		good := s.issue(t, s.partner, "orders:read")
		s.wantActive(t, s.first, good.AccessToken)
		s.advance(good.ExpiresIn)
		s.server.ConfirmedAt(s.now())
		s.wantInactive(t, s.first, good.AccessToken, CauseTokenExpired)
	}
}

func decoded(t testing.TB, body []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", body, err))
	}
	return m
}

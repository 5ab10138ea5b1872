package verifiertest

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// Claims are what a token says. The zero value is a good token without scopes.
type Claims struct {
	ClientID     string         // "client" if empty
	Scopes       []string       // none if empty
	Audience     []string       // that of the Issuer if empty
	CredentialID string         // none if empty
	Age          time.Duration  // for how long it has been there: it was issued before the clock's now
	Lifetime     time.Duration  // 10 min if zero
	JTI          string         // random if empty
	Static       map[string]any // claims that are configured for the client, such as roles
}

// Token issues a token, or fails the test if the server would not.
func (i *Issuer) Token(c Claims) string {
	i.t.Helper()
	return i.sign(i.signer, token.TypeAccessToken, i.claims(c))
}

// BadTokens are tokens that nobody must take, by what is wrong with them: each would be good otherwise, and is answered
// 401. A service that loops over them sees that a route is not open.
func (i *Issuer) BadTokens(c Claims) map[string]string {
	i.t.Helper()
	good := i.claims(c)
	expired := c
	expired.Age += lifetime(c) + token.MaxLeeway
	elsewhere := good
	elsewhere.Audience = []string{i.audience + "/other"}
	foreign := good
	foreign.Issuer += "/other"
	revoked := i.Token(c)
	i.revoke(token.RevokedJTI, i.claimsOf(revoked).JTI)
	_, payload, _ := strings.Cut(i.sign(i.signer, token.TypeAccessToken, good), ".")
	return map[string]string{
		"expired":               i.Token(expired),
		"for another audience":  i.sign(i.signer, token.TypeAccessToken, elsewhere),
		"of another issuer":     i.sign(i.signer, token.TypeAccessToken, foreign),
		"signed by another key": i.sign(i.impostor, token.TypeAccessToken, good),
		"of another kind":       i.sign(i.signer, token.TypeEvent, good),
		"of algorithm none":     base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`)) + "." + payload,
		"revoked":               revoked,
		"no token at all":       "x",
	}
}

func lifetime(c Claims) time.Duration { return cmp.Or(c.Lifetime, 10*time.Minute) }

// claims fills in what c leaves out.
func (i *Issuer) claims(c Claims) token.Claims {
	i.t.Helper()
	issued := i.Now().Add(-c.Age)
	claims := token.Claims{
		Issuer: URL, ClientID: cmp.Or(c.ClientID, "client"), Audience: c.Audience, CredentialID: c.CredentialID,
		Scope: strings.Join(c.Scopes, " "), IssuedAt: issued, Expiry: issued.Add(lifetime(c)), JTI: cmp.Or(c.JTI, rand.Text()),
	}
	claims.Subject = claims.ClientID
	if len(claims.Audience) == 0 {
		claims.Audience = []string{i.audience}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Static)) {
		value, err := json.Marshal(c.Static[name])
		if err == nil {
			err = token.CheckStatic(name, value)
		}
		if err != nil {
			i.t.Fatalf("verifiertest: claim %q: %v", name, err)
		}
		claims.Static = append(claims.Static, token.Static{Name: name, Value: value})
	}
	return claims
}

func (i *Issuer) sign(s *jose.Signer, typ string, c token.Claims) string {
	i.t.Helper()
	payload, err := c.AppendJSON(nil)
	if err != nil {
		i.t.Fatalf("verifiertest: %v", err)
	}
	compact, err := s.Sign(typ, payload)
	if err != nil {
		i.t.Fatalf("verifiertest: %v", err)
	}
	return compact
}

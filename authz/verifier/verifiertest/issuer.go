// Package verifiertest issues access tokens without a server, for tests of services that take them.
//
//	issuer := verifiertest.NewIssuer(t, "https://fulfilment.example")
//	h := newService(issuer.Verifier())
//	r.Header.Set("Authorization", "Bearer "+issuer.Token(verifiertest.Claims{ClientID: "shop", Scopes: []string{"orders:read"}}))
//
// The tokens are those of the server, octet for octet but for the key: the same code writes and signs them. Nothing
// listens and nothing is fetched, and the clock is the Issuer's, so that a test that a token expires takes no time.
// example_test.go is such a test, whole.
package verifiertest

import (
	"encoding/base64"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

// URL is the iss of every Issuer. They differ by their keys: to each, the tokens of another are forged.
const URL = "https://as.example"

// Issuer stands for the authorization server in one test. It is safe for concurrent use.
type Issuer struct {
	t        testing.TB
	audience string
	signer   *jose.Signer
	impostor *jose.Signer // signs under the same kid
	keys     *jose.Set
	revoked  *token.Index

	mu   sync.Mutex // guards what follows
	now  time.Time
	away bool
}

// NewIssuer returns an Issuer for tests of the service with this resource identifier. Its clock stands at the whole
// second of the start. It panics in a program that is no test: whoever has the Issuer has every right.
func NewIssuer(t testing.TB, audience string) *Issuer {
	t.Helper()
	if !testing.Testing() {
		panic("verifiertest: not in a test")
	}
	i := &Issuer{t: t, audience: audience, revoked: token.NewIndex(), now: time.Now().UTC().Truncate(time.Second)}
	i.signer = newSigner(t, "")
	i.impostor = newSigner(t, i.signer.KeyID())
	var err error
	if i.keys, err = jose.NewSet(i.signer.PublicKey()); err != nil {
		t.Fatalf("verifiertest: %v", err)
	}
	i.revoked.Replace(nil) // from now on it is known what is revoked
	return i
}

func newSigner(t testing.TB, kid string) *jose.Signer {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatalf("verifiertest: %v", err)
	}
	s, err := jose.NewSigner(key, kid, jose.ES256, jose.ES256)
	if err != nil {
		t.Fatalf("verifiertest: %v", err)
	}
	return s
}

// Config is for verifier.New: the service adds what else it configures, but for Follow and Introspect, for which
// there is no server. What is refused is in the log of the test, with the reason.
func (i *Issuer) Config() verifier.Config {
	return verifier.Config{
		Issuer: URL, Audience: i.audience, Keys: i.keys, Revoked: known{i}, Now: i.Now,
		Log: slog.New(slog.NewTextHandler(i.t.Output(), nil)),
	}
}

// Verifier returns one of this Config, which is closed when the test ends.
func (i *Issuer) Verifier() *verifier.Verifier {
	i.t.Helper()
	v, err := verifier.New(i.t.Context(), i.Config())
	if err != nil {
		i.t.Fatalf("verifiertest: %v", err)
	}
	i.t.Cleanup(v.Close)
	return v
}

// Now is the clock of the Issuer, and of what its Config makes.
func (i *Issuer) Now() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.now
}

// Advance moves the clock; it does not move by itself.
func (i *Issuer) Advance(d time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.now = i.now.Add(d)
}

// Away says whether the issuer cannot be heard from now on, so that nobody knows what is revoked: every good token is
// answered 503 then.
func (i *Issuer) Away(away bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.away = away
}

// Revoke withdraws this one token.
func (i *Issuer) Revoke(accessToken string) {
	i.t.Helper()
	i.revoke(token.RevokedJTI, i.claimsOf(accessToken).JTI)
}

// RevokeClient withdraws the tokens that this client has got up to now, as when it is disabled. Those that are issued
// in a later second are good.
func (i *Issuer) RevokeClient(clientID string) { i.revoke(token.RevokedClient, clientID) }

func (i *Issuer) revoke(kind token.RevocationKind, value string) {
	s := token.Subject{Kind: kind, Value: value}
	i.revoked.Set(token.Indexed{Revocation: token.Revocation{Subject: s, Before: i.Now()}})
}

// claimsOf reads what it was given by a test, hence without looking at the signature.
func (i *Issuer) claimsOf(accessToken string) token.Claims {
	i.t.Helper()
	parts := strings.Split(accessToken, ".")
	if len(parts) != 3 {
		i.t.Fatal("verifiertest: this is no token")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		i.t.Fatalf("verifiertest: this is no token: %v", err)
	}
	p, err := token.Parse(payload)
	if err != nil {
		i.t.Fatalf("verifiertest: this is no access token: %v", err)
	}
	return p.Claims
}

// known is what is revoked, while the Issuer can be heard. It does not count its changes, so that it is asked about
// tokens that are remembered, too.
type known struct{ i *Issuer }

func (k known) Revocation(s token.Subject) (token.Revocation, bool) { return k.i.revoked.Revocation(s) }

func (k known) Loaded() bool {
	k.i.mu.Lock()
	defer k.i.mu.Unlock()
	return !k.i.away
}

package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

var anyVersion = Match{Any: true}

// storySpec is what an admin said of the story's client.
func storySpec() ClientSpec {
	return ClientSpec{
		Name: "Acme", Scopes: []string{"orders:read orders:write"}, DefaultScopes: []string{"orders:read"}, Resources: []string{api},
	}
}

func TestEVT01_ADisabledClientHasNoTokens(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.story(t)
	old := tokenAt("acme", w.now())
	if w.withdrawn(t, old) {
		t.Fatal("before")
	}
	c, err := w.registry.SetClientDisabled(t.Context(), admin, "acme", true)
	if err != nil || !c.Disabled {
		t.Fatal(err)
	}
	if !w.withdrawn(t, old) || !w.withdrawn(t, tokenAt("acme", w.now().Add(24*time.Hour))) || w.withdrawn(t, tokenAt("other", w.now())) {
		t.Error("not all of its tokens, or others")
	}
	_, err = w.server.Token(t.Context(), request("acme", secret))
	wantError(t, err, InvalidClient, CauseDisabled)
	w.advance(100 * 24 * time.Hour)
	w.revokeToken(t, "x", "") // lets a driver forget
	if !w.withdrawn(t, old) {
		t.Error("forgotten")
	}
}

// A client that an earlier server disabled has no revocation: disabling it again makes one.
func TestEVT01_DisablingAgainCompletesWhatAnEarlierServerDid(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	w.edit(t, "acme", func(c *Client) { c.Disabled = true })
	for range 2 {
		if _, err := w.registry.SetClientDisabled(t.Context(), admin, "acme", true); err != nil {
			t.Fatal(err)
		}
	}
	if !w.withdrawn(t, tokenAt("acme", w.now())) || len(w.entries) != 3 {
		t.Errorf("its tokens live, or %d entries", len(w.entries))
	}
}

func TestEVT10_EnablingRevivesNoToken(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	var issued []token.Claims
	for range 3 {
		issued = append(issued, tokenAt("acme", w.now()))
		for _, disabled := range []bool{true, false} {
			if _, err := w.registry.SetClientDisabled(t.Context(), admin, "acme", disabled); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range issued {
			if !w.withdrawn(t, c) {
				t.Errorf("%s lives again", c.JTI)
			}
		}
		w.advance(2100 * time.Millisecond)
		if w.withdrawn(t, tokenAt("acme", w.now())) {
			t.Error("a new token is void")
		}
	}
	r := w.revocations[clientSubject("acme")]
	if r.Before.IsZero() || !r.Until.Equal(r.Before.Add(token.RevocationKept)) {
		t.Errorf("stored %+v", r)
	}
	// A token dated ahead of the clock, to come after the revocation, is older than the next one.
	ahead := tokenAt("acme", r.Before.Add(time.Second))
	w.revoker.Dated(ahead.IssuedAt)
	for _, disabled := range []bool{true, false} {
		if _, err := w.registry.SetClientDisabled(t.Context(), admin, "acme", disabled); err != nil {
			t.Fatal(err)
		}
	}
	if !w.withdrawn(t, ahead) {
		t.Error("a token dated ahead lives again")
	}
}

func TestEVT02_ADeletedClientIsGoneForEver(t *testing.T) {
	w := newWorld(t, nil)
	c, secret := w.story(t)
	old := tokenAt("acme", w.now())
	if err := w.registry.DeleteClient(t.Context(), admin, "acme", Match{Version: 7}); !errors.Is(err, ErrPrecondition) {
		t.Errorf("another version: %v", err)
	}
	for range 2 { // the second time it is there already, whatever it matches
		if err := w.registry.DeleteClient(t.Context(), admin, "acme", Match{Version: c.Version}); err != nil {
			t.Fatal(err)
		}
	}
	if !w.withdrawn(t, old) {
		t.Error("its tokens live")
	}
	if _, err := w.server.Token(t.Context(), request("acme", secret)); err == nil {
		t.Error("it still gets tokens")
	}
	left := w.clients["acme"]
	if left.DeletedAt.IsZero() || left.Name != "" || left.Credentials != nil || left.Resources != nil || !left.Scopes.Empty() || left.Version != c.Version+1 {
		t.Errorf("what is left: %+v", left)
	}
	for name, err := range map[string]error{
		"read":    second(w.registry.Client(t.Context(), "acme")),
		"enable":  second(w.registry.SetClientDisabled(t.Context(), admin, "acme", false)),
		"update":  second(w.registry.UpdateClient(t.Context(), admin, "acme", anyVersion, storySpec(), false)),
		"secret":  third(w.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{})),
		"revoke":  second(w.registry.RevokeSecret(t.Context(), admin, "acme", c.Credentials[0].ID, SecretRevocation{})),
		"unknown": w.registry.DeleteClient(t.Context(), admin, "nobody", anyVersion),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	spec := storySpec()
	spec.ID = "acme"
	if _, s, created, err := w.registry.CreateClient(t.Context(), admin, spec); !errors.Is(err, ErrDeletedClient) || !errors.Is(err, ErrConflict) || created || s != "" {
		t.Errorf("its identifier is given again: %t, %v", created, err)
	}
	if list, err := w.registry.ListClients(t.Context(), ClientQuery{Limit: 10}); err != nil || len(list) != 0 {
		t.Errorf("listed: %v, %v", list, err)
	}
}

func second[T any](_ T, err error) error { return err }

// The secret dies at once, and with it what it obtained since the suspected time; what the client's other
// secret obtained stays good. Ordinary rotation withdraws nothing (EVT-03).
func TestEVT03_ASecretThatIsCompromised(t *testing.T) {
	w := newWorld(t, nil)
	c, first := w.story(t)
	leaked := c.Credentials[0].ID
	other, secret, _, err := w.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{})
	if err != nil {
		t.Fatal(err)
	}
	obtained := func(by CredentialID, at time.Time) token.Claims {
		out := tokenAt("acme", at)
		out.CredentialID = string(by)
		return out
	}
	w.advance(30 * time.Minute)
	since := w.now().Add(-10 * time.Minute)
	if _, err := w.registry.RevokeSecret(t.Context(), admin, "acme", leaked, SecretRevocation{}); err != nil {
		t.Fatal(err)
	}
	if w.withdrawn(t, obtained(leaked, w.now())) || len(w.revocations) != 0 {
		t.Error("ordinary rotation withdraws tokens")
	}
	for range 2 { // also of a secret that is revoked already, and again
		if _, err := w.registry.RevokeSecret(t.Context(), admin, "acme", leaked, SecretRevocation{Compromised: true, Since: since}); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.entries) != 5 {
		t.Errorf("%d entries, want 5", len(w.entries))
	}
	if !w.withdrawn(t, obtained(leaked, since)) || !w.withdrawn(t, obtained(leaked, w.now())) {
		t.Error("tokens of the leaked secret live")
	}
	if w.withdrawn(t, obtained(leaked, since.Add(-time.Second))) || w.withdrawn(t, obtained(other.ID, w.now())) {
		t.Error("tokens from before, or of the other secret, are void")
	}
	_, err = w.server.Token(t.Context(), request("acme", first))
	wantError(t, err, InvalidClient, CauseSecretRevoked)
	if _, err := w.server.Token(t.Context(), request("acme", secret)); err != nil {
		t.Error(err)
	}
	// It is known later that it leaked earlier.
	if _, err := w.registry.RevokeSecret(t.Context(), admin, "acme", leaked, SecretRevocation{Compromised: true}); err != nil || !w.withdrawn(t, obtained(leaked, since.Add(-time.Hour))) {
		t.Errorf("without a time, all: %v", err)
	}
	for _, why := range []SecretRevocation{{Since: since}, {Compromised: true, Since: w.now().Add(2 * time.Second)}} {
		_, err := w.registry.RevokeSecret(t.Context(), admin, "acme", other.ID, why)
		wantFields(t, err, "since")
	}
	kept := w.clients["acme"]
	if got := kept.credential(other.ID); !got.RevokedAt.IsZero() {
		t.Error("a refused call revoked the secret")
	}
}

func TestEVT06_WithdrawingWithAnUpdate(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	old := tokenAt("acme", w.now())
	narrower := storySpec()
	narrower.Scopes = []string{"orders:read"}
	c, err := w.registry.UpdateClient(t.Context(), admin, "acme", anyVersion, narrower, false)
	if err != nil || c.Scopes.String() != "orders:read" || w.withdrawn(t, old) {
		t.Fatalf("left to expire: %+v, %v", c, err)
	}
	if _, err := w.registry.UpdateClient(t.Context(), admin, "acme", anyVersion, storySpec(), true); err != nil || !w.withdrawn(t, old) {
		t.Errorf("policy on: %v", err)
	}
	e := w.entries[len(w.entries)-1]
	if e.Action != "client.update" || string(e.Before) != `{"scope":"orders:read"}` ||
		string(e.After) != `{"revocations":[{"before":"2026-11-21T12:00:01Z","kind":"client","until":"2026-11-21T13:05:01Z","value":"acme"}],"scope":"orders:read orders:write"}` {
		t.Errorf("entry %+v\nbefore %s\nafter %s", e, e.Before, e.After)
	}
	w.advance(5 * time.Second)
	newer := tokenAt("acme", w.now())
	if _, err := w.registry.UpdateResource(t.Context(), admin, api, anyVersion, ResourceSpec{Scopes: []string{"orders:read"}}, true); err != nil || !w.withdrawn(t, newer) {
		t.Errorf("a resource: %v", err)
	}
	if w.withdrawn(t, token.Claims{JTI: "x", ClientID: "acme", Audience: []string{otherAPI}, IssuedAt: newer.IssuedAt}) {
		t.Error("tokens for another resource are void")
	}
}

func TestEVT06_LosingAdminWithdraws(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	spec := storySpec()
	spec.Admin = true
	if c, err := w.registry.UpdateClient(t.Context(), admin, "acme", anyVersion, spec, false); err != nil || !c.Admin {
		t.Fatal(err)
	}
	old := tokenAt("acme", w.now())
	if w.withdrawn(t, old) {
		t.Error("becoming an admin withdraws")
	}
	if c, err := w.registry.UpdateClient(t.Context(), admin, "acme", anyVersion, storySpec(), false); err != nil || c.Admin || !w.withdrawn(t, old) {
		t.Errorf("%v", err)
	}
}

func TestEVT07_ADeletedResource(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	old := tokenAt("acme", w.now())
	var inUse *InUseError
	if err := w.registry.DeleteResource(t.Context(), admin, api, anyVersion); !errors.As(err, &inUse) || !slices.Equal(inUse.Clients, []ClientID{"acme"}) {
		t.Errorf("in use: %v", err)
	}
	without := storySpec()
	without.Scopes, without.DefaultScopes, without.Resources = nil, nil, nil
	if _, err := w.registry.UpdateClient(t.Context(), admin, "acme", anyVersion, without, false); err != nil {
		t.Fatal(err)
	}
	if err := w.registry.DeleteResource(t.Context(), admin, api, Match{Version: 9}); !errors.Is(err, ErrPrecondition) || w.withdrawn(t, old) {
		t.Errorf("another version: %v", err)
	}
	for range 2 {
		if err := w.registry.DeleteResource(t.Context(), admin, api, Match{Version: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if !w.withdrawn(t, old) || !w.withdrawn(t, tokenAt("acme", w.now().Add(time.Hour))) {
		t.Error("tokens for it live")
	}
	for name, err := range map[string]error{
		"read":    second(w.registry.Resource(t.Context(), api)),
		"update":  second(w.registry.UpdateResource(t.Context(), admin, api, anyVersion, ResourceSpec{}, false)),
		"unknown": w.registry.DeleteResource(t.Context(), admin, otherAPI, anyVersion),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := w.registry.UpdateClient(t.Context(), admin, "acme", anyVersion, storySpec(), false)
	wantFields(t, err, "resources", "scope")

	again, created, err := w.registry.CreateResource(t.Context(), admin, ResourceSpec{ID: api, Scopes: []string{"x"}})
	if err != nil || !created || again.Version != 3 || !again.DeletedAt.IsZero() {
		t.Fatalf("registered anew: %+v, %t, %v", again, created, err)
	}
	if e := w.entries[len(w.entries)-1]; e.Before != nil || e.Action != "resource.create" {
		t.Errorf("entry %+v", e)
	}
	if !w.withdrawn(t, old) || w.withdrawn(t, tokenAt("acme", w.now().Add(2*time.Second))) {
		t.Error("old tokens live, or new ones do not")
	}
	if _, created, err := w.registry.CreateResource(t.Context(), admin, ResourceSpec{ID: api, Scopes: []string{"x"}}); err != nil || created {
		t.Errorf("repeated: %t, %v", created, err)
	}
}

func TestRegistry_AResourceInUseNamesAtMostTenClients(t *testing.T) {
	w := newWorld(t, nil)
	w.resource(t, ResourceSpec{ID: api})
	w.resource(t, ResourceSpec{ID: otherAPI})
	for i := range usePage + 20 {
		w.client(t, ClientSpec{ID: fmt.Sprintf("c%04d", i), Resources: []string{otherAPI}})
	}
	w.client(t, ClientSpec{ID: "zulu", Serves: []string{api}})
	var inUse *InUseError
	if err := w.registry.DeleteResource(t.Context(), admin, otherAPI, anyVersion); !errors.As(err, &inUse) || len(inUse.Clients) != 10 {
		t.Errorf("%v, %v", err, inUse)
	}
	if err := w.registry.DeleteResource(t.Context(), admin, api, anyVersion); !errors.As(err, &inUse) || !slices.Equal(inUse.Clients, []ClientID{"zulu"}) {
		t.Errorf("who serves it, on a later page: %v, %v", err, inUse)
	}
}

func TestRegistry_UpdateMatches(t *testing.T) {
	w := newWorld(t, nil)
	c, _ := w.story(t)
	spec := storySpec()
	spec.Name, spec.TokenLifetime = "Acme Ltd", time.Minute
	spec.Claims = map[string]jsontext.Value{"groups": jsontext.Value(`["a"]`)}
	got, err := w.registry.UpdateClient(t.Context(), admin, "acme", Match{Version: c.Version}, spec, false)
	if err != nil || got.Name != "Acme Ltd" || got.Version != c.Version+1 || len(got.Credentials) != 1 || !got.CreatedAt.Equal(c.CreatedAt) {
		t.Fatalf("%+v, %v", got, err)
	}
	n := len(w.entries)
	for _, m := range []Match{{Version: c.Version}, {Version: 99}, {}, anyVersion} { // it is there already
		if again, err := w.registry.UpdateClient(t.Context(), admin, "acme", m, spec, false); err != nil || again.Version != got.Version {
			t.Errorf("%+v: %v", m, err)
		}
	}
	if len(w.entries) != n {
		t.Error("a repeat is written down")
	}
	if _, err := w.registry.UpdateClient(t.Context(), admin, "acme", Match{Version: c.Version}, storySpec(), true); !errors.Is(err, ErrPrecondition) || len(w.revocations) != 0 {
		t.Errorf("another version: %v", err)
	}
	bad := storySpec()
	bad.ID, bad.Secret, bad.Name, bad.Scopes, bad.IntrospectionAlgorithm = "other", "0123456789abcdefghijkl", "", []string{"nope"}, "ES256"
	_, err = w.registry.UpdateClient(t.Context(), admin, "acme", anyVersion, bad, false)
	wantFields(t, err, "client_id", "client_secret", "client_name", "scope", "default_scope", introspectionField)

	r := ResourceSpec{Scopes: []string{"orders:read orders:write extra"}, TokenLifetime: time.Minute, TokenType: "JWT"}
	res, err := w.registry.UpdateResource(t.Context(), admin, api, Match{Version: 1}, r, false)
	if err != nil || res.Version != 2 || res.TokenType != "JWT" || res.TokenLifetime != time.Minute {
		t.Fatalf("%+v, %v", res, err)
	}
	if again, err := w.registry.UpdateResource(t.Context(), admin, api, Match{Version: 1}, r, false); err != nil || again.Version != 2 {
		t.Errorf("repeated: %v", err)
	}
	if _, err := w.registry.UpdateResource(t.Context(), admin, api, Match{Version: 1}, ResourceSpec{}, true); !errors.Is(err, ErrPrecondition) || len(w.revocations) != 0 {
		t.Errorf("another version: %v", err)
	}
	_, err = w.registry.UpdateResource(t.Context(), admin, api, anyVersion, ResourceSpec{ID: otherAPI, Algorithm: "none", TokenLifetime: -1, TokenType: "x", Scopes: []string{ScopeAdmin}}, false)
	wantFields(t, err, "resource", "algorithm", "token_lifetime", "token_type", "scopes")
}

func TestRegistry_KeysOfANewAlgorithmComeFirst(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	var asked []jose.Algorithm
	fault := error(errDown)
	w.registry.config.EnsureKeys = func(_ context.Context, alg jose.Algorithm, _ audit.Origin) (time.Time, error) {
		asked = append(asked, alg)
		return time.Time{}, fault
	}
	spec := ResourceSpec{Scopes: []string{"orders:read orders:write"}, Algorithm: "EdDSA"}
	if _, err := w.registry.UpdateResource(t.Context(), admin, api, anyVersion, spec, false); !errors.Is(err, errDown) || w.resources[api].Algorithm != jose.ES256 {
		t.Errorf("no keys: %v, %s", err, w.resources[api].Algorithm)
	}
	client := storySpec()
	client.Serves, client.Admin = []string{api}, true
	if _, err := w.registry.UpdateClient(t.Context(), admin, "acme", anyVersion, client, false); !errors.Is(err, errDown) || w.clients["acme"].Admin {
		t.Errorf("no keys: %v", err)
	}
	fault = nil
	if r, err := w.registry.UpdateResource(t.Context(), admin, api, anyVersion, spec, false); err != nil || r.Algorithm != jose.Ed25519 {
		t.Errorf("%s, %v", r.Algorithm, err)
	}
	asked = nil
	if c, err := w.registry.UpdateClient(t.Context(), admin, "acme", anyVersion, client, false); err != nil || c.IntrospectionAlgorithm != jose.Ed25519 {
		t.Errorf("%s, %v", c.IntrospectionAlgorithm, err)
	}
	if !slices.Equal(asked, []jose.Algorithm{jose.ES256, jose.Ed25519}) { // the management API's, and its own
		t.Errorf("asked for %v", asked)
	}
	// A precondition that fails publishes no keys.
	asked = nil
	spec.Algorithm = "RS256"
	if _, err := w.registry.UpdateResource(t.Context(), admin, api, Match{Version: 1}, spec, false); !errors.Is(err, ErrPrecondition) || asked != nil {
		t.Errorf("%v, asked for %v", err, asked)
	}
}

func TestINT19_TheAlgorithmThatIsRegistered(t *testing.T) {
	w := newWorld(t, nil)
	w.resource(t, ResourceSpec{ID: api, Algorithm: "PS256"})
	w.resource(t, ResourceSpec{ID: otherAPI, Algorithm: "RS256"})
	for name, tt := range map[string]struct {
		serves []string
		stated string
		want   jose.Algorithm
	}{
		"serves nothing": {nil, "", ""},
		"the first's":    {[]string{api, otherAPI}, "", jose.RS256}, // accounts.example sorts before fulfilment.example
		"the only one's": {[]string{api}, "", jose.PS256},
		"stated":         {[]string{api}, "EdDSA", jose.Ed25519},
	} {
		t.Run(name, func(t *testing.T) {
			if c, _ := w.client(t, ClientSpec{Serves: tt.serves, IntrospectionAlgorithm: tt.stated}); c.IntrospectionAlgorithm != tt.want {
				t.Errorf("%q", c.IntrospectionAlgorithm)
			}
		})
	}
	for _, spec := range []ClientSpec{
		{Name: "x", Serves: []string{api}, IntrospectionAlgorithm: "none"},
		{Name: "x", Serves: []string{api}, IntrospectionAlgorithm: "HS256"},
		{Name: "x", IntrospectionAlgorithm: "ES256"},
	} {
		_, _, _, err := w.registry.CreateClient(t.Context(), admin, spec)
		wantFields(t, err, introspectionField)
	}
	// The default is of its day: a repeat is equal although the resource has changed.
	spec := ClientSpec{ID: "api", Name: "Acme", Serves: []string{api}}
	w.client(t, spec)
	if _, err := w.registry.UpdateResource(t.Context(), admin, api, anyVersion, ResourceSpec{}, false); err != nil {
		t.Fatal(err)
	}
	if c, _, created, err := w.registry.CreateClient(t.Context(), admin, spec); err != nil || created || c.IntrospectionAlgorithm != jose.PS256 {
		t.Errorf("repeated: %s, %t, %v", c.IntrospectionAlgorithm, created, err)
	}
}

func TestRegistry_TheAdminScopeIsNobodysToGive(t *testing.T) {
	w := newWorld(t, nil)
	_, _, err := w.registry.CreateResource(t.Context(), admin, ResourceSpec{ID: api, Scopes: []string{"a " + ScopeAdmin}})
	wantFields(t, err, "scopes")
	_, _, _, err = w.registry.CreateClient(t.Context(), admin, ClientSpec{Name: "x", Scopes: []string{ScopeAdmin}, DefaultScopes: []string{ScopeAdmin}})
	wantFields(t, err, "scope", "default_scope")
	_, _, _, err = w.registry.CreateClient(t.Context(), admin, ClientSpec{Name: "x", Resources: []string{string(AdminResource(testIssuer))}})
	wantFields(t, err, "resources")
	c, _ := w.client(t, ClientSpec{ID: "root", Admin: true})
	if !c.Admin || len(c.Resources) != 0 || !c.Scopes.Empty() {
		t.Errorf("%+v", c)
	}
	if _, _, _, err := w.registry.CreateClient(t.Context(), admin, ClientSpec{ID: "root", Name: "Acme"}); !errors.Is(err, ErrConflict) {
		t.Errorf("the same without admin: %v", err)
	}
}

// Whoever wins, the record, its revocation and its entries agree, and what lost is told or repeated.
func TestRegistry_AdminsRace(t *testing.T) {
	for range 30 {
		w := newWorld(t, nil)
		c, _ := w.story(t)
		old := tokenAt("acme", w.now())
		var wg sync.WaitGroup
		var updated atomic.Int64
		do := func(f func() error) {
			wg.Go(func() {
				if err := f(); err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrPrecondition) {
					t.Error(err)
				}
			})
		}
		for i := range 2 {
			do(func() error { return second(w.registry.SetClientDisabled(t.Context(), admin, "acme", true)) })
			do(func() error { return second(w.registry.SetClientDisabled(t.Context(), admin, "acme", false)) })
			do(func() error {
				spec := storySpec()
				spec.Name = fmt.Sprint("Acme ", i)
				_, err := w.registry.UpdateClient(t.Context(), admin, "acme", Match{Version: c.Version}, spec, true)
				if err == nil {
					updated.Add(1)
				}
				return err
			})
		}
		wg.Wait()
		if updated.Load() > 1 {
			t.Fatal("two updates of one version")
		}
		stored := w.clients["acme"]
		r, found := w.revocations[clientSubject("acme")]
		if open := found && r.Before.IsZero(); open != stored.Disabled {
			t.Fatalf("disabled %t, open-ended %t", stored.Disabled, open)
		}
		if uint64(len(w.entries)) != stored.Version+1 { // and one for the resource
			t.Fatalf("%d entries, version %d", len(w.entries), stored.Version)
		}
		if found && !w.withdrawn(t, old) {
			t.Fatal("an old token lives")
		}
	}
}

func TestRegistry_DeletingRacesEverything(t *testing.T) {
	for range 30 {
		w := newWorld(t, nil)
		w.story(t)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if err := w.registry.DeleteClient(t.Context(), admin, "acme", anyVersion); err != nil {
					t.Error(err)
				}
			})
		}
		for _, disabled := range []bool{true, false} {
			wg.Go(func() {
				if _, err := w.registry.SetClientDisabled(t.Context(), admin, "acme", disabled); err != nil && !errors.Is(err, ErrNotFound) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		r := w.revocations[clientSubject("acme")]
		if w.clients["acme"].DeletedAt.IsZero() || !r.Before.IsZero() || !r.Until.IsZero() || r.Version == 0 {
			t.Fatalf("%+v, %+v", w.clients["acme"], r)
		}
	}
}

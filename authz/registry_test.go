package authz

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

func wantFields(t *testing.T, err error, fields ...string) {
	t.Helper()
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("got %v", err)
	}
	var got []string
	for _, f := range invalid.Fields {
		got = append(got, f.Field)
		if f.Rule == "" {
			t.Errorf("%s has no rule", f.Field)
		}
	}
	slices.Sort(got)
	slices.Sort(fields)
	if !slices.Equal(slices.Compact(got), fields) {
		t.Errorf("wrong fields %v, want %v", got, fields)
	}
}

func TestRegistry_NamesEveryWrongFieldAndStoresNothing(t *testing.T) {
	w := newWorld(t, nil)
	_, _, err := w.registry.CreateResource(t.Context(), admin, ResourceSpec{
		ID: "relative", Scopes: []string{`"`}, TokenLifetime: 2 * time.Hour, Algorithm: "none", TokenType: "x",
	})
	wantFields(t, err, "resource", "scopes", "token_lifetime", "algorithm", "token_type")
	_, _, _, err = w.registry.CreateClient(t.Context(), admin, ClientSpec{
		ID: "user:x", Name: "a\nb", Scopes: []string{"a"}, DefaultScopes: []string{"b"}, Resources: []string{"https://unknown.example"},
		DefaultResource: "https://other.example", Serves: []string{"https://unknown.example"}, TokenLifetime: time.Millisecond,
		Claims: map[string]jsontext.Value{"sub": jsontext.Value(`"x"`)},
	})
	wantFields(t, err, "client_id", "client_name", "scope", "default_scope", "resources", "default_resource", "serves", "token_lifetime", "claims")
	if n := len(w.entries); n != 0 {
		t.Errorf("%d audit entries", n)
	}
}

func TestTOK49_ClientIDs(t *testing.T) {
	for _, id := range []string{"user:x", "", ".", "..", "a b", "é", "a/b", strings.Repeat("a", 65), newSecret("aaaaaaaaaaaaaaaa").Reveal()[:60]} {
		if ValidClientID(id) {
			t.Errorf("%q is allowed", id)
		}
	}
	for _, id := range []string{"a", "A.b_c~d-9", strings.Repeat("a", 64), string(newClientID())} {
		if !ValidClientID(id) {
			t.Errorf("%q is refused", id)
		}
	}
}

func TestRegistry_IssuerIsReserved(t *testing.T) {
	for _, id := range []ResourceID{
		testIssuer, testIssuer + "/", testIssuer + "/admin/v1", "https://AS.example/x", "https://as.example:443/x", "HTTPS://as.example",
		testIssuer + "?x",
	} {
		if !underIssuer(testIssuer, id) {
			t.Errorf("%q is free", id)
		}
	}
	for _, id := range []ResourceID{"https://as.example.org", "https://as.example:8443/", "http://as.example", "urn:as.example", "https://as.example2"} {
		if underIssuer(testIssuer, id) {
			t.Errorf("%q is reserved", id)
		}
	}
	for id, want := range map[ResourceID]bool{
		"https://h.example/t1": true, "https://h.example/t1/x": true, "https://h.example/t2": false, "https://h.example/t10": false,
		"https://h.example/%74%31/x": true,
	} {
		if underIssuer("https://h.example/t1", id) != want {
			t.Errorf("%q: want %t", id, want)
		}
	}
}

func TestRegistry_IssuerIsRefusedAsAResource(t *testing.T) {
	w := newWorld(t, nil)
	for _, id := range []string{testIssuer, testIssuer + "/admin/v1", "HTTPS://AS.example:443"} {
		_, _, err := w.registry.CreateResource(t.Context(), admin, ResourceSpec{ID: id})
		wantFields(t, err, "resource")
	}
}

func TestTOK21_ResourcesArePlainlySpelled(t *testing.T) {
	for _, id := range []string{
		"https://u@h.example", "https://u:p@h.example/", "https://h.example/a/../b", "https://h.example/%2e%2e/b", "https://h.example/.",
		"https://h.example./a", "https://h.example:0443/", "https://h.example#", "https:h.example", "//h.example", "https:///a", ":",
		"https://h.example/" + strings.Repeat("a", 500), "https://h.example/é", "https://h.example/ a",
	} {
		if _, err := ParseResourceID(id); err == nil {
			t.Errorf("%q is allowed", id)
		}
	}
	for _, id := range []string{api, "https://h.example:8443/a.b/..c?q=1", "http://[::1]:80/x", "urn:example:api", "spiffe://example/api"} {
		if _, err := ParseResourceID(id); err != nil {
			t.Errorf("%q is refused", id)
		}
	}
}

func TestJWT09_OneIdentifierOneResource(t *testing.T) {
	w := newWorld(t, nil)
	spec := ResourceSpec{ID: api, Scopes: []string{"a"}}
	w.resource(t, spec)
	if _, created, err := w.registry.CreateResource(t.Context(), admin, spec); created || err != nil {
		t.Errorf("repeated: created %t, %v", created, err)
	}
	spec.Scopes = []string{"b"}
	if _, _, err := w.registry.CreateResource(t.Context(), admin, spec); !errors.Is(err, ErrConflict) {
		t.Errorf("different: %v", err)
	}
}

func TestCLA06_TheSecretIsShownOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.resource(t, ResourceSpec{ID: api})
	spec := ClientSpec{Name: "Acme", Resources: []string{api}, IdempotencyKey: "0123456789abcdef"}
	c, secret := w.client(t, spec)
	again, none, created, err := w.registry.CreateClient(t.Context(), admin, spec)
	if err != nil || created || none != "" || again.ID != c.ID || secret == "" {
		t.Errorf("repeated: %v, created %t, secret %t, %q", err, created, none != "", again.ID)
	}
	spec.Name = "Other"
	if _, _, _, err := w.registry.CreateClient(t.Context(), admin, spec); !errors.Is(err, ErrConflict) {
		t.Errorf("the same key for another client: %v", err)
	}
	other := admin
	other.Actor.ID = "1000"
	if c2, _, created, err := w.registry.CreateClient(t.Context(), other, spec); err != nil || !created || c2.ID == c.ID {
		t.Errorf("another actor's key: %v, created %t", err, created)
	}
}

func TestRegistry_EqualCreationsRace(t *testing.T) {
	w := newWorld(t, nil)
	w.resource(t, ResourceSpec{ID: api})
	var wg sync.WaitGroup
	var made atomic.Int64
	for range 16 {
		wg.Go(func() {
			_, secret, created, err := w.registry.CreateClient(t.Context(), admin, ClientSpec{ID: "x", Name: "X", Resources: []string{api}})
			if err != nil || created != (secret != "") {
				t.Errorf("%v, created %t", err, created)
			}
			if created {
				made.Add(1)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("%d were created", made.Load())
	}
}

func TestRegistry_AddSecretRepeats(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	spec := SecretSpec{IdempotencyKey: "0123456789abcdef", Expires: w.now().Add(time.Hour)}
	a, secret, created, err := w.registry.AddSecret(t.Context(), admin, "acme", spec)
	if err != nil || !created || secret == "" {
		t.Fatal(created, err)
	}
	b, none, created, err := w.registry.AddSecret(t.Context(), admin, "acme", spec)
	if err != nil || created || none != "" || a.ID != b.ID {
		t.Errorf("repeated: %v, created %t", err, created)
	}
	if _, err := w.registry.RevokeSecret(t.Context(), admin, "acme", a.ID, SecretRevocation{}); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := w.registry.AddSecret(t.Context(), admin, "acme", spec); !errors.Is(err, ErrConflict) {
		t.Errorf("repeated after it was revoked: %v", err)
	}
	if _, _, _, err := w.registry.AddSecret(t.Context(), admin, "nobody", spec); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown client: %v", err)
	}
	if _, err := w.registry.RevokeSecret(t.Context(), admin, "acme", "nope", SecretRevocation{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown credential: %v", err)
	}
	for name, spec := range map[string]SecretSpec{
		"in the past":           {Expires: w.now().Add(-time.Hour)},
		"this second":           {Expires: w.now().Add(200 * time.Millisecond)},
		"before it begins":      {NotBefore: w.now().Add(2 * time.Hour), Expires: w.now().Add(time.Hour)},
		"in the second it does": {NotBefore: w.now().Add(time.Hour), Expires: w.now().Add(time.Hour + 200*time.Millisecond)},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := w.registry.AddSecret(t.Context(), admin, "acme", spec)
			wantFields(t, err, "client_secret_expires_at")
		})
	}
	_, _, _, err = w.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{IdempotencyKey: "short"})
	wantFields(t, err, "Idempotency-Key")
}

func TestRegistry_SecretsAreBoundedAndDeadOnesMakeRoom(t *testing.T) {
	w := newWorld(t, nil)
	c, _ := w.story(t)
	for range maxCredentials - 1 {
		if _, _, _, err := w.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, _, err := w.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{}); !errors.Is(err, ErrTooManySecrets) {
		t.Errorf("one too many: %v", err)
	}
	if _, err := w.registry.RevokeSecret(t.Context(), admin, "acme", c.Credentials[0].ID, SecretRevocation{}); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := w.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{}); err != nil {
		t.Errorf("a revoked one makes no room: %v", err)
	}
	w.edit(t, "acme", func(c *Client) { c.Credentials[3].Expires = w.now() })
	if _, _, _, err := w.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{}); err != nil {
		t.Errorf("an expired one makes no room: %v", err)
	}
}

func TestRegistry_EqualAdditionsRace(t *testing.T) {
	for range 50 {
		w := newWorld(t, nil)
		w.story(t)
		var wg sync.WaitGroup
		var made atomic.Int64
		for range 8 {
			wg.Go(func() {
				_, secret, created, err := w.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{IdempotencyKey: "0123456789abcdef"})
				if err != nil || created != (secret != "") {
					t.Errorf("%v, created %t", err, created)
				}
				if created {
					made.Add(1)
				}
			})
		}
		wg.Wait()
		if n := len(w.clients["acme"].Credentials); made.Load() != 1 || n != 2 {
			t.Fatalf("%d were made, the client has %d", made.Load(), n)
		}
	}
}

// Tokens carry credential_id, and what one leaked secret obtained is voided by it: an identifier must
// never come back with another secret.
func TestCLA08_ACredentialIDNamesOneSecretForEver(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	spec := SecretSpec{IdempotencyKey: "0123456789abcdef"}
	first, _, _, err := w.registry.AddSecret(t.Context(), admin, "acme", spec)
	if err != nil {
		t.Fatal(err)
	}
	w.edit(t, "acme", func(c *Client) { c.Credentials = c.Credentials[:1] }) // dropped to make room
	again, secret, created, err := w.registry.AddSecret(t.Context(), admin, "acme", spec)
	if !errors.Is(err, ErrConflict) || created || secret != "" {
		t.Errorf("%q came back as %q: created %t, %v", first.ID, again.ID, created, err)
	}
}

func TestRegistry_DisableAndEnable(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.story(t)
	for range 2 { // repeated: one write
		if c, err := w.registry.SetClientDisabled(t.Context(), admin, "acme", true); err != nil || !c.Disabled {
			t.Fatal(err)
		}
	}
	_, err := w.server.Token(t.Context(), request("acme", secret))
	wantError(t, err, InvalidClient, CauseDisabled)
	if _, err := w.registry.SetClientDisabled(t.Context(), admin, "acme", false); err != nil {
		t.Fatal(err)
	}
	if _, err := w.server.Token(t.Context(), request("acme", secret)); err != nil {
		t.Error(err)
	}
	var actions []string
	for _, e := range w.entries {
		if e.Actor != admin.Actor || e.RequestID != "r1" || e.Reason != "test" || e.Time.IsZero() {
			t.Errorf("entry %+v", e)
		}
		actions = append(actions, e.Action+" "+e.Target)
	}
	want := []string{"resource.create " + api, "client.create acme", "client.disable acme", "client.enable acme"}
	if !slices.Equal(actions, want) {
		t.Errorf("audit %q, want %q", actions, want)
	}
}

// What was committed but not applied here must not be acknowledged: not the first time, and not when
// it is repeated and there is nothing left to write.
func TestRegistry_NotAppliedIsNotAcknowledged(t *testing.T) {
	w := newWorld(t, nil)
	c, secret := w.story(t)
	w.applied = errDown
	for range 2 {
		for name, act := range map[string]func() (Secret, error){
			"resource": func() (Secret, error) {
				_, _, err := w.registry.CreateResource(t.Context(), admin, ResourceSpec{ID: otherAPI})
				return "", err
			},
			"client": func() (Secret, error) {
				_, s, _, err := w.registry.CreateClient(t.Context(), admin, ClientSpec{ID: "x", Name: "x"})
				return s, err
			},
			"secret": func() (Secret, error) {
				_, s, _, err := w.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{IdempotencyKey: "0123456789abcdef"})
				return s, err
			},
			"revoke": func() (Secret, error) {
				_, err := w.registry.RevokeSecret(t.Context(), admin, "acme", c.Credentials[0].ID, SecretRevocation{})
				return "", err
			},
			"disable": func() (Secret, error) {
				_, err := w.registry.SetClientDisabled(t.Context(), admin, "acme", true)
				return "", err
			},
		} {
			if s, err := act(); !errors.Is(err, errDown) || s != "" {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	w.applied = nil
	if _, err := w.registry.SetClientDisabled(t.Context(), admin, "acme", true); err != nil {
		t.Fatal(err)
	}
	_, err := w.server.Token(t.Context(), request("acme", secret))
	wantError(t, err, InvalidClient, CauseSecretRevoked)
}

func TestRegistry_KeysComeBeforeTheAcknowledgement(t *testing.T) {
	w := newWorld(t, nil)
	var asked []jose.Algorithm
	fault := error(errDown)
	w.registry.config.EnsureKeys = func(_ context.Context, alg jose.Algorithm, _ audit.Origin) (time.Time, error) {
		asked = append(asked, alg)
		return time.Time{}, fault
	}
	spec := ResourceSpec{ID: api, Algorithm: "RS256"}
	if _, _, err := w.registry.CreateResource(t.Context(), admin, spec); !errors.Is(err, errDown) {
		t.Errorf("no keys: %v", err)
	}
	fault = nil
	if _, created, err := w.registry.CreateResource(t.Context(), admin, spec); err != nil || created {
		t.Errorf("repeated: created %t, %v", created, err)
	}
	if !slices.Equal(asked, []jose.Algorithm{jose.RS256, jose.RS256}) {
		t.Errorf("asked for %v", asked)
	}
}

func TestRegistry_ALostRaceStartsAgain(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	var wg sync.WaitGroup
	for range 4 { // each must find room for its secret, whoever was first
		wg.Go(func() {
			if _, _, _, err := w.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(w.clients["acme"].Credentials); n != 5 {
		t.Errorf("%d secrets, want 5", n)
	}
	lost := 0
	racing := &racingClients{memory: w.memory, lose: 1, lost: &lost}
	w.registry.config.Clients = racing
	if _, err := w.registry.SetClientDisabled(t.Context(), admin, "acme", true); err != nil || lost != 1 {
		t.Errorf("lost %d races: %v", lost, err)
	}
	racing.lose = maxAttempts + 2
	if _, err := w.registry.SetClientDisabled(t.Context(), admin, "acme", false); !errors.Is(err, ErrConflict) {
		t.Errorf("lost every race: %v", err)
	}
}

// racingClients loses the first writes to someone who writes in between.
type racingClients struct {
	*memory
	lose int
	lost *int
}

func (r *racingClients) PutClient(ctx context.Context, c Client, e audit.Entry, revoked ...Revocation) (Client, error) {
	if r.lose > 0 {
		r.lose--
		*r.lost++
		return Client{}, ErrConflict
	}
	return r.memory.PutClient(ctx, c, e, revoked...)
}

func TestRegistry_TheOrderOfResourcesHasNoMeaning(t *testing.T) {
	w := newWorld(t, nil)
	w.resource(t, ResourceSpec{ID: api})
	w.resource(t, ResourceSpec{ID: otherAPI})
	w.client(t, ClientSpec{ID: "x", Resources: []string{api, otherAPI, api}})
	_, _, created, err := w.registry.CreateClient(t.Context(), admin, ClientSpec{ID: "x", Name: "Acme", Resources: []string{otherAPI, api}})
	if created || err != nil {
		t.Errorf("created %t, %v", created, err)
	}
}

func TestCLM_01_02_03_04_07_StaticClaims(t *testing.T) {
	w := newWorld(t, nil)
	w.resource(t, ResourceSpec{ID: api})
	create := func(name, value string) (Client, Secret, error) {
		c, s, _, err := w.registry.CreateClient(t.Context(), admin, ClientSpec{Name: "x", Resources: []string{api}, Claims: map[string]jsontext.Value{name: jsontext.Value(value)}})
		return c, s, err
	}
	for _, tt := range [][2]string{
		{"sub", `"x"`},
		{"https://other.example/tier", `"gold"`},
		{"tier", `"gold"`},
		{"groups", `"a"`},
		{"https://partner.example/tier", `null`},
		{"https://partner.example/tier", `""`},
		{"https://partner.example/tier", `"` + strings.Repeat("x", maxClaimBytes) + `"`},
		{"https://partner.example/tier", `{"a":1,"a":2}`},
		{"https://partner.example/tier", `x`},
	} {
		_, _, err := create(tt[0], tt[1])
		wantFields(t, err, "claims")
	}
	c, secret, err := create("https://partner.example/tier", ` {"level": "gold"} `)
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.server.Token(t.Context(), request(c.ID, secret))
	if err != nil {
		t.Fatal(err)
	}
	if v := mustJSON(claims(t, got.AccessToken)["https://partner.example/tier"]); v != `{"level":"gold"}` {
		t.Errorf("CLM-05: claim is %s", v)
	}
}

func FuzzParseResourceID(f *testing.F) {
	for _, seed := range []string{api, "urn:x:y", "/x", "https://", "https://a#b", "https://u@h", "http://[::1]:80/x?y", "a:", ":", "https://a b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		id, err := ParseResourceID(in)
		if err != nil {
			return
		}
		if string(id) != in || strings.Contains(in, "#") || len(in) > 512 {
			t.Fatalf("%q became %q", in, id)
		}
		_ = underIssuer(testIssuer, id)
	})
}

package endpoint_test

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
)

func TestCLA01_OneFamilyForEachClient(t *testing.T) {
	s := newStack(t)
	s.cast()
	s.refused(401, authz.InvalidClient, as("asymmetric", "old-secret"))
	s.refused(401, authz.InvalidClient, post("asymmetric", "old-secret"))
	s.issued(post("c1", s.secret)) // registered as client_secret_basic
}

func TestCLA02_OneMethodInARequest(t *testing.T) {
	s := newStack(t)
	s.refused(400, authz.InvalidRequest, with("client_secret", s.secret))
	s.refused(400, authz.InvalidRequest, with("client_id", "c1"), with("client_secret", s.secret))
	s.refused(400, authz.InvalidRequest, assertion)
	s.refused(400, authz.InvalidRequest, post("c1", s.secret), assertion)
}

func TestCLA04_OneBodyForEveryFailure(t *testing.T) {
	s := newStack(t)
	s.cast()
	want := ""
	for _, row := range clientRows(s) {
		if r := s.send(row.change); want == "" {
			want = r.body
		} else if r.body != want {
			t.Errorf("%s: %s", row.name, r.body)
		}
	}
}

func TestCLA05_Alphabets(t *testing.T) {
	s := newStack(t)
	for _, id := range []string{"a\x00", "é", strings.Repeat("x", 256)} {
		s.refused(400, authz.InvalidRequest, post(id, "x"))
	}
	s.refused(400, authz.InvalidRequest, post("c1", strings.Repeat("x", 256)))
	s.refused(400, authz.InvalidRequest, post("c1", "a\tb"))
	s.refused(401, authz.InvalidClient, post(strings.Repeat("x", 255), strings.Repeat("x", 255)))
}

func TestCLA06_ASecretIsShownOnce(t *testing.T) {
	s := newStack(t)
	spec := authz.ClientSpec{ID: "once", Name: "a partner", Resources: []string{api}}
	_, first, created, err := s.registry.CreateClient(t.Context(), admin, spec)
	check(t, err)
	if !created || first == "" {
		t.Fatal("no secret at creation")
	}
	c, again, created, err := s.registry.CreateClient(t.Context(), admin, spec)
	check(t, err)
	if created || again != "" || bytes.Contains(c.Credentials[0].Digest, []byte(first.Reveal())) {
		t.Error("the secret was shown again")
	}
}

func TestCLA08_TheCredentialIsTraceable(t *testing.T) {
	s := newStack(t)
	second, secret, _, err := s.registry.AddSecret(t.Context(), admin, "c1", authz.SecretSpec{})
	check(t, err)
	c, err := s.registry.Client(t.Context(), "c1")
	check(t, err)
	_, a := s.issued()
	_, b := s.issued(as("c1", secret.Reveal()))
	if a.CredentialID != string(c.Credentials[0].ID) || b.CredentialID != string(second.ID) || a.CredentialID == b.CredentialID {
		t.Errorf("credential_id %q and %q", a.CredentialID, b.CredentialID)
	}
}

func TestCLA10_BasicIsFormEncodedFirst(t *testing.T) {
	s := newStack(t)
	const id, secret = "a:b", "p %+&=é"
	scope, err := authz.ParseScope("read")
	check(t, err)
	s.record(authz.Client{
		ID: id, AuthMethod: authz.AuthSecretBasic, GrantTypes: []string{authz.GrantClientCredentials}, Scopes: scope,
		Resources: []authz.ResourceID{api}, Credentials: []authz.Credential{{ID: "k"}},
	}, map[authz.CredentialID]string{"k": secret})
	for _, c := range []change{as(id, secret), post(id, secret)} {
		if _, claims := s.issued(c); claims.ClientID != id {
			t.Errorf("client_id %q", claims.ClientID)
		}
	}
}

var secretShape = regexp.MustCompile(`^mrq_[a-z2-7]{16}_[A-Za-z0-9_-]{43}_[0-9a-v]{7}$`)

func TestCLA11_CLA14_GeneratedSecrets(t *testing.T) {
	s := newStack(t)
	seen := map[string]bool{}
	for range 200 {
		_, secret, _, err := s.registry.CreateClient(t.Context(), admin, authz.ClientSpec{Name: "x"})
		check(t, err)
		random := secret.Reveal()[21:64] // 43 characters of base64url are 256 bits
		if !secretShape.MatchString(secret.Reveal()) || seen[random] {
			t.Fatalf("secret of %d characters", len(secret))
		}
		seen[random] = true
	}
}

func TestCLA12_SchemeWithoutCase(t *testing.T) {
	s := newStack(t)
	credentials := strings.TrimPrefix(basic("c1", s.secret), "Basic")
	for _, scheme := range []string{"bAsIc", "basic", "BASIC"} {
		s.issued(field("Authorization", scheme+credentials))
	}
}

func TestCLA13_NeverInTheURL(t *testing.T) {
	s := newStack(t)
	s.refused(400, authz.InvalidRequest, anonymous, query("client_id=c1&client_secret="+s.secret))
	s.refused(400, authz.InvalidRequest, query("client_secret="+s.secret))
	for line := range strings.Lines(s.log.take()) {
		if !strings.Contains(line, "cause=credentials_in_url client_id=c1 ") || !strings.Contains(line, "level=WARN") {
			t.Errorf("the exposure was not reported: %s", line)
		}
	}
}

func TestCLA15_TheStoreHoldsNoSecret(t *testing.T) {
	s := newStack(t)
	s.issued()
	dump, err := os.ReadFile(s.db)
	check(t, err)
	if !bytes.Contains(dump, []byte("c1")) {
		t.Fatal("the file does not even hold the client")
	}
	for _, part := range []string{s.secret, s.secret[21:64]} {
		if bytes.Contains(dump, []byte(part)) {
			t.Error("the secret is in the file")
		}
	}
}

func TestCLA16_TwoLiveSecrets(t *testing.T) {
	s := newStack(t)
	first, err := s.registry.Client(t.Context(), "c1")
	check(t, err)
	_, secret, _, err := s.registry.AddSecret(t.Context(), admin, "c1", authz.SecretSpec{})
	check(t, err)
	s.issued()
	s.issued(as("c1", secret.Reveal()))
	_, err = s.registry.RevokeSecret(t.Context(), admin, "c1", first.Credentials[0].ID, authz.SecretRevocation{})
	check(t, err)
	s.refused(401, authz.InvalidClient)
	s.issued(as("c1", secret.Reveal()))
}

func TestCLA17_TheVeryInstantOfExpiry(t *testing.T) {
	frozen := newFrozenClock()
	s := newStack(t, func(c *settings) { c.clock = frozen })
	expires := frozen.Now().Add(time.Minute)
	_, secret, _, err := s.registry.AddSecret(t.Context(), admin, "c1", authz.SecretSpec{Expires: expires})
	check(t, err)
	frozen.set(expires.Add(-time.Second))
	s.issued(as("c1", secret.Reveal()))
	frozen.set(expires)
	s.refused(401, authz.InvalidClient, as("c1", secret.Reveal()))
	s.issued() // 0 means never
}

func TestCLA18_AnAbsentSecretNeverMatches(t *testing.T) {
	s := newStack(t)
	s.cast()
	for _, secret := range []string{"", "x", "\x00"} {
		r := s.send(as("secretless", secret))
		s.wantError(r, 401, authz.InvalidClient)
	}
	s.refused(401, authz.InvalidClient, post("secretless", ""))
}

// The store is asked as often for a client that exists as for one that does not.
func TestCLA19_UnknownClientsCostTheSame(t *testing.T) {
	s := newStack(t)
	s.cast()
	reads := func(c change) int64 {
		before := s.gate.reads.Load()
		s.refused(401, authz.InvalidClient, c)
		return s.gate.reads.Load() - before
	}
	foreign := s.client(authz.ClientSpec{ID: "foreign"})
	for name, secret := range map[string]string{"foreign shape": "wrong", "our shape": foreign, "typo": typo(foreign), "empty": ""} {
		// The first failure of a known client may still load it; the second is what repeats.
		reads(as("c1", secret))
		if known, unknown := reads(as("c1", secret)), reads(as("nobody", secret)); known != unknown {
			t.Errorf("%s: %d reads for a known client, %d for an unknown one", name, known, unknown)
		}
	}
}

func TestCLA20_BruteForce(t *testing.T) {
	s := newStack(t, func(c *settings) { c.authz.Failures = 30 })
	if n := s.guess(100, "c1"); n == 0 {
		t.Error("100 wrong secrets in a row were all answered")
	}
	s.issued()
}

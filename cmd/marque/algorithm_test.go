package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

// virtual is a clock that only a test moves.
type virtual struct{ nanos atomic.Int64 }

func newVirtual() *virtual {
	v := &virtual{}
	v.nanos.Store(time.Now().UnixNano())
	return v
}

func (v *virtual) now() time.Time { return time.Unix(0, v.nanos.Load()) }

// pass lets time go by for a server, and happen what is due.
func (v *virtual) pass(t *testing.T, s *server, d time.Duration) {
	t.Helper()
	v.nanos.Add(int64(d))
	if err := s.follower.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.ring.Step(t.Context(), v.now()); err != nil {
		t.Fatal(err)
	}
}

// validator is an API that keeps the JWKS for as long as the answer allows, and fetches it for no other
// reason.
type validator struct {
	now   func() time.Time
	set   *jose.Set
	until time.Time
}

func fetchJWKS(t *testing.T, s *server) (set *jose.Set, age time.Duration) {
	t.Helper()
	r, err := http.Get("http://" + s.Address() + "/.well-known/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if set, err = jose.ParseSet(body); err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(r.Header.Get("Cache-Control"), "max-age=")
	seconds, err := strconv.Atoi(text)
	if !ok || err != nil {
		t.Fatalf("Cache-Control: %q", r.Header.Get("Cache-Control"))
	}
	return set, time.Duration(seconds) * time.Second
}

func (v *validator) verify(t *testing.T, s *server, compact string) error {
	t.Helper()
	if now := v.now(); !now.Before(v.until) {
		set, age := fetchJWKS(t, s)
		v.set, v.until = set, now.Add(age)
	}
	_, _, err := jose.Verify(compact, jose.VerifyOptions{
		Types: []string{"at+jwt"}, Algorithms: []jose.Algorithm{jose.ES256, jose.RS256},
		Key: func(h jose.Header) (*jose.PublicKey, error) {
			if k, ok := v.set.Lookup(h.KeyID); ok {
				return k, nil
			}
			return nil, jose.ErrUnknownKey
		},
	})
	return err
}

func signedBy(t *testing.T, compact string) (alg string) {
	t.Helper()
	head, _, _ := strings.Cut(compact, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	var h struct{ Alg string }
	if err != nil || json.Unmarshal(b, &h) != nil {
		t.Fatalf("no header: %q", head)
	}
	return h.Alg
}

// Validators that fetched the JWKS at any time before or during a change of the algorithm, and once before
// the other algorithm was ever used, accept every token.
func TestROT13_ValidatorsAcceptEveryTokenThroughAChange(t *testing.T) {
	clock := newVirtual()
	c := devConfig(t)
	c.Keys.RefreshInterval = configs.Duration(time.Second)
	s := startTest(t, c, options{now: clock.now})
	clock.pass(t, s, time.Minute)

	var validators []*validator
	turn := func(alg string) {
		t.Helper()
		_, err := s.registry.UpdateResource(t.Context(), byTest, sampleResource, authz.Match{Any: true},
			authz.ResourceSpec{Scopes: []string{sampleScope}, Algorithm: alg}, false)
		if err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]int{}
	for i := range 120 {
		if i%2 == 0 && len(validators) < 12 { // each begins another half second later
			validators = append(validators, &validator{now: clock.now})
		}
		compact := getSample(t, s)
		for n, v := range validators {
			if err := v.verify(t, s, compact); err != nil {
				t.Errorf("step %d, validator %d: %s: %v", i, n, signedBy(t, compact), err)
			}
		}
		seen[signedBy(t, compact)]++
		switch i {
		case 12:
			turn("RS256")
		case 16: // another mind, and back again
			turn("ES256")
			turn("RS256")
		case 80:
			turn("ES256") // known: at once
		case 100:
			turn("RS256")
		}
		clock.pass(t, s, 250*time.Millisecond)
	}
	if seen["ES256"] < 30 || seen["RS256"] < 30 || signedBy(t, getSample(t, s)) != "RS256" {
		t.Errorf("signed with %v", seen)
	}
}

func algorithmsOfSet(t *testing.T, s *server) (all []string) {
	t.Helper()
	set, _ := fetchJWKS(t, s)
	for _, k := range set.Keys() {
		if alg := string(k.Algorithm()); !slices.Contains(all, alg) {
			all = append(all, alg)
		}
	}
	slices.Sort(all)
	return all
}

// JWK-13: some validators drop a whole set for one key of a type that they do not know.
func TestALG01_JWK13_AnotherDefaultAlgorithm(t *testing.T) {
	c := devConfig(t)
	c.Issuer = "http://127.0.0.1:1"
	c.Keys.Algorithm = "RS256"
	s := startTest(t, c, options{})
	boss := func(s *server, id string) (form url.Values) {
		_, secret, _, err := s.registry.CreateClient(t.Context(), byTest, authz.ClientSpec{ID: id, Name: "Boss", Admin: true})
		if err != nil {
			t.Fatal(err)
		}
		return url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret.Reveal()}}
	}
	token := func(s *server, form url.Values) string {
		_, body := post(t, "http://"+s.Address()+"/oauth2/token", form)
		var got issued
		if err := json.Unmarshal([]byte(body), &got); err != nil || got.AccessToken == "" {
			t.Fatal(body, err)
		}
		return got.AccessToken
	}
	manages := func(s *server, compact string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.AdminAddress()+"/admin/v1/resources", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+compact)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	form := boss(s, "boss")
	before := token(s, form)
	if got := algorithmsOfSet(t, s); !slices.Equal(got, []string{"RS256"}) {
		t.Errorf("published keys of %v", got)
	}
	if a, b := signedBy(t, before), signedBy(t, getSample(t, s)); a != "RS256" || b != "RS256" {
		t.Errorf("the management API: %s, the sample: %s", a, b)
	}
	if got := status(t, http.DefaultClient, "http://"+s.Address()+"/readyz"); got != http.StatusOK || manages(s, before) != http.StatusOK {
		t.Errorf("/readyz %d, the management API %d", got, manages(s, before))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// The default changes, and what is registered does not.
	c.Keys.Algorithm = "ES256"
	s = startTest(t, c, options{})
	after := token(s, form)
	if signedBy(t, after) != "ES256" || manages(s, after) != http.StatusOK {
		t.Errorf("a new token for the management API: %s, %d", signedBy(t, after), manages(s, after))
	}
	if got := manages(s, before); got != http.StatusOK {
		t.Errorf("the token of before: %d", got)
	}
	if r, err := s.registry.Resource(t.Context(), sampleResource); err != nil || r.Algorithm != jose.RS256 || signedBy(t, getSample(t, s)) != "RS256" {
		t.Errorf("the sample: %+v, %v", r, err)
	}
	if got := algorithmsOfSet(t, s); !slices.Equal(got, []string{"ES256", "RS256"}) {
		t.Errorf("published keys of %v", got)
	}
}

// The setting takes what signs tokens, by its one name.
func TestALG01_TheSettingTakesEveryAlgorithm(t *testing.T) {
	for _, alg := range signingAlgorithms(string(jose.EdDSA)) {
		_, err := configs.Load(configs.Options{Environ: []string{"HOME=/nowhere", "MARQUE_KEYS_ALGORITHM=" + string(alg.Canonical())}})
		if err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

// A store that was away for long is asked again, rather than that a change fails which it would take.
func TestROT13_AfterAnOutageTheRingIsReadFirst(t *testing.T) {
	clock := newVirtual()
	c := devConfig(t)
	c.Cache.MaxAge, c.Keys.RefreshInterval = configs.Duration(time.Minute), configs.Duration(time.Minute) // nobody looks meanwhile
	c.Keys.PublishLead = configs.Duration(time.Hour)
	s := startTest(t, c, options{now: clock.now})
	clock.nanos.Add(int64(c.Store.Outage) + int64(time.Second))
	if _, err := s.ring.KnownFrom(s.algorithm()); !errors.Is(err, keys.ErrStale) {
		t.Fatalf("error %v, want ErrStale", err)
	}
	r, _, err := s.registry.CreateResource(t.Context(), byTest, authz.ResourceSpec{ID: "https://late.example"})
	if err != nil || r.Algorithm != s.algorithm() {
		t.Errorf("%+v, %v", r, err)
	}
}

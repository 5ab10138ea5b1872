package admin

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/keys/jose"
)

// keptJWKS is what a verifier knows that keeps the document for as long as it may.
type keptJWKS struct {
	s       *server
	set     *jose.Set
	fetched time.Time
}

// verify fetches the document only when the kept one is too old, and not for an unknown key.
func (k *keptJWKS) verify(compact string) error {
	k.s.t.Helper()
	if now := k.s.now(); k.set == nil || now.Sub(k.fetched) >= 2*time.Second { // the ring's JWKSMaxAge
		d, err := k.s.ring.JWKS()
		k.s.must(err)
		k.set, err = jose.ParseSet(d.Body)
		k.s.must(err)
		k.fetched = now
	}
	_, _, err := jose.Verify(compact, jose.VerifyOptions{
		Types: []string{"at+jwt"}, Algorithms: []jose.Algorithm{jose.ES256, jose.RS256, jose.PS256, jose.Ed25519},
		Key: func(h jose.Header) (*jose.PublicKey, error) {
			if p, ok := k.set.Lookup(h.KeyID); ok {
				return p, nil
			}
			return nil, jose.ErrUnknownKey
		},
	})
	return err
}

func algorithmOf(t *testing.T, compact string) (alg string) {
	t.Helper()
	head, _, _ := strings.Cut(compact, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	var h struct{ Alg string }
	if err != nil || json.Unmarshal(b, &h) != nil {
		t.Fatalf("no header: %q", head)
	}
	return h.Alg
}

// A verifier that fetched the JWKS just before the change accepts every token through all of it.
func TestROT13_AVerifierWithTheOldJWKSMissesNothing(t *testing.T) {
	s, secret := withTokens(t)
	s.stop()
	s.sleep(time.Minute) // its own ring has been known for long
	kept := &keptJWKS{s: s}
	check := func() string {
		t.Helper()
		compact := s.issue("acme", secret)
		if err := kept.verify(compact); err != nil {
			t.Errorf("%s: %v", algorithmOf(t, compact), err)
		}
		return algorithmOf(t, compact)
	}
	check()
	body := map[string]any{"scopes": []string{"orders:read"}, "algorithm": "RS256"}
	got := s.do("PUT", fulfilmentPath, body, ifMatch("*")).want(200).object()
	from, err := time.Parse(time.RFC3339, got["algorithm_from"].(string))
	s.must(err)
	if got["algorithm"] != "RS256" || got["previous_algorithm"] != "ES256" || from.Nanosecond() != 0 || from.Before(s.now().Add(2*time.Second)) {
		t.Errorf("%v at %v", got, s.now())
	}
	for seen := map[string]int{}; len(seen) < 2 || seen["RS256"] < 20; {
		before := !s.now().Before(from)
		alg := check()
		if now := !s.now().Before(from); before == now && now != (alg == "RS256") {
			t.Fatalf("%s at %v, switch at %v", alg, s.now(), from)
		}
		seen[alg]++
		s.sleep(200 * time.Millisecond)
	}
}

// What is pending shows, a repeat does not move it, and once it is over nothing of it is left.
func TestROT13_APendingAlgorithmShows(t *testing.T) {
	s := startWithBoth(t)
	s.stop()
	s.sleep(time.Minute)
	body := map[string]any{"scopes": []string{"orders:read"}, "algorithm": "RS256"}
	a := s.do("PUT", fulfilmentPath, body, ifMatch("*")).want(200)
	was := a.object()
	s.sleep(time.Second)
	again := s.do("PUT", fulfilmentPath, body, ifMatch("*")).want(200)
	if !maps.EqualFunc(was, again.object(), equalJSON) || a.Header.Get("ETag") != again.Header.Get("ETag") {
		t.Errorf("%v, repeated %v", was, again.object())
	}
	for _, got := range []map[string]any{
		s.do("GET", fulfilmentPath, nil).want(200).object(),
		s.do("GET", "/admin/v1/resources", nil).want(200).object()["resources"].([]any)[0].(map[string]any),
	} {
		if got["previous_algorithm"] != "ES256" || got["algorithm_from"] != was["algorithm_from"] {
			t.Errorf("%v", got)
		}
	}
	for _, field := range []string{"previous_algorithm", "algorithm_from"} { // they say what is, and are no wish
		s.do("PUT", fulfilmentPath, map[string]any{field: was[field]}, ifMatch("*")).wantFields(field)
	}
	back := s.do("PUT", fulfilmentPath, map[string]any{"scopes": []string{"orders:read"}, "algorithm": "ES256"}, ifMatch("*")).want(200).object()
	if back["algorithm"] != "ES256" || back["previous_algorithm"] != nil || back["algorithm_from"] != nil {
		t.Errorf("back again: %v", back)
	}
	s.do("PUT", fulfilmentPath, body, ifMatch("*")).want(200)
	s.sleep(time.Minute)
	over := s.do("GET", fulfilmentPath, nil).want(200).object()
	if over["algorithm"] != "RS256" || over["previous_algorithm"] != nil || over["algorithm_from"] != nil {
		t.Errorf("over: %v", over)
	}
	// Known for long by now: at once.
	s.do("PUT", fulfilmentPath, map[string]any{"scopes": []string{"orders:read"}, "algorithm": "ES256"}, ifMatch("*")).want(200)
	if got := s.do("PUT", fulfilmentPath, body, ifMatch("*")).want(200).object(); got["previous_algorithm"] != nil {
		t.Errorf("known for long: %v", got)
	}
	if e := s.entries()[len(s.entries())-1]; e.Action != "resource.update" || string(e.After) != `{"algorithm":"RS256"}` {
		t.Errorf("%s %s", e.Action, e.After)
	}
}

func equalJSON(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// A definition without an algorithm leaves the one that is stored.
func TestALG01_NoAlgorithmIsNoChange(t *testing.T) {
	s := startWithBoth(t)
	s.stop()
	s.do("PUT", fulfilmentPath, map[string]any{"algorithm": "Ed25519"}, ifMatch("*")).want(200)
	got := s.do("PUT", fulfilmentPath, map[string]any{"token_lifetime": 60}, ifMatch("*")).want(200).object()
	if got["algorithm"] != string(jose.Ed25519) || got["previous_algorithm"] != "ES256" {
		t.Errorf("%v", got)
	}
	r, err := s.registry.Resource(t.Context(), authz.ResourceID(fulfilment))
	if err != nil || r.PreviousAlgorithm != jose.ES256 {
		t.Errorf("%+v, %v", r, err)
	}
}

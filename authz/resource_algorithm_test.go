package authz

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

// signs returns what a token says that it is signed with, and when it was issued.
func signs(t testing.TB, compact string) (jose.Algorithm, time.Time) {
	t.Helper()
	head, _, _ := strings.Cut(compact, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		t.Fatal(err)
	}
	var h struct{ Alg jose.Algorithm }
	if err := json.Unmarshal(b, &h); err != nil {
		t.Fatal(err)
	}
	return h.Alg, time.Unix(int64(claims(t, compact)["iat"].(float64)), 0)
}

// turning is a scene with keys of three algorithms; verifiers know those of RS256 a day from now, and
// those of PS256 two days from now.
func turning(t testing.TB) (s *scene, day time.Time) {
	s = newScene(t, nil)
	s.addKey(t, jose.RS256)
	s.addKey(t, jose.PS256)
	s.known[jose.RS256] = s.now().Add(24 * time.Hour)
	s.known[jose.PS256] = s.now().Add(48 * time.Hour)
	s.known[jose.ES256] = s.now().Add(-time.Hour)
	return s, s.now().Add(24*time.Hour + 300*time.Millisecond) // the clock is 700 ms into a second
}

// moveTo moves the clock to an instant.
func (s *scene) moveTo(at time.Time) {
	s.advance(at.Sub(s.now()))
	s.server.ConfirmedAt(s.now())
}

// turn makes api change its algorithm.
func (s *scene) turn(t testing.TB, alg jose.Algorithm) Resource {
	t.Helper()
	spec := ResourceSpec{Scopes: []string{"orders:read orders:write"}, Algorithm: string(alg)}
	r, err := s.registry.UpdateResource(t.Context(), admin, api, anyVersion, spec, false)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantAlgorithm(t testing.TB, r Resource, alg, previous jose.Algorithm, from time.Time) {
	t.Helper()
	if r.Algorithm != alg || r.PreviousAlgorithm != previous || !r.AlgorithmFrom.Equal(from) {
		t.Errorf("%s, %q until %v; want %s, %q until %v", r.Algorithm, r.PreviousAlgorithm, r.AlgorithmFrom, alg, previous, from)
	}
}

func TestROT13_AlgorithmAt(t *testing.T) {
	from := time.Date(2026, 11, 22, 12, 0, 1, 0, time.UTC)
	pending := Resource{Algorithm: jose.RS256, PreviousAlgorithm: jose.ES256, AlgorithmFrom: from}
	for _, c := range []struct {
		r    Resource
		at   time.Time
		want jose.Algorithm
	}{
		{pending, from.Add(-time.Nanosecond), jose.ES256},
		{pending, from, jose.RS256},
		{pending, from.Add(time.Hour), jose.RS256},
		{Resource{Algorithm: jose.RS256}, from, jose.RS256},
		{Resource{Algorithm: jose.RS256}, time.Time{}, jose.RS256},
		{Resource{Algorithm: jose.RS256, AlgorithmFrom: from}, from.Add(-time.Hour), jose.RS256},
		{Resource{Algorithm: jose.RS256, PreviousAlgorithm: jose.ES256}, from, jose.RS256},
	} {
		if got := c.r.AlgorithmAt(c.at); got != c.want {
			t.Errorf("%+v at %v: %s, want %s", c.r, c.at, got, c.want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { _ = pending.AlgorithmAt(from) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The old algorithm signs until the very second, and a repeat does not move it.
func TestROT13_TheOldAlgorithmSignsUntilTheNewKeyIsKnown(t *testing.T) {
	s, day := turning(t)
	r := s.turn(t, jose.RS256)
	wantAlgorithm(t, r, jose.RS256, jose.ES256, day)
	for _, step := range []time.Duration{-24*time.Hour + time.Second, -time.Second, -time.Nanosecond, 0, time.Nanosecond, time.Hour} {
		s.moveTo(day.Add(step))
		alg, iat := signs(t, s.issue(t, s.partner, "orders:read", api).AccessToken)
		if want := map[bool]jose.Algorithm{true: jose.ES256, false: jose.RS256}[step < 0]; alg != want || iat.Before(day) != (want == jose.ES256) {
			t.Errorf("%v from then: %s at %v", step, alg, iat)
		}
	}
}

func TestROT13_ARepeatChangesNothing(t *testing.T) {
	s, day := turning(t)
	first := s.turn(t, jose.RS256)
	entries := len(s.journal())
	s.advance(time.Hour)
	s.known[jose.RS256] = s.now().Add(24 * time.Hour) // a rotation there, say
	wantAlgorithm(t, s.turn(t, jose.RS256), jose.RS256, jose.ES256, day)
	r, _, err := s.registry.CreateResource(t.Context(), admin, ResourceSpec{ID: api, Scopes: []string{"orders:read orders:write"}, Algorithm: "RS256"})
	if err != nil || r.Version != first.Version || len(s.journal()) != entries {
		t.Errorf("version %d, then %d, %v, %d entries more", first.Version, r.Version, err, len(s.journal())-entries)
	}
	wantAlgorithm(t, r, jose.RS256, jose.ES256, day)

	// A change of something else does not move it either.
	r, err = s.registry.UpdateResource(t.Context(), admin, api, anyVersion, ResourceSpec{Scopes: []string{"orders:read"}, Algorithm: "RS256"}, true)
	if err != nil || r.Version == first.Version {
		t.Errorf("version %d, %v", r.Version, err)
	}
	wantAlgorithm(t, r, jose.RS256, jose.ES256, day)

	// And after it, too, there is nothing to write.
	s.moveTo(day)
	again, err := s.registry.UpdateResource(t.Context(), admin, api, anyVersion, ResourceSpec{Scopes: []string{"orders:read"}, Algorithm: "RS256"}, false)
	if err != nil || again.Version != r.Version {
		t.Errorf("version %d, then %d, %v", r.Version, again.Version, err)
	}
	wantAlgorithm(t, again, jose.RS256, "", time.Time{})
}

// What has been known for long signs at once, and so does what signs already.
func TestROT13_ChangesInARow(t *testing.T) {
	s, day := turning(t)
	wantAlgorithm(t, s.turn(t, jose.RS256), jose.RS256, jose.ES256, day)
	s.advance(time.Hour)
	wantAlgorithm(t, s.turn(t, jose.PS256), jose.PS256, jose.ES256, day.Add(24*time.Hour)) // from what signs now
	wantAlgorithm(t, s.turn(t, jose.RS256), jose.RS256, jose.ES256, day)
	wantAlgorithm(t, s.turn(t, jose.ES256), jose.ES256, "", time.Time{})
	if alg, _ := signs(t, s.issue(t, s.partner, "orders:read", api).AccessToken); alg != jose.ES256 {
		t.Errorf("back again: %s", alg)
	}
	wantAlgorithm(t, s.turn(t, jose.RS256), jose.RS256, jose.ES256, day)
	s.moveTo(day)
	wantAlgorithm(t, s.turn(t, jose.PS256), jose.PS256, jose.RS256, day.Add(24*time.Hour))
	wantAlgorithm(t, s.turn(t, jose.ES256), jose.ES256, "", time.Time{}) // known for long
	s.advance(700 * time.Millisecond)
	s.known[jose.RS256] = s.now()
	wantAlgorithm(t, s.turn(t, jose.RS256), jose.RS256, jose.ES256, day.Add(time.Second)) // rounded up
	s.moveTo(day.Add(time.Second))
	wantAlgorithm(t, s.turn(t, jose.ES256), jose.ES256, "", time.Time{})
	s.known[jose.RS256] = s.now() // whole
	wantAlgorithm(t, s.turn(t, jose.RS256), jose.RS256, "", time.Time{})
}

// Without a key there is no change, and one that was refused for its version asks for none.
func TestROT13_NoKeyNoChange(t *testing.T) {
	s, _ := turning(t)
	s.registry.config.EnsureKeys = func(context.Context, jose.Algorithm, audit.Origin) (time.Time, error) { return time.Time{}, errNoKey }
	_, err := s.registry.UpdateResource(t.Context(), admin, api, anyVersion, ResourceSpec{Algorithm: "RS256"}, false)
	if !errors.Is(err, errNoKey) {
		t.Errorf("%v", err)
	}
	wantAlgorithm(t, s.resources[api], jose.ES256, "", time.Time{})
}

func TestROT13_AChangeShowsWhileItIsPending(t *testing.T) {
	s, day := turning(t)
	s.turn(t, jose.RS256)
	e := s.journal()[len(s.journal())-1]
	wantDiff := func(e audit.Entry, before, after string) {
		t.Helper()
		if string(e.Before) != before || string(e.After) != after {
			t.Errorf("%s became %s", e.Before, e.After)
		}
	}
	wantDiff(e, `{"algorithm":"ES256"}`, `{"algorithm":"RS256","algorithm_from":"2026-11-22T12:00:01Z","previous_algorithm":"ES256"}`)
	shown := func(previous jose.Algorithm, from time.Time) {
		t.Helper()
		r, err := s.registry.Resource(t.Context(), api)
		if err != nil {
			t.Fatal(err)
		}
		wantAlgorithm(t, r, jose.RS256, previous, from)
		for _, text := range []string{"", "fulfilment"} {
			list, err := s.registry.ListResources(t.Context(), ResourceQuery{Text: text, Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(list, func(r Resource) bool { return r.ID == api })
			wantAlgorithm(t, list[i], jose.RS256, previous, from)
		}
	}
	s.moveTo(day.Add(-time.Second))
	shown(jose.ES256, day)
	s.moveTo(day)
	shown("", time.Time{})
	wantAlgorithm(t, s.resources[api], jose.RS256, jose.ES256, day) // nobody has written since
	s.known[jose.RS256] = day
	if _, err := s.registry.UpdateResource(t.Context(), admin, api, anyVersion, ResourceSpec{Algorithm: "RS256", TokenLifetime: time.Minute}, false); err != nil {
		t.Fatal(err)
	}
	wantAlgorithm(t, s.resources[api], jose.RS256, "", time.Time{})
	wantDiff(s.journal()[len(s.journal())-1], `{"scopes":["orders:read","orders:write"],"token_lifetime":600}`, `{"token_lifetime":60}`)
}

// Resources of one token agree on what signs it at its iat, not on what is to come.
func TestROT13_TwoResourcesInOneToken(t *testing.T) {
	s, day := turning(t)
	s.turn(t, jose.RS256)
	both := request(s.partner.id, s.partner.secret)
	both.Scope, both.Resources = bothAPIs, []string{api, otherAPI}
	s.moveTo(day.Add(-time.Millisecond))
	if alg, _ := signs(t, s.issue(t, s.partner, bothAPIs, api, otherAPI).AccessToken); alg != jose.ES256 {
		t.Errorf("before: %s", alg)
	}
	s.moveTo(day)
	_, err := s.server.Token(t.Context(), both)
	wantError(t, err, InvalidTarget, CauseResourceAmbiguous)

	// The other one follows, and waits in its turn.
	s.known[jose.RS256] = day.Add(time.Hour)
	spec := ResourceSpec{Scopes: []string{"accounts:create"}, Algorithm: "RS256"}
	r, err := s.registry.UpdateResource(t.Context(), admin, otherAPI, anyVersion, spec, false)
	if err != nil {
		t.Fatal(err)
	}
	wantAlgorithm(t, r, jose.RS256, jose.ES256, day.Add(time.Hour))
	_, err = s.server.Token(t.Context(), both)
	wantError(t, err, InvalidTarget, CauseResourceAmbiguous)
	s.moveTo(day.Add(time.Hour))
	if alg, _ := signs(t, s.issue(t, s.partner, bothAPIs, api, otherAPI).AccessToken); alg != jose.RS256 {
		t.Errorf("after: %s", alg)
	}
}

// A clock that moves while a token is decided does not let what was compared and what signs differ.
func TestROT13_OneInstantForAToken(t *testing.T) {
	s, day := turning(t)
	s.turn(t, jose.RS256)
	s.moveTo(day.Add(-time.Second))
	s.issue(t, s.partner, bothAPIs, api, otherAPI) // both are held now
	s.server.policy.now = func() time.Time {
		now := s.now()
		s.advance(time.Second)
		return now
	}
	compact := s.issue(t, s.partner, bothAPIs, api, otherAPI).AccessToken
	if alg, iat := signs(t, compact); alg != jose.ES256 || !iat.Before(day) {
		t.Errorf("%s at %v", alg, iat)
	}
}

// No verifier knows a new resource. One that takes the place of a deleted one has its verifiers.
func TestROT13_ResourcesThatAreCreated(t *testing.T) {
	s, day := turning(t)
	wantAlgorithm(t, s.resource(t, ResourceSpec{ID: "https://new.example", Algorithm: "RS256"}), jose.RS256, "", time.Time{})

	replaced := func(id string, before, after jose.Algorithm) Resource {
		t.Helper()
		s.resource(t, ResourceSpec{ID: id, Algorithm: string(before)})
		if err := s.registry.DeleteResource(t.Context(), admin, ResourceID(id), anyVersion); err != nil {
			t.Fatal(err)
		}
		r, created, err := s.registry.CreateResource(t.Context(), admin, ResourceSpec{ID: id, Algorithm: string(after)})
		if err != nil || !created {
			t.Fatal(created, err)
		}
		again, created, err := s.registry.CreateResource(t.Context(), admin, ResourceSpec{ID: id, Algorithm: string(after)})
		if err != nil || created || again.Version != r.Version || again.AlgorithmFrom != r.AlgorithmFrom {
			t.Errorf("repeated: %+v, %t, %v", again, created, err)
		}
		return r
	}
	wantAlgorithm(t, replaced("https://a.example", jose.ES256, jose.RS256), jose.RS256, jose.ES256, day)
	wantAlgorithm(t, replaced("https://b.example", jose.RS256, jose.ES256), jose.ES256, "", time.Time{}) // known for long
	wantAlgorithm(t, replaced("https://c.example", jose.ES256, jose.ES256), jose.ES256, "", time.Time{})

	// What signed last counts, not what would have been next.
	s.turn(t, jose.RS256)
	for _, c := range []party{s.partner, s.rival, s.first} {
		if err := s.registry.DeleteClient(t.Context(), admin, c.id, anyVersion); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.registry.DeleteResource(t.Context(), admin, api, anyVersion); err != nil {
		t.Fatal(err)
	}
	wantAlgorithm(t, s.resource(t, ResourceSpec{ID: api, Algorithm: "RS256"}), jose.RS256, jose.ES256, day)

	// What an older server left does not say.
	if err := s.registry.DeleteResource(t.Context(), admin, api, anyVersion); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	bare := s.resources[api]
	bare.Algorithm = ""
	s.resources[api] = bare
	s.mu.Unlock()
	wantAlgorithm(t, s.resource(t, ResourceSpec{ID: api, Algorithm: "RS256"}), jose.RS256, "", time.Time{})
}

// An API that is registered meanwhile gets answers signed with what it can verify by now.
func TestROT13_INT19_AnswersForAResourceThatChanges(t *testing.T) {
	s, day := turning(t)
	s.turn(t, jose.RS256)
	serve := func(id string) jose.Algorithm {
		c, _ := s.client(t, ClientSpec{ID: id, Serves: []string{api}})
		return c.IntrospectionAlgorithm
	}
	if got := serve("before"); got != jose.ES256 {
		t.Errorf("before: %s", got)
	}
	s.moveTo(day)
	if got := serve("after"); got != jose.RS256 {
		t.Errorf("after: %s", got)
	}
}

// The default is of what names none; what is stored keeps what it was made with.
func TestALG01_TheDefaultAlgorithmIsASetting(t *testing.T) {
	s := newScene(t, nil) // of the time when it was ES256
	s.addKey(t, jose.RS256)
	boss := s.boss(t)
	before := s.issue(t, boss, "").AccessToken
	if err := s.use(jose.RS256); err != nil {
		t.Fatal(err)
	}

	// A token for the management API of before is good until it expires, and new ones are signed anew.
	after := s.issue(t, boss, "").AccessToken
	if alg, _ := signs(t, after); alg != jose.RS256 {
		t.Errorf("the management API: %s", alg)
	}
	for _, compact := range []string{before, after} {
		if _, err := s.server.Admin(t.Context(), compact); err != nil {
			t.Error(err)
		}
		s.wantActive(t, boss, compact)
	}
	r := IntrospectRequest{Token: before, Client: presented(s.partner.id, s.partner.secret)} // who serves nothing
	if h, _, _ := s.answer(t, r); h.Algorithm != jose.RS256 {
		t.Errorf("answers for who serves nothing: %s", h.Algorithm)
	}

	if r := s.resource(t, ResourceSpec{ID: "https://new.example"}); r.Algorithm != jose.RS256 {
		t.Errorf("a resource without one: %s", r.Algorithm)
	}
	spec := ResourceSpec{ID: api, Scopes: []string{"orders:read orders:write"}}
	if r := s.resource(t, spec); r.Algorithm != jose.ES256 {
		t.Errorf("a stored one, registered again: %s", r.Algorithm)
	}
	kept, err := s.registry.UpdateResource(t.Context(), admin, api, anyVersion, ResourceSpec{Scopes: []string{"orders:read"}}, false)
	if err != nil || kept.Algorithm != jose.ES256 || kept.PreviousAlgorithm != "" {
		t.Errorf("a stored one, changed in something else: %+v, %v", kept, err)
	}
	spec.Algorithm = "RS256"
	if _, _, err := s.registry.CreateResource(t.Context(), admin, spec); !errors.Is(err, ErrConflict) {
		t.Errorf("registered with another one: %v", err)
	}

	var asked []jose.Algorithm
	s.registry.config.EnsureKeys = func(_ context.Context, alg jose.Algorithm, _ audit.Origin) (time.Time, error) {
		asked = append(asked, alg)
		return time.Time{}, nil
	}
	if s.client(t, ClientSpec{ID: "another", Admin: true}); !slices.Equal(asked, []jose.Algorithm{jose.RS256}) {
		t.Errorf("asked for keys of %v", asked)
	}
	for _, bad := range []jose.Algorithm{"none", "HS256", jose.EdDSA, "es256"} {
		if err := s.use(bad); err == nil {
			t.Errorf("%s is a default", bad)
		}
	}
}

// use starts the server and the registry anew with another default algorithm.
func (s *scene) use(alg jose.Algorithm) error {
	c := s.registry.config
	c.Algorithm = alg
	registry, err := NewRegistry(c)
	if err != nil {
		return err
	}
	server, err := NewServer(Config{
		Issuer: testIssuer, Pepper: [32]byte{1}, Clients: s.memory, Resources: s.memory, Keys: s.keys, Algorithm: alg,
		PublicKey: s.keys.public, Revocations: s.memory, Index: s.index, Revoker: s.revoker,
		ClientCache: 100, StoreOutage: DefaultStoreOutage, SigningQueue: 10, Now: s.now,
	})
	if err != nil {
		return err
	}
	s.registry, s.server = registry, server
	s.server.ConfirmedAt(s.now())
	return nil
}

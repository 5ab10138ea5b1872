package token_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/marque-auth/marque/authz/token"
)

var kinds = []token.RevocationKind{
	token.RevokedJTI, token.RevokedClient, token.RevokedCredential, token.RevokedKey, token.RevokedResource, token.RevokedAll,
}

// subjectOf returns what a revocation of that kind is about if it is to touch the good token.
func subjectOf(kind token.RevocationKind) token.Subject {
	c := goodClaims()
	return token.Subject{Kind: kind, Value: map[token.RevocationKind]string{
		token.RevokedJTI: c.JTI, token.RevokedClient: c.ClientID, token.RevokedCredential: c.CredentialID,
		token.RevokedKey: "kid1", token.RevokedResource: c.Audience[0],
	}[kind]}
}

// known is r, in both of the ways in which something is known.
func known(r ...token.Revocation) map[string]token.Known {
	x := token.NewIndex()
	for i := range r {
		x.Set(token.Indexed{Revocation: r[i], Client: "c1"})
	}
	return map[string]token.Known{"found": token.Found(r), "index": x}
}

func wantVoid(t *testing.T, name string, c token.Claims, kid string, by token.Revocation, want bool) {
	t.Helper()
	for how, k := range known(by) {
		r, void := token.Void(&c, kid, k)
		if void != want || void && r != by || !void && r != (token.Revocation{}) {
			t.Errorf("%s, %s: void %v by %+v, want %v by %+v", name, how, void, r, want, by)
		}
	}
}

// RVK-19, EVT-09: by everything that a token carries, each "issued before T": a token of the second T
// is void, and so is another one of that second; one of the next second is good.
func TestRVK19_EVT09_IssuedBeforeT(t *testing.T) {
	for _, kind := range kinds {
		if kind == token.RevokedJTI {
			continue // one token: below
		}
		r := token.Revocation{Subject: subjectOf(kind), Before: epoch, Until: epoch.Add(token.RevocationKept)}
		for iat, want := range map[time.Duration]bool{-time.Hour: true, -time.Second: true, 0: true, time.Second: false, time.Hour: false} {
			c := goodClaims()
			c.IssuedAt = epoch.Add(iat)
			wantVoid(t, fmt.Sprintf("%s, T%+v", kind, iat), c, "kid1", r, want)
			c.JTI = "j2"
			wantVoid(t, fmt.Sprintf("%s, T%+v, a second token", kind, iat), c, "kid1", r, want)
		}
	}
}

// RVK-19: a token that lacks what is revoked stays good, whatever it has that reads the same.
func TestRVK19_OthersStayGood(t *testing.T) {
	others := map[token.RevocationKind]func(c *token.Claims, kid *string){
		token.RevokedJTI:        func(c *token.Claims, _ *string) { c.JTI = "other" },
		token.RevokedClient:     func(c *token.Claims, _ *string) { c.ClientID, c.Subject = "other", "c1" },
		token.RevokedCredential: func(c *token.Claims, _ *string) { c.CredentialID = "" },
		token.RevokedKey:        func(_ *token.Claims, kid *string) { *kid = "other" },
		token.RevokedResource:   func(c *token.Claims, _ *string) { c.Audience = []string{audience + "/", issuer} },
	}
	for kind, spare := range others {
		r := token.Revocation{Subject: subjectOf(kind)}
		c, kid := goodClaims(), "kid1"
		wantVoid(t, string(kind), c, kid, r, true)
		spare(&c, &kid)
		wantVoid(t, string(kind)+", another", c, kid, r, false)
		// The revoked value in every place but its own.
		c = token.Claims{
			JTI: r.Value, ClientID: r.Value, CredentialID: r.Value, Audience: []string{"https://x", r.Value}, IssuedAt: epoch,
		}
		kid = r.Value
		wantVoid(t, string(kind)+", everywhere", c, kid, r, true)
		spare(&c, &kid)
		wantVoid(t, string(kind)+", everywhere else", c, kid, r, false)
	}
}

// EVT-07, RVK-19: any element of aud will do.
func TestRVK19_EVT07_AnyAudience(t *testing.T) {
	c := goodClaims()
	c.Audience = []string{"https://x.example", audience, "https://y.example"}
	for i, a := range c.Audience {
		wantVoid(t, fmt.Sprint("element ", i), c, "kid1", token.Revocation{Subject: token.Subject{Kind: token.RevokedResource, Value: a}}, true)
	}
}

// A revoked jti is void whatever its iat says: a jti is one token, and dates may have been moved.
func TestRVK19_OneTokenWhateverItsDate(t *testing.T) {
	for _, r := range []token.Revocation{
		{Subject: subjectOf(token.RevokedJTI)},
		{Subject: subjectOf(token.RevokedJTI), Before: epoch, Until: epoch.Add(time.Hour)},
		{Subject: subjectOf(token.RevokedJTI), Since: epoch.Add(time.Hour), Before: epoch},
	} {
		for _, iat := range []time.Duration{-time.Hour, 0, 1, time.Hour} {
			c := goodClaims()
			c.IssuedAt = epoch.Add(iat * time.Second)
			wantVoid(t, fmt.Sprintf("%+v", iat), c, "kid1", r, true)
		}
	}
}

// EVT-01, EVT-02: open-ended withdraws what is yet to be issued. EVT-10: enabling turns it into "issued before
// now", which revives nothing, the very second included, and stands in the way of nothing new.
func TestEVT01_EVT10_DisableAndEnable(t *testing.T) {
	s := subjectOf(token.RevokedClient)
	x := token.NewIndex()
	void := func(iat time.Duration) bool {
		c := goodClaims()
		c.IssuedAt = epoch.Add(iat * time.Second)
		_, v := token.Void(&c, "kid1", x)
		return v
	}
	x.Set(token.Indexed{Revocation: token.Revocation{Subject: s}})
	for _, iat := range []time.Duration{-3600, 0, 3600} {
		if !void(iat) {
			t.Errorf("disabled, %+d: good", iat)
		}
	}
	x.Set(token.Indexed{Revocation: token.Revocation{Subject: s, Before: epoch, Until: epoch.Add(token.RevocationKept)}})
	for iat, want := range map[time.Duration]bool{-3600: true, -1: true, 0: true, 1: false} {
		if void(iat) != want {
			t.Errorf("enabled, %+d: void %v", iat, !want)
		}
	}
}

// EVT-03: a credential that is compromised since T: what it obtained before stays good, and so does
// what another credential of the client obtained.
func TestEVT03_CompromisedSince(t *testing.T) {
	r := token.Revocation{Subject: subjectOf(token.RevokedCredential), Since: epoch}
	for iat, want := range map[time.Duration]bool{-time.Second: false, 0: true, time.Second: true, time.Hour: true} {
		c := goodClaims()
		c.IssuedAt = epoch.Add(iat)
		wantVoid(t, fmt.Sprintf("since T, issued T%+v", iat), c, "kid1", r, want)
		c.CredentialID = "k2"
		wantVoid(t, "the other secret", c, "kid1", r, false)
	}
}

// EVT-05: a revoked signing key voids all that it signed, whatever a revocation of its kid said
// before, and Replace does not bring it back.
func TestEVT05_RevokedKeys(t *testing.T) {
	x := token.NewIndex()
	c := goodClaims()
	c.IssuedAt = epoch.Add(time.Hour)
	x.SetKeys([]string{"kid0", "kid1"})
	x.Set(token.Indexed{Revocation: token.Revocation{Subject: subjectOf(token.RevokedKey), Before: epoch, Until: epoch}})
	x.Replace(nil)
	x.Sweep(epoch.Add(time.Hour))
	if r, void := token.Void(&c, "kid1", x); !void || r != (token.Revocation{Subject: subjectOf(token.RevokedKey)}) {
		t.Errorf("void %v by %+v", void, r)
	}
	if _, void := token.Void(&c, "kid2", x); void {
		t.Error("another key's token is void")
	}
	x.SetKeys(nil)
	if _, void := token.Void(&c, "kid1", x); void {
		t.Error("a key that is none of the revoked ones any more")
	}
}

// recorder knows nothing, and remembers what it was asked.
type recorder struct{ asked []token.Subject }

func (r *recorder) Revocation(s token.Subject) (token.Revocation, bool) {
	r.asked = append(r.asked, s)
	return token.Revocation{}, false
}

// Subjects is what Void asks for, and nothing else: a store that is asked for less would let a
// revoked token through.
func TestSubjects_AreWhatVoidAsksFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := somebodys.Draw(t, "claims")
		var r recorder
		token.Void(&c, "kid1", &r)
		subjects := token.Subjects(&c, "kid1")
		for _, s := range subjects {
			if !s.Valid() || !slices.Contains(r.asked, s) {
				t.Errorf("%v is in Subjects and not asked for, or is none", s)
			}
		}
		for _, s := range r.asked {
			if !slices.Contains(subjects, s) {
				t.Errorf("%v is asked for and not in Subjects", s)
			}
		}
		if len(subjects) != len(r.asked) {
			t.Errorf("%d subjects, %d questions", len(subjects), len(r.asked))
		}
		// Each alone is enough.
		for _, s := range subjects {
			if got, void := token.Void(&c, "kid1", token.Found{{Subject: s}}); !void || got.Subject != s {
				t.Errorf("revoked %v: void %v", s, void)
			}
		}
	})
}

// What either of two revocations of a subject withdraws, both together do, and no earlier are they
// forgotten. The order does not matter, nor does doing it again.
func TestEVT10_MergeNeverWeakens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(kinds).Draw(t, "kind")
		draw := func(name string) token.Revocation {
			r := something.Draw(t, name).Revocation
			r.Subject = subjectOf(s)
			return r
		}
		a, b, c := draw("a"), draw("b"), draw("c")
		ab := a.Merge(b)
		for range 10 {
			iat := sometime.Draw(t, "iat")
			if (a.Voids(iat) || b.Voids(iat)) && !ab.Voids(iat) {
				t.Fatalf("%v is void by %+v or %+v, and not by %+v", iat, a, b, ab)
			}
		}
		for _, r := range []token.Revocation{a, b} {
			if !ab.Until.IsZero() && (r.Until.IsZero() || r.Until.After(ab.Until)) {
				t.Fatalf("%+v is forgotten before %+v", ab, r)
			}
			// And the least such: its ends are ends of the two.
			if ab.Merge(r) != ab {
				t.Fatalf("%+v is not in %+v", r, ab)
			}
		}
		if !slices.Contains([]time.Time{a.Since, b.Since}, ab.Since) || !slices.Contains([]time.Time{a.Before, b.Before}, ab.Before) ||
			!slices.Contains([]time.Time{a.Until, b.Until}, ab.Until) {
			t.Fatalf("%+v has an end that neither %+v nor %+v has", ab, a, b)
		}
		if b.Merge(a) != ab || a.Merge(a) != a || ab.Merge(c) != a.Merge(b.Merge(c)) {
			t.Fatalf("the order matters: %+v, %+v, %+v", a, b, c)
		}
	})
}

func TestParseSubject(t *testing.T) {
	for _, s := range []token.Subject{
		{Kind: token.RevokedAll},
		{Kind: token.RevokedJTI, Value: "a:b"},
		{Kind: token.RevokedResource, Value: "https://api.example/a?b"},
		{Kind: token.RevokedClient, Value: ":"},
		{Kind: token.RevokedCredential, Value: "é\x00"},
		{Kind: token.RevokedKey, Value: "all:"},
	} {
		if got, err := token.ParseSubject(s.String()); err != nil || got != s {
			t.Errorf("%q: %+v, %v", s.String(), got, err)
		}
	}
	for _, text := range []string{"", ":", "all", "jti", "jti:", "client:", "kid:", "credential:", "resource:", "all:x", "JTI:a", " jti:a", "token:a", ":a"} {
		if s, err := token.ParseSubject(text); err == nil || s != (token.Subject{}) {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
}

// FuzzParseSubject: what is read, written and read again is the same.
func FuzzParseSubject(f *testing.F) {
	for _, kind := range kinds {
		f.Add(string(kind) + ":")
		f.Add(subjectOf(kind).String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := token.ParseSubject(text)
		if err != nil {
			return
		}
		if !s.Valid() || s.String() != text {
			t.Errorf("%q: %+v", text, s)
		}
	})
}

// The decision is taken for every token, beside its signature check: nothing is allocated.
func TestVoid_AllocatesNothing(t *testing.T) {
	c := goodClaims()
	c.Audience = append(c.Audience, "https://"+fmt.Sprintf("%0400d", 1))
	full := token.NewIndex()
	for i := range 1000 {
		full.Set(revokedToken(i, 10))
	}
	full.SetKeys([]string{"other"})
	hit := token.NewIndex()
	hit.Set(token.Indexed{Revocation: token.Revocation{Subject: subjectOf(token.RevokedAll), Before: epoch}})
	found := token.Found{{Subject: subjectOf(token.RevokedClient), Before: epoch.Add(-time.Hour)}}
	for name, k := range map[string]token.Known{"empty": token.NewIndex(), "full": full, "hit": hit, "found": found} {
		if n := testing.AllocsPerRun(100, func() { token.Void(&c, "kid1", k) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

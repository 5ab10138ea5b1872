package authz

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
)

// Each kind withdraws the tokens that it names, and no others (RVK-19).
func TestRVK19_EVT09_EachKindWithdrawsWhatItNames(t *testing.T) {
	for _, kind := range []token.RevocationKind{
		token.RevokedJTI, token.RevokedClient, token.RevokedCredential, token.RevokedKey, token.RevokedResource, token.RevokedAll,
	} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, nil)
			c, _ := w.story(t)
			w.resource(t, ResourceSpec{ID: otherAPI})
			other, _ := w.client(t, ClientSpec{ID: "other", Resources: []string{otherAPI}})
			mine := token.Claims{
				JTI: "mine", ClientID: string(c.ID), CredentialID: string(c.Credentials[0].ID), Audience: []string{otherAPI, api},
				IssuedAt: w.now().Truncate(time.Second),
			}
			theirs := token.Claims{
				JTI: "theirs", ClientID: string(other.ID), CredentialID: string(other.Credentials[0].ID), Audience: []string{otherAPI},
				IssuedAt: mine.IssuedAt,
			}
			subject := map[token.RevocationKind]string{
				token.RevokedJTI: mine.JTI, token.RevokedClient: mine.ClientID, token.RevokedCredential: mine.CredentialID,
				token.RevokedKey: "key", token.RevokedResource: api, token.RevokedAll: "",
			}
			if _, err := w.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: token.Subject{Kind: kind, Value: subject[kind]}}); err != nil {
				t.Fatal(err)
			}
			everyone := kind == token.RevokedKey || kind == token.RevokedAll // one key signed both
			if !w.withdrawn(t, mine) || w.withdrawn(t, theirs) != everyone {
				t.Error("not what it names, or more")
			}
			later := mine
			later.JTI, later.IssuedAt = "later", mine.IssuedAt.Add(2*time.Second)
			if w.withdrawn(t, later) {
				t.Error("what is issued later is void, too")
			}
			if e := w.entries[len(w.entries)-1]; e.Action != "revocation.create" || e.Target != string(kind)+":"+subject[kind] || e.Actor != admin.Actor || e.Reason != admin.Reason {
				t.Errorf("entry %+v", e)
			}
		})
	}
}

func TestRVK19_EVT09_IssuedBeforeAnInstant(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	w.advance(10 * time.Minute)
	at := w.now().Add(-5 * time.Minute).Truncate(time.Second)
	r, err := w.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: clientSubject("acme"), Before: at.Add(300 * time.Millisecond)})
	if err != nil || !r.Before.Equal(at) || !r.Until.Equal(at.Add(token.RevocationKept)) {
		t.Fatalf("%+v, %v", r, err)
	}
	for offset, want := range map[time.Duration]bool{-time.Hour: true, -time.Second: true, 0: true, 900 * time.Millisecond: true, time.Second: false} {
		if got := w.withdrawn(t, tokenAt("acme", at.Add(offset))); got != want {
			t.Errorf("issued %v after: void %t", offset, got)
		}
	}
	// An earlier instant, given later, gives nothing back.
	if r, err := w.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: clientSubject("acme"), Before: at.Add(-time.Minute)}); err != nil || !r.Before.Equal(at) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestRegistry_RevocationsThatAreRefused(t *testing.T) {
	w := newWorld(t, nil)
	c, secret := w.story(t)
	jwt := "eyJhbGciOiJFUzI1NiJ9." + strings.Repeat("a", 100) + "." + strings.Repeat("b", 86)
	subject := func(kind token.RevocationKind, value string) RevocationSpec {
		return RevocationSpec{Subject: token.Subject{Kind: kind, Value: value}}
	}
	at := func(s RevocationSpec, before time.Time) RevocationSpec { s.Before = before; return s }
	n := len(w.entries)
	for name, tt := range map[string]struct {
		spec   RevocationSpec
		fields []string
	}{
		"no kind":                     {subject("", "x"), []string{"kind"}},
		"an unknown kind":             {subject("subject", "x"), []string{"kind"}},
		"no jti":                      {subject("jti", ""), []string{"value"}},
		"a token as jti":              {subject("jti", jwt), []string{"value"}},
		"a secret as jti":             {subject("jti", secret.Reveal()), []string{"value"}},
		"a space in a jti":            {subject("jti", "a b"), []string{"value"}},
		"a token as kid":              {subject("kid", jwt), []string{"value"}},
		"a secret as kid":             {subject("kid", secret.Reveal()), []string{"value"}},
		"no kid":                      {subject("kid", ""), []string{"value"}},
		"an unknown kid":              {subject("kid", unknownKey), []string{"value"}},
		"an unknown client":           {subject("client", "acne"), []string{"value"}},
		"no client":                   {subject("client", ""), []string{"value"}},
		"an unknown credential":       {subject("credential", "aaaaaaaaaaaaaaaa"), []string{"value"}},
		"a secret as credential":      {subject("credential", secret.Reveal()), []string{"value"}},
		"a secret as client":          {subject("client", secret.Reveal()), []string{"value"}},
		"an unknown resource":         {subject("resource", "https://unknown.example"), []string{"value"}},
		"a secret in a resource":      {subject("resource", "urn:"+secret.Reveal()), []string{"value"}},
		"no resource":                 {subject("resource", "x"), []string{"value"}},
		"a value for all":             {subject("all", "x"), []string{"value"}},
		"an instant for a jti":        {at(subject("jti", "x"), w.now()), []string{"before"}},
		"in the future":               {at(subject("all", ""), w.now().Add(time.Millisecond)), []string{"before"}},
		"so long ago that none lives": {at(subject("all", ""), w.now().Add(-token.RevocationKept)), []string{"before"}},
		"everything at once":          {at(subject("client", "x y"), w.now().Add(time.Hour)), []string{"value", "before"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.registry.Revoke(t.Context(), admin, tt.spec)
			wantFields(t, err, tt.fields...)
			if strings.Contains(err.Error(), "mrq_") || strings.Contains(err.Error(), jwt) {
				t.Errorf("echoed: %v", err)
			}
		})
	}
	if len(w.entries) != n || len(w.revocations) != 0 {
		t.Errorf("%d entries, %d revocations", len(w.entries)-n, len(w.revocations))
	}
	for _, s := range []RevocationSpec{
		subject("resource", string(AdminResource(testIssuer))), // built in, never registered
		subject("kid", "withdrawn.key"),
		subject("credential", string(c.Credentials[0].ID)),
		at(subject("all", ""), w.now().Add(-token.RevocationKept+time.Second)),
	} {
		if _, err := w.registry.Revoke(t.Context(), admin, s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestRegistry_RevokingWhatIsDeletedWeakensNothing(t *testing.T) {
	w := newWorld(t, nil)
	c, _ := w.story(t)
	if err := w.registry.DeleteClient(t.Context(), admin, "acme", Match{Any: true}); err != nil {
		t.Fatal(err)
	}
	if err := w.registry.DeleteResource(t.Context(), admin, api, Match{Any: true}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []token.Subject{clientSubject("acme"), resourceSubject(api)} {
		if r, err := w.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: s}); err != nil || !r.Before.IsZero() || !r.Until.IsZero() {
			t.Errorf("%s: %+v, %v", s, r, err)
		}
	}
	if _, err := w.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: credentialSubject(c.Credentials[0].ID)}); err != nil {
		t.Errorf("a credential of a deleted client: %v", err)
	}
}

func TestRegistry_RevocationsNeedTheStore(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	w.fail(errDown)
	for _, s := range []token.Subject{clientSubject("acme"), resourceSubject(api), credentialSubject("aaaa"), jtiSubject("x"), {Kind: token.RevokedAll}} {
		if _, err := w.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: s}); !errors.Is(err, errDown) {
			t.Errorf("%s: %v", s, err)
		}
	}
	var u *UnavailableError
	if _, err := w.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: token.Subject{Kind: token.RevokedKey, Value: unknownKey}}); !errors.As(err, &u) || u.Cause != CauseKeysUnavailable {
		t.Errorf("a key: %v", err)
	}
	if _, err := w.registry.ListRevocations(t.Context(), "", 10); !errors.Is(err, errDown) {
		t.Errorf("list: %v", err)
	}
}

func TestRegistry_ListRevocationsPages(t *testing.T) {
	w := newWorld(t, nil)
	w.memory.clock = nil // nothing is removed by a write: what has ended lies in between
	for i := range 25 {
		until := w.now().Add(time.Hour)
		if i%2 == 0 {
			until = w.now().Add(time.Minute)
		}
		if _, _, err := w.revoker.Revoke(t.Context(), admin, token.Revocation{Subject: jtiSubject(fmt.Sprintf("%02d", i)), Until: until}, ""); err != nil {
			t.Fatal(err)
		}
	}
	w.advance(2 * time.Minute)
	var got []string
	after := ""
	for {
		page, err := w.registry.ListRevocations(t.Context(), after, 5)
		if err != nil || len(page) > 5 {
			t.Fatal(len(page), err)
		}
		for _, r := range page {
			got = append(got, r.Value)
			after = r.Subject.String()
		}
		if len(page) < 5 {
			break
		}
	}
	if len(got) != 12 || got[0] != "01" || got[11] != "23" {
		t.Errorf("listed %v", got)
	}
}

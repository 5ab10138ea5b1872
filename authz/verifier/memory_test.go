package verifier_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

// allocationsOfACheck is less than a signature check makes, and more than a remembered token does, which is
// none; the race detector adds some.
const allocationsOfACheck = 5

// checked reports whether a call of Verify checks a signature: a remembered token does without.
func checked(t *testing.T, v *verifier.Verifier, compact string) bool {
	t.Helper()
	return testing.AllocsPerRun(10, func() { _, _ = v.Verify(t.Context(), compact) }) > allocationsOfACheck
}

// RSV-38: the same token is checked once, and says the same.
func TestRSV38_TheSameTokenIsCheckedOnce(t *testing.T) {
	for _, alg := range []jose.Algorithm{jose.ES256, jose.RS256, jose.Ed25519} {
		is := newIssuer(t, alg)
		v := newVerifier(t, is)
		compact := is.token(t, nil)
		first, err := v.Verify(t.Context(), compact)
		if err != nil {
			t.Fatal(err)
		}
		again, err := v.Verify(t.Context(), compact)
		if err != nil || again.JTI() != first.JTI() || again.ClientID() != first.ClientID() || !again.HasScope("orders:read") {
			t.Errorf("%s: %v, error %v: another token than the first time", alg, again, err)
		}
		if checked(t, v, compact) {
			t.Errorf("%s: the signature is checked again", alg)
		}
		forgetful := newVerifier(t, is, func(c *verifier.Config) { c.Remember = verifier.NoMemory })
		if !checked(t, forgetful, compact) {
			t.Errorf("%s: NoMemory remembers", alg)
		}
		// A caller cannot change what the next one gets.
		again.Scopes()[0], again.Audience()[0] = "x", "x"
		if third, err := v.Verify(t.Context(), compact); err != nil || !third.HasScope("orders:read") || third.Audience()[0] != audience {
			t.Errorf("%s: %v, error %v: changed by the caller before", alg, third, err)
		}
	}
}

// RSV-38: what is remembered is refused within the call after it was revoked, by everything that it carries.
func TestRSV38_RevokedAfterItWasRemembered(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	kid := is.signers[0].KeyID()
	for _, s := range []token.Subject{
		{Kind: token.RevokedJTI, Value: "j1"},
		{Kind: token.RevokedClient, Value: "c1"},
		{Kind: token.RevokedCredential, Value: "k1"},
		{Kind: token.RevokedKey, Value: kid},
		{Kind: token.RevokedResource, Value: audience},
		{Kind: token.RevokedAll},
	} {
		for name, revoke := range map[string]func(*token.Index){
			"set":      func(x *token.Index) { x.Set(token.Indexed{Revocation: token.Revocation{Subject: s}}) },
			"replaced": func(x *token.Index) { x.Replace([]token.Indexed{{Revocation: token.Revocation{Subject: s}}}) },
			"keys":     func(x *token.Index) { x.SetKeys([]string{kid}) },
		} {
			x := token.NewIndex()
			x.Replace(nil)
			v := newVerifier(t, is, func(c *verifier.Config) { c.Revoked = x })
			compact := is.token(t, nil)
			if _, err := v.Verify(t.Context(), compact); err != nil || checked(t, v, compact) {
				t.Fatalf("%v, or not remembered", err)
			}
			x.Set(token.Indexed{Revocation: token.Revocation{Subject: token.Subject{Kind: token.RevokedJTI, Value: "another"}}})
			if _, err := v.Verify(t.Context(), compact); err != nil || checked(t, v, compact) {
				t.Fatalf("after the revocation of another token: %v, or forgotten", err)
			}
			revoke(x)
			_, err := v.Verify(t.Context(), compact)
			if got := reasonOf(t, err); got != token.ReasonRevoked {
				t.Errorf("%s, %s: %q, want %q", s, name, got, token.ReasonRevoked)
			}
		}
	}
}

// An index that is no longer believed, and what cannot count its changes, is asked each time.
func TestRSV38_WhatDoesNotCountIsAskedEachTime(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	compact := is.token(t, nil)
	known := &changing{}
	v := newVerifier(t, is, func(c *verifier.Config) { c.Revoked = known })
	if _, err := v.Verify(t.Context(), compact); err != nil {
		t.Fatal(err)
	}
	known.found = token.Found{{Subject: token.Subject{Kind: token.RevokedClient, Value: "c1"}}}
	_, err := v.Verify(t.Context(), compact)
	if got := reasonOf(t, err); got != token.ReasonRevoked {
		t.Errorf("%q, want %q", got, token.ReasonRevoked)
	}
}

type changing struct{ found token.Found }

func (c *changing) Revocation(s token.Subject) (token.Revocation, bool) { return c.found.Revocation(s) }

// RSV-38: a key that is no longer published, or whose name is another key's by now, ends what it signed.
func TestRSV38_RKY_TheKeyIsLookedUpEachTime(t *testing.T) {
	for name, after := range map[string]func(is *issuer, old *jose.Signer) []*jose.Signer{
		"withdrawn": func(is *issuer, _ *jose.Signer) []*jose.Signer { return []*jose.Signer{newSigner(t, jose.ES256)} },
		"another key of that name": func(is *issuer, old *jose.Signer) []*jose.Signer {
			key, err := jose.GenerateKey(jose.ES256)
			if err != nil {
				t.Fatal(err)
			}
			s, err := jose.NewSigner(key, old.KeyID(), jose.ES256, jose.ES256)
			if err != nil {
				t.Fatal(err)
			}
			return []*jose.Signer{s}
		},
		"published again": nil,
	} {
		t.Run(name, func(t *testing.T) {
			is := newIssuer(t, jose.ES256)
			v := newVerifier(t, is)
			compact := is.token(t, nil)
			if _, err := v.Verify(t.Context(), compact); err != nil {
				t.Fatal(err)
			}
			if after != nil {
				is.set(func() { is.signers = after(is, is.signers[0]) })
			}
			is.now.Add(301) // the JWKS has expired: the next call waits for a new one
			_, err := v.Verify(t.Context(), compact)
			if (err == nil) != (after == nil) || err != nil && !errors.Is(err, verifier.ErrToken) {
				t.Errorf("error %v", err)
			}
			if after == nil && checked(t, v, compact) {
				t.Error("the same key was fetched again, and the token is forgotten")
			}
		})
	}
}

// RSV-27, RSV-29: the clock is asked each time, and so when it goes back.
func TestRSV38_RSV27_TheClockIsAskedEachTime(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	v := newVerifier(t, is, func(c *verifier.Config) { c.KeepKeysFor = 24 * time.Hour })
	compact := is.token(t, map[string]any{"exp": epoch.Unix() + 100})
	for _, step := range []struct {
		at   int64
		want token.Reason
	}{{0, ""}, {129, ""}, {130, token.ReasonExpired}, {129, ""}, {-61, token.ReasonNotYetValid}, {-60, ""}} {
		is.now.Store(epoch.Unix() + step.at)
		_, err := v.Verify(t.Context(), compact)
		if got := reasonOf(t, err); got != step.want {
			t.Errorf("at T%+d: %q, want %q", step.at, got, step.want)
		}
	}
}

// Only the very same bytes are remembered; refusals are not.
func TestRSV38_NothingThatLooksAlike(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	v := newVerifier(t, is)
	compact := is.token(t, nil)
	if _, err := v.Verify(t.Context(), compact); err != nil {
		t.Fatal(err)
	}
	for i := range len(compact) {
		b := []byte(compact)
		b[i] ^= 1
		if _, err := v.Verify(t.Context(), string(b)); err == nil {
			t.Fatalf("taken with byte %d changed", i)
		}
	}
	for _, other := range []string{compact + "=", " " + compact, compact + ".", ""} {
		if _, err := v.Verify(t.Context(), other); err == nil {
			t.Errorf("%q is taken", other)
		}
	}
}

// A revocation that was made before a call began is seen by it, however many calls run beside it.
func TestRSV38_AtOnce(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	x := token.NewIndex()
	x.Replace(nil)
	v := newVerifier(t, is, func(c *verifier.Config) { c.Revoked, c.Remember = x, 64 })
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 40 {
				jti := fmt.Sprintf("j-%d-%d", g, i)
				compact := is.token(t, map[string]any{"jti": jti})
				for range 3 {
					if _, err := v.Verify(t.Context(), compact); err != nil {
						t.Errorf("%s: %v", jti, err)
					}
				}
				x.Set(token.Indexed{Revocation: token.Revocation{Subject: token.Subject{Kind: token.RevokedJTI, Value: jti}}})
				if _, err := v.Verify(t.Context(), compact); err == nil {
					t.Errorf("%s: revoked, and taken", jti)
				}
			}
		})
	}
	wg.Wait()
}

// JWT-50, RST-10: what is too long to be a token costs nothing to refuse, with a memory as well.
func TestJWT50_RST10_NoHashOfWhatIsTooLong(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	v := newVerifier(t, is)
	long := is.token(t, nil) + strings.Repeat("A", 1<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 16 {
		if _, err := v.Verify(t.Context(), long); !errors.Is(err, verifier.ErrToken) {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / 16; n > 64<<10 {
		t.Errorf("%d bytes allocated for a token of a megabyte", n)
	}
}

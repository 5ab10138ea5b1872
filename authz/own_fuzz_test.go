package authz

import (
	"errors"
	"testing"
)

// FuzzTokenOfAStranger sends anything where a token belongs: it is inactive, changes nothing, opens
// nothing, and is no fault. The one thing that may be found is the other signature of a token that was
// given away, which is that token.
func FuzzTokenOfAStranger(f *testing.F) {
	s := newScene(f, nil)
	boss := s.boss(f)
	good, open := s.issue(f, s.rival, "").AccessToken, s.issue(f, boss, "").AccessToken
	jti := claims(f, good)["jti"]
	for _, compact := range []string{good, open} {
		for _, forged := range s.forgeries(f, compact) {
			f.Add(forged)
		}
		for _, kind := range s.otherKinds(f, compact) {
			f.Add(kind)
		}
	}
	f.Add(good)
	f.Add(twin(f, good))
	f.Fuzz(func(t *testing.T, compact string) {
		got := s.ask(t, s.first, compact)
		if got.Active {
			if got.JTI != jti {
				t.Fatalf("active: %q", compact)
			}
			return
		}
		done, err := s.server.Revoke(t.Context(), RevokeRequest{Token: compact, Client: presented(s.partner.id, s.partner.secret)})
		if err != nil || done.Changed || s.live() != 0 {
			t.Fatalf("%+v, %v, of %q", done, err, compact)
		}
		_, err = s.server.RevokeToken(t.Context(), admin, compact)
		if !errors.Is(err, ErrNotFound) {
			t.Fatalf("an administrator: %v, of %q", err, compact)
		}
		var invalid *InvalidTokenError
		if _, err := s.server.Admin(t.Context(), compact); !errors.As(err, &invalid) {
			t.Fatalf("opened by %q: %v", compact, err)
		}
	})
}

package authz

import (
	"context"
	"testing"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// What introspection costs beside the one signature that it must check: at most twice as much.
func BenchmarkIntrospect(b *testing.B) {
	s := newScene(b, nil)
	compact := s.issue(b, s.partner, "orders:read").AccessToken
	revoked := s.issue(b, s.partner, "orders:read").AccessToken
	s.withdraw(b, s.partner, revoked)
	ctx := context.Background()
	b.Run("signature", func(b *testing.B) {
		opts := jose.VerifyOptions{
			Types: []string{token.TypeAccessToken}, Algorithms: []jose.Algorithm{jose.ES256},
			Key: func(h jose.Header) (*jose.PublicKey, error) { return s.keys.public(h.KeyID) },
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := jose.Verify(compact, opts); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, row := range []struct {
		name, token string
		signed      bool
	}{{"active", compact, false}, {"revoked", revoked, false}, {"unknown", "nonsense", false}, {"active signed", compact, true}} {
		b.Run(row.name, func(b *testing.B) {
			r := IntrospectRequest{Token: row.token, Client: presented(s.first.id, s.first.secret), Signed: row.signed}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.server.Introspect(ctx, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkToken(b *testing.B) {
	s := newScene(b, nil)
	r := request(s.partner.id, s.partner.secret)
	b.Run("issue", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.server.Token(context.Background(), r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("dating", func(b *testing.B) { // what revocation adds to issuing
		v, err := s.server.own.verify(context.Background(), s.issue(b, s.partner, "").AccessToken)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if err := s.server.mint.dateAfter(&v.Claims, v.KeyID, DefaultTokenLifetime); err != nil {
				b.Fatal(err)
			}
		}
	})
}

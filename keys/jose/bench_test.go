package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"testing"
)

// benchPayload is as long as the claims of an ordinary access token.
var benchPayload = []byte(`{"iss":"https://as.example","sub":"c1","aud":"https://api.example","client_id":"c1",` +
	`"credential_id":"cr_0123456789abcdef","scope":"orders:read orders:write","iat":1800000000,"exp":1800000600,` +
	`"jti":"ABCDEFGHIJKLMNOPQRSTUVWXYZ"}`)

var benchAlgorithms = []Algorithm{ES256, ES384, Ed25519, RS256, PS256}

// BenchmarkSign shows what a token costs beside the bare signature over octets of the same length.
func BenchmarkSign(b *testing.B) {
	for _, alg := range benchAlgorithms {
		s := newSigner(b, alg)
		token, err := s.Sign("at+jwt", benchPayload)
		if err != nil {
			b.Fatal(err)
		}
		input := []byte(token[:len(token)-len(token)/5])
		b.Run(fmt.Sprintf("%s/token", alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Sign("at+jwt", benchPayload); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("%s/raw", alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := signRaw(s.key, alg, input); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkVerify shows what Verify costs beside the bare verification of the same signature.
func BenchmarkVerify(b *testing.B) {
	for _, alg := range benchAlgorithms {
		s := newSigner(b, alg)
		token, err := s.Sign("at+jwt", benchPayload)
		if err != nil {
			b.Fatal(err)
		}
		opts := VerifyOptions{Types: []string{"at+jwt"}, Algorithms: benchAlgorithms, Key: onlyKey(s.PublicKey())}
		b.Run(fmt.Sprintf("%s/token", alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Verify(token, opts); err != nil {
					b.Fatal(err)
				}
			}
		})
		input := []byte(token[:len(token)-len(token)/5])
		signature, err := signRaw(s.key, alg, input)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%s/raw", alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !verifyRaw(s.public.raw, alg, input, signature) {
					b.Fatal("refused")
				}
			}
		})
	}
}

func signRaw(key crypto.Signer, alg Algorithm, input []byte) ([]byte, error) {
	switch alg { // a hash that is not signed is not made
	case ES384:
		wide := sha512.Sum384(input)
		return key.Sign(rand.Reader, wide[:], crypto.SHA384)
	case Ed25519:
		return key.Sign(rand.Reader, input, crypto.Hash(0))
	}
	digest := sha256.Sum256(input)
	if alg == PS256 {
		return key.Sign(rand.Reader, digest[:], &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256})
	}
	return key.Sign(rand.Reader, digest[:], crypto.SHA256)
}

func verifyRaw(pub crypto.PublicKey, alg Algorithm, input, signature []byte) bool {
	switch alg {
	case ES384:
		wide := sha512.Sum384(input)
		return ecdsa.VerifyASN1(pub.(*ecdsa.PublicKey), wide[:], signature)
	case Ed25519:
		return ed25519.Verify(pub.(ed25519.PublicKey), input, signature)
	}
	digest := sha256.Sum256(input)
	switch alg {
	case ES256:
		return ecdsa.VerifyASN1(pub.(*ecdsa.PublicKey), digest[:], signature)
	case PS256:
		return rsa.VerifyPSS(pub.(*rsa.PublicKey), crypto.SHA256, digest[:], signature, nil) == nil
	}
	return rsa.VerifyPKCS1v15(pub.(*rsa.PublicKey), crypto.SHA256, digest[:], signature) == nil
}

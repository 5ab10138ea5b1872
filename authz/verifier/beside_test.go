package verifier_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v2/jwk"
	jwxjwt "github.com/lestrrat-go/jwx/v2/jwt"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

// contender is one way to check tokens[i].
type contender struct {
	name  string
	check func(i int) error
}

// BenchmarkBeside compares a token's first sight, with the revocation check on, with what the standard library
// needs for the signature alone, and with the libraries that services use. They take turns within one run, in short
// bursts, each round beginning with another one, so that a busy machine is busy for all of them; reported are medians
// over the rounds, of the ratios to the bare signature and of that one's time. Every check is about another token.
//
//	go test -run '^$' -bench Beside -benchtime 400x ./authz/verifier
func BenchmarkBeside(b *testing.B) {
	for _, alg := range []jose.Algorithm{jose.ES256, jose.RS256, jose.Ed25519} {
		b.Run(string(alg), func(b *testing.B) {
			f := newField(b, alg)
			us := inTurn(b, 8, f.bare(b), f.marque(b), f.oidc(), f.keyfunc(b), f.jwx(b))
			b.ReportMetric(us[0]/1e3, "bare-µs")
		})
	}
}

// BenchmarkRepeated compares what a repeated token costs with a check against no revocation, against a million live
// ones, and without a check, whether the service was given the revocations or follows the issuer; like BenchmarkBeside.
//
//	go test -run '^$' -bench Repeated -benchtime 400x ./authz/verifier
func BenchmarkRepeated(b *testing.B) {
	const many = 1_000_000
	b.Run("given", func(b *testing.B) {
		f := newField(b, jose.ES256)
		checked := func(n int) contender {
			x := revocations(n)
			return again(b, f.verifier(b, func(c *verifier.Config) { c.Revoked = x }), f.tokens)
		}
		var calls atomic.Int64
		counted := again(b, f.verifier(b, func(c *verifier.Config) {
			c.Revoked = revocations(0)
			c.OnVerdict = func(verifier.Verdict) { calls.Add(1) }
		}), f.tokens)
		counted.name = "counted"
		compareRepeated(b, checked(0), checked(many), again(b, f.verifier(b, func(*verifier.Config) {}), f.tokens), counted)
	})
	b.Run("following", func(b *testing.B) {
		is := newFeed(b, jose.ES256)
		tokens := make([]string, 512)
		for i := range tokens {
			tokens[i] = is.token(b, map[string]any{"jti": fmt.Sprintf("LIVE%022d", i)})
		}
		none, million := follow(b, is, nil).Verifier, follow(b, is, nil).flooded(many)
		compareRepeated(b, again(b, none, tokens), again(b, million, tokens), again(b, newVerifier(b, is), tokens))
	})
}

func compareRepeated(b *testing.B, none, million, unchecked contender, more ...contender) {
	b.Helper()
	none.name, million.name, unchecked.name = "none", "million", "unchecked"
	ns := inTurn(b, 1024, append([]contender{none, million, unchecked}, more...)...)
	b.ReportMetric(ns[0], "none-ns")
	b.ReportMetric(ns[1], "million-ns")
	b.ReportMetric(ns[2], "unchecked-ns")
}

// again has seen every token.
func again(b *testing.B, v *verifier.Verifier, tokens []string) contender {
	b.Helper()
	c := checks("", v, tokens)
	for i := range tokens {
		if err := c.check(i); err != nil {
			b.Fatal(err)
		}
	}
	return c
}

// checks verifies one token after the other.
func checks(name string, v *verifier.Verifier, tokens []string) contender {
	ctx := context.Background()
	return contender{name, func(i int) error {
		_, err := v.Verify(ctx, tokens[i%len(tokens)])
		return err
	}}
}

// flooded is the verifier after a snapshot of so many revoked tokens.
func (f *following) flooded(n int) *verifier.Verifier {
	const each = 200
	f.run = "flood"
	parts := n / each
	for p := range parts {
		var all []token.Subject
		for i := range each {
			all = append(all, jti(fmt.Sprintf("REVOKED%019d", p*each+i)))
		}
		f.send(f.part(p+1, parts, all...))
	}
	if r := f.wait(verifier.FeedInstalled); r.Revocations != n {
		f.t.Fatalf("%d revocations", r.Revocations)
	}
	return f.Verifier
}

func revocations(n int) *token.Index {
	x := token.NewIndex()
	all := make([]token.Indexed, n)
	for i := range all {
		all[i].Subject = jti(fmt.Sprintf("REVOKED%019d", i))
	}
	x.Replace(all)
	return x
}

// inTurn runs the contenders in bursts, and reports the medians of their ratios to the first one. It returns the
// medians of their times, in nanoseconds.
func inTurn(b *testing.B, burst int, all ...contender) []float64 {
	b.Helper()
	runtime.GC() // what the preparations left behind is nobody's
	times := make([][]float64, len(all))
	next := make([]int, len(all))
	for round := 0; b.Loop(); round++ {
		for turn := range all {
			which := (round + turn) % len(all)
			began := time.Now()
			for range burst {
				if err := all[which].check(next[which]); err != nil {
					b.Fatal(all[which].name, err)
				}
				next[which]++
			}
			times[which] = append(times[which], float64(time.Since(began).Nanoseconds())/float64(burst))
		}
	}
	medians := make([]float64, len(all))
	for which := range all {
		ratios := make([]float64, len(times[which]))
		for round := range ratios {
			ratios[round] = times[which][round] / times[0][round]
		}
		medians[which] = median(times[which])
		if which > 0 {
			b.ReportMetric(median(ratios), all[which].name+"/"+all[0].name)
		}
	}
	b.ReportMetric(0, "ns/op") // of a whole round: means nothing
	if load, ok := loadAverage(); ok {
		b.ReportMetric(load, "load")
	}
	return medians
}

func median(s []float64) float64 {
	s = slices.Sorted(slices.Values(s))
	return s[len(s)/2]
}

// loadAverage is that of the last minute, where the system says it.
func loadAverage() (float64, bool) {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, false
	}
	text, _, _ := strings.Cut(string(b), " ")
	load, err := strconv.ParseFloat(text, 64)
	return load, err == nil
}

// field is what the contenders share: the key, and tokens of ordinary size by the server's own writer.
type field struct {
	public *jose.PublicKey
	set    []byte // the JWKS document
	tokens []string
}

const benchIssuer = "https://as.example"

// newField signs Ed25519 tokens as EdDSA, the one name of it that the libraries know.
func newField(b *testing.B, alg jose.Algorithm) *field {
	b.Helper()
	wire := alg
	if alg == jose.Ed25519 {
		wire = jose.EdDSA
	}
	key, err := jose.GenerateKey(alg)
	if err != nil {
		b.Fatal(err)
	}
	s, err := jose.NewSigner(key, "", alg, wire)
	if err != nil {
		b.Fatal(err)
	}
	f := &field{public: s.PublicKey()}
	entry, err := f.public.JWK(wire)
	if err != nil {
		b.Fatal(err)
	}
	f.set = slices.Concat([]byte(`{"keys":[`), entry, []byte(`]}`))
	for i := range 512 {
		claims := token.Claims{
			Issuer: benchIssuer, Subject: "orders-service", ClientID: "orders-service", Audience: []string{audience},
			CredentialID: "cr_0123456789abcdef", Scope: "orders:read orders:write",
			IssuedAt: epoch, Expiry: epoch.Add(10 * time.Minute), JTI: fmt.Sprintf("ABCDEFGHIJKLMNOPQRST%06d", i),
		}
		payload, err := claims.AppendJSON(nil)
		if err != nil {
			b.Fatal(err)
		}
		compact, err := s.Sign(token.TypeAccessToken, payload)
		if err != nil {
			b.Fatal(err)
		}
		f.tokens = append(f.tokens, compact)
	}
	return f
}

// bare is the standard library over octets that need no decoding.
func (f *field) bare(b *testing.B) contender {
	b.Helper()
	inputs, signatures := make([][]byte, len(f.tokens)), make([][]byte, len(f.tokens))
	for i, compact := range f.tokens {
		dot := strings.LastIndex(compact, ".")
		sig, err := base64.RawURLEncoding.DecodeString(compact[dot+1:])
		if err != nil {
			b.Fatal(err)
		}
		if f.public.Algorithm() == jose.ES256 {
			half := len(sig) / 2
			if sig, err = asn1.Marshal([]*big.Int{new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:])}); err != nil {
				b.Fatal(err)
			}
		}
		inputs[i], signatures[i] = []byte(compact[:dot]), sig
	}
	raw := f.public.Raw()
	return contender{"bare", func(i int) error {
		i %= len(inputs)
		if !bareSignature(raw, inputs[i], signatures[i]) {
			return jose.ErrSignature
		}
		return nil
	}}
}

func bareSignature(key crypto.PublicKey, input, sig []byte) bool {
	switch pub := key.(type) {
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(input)
		return ecdsa.VerifyASN1(pub, sum[:], sig)
	case *rsa.PublicKey:
		sum := sha256.Sum256(input)
		return rsa.VerifyPKCS1v15(pub, crypto.SHA256, sum[:], sig) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(pub, input, sig)
	}
	return false
}

// marque sees every token for the first time: it remembers few, and has forgotten them when they come again.
func (f *field) marque(b *testing.B) contender {
	b.Helper()
	return checks("marque", f.verifier(b, func(c *verifier.Config) { c.Revoked, c.Remember = revocations(1000), 16 }), f.tokens)
}

func (f *field) verifier(b *testing.B, change func(*verifier.Config)) *verifier.Verifier {
	b.Helper()
	set, err := jose.NewSet(f.public)
	if err != nil {
		b.Fatal(err)
	}
	c := verifier.Config{Issuer: benchIssuer, Audience: audience, Keys: set, Now: func() time.Time { return epoch }}
	change(&c)
	v, err := verifier.New(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(v.Close)
	return v
}

func (f *field) oidc() contender {
	ctx := context.Background()
	keys := &oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{f.public.Raw()}}
	v := oidc.NewVerifier(benchIssuer, keys, &oidc.Config{
		ClientID: audience, SupportedSigningAlgs: []string{oidc.ES256, oidc.RS256, oidc.EdDSA}, Now: func() time.Time { return epoch },
	})
	return contender{"go-oidc", func(i int) error {
		_, err := v.Verify(ctx, f.tokens[i%len(f.tokens)])
		return err
	}}
}

func (f *field) keyfunc(b *testing.B) contender {
	b.Helper()
	keys, err := keyfunc.NewJWKSetJSON(json.RawMessage(f.set))
	if err != nil {
		b.Fatal(err)
	}
	p := jwt.NewParser(jwt.WithValidMethods([]string{"ES256", "RS256", "EdDSA"}), jwt.WithIssuer(benchIssuer),
		jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithTimeFunc(func() time.Time { return epoch }))
	return contender{"keyfunc", func(i int) error {
		_, err := p.Parse(f.tokens[i%len(f.tokens)], keys.Keyfunc)
		return err
	}}
}

func (f *field) jwx(b *testing.B) contender {
	b.Helper()
	keys, err := jwk.Parse(f.set)
	if err != nil {
		b.Fatal(err)
	}
	clock := jwxjwt.ClockFunc(func() time.Time { return epoch })
	return contender{"jwx", func(i int) error {
		_, err := jwxjwt.Parse([]byte(f.tokens[i%len(f.tokens)]), jwxjwt.WithKeySet(keys), jwxjwt.WithIssuer(benchIssuer),
			jwxjwt.WithAudience(audience), jwxjwt.WithClock(clock))
		return err
	}}
}

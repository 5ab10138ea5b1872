package verifier_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"hash"
	"math/big"
	"strings"
	"testing"

	"github.com/marque-auth/marque/keys/jose"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// forger writes tokens that no signer of ours would. It has the issuer's keys, so that a token can be wrong in one
// thing alone: what is refused is refused for that, and not for its signature.
type forger struct {
	t    *testing.T
	is   *issuer
	keys map[jose.Algorithm]crypto.Signer
	mine *ecdsa.PrivateKey // nobody else's
}

// newForger makes an issuer that publishes a key for each algorithm, under the algorithm's name.
func newForger(t *testing.T) *forger {
	t.Helper()
	f := &forger{t: t, is: newIssuer(t), keys: map[jose.Algorithm]crypto.Signer{}}
	for _, alg := range jose.Algorithms() {
		key, err := jose.GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		s, err := jose.NewSigner(key, string(alg), alg, alg)
		if err != nil {
			t.Fatal(err)
		}
		f.keys[alg] = key
		f.is.signers = append(f.is.signers, s)
	}
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	f.mine = key.(*ecdsa.PrivateKey)
	return f
}

// public is the published key for alg.
func (f *forger) public(alg jose.Algorithm) *jose.PublicKey {
	for _, s := range f.is.signers {
		if s.Algorithm() == alg {
			return s.PublicKey()
		}
	}
	f.t.Fatalf("no key for %s", alg)
	return nil
}

// payload is that of a good token, as the server writes it, with more members in front.
func (f *forger) payload(more ...string) string {
	return fmt.Sprintf(`{%s"iss":%q,"sub":"c1","aud":%q,"client_id":"c1","scope":"orders:read","iat":1800000000,"exp":1800000600,"jti":"j1"}`,
		strings.Join(append(more, ""), ","), f.is.URL, audience)
}

// header is that of a good ES256 token, with more members at its end.
func header(more ...string) string {
	return `{` + strings.Join(append([]string{`"alg":"ES256","kid":"ES256","typ":"at+jwt"`}, more...), ",") + `}`
}

// sign signs input as alg says, with a key that may be another algorithm's: RSA with PSS if alg is PS256.
func (f *forger) sign(key crypto.Signer, alg, input string) string {
	h, digest := crypto.SHA256, []byte(nil)
	switch {
	case strings.HasSuffix(alg, "384"):
		h = crypto.SHA384
	case strings.HasSuffix(alg, "512"):
		h = crypto.SHA512
	}
	w := h.New()
	w.Write([]byte(input))
	digest = w.Sum(nil)
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		der, err := k.Sign(rand.Reader, digest, h)
		f.check(err)
		var sig struct{ R, S *big.Int }
		_, err = asn1.Unmarshal(der, &sig)
		f.check(err)
		return rs(sig.R, sig.S, (k.Params().BitSize+7)/8)
	case *rsa.PrivateKey:
		opts := crypto.SignerOpts(h)
		if strings.HasPrefix(alg, "PS") {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h}
		}
		sig, err := k.Sign(rand.Reader, digest, opts)
		f.check(err)
		return string(sig)
	case ed25519.PrivateKey:
		return string(ed25519.Sign(k, []byte(input)))
	}
	f.t.Fatalf("a key that is a %T", key)
	return ""
}

func (f *forger) check(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// rs is a signature of these two numbers.
func rs(r, s *big.Int, size int) string {
	b := make([]byte, 2*size)
	r.FillBytes(b[:size])
	s.FillBytes(b[size:])
	return string(b)
}

// token is whatever header and payload say, with a right signature by the issuer's ES256 key.
func (f *forger) token(header, payload string) string {
	return f.segments(b64(header), b64(payload))
}

// segments is token for segments that are text already, and need not be base64url.
func (f *forger) segments(header, payload string) string {
	input := header + "." + payload
	return input + "." + b64(f.sign(f.keys[jose.ES256], "ES256", input))
}

// by is a token of this algorithm, signed as it says by the issuer's key of another one.
func (f *forger) by(key jose.Algorithm, kid jose.Algorithm, alg string) string {
	input := b64(`{"alg":"`+alg+`","kid":"`+string(kid)+`","typ":"at+jwt"}`) + "." + b64(f.payload())
	return input + "." + b64(f.sign(f.keys[key], alg, input))
}

// foreign is a token with a right signature by the forger's own key.
func (f *forger) foreign(header, payload string) string {
	input := b64(header) + "." + b64(payload)
	return input + "." + b64(f.sign(f.mine, "ES256", input))
}

// signed is a good token of alg with another signature, made of the right one.
func (f *forger) signed(alg jose.Algorithm, change func(sig []byte) []byte) string {
	good := f.by(alg, alg, string(alg))
	dot := strings.LastIndex(good, ".")
	sig, err := base64.RawURLEncoding.DecodeString(good[dot+1:])
	f.check(err)
	return good[:dot+1] + b64(string(change(sig)))
}

// hmac is a token whose signature is an HMAC with this secret, under a header that says alg and kid.
func (f *forger) hmac(alg string, kid jose.Algorithm, secret []byte) string {
	hashes := map[string]func() hash.Hash{"HS384": sha512.New384, "HS512": sha512.New}
	h := hashes[alg]
	if h == nil {
		h = sha256.New
	}
	input := b64(`{"alg":"`+alg+`","kid":"`+string(kid)+`","typ":"at+jwt"}`) + "." + b64(f.payload())
	m := hmac.New(h, secret)
	m.Write([]byte(input))
	return input + "." + b64(string(m.Sum(nil)))
}

package jose

import (
	"crypto"
	"errors"
	"strings"
	"testing"
)

const testPayload = `{"iss":"https://as.example","exp":1800000000}`

// newSigner returns a signer with a fresh key.
func newSigner(tb testing.TB, alg Algorithm) *Signer {
	tb.Helper()
	key, err := GenerateKey(alg)
	if err != nil {
		tb.Fatal(err)
	}
	return signerFor(tb, key, alg)
}

func signerFor(tb testing.TB, key crypto.Signer, alg Algorithm) *Signer {
	tb.Helper()
	s, err := NewSigner(key, "", alg, alg)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// onlyKey is a VerifyOptions.Key that knows one key.
func onlyKey(k *PublicKey) func(Header) (*PublicKey, error) {
	return func(h Header) (*PublicKey, error) {
		if h.KeyID != k.KeyID() {
			return nil, ErrUnknownKey
		}
		return k, nil
	}
}

// accepting accepts access tokens signed by k, in every algorithm that there is.
func accepting(k *PublicKey) VerifyOptions {
	return VerifyOptions{
		Types:      []string{"at+jwt"},
		Algorithms: []Algorithm{ES256, ES384, RS256, PS256, Ed25519},
		Key:        onlyKey(k),
	}
}

// anyKid accepts like accepting, and finds k under every kid, so that nothing but the rule in
// question can refuse a token.
func anyKid(k *PublicKey) VerifyOptions {
	opts := accepting(k)
	opts.Key = func(Header) (*PublicKey, error) { return k, nil }
	return opts
}

// sign returns a good token.
func sign(tb testing.TB, s *Signer) string {
	tb.Helper()
	token, err := s.Sign("at+jwt", []byte(testPayload))
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

// forge returns a token with this header and payload, and a signature over it that is right.
func forge(tb testing.TB, s *Signer, header, payload string) string {
	tb.Helper()
	return resign(tb, s, b64(header)+"."+b64(payload))
}

// resign completes a signing input, well formed or not, by a signature that is right.
func resign(tb testing.TB, s *Signer, input string) string {
	tb.Helper()
	signature, err := s.signature([]byte(input))
	if err != nil {
		tb.Fatal(err)
	}
	return input + "." + strictBase64.EncodeToString(signature)
}

func b64(s string) string { return strictBase64.EncodeToString([]byte(s)) }

// header returns a good header's JSON with members appended as they are.
func header(s *Signer, members string) string {
	h := string(Header{Algorithm: s.wire, KeyID: s.KeyID(), Type: "at+jwt"}.appendJSON(nil))
	return strings.TrimSuffix(h, "}") + members + "}"
}

// wantErr fails the test unless err wraps want, and unless the error text is free of the input.
func wantErr(tb testing.TB, err, want error, input string) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Errorf("got error %v, want %v", err, want)
		return
	}
	for _, part := range strings.FieldsFunc(input, func(r rune) bool { return r == '.' || r == '"' }) {
		if len(part) > 15 && strings.Contains(err.Error(), part) {
			tb.Errorf("error text repeats the input: %v", err)
		}
	}
}

// refused fails the test unless Verify refuses token for want.
func refused(tb testing.TB, token string, opts VerifyOptions, want error) {
	tb.Helper()
	h, payload, err := Verify(token, opts)
	wantErr(tb, err, want, token)
	if h != (Header{}) || payload != nil {
		tb.Errorf("a refused token gave %v, %q", h, payload)
	}
}

// accepted fails the test unless Verify accepts token.
func accepted(tb testing.TB, token string, opts VerifyOptions) (Header, []byte) {
	tb.Helper()
	h, payload, err := Verify(token, opts)
	if err != nil {
		tb.Fatalf("refused a good token: %v", err)
	}
	return h, payload
}

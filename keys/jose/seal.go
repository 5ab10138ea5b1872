package jose

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwe"
)

const (
	maxSealedSize  = 64 << 10 // octets of a sealed secret
	maxMembers     = 16       // that a sealed secret is bound to
	maxMemberName  = 32       // characters
	maxMemberValue = 1 << 10  // octets

	gcmNonceSize = 12
	gcmTagSize   = 16
	gcmKeySize   = 32
)

// The registered header members that every sealed secret has: RFC 7516, Section 4.1 and RFC 7518,
// Section 4.7.1.
const (
	memberAlg = "alg"
	memberEnc = "enc"
	memberKID = "kid"
	memberIV  = "iv"
	memberTag = "tag"
)

// Seal encrypts plaintext under k as a compact JWE (A256GCMKW, A256GCM) and binds it to members,
// which stand readable in its protected header: say what the secret is for and whose it is, so that
// one sealed secret never passes for another. Names are of a-z, 0-9 and _, and not registered for JWE
// headers; values are UTF-8. The plaintext is not empty. A fresh content key is made each time; a KEK serves 2³² calls.
func Seal(k *KEK, members map[string]string, plaintext []byte) (string, error) {
	if k == nil {
		return "", errors.New("jose: seal: no key-encryption key")
	}
	if err := checkMembers(members); err != nil {
		return "", err
	}
	if len(plaintext) == 0 {
		return "", errors.New("jose: seal: nothing to seal") // the library cannot open it again
	}
	h := jwe.NewHeaders()
	if err := h.Set(jwe.KeyIDKey, k.id); err != nil {
		return "", fmt.Errorf("jose: seal: header: %w", err)
	}
	for name, value := range members {
		if err := h.Set(name, value); err != nil {
			return "", fmt.Errorf("jose: seal: header member %q: %w", name, err)
		}
	}
	sealed, err := jwe.Encrypt(plaintext,
		jwe.WithKey(jwa.A256GCMKW, k.secret[:]),
		jwe.WithContentEncryption(jwa.A256GCM),
		jwe.WithProtectedHeaders(h))
	if err != nil {
		return "", errors.New("jose: seal: encryption failed") // the library's text is not ours to trust
	}
	if len(sealed) > maxSealedSize {
		return "", fmt.Errorf("jose: seal: over %d octets", maxSealedSize)
	}
	return string(sealed), nil
}

// Open decrypts what [Seal] made under one of keks with exactly these members: each one there with
// that value, and no others. Otherwise the error wraps [ErrSealed]. The header names the
// key-encryption key, so that old ones may stay for reading.
func Open(keks []*KEK, members map[string]string, sealed string) ([]byte, error) {
	if err := checkMembers(members); err != nil {
		return nil, err
	}
	kid, err := checkSealed(sealed, members)
	if err != nil {
		return nil, err
	}
	for _, k := range keks {
		if k == nil || k.id != kid {
			continue
		}
		// The header was read strictly and says nothing but what Seal writes: no zip, no other alg.
		plaintext, err := jwe.Decrypt([]byte(sealed), jwe.WithKey(jwa.A256GCMKW, k.secret[:]))
		if err != nil {
			return nil, fmt.Errorf("%w: altered, or not sealed by the key-encryption key %s", ErrSealed, k.id)
		}
		return plaintext, nil
	}
	return nil, fmt.Errorf("%w: its key-encryption key is not among those given", ErrSealed)
}

// SealedBy returns the identifier of the key-encryption key under which sealed claims to rest. Whether it
// does, only [Open] can say. A text that is no compact JWE is an error that wraps [ErrSealed].
func SealedBy(sealed string) (kekID string, err error) {
	head, _, ok := strings.Cut(sealed, ".")
	if !ok || len(sealed) > maxSealedSize {
		return "", fmt.Errorf("%w: not a compact JWE", ErrSealed)
	}
	b, err := decodeSegment(head)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSealed, err)
	}
	var header map[string]string
	if err := StrictUnmarshal(b, &header, false); err != nil {
		return "", fmt.Errorf("%w: header: %w", ErrSealed, err)
	}
	if header[memberKID] == "" {
		return "", fmt.Errorf("%w: header names no key-encryption key", ErrSealed)
	}
	return header[memberKID], nil
}

// checkSealed reads the form and the header of a sealed secret and returns its kid. The library
// decodes base64 and JSON leniently and trusts the lengths it finds, so everything is settled here.
func checkSealed(sealed string, members map[string]string) (kid string, err error) {
	if len(sealed) > maxSealedSize || strings.Count(sealed, ".") != 4 {
		return "", fmt.Errorf("%w: not a compact JWE", ErrSealed)
	}
	parts := strings.Split(sealed, ".")
	var decoded [5][]byte
	for i, p := range parts {
		if decoded[i], err = decodeSegment(p); err != nil {
			return "", fmt.Errorf("%w: %w", ErrSealed, err)
		}
	}
	if len(decoded[1]) != gcmKeySize || len(decoded[2]) != gcmNonceSize || len(decoded[4]) != gcmTagSize {
		return "", fmt.Errorf("%w: a part of the wrong length", ErrSealed)
	}
	var header map[string]string
	if err := StrictUnmarshal(decoded[0], &header, false); err != nil {
		return "", fmt.Errorf("%w: header: %w", ErrSealed, err)
	}
	return header[memberKID], checkSealedHeader(header, members)
}

func checkSealedHeader(header, members map[string]string) error {
	if header[memberAlg] != "A256GCMKW" || header[memberEnc] != "A256GCM" || len(header) != 5+len(members) {
		return fmt.Errorf("%w: header is not one of ours", ErrSealed)
	}
	iv, err := decodeSegment(header[memberIV])
	if err != nil || len(iv) != gcmNonceSize {
		return fmt.Errorf("%w: header iv", ErrSealed)
	}
	tag, err := decodeSegment(header[memberTag])
	if err != nil || len(tag) != gcmTagSize {
		return fmt.Errorf("%w: header tag", ErrSealed)
	}
	for name, want := range members {
		if got, ok := header[name]; !ok || got != want {
			return fmt.Errorf("%w: sealed for something else: %q differs", ErrSealed, name)
		}
	}
	return nil
}

// checkMembers refuses names that mean something to JOSE, and values that JSON would change.
func checkMembers(members map[string]string) error {
	if len(members) > maxMembers {
		return fmt.Errorf("jose: seal: over %d members", maxMembers)
	}
	for name, value := range members {
		if !memberName(name) {
			return fmt.Errorf("jose: seal: %q cannot name a member", name)
		}
		if len(value) > maxMemberValue || !utf8.ValidString(value) {
			return fmt.Errorf("jose: seal: the value of %q is too long or not UTF-8", name)
		}
	}
	return nil
}

func memberName(name string) bool {
	switch name {
	case "", memberAlg, memberEnc, memberKID, memberIV, memberTag, "zip", "crit", "typ", "cty", "jku", "jwk",
		"x5u", "x5c", "x5t", "epk", "apu", "apv", "p2s", "p2c", "b64", "skid", "url", "iss", "sub", "aud":
		return false
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return len(name) <= maxMemberName
}

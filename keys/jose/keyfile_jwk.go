package jose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// wireKeyFile is a private JWK as another server writes it. Members that are not here are ignored
// (RFC 7517, Section 4), x5c, x5u and x5t among them.
type wireKeyFile struct {
	wirePrivateKey
	Use    *string  `json:"use"`
	KeyOps []string `json:"key_ops"`
	Alg    *string  `json:"alg"`
	KeyID  *string  `json:"kid"`
}

// fileMembers are the names that mean something in a key file.
var fileMembers = [...]string{
	"kty", "crv", "x", "y", "n", "e", "d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv",
	"use", "key_ops", "alg", "kid", "keys", "ciphertext",
}

func parseJWKFile(text []byte) (PrivateKeyFile, error) {
	var members map[string]jsontext.Value
	if err := StrictUnmarshal(text, &members, false); err != nil {
		return PrivateKeyFile{}, err
	}
	if err := checkFileMembers(members); err != nil {
		return PrivateKeyFile{}, err
	}
	var w wireKeyFile
	if err := StrictUnmarshal(text, &w, false); err != nil {
		return PrivateKeyFile{}, err
	}
	alg, err := w.purpose()
	if err != nil {
		return PrivateKeyFile{}, err
	}
	key, err := w.signer()
	if err != nil {
		return PrivateKeyFile{}, err
	}
	kid := ""
	if w.KeyID != nil {
		kid = *w.KeyID
	}
	return newPrivateKeyFile(key, kid, alg)
}

// checkFileMembers tells a private key from everything else that a JSON file may hold.
func checkFileMembers(members map[string]jsontext.Value) error {
	for _, name := range fileMembers {
		if members[name].Kind() == 'n' {
			return fmt.Errorf("%w: the member %s is null: give it a value or leave it out", ErrMalformed, name)
		}
	}
	// An unknown member is ignored. A Kid that is ignored would give the key another kid, which its
	// validators do not know.
	for name := range members {
		folded := strings.ToLower(name)
		if i := slices.Index(fileMembers[:], folded); i >= 0 && name != folded {
			return fmt.Errorf("%w: a member with capitals where %s is meant", ErrMalformed, fileMembers[i])
		}
	}
	has := func(name string) bool { return members[name] != nil }
	switch {
	case has("keys"):
		return fmt.Errorf("%w: a JWK set (member keys): take the one private key out of it", ErrKey)
	case has("ciphertext"):
		return fmt.Errorf("%w: an encrypted JWK (member ciphertext): decrypt it first", ErrKey)
	case has("k"):
		return fmt.Errorf("%w: a symmetric key (member k): an EC, RSA or Ed25519 key is needed", ErrKey)
	case has("oth"):
		return errPrimes()
	case !has("kty"):
		return fmt.Errorf("%w: the member kty is missing: EC, RSA or OKP", ErrKey)
	case !has("d") && !has("priv"):
		return errPublicOnly("no member d")
	}
	return nil
}

// purpose returns what the key says of itself, "" where it does not say an algorithm, and refuses
// what is not for signing: RFC 7517, Sections 4.2 to 4.5.
func (w *wireKeyFile) purpose() (Algorithm, error) {
	switch {
	case w.Use != nil && *w.Use != "sig":
		return "", fmt.Errorf("%w: the member use is not sig: a signing key is needed, not one for encryption", ErrKey)
	case w.KeyOps != nil && !slices.Contains(w.KeyOps, "sign"):
		return "", fmt.Errorf("%w: the member key_ops lacks sign: a signing key is needed", ErrKey)
	case w.KeyID != nil && !plainText(*w.KeyID, MaxKeyIDLength):
		return "", fmt.Errorf("%w: the member kid is not 1 to %d printable ASCII characters without quote and backslash",
			ErrKey, MaxKeyIDLength)
	}
	for i, op := range w.KeyOps {
		if op != "sign" && op != "verify" || slices.Contains(w.KeyOps[:i], op) {
			return "", fmt.Errorf("%w: the member key_ops has more than sign and verify, or one twice", ErrKey)
		}
	}
	if w.Alg == nil {
		return "", nil
	}
	alg, err := ParseAlgorithm(*w.Alg)
	if err != nil {
		return "", fmt.Errorf("%w: the member alg is not one of ES256, ES384, RS256, PS256, Ed25519, EdDSA", ErrKey)
	}
	return alg, nil
}

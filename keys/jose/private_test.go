package jose

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

type equaler interface{ Equal(crypto.PrivateKey) bool }

func TestPrivateJWKRoundTrip(t *testing.T) {
	for alg, want := range map[Algorithm]string{
		ES256:   "crv d kty x y",
		ES384:   "crv d kty x y",
		RS256:   "d dp dq e kty n p q qi",
		PS256:   "d dp dq e kty n p q qi",
		Ed25519: "crv d kty x",
	} {
		t.Run(string(alg), func(t *testing.T) {
			key, err := GenerateKey(alg)
			if err != nil {
				t.Fatal(err)
			}
			b, err := MarshalPrivateJWK(key)
			if err != nil {
				t.Fatal(err)
			}
			members := privateMembers(t, b)
			if got := strings.Join(slices.Sorted(maps.Keys(members)), " "); got != want {
				t.Errorf("got members %s, want %s", got, want)
			}
			again, err := ParsePrivateJWK(b)
			if err != nil {
				t.Fatal(err)
			}
			if !key.(equaler).Equal(again) {
				t.Error("another key came back")
			}
			s := signerFor(t, again, alg)
			accepted(t, sign(t, s), accepting(signerFor(t, key, alg).PublicKey()))
			// A public document never takes it in: JWK-03.
			if _, err := ParsePublicJWK(b, "k", alg); !errors.Is(err, ErrKey) {
				t.Errorf("read as a public key: %v", err)
			}
		})
	}
}

func privateMembers(t *testing.T, b []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// Each member that is altered, swapped with another key's, or gone makes the key unusable.
func TestPrivateJWKDoesNotFit(t *testing.T) {
	for _, alg := range []Algorithm{ES256, ES384, RS256, Ed25519} {
		marshal := func() map[string]any {
			key, err := GenerateKey(alg)
			if err != nil {
				t.Fatal(err)
			}
			b, err := MarshalPrivateJWK(key)
			if err != nil {
				t.Fatal(err)
			}
			return privateMembers(t, b)
		}
		mine, other := marshal(), marshal()
		for name := range mine {
			changes := map[string]func(map[string]any){
				"gone":   func(m map[string]any) { delete(m, name) },
				"empty":  func(m map[string]any) { m[name] = "" },
				"null":   func(m map[string]any) { m[name] = nil },
				"number": func(m map[string]any) { m[name] = 1 },
				"padded": func(m map[string]any) { m[name] = m[name].(string) + "=" },
				"longer": func(m map[string]any) { m[name] = m[name].(string) + "AAAA" },
				"cased":  func(m map[string]any) { m[strings.ToUpper(name)] = m[name]; delete(m, name) },
			}
			if mine[name] != other[name] {
				changes["another key's"] = func(m map[string]any) { m[name] = other[name] }
			}
			for change, apply := range changes {
				t.Run(fmt.Sprintf("%s %s %s", alg, name, change), func(t *testing.T) {
					m := maps.Clone(mine)
					apply(m)
					refusedPrivate(t, m)
				})
			}
		}
		for member, value := range map[string]any{"kid": "k", "alg": "ES256", "oth": []any{}, "k": "AAAA", "x5c": "x", "ext": true} {
			t.Run(fmt.Sprintf("%s with %s", alg, member), func(t *testing.T) {
				m := maps.Clone(mine)
				m[member] = value
				refusedPrivate(t, m)
			})
		}
	}
}

func refusedPrivate(t *testing.T, m map[string]any) {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParsePrivateJWK(b)
	if key != nil || !errors.Is(err, ErrKey) && !errors.Is(err, ErrMalformed) {
		t.Fatalf("got %T, %v", key, err)
	}
	for _, v := range m {
		if s, ok := v.(string); ok && len(s) > 15 && strings.Contains(err.Error(), s) {
			t.Errorf("the error shows a member: %v", err)
		}
	}
}

func TestALG05_PrivateRSABounds(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	b, err := MarshalPrivateJWK(small)
	if err != nil {
		t.Fatal(err)
	}
	_, err = ParsePrivateJWK(b)
	wantErr(t, err, ErrKey, "")
	_, err = NewSigner(small, "", RS256, RS256)
	wantErr(t, err, ErrKey, "")
}

func TestParsePrivateJWKRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": ``, "null": `null`, "array": `[]`, "symmetric": `{"kty":"oct","k":"AAAA"}`,
		"too large": `{"kty":"EC"` + strings.Repeat(" ", MaxTokenSize) + `}`, "X25519": `{"kty":"OKP","crv":"X25519","x":"AAAA","d":"AAAA"}`,
		"public only": `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
	} {
		if key, err := ParsePrivateJWK([]byte(text)); key != nil || !errors.Is(err, ErrKey) && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %T, %v", name, key, err)
		}
	}
}

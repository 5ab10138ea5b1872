package authz

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
)

func TestCLA11_CLA14_GeneratedSecrets(t *testing.T) {
	alphabet := regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	seen := map[Secret]bool{}
	for range 10_000 {
		id := newCredentialID()
		s := newSecret(id)
		if !alphabet.MatchString(s.Reveal()) || len(s) != secretLen || seen[s] {
			t.Fatalf("secret of length %d, seen %t", len(s), seen[s])
		}
		seen[s] = true
		if kind, named := shapeOf(s.Reveal()); kind != shapeOurs || named != id {
			t.Fatalf("shape %v names %q, want %q", kind, named, id)
		}
		random, err := base64.RawURLEncoding.DecodeString(s.Reveal()[len(secretPrefix)+credentialIDLen+1 : secretBodyLen])
		if err != nil || len(random)*8 < 256 {
			t.Fatalf("%d random bits, %v", len(random)*8, err)
		}
	}
}

func TestSecretShape_EveryTypoIsATypo(t *testing.T) {
	s := newSecret(newCredentialID()).Reveal()
	for i := range s {
		for _, c := range []byte("aZ5_") {
			typo := s[:i] + string(c) + s[i+1:]
			kind, _ := shapeOf(typo)
			if typo != s && kind == shapeOurs {
				t.Errorf("one wrong character at %d keeps the checksum", i)
			}
		}
	}
	for _, typo := range []string{s[:len(s)-1], s + "a", s + " ", s[:4]} {
		if kind, _ := shapeOf(typo); kind != shapeTypo {
			t.Errorf("length %d is %v, want a typo", len(typo), kind)
		}
	}
	if kind, _ := shapeOf("p %+&=é"); kind != shapeForeign {
		t.Errorf("got %v", kind)
	}
}

func TestTOK44_SecretRedactsItself(t *testing.T) {
	s := newSecret(newCredentialID())
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "in", struct{ S Secret }{s}, "text", Redact("before "+s.Reveal()+" after"))
	encoded, _ := json.Marshal(map[string]any{"s": s})
	for _, out := range []string{log.String(), string(encoded), fmt.Sprintf("%v %+v %#v %s %q %d %x", s, s, s, s, s, any(s), s), fmt.Sprint(Presented{Secret: s})} {
		if strings.Contains(out, s.Reveal()[len(secretPrefix):]) {
			t.Errorf("leaks: %s", out)
		}
	}
	for _, shaped := range []string{s.Reveal(), s.Reveal()[:30], s.Reveal() + "x", "x" + s.Reveal()} {
		if strings.Contains(Redact(shaped), s.Reveal()[4:20]) {
			t.Errorf("Redact leaves %q", Redact(shaped))
		}
	}
}

func TestCLA18_NothingStoredNeverMatches(t *testing.T) {
	h := newHasher([32]byte{1})
	digest := h.digest("", "c", "k")
	for _, c := range []Credential{
		{}, {ID: "k", Scheme: SchemeHMAC}, {ID: "k", Scheme: SchemeHMAC, Digest: digest[:]}, {ID: "k", Digest: digest[:]},
	} {
		if h.matches("", "c", c) {
			t.Errorf("an empty secret matches %+v", c)
		}
	}
	good := h.digest("s", "c", "k")
	if !h.matches("s", "c", Credential{ID: "k", Scheme: SchemeHMAC, Digest: good[:]}) {
		t.Error("the right secret does not match")
	}
	for _, c := range []Credential{
		{ID: "k", Scheme: SchemeHMAC, Digest: good[:31]},
		{ID: "k", Scheme: "other", Digest: good[:]},
		{ID: "j", Scheme: SchemeHMAC, Digest: good[:]},
	} {
		if h.matches("s", "c", c) {
			t.Errorf("matches %+v", c)
		}
	}
	if h.matches("s", "d", Credential{ID: "k", Scheme: SchemeHMAC, Digest: good[:]}) {
		t.Error("a digest moved to another client matches")
	}
}

func TestDerive_IsBoundToPurposeAndParts(t *testing.T) {
	h, other := newHasher([32]byte{1}), newHasher([32]byte{2})
	seen := map[string]string{}
	for name, id := range map[string]string{
		"base":       h.derive("a", "b", "c"),
		"purpose":    h.derive("x", "b", "c"),
		"boundaries": h.derive("a", "bc"),
		"shifted":    h.derive("ab", "c"),
		"pepper":     other.derive("a", "b", "c"),
	} {
		if was, ok := seen[id]; ok {
			t.Errorf("%s equals %s", name, was)
		}
		seen[id] = name
	}
	if again := newHasher([32]byte{1}); h.derive("a", "b", "c") != again.derive("a", "b", "c") {
		t.Error("not repeatable")
	}
}

// What derive computes must never be what digest computes, or an identifier could be chosen to reveal
// the digest of a secret.
func TestDerive_StandsApartFromDigests(t *testing.T) {
	h := newHasher([32]byte{1})
	digest := h.digest("a", "b", "c")
	if got := h.derive("a", "b", "c"); got == strings.ToLower(derivedEncoding.EncodeToString(digest[:])) {
		t.Error("an identifier is the digest of a secret")
	}
}

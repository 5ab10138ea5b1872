package jose

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwe"
)

var testMembers = map[string]string{"purpose": "signing key", "signing_kid": "k1", "signing_alg": "ES256", "ring": "ES256"}

// vectorMembers are those of the blobs in testdata.
var vectorMembers = map[string]string{"purpose": "p", "id": "k1"}

// sealedVectors returns the blobs in testdata, sealed under testKEK(1), and what is in them.
func sealedVectors(tb testing.TB) map[string]string {
	return map[string]string{
		readVector(tb, "sealed-short.jwe"): "s",
		readVector(tb, "sealed-long.jwe"):  strings.Repeat("secret", 50),
	}
}

// What was sealed by an earlier version opens still: the form, and how a KEK's id is derived.
func TestOpenEarlierVersions(t *testing.T) {
	for sealed, want := range sealedVectors(t) {
		if got, err := Open([]*KEK{testKEK(1)}, vectorMembers, sealed); err != nil || string(got) != want {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

func testKEK(n byte) *KEK { return NewKEK([32]byte{n, 2, 3, 4, 5, 6, 7, 8, 9}) }

func seal(t *testing.T, k *KEK, members map[string]string, plaintext string) string {
	t.Helper()
	sealed, err := Seal(k, members, []byte(plaintext))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestSealRoundTrip(t *testing.T) {
	k := testKEK(1)
	for _, plaintext := range []string{"x", `{"kty":"EC"}`, strings.Repeat("long ", 5000), "\x00\xff"} {
		for _, members := range []map[string]string{nil, testMembers, {"issuer": "https://as.example/ä?a=<b>&c=\"\\\u2028\n"}, {"a": ""}} {
			sealed := seal(t, k, members, plaintext)
			got, err := Open([]*KEK{nil, testKEK(2), k}, members, sealed)
			if err != nil || string(got) != plaintext {
				t.Errorf("got %q, %v", got, err)
			}
			if len(plaintext) > 3 && strings.Contains(sealed, b64(plaintext)) {
				t.Error("the plaintext stands in the blob")
			}
		}
	}
	t.Run("the header says what Seal was told", func(t *testing.T) {
		var header map[string]string
		b, err := decodeSegment(strings.Split(seal(t, k, testMembers, "x"), ".")[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := StrictUnmarshal(b, &header, true); err != nil {
			t.Fatal(err)
		}
		delete(header, "iv")
		delete(header, "tag")
		want := maps.Clone(testMembers)
		want["alg"], want["enc"], want["kid"] = "A256GCMKW", "A256GCM", k.ID()
		if !maps.Equal(header, want) {
			t.Errorf("got %v, want %v", header, want)
		}
	})
	t.Run("twice is not the same", func(t *testing.T) {
		first, second := seal(t, k, nil, "x"), seal(t, k, nil, "x")
		if first == second {
			t.Error("nothing fresh in it")
		}
	})
}

func TestOpenForSomethingElse(t *testing.T) {
	k := testKEK(1)
	sealed := seal(t, k, testMembers, "secret")
	with := func(name, value string) map[string]string {
		m := maps.Clone(testMembers)
		m[name] = value
		return m
	}
	without := func(name string) map[string]string {
		m := maps.Clone(testMembers)
		delete(m, name)
		return m
	}
	swapped := with("ring", "")
	delete(swapped, "ring")
	swapped["other"] = "ES256"
	for name, members := range map[string]map[string]string{
		"another purpose": with("purpose", "pepper"), "another id": with("signing_kid", "k2"), "a prefix": with("ring", "ES25"),
		"one more": with("installation", "i"), "one less": without("ring"), "none": nil, "another name": swapped,
		"another case": with("ring", "es256"), "one more, empty": with("x", ""),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Open([]*KEK{k}, members, sealed)
			wantErr(t, err, ErrSealed, sealed)
			if got != nil {
				t.Errorf("opened: %q", got)
			}
		})
	}
	for name, keks := range map[string][]*KEK{"no key": nil, "another key": {testKEK(2)}, "nil": {nil}} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(keks, testMembers, sealed)
			wantErr(t, err, ErrSealed, sealed)
		})
	}
	t.Run("another key of the same id", func(t *testing.T) {
		impostor := testKEK(2)
		impostor.id = k.id
		_, err := Open([]*KEK{impostor}, testMembers, sealed)
		wantErr(t, err, ErrSealed, sealed)
	})
}

// Every single character counts.
func TestOpenAltered(t *testing.T) {
	k := testKEK(1)
	sealed := seal(t, k, map[string]string{"purpose": "p"}, "secret")
	for i := range len(sealed) {
		for _, c := range []byte{'A', 'B', '.', '=', '\n', sealed[i] ^ 1, sealed[i] ^ 0x20} {
			altered := sealed[:i] + string(rune(c)) + sealed[i+1:]
			if altered == sealed {
				continue
			}
			if got, err := Open([]*KEK{k}, map[string]string{"purpose": "p"}, altered); got != nil || !errors.Is(err, ErrSealed) {
				t.Fatalf("octet %d made %q: got %q, %v", i, c, got, err)
			}
		}
	}
	other := strings.Split(seal(t, k, map[string]string{"purpose": "q"}, "secret"), ".")
	parts := strings.Split(sealed, ".")
	for i := range parts {
		mixed := append([]string(nil), parts...)
		mixed[i] = other[i]
		if got, err := Open([]*KEK{k}, map[string]string{"purpose": "p"}, strings.Join(mixed, ".")); got != nil || !errors.Is(err, ErrSealed) {
			t.Errorf("part %d of another blob: got %q, %v", i, got, err)
		}
	}
	for name, text := range map[string]string{
		"nothing": "", "dots": "....", "four parts": strings.Join(parts[:4], "."), "six parts": sealed + ".AA",
		"leading space": " " + sealed, "trailing LF": sealed + "\n", "too large": sealed + strings.Repeat("A", maxSealedSize),
		"JSON": `{"ciphertext":"AAAA"}`, "a JWS": parts[0] + "." + parts[1] + "." + parts[2],
		"a million dots": strings.Repeat(".", 1_000_000),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open([]*KEK{k}, nil, text)
			wantErr(t, err, ErrSealed, text)
		})
	}
}

// JWT-51, as far as sealing goes: a header that asks the library for anything else is refused before
// the library sees it, even when whoever wrote it has the key.
func TestJWT51_ForeignJWERefused(t *testing.T) {
	k := testKEK(1)
	encrypt := func(alg jwa.KeyEncryptionAlgorithm, key any, enc jwa.ContentEncryptionAlgorithm, extra map[string]any, more ...jwe.EncryptOption) string {
		h := jwe.NewHeaders()
		_ = h.Set("kid", k.id)
		for name, value := range extra {
			if err := h.Set(name, value); err != nil {
				t.Fatal(err)
			}
		}
		options := append([]jwe.EncryptOption{
			jwe.WithKey(alg, key), jwe.WithContentEncryption(enc), jwe.WithProtectedHeaders(h),
		}, more...)
		b, err := jwe.Encrypt([]byte("secret"), options...)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	secret := k.secret[:]
	rows := map[string]string{
		"zip":              encrypt(jwa.A256GCMKW, secret, jwa.A256GCM, nil, jwe.WithCompress(jwa.Deflate)),
		"another member":   encrypt(jwa.A256GCMKW, secret, jwa.A256GCM, map[string]any{"x": "y"}),
		"a member, number": encrypt(jwa.A256GCMKW, secret, jwa.A256GCM, map[string]any{"x": 1}),
		"crit":             encrypt(jwa.A256GCMKW, secret, jwa.A256GCM, map[string]any{"crit": []string{"x"}}),
		"A256KW":           encrypt(jwa.A256KW, secret, jwa.A256GCM, nil),
		"dir":              encrypt(jwa.DIRECT, secret, jwa.A256GCM, nil),
		"A256CBC-HS512":    encrypt(jwa.A256GCMKW, secret, jwa.A256CBC_HS512, nil),
		"A128GCM":          encrypt(jwa.A256GCMKW, secret, jwa.A128GCM, nil),
		"A128GCMKW":        encrypt(jwa.A128GCMKW, secret[:16], jwa.A256GCM, nil),
		"PBES2":            encrypt(jwa.PBES2_HS256_A128KW, secret, jwa.A256GCM, nil),
	}
	for name, sealed := range rows {
		t.Run(name, func(t *testing.T) {
			_, err := Open([]*KEK{k}, nil, sealed)
			wantErr(t, err, ErrSealed, sealed)
		})
	}
	good := strings.Split(seal(t, k, nil, "secret"), ".")
	iv, tag := strings.Repeat("A", 16), strings.Repeat("A", 22)
	header := func(iv, tag, rest string) string {
		return fmt.Sprintf(`{"alg":"A256GCMKW","enc":"A256GCM","kid":"%s","iv":"%s","tag":"%s"%s}`, k.id, iv, tag, rest)
	}
	for name, h := range map[string]string{
		"iv of 11 octets": header(iv[:15], tag, ""), "iv empty": header("", tag, ""), "iv of 16 octets": header(tag, tag, ""),
		"tag of 12 octets": header(iv, iv, ""), "tag empty": header(iv, "", ""), "no iv": strings.Replace(header(iv, tag, ""), `"iv"`, `"vi"`, 1),
		"alg twice": header(iv, tag, `,"alg":"dir"`), "kid twice": header(iv, tag, `,"kid":"x"`), "p2c": header(iv, tag, `,"p2c":1000000000`),
		"alg dir": strings.Replace(header(iv, tag, ""), "A256GCMKW", "dir", 1), "alg null": strings.Replace(header(iv, tag, ""), `"A256GCMKW"`, "null", 1),
		"enc A128GCM": strings.Replace(header(iv, tag, ""), `"A256GCM"`, `"A128GCM"`, 1), "no alg": strings.Replace(header(iv, tag, ""), `"alg"`, `"gla"`, 1),
		"null": "null", "array": "[]", "deep": header(iv, tag, `,"x":`+strings.Repeat("[", 100)), "empty": "{}",
	} {
		t.Run("header with "+name, func(t *testing.T) {
			// Not even shown to the library.
			_, err := checkSealed(b64(h)+"."+strings.Join(good[1:], "."), nil)
			wantErr(t, err, ErrSealed, h)
		})
	}
	t.Run("parts of other lengths", func(t *testing.T) {
		for i, part := range map[int]string{1: good[1] + "AAAA", 2: good[2] + "AAAA", 4: good[4][:16]} {
			for _, p := range []string{part, ""} {
				mixed := append([]string(nil), good...)
				mixed[i] = p
				_, err := checkSealed(strings.Join(mixed, "."), nil)
				wantErr(t, err, ErrSealed, "")
			}
		}
	})
	t.Run("the vectors differ in one thing each", func(t *testing.T) {
		if _, err := checkSealed(b64(header(iv, tag, ""))+"."+strings.Join(good[1:], "."), nil); err != nil {
			t.Error(err)
		}
	})
}

func TestSealRefuses(t *testing.T) {
	k := testKEK(1)
	for name, members := range map[string]map[string]string{
		"alg": {"alg": "dir"}, "enc": {"enc": "x"}, "kid": {"kid": "x"}, "iv": {"iv": "x"}, "tag": {"tag": "x"}, "zip": {"zip": "DEF"},
		"crit": {"crit": "x"}, "p2c": {"p2c": "1"}, "jwk": {"jwk": "x"}, "no name": {"": "x"}, "capital": {"Purpose": "x"}, "dash": {"a-b": "x"},
		"quote": {`a"`: "x"}, "long name": {strings.Repeat("a", maxMemberName+1): "x"}, "long value": {"a": strings.Repeat("x", maxMemberValue+1)},
		"not UTF-8": {"a": "\xff"}, "x5t#S256": {"x5t#S256": "x"},
	} {
		t.Run(name, func(t *testing.T) {
			if sealed, err := Seal(k, members, []byte("x")); err == nil {
				t.Errorf("sealed: %s", sealed)
			}
			if _, err := Open([]*KEK{k}, members, "...."); err == nil || errors.Is(err, ErrSealed) {
				t.Errorf("a mistake of the caller is not damage: %v", err)
			}
		})
	}
	many := map[string]string{}
	for i := range maxMembers + 1 {
		many[fmt.Sprintf("m%d", i)] = "x"
	}
	if _, err := Seal(k, many, []byte("x")); err == nil {
		t.Error("sealed with too many members")
	}
	if _, err := Seal(k, nil, nil); err == nil {
		t.Error("sealed nothing")
	}
	if _, err := Seal(nil, nil, []byte("x")); err == nil {
		t.Error("sealed without a key")
	}
	if _, err := Seal(k, nil, make([]byte, maxSealedSize)); err == nil {
		t.Error("sealed what Open would refuse for its size")
	}
}

func TestKEKShowsNothing(t *testing.T) {
	var secret [32]byte
	for i := range secret {
		secret[i] = byte(0xa0 + i)
	}
	k := NewKEK(secret)
	noSecret(t, secret[:], k, *k, []*KEK{k}, struct{ K KEK }{*k}, struct{ K *KEK }{k}, map[string]KEK{"k": *k})
	if k.ID() != NewKEK(secret).ID() || k.ID() == testKEK(1).ID() || len(k.ID()) != 16 {
		t.Errorf("got id %q", k.ID())
	}
}

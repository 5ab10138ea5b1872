package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The files of this file are made by the standard library and changed by hand; TestKeyFileOfOpenSSL has
// those of another implementation.

func block(name string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: name, Bytes: der}))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// keyFiles returns one file per form and type of key, and what should come out of each.
func keyFiles(tb testing.TB) map[string]PrivateKeyFile {
	tb.Helper()
	files := map[string]PrivateKeyFile{}
	for _, alg := range []Algorithm{ES256, ES384, RS256, Ed25519} {
		key, err := GenerateKey(alg)
		if err != nil {
			tb.Fatal(err)
		}
		want := PrivateKeyFile{Key: key, Algorithm: alg}
		if alg == RS256 {
			want.Algorithm = "" // or PS256: PEM cannot say
		}
		files[block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))] = want
		switch key := key.(type) {
		case *ecdsa.PrivateKey:
			sec1 := must(x509.MarshalECPrivateKey(key))
			files[block("EC PRIVATE KEY", sec1)] = want
			files[block("EC PARAMETERS", curveName(tb, sec1))+"\n"+block("EC PRIVATE KEY", sec1)] = want
		case *rsa.PrivateKey:
			files[block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))] = want
		}
		jwk := string(must(MarshalPrivateJWK(key)))
		files[jwk] = want
		named := PrivateKeyFile{Key: key, KeyID: "theirs/2026", Algorithm: alg}
		files[strings.Replace(jwk, "{", `{"kid":"theirs/2026","use":"sig","key_ops":["sign","verify"],"alg":"`+string(alg)+`",`, 1)] = named
	}
	return files
}

// curveName returns the parameters that a SEC 1 key has in it.
func curveName(tb testing.TB, der []byte) []byte {
	tb.Helper()
	var w sec1
	if _, err := asn1.Unmarshal(der, &w); err != nil {
		tb.Fatal(err)
	}
	return w.Curve.Bytes
}

func TestALG04_KeyFileForms(t *testing.T) {
	for text, want := range keyFiles(t) {
		for name, form := range map[string]string{
			"as it is": text, "without the last line feed": strings.TrimSpace(text), "space around": "\r\n \t" + text + "\n\n",
			"carriage returns": strings.ReplaceAll(text, "\n", "\r\n"),
		} {
			got, err := ParsePrivateKeyFile([]byte(form))
			if err != nil {
				t.Errorf("%s of %T: %v", name, want.Key, err)
				continue
			}
			if !want.Key.(equaler).Equal(got.Key) || got.KeyID != want.KeyID || got.Algorithm != want.Algorithm {
				t.Errorf("%s: got %T %q %q, want %T %q %q", name, got.Key, got.KeyID, got.Algorithm, want.Key, want.KeyID, want.Algorithm)
			}
		}
	}
}

// What was read signs, under the kid that its validators know.
func TestKeyFileSigns(t *testing.T) {
	for text := range keyFiles(t) {
		f, err := ParsePrivateKeyFile([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		alg := f.Algorithm
		if alg == "" {
			alg = PS256
		}
		s, err := NewSigner(f.Key, f.KeyID, alg, alg)
		if err != nil {
			t.Fatal(err)
		}
		h, _ := accepted(t, sign(t, s), accepting(s.PublicKey()))
		if f.KeyID != "" && h.KeyID != f.KeyID {
			t.Errorf("got kid %s", h.KeyID)
		}
	}
}

func TestALG02_KeyFileEdDSAIsEd25519(t *testing.T) {
	key := must(GenerateKey(Ed25519))
	f, err := ParsePrivateKeyFile(jwkFile(t, key, map[string]any{"alg": "EdDSA"}))
	if err != nil || f.Algorithm != Ed25519 {
		t.Errorf("got %v, %v", f, err)
	}
}

func TestKeyFileIgnoresWhatItDoesNotKnow(t *testing.T) {
	for member, value := range map[string]any{
		"x5c": []string{"MIIB"}, "x5u": "https://keys.example/x", "x5t": "AAAA", "x5t#S256": "AAAA", "ext": true, "iat": 1, "x_unheard": nil,
	} {
		if _, err := ParsePrivateKeyFile(jwkFile(t, must(GenerateKey(ES256)), map[string]any{member: value})); err != nil {
			t.Errorf("%s: %v", member, err)
		}
	}
}

// jwkFile returns the JWK of a key with members changed; a value of gone takes one away.
func jwkFile(tb testing.TB, key crypto.Signer, changes map[string]any) []byte {
	tb.Helper()
	var m map[string]any
	if err := json.Unmarshal(must(MarshalPrivateJWK(key)), &m); err != nil {
		tb.Fatal(err)
	}
	maps.Copy(m, changes)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == gone })
	return must(json.Marshal(m))
}

const gone = "\x00gone"

// refusedFile wants an error of this kind that says this, and nothing of the file.
func refusedFile(t *testing.T, text []byte, want error, says string) {
	t.Helper()
	f, err := ParsePrivateKeyFile(text)
	if f != (PrivateKeyFile{}) || !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, %v, want %v: %s", f, err, want, says)
		return
	}
	leaks(t, text, err)
}

// leaks fails the test if err shows 12 characters of what is base64 in text.
func leaks(t *testing.T, text []byte, err error) {
	t.Helper()
	for _, part := range strings.FieldsFunc(string(text), func(r rune) bool { return strings.ContainsRune("\"\n\r {},:", r) }) {
		for i := 0; len(part) > 40 && i+12 <= len(part); i++ {
			if strings.Contains(err.Error(), part[i:i+12]) {
				t.Errorf("the error shows octets of the file: %v", err)
				return
			}
		}
	}
}

func TestALG04_ALG05_KeyFileRefusesJWK(t *testing.T) {
	ec, ec384, ed, rs := must(GenerateKey(ES256)), must(GenerateKey(ES384)), must(GenerateKey(Ed25519)), must(GenerateKey(RS256))
	other, other384, otherEd, otherRSA := must(GenerateKey(ES256)), must(GenerateKey(ES384)), must(GenerateKey(Ed25519)), must(GenerateKey(RS256))
	member := func(key crypto.Signer, name string) any { return privateMembers(t, must(MarshalPrivateJWK(key)))[name] }
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	for name, r := range map[string]struct {
		key     crypto.Signer
		changes map[string]any
		want    error
		says    string
	}{
		"public EC":             {ec, map[string]any{"d": gone}, ErrKey, "a public key (no member d): a private one is needed"},
		"public RSA":            {rs, map[string]any{"d": gone}, ErrKey, "a public key (no member d)"},
		"public Ed25519":        {ed, map[string]any{"d": gone}, ErrKey, "a public key (no member d)"},
		"d null":                {ed, map[string]any{"d": nil}, ErrMalformed, "d is null"},
		"kid null":              {ed, map[string]any{"kid": nil}, ErrMalformed, "kid is null"},
		"set":                   {ec, map[string]any{"keys": []any{}}, ErrKey, "a JWK set"},
		"encrypted":             {ec, map[string]any{"ciphertext": "AA"}, ErrKey, "decrypt it first"},
		"symmetric beside":      {ec, map[string]any{"k": "AAAA"}, ErrKey, "a symmetric key"},
		"three primes":          {rs, map[string]any{"oth": []any{}}, ErrKey, "two primes"},
		"use enc":               {ec, map[string]any{"use": "enc"}, ErrKey, "use is not sig"},
		"use empty":             {ec, map[string]any{"use": ""}, ErrKey, "use is not sig"},
		"use in capitals":       {ec, map[string]any{"use": "SIG"}, ErrKey, "use is not sig"},
		"key_ops verify":        {ec, map[string]any{"key_ops": []string{"verify"}}, ErrKey, "key_ops lacks sign"},
		"key_ops empty":         {ec, map[string]any{"key_ops": []string{}}, ErrKey, "key_ops lacks sign"},
		"key_ops derive":        {ec, map[string]any{"key_ops": []string{"sign", "deriveKey"}}, ErrKey, "key_ops has more"},
		"key_ops twice":         {ec, map[string]any{"key_ops": []string{"sign", "sign"}}, ErrKey, "twice"},
		"key_ops a string":      {ec, map[string]any{"key_ops": "sign"}, ErrMalformed, "unexpected type"},
		"alg none":              {ec, map[string]any{"alg": "none"}, ErrKey, "alg is not one of ES256, ES384"},
		"alg empty":             {ec, map[string]any{"alg": ""}, ErrKey, "alg is not one of"},
		"alg HS256":             {ec, map[string]any{"alg": "HS256"}, ErrKey, "alg is not one of"},
		"alg RSA-OAEP":          {rs, map[string]any{"alg": "RSA-OAEP"}, ErrKey, "alg is not one of"},
		"ES384 on P-256":        {ec, map[string]any{"alg": "ES384"}, ErrKey, "such a key is for ES256"},
		"ES256 on P-384":        {ec384, map[string]any{"alg": "ES256"}, ErrKey, "such a key is for ES384"},
		"RS256 on P-256":        {ec, map[string]any{"alg": "RS256"}, ErrKey, "such a key is for ES256"},
		"EdDSA on P-256":        {ec, map[string]any{"alg": "EdDSA"}, ErrKey, "such a key is for ES256"},
		"ES256 on Ed25519":      {ed, map[string]any{"alg": "ES256"}, ErrKey, "such a key is for Ed25519"},
		"ES256 on RSA":          {rs, map[string]any{"alg": "ES256"}, ErrKey, "an RSA key is for RS256 or PS256"},
		"EdDSA on RSA":          {rs, map[string]any{"alg": "EdDSA"}, ErrKey, "an RSA key is for RS256 or PS256"},
		"P-384 named P-256":     {ec384, map[string]any{"crv": "P-256"}, ErrKey, "x does not have the 32 octets"},
		"P-256 named P-384":     {ec, map[string]any{"crv": "P-384"}, ErrKey, "x does not have the 48 octets"},
		"P-521":                 {ec, map[string]any{"crv": "P-521"}, ErrKey, "on P-256 (ES256) or on P-384 (ES384)"},
		"secp256k1":             {ec, map[string]any{"crv": "secp256k1"}, ErrKey, "on P-256 (ES256) or on P-384 (ES384)"},
		"crv missing":           {ec, map[string]any{"crv": gone}, ErrKey, "on P-256 (ES256) or on P-384 (ES384)"},
		"X25519":                {ed, map[string]any{"crv": "X25519"}, ErrKey, "crv is not Ed25519"},
		"Ed448":                 {ed, map[string]any{"crv": "Ed448"}, ErrKey, "crv is not Ed25519"},
		"kty missing":           {ec, map[string]any{"kty": gone}, ErrKey, "kty is missing"},
		"kty in lower case":     {ec, map[string]any{"kty": "ec"}, ErrKey, "kty is not EC, RSA or OKP"},
		"kty AKP":               {ec, map[string]any{"kty": "AKP", "priv": "AAAA"}, ErrKey, "kty is not EC, RSA or OKP"},
		"kid empty":             {ec, map[string]any{"kid": ""}, ErrKey, "the member kid"},
		"kid with line feed":    {ec, map[string]any{"kid": "a\nb"}, ErrKey, "the member kid"},
		"kid too long":          {ec, map[string]any{"kid": strings.Repeat("k", MaxKeyIDLength+1)}, ErrKey, "the member kid"},
		"kid a number":          {ec, map[string]any{"kid": 1}, ErrMalformed, "unexpected type"},
		"Kid":                   {ec, map[string]any{"Kid": "k"}, ErrMalformed, "where kid is meant"},
		"USE":                   {ec, map[string]any{"USE": "enc"}, ErrMalformed, "where use is meant"},
		"another d, P-256":      {ec, map[string]any{"d": member(other, "d")}, ErrKey, "do not fit"},
		"another d, P-384":      {ec384, map[string]any{"d": member(other384, "d")}, ErrKey, "do not fit"},
		"another d, Ed25519":    {ed, map[string]any{"d": member(otherEd, "d")}, ErrKey, "do not fit"},
		"another d, RSA":        {rs, map[string]any{"d": member(otherRSA, "d")}, ErrKey, "do not fit"},
		"another dp, RSA":       {rs, map[string]any{"dp": member(otherRSA, "dp")}, ErrKey, "do not fit"},
		"another n, RSA":        {rs, map[string]any{"n": member(otherRSA, "n")}, ErrKey, "do not fit"},
		"d zero":                {ec, map[string]any{"d": strings.Repeat("A", 43)}, ErrKey, "do not fit"},
		"d too long":            {ec384, map[string]any{"d": strings.Repeat("A", 86)}, ErrKey, "d does not have the 48 octets"},
		"d of the other curve":  {ec, map[string]any{"d": member(ec384, "d")}, ErrKey, "d does not have the 32 octets"},
		"d padded":              {rs, map[string]any{"d": member(rs, "d").(string) + "=="}, ErrMalformed, "in the member d"},
		"x in standard base64":  {ed, map[string]any{"x": "+" + member(ed, "x").(string)[1:]}, ErrMalformed, "in the member x"},
		"RSA without primes":    {rs, map[string]any{"p": gone, "q": gone, "dp": gone, "dq": gone, "qi": gone}, ErrKey, "p is missing"},
		"RSA without qi":        {rs, map[string]any{"qi": gone}, ErrKey, "qi is missing"},
		"RSA e 3":               {rs, map[string]any{"e": "Aw"}, ErrKey, "65537"},
		"RSA of 1024 bits":      {small, nil, ErrKey, "2048 to 4096 bits"},
		"RSA of 4104 bits":      {rs, map[string]any{"n": strings.Repeat("_", 684)}, ErrKey, "2048 to 4096 bits"},
		"RSA of 65536 bits":     {rs, map[string]any{"n": strings.Repeat("_", 10920)}, ErrKey, "2048 to 4096 bits"},
		"RSA with the EC curve": {rs, map[string]any{"kty": "EC"}, ErrKey, "on P-256 (ES256)"},
	} {
		t.Run(name, func(t *testing.T) { refusedFile(t, jwkFile(t, r.key, r.changes), r.want, r.says) })
	}
	good := string(jwkFile(t, ec, nil))
	for name, r := range map[string]struct {
		text string
		want error
		says string
	}{
		"two keys":         {good + "\n" + good, ErrMalformed, "JSON"},
		"trailing text":    {good + "\nx", ErrMalformed, "JSON syntax"},
		"a list":           {"[" + good + "]", ErrMalformed, "without brackets"},
		"a set":            {`{"keys":[` + good + `]}`, ErrKey, "a JWK set (member keys): take the one private key out of it"},
		"a member twice":   {strings.Replace(good, "{", `{"kty":"RSA",`, 1), ErrMalformed, "JSON member twice"},
		"cut":              {good[:len(good)-20], ErrMalformed, "JSON syntax"},
		"a symmetric key":  {`{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ","alg":"HS256"}`, ErrKey, "a symmetric key"},
		"deep":             {strings.Repeat(`{"a":`, 100), ErrMalformed, "nested deeper"},
		"empty object":     {`{}`, ErrKey, "kty is missing"},
		"PEM after JSON":   {good + block("PRIVATE KEY", []byte("x")), ErrMalformed, "JSON syntax"},
		"byte order mark":  {"\ufeff" + good, ErrMalformed, "byte order mark"},
		"invalid UTF-8":    {strings.Replace(good, "{", "{\"kid\":\"\xff\",", 1), ErrMalformed, "JSON"},
		"no-break space":   {"\u00a0" + good, ErrMalformed, "neither PEM nor a JWK"},
		"too large":        {good + strings.Repeat(" ", MaxTokenSize), ErrMalformed, "at most 16384 octets"},
		"nothing":          {"", ErrMalformed, "empty"},
		"white space":      {" \r\n\t", ErrMalformed, "empty"},
		"null":             {"null", ErrMalformed, "neither PEM nor a JWK"},
		"a compact JWE":    {"eyJhbGciOiJkaXIifQ..AAAA.AAAA.AAAA", ErrMalformed, "decrypted first"},
		"an SSH key":       {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA", ErrMalformed, "OpenSSH public key"},
		"an SSH ECDSA key": {"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY", ErrMalformed, "OpenSSH public key"},
		"binary DER":       {string(must(x509.MarshalPKCS8PrivateKey(ec))), ErrMalformed, "openssl pkey -inform der"},
		"UTF-16":           {"\xff\xfe{\x00", ErrMalformed, "UTF-16"},
		"prose":            {"my key", ErrMalformed, "neither PEM nor a JWK"},
	} {
		t.Run(name, func(t *testing.T) { refusedFile(t, []byte(r.text), r.want, r.says) })
	}
}

func TestALG04_ALG05_KeyFileRefusesPEM(t *testing.T) {
	ec := must(GenerateKey(ES256)).(*ecdsa.PrivateKey)
	ec384 := must(GenerateKey(ES384)).(*ecdsa.PrivateKey)
	p521 := must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	ed := must(GenerateKey(Ed25519)).(ed25519.PrivateKey)
	otherEd := must(GenerateKey(Ed25519)).(ed25519.PrivateKey)
	rs := must(GenerateKey(RS256)).(*rsa.PrivateKey)
	x25519 := must(ecdh.X25519().GenerateKey(rand.Reader))
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	pkcs8DER := func(key any) []byte { return must(x509.MarshalPKCS8PrivateKey(key)) }
	sec1DER := func(key *ecdsa.PrivateKey) []byte { return must(x509.MarshalECPrivateKey(key)) }
	good := block("PRIVATE KEY", pkcs8DER(ec))
	public := string(newSigner(t, ES256).PublicKey().PEM())
	withHeader := func(name string, headers map[string]string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: name, Headers: headers, Bytes: der}))
	}
	for name, r := range map[string]struct {
		text string
		want error
		says string
	}{
		"encrypted PKCS #8":          {block("ENCRYPTED PRIVATE KEY", []byte{0x30, 0}), ErrKey, "has a password: decrypt it first, e.g. with openssl pkey"},
		"encrypted the old way":      {withHeader("EC PRIVATE KEY", map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, []byte("x")), ErrKey, "has a password"},
		"another header":             {withHeader("PRIVATE KEY", map[string]string{"Comment": "x"}, pkcs8DER(ec)), ErrMalformed, "headers"},
		"public key":                 {public, ErrKey, "a public key (PEM block of a public key): a private one is needed"},
		"public RSA key":             {block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rs.PublicKey)), ErrKey, "a private one is needed"},
		"certificate":                {block("CERTIFICATE", []byte{0x30, 0}), ErrKey, "certificate): a private one is needed"},
		"OpenSSH":                    {block("OPENSSH PRIVATE KEY", []byte("openssh-key-v1")), ErrKey, "ssh-keygen -p -m PKCS8"},
		"DSA":                        {block("DSA PRIVATE KEY", []byte{0x30, 0}), ErrKey, "another PEM block"},
		"parameters alone":           {block("EC PARAMETERS", curveName(t, sec1DER(ec))), ErrKey, "EC PARAMETERS alone"},
		"parameters of another":      {block("EC PARAMETERS", curveName(t, sec1DER(ec384))) + block("EC PRIVATE KEY", sec1DER(ec)), ErrKey, "of another curve"},
		"parameters unknown":         {block("EC PARAMETERS", curveName(t, sec1DER(p521))) + block("EC PRIVATE KEY", sec1DER(ec)), ErrKey, "on P-256 (ES256)"},
		"parameters empty":           {block("EC PARAMETERS", nil) + block("EC PRIVATE KEY", sec1DER(ec)), ErrKey, "on P-256 (ES256)"},
		"parameters after":           {block("EC PRIVATE KEY", sec1DER(ec)) + block("EC PARAMETERS", curveName(t, sec1DER(ec))), ErrKey, "2 PEM blocks"},
		"parameters before PKCS #8":  {block("EC PARAMETERS", curveName(t, sec1DER(ec))) + good, ErrKey, "2 PEM blocks"},
		"two keys":                   {good + block("PRIVATE KEY", pkcs8DER(ed)), ErrKey, "2 private keys in one file: leave one"},
		"the same key twice":         {good + good, ErrKey, "2 private keys"},
		"three keys":                 {good + good + block("EC PRIVATE KEY", sec1DER(ec)), ErrKey, "3 private keys"},
		"certificate after":          {good + block("CERTIFICATE", []byte{0x30, 0}), ErrKey, "2 PEM blocks: leave the one of the private key"},
		"public key before":          {public + good, ErrKey, "2 PEM blocks"},
		"text before":                {"Bag Attributes\n" + good, ErrMalformed, "text before the PEM block"},
		"text after":                 {good + "x", ErrMalformed, "text after the PEM block"},
		"JWK after":                  {good + "{}", ErrMalformed, "text after the PEM block"},
		"NUL after":                  {good + "\x00", ErrMalformed, "text after the PEM block"},
		"cut":                        {good[:len(good)/2], ErrMalformed, "a damaged PEM block"},
		"damaged, and a good one":    {strings.Replace(good, "-----END", "-----ENT", 1) + good, ErrMalformed, "a damaged PEM block"},
		"damaged, then a good one":   {"-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n" + good, ErrMalformed, "a damaged PEM block"},
		"other name at the end":      {strings.Replace(good, "END PRIVATE", "END EC PRIVATE", 1), ErrMalformed, "a damaged PEM block"},
		"nothing in it":              {block("PRIVATE KEY", nil), ErrMalformed, "does not hold PKCS #8"},
		"noise in it":                {block("PRIVATE KEY", bytes.Repeat([]byte{0x5a}, 64)), ErrMalformed, "does not hold PKCS #8"},
		"noise as SEC 1":             {block("EC PRIVATE KEY", []byte{0x30, 0}), ErrMalformed, "does not hold SEC 1"},
		"noise as PKCS #1":           {block("RSA PRIVATE KEY", []byte{0x30, 0}), ErrMalformed, "does not hold PKCS #1"},
		"SEC 1 named PKCS #8":        {block("PRIVATE KEY", sec1DER(ec)), ErrMalformed, "does not hold PKCS #8"},
		"PKCS #8 named SEC 1":        {block("EC PRIVATE KEY", pkcs8DER(ec)), ErrMalformed, "does not hold SEC 1"},
		"PKCS #8 named PKCS #1":      {block("RSA PRIVATE KEY", pkcs8DER(rs)), ErrMalformed, "does not hold PKCS #1"},
		"octet after PKCS #8":        {block("PRIVATE KEY", append(pkcs8DER(ec), 0)), ErrMalformed, "nothing else"},
		"octet after SEC 1":          {block("EC PRIVATE KEY", append(sec1DER(ec), 0)), ErrMalformed, "nothing else"},
		"octet after PKCS #1":        {block("RSA PRIVATE KEY", append(x509.MarshalPKCS1PrivateKey(rs), 0)), ErrMalformed, "nothing else"},
		"octet after the seed":       {block("PRIVATE KEY", edPKCS8(append([]byte{4, 32}, append(slices.Clone(ed.Seed()), 0)...), nil)), ErrMalformed, "Ed25519"},
		"a short seed":               {block("PRIVATE KEY", edPKCS8(append([]byte{4, 31}, ed.Seed()[1:]...), nil)), ErrMalformed, "Ed25519"},
		"P-521 as PKCS #8":           {block("PRIVATE KEY", pkcs8DER(p521)), ErrKey, "on P-256 (ES256) or on P-384 (ES384)"},
		"P-521 as SEC 1":             {block("EC PRIVATE KEY", sec1DER(p521)), ErrKey, "on P-256 (ES256) or on P-384 (ES384)"},
		"X25519":                     {block("PRIVATE KEY", pkcs8DER(x25519)), ErrKey, "another type of key"},
		"Ed448":                      {block("PRIVATE KEY", oidPKCS8(asn1.ObjectIdentifier{1, 3, 101, 113})), ErrKey, "another type of key"},
		"RSA-PSS":                    {block("PRIVATE KEY", oidPKCS8(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10})), ErrKey, "another type of key"},
		"ML-DSA":                     {block("PRIVATE KEY", oidPKCS8(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 17})), ErrKey, "another type of key"},
		"another public, Ed25519":    {block("PRIVATE KEY", edPKCS8(append([]byte{4, 32}, ed.Seed()...), otherEd.Public().(ed25519.PublicKey))), ErrKey, "do not fit"},
		"another public, SEC 1":      {block("EC PRIVATE KEY", sec1With(t, ec, ec384)), ErrKey, "do not fit"},
		"another public, other P256": {block("EC PRIVATE KEY", sec1With(t, ec, must(GenerateKey(ES256)).(*ecdsa.PrivateKey))), ErrKey, "do not fit"},
		"d zero":                     {block("EC PRIVATE KEY", sec1Of(t, ec.Curve, make([]byte, 32))), ErrKey, "not a private number"},
		"d is the order":             {block("EC PRIVATE KEY", sec1Of(t, ec.Curve, ec.Curve.Params().N.Bytes())), ErrKey, "not a private number"},
		"RSA of 1024 bits":           {block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(small)), ErrKey, "2048 to 4096 bits"},
		"RSA of 1024 bits, PKCS #8":  {block("PRIVATE KEY", pkcs8DER(small)), ErrKey, "2048 to 4096 bits"},
		"RSA of 4098 bits":           {block("RSA PRIVATE KEY", rsaDER(rs, func(w *pkcs1) { w.N = odd(4098) })), ErrKey, "2048 to 4096 bits"},
		"RSA of 40000 bits":          {block("RSA PRIVATE KEY", rsaDER(rs, func(w *pkcs1) { w.N = odd(40000) })), ErrKey, "2048 to 4096 bits"},
		"RSA of another modulus":     {block("RSA PRIVATE KEY", rsaDER(rs, func(w *pkcs1) { w.N = odd(2048) })), ErrKey, "do not fit"},
		"RSA negative":               {block("RSA PRIVATE KEY", rsaDER(rs, func(w *pkcs1) { w.N = new(big.Int).Neg(w.N) })), ErrKey, "2048 to 4096 bits"},
		"RSA e 3":                    {block("RSA PRIVATE KEY", rsaDER(rs, func(w *pkcs1) { w.E = big.NewInt(3) })), ErrKey, "an RSA exponent is 65537"},
		"RSA e huge":                 {block("RSA PRIVATE KEY", rsaDER(rs, func(w *pkcs1) { w.E = new(big.Int).Add(odd(65), big.NewInt(rsaExponent-1)) })), ErrKey, "an RSA exponent is 65537"},
		"RSA another d":              {block("RSA PRIVATE KEY", rsaDER(rs, func(w *pkcs1) { w.D = new(big.Int).Add(w.D, big.NewInt(2)) })), ErrKey, "do not fit"},
		"RSA primes swapped":         {block("RSA PRIVATE KEY", rsaDER(rs, func(w *pkcs1) { w.P, w.Q = w.Q, w.P })), ErrKey, "do not fit"},
		"RSA another inverse":        {block("RSA PRIVATE KEY", rsaDER(rs, func(w *pkcs1) { w.Inverted = big.NewInt(2) })), ErrKey, "do not fit"},
		"RSA of three primes":        {block("RSA PRIVATE KEY", rsaDER(rs, func(w *pkcs1) { w.Version, w.Others = 1, []asn1.RawValue{{FullBytes: []byte{0x30, 0}}} })), ErrKey, "two primes"},
		"RSA p zero":                 {block("RSA PRIVATE KEY", rsaDER(rs, func(w *pkcs1) { w.P = new(big.Int) })), ErrKey, "do not fit"},
	} {
		t.Run(name, func(t *testing.T) { refusedFile(t, []byte(r.text), r.want, r.says) })
	}
}

// odd returns an odd number of so many bits.
func odd(bits int) *big.Int {
	v := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return v.SetBit(v, 0, 1)
}

func rsaDER(key *rsa.PrivateKey, change func(*pkcs1)) []byte {
	var w pkcs1
	_ = must(asn1.Unmarshal(x509.MarshalPKCS1PrivateKey(key), &w))
	change(&w)
	if w.Others == nil {
		// An empty list would be written as an empty SEQUENCE.
		return must(asn1.Marshal(struct {
			Version                int
			N, E, D, P, Q, A, B, C *big.Int
		}{w.Version, w.N, w.E, w.D, w.P, w.Q, w.ExpP, w.ExpQ, w.Inverted}))
	}
	return must(asn1.Marshal(w))
}

func oidPKCS8(id asn1.ObjectIdentifier) []byte {
	w := pkcs8{PrivateKey: []byte{4, 1, 1}}
	w.Algorithm.Algorithm = id
	return must(asn1.Marshal(w))
}

// edPKCS8 has the public key in it if there is one, which makes it version 2: RFC 8410, Section 10.3.
func edPKCS8(inner []byte, public ed25519.PublicKey) []byte {
	w := pkcs8{PrivateKey: inner}
	w.Algorithm.Algorithm = asn1.ObjectIdentifier{1, 3, 101, 112}
	if public != nil {
		w.Version, w.PublicKey = 1, asn1.BitString{Bytes: public, BitLength: 8 * len(public)}
	}
	return must(asn1.Marshal(w))
}

// sec1With is the private key of one with the public key of another.
func sec1With(t *testing.T, private, public *ecdsa.PrivateKey) []byte {
	t.Helper()
	var w sec1
	_ = must(asn1.Unmarshal(must(x509.MarshalECPrivateKey(private)), &w))
	w.PublicKey = asn1.BitString{Bytes: must(public.PublicKey.Bytes())}
	w.PublicKey.BitLength = 8 * len(w.PublicKey.Bytes)
	return marshalSEC1(w)
}

// sec1Of is a private number without its public key.
func sec1Of(t *testing.T, curve elliptic.Curve, d []byte) []byte {
	t.Helper()
	var w sec1
	key := must(ecdsa.GenerateKey(curve, rand.Reader))
	_ = must(asn1.Unmarshal(must(x509.MarshalECPrivateKey(key)), &w))
	w.PrivateKey, w.PublicKey = d, asn1.BitString{}
	return marshalSEC1(w)
}

func marshalSEC1(w sec1) []byte {
	var id asn1.ObjectIdentifier
	_ = must(asn1.Unmarshal(w.Curve.Bytes, &id))
	return must(asn1.Marshal(struct {
		Version    int
		PrivateKey []byte
		Curve      asn1.ObjectIdentifier `asn1:"explicit,tag:0"`
		PublicKey  asn1.BitString        `asn1:"optional,explicit,tag:1"`
	}{w.Version, w.PrivateKey, id, w.PublicKey}))
}

// The public key beside the private one may be there, whole or compressed, or not.
func TestKeyFilePublicKeyInDER(t *testing.T) {
	ec, ed := must(GenerateKey(ES256)).(*ecdsa.PrivateKey), must(GenerateKey(Ed25519)).(ed25519.PrivateKey)
	var w sec1
	_ = must(asn1.Unmarshal(must(x509.MarshalECPrivateKey(ec)), &w))
	w.PublicKey = asn1.BitString{Bytes: elliptic.MarshalCompressed(ec.Curve, ec.X, ec.Y), BitLength: 8 * 33}
	for name, text := range map[string]string{
		"none":                block("EC PRIVATE KEY", sec1Of(t, ec.Curve, must(ec.Bytes()))),
		"whole":               block("EC PRIVATE KEY", sec1With(t, ec, ec)),
		"compressed":          block("EC PRIVATE KEY", marshalSEC1(w)),
		"Ed25519, version 2":  block("PRIVATE KEY", edPKCS8(append([]byte{4, 32}, ed.Seed()...), ed.Public().(ed25519.PublicKey))),
		"d without its zeros": block("EC PRIVATE KEY", sec1Of(t, ec.Curve, []byte{1, 2})),
	} {
		if _, err := ParsePrivateKeyFile([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// RFC 8410, Section 10.3: an Ed25519 key, alone and with attributes and its public key.
func TestKeyFileVectorRFC8410(t *testing.T) {
	const alone = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n"
	const whole = "-----BEGIN PRIVATE KEY-----\nMHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n" +
		"oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\nZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PRIVATE KEY-----\n"
	a, err := ParsePrivateKeyFile([]byte(alone))
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParsePrivateKeyFile([]byte(whole))
	if err != nil || !a.Key.(equaler).Equal(b.Key) || a.Algorithm != Ed25519 {
		t.Errorf("got %v, %v", b, err)
	}
}

// Files as another implementation writes them.
func TestKeyFileOfOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	dir := t.TempDir()
	run := func(line string) {
		t.Helper()
		c := exec.CommandContext(t.Context(), "openssl", strings.Fields(line)...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Skipf("this openssl cannot: openssl %s: %s", line, out)
		}
	}
	for i, r := range []struct {
		line string
		want error
		says string
	}{
		{"ecparam -name prime256v1 -genkey -out k", nil, "ES256"},
		{"ecparam -name secp384r1 -genkey -noout -out k", nil, "ES384"},
		{"genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out k", nil, "ES384"},
		{"genpkey -algorithm ED25519 -out k", nil, "Ed25519"},
		{"genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out k", nil, ""},
		{"genrsa -traditional -out k 2048", nil, ""},
		{"genpkey -algorithm ED25519 -aes256 -pass pass:secret -out k", ErrKey, "openssl pkey"},
		{"ecparam -name secp256k1 -genkey -out k", ErrKey, "on P-256"},
		{"ecparam -name prime256v1 -param_enc explicit -genkey -out k", ErrKey, "on P-256"},
		{"genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit -out k", ErrKey, "on P-256"},
		{"genpkey -algorithm X25519 -out k", ErrKey, "another type of key"},
		{"genpkey -algorithm ED448 -out k", ErrKey, "another type of key"},
		{"genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out k", ErrKey, "another type of key"},
		{"genrsa -primes 3 -traditional -out k 2048", ErrKey, "two primes"},
	} {
		t.Run(fmt.Sprint(i, " ", r.line), func(t *testing.T) {
			run(r.line)
			text := must(os.ReadFile(filepath.Join(dir, "k")))
			if r.want != nil {
				refusedFile(t, text, r.want, r.says)
				return
			}
			if f, err := ParsePrivateKeyFile(text); err != nil || string(f.Algorithm) != r.says {
				t.Errorf("got %v, %v", f, err)
			}
		})
	}
}

func TestKeyFilePrintsNoKey(t *testing.T) {
	for _, alg := range []Algorithm{ES256, ES384, Ed25519} {
		key := must(GenerateKey(alg))
		f := must(ParsePrivateKeyFile(jwkFile(t, key, nil)))
		private, ok := key.(ed25519.PrivateKey)
		secret := []byte(nil)
		if ok {
			secret = private.Seed()
		} else {
			secret = must(key.(*ecdsa.PrivateKey).Bytes())
		}
		noSecret(t, secret, f, &f, struct{ F PrivateKeyFile }{f}, []PrivateKeyFile{f})
	}
}

func TestPublicKeyPEM(t *testing.T) {
	for _, alg := range []Algorithm{ES256, ES384, RS256, PS256, Ed25519} {
		k := newSigner(t, alg).PublicKey()
		b, rest := pem.Decode(k.PEM())
		if b == nil || b.Type != "PUBLIC KEY" || len(rest) != 0 || len(b.Headers) != 0 {
			t.Fatalf("%s: got %s", alg, k.PEM())
		}
		raw, err := x509.ParsePKIXPublicKey(b.Bytes)
		if err != nil || !raw.(interface{ Equal(crypto.PublicKey) bool }).Equal(k.Raw()) {
			t.Errorf("%s: another key, or none: %v", alg, err)
		}
		refusedFile(t, k.PEM(), ErrKey, "a private one is needed")
	}
}

// JWK-03: the message says what was done, to whoever did it.
func TestJWK03_PrivateKeyWherePublicOneIsWanted(t *testing.T) {
	for _, alg := range []Algorithm{ES256, ES384, RS256, Ed25519} {
		b := must(MarshalPrivateJWK(must(GenerateKey(alg))))
		_, err := ParsePublicJWK(b, "k", alg)
		if !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), "a private key: a public one is needed") {
			t.Errorf("%s: got %v", alg, err)
		}
		leaks(t, b, err)
	}
	_, err := ParsePublicJWK([]byte(`{"kty":"oct","k":"AAAA"}`), "k", ES256)
	if !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), "symmetric") {
		t.Errorf("got %v", err)
	}
}

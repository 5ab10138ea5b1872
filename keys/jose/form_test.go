package jose

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

func TestJWT34_StrictBase64(t *testing.T) {
	s := newSigner(t, Ed25519)
	opts := accepting(s.PublicKey())
	good := sign(t, s)
	parts := strings.Split(good, ".")
	for i, part := range []string{"header", "payload", "signature"} {
		for name, change := range map[string]func(string) string{
			"padding =":      func(p string) string { return p + "=" },
			"padding ==":     func(p string) string { return p + "==" },
			"line feed":      func(p string) string { return p[:4] + "\n" + p[4:] },
			"CR LF":          func(p string) string { return p[:4] + "\r\n" + p[4:] },
			"trailing LF":    func(p string) string { return p + "\n" },
			"leading space":  func(p string) string { return " " + p },
			"tab":            func(p string) string { return p[:8] + "\t" + p[8:] },
			"plus":           func(p string) string { return p[:4] + "+" + p[5:] },
			"slash":          func(p string) string { return p[:4] + "/" + p[5:] },
			"percent":        func(p string) string { return p[:4] + "%41" + p[5:] },
			"NUL":            func(p string) string { return p[:4] + "\x00" + p[5:] },
			"high octet":     func(p string) string { return p[:4] + "\xff" + p[5:] },
			"full-width A":   func(p string) string { return p[:4] + "Ａ" + p[5:] },
			"missing a char": func(p string) string { return p + strings.Repeat("A", 5-len(p)%4) },
		} {
			t.Run(part+" "+name, func(t *testing.T) {
				changed := append([]string(nil), parts...)
				changed[i] = change(changed[i])
				input := changed[0] + "." + changed[1]
				// Signed again, so that it is not the signature that refuses it.
				token := input + "." + changed[2]
				if i < 2 {
					token = resign(t, s, input)
				}
				refused(t, token, opts, ErrMalformed)
			})
		}
	}
	t.Run("dangling bits", func(t *testing.T) {
		for i, part := range []string{"header", "payload", "signature"} {
			header, payload := header(s, ""), testPayload
			for len(header)%3 == 0 {
				header = header[:1] + " " + header[1:]
			}
			for len(payload)%3 == 0 {
				payload = payload[:1] + " " + payload[1:]
			}
			parts := strings.Split(forge(t, s, header, payload), ".")
			accepted(t, strings.Join(parts, "."), opts)
			parts[i] = dangle(t, parts[i])
			token := strings.Join(parts, ".")
			if i < 2 {
				token = resign(t, s, parts[0]+"."+parts[1])
			}
			t.Run(part, func(t *testing.T) { refused(t, token, opts, ErrMalformed) })
		}
	})
	t.Run("standard alphabet", func(t *testing.T) {
		payload := `{"x":"` + strings.Repeat("?>~", 40) + `"}`
		for i, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding} {
			text := enc.EncodeToString([]byte(payload + strings.Repeat(" ", (4-len(payload)%3)%3)))
			if !strings.ContainsAny(text, "+/=") {
				t.Fatalf("vector %d does not test anything: %s", i, text)
			}
			refused(t, resign(t, s, parts[0]+"."+text), opts, ErrMalformed)
		}
	})
}

// dangle sets the lowest of the bits that the last character has too many.
func dangle(t *testing.T, s string) string {
	t.Helper()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(s)%4 == 0 {
		t.Fatal("no bits dangle")
	}
	last := strings.IndexByte(alphabet, s[len(s)-1])
	changed := s[:len(s)-1] + string(alphabet[last|1])
	lax, err := base64.RawURLEncoding.DecodeString(changed)
	if err != nil || strictBase64.EncodeToString(lax) != s {
		t.Fatal("not the same octets")
	}
	return changed
}

// The serialisations of RFC 7515, Section 7.2 let an unsigned outer object stand beside a good
// signature: a reader of claims that looks at the outer object is told anything.
func TestJWT35_JSONSerialisationRefused(t *testing.T) {
	s := newSigner(t, ES256)
	p := strings.Split(sign(t, s), ".")
	for name, token := range map[string]string{
		"flattened": fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, p[1], p[0], p[2]),
		"general":   fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, p[1], p[0], p[2]),
		"claim swap": fmt.Sprintf(`{"sub":"admin","exp":9999999999,"payload":%q,"protected":%q,"signature":%q}`,
			p[1], p[0], p[2]),
		"leading space":   " " + strings.Join(p, "."),
		"trailing LF":     strings.Join(p, ".") + "\n",
		"quoted":          `"` + strings.Join(p, ".") + `"`,
		"Bearer":          "Bearer " + strings.Join(p, "."),
		"byte order mark": "\ufeff" + strings.Join(p, "."),
	} {
		t.Run(name, func(t *testing.T) { refused(t, token, anyKid(s.PublicKey()), ErrMalformed) })
	}
}

func TestJWT36_ExactlyThreeParts(t *testing.T) {
	s := newSigner(t, ES256)
	p := strings.Split(sign(t, s), ".")
	for name, token := range map[string]string{
		"nothing":         "",
		"one":             p[0],
		"two":             p[0] + "." + p[1],
		"two and a dot":   p[0] + "." + p[1] + ".",
		"four":            strings.Join(p, ".") + "." + p[2],
		"trailing dot":    strings.Join(p, ".") + ".",
		"leading dot":     "." + strings.Join(p, "."),
		"five":            strings.Join(p, ".") + "." + p[1] + "." + p[2],
		"dots":            "..",
		"four dots":       "....",
		"empty header":    "." + p[1] + "." + p[2],
		"empty payload":   resign(t, s, p[0]+"."),
		"detached":        p[0] + ".." + p[2],
		"double dot":      p[0] + ".." + p[1] + "." + p[2],
		"only the header": p[0] + "..",
	} {
		t.Run(name, func(t *testing.T) { refused(t, token, anyKid(s.PublicKey()), ErrMalformed) })
	}
	t.Run("a JWE of ours", func(t *testing.T) {
		sealed, err := Seal(NewKEK([32]byte{1}), nil, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		refused(t, sealed, anyKid(s.PublicKey()), ErrMalformed)
	})
}

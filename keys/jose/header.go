package jose

import (
	"fmt"
	"strings"
)

const (
	maxHeaderSize = 1 << 10 // octets of header JSON: room for the longest kid, and nothing else
	maxTypeLength = 64      // octets of typ
)

// Header is the whole of what a token may say about itself.
type Header struct {
	Algorithm Algorithm // as written: EdDSA stays EdDSA
	KeyID     string    // at most MaxKeyIDLength printable ASCII characters, no quote, no backslash
	Type      string    // as written
}

// parseHeader reads the header's JSON. Any member but alg, kid and typ is refused, which takes care
// of crit and b64 (RFC 7515, Section 4.1.11; RFC 7797, Section 7), of keys that a token brings along
// (jwk, jku, x5u, x5c: RFC 8725, Section 3.10), and of zip and cty.
func parseHeader(b []byte) (Header, error) {
	if h, ok := plainHeader(b); ok {
		return h, nil
	}
	return readHeader(b)
}

// readHeader reads a header of any form.
func readHeader(b []byte) (Header, error) {
	var w struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
		Type      string `json:"typ"`
	}
	if err := StrictUnmarshal(b, &w, true); err != nil {
		return Header{}, fmt.Errorf("%w: %w", ErrHeader, err)
	}
	h := Header{Algorithm: Algorithm(w.Algorithm), KeyID: w.KeyID, Type: w.Type}
	switch {
	case !h.Algorithm.known():
		return Header{}, ErrAlgorithm
	case !plainText(h.Type, maxTypeLength):
		return Header{}, ErrType
	case !plainText(h.KeyID, MaxKeyIDLength):
		return Header{}, fmt.Errorf("%w: kid missing, too long, or of other than printable characters", ErrHeader)
	}
	return h, nil
}

// plainHeader reads a header that looks as appendJSON writes it, which spares the tokens of servers like ours the JSON
// parser. Of any other it says nothing: good or bad, that is judged by parseHeader.
func plainHeader(b []byte) (h Header, ok bool) {
	s := string(b)
	alg, s, ok1 := cutMember(s, `{"alg":"`)
	kid, s, ok2 := cutMember(s, `,"kid":"`)
	typ, s, ok3 := cutMember(s, `,"typ":"`)
	h = Header{Algorithm: Algorithm(alg), KeyID: kid, Type: typ}
	ok = ok1 && ok2 && ok3 && s == "}" &&
		h.Algorithm.known() && plainText(h.KeyID, MaxKeyIDLength) && plainText(h.Type, maxTypeLength)
	return h, ok
}

// cutMember returns what stands between prefix and the next quote, and what comes after that. Of a text with a
// backslash that is not the value, and plainText refuses it.
func cutMember(s, prefix string) (value, rest string, ok bool) {
	if s, ok = strings.CutPrefix(s, prefix); !ok {
		return "", "", false
	}
	return strings.Cut(s, `"`)
}

// appendJSON appends the header as we write it. Every member is plain text and needs no escaping.
func (h Header) appendJSON(b []byte) []byte {
	b = append(b, `{"alg":"`...)
	b = append(b, h.Algorithm...)
	b = append(b, `","kid":"`...)
	b = append(b, h.KeyID...)
	b = append(b, `","typ":"`...)
	b = append(b, h.Type...)
	return append(b, `"}`...)
}

// hasType reports whether typ is one of types.
func hasType(typ string, types []string) bool {
	for _, t := range types {
		if sameType(typ, t) {
			return true
		}
	}
	return false
}

// sameType compares two typ values as RFC 7515, Section 4.1.9 has it: media types, without regard to
// case, where a name without a slash stands for application/name.
func sameType(a, b string) bool {
	return equalFoldASCII(shortType(a), shortType(b))
}

func shortType(t string) string {
	const prefix = "application/"
	if len(t) > len(prefix) && equalFoldASCII(t[:len(prefix)], prefix) && !strings.Contains(t[len(prefix):], "/") {
		return t[len(prefix):]
	}
	return t
}

// equalFoldASCII is not strings.EqualFold, which takes the Kelvin sign for a k and ſ for an s.
func equalFoldASCII(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

package jose

import (
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Limits on what strangers send (JWT-50). Sizes are octets.
const (
	MaxTokenSize   = 16 << 10  // of a compact token
	MaxDepth       = 16        // of nested JSON arrays and objects
	MaxKeyIDLength = 256       // of a kid
	MaxSetSize     = 256 << 10 // of a JWKS document
	MaxSetKeys     = 64        // entries of a JWKS document, skipped ones included
)

// strictBase64 is the one base64url that is ours: no padding, and no bits left over in the last
// character, so that every octet string has exactly one text (RFC 7515, Section 2 and Appendix C).
// The decoder would still skip line feeds, which are looked for before. It is immutable.
var strictBase64 = base64.RawURLEncoding.Strict()

// StrictUnmarshal reads the single JSON value b into v, which is a pointer as for encoding/json.
// It refuses invalid UTF-8, a byte order mark, member names that occur twice in one object at any
// depth, names that match a field only by case (they are unknown members), nesting deeper than
// [MaxDepth], a top-level null, and anything but whitespace after the value. Members without a field
// are ignored, or refused if rejectUnknown is set. Limiting the size of b is up to the caller.
//
// The error wraps [ErrMalformed], names the octet where reading stopped, and quotes nothing.
func StrictUnmarshal(b []byte, v any, rejectUnknown bool) error {
	if err := checkDepth(b); err != nil {
		return err
	}
	// "null" would be read into anything without an error, and leave it as it was.
	if jsontext.Value(b).Kind() == 'n' {
		return fmt.Errorf("%w: JSON null", ErrMalformed)
	}
	if err := json.Unmarshal(b, v, json.RejectUnknownMembers(rejectUnknown)); err != nil {
		return jsonError(err)
	}
	return nil
}

// checkDepth counts brackets outside of strings. It runs before the parser does, in constant space,
// and need not be right about text that the parser refuses anyway.
func checkDepth(b []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++ // whatever is escaped does not end the string
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return fmt.Errorf("%w: JSON nested deeper than %d at octet %d", ErrMalformed, MaxDepth, i)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// jsonError says where and of what kind the parser's error is, and drops its text, which quotes
// member names and characters of the input.
func jsonError(err error) error {
	kind, at := "JSON", int64(-1)
	var syntactic *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case errors.As(err, &syntactic):
		kind, at = "JSON syntax", syntactic.ByteOffset
		if errors.Is(err, jsontext.ErrDuplicateName) {
			kind = "JSON member twice"
		}
	case errors.As(err, &semantic):
		kind, at = "JSON of an unexpected type", semantic.ByteOffset
		if errors.Is(err, json.ErrUnknownName) {
			kind = "JSON member unknown"
		}
	}
	if at < 0 {
		return fmt.Errorf("%w: %s", ErrMalformed, kind)
	}
	return fmt.Errorf("%w: %s at octet %d", ErrMalformed, kind, at)
}

// isBase64URL reports whether c is in the alphabet of RFC 4648, Section 5.
func isBase64URL(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// decodeSegment decodes all of s, strictly. The error quotes nothing.
func decodeSegment(s string) ([]byte, error) {
	for i := 0; i < len(s); i++ {
		if !isBase64URL(s[i]) {
			return nil, fmt.Errorf("%w: base64url alphabet", ErrMalformed)
		}
	}
	b, err := strictBase64.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%w: base64url not canonical", ErrMalformed)
	}
	return b, nil
}

// plainText reports whether s can stand in a header, a log line and a URL without escaping: 1 to max
// printable ASCII characters, no quote and no backslash. A kid that smuggles a line feed into the
// log, or a terminator into a query, stops here (JWT-48).
func plainText(s string, max int) bool {
	if s == "" || len(s) > max {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

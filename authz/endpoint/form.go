package endpoint

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// maxParameters bounds the parameters of one form; finding repeats compares each pair of names.
const maxParameters = 64

// form is a decoded application/x-www-form-urlencoded body. Its slices point into the parsed bytes.
// The zero value is empty, and may be parsed into again and again.
type form struct {
	pairs [maxParameters]pair
	n     int
}

type pair struct{ name, value []byte }

// formRules say what differs between one form and another.
type formRules struct {
	asciiOnly bool // nothing else may occur: the charset agrees with UTF-8 on ASCII alone
	resources bool // resource may repeat (RFC 8707, Section 2)
}

// parse decodes body, in place. What two parsers might read in two ways is refused: bad escapes, raw
// semicolons, bytes that are not UTF-8, control characters, and every repeated name that the rules do
// not allow to repeat (RFC 6749, Section 3.2, Appendix B).
//
// Empty sequences between two & are skipped, and only the first = splits, as in the WHATWG rules.
func (f *form) parse(body []byte, rules formRules) *refusal {
	f.n = 0
	for len(body) > 0 {
		var sequence []byte
		if i := bytes.IndexByte(body, '&'); i < 0 {
			sequence, body = body, nil
		} else {
			sequence, body = body[:i], body[i+1:]
		}
		if len(sequence) == 0 {
			continue
		}
		if f.n == maxParameters {
			return tooManyParameters
		}
		p, r := parsePair(sequence, rules.asciiOnly)
		if r != nil {
			return r
		}
		if f.has(p.name) {
			if !rules.resources {
				return repeatedOnce
			}
			if string(p.name) != "resource" {
				return repeatedParameter
			}
		}
		f.pairs[f.n] = p
		f.n++
	}
	return nil
}

func parsePair(sequence []byte, asciiOnly bool) (pair, *refusal) {
	// A body split at ; by one party and at & by the other is two different requests.
	if bytes.IndexByte(sequence, ';') >= 0 {
		return pair{}, rawSemicolon
	}
	name, value, _ := bytes.Cut(sequence, []byte("="))
	var p pair
	var ok bool
	if p.name, ok = formDecode(name); !ok {
		return pair{}, badEscape
	}
	if p.value, ok = formDecode(value); !ok {
		return pair{}, badEscape
	}
	if r := checkText(p.name, asciiOnly); r != nil {
		return pair{}, r
	}
	return p, checkText(p.value, asciiOnly)
}

// formDecode decodes percent-escapes and plus signs in place, and returns the shorter slice; false
// when an escape is malformed.
func formDecode(b []byte) ([]byte, bool) {
	if bytes.IndexByte(b, '%') < 0 && bytes.IndexByte(b, '+') < 0 {
		return b, true
	}
	n := 0
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if len(b)-i < 3 {
				return nil, false
			}
			high, low := unhex(b[i+1]), unhex(b[i+2])
			if high > 15 || low > 15 {
				return nil, false
			}
			c = high<<4 | low
			i += 2
		}
		b[n] = c
		n++
	}
	return b[:n], true
}

// unhex returns the value of a hexadecimal digit, or something over 15.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

// checkText refuses what must not occur in a decoded name or value.
func checkText(b []byte, asciiOnly bool) *refusal {
	plain := true
	for _, c := range b {
		if c < 0x20 || c >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return nil
	}
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		switch {
		case asciiOnly && b[i] >= utf8.RuneSelf:
			return notASCII
		case r == utf8.RuneError && size == 1:
			return notUTF8
		case unicode.IsControl(r):
			return controlCharacter
		}
		i += size
	}
	return nil
}

func (f *form) has(name []byte) bool {
	for i := range f.n {
		if bytes.Equal(f.pairs[i].name, name) {
			return true
		}
	}
	return false
}

// value returns the value of a parameter that may not repeat; empty when it was omitted, which is
// the same (RFC 6749, Section 3.2). Names are compared with case.
func (f *form) value(name string) []byte {
	for i := range f.n {
		if string(f.pairs[i].name) == name {
			return f.pairs[i].value
		}
	}
	return nil
}

// resources returns the values of resource that are not empty, in order.
func (f *form) resources() []string {
	var all []string
	for i := range f.n {
		if p := &f.pairs[i]; string(p.name) == "resource" && len(p.value) > 0 {
			all = append(all, string(p.value))
		}
	}
	return all
}

package jose

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds of the segments of a token, in base64url characters.
const (
	maxHeaderSegment    = (maxHeaderSize*8 + 5) / 6
	maxSignatureSegment = (maxRSABits/8*8 + 5) / 6
)

// VerifyOptions say what a caller accepts. All fields are required.
type VerifyOptions struct {
	// Types are the values of typ that are accepted, compared as RFC 7515, Section 4.1.9 has it:
	// without regard to case, and with "application/" understood where no other slash is.
	Types []string

	// Algorithms are those that are accepted; Ed25519 and EdDSA are one. (RFC 8725, Section 3.1)
	Algorithms []Algorithm

	// Key returns the key that a header names, out of the keys of the one issuer in question. It is
	// called before anything has been verified. When nobody knows the key the error wraps
	// ErrUnknownKey; other errors are faults, which Verify returns as they are.
	Key func(Header) (*PublicKey, error)
}

// Verify checks a compact JWS and returns its header and payload: octets that were signed by the
// key that Key returned, and nothing is said about them beyond that. The payload does not share
// memory with anything else.
//
// The error wraps [ErrMalformed], [ErrHeader] (and [ErrAlgorithm] or [ErrType]), [ErrUnknownKey] or
// [ErrSignature]; anything else is a fault. Work and memory before the key is known are bounded by
// the token's size, and none is spent on a token over [MaxTokenSize].
func Verify(compact string, opts VerifyOptions) (Header, []byte, error) {
	if len(opts.Types) == 0 || len(opts.Algorithms) == 0 || opts.Key == nil {
		return Header{}, nil, errors.New("jose: verify options say what to refuse only")
	}
	dot1, dot2, err := split(compact)
	if err != nil {
		return Header{}, nil, err
	}
	// One buffer for the received octets and what they decode to. That is decoded first, all of it, since it is cheap
	// and finds what is not base64url; the payload is not read before its signature was checked.
	buf := make([]byte, 0, len(compact)+strictBase64.DecodedLen(len(compact)))
	buf = append(buf, compact...)
	received := buf[:dot2] // RFC 7515, Section 5.2: the signature is over the octets as they were received
	header, buf, err := decodeOnto(buf, buf[:dot1])
	if err != nil {
		return Header{}, nil, err
	}
	signature, buf, err := decodeOnto(buf, buf[dot2+1:len(compact)])
	if err != nil {
		return Header{}, nil, err
	}
	payload, _, err := decodeOnto(buf, buf[dot1+1:dot2])
	if err != nil {
		return Header{}, nil, err
	}
	h, err := parseHeader(header)
	if err != nil {
		return Header{}, nil, err
	}
	key, err := opts.choose(h)
	if err != nil {
		return Header{}, nil, err
	}
	if err := key.verify(received, signature); err != nil {
		return Header{}, nil, err
	}
	return h, payload, nil
}

// split finds the two dots of a compact JWS and bounds its three parts, none of them empty. It takes
// no memory: a million dots are refused for their number of octets (JWT-50). Of the octets between the dots it refuses
// those that the decoder would skip.
func split(s string) (dot1, dot2 int, err error) {
	if s == "" || len(s) > MaxTokenSize {
		return 0, 0, fmt.Errorf("%w: size of 1 to %d octets", ErrMalformed, MaxTokenSize)
	}
	if strings.IndexByte(s, '\n') >= 0 || strings.IndexByte(s, '\r') >= 0 {
		return 0, 0, fmt.Errorf("%w: not a compact JWS", ErrMalformed)
	}
	dot1 = strings.IndexByte(s, '.')
	dot2 = dot1 + 1 + strings.IndexByte(s[dot1+1:], '.')
	if dot1 <= 0 || dot2 <= dot1+1 || dot2 == len(s)-1 {
		return 0, 0, fmt.Errorf("%w: not three parts", ErrMalformed)
	}
	if strings.IndexByte(s[dot2+1:], '.') >= 0 { // RFC 7516, Section 7.1: five parts are a JWE
		return 0, 0, fmt.Errorf("%w: not three parts", ErrMalformed)
	}
	if dot1 > maxHeaderSegment || len(s)-dot2-1 > maxSignatureSegment {
		return 0, 0, fmt.Errorf("%w: header or signature too long", ErrMalformed)
	}
	return dot1, dot2, nil
}

// decodeOnto decodes segment, which has no line feed, onto the end of buf, and returns
// what it decoded, cut off from what follows, and the longer buf.
func decodeOnto(buf, segment []byte) (decoded, longer []byte, err error) {
	start := len(buf)
	longer, err = strictBase64.AppendDecode(buf, segment)
	if err != nil {
		return nil, buf, fmt.Errorf("%w: not canonical base64url", ErrMalformed)
	}
	return longer[start:len(longer):len(longer)], longer, nil
}

// choose returns the key for h, or says why there can be none.
func (o *VerifyOptions) choose(h Header) (*PublicKey, error) {
	if !h.Algorithm.in(o.Algorithms) {
		return nil, ErrAlgorithm
	}
	if !hasType(h.Type, o.Types) {
		return nil, ErrType
	}
	key, err := o.Key(h)
	if err != nil {
		return nil, err
	}
	if key == nil {
		return nil, ErrUnknownKey
	}
	// The key decides, never the header: RFC 8725, Sections 2.1 and 3.1.
	if key.algorithm != h.Algorithm.Canonical() {
		return nil, ErrAlgorithm
	}
	return key, nil
}

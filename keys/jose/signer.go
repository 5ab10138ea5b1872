package jose

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"

	"github.com/lestrrat-go/jwx/v2/jws"
)

// maxCachedTypes bounds the header segments that a Signer keeps; a server uses one or two.
const maxCachedTypes = 8

// signingRoom is how long most tokens are, in octets. Longer ones take memory once more.
const signingRoom = 1 << 10

// Signer signs with one private key under one kid and one algorithm. It is safe for concurrent use
// if the crypto.Signer in it is, and it prints as a placeholder.
type Signer struct {
	key       crypto.Signer
	public    *PublicKey
	wire      Algorithm
	primitive jws.Signer // of RSA and Ed25519; ECDSA has none

	// headers maps typ to "base64url(header).", the same for every token. It is replaced, never
	// changed: readers need no lock.
	headers atomic.Pointer[map[string]string]
}

// NewSigner returns a signer for key, which may sit in a device: only Public and Sign are called. An
// empty kid becomes the thumbprint. wireAlg is the name that headers announce: alg itself or, for
// Ed25519, EdDSA. Errors wrap [ErrKey].
func NewSigner(key crypto.Signer, kid string, alg, wireAlg Algorithm) (*Signer, error) {
	if key == nil {
		return nil, fmt.Errorf("%w: no private key", ErrKey)
	}
	public, err := NewPublicKey(kid, alg, key.Public())
	if err != nil {
		return nil, err
	}
	if !wireAlg.known() || wireAlg.Canonical() != public.algorithm {
		return nil, fmt.Errorf("%w: a key for %s cannot be announced under another name", ErrKey, public.algorithm)
	}
	s := &Signer{key: key, public: public, wire: wireAlg}
	if _, ec := curveFor(public.algorithm); !ec {
		if s.primitive, err = jws.NewSigner(alg.primitive()); err != nil {
			return nil, fmt.Errorf("%w: no signer for %s", ErrKey, alg)
		}
	}
	s.headers.Store(&map[string]string{})
	return s, nil
}

// KeyID returns the kid of every token.
func (s *Signer) KeyID() string { return s.public.keyID }

// Algorithm returns the canonical algorithm.
func (s *Signer) Algorithm() Algorithm { return s.public.algorithm }

// WireAlgorithm returns the algorithm as headers announce it.
func (s *Signer) WireAlgorithm() Algorithm { return s.wire }

// PublicKey returns the key that verifies what s signs.
func (s *Signer) PublicKey() *PublicKey { return s.public }

// Sign returns the compact JWS of payload with the header members alg, kid and typ. An error means
// that typ or the size is unusable, or that the key failed; nothing was signed then.
func (s *Signer) Sign(typ string, payload []byte) (string, error) {
	header, err := s.header(typ)
	if err != nil {
		return "", err
	}
	size := s.public.signatureSize()
	length := len(header) + strictBase64.EncodedLen(len(payload)) + 1 + strictBase64.EncodedLen(size)
	if len(payload) == 0 || length > MaxTokenSize {
		return "", fmt.Errorf("jose: sign: a token has a payload and at most %d octets", MaxTokenSize)
	}
	var room [signingRoom]byte // on the stack: see signature
	buf := append(room[:0], header...)
	buf = strictBase64.AppendEncode(buf, payload)
	signature, err := s.signature(buf)
	if err != nil {
		return "", fmt.Errorf("jose: sign with key %q: %w", s.public.keyID, err)
	}
	if len(signature) != size {
		return "", fmt.Errorf("jose: sign with key %q: signature of %d octets", s.public.keyID, len(signature))
	}
	buf = append(buf, '.')
	buf = strictBase64.AppendEncode(buf, signature)
	return string(buf), nil
}

// signature returns the signature over input in the form of a JWS. The input itself is never let out of sight:
// a key in a device, which might keep it, gets a copy or a digest.
func (s *Signer) signature(input []byte) ([]byte, error) {
	if c, ec := curveFor(s.public.algorithm); ec {
		return c.signBy(s.key, input)
	}
	if own, ok := s.key.(ed25519.PrivateKey); ok {
		return own.Sign(rand.Reader, input, crypto.Hash(0))
	}
	return s.primitive.Sign(bytes.Clone(input), s.key)
}

// header returns the first segment, with its dot.
func (s *Signer) header(typ string) (string, error) {
	cached := *s.headers.Load()
	if h, ok := cached[typ]; ok {
		return h, nil
	}
	if !plainText(typ, maxTypeLength) {
		return "", errors.New("jose: sign: typ missing, too long, or of other than printable characters")
	}
	b := Header{Algorithm: s.wire, KeyID: s.public.keyID, Type: typ}.appendJSON(nil)
	h := strictBase64.EncodeToString(b) + "."
	if len(cached) < maxCachedTypes {
		// When two goroutines come here at once one entry is lost, and made again next time.
		next := maps.Clone(cached)
		next[typ] = h
		s.headers.Store(&next)
	}
	return h, nil
}

// Format prints a placeholder whatever the verb: an Ed25519 private key is a slice of octets that
// package fmt would print.
func (s *Signer) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "jose.Signer(%s %s)", s.public.algorithm, s.public.keyID)
}

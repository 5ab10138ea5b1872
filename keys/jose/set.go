package jose

import (
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Set is an immutable set of public keys, such as a JWKS document holds. It is safe for concurrent
// use. A kid is only unique under the issuer whose set this is: never merge the sets of two issuers.
type Set struct {
	keys    []*PublicKey
	byID    map[string][]*PublicKey // in the order of keys; more than one only from ParseSet
	skipped int
	exposed []string
}

// NewSet returns the set of keys, in that order. Two keys with one kid are an error.
func NewSet(keys ...*PublicKey) (*Set, error) {
	s := &Set{byID: make(map[string][]*PublicKey, len(keys))}
	for _, k := range keys {
		if k == nil {
			return nil, fmt.Errorf("%w: nil", ErrKey)
		}
		if len(s.byID[k.keyID]) > 0 {
			return nil, fmt.Errorf("%w: two keys with the kid %q", ErrKey, k.keyID)
		}
		s.add(k)
	}
	return s, nil
}

// ParseSet reads a JWKS document (RFC 7517, Section 5). Entries that cannot be used are skipped and
// counted, so that a key type of tomorrow does not take today's keys away (ALG-09, JWK-11): unknown
// types, curves and algorithms, members that are missing or wrong, keys for encryption, keys out of
// bounds, keys with private or symmetric members. An RSA key without alg is skipped too, since it
// would serve two algorithms. A key without kid goes by its thumbprint.
//
// Two usable keys with one kid are both kept if their types differ, or their curves, so that a
// header's algorithm picks one; otherwise the whole set is refused (RKY-12): there is no telling
// which one the issuer means. A set without usable keys is not
// an error here.
//
// Errors wrap [ErrMalformed] (over [MaxSetSize], not strict JSON, no array keys, over [MaxSetKeys]
// entries) or [ErrKey].
func ParseSet(b []byte) (*Set, error) {
	if len(b) > MaxSetSize {
		return nil, fmt.Errorf("%w: JWK set over %d octets", ErrMalformed, MaxSetSize)
	}
	var doc struct {
		Keys *[]jsontext.Value `json:"keys"`
	}
	if err := StrictUnmarshal(b, &doc, false); err != nil {
		return nil, err
	}
	if doc.Keys == nil {
		return nil, fmt.Errorf("%w: JWK set without the array keys", ErrMalformed)
	}
	if len(*doc.Keys) > MaxSetKeys {
		return nil, fmt.Errorf("%w: JWK set of over %d keys", ErrMalformed, MaxSetKeys)
	}
	s := &Set{byID: make(map[string][]*PublicKey, len(*doc.Keys))}
	for _, entry := range *doc.Keys {
		k, err := parseSetKey(entry)
		if err != nil {
			s.skipped++
			if kid, ok := exposedBy(entry); ok {
				s.exposed = append(s.exposed, kid)
			}
			continue
		}
		for _, other := range s.byID[k.keyID] {
			if other.keyType() == k.keyType() {
				return nil, fmt.Errorf("%w: two keys of one type with the kid %q", ErrKey, k.keyID)
			}
		}
		s.add(k)
	}
	return s, nil
}

func (s *Set) add(k *PublicKey) {
	s.keys = append(s.keys, k)
	s.byID[k.keyID] = append(s.byID[k.keyID], k)
}

// Lookup returns the key with this kid, the first one in the document if there are several.
func (s *Set) Lookup(kid string) (*PublicKey, bool) {
	if keys := s.byID[kid]; len(keys) > 0 {
		return keys[0], true
	}
	return nil, false
}

// Find returns the key that h names; it is made to be [VerifyOptions].Key. Among several keys with
// one kid it takes the one for h's algorithm. If there is none for it, Find returns a key all the
// same, so that it is Verify that refuses the algorithm. Without a key of this kid the error wraps
// [ErrUnknownKey].
func (s *Set) Find(h Header) (*PublicKey, error) {
	keys := s.byID[h.KeyID]
	if len(keys) == 0 {
		return nil, ErrUnknownKey
	}
	for _, k := range keys {
		if k.algorithm == h.Algorithm.Canonical() {
			return k, nil
		}
	}
	return keys[0], nil
}

// Len returns the number of keys.
func (s *Set) Len() int { return len(s.keys) }

// Keys returns the keys in order.
func (s *Set) Keys() []*PublicKey { return slices.Clone(s.keys) }

// Skipped returns how many entries of the document [ParseSet] could not use.
func (s *Set) Skipped() int { return s.skipped }

// Exposed returns the kids of the entries among them that hold a secret: a private key, or a symmetric one. Whoever
// published that document has shown it to everybody. A kid that cannot stand in a log line is left empty.
func (s *Set) Exposed() []string { return slices.Clone(s.exposed) }

// exposedBy reports whether an entry that was skipped holds a secret, and its kid.
func exposedBy(entry jsontext.Value) (kid string, ok bool) {
	var w wireKey
	if err := StrictUnmarshal(entry, &w, false); err != nil || w.K == nil && !w.private() {
		return "", false
	}
	if w.KeyID != nil && plainText(*w.KeyID, MaxKeyIDLength) {
		kid = *w.KeyID
	}
	return kid, true
}

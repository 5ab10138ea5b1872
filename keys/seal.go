package keys

import (
	"crypto"
	"fmt"
	"slices"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// purposeSigningKey tells a sealed signing key from every other blob under the same KEK.
const purposeSigningKey = "signing_key"

// sealer turns key pairs into records and back, for one installation.
type sealer struct {
	keks         []*jose.KEK
	installation string
	wireEd25519  jose.Algorithm
}

// bindings are the protected members of a sealed key. A blob that was moved to another key, ring or
// installation does not open there.
func (s sealer) bindings(ring jose.Algorithm, k Key) map[string]string {
	return map[string]string{
		"purpose":      purposeSigningKey,
		"installation": s.installation,
		"ring":         string(ring),
		"signing_kid":  k.KeyID,
		"signing_alg":  string(k.Algorithm),
	}
}

// wire returns the name by which keys of alg that are made now are announced.
func (s sealer) wire(alg jose.Algorithm) jose.Algorithm {
	if alg == jose.Ed25519 && s.wireEd25519 != "" {
		return s.wireEd25519
	}
	if alg == jose.Ed25519 {
		return jose.EdDSA
	}
	return alg
}

// generate makes a key pair for a ring. The key is not published by that: it has no stamps but
// CreatedAt.
func (s sealer) generate(alg jose.Algorithm, now time.Time) (Key, error) {
	private, err := jose.GenerateKey(alg)
	if err != nil {
		return Key{}, fmt.Errorf("keys: make an %s key: %w", alg, err)
	}
	public, err := jose.NewPublicKey("", alg, private.Public())
	if err != nil {
		return Key{}, fmt.Errorf("keys: make an %s key: %w", alg, err)
	}
	k := Key{KeyID: public.KeyID(), Algorithm: alg, Wire: s.wire(alg), Public: public.BareJWK(), CreatedAt: floor(now)}
	plain, err := jose.MarshalPrivateJWK(private)
	if err != nil {
		return Key{}, fmt.Errorf("keys: write key %q: %w", k.KeyID, err)
	}
	k.Sealed, err = jose.Seal(s.keks[0], s.bindings(alg, k), plain)
	clear(plain)
	if err != nil {
		return Key{}, fmt.Errorf("keys: seal key %q: %w", k.KeyID, err)
	}
	return k, nil
}

// material is a key of the snapshot, ready for use.
type material struct {
	key    Key
	public *jose.PublicKey
	jwk    []byte // as the JWKS shows it
	signer *jose.Signer
}

// same reports whether m was opened from k, stamps apart: opening costs too much to do it each time.
func (m *material) same(k Key) bool {
	return m.key.KeyID == k.KeyID && m.key.Algorithm == k.Algorithm && m.key.Wire == k.Wire &&
		m.key.Sealed == k.Sealed && slices.Equal(m.key.Public, k.Public)
}

// open reads a published key of a ring: its public part, and its private part, which must belong
// together. A retiring key is opened too: a request that took its time just before the switch may
// still be about to sign with it.
func (s sealer) open(ring jose.Algorithm, k Key) (*material, error) {
	m := &material{key: k}
	var err error
	if m.public, err = jose.ParsePublicJWK(k.Public, k.KeyID, k.Algorithm); err != nil {
		return nil, fmt.Errorf("keys: public part of key %q: %w", k.KeyID, err)
	}
	if m.public.Thumbprint() != k.KeyID {
		return nil, fmt.Errorf("keys: key %q is recorded with the public part of %q", k.KeyID, m.public.Thumbprint())
	}
	if m.jwk, err = m.public.JWK(k.Wire); err != nil {
		return nil, fmt.Errorf("keys: public part of key %q: %w", k.KeyID, err)
	}
	private, err := s.unseal(ring, k)
	if err != nil {
		return nil, err
	}
	if m.signer, err = jose.NewSigner(private, k.KeyID, k.Algorithm, k.Wire); err != nil {
		return nil, fmt.Errorf("keys: key %q: %w", k.KeyID, err)
	}
	// ParsePrivateJWK has made sure that the private part fits the public one beside it.
	if got := m.signer.PublicKey().Thumbprint(); got != k.KeyID {
		return nil, fmt.Errorf("keys: key %q is recorded with the private part of %q", k.KeyID, got)
	}
	return m, nil
}

func (s sealer) unseal(ring jose.Algorithm, k Key) (crypto.Signer, error) {
	if k.Sealed == "" {
		return nil, fmt.Errorf("keys: key %q is published but has no private part", k.KeyID)
	}
	plain, err := jose.Open(s.keks, s.bindings(ring, k), k.Sealed)
	if err != nil {
		return nil, fmt.Errorf("keys: private part of key %q (is it another key-encryption key?): %w", k.KeyID, err)
	}
	defer clear(plain)
	private, err := jose.ParsePrivateJWK(plain)
	if err != nil {
		return nil, fmt.Errorf("keys: private part of key %q: %w", k.KeyID, err)
	}
	return private, nil
}

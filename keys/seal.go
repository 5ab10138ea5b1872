package keys

import (
	"context"
	"crypto"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// purposeSigningKey tells a sealed signing key from every other blob under the same KEK.
const purposeSigningKey = "signing_key"

// sealer turns key pairs into records and back, for one installation.
type sealer struct {
	provider     Provider
	keks         []*jose.KEK
	kekID        string // of the key-encryption key that seals as long as no ring says otherwise
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

// generate makes a key pair for a ring, sealed under kek. The key is not published by that: it has no
// stamps but CreatedAt.
func (s sealer) generate(ctx context.Context, alg jose.Algorithm, kek *jose.KEK, now time.Time) (Key, error) {
	private, handle, err := s.provider.Generate(ctx, alg)
	if err != nil {
		return Key{}, fmt.Errorf("keys: make an %s key: %w", alg, err)
	}
	defer clear(handle)
	k := Key{Algorithm: alg, CreatedAt: floor(now)}
	return s.record(k, private, handle, kek)
}

// record completes k with both parts of a key pair.
func (s sealer) record(k Key, private crypto.Signer, handle []byte, kek *jose.KEK) (Key, error) {
	public, err := jose.NewPublicKey(k.KeyID, k.Algorithm, private.Public())
	if err != nil {
		return Key{}, fmt.Errorf("keys: public part of an %s key: %w", k.Algorithm, err)
	}
	k.KeyID, k.Wire, k.Public = public.KeyID(), s.wire(k.Algorithm), public.BareJWK()
	if k.Sealed, err = jose.Seal(kek, s.bindings(k.Algorithm, k), handle); err != nil {
		return Key{}, fmt.Errorf("keys: seal key %q: %w", k.KeyID, err)
	}
	return k, nil
}

// kek returns the key-encryption key that seals for rec: the one under which its newest private key rests,
// or, in a ring without any, that of the others. So all nodes seal with the one that all of them can open,
// whichever they name first, until [Ring.Rewrap] moves everything.
func (s sealer) kek(rec RingRecord, others map[jose.Algorithm]RingRecord) (*jose.KEK, error) {
	id, err := rec.kekID()
	for _, alg := range slices.Sorted(maps.Keys(others)) {
		if id == "" && err == nil {
			id, err = others[alg].kekID()
		}
	}
	if err != nil {
		return nil, err
	}
	if id == "" {
		id = s.kekID
	}
	for _, k := range s.keks {
		if k.ID() == id {
			return k, nil
		}
	}
	return nil, fmt.Errorf("%w: keys are sealed under %s, and what is given is %s", ErrWrongKEK, id, kekIDs(s.keks))
}

// kekID returns which key-encryption key sealed the newest private key of the ring; empty if there is none.
func (r RingRecord) kekID() (string, error) {
	for _, k := range slices.Backward(r.Keys) {
		if k.Sealed == "" {
			continue
		}
		id, err := jose.SealedBy(k.Sealed)
		if err != nil {
			return "", fmt.Errorf("keys: private part of key %q: %w", k.KeyID, err)
		}
		return id, nil
	}
	return "", nil
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
func (s sealer) open(ctx context.Context, ring jose.Algorithm, k Key) (*material, error) {
	m := &material{key: k}
	var err error
	if m.public, err = jose.ParsePublicJWK(k.Public, k.KeyID, k.Algorithm); err != nil {
		return nil, fmt.Errorf("keys: public part of key %q: %w", k.KeyID, err)
	}
	if !k.Imported && m.public.Thumbprint() != k.KeyID {
		return nil, fmt.Errorf("keys: key %q is recorded with the public part of %q", k.KeyID, m.public.Thumbprint())
	}
	if m.jwk, err = m.public.JWK(k.Wire); err != nil {
		return nil, fmt.Errorf("keys: public part of key %q: %w", k.KeyID, err)
	}
	private, err := s.unseal(ctx, ring, k)
	if err != nil {
		return nil, err
	}
	if m.signer, err = jose.NewSigner(private, k.KeyID, k.Algorithm, k.Wire); err != nil {
		return nil, fmt.Errorf("keys: key %q: %w", k.KeyID, err)
	}
	// That the private part fits the public one beside it is the provider's word; whose it is, is ours.
	if got := m.signer.PublicKey().Thumbprint(); got != m.public.Thumbprint() {
		return nil, fmt.Errorf("keys: key %q is recorded with the private part of %q", k.KeyID, got)
	}
	return m, nil
}

func (s sealer) unseal(ctx context.Context, ring jose.Algorithm, k Key) (crypto.Signer, error) {
	handle, err := s.handle(ring, k)
	if err != nil {
		return nil, err
	}
	defer clear(handle)
	private, err := s.provider.Open(ctx, k.Algorithm, handle)
	if err != nil {
		return nil, fmt.Errorf("keys: private part of key %q: %w", k.KeyID, err)
	}
	return private, nil
}

// handle opens what rests of a private key. Whoever gets it clears it.
func (s sealer) handle(ring jose.Algorithm, k Key) ([]byte, error) {
	if k.Sealed == "" {
		return nil, fmt.Errorf("keys: key %q is published but has no private part", k.KeyID)
	}
	id, err := jose.SealedBy(k.Sealed)
	switch {
	case err != nil:
		return nil, fmt.Errorf("keys: private part of key %q: %w", k.KeyID, err)
	case !knows(s.keks, id):
		return nil, fmt.Errorf("%w: key %q is sealed under %s, and what is given is %s", ErrWrongKEK, k.KeyID, id, kekIDs(s.keks))
	}
	handle, err := jose.Open(s.keks, s.bindings(ring, k), k.Sealed)
	if err != nil {
		return nil, fmt.Errorf("keys: private part of key %q: %w", k.KeyID, err)
	}
	return handle, nil
}

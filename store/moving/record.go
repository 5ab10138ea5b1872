package moving

import (
	"fmt"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
)

// open authenticates and decodes a record, as strictly as who uses it, and keeps what an import has to know.
func (r *record) open(env *store.Envelope, keks []*jose.KEK) (err error) {
	switch r.Kind {
	case store.KindClient:
		var client authz.Client
		client, err = env.OpenClient(authz.ClientID(r.Key), r.Octets)
		r.credentials = client.Credentials
	case store.KindResource:
		_, err = env.OpenResource(authz.ResourceID(r.Key), r.Octets)
	case store.KindCredential:
		r.owner, err = env.OpenOwner(authz.CredentialID(r.Key), r.Octets)
	case store.KindRevocation:
		r.revocation, err = env.OpenRevocation(r.Key, r.Octets)
		r.Ends = r.revocation.Until
	case store.KindRing:
		var ring keys.RingRecord
		if ring, err = env.OpenRing(r.Key, r.Octets); err == nil {
			err = checkRing(ring, keks)
		}
	default:
		err = fmt.Errorf("moving: records of kind %q are not moved", r.Kind)
	}
	return err
}

// checkRing finds what a server would only find when it starts: a key of another ring, and a private part
// that none of the key-encryption keys opens.
func checkRing(ring keys.RingRecord, keks []*jose.KEK) error {
	for _, k := range ring.Keys {
		if k.Algorithm != ring.Algorithm {
			return fmt.Errorf("moving: ring %q: the key %q is one for %q", ring.Algorithm, k.KeyID, k.Algorithm)
		}
		if k.Sealed == "" {
			continue
		}
		id, err := jose.SealedBy(k.Sealed)
		if err != nil {
			return fmt.Errorf("moving: ring %q: private part of key %q: %w", ring.Algorithm, k.KeyID, err)
		}
		known := false
		for _, kek := range keks {
			known = known || kek.ID() == id
		}
		if !known {
			return fmt.Errorf("%w: the signing key %q is sealed under %s: name the file of that key, too (keys.previous_kek_files)", keys.ErrWrongKEK, k.KeyID, id)
		}
	}
	return nil
}

// everything is what a revocation of all tokens is stored under.
func everything() string { return token.Subject{Kind: token.RevokedAll}.String() }

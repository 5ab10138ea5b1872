package keys

import (
	"context"
	"crypto"

	"github.com/marque-auth/marque/keys/jose"
)

// Provider makes private keys and finds them again. The ring signs through crypto.Signer alone, and never
// sees a private key: a device (HSM) or a service (KMS) is plugged in here. Its methods may be called
// concurrently. An error of one is a fault, and the ring goes on with what it has.
type Provider interface {
	// Generate makes a key pair for alg, and returns what signs with it and its handle: what Open needs
	// to find it again, at least one octet. The ring keeps the handle sealed in the store and clears it.
	Generate(ctx context.Context, alg jose.Algorithm) (key crypto.Signer, handle []byte, err error)

	// Import takes over a key pair that somebody else made, and returns its handle. A provider whose keys
	// do not come from outside returns an error.
	Import(ctx context.Context, alg jose.Algorithm, key crypto.Signer) (handle []byte, err error)

	// Open returns what signs with the key of a handle. It does not keep the handle.
	Open(ctx context.Context, alg jose.Algorithm, handle []byte) (crypto.Signer, error)
}

// Local returns the provider of keys that this process holds in memory. The handle is the private key
// itself as a JWK (RFC 7517), which rests encrypted (Section 7 there).
func Local() Provider { return local{} }

type local struct{}

func (local) Generate(_ context.Context, alg jose.Algorithm) (crypto.Signer, []byte, error) {
	key, err := jose.GenerateKey(alg)
	if err != nil {
		return nil, nil, err
	}
	handle, err := jose.MarshalPrivateJWK(key)
	return key, handle, err
}

func (local) Import(_ context.Context, _ jose.Algorithm, key crypto.Signer) ([]byte, error) {
	return jose.MarshalPrivateJWK(key)
}

func (local) Open(_ context.Context, _ jose.Algorithm, handle []byte) (crypto.Signer, error) {
	return jose.ParsePrivateJWK(handle)
}

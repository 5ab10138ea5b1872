package keys

import (
	"context"
	"crypto"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/marque-auth/marque/keys/jose"
)

// shelf holds key pairs that were made once for all histories: making them would take most of the time.
// Within a history each is handed out once.
type shelf struct {
	mu   sync.Mutex
	keys map[jose.Algorithm][]crypto.Signer
}

var theShelf = &shelf{keys: map[jose.Algorithm][]crypto.Signer{}}

func (s *shelf) key(alg jose.Algorithm, place int) (crypto.Signer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.keys[alg]) <= place {
		key, err := jose.GenerateKey(alg)
		if err != nil {
			return nil, err
		}
		s.keys[alg] = append(s.keys[alg], key)
	}
	return s.keys[alg][place], nil
}

// rack is the Provider of one history. Like a key store in hardware it shows no private key: a handle is a
// place on the shelf.
type rack struct {
	used map[jose.Algorithm]int
}

func newRack() *rack { return &rack{used: map[jose.Algorithm]int{}} }

// shelved is a key pair with its place.
type shelved struct {
	crypto.Signer
	place int
}

// Sign implements crypto.Signer. The embedded method would do, but for being found by mistake.
func (k shelved) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return k.Signer.Sign(r, digest, o)
}

func (d *rack) take(alg jose.Algorithm) (shelved, error) {
	place := d.used[alg]
	d.used[alg]++
	key, err := theShelf.key(alg, place)
	return shelved{key, place}, err
}

func handleOf(place int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(place)) }

// Generate implements Provider.
func (d *rack) Generate(_ context.Context, alg jose.Algorithm) (crypto.Signer, []byte, error) {
	key, err := d.take(alg)
	return key, handleOf(key.place), err
}

// Import implements Provider.
func (d *rack) Import(_ context.Context, _ jose.Algorithm, key crypto.Signer) ([]byte, error) {
	k, ok := key.(shelved)
	if !ok {
		return nil, fmt.Errorf("a key of another rack: %T", key)
	}
	return handleOf(k.place), nil
}

// Open implements Provider.
func (d *rack) Open(_ context.Context, alg jose.Algorithm, handle []byte) (crypto.Signer, error) {
	key, err := theShelf.key(alg, int(binary.BigEndian.Uint32(handle)))
	return shelved{key, int(binary.BigEndian.Uint32(handle))}, err
}

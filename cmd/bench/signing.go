package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

// signing is what a signature costs through the ring and raw, in µs of CPU, one of each for each round.
type signing struct {
	algorithm jose.Algorithm
	raw, ring []float64
}

// signedFor is how much CPU time one round spends on each side, about.
const signedFor = 150 * time.Millisecond

// measureSigning compares, in this process, a token signed through the key ring with the signature alone:
// the standard library's, over the same octets, by the same key.
func (l *lab) measureSigning(ctx context.Context, r *report) error {
	shown := &seen{}
	ring, err := newBenchRing(ctx, shown)
	if err != nil {
		return err
	}
	payload := bytes.Repeat([]byte(`{"claims":"`+"x"), 40)[:400]
	var all []signing
	for _, alg := range jose.Algorithms() {
		s := signing{algorithm: alg}
		through := func(int) error {
			signer, err := ring.Signer(alg, time.Now())
			if err != nil {
				return err
			}
			_, err = signer.Sign(token.TypeAccessToken, payload)
			return err
		}
		raw, err := rawSignature(shown.first(alg), alg, ring, payload)
		if err != nil {
			return err
		}
		n, err := rounds(through)
		if err != nil {
			return err
		}
		for range l.settings.pairs {
			a, err := perDecision(n, raw)
			if err != nil {
				return err
			}
			b, err := perDecision(n, through)
			if err != nil {
				return err
			}
			s.raw, s.ring = append(s.raw, a), append(s.ring, b)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		all = append(all, s)
	}
	r.signing(all)
	return nil
}

// rounds returns how often f is called to fill signedFor.
func rounds(f func(int) error) (int, error) {
	n := 0
	before, err := cpuTime(os.Getpid())
	for began := before; err == nil && before-began < signedFor; n++ {
		if err = f(n); err == nil {
			before, err = cpuTime(os.Getpid())
		}
	}
	return n, err
}

// rawSignature returns what signs, and nothing else, the octets that a token of the ring signs.
func rawSignature(key crypto.Signer, alg jose.Algorithm, ring *keys.Ring, payload []byte) (func(int) error, error) {
	signer, err := ring.Signer(alg, time.Now())
	if err != nil {
		return nil, err
	}
	compact, err := signer.Sign(token.TypeAccessToken, payload)
	if err != nil {
		return nil, err
	}
	input := []byte(compact[:bytes.LastIndexByte([]byte(compact), '.')])
	sha256Of := func() []byte { d := sha256.Sum256(input); return d[:] }
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		return func(int) (err error) {
			digest := sha256Of
			if alg == jose.ES384 {
				digest = func() []byte { d := sha512.Sum384(input); return d[:] }
			}
			_, err = ecdsa.SignASN1(rand.Reader, key, digest())
			return err
		}, nil
	case ed25519.PrivateKey:
		return func(int) error { ed25519.Sign(key, input); return nil }, nil
	case *rsa.PrivateKey:
		if alg == jose.PS256 {
			opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
			return func(int) error {
				_, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, sha256Of(), opts)
				return err
			}, nil
		}
		return func(int) error {
			_, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sha256Of())
			return err
		}, nil
	}
	return nil, fmt.Errorf("no raw signature by a %T", key)
}

// newBenchRing returns a ring of every algorithm, on a store in memory, whose first keys sign.
func newBenchRing(ctx context.Context, p keys.Provider) (*keys.Ring, error) {
	ring, err := keys.NewRing(keys.Config{
		Rings: &ringsInMemory{}, KEKs: []*jose.KEK{jose.NewKEK([32]byte{1})}, Installation: "bench", Provider: p,
		JWKSMaxAge: keys.DefaultJWKSMaxAge, RefreshInterval: keys.DefaultRefreshInterval, PublishLead: keys.DefaultPublishLead,
		StoreOutage: time.Hour, Leeway: keys.DefaultLeeway, FirstKeyAtOnce: true,
		Algorithms: func(context.Context) ([]jose.Algorithm, error) { return jose.Algorithms(), nil },
	})
	if err != nil {
		return nil, err
	}
	return ring, ring.Step(ctx, time.Now())
}

// seen is keys.Local that lets the bench see the keys, to sign with them without the ring.
type seen struct {
	mu   sync.Mutex
	keys map[jose.Algorithm]crypto.Signer // the first of each
}

func (s *seen) first(alg jose.Algorithm) crypto.Signer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[alg]
}

func (s *seen) Generate(ctx context.Context, alg jose.Algorithm) (crypto.Signer, []byte, error) {
	key, handle, err := keys.Local().Generate(ctx, alg)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys = map[jose.Algorithm]crypto.Signer{}
	}
	if s.keys[alg] == nil {
		s.keys[alg] = key
	}
	return key, handle, err
}

func (*seen) Import(context.Context, jose.Algorithm, crypto.Signer) ([]byte, error) {
	return nil, errors.ErrUnsupported
}

func (*seen) Open(ctx context.Context, alg jose.Algorithm, handle []byte) (crypto.Signer, error) {
	return keys.Local().Open(ctx, alg, handle)
}

// ringsInMemory keeps rings for one process.
type ringsInMemory struct {
	mu    sync.Mutex
	rings map[jose.Algorithm]keys.RingRecord
}

func (m *ringsInMemory) Rings(context.Context) ([]keys.RingRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []keys.RingRecord
	for _, r := range m.rings {
		all = append(all, r)
	}
	return all, nil
}

func (m *ringsInMemory) PutRing(_ context.Context, r keys.RingRecord, _ audit.Entry) (keys.RingRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rings[r.Algorithm].Version != r.Version {
		return keys.RingRecord{}, keys.ErrConflict
	}
	if m.rings == nil {
		m.rings = map[jose.Algorithm]keys.RingRecord{}
	}
	r.Version++
	m.rings[r.Algorithm] = r
	return r, nil
}

package keys

import (
	"context"
	"crypto"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/marque-auth/marque/keys/jose"
)

var update = flag.Bool("update", false, "rewrite golden files in testdata")

// readyMade is a provider of the public keys in testdata, three for each algorithm. They sign nothing.
type readyMade struct {
	keys map[jose.Algorithm][]*jose.PublicKey
	made map[jose.Algorithm]int
}

type publicOnly struct{ key crypto.PublicKey }

func (p publicOnly) Public() crypto.PublicKey { return p.key }
func (publicOnly) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("a public key")
}

func newReadyMade(t *testing.T) *readyMade {
	t.Helper()
	b, err := os.ReadFile("testdata/public_keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	p := &readyMade{map[jose.Algorithm][]*jose.PublicKey{}, map[jose.Algorithm]int{}}
	for line := range strings.Lines(string(b)) {
		alg, jwk, _ := strings.Cut(strings.TrimSpace(line), " ")
		key, err := jose.ParsePublicJWK([]byte(jwk), "", jose.Algorithm(alg))
		if err != nil {
			t.Fatal(err)
		}
		p.keys[key.Algorithm()] = append(p.keys[key.Algorithm()], key)
	}
	return p
}

func (p *readyMade) Generate(ctx context.Context, alg jose.Algorithm) (crypto.Signer, []byte, error) {
	if p.made[alg] == len(p.keys[alg]) {
		return nil, nil, errors.New("no more keys")
	}
	p.made[alg]++
	handle := []byte{byte(p.made[alg])}
	key, err := p.Open(ctx, alg, handle)
	return key, handle, err
}

func (p *readyMade) Import(context.Context, jose.Algorithm, crypto.Signer) ([]byte, error) {
	return nil, errors.ErrUnsupported
}

func (p *readyMade) Open(_ context.Context, alg jose.Algorithm, handle []byte) (crypto.Signer, error) {
	return publicOnly{p.keys[alg][handle[0]-1].Raw()}, nil
}

// The document, octet by octet: whoever reads it has a parser that we do not know.
func TestJWK01_JWK02_JWK05_JWK06_TheDocumentAsItGoesOut(t *testing.T) {
	var got strings.Builder
	show := func(title string, r *Ring) {
		d, err := r.JWKS()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "%s\nETag: %s\nmax-age=%d\n%s\n\n", title, d.ETag, int(d.MaxAge.Seconds()), strings.ReplaceAll(string(d.Body), "},{", "},\n {"))
	}
	w := newWorld(t, func(c *Config) { c.Provider = newReadyMade(t) })
	show("a fresh server: the active key and the next one", w.Ring)
	w.after(DefaultPublishLead)
	w.rotate()
	show("after a rotation: retiring, active, next", w.Ring)
	w.revoke(w.kid(StateActive)) // the third one takes over, and there is no fourth
	show("after an emergency: retiring, and the next one that took over", w.Ring)
	w.clock.Advance(w.windows.RetireAfter + time.Second)
	if err := w.Reload(bg); err != nil {
		t.Fatal(err)
	}
	show("when the retiring one has left", w.Ring)

	every := func(c *Config) { c.Provider, c.Algorithms = newReadyMade(t), uses(jose.Algorithms()...) }
	show("every algorithm", newWorld(t, every).Ring)
	show("every algorithm, Ed25519 by its new name", newWorld(t, every, func(c *Config) { c.WireEd25519 = jose.Ed25519 }).Ring)

	const file = "testdata/jwks.golden"
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}

package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/marque-auth/marque/keys/jose"
)

// floorCommand is the argument that makes this program the floor instead of the bench.
const floorCommand = "floor"

// floorConfig is what the bench writes to the floor's standard input. The floor answers with its
// address in one line, and serves until its standard input ends: it never outlives the bench.
type floorConfig struct {
	Digest []byte                 `json:"digest"` // SHA-256 of the one secret
	Tokens map[string]floorSample `json:"tokens"` // by resource
}

// floorSample is a token of the server, which the floor's tokens equal in size.
type floorSample struct {
	Algorithm jose.Algorithm `json:"algorithm"`
	Wire      jose.Algorithm `json:"wire"` // as the header announces it
	KeyID     string         `json:"kid"`
	Type      string         `json:"type"`
	Payload   []byte         `json:"payload"`
	Tail      string         `json:"tail"` // of the answer, after the token
}

// floor is the least that a token endpoint can do. It knows no clients and no policy, makes no
// identifier, reads no clock, and says the same in every token.
type floor struct {
	digest []byte
	tokens map[string]floorToken
}

type floorToken struct {
	signer  *jose.Signer
	typ     string
	payload []byte
	tail    string
}

func newFloor(c floorConfig) (*floor, error) {
	f := &floor{digest: c.Digest, tokens: map[string]floorToken{}}
	for resource, s := range c.Tokens {
		key, err := jose.GenerateKey(s.Algorithm)
		if err != nil {
			return nil, err
		}
		signer, err := jose.NewSigner(key, s.KeyID, s.Algorithm, s.Wire)
		if err != nil {
			return nil, err
		}
		f.tokens[resource] = floorToken{signer, s.Type, s.Payload, s.Tail}
	}
	return f, nil
}

// ServeHTTP answers a token request with one hash, one comparison and one signature.
func (f *floor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	sum := sha256.Sum256([]byte(r.PostForm.Get("client_secret")))
	if subtle.ConstantTimeCompare(sum[:], f.digest) != 1 {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	t, ok := f.tokens[r.PostForm.Get("resource")]
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	token, err := t.signer.Sign(t.typ, t.payload)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	body := make([]byte, 0, len(answerHead)+len(token)+len(t.tail))
	body = append(body, answerHead...)
	body = append(body, token...)
	body = append(body, t.tail...)
	w.Write(body)
}

// answerHead begins the answer of RFC 6749, Section 5.1, up to the token.
const answerHead = `{"access_token":"`

// serveFloor is the floor's process.
func serveFloor(in io.Reader, out io.Writer) error {
	var c floorConfig
	decoder := json.NewDecoder(in)
	if err := decoder.Decode(&c); err != nil {
		return fmt.Errorf("read the floor's configuration: %w", err)
	}
	f, err := newFloor(c)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: f}
	go func() {
		io.Copy(io.Discard, in) // ends when the bench closes its side, or is gone
		server.Close()
	}()
	fmt.Fprintln(out, listener.Addr())
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

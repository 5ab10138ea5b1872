package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
)

// discovery shows how the service finds the issuer's keys when it starts. Later, when the service
// looks for new keys in the background, it is silent.
type discovery struct {
	*narrator

	mu     sync.Mutex
	over   bool
	issuer string   // as the metadata say
	kids   []string // of the fetched keys
}

// RoundTrip implements http.RoundTripper.
func (d *discovery) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, body, err := exchange(r)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.over {
		d.request(r, nil, "")
		d.response(resp, nil, "")
		d.learn([]byte(body))
	}
	return resp, nil
}

// learn shows and keeps what matters of the metadata, or of the key set.
func (d *discovery) learn(body []byte) {
	var said struct {
		Issuer  string
		JWKSURI string `json:"jwks_uri"`
		Keys    []struct{ Kty, Alg, Kid string }
	}
	if json.Unmarshal(body, &said) != nil {
		return
	}
	if said.Issuer != "" {
		d.issuer = said.Issuer
		d.line("     %s", clean(fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q, …}`, said.Issuer, said.JWKSURI)))
	}
	for _, k := range said.Keys {
		d.kids = append(d.kids, k.Kid)
		d.line("     %s", clean(fmt.Sprintf(`{"kty":%q,"alg":%q,"kid":%q, …}`, k.Kty, k.Alg, k.Kid)))
	}
}

// end makes it silent, and returns the issuer and the keys that were fetched.
func (d *discovery) end() (issuer string, kids []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	return d.issuer, d.kids
}

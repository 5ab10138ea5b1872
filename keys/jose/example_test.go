package jose_test

import (
	"fmt"
	"log"

	"github.com/marque-auth/marque/keys/jose"
)

// A server signs a token and publishes the key; a service reads the JWKS document and verifies.
func Example() {
	private, err := jose.GenerateKey(jose.Ed25519)
	if err != nil {
		log.Fatal(err)
	}
	// Most validators of today know the algorithm by its older name only.
	signer, err := jose.NewSigner(private, "2026-11", jose.Ed25519, jose.EdDSA)
	if err != nil {
		log.Fatal(err)
	}
	token, err := signer.Sign("at+jwt", []byte(`{"sub":"c1"}`))
	if err != nil {
		log.Fatal(err)
	}
	jwk, err := signer.PublicKey().JWK(signer.WireAlgorithm())
	if err != nil {
		log.Fatal(err)
	}

	set, err := jose.ParseSet([]byte(`{"keys":[` + string(jwk) + `]}`))
	if err != nil {
		log.Fatal(err)
	}
	header, payload, err := jose.Verify(token, jose.VerifyOptions{
		Types:      []string{"at+jwt"},
		Algorithms: []jose.Algorithm{jose.ES256, jose.Ed25519},
		Key:        set.Find,
	})
	if err != nil {
		log.Fatal(err)
	}
	var claims struct {
		Subject string `json:"sub"`
	}
	if err := jose.StrictUnmarshal(payload, &claims, false); err != nil {
		log.Fatal(err)
	}
	fmt.Println(header.Algorithm, header.KeyID, claims.Subject)
	// Output: EdDSA 2026-11 c1
}

// A private key rests sealed, bound to what it is for.
func ExampleSeal() {
	kek := jose.NewKEK([32]byte{ /* from a file, or a vault */ })
	purpose := map[string]string{"ring": "ES256", "signing_kid": "2026-11"}
	sealed, err := jose.Seal(kek, purpose, []byte("a private JWK"))
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := jose.Open([]*jose.KEK{kek}, purpose, sealed)
	fmt.Println(string(plaintext), err)

	_, err = jose.Open([]*jose.KEK{kek}, map[string]string{"ring": "RS256", "signing_kid": "2026-11"}, sealed)
	fmt.Println(err)
	// Output:
	// a private JWK <nil>
	// jose: cannot open sealed secret: sealed for something else: "ring" differs
}

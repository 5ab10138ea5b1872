package admin

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"sync"

	"github.com/marque-auth/marque/keys/jose"
)

// actOf is the name of the act, where an operation needs one.
func actOf(e endpoint) header {
	for _, p := range e.op.Parameters {
		if p.Value.In == "header" && p.Value.Name == "Idempotency-Key" && p.Value.Required {
			return header{"Idempotency-Key": "one-act-of-its-own"}
		}
	}
	return header{}
}

// keyFor makes a key; those of RSA, which take long, are the same each time.
func keyFor(alg jose.Algorithm) crypto.Signer {
	if alg == jose.RS256 || alg == jose.PS256 {
		return keyOfRSA()
	}
	key, err := jose.GenerateKey(alg)
	if err != nil {
		panic(err)
	}
	return key
}

var keyOfRSA = sync.OnceValue(func() crypto.Signer {
	key, err := jose.GenerateKey(jose.RS256)
	if err != nil {
		panic(err)
	}
	return key
})

func pemOf(alg jose.Algorithm) string { return pemText(keyFor(alg)) }

func pemText(key crypto.Signer) string {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// jwkText is a private JWK, with members besides.
func jwkText(key crypto.Signer, more map[string]any) string {
	b, err := jose.MarshalPrivateJWK(key)
	if err != nil {
		panic(err)
	}
	members := map[string]any{}
	if err := json.Unmarshal(b, &members); err != nil {
		panic(err)
	}
	for name, v := range more {
		members[name] = v
	}
	return marshalled(members)
}

func marshalled(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

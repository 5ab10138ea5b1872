package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/keys"
)

// padding is many clients that equal one which a server registered, the pattern, but in identifier, name, credential
// and secret. It knows the installation's pepper, so it is for installations that are thrown away.
type padding struct {
	digests hash.Hash // HMAC-SHA-256 under the pepper
	secrets secrets
	pattern authz.Client
}

func newPadding(pepper keys.Secret, s secrets) *padding {
	return &padding{digests: hmac.New(sha256.New, pepper[:]), secrets: s}
}

// secrets are those of the clients, which all come from one seed: a million need not be kept.
type secrets string

// of returns the secret of the i-th client, as one that was brought from another server.
func (s secrets) of(i int) string {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(s), uint64(i)))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// The identifiers of the i-th client and of its credential. The first client is the pattern, whose
// credential the server has named.
func filledID(i int) string         { return fmt.Sprintf("filled-%08d", i) }
func filledCredential(i int) string { return fmt.Sprintf("filled%010d", i) } // as long as the server's
func filledName(i int) string       { return "Partner " + filledID(i) }

// client returns the i-th client.
func (p *padding) client(i int) authz.Client {
	c := p.pattern
	c.ID, c.Name = authz.ClientID(filledID(i)), filledName(i)
	c.Credentials = slices.Clone(c.Credentials)
	credential := &c.Credentials[0]
	credential.ID = authz.CredentialID(filledCredential(i))
	credential.Digest = p.digest(p.secrets.of(i), filledID(i), filledCredential(i))
	return c
}

// digest is authz.SchemeHMAC over secret, client and credential, each behind its length. Were it not, no
// filled client would get a token.
func (p *padding) digest(parts ...string) []byte {
	var input []byte
	for _, part := range parts {
		input = append(binary.BigEndian.AppendUint32(input, uint32(len(part))), part...)
	}
	p.digests.Reset()
	p.digests.Write(input)
	return p.digests.Sum(nil)
}

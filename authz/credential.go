package authz

import "time"

// CredentialID names one credential of one client. It is unique in the installation, is no secret,
// and is the claim credential_id of the tokens that the credential obtained (CLA-08).
type CredentialID string

// Scheme says how a secret is stored, so that one brought from another server fits too.
type Scheme string

// SchemeHMAC is HMAC-SHA-256 under the installation's pepper over secret, client and credential.
const SchemeHMAC Scheme = "hmac-sha256"

// Credential is a client secret as it is kept: never the secret itself. Zero times mean "never" or
// "from the beginning". A revoked credential is kept, so that its use can be explained.
type Credential struct {
	ID        CredentialID
	Scheme    Scheme
	Digest    []byte    // 32 bytes; anything else never matches (CLA-18)
	Generated bool      // made by this server: the secret carries the credential's id and a checksum
	NotBefore time.Time // refused before
	Expires   time.Time // refused from this instant on (CLA-17)
	RevokedAt time.Time // refused once set
	CreatedAt time.Time
}

// expired reports whether the credential is past its end: it is refused from the very instant on.
func (c *Credential) expired(now time.Time) bool {
	return !c.Expires.IsZero() && !now.Before(c.Expires)
}

// usable reports whether the credential may authenticate now.
func (c *Credential) usable(now time.Time) bool {
	return c.RevokedAt.IsZero() && !now.Before(c.NotBefore) && !c.expired(now)
}

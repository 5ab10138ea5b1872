package authz

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"regexp"
	"strings"
	"sync"

	"github.com/marque-auth/marque/keys"
)

// A generated secret reads
//
//	mrq_ credential-id _ 256 bits, base64url _ CRC-32, base32hex
//	4    16              1 43                1 7
//
// so that secret scanners recognise a leak by the prefix, a typo is told from a wrong secret by the
// checksum, and a secret presented for the wrong client is found in one read. Only A-Z a-z 0-9 - _
// occur, so that clients which skip the form-encoding of RFC 6749, Section 2.3.1 still work (CLA-11).
const (
	secretPrefix    = "mrq_"
	credentialIDLen = 16
	secretRandom    = 32
	secretBodyLen   = len(secretPrefix) + credentialIDLen + 1 + 43
	secretLen       = secretBodyLen + 1 + 7
)

const checksumAlphabet = "0123456789abcdefghijklmnopqrstuv"

// newSecret makes a secret for a credential from the operating system's generator.
func newSecret(id CredentialID) Secret {
	var random [secretRandom]byte
	rand.Read(random[:]) // never fails: crypto/rand ends the program instead
	body := secretPrefix + string(id) + "_" + base64.RawURLEncoding.EncodeToString(random[:])
	return Secret(body + "_" + checksum(body))
}

// newCredentialID returns 80 random bits: unique, not secret.
func newCredentialID() CredentialID {
	return CredentialID(strings.ToLower(rand.Text()[:credentialIDLen]))
}

func checksum(body string) string {
	sum := crc32.ChecksumIEEE([]byte(body))
	out := make([]byte, 7)
	for i := range out {
		out[i] = checksumAlphabet[sum&31]
		sum >>= 5
	}
	return string(out)
}

// shape is what a presented string looks like.
type shape int

const (
	shapeForeign shape = iota // nothing that this server makes
	shapeTypo                 // the prefix or length of ours, but not the checksum
	shapeOurs                 // well-formed; the credential id in it may be looked up
)

// shapeOf tells what s looks like, and the credential that it names if it is well-formed.
func shapeOf(s string) (shape, CredentialID) {
	if !strings.HasPrefix(s, secretPrefix) {
		return shapeForeign, ""
	}
	if len(s) != secretLen || s[secretBodyLen] != '_' || s[len(secretPrefix)+credentialIDLen] != '_' ||
		s[secretBodyLen+1:] != checksum(s[:secretBodyLen]) {
		return shapeTypo, ""
	}
	return shapeOurs, CredentialID(s[len(secretPrefix) : len(secretPrefix)+credentialIDLen])
}

// CredentialIn returns the credential that a well-formed secret of ours names, without judging the
// secret: for the log, when one turned up where it must not be.
func CredentialIn(secret string) (CredentialID, bool) {
	kind, id := shapeOf(secret)
	return id, kind == shapeOurs
}

var secretPattern = regexp.MustCompile(`mrq_[A-Za-z0-9_-]{8,}`)

// Redact replaces whatever in s looks like a secret of ours. Everything that a stranger sent and
// that reaches a log passes through it: a secret pasted into the wrong field is still a secret.
func Redact(s string) string {
	if !strings.Contains(s, secretPrefix) {
		return s
	}
	return secretPattern.ReplaceAllString(s, redacted)
}

// hasher computes the digests under which secrets are stored. It is safe for concurrent use.
type hasher struct {
	keyed sync.Pool // of hash.Hash: HMAC-SHA-256 under the pepper, reset
}

func newHasher(pepper keys.Secret) *hasher {
	h := &hasher{}
	h.keyed.New = func() any { return hmac.New(sha256.New, pepper[:]) }
	return h
}

// sum writes input to a keyed HMAC and returns the result.
func (h *hasher) sum(input []byte) (out [sha256.Size]byte) {
	mac := h.keyed.Get().(hash.Hash)
	mac.Write(input)
	mac.Sum(out[:0])
	mac.Reset()
	h.keyed.Put(mac)
	return out
}

// digest is HMAC-SHA-256 under the pepper over secret, client and credential, each preceded by its
// length, so that no two triples share an input and a digest moved to another client is worthless.
func (h *hasher) digest(secret string, client ClientID, credential CredentialID) [sha256.Size]byte {
	buf := appendParts(make([]byte, 0, 256), secret, string(client), string(credential))
	defer clear(buf)
	return h.sum(buf)
}

// appendParts appends each part behind its length, so that no two lists of parts read alike.
func appendParts(b []byte, parts ...string) []byte {
	for _, part := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return b
}

// matches compares in constant time. A stored digest that is absent or of another length never
// matches (CLA-18), and costs the same.
func (h *hasher) matches(secret string, client ClientID, c Credential) bool {
	got := h.digest(secret, client, c.ID)
	return subtle.ConstantTimeCompare(got[:], c.Digest) == 1 && c.Scheme == SchemeHMAC && secret != ""
}

var derivedEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// derive makes an identifier from a key that the caller chose to make its request repeatable: the
// same key gives the same identifier, and nobody without the pepper can compute or invert it.
func (h *hasher) derive(purpose string, parts ...string) string {
	input := binary.BigEndian.AppendUint32(nil, 1<<32-1) // no digest's input starts like this
	out := h.sum(appendParts(appendParts(input, purpose), parts...))
	return strings.ToLower(derivedEncoding.EncodeToString(out[:]))
}

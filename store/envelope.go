package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
)

// Format is the format that this program writes: the layout of the envelope and, for each kind, the
// members of its body. A change of either takes the next number. Every earlier format is read as it
// was; a record takes the newest one when it is written again.
const Format = 3

// Earlier formats.
const (
	formatFirst  = 1 // before revocations, deletion and admin clients
	formatSecond = 2 // before imported keys, emergencies, and changes of a resource's algorithm that wait
)

// The layout of a sealed record:
//
//	offset  size
//	0       1     format
//	1       8     version of the record, big-endian; 1 for the first
//	9       32    HMAC-SHA-256 under the record key
//	41      …     body: one JSON object
const (
	versionAt  = 1
	macAt      = versionAt + 8
	bodyAt     = macAt + sha256.Size
	macLabel   = "marque stored record" // keeps these MACs apart from others under the same key
	recordKeyN = 32
)

// Envelope authenticates the records of one namespace. The MAC covers namespace, kind, storage key,
// format, version and body, so that who can write to the store, but has not the record key, can
// neither forge a record nor put a genuine one in another's place. What it cannot notice is a record
// removed, or replaced by an earlier one from the same place. Safe for concurrent use; immutable.
type Envelope struct {
	recordKey [recordKeyN]byte
	namespace string
}

// NewEnvelope returns the envelope of a namespace under the installation's record key.
func NewEnvelope(recordKey [32]byte, namespace string) (*Envelope, error) {
	if err := CheckNamespace(namespace); err != nil {
		return nil, err
	}
	if recordKey == [recordKeyN]byte{} {
		return nil, errors.New("store: the record key is all zeros")
	}
	return &Envelope{recordKey: recordKey, namespace: namespace}, nil
}

// Namespace returns the namespace whose records the envelope seals.
func (e *Envelope) Namespace() string { return e.namespace }

// Seal returns the record to be stored under kind and key.
func (e *Envelope) Seal(kind Kind, key string, version uint64, body []byte) []byte {
	return e.sealAs(Format, kind, key, version, body)
}

func (e *Envelope) sealAs(format byte, kind Kind, key string, version uint64, body []byte) []byte {
	b := make([]byte, bodyAt, bodyAt+len(body))
	b[0] = format
	binary.BigEndian.PutUint64(b[versionAt:], version)
	b = append(b, body...)
	copy(b[macAt:], e.authenticator().code(kind, []byte(key), b))
	return b
}

// Open checks a stored record and returns its version and body; the body is a part of sealed. The
// error is a *RecordError: ErrNewerFormat for a format this program does not know yet, whose MAC it
// therefore cannot check, and ErrDamaged for everything else.
func (e *Envelope) Open(kind Kind, key string, sealed []byte) (version uint64, body []byte, err error) {
	return e.openWith(e.authenticator(), kind, []byte(key), sealed)
}

// openWith is Open with an authenticator that can be used again and again.
func (e *Envelope) openWith(a *authenticator, kind Kind, key, sealed []byte) (version uint64, body []byte, err error) {
	version, reason, err := claimedVersion(sealed)
	if err != nil {
		return 0, nil, &RecordError{Kind: kind, Key: string(key), Reason: reason, Err: err}
	}
	if !hmac.Equal(sealed[macAt:bodyAt], a.code(kind, key, sealed)) {
		return 0, nil, damaged(kind, string(key), "its authentication code does not fit: it was altered, moved, or sealed under another record key")
	}
	return version, sealed[bodyAt:], nil
}

// PeekVersion returns the version that a stored record claims, without authenticating it: enough to
// tell that a copy is not current, and for nothing else.
func PeekVersion(kind Kind, key string, sealed []byte) (uint64, error) {
	version, reason, err := claimedVersion(sealed)
	if err != nil {
		return 0, &RecordError{Kind: kind, Key: key, Reason: reason, Err: err}
	}
	return version, nil
}

// claimedVersion is PeekVersion without the record's name, which only an error needs.
func claimedVersion(sealed []byte) (version uint64, reason string, err error) {
	switch {
	case len(sealed) == 0:
		return 0, "it is empty", ErrDamaged
	case sealed[0] > Format:
		return 0, newerReason, ErrNewerFormat
	case sealed[0] < formatFirst || len(sealed) < bodyAt:
		return 0, "it is cut off or overwritten", ErrDamaged
	}
	if version = binary.BigEndian.Uint64(sealed[versionAt:]); version == 0 {
		return 0, "its version is 0", ErrDamaged
	}
	return version, "", nil
}

// authenticator computes the codes of one envelope. Half of the work of a short code is its key, which
// is done once. Not safe for concurrent use.
type authenticator struct {
	hash      hash.Hash
	namespace string
	head      []byte // scratch
	sum       [sha256.Size]byte
}

func (e *Envelope) authenticator() *authenticator {
	return &authenticator{hash: hmac.New(sha256.New, e.recordKey[:]), namespace: e.namespace}
}

// code returns the code over everything in sealed but itself; it is gone with the next call. Each part
// is preceded by its length: without that, "a" and "bc" would authenticate "ab" and "c".
func (a *authenticator) code(kind Kind, key, sealed []byte) []byte {
	head := appendPart(a.head[:0], macLabel)
	head = appendPart(head, a.namespace)
	head = appendPart(head, kind)
	head = appendPart(head, key)
	head = appendPart(head, sealed[:macAt]) // format and version
	body := sealed[bodyAt:]
	a.head = binary.BigEndian.AppendUint64(head, uint64(len(body)))
	a.hash.Reset()
	a.hash.Write(a.head)
	a.hash.Write(body)
	return a.hash.Sum(a.sum[:0])
}

func appendPart[T ~string | ~[]byte](to []byte, part T) []byte {
	return append(binary.BigEndian.AppendUint64(to, uint64(len(part))), part...)
}

// Format keeps the record key out of every verb of package fmt.
func (e *Envelope) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.redacted()) }

// LogValue keeps the record key out of logs.
func (e *Envelope) LogValue() slog.Value { return slog.StringValue(e.redacted()) }

func (e *Envelope) redacted() string { return "store.Envelope(" + e.namespace + ")" }

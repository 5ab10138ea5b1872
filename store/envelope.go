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
const Format = 2

// formatFirst is the format of records made before revocations, deletion and admin clients.
const formatFirst = 1

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
	e.mac(e.newMAC(), b[macAt:macAt], kind, []byte(key), b)
	return b
}

// Open checks a stored record and returns its version and body; the body is a part of sealed. The
// error is a *RecordError: ErrNewerFormat for a format this program does not know yet, whose MAC it
// therefore cannot check, and ErrDamaged for everything else.
func (e *Envelope) Open(kind Kind, key string, sealed []byte) (version uint64, body []byte, err error) {
	return e.openWith(e.newMAC(), kind, []byte(key), sealed)
}

// openWith is Open with a MAC of newMAC's, which can be used again and again: half of the work of a
// short MAC is its key.
func (e *Envelope) openWith(h hash.Hash, kind Kind, key, sealed []byte) (version uint64, body []byte, err error) {
	if version, err = PeekVersion(kind, string(key), sealed); err != nil {
		return 0, nil, err
	}
	var sum [sha256.Size]byte
	if !hmac.Equal(sealed[macAt:bodyAt], e.mac(h, sum[:0], kind, key, sealed)) {
		return 0, nil, damaged(kind, string(key), "its authentication code does not fit: it was altered, moved, or sealed under another record key")
	}
	return version, sealed[bodyAt:], nil
}

// PeekVersion returns the version that a stored record claims, without authenticating it: enough to
// tell that a copy is not current, and for nothing else.
func PeekVersion(kind Kind, key string, sealed []byte) (uint64, error) {
	switch {
	case len(sealed) == 0:
		return 0, damaged(kind, key, "it is empty")
	case sealed[0] > Format:
		return 0, newer(kind, key)
	case sealed[0] < formatFirst || len(sealed) < bodyAt:
		return 0, damaged(kind, key, "it is cut off or overwritten")
	}
	version := binary.BigEndian.Uint64(sealed[versionAt:])
	if version == 0 {
		return 0, damaged(kind, key, "its version is 0")
	}
	return version, nil
}

func (e *Envelope) newMAC() hash.Hash { return hmac.New(sha256.New, e.recordKey[:]) }

// mac appends the code over everything but itself. Each part is preceded by its length: without
// that, "a" and "bc" would authenticate "ab" and "c".
func (e *Envelope) mac(h hash.Hash, to []byte, kind Kind, key, sealed []byte) []byte {
	h.Reset()
	var length [8]byte
	part := func(p []byte) {
		binary.BigEndian.PutUint64(length[:], uint64(len(p)))
		h.Write(length[:])
		h.Write(p)
	}
	part([]byte(macLabel))
	part([]byte(e.namespace))
	part([]byte(kind))
	part(key)
	part(sealed[:macAt]) // format and version
	part(sealed[bodyAt:])
	return h.Sum(to)
}

// Format keeps the record key out of every verb of package fmt.
func (e *Envelope) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.redacted()) }

// LogValue keeps the record key out of logs.
func (e *Envelope) LogValue() slog.Value { return slog.StringValue(e.redacted()) }

func (e *Envelope) redacted() string { return "store.Envelope(" + e.namespace + ")" }

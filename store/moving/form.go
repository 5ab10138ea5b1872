package moving

import (
	"crypto/rand"
	"errors"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

// Format is the format of the file that this program writes and reads. Records in it count their own.
const Format = 1

// The kinds of line that are no record.
const (
	kindHeader store.Kind = "export"
	kindEnd    store.Kind = "end"
)

// kinds are the kinds of record in the order in which a file has them. Revocations come first: of a client that
// is disabled while a running store is exported the file may then lack the revocation, which an import makes
// good by revoking everything, and not the mark. Clients come before the index of credentials, which never
// lacks one of a client that was written before.
func kinds() []store.Kind {
	return []store.Kind{
		store.KindRevocation, store.KindResource, store.KindRing, store.KindClient, store.KindCredential, store.KindAudit,
	}
}

// Header is what an export says of itself.
type Header struct {
	ID        string    // random
	Namespace string    // where it was
	KEKID     string    // the key-encryption key that it is authenticated under, and the installation sealed
	MadeAt    time.Time // by the clock of who made it
	Final     bool      // the store was closed before it was read

	Installation keys.Installation
}

// End is what an export says of itself when it has been written.
type End struct {
	Records map[store.Kind]int
	Floor   uint64           // see store.Mover
	Changed []authz.ClientID // clients that were written while the export was, unless it is final
}

// NewID returns an identifier for an export.
func NewID() string { return rand.Text() }

// headForm tells one kind of line from another, and of a header whether it is for us to read.
type headForm struct {
	Kind   store.Kind `json:"kind"`
	Format int        `json:"format"`
}

type headerForm struct {
	Kind         store.Kind     `json:"kind"`
	Format       int            `json:"format"`
	ID           string         `json:"id"`
	Namespace    string         `json:"namespace"`
	KEKID        string         `json:"kek_id"`
	Salt         []byte         `json:"salt"` // base64
	MadeAt       time.Time      `json:"made_at"`
	Final        bool           `json:"final"`
	Installation jsontext.Value `json:"installation"` // as it is stored
}

type recordForm struct {
	Kind    store.Kind     `json:"kind"`
	Key     string         `json:"key"`
	Version uint64         `json:"version,omitzero"` // of audit entries none
	Format  byte           `json:"format,omitzero"`  // likewise
	Body    jsontext.Value `json:"body"`
}

type endForm struct {
	Kind    store.Kind         `json:"kind"`
	Records map[store.Kind]int `json:"records"`
	Floor   uint64             `json:"floor"`
	Changed []authz.ClientID   `json:"changed,omitempty"`
}

// open returns the content of a line that is to be written: an object without its last brace.
func open(form any) ([]byte, error) {
	b, err := json.Marshal(form, json.Deterministic(true), jsontext.PreserveRawStrings(true))
	if err != nil {
		return nil, err
	}
	return b[:len(b)-1], nil
}

// appendRecord appends the content of a record's line. Its parts are JSON already, and are not read again.
func appendRecord(to []byte, r recordForm) ([]byte, error) {
	to = append(to, `{"kind":"`...)
	to = append(to, r.Kind...)
	to = append(to, `","key":`...)
	to, err := jsontext.AppendQuote(to, r.Key)
	if err != nil {
		return nil, err
	}
	if r.Kind != store.KindAudit {
		to = append(to, `,"version":`...)
		to = strconv.AppendUint(to, r.Version, 10)
		to = append(to, `,"format":`...)
		to = strconv.AppendUint(to, uint64(r.Format), 10)
	}
	to = append(to, `,"body":`...)
	return append(to, r.Body...), nil
}

var errForm = errors.New("moving: a line that is not what its kind is")

// read reads a whole object strictly.
func read(object []byte, form any) error {
	if err := json.Unmarshal(object, form, json.RejectUnknownMembers(true)); err != nil {
		return errForm // the library may quote what it found
	}
	return nil
}

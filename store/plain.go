package store

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
)

// The kinds that stand outside the envelope, as [RecordError] names them. The installation record
// brings the record key into being and carries its own MAC; audit entries must be readable by who
// has no key.
const (
	KindInstallation Kind = "installation"
	KindAudit        Kind = "audit"
)

// auditFormat is the format of audit entries that this program writes, and auditFormatFirst that of
// entries which did not say what they changed; keys.InstallationFormat is the other one's. Each is
// counted by itself.
const (
	auditFormat      = 2
	auditFormatFirst = 1
)

// errEntry is returned for a write without a usable audit entry: no change goes unrecorded.
var errEntry = errors.New("store: an audit entry needs time, actor, action, target and result")

// errState is returned for an entry whose Before or After would not read back as it is.
var errState = errors.New("store: what an audit entry says of before and after is one compact JSON object each")

// entryForm is an audit entry as it is stored: one JSON object whose members stay what they are, so
// that what reads the log today reads it in ten years.
type entryForm struct {
	entryForm1
	Before jsontext.Value `json:"before,omitzero"`
	After  jsontext.Value `json:"after,omitzero"`
}

// entryForm1 is an entry of format 1.
type entryForm1 struct {
	Format    int       `json:"format"`
	Time      time.Time `json:"time"` // RFC 3339, UTC
	Actor     actorForm `json:"actor"`
	Action    string    `json:"action"`
	Target    string    `json:"target"`
	Reason    string    `json:"reason,omitempty"`
	RequestID string    `json:"request_id,omitempty"`
	Result    string    `json:"result"`
}

type actorForm struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// EncodeEntry returns e as it is stored. An entry that does not say who did what to what, when and
// with which result, is refused.
func EncodeEntry(e audit.Entry) ([]byte, error) {
	if e.Time.IsZero() || e.Actor.Kind == "" || e.Action == "" || e.Target == "" || e.Result == "" {
		return nil, errEntry
	}
	if !isState(e.Before) || !isState(e.After) {
		return nil, errState
	}
	b, err := marshal(entryForm{
		entryForm1: entryForm1{
			Format:    auditFormat,
			Time:      e.Time.UTC(),
			Actor:     actorForm{Kind: string(e.Actor.Kind), ID: e.Actor.ID},
			Action:    e.Action,
			Target:    e.Target,
			Reason:    e.Reason,
			RequestID: e.RequestID,
			Result:    e.Result,
		},
		Before: e.Before,
		After:  e.After,
	})
	if err != nil {
		return nil, fmt.Errorf("store: audit entry: %w", err)
	}
	return b, nil
}

// isState reports whether v may stand as what was before or after: nothing, or one object that JSON
// writers leave as it is.
func isState(v jsontext.Value) bool {
	if v == nil {
		return true
	}
	compact := v.Clone()
	return len(v) > 0 && v[0] == '{' && compact.Compact() == nil && bytes.Equal(compact, v)
}

// DecodeEntry reads a stored audit entry; key names its place: it becomes the entry's ID, and the
// error, a *RecordError, has it.
func DecodeEntry(key string, b []byte) (audit.Entry, error) {
	var f entryForm
	err := decodePlain(KindAudit, key, b, auditFormat, func(format int) any {
		if format == auditFormatFirst {
			return &f.entryForm1
		}
		return &f
	})
	if err != nil {
		return audit.Entry{}, err
	}
	if !isState(f.Before) || !isState(f.After) {
		return audit.Entry{}, damaged(KindAudit, key, "what it says of before and after is not an object")
	}
	return audit.Entry{
		ID:   key,
		Time: f.Time.UTC(),
		Origin: audit.Origin{
			Actor:     audit.Actor{Kind: audit.ActorKind(f.Actor.Kind), ID: f.Actor.ID},
			Reason:    f.Reason,
			RequestID: f.RequestID,
		},
		Action: f.Action,
		Target: f.Target,
		Result: f.Result,
		Before: f.Before,
		After:  f.After,
	}, nil
}

// installationForm is the installation record as it is stored.
type installationForm struct {
	Format    int       `json:"format"`
	ID        string    `json:"id"`
	Issuer    string    `json:"issuer"`
	Dev       bool      `json:"dev,omitzero"`
	KEKID     string    `json:"kek_id"`
	Pepper    string    `json:"pepper"`     // sealed
	RecordKey string    `json:"record_key"` // sealed
	MAC       []byte    `json:"mac"`
	CreatedAt time.Time `json:"created_at"`
}

// EncodeInstallation returns the installation record as it is stored.
func EncodeInstallation(in keys.Installation) ([]byte, error) {
	if in.Format != keys.InstallationFormat {
		return nil, fmt.Errorf("store: installation record of format %d, this program writes %d", in.Format, keys.InstallationFormat)
	}
	in.CreatedAt = in.CreatedAt.UTC()
	b, err := marshal(installationForm(in))
	if err != nil {
		return nil, fmt.Errorf("store: installation record: %w", err)
	}
	return b, nil
}

// errAnother is returned for a record that would not replace an installation's but make it another one.
var errAnother = errors.New("store: an installation record is replaced by one of the same format, identifier, issuer, mark of --dev and time")

// EncodeReplacement returns two installation records as they are stored, of which the second may
// replace the first: both are of one installation.
func EncodeReplacement(from, to keys.Installation) (was, is []byte, err error) {
	if from.Format != to.Format || from.ID != to.ID || from.Issuer != to.Issuer || from.Dev != to.Dev || !from.CreatedAt.Equal(to.CreatedAt) {
		return nil, nil, errAnother
	}
	was, err1 := EncodeInstallation(from)
	is, err2 := EncodeInstallation(to)
	return was, is, errors.Join(err1, err2)
}

// DecodeInstallation reads a stored installation record, in the namespace that the error, a
// *RecordError, is to name. Its MAC is keys.Installation's to check.
func DecodeInstallation(namespace string, b []byte) (keys.Installation, error) {
	var f installationForm
	into := func(int) any { return &f }
	if err := decodePlain(KindInstallation, namespace, b, keys.InstallationFormat, into); err != nil {
		return keys.Installation{}, err
	}
	f.CreatedAt = f.CreatedAt.UTC()
	return keys.Installation(f), nil
}

// decodePlain reads the format by itself first: a newer format may have members that are unknown
// here, and is to be called newer, not damaged. into says what the members of a format are read into.
func decodePlain(kind Kind, key string, b []byte, known int, into func(format int) any) error {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(b, &head); err != nil || head.Format < 1 {
		return damaged(kind, key, "it is not a JSON object with a format")
	}
	if head.Format > known {
		return newer(kind, key)
	}
	if err := unmarshal(b, into(head.Format)); err != nil {
		return damaged(kind, key, err.Error())
	}
	return nil
}

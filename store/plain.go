package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

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

// auditFormat is the format of audit entries; keys.InstallationFormat is the other one's. Each is
// counted by itself.
const auditFormat = 1

// errEntry is returned for a write without a usable audit entry: no change goes unrecorded.
var errEntry = errors.New("store: an audit entry needs time, actor, action, target and result")

// entryForm is an audit entry as it is stored: one JSON object whose members stay what they are, so
// that what reads the log today reads it in ten years.
type entryForm struct {
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
	b, err := marshal(entryForm{
		Format:    auditFormat,
		Time:      e.Time.UTC(),
		Actor:     actorForm{Kind: string(e.Actor.Kind), ID: e.Actor.ID},
		Action:    e.Action,
		Target:    e.Target,
		Reason:    e.Reason,
		RequestID: e.RequestID,
		Result:    e.Result,
	})
	if err != nil {
		return nil, fmt.Errorf("store: audit entry: %w", err)
	}
	return b, nil
}

// DecodeEntry reads a stored audit entry; key names its place in the error, a *RecordError.
func DecodeEntry(key string, b []byte) (audit.Entry, error) {
	var f entryForm
	if err := decodePlain(KindAudit, key, b, auditFormat, &f); err != nil {
		return audit.Entry{}, err
	}
	return audit.Entry{
		Time: f.Time.UTC(),
		Origin: audit.Origin{
			Actor:     audit.Actor{Kind: audit.ActorKind(f.Actor.Kind), ID: f.Actor.ID},
			Reason:    f.Reason,
			RequestID: f.RequestID,
		},
		Action: f.Action,
		Target: f.Target,
		Result: f.Result,
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

// DecodeInstallation reads a stored installation record, in the namespace that the error, a
// *RecordError, is to name. Its MAC is keys.Installation's to check.
func DecodeInstallation(namespace string, b []byte) (keys.Installation, error) {
	var f installationForm
	if err := decodePlain(KindInstallation, namespace, b, keys.InstallationFormat, &f); err != nil {
		return keys.Installation{}, err
	}
	f.CreatedAt = f.CreatedAt.UTC()
	return keys.Installation(f), nil
}

// decodePlain reads the format by itself first: a newer format may have members that are unknown
// here, and is to be called newer, not damaged.
func decodePlain(kind Kind, key string, b []byte, known int, form any) error {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(b, &head); err != nil || head.Format < 1 {
		return damaged(kind, key, "it is not a JSON object with a format")
	}
	if head.Format > known {
		return newer(kind, key)
	}
	if err := unmarshal(b, form); err != nil {
		return damaged(kind, key, err.Error())
	}
	return nil
}

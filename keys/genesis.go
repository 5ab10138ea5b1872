package keys

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

// InstallationFormat is the format of the installation record that this program reads and writes.
const InstallationFormat = 1

// ActionInstall is the action of the audit entry of a new installation; the target is its issuer.
const ActionInstall = "installation.create"

// Why a store is not opened. Each message says what to do.
var (
	// ErrIssuer says that the store belongs to another issuer.
	ErrIssuer = errors.New("keys: the store belongs to another issuer")

	// ErrDevelopment says that the store was made by --dev, with guards down.
	ErrDevelopment = errors.New("keys: the store was made by --dev")

	// ErrNewerFormat says that the record was written by a newer version of this program.
	ErrNewerFormat = errors.New("keys: the installation record is of a newer format")

	// ErrWrongKEK says that something in the store was sealed by a key-encryption key that is not given.
	// The message names both by their identifiers.
	ErrWrongKEK = errors.New("keys: another key-encryption key is needed")

	// ErrDamaged says that the record was altered, or put together from parts of others.
	ErrDamaged = errors.New("keys: the installation record is damaged")
)

// The purposes that bind a sealed secret to its place.
const (
	purposePepper    = "pepper"
	purposeRecordKey = "record_key"
)

// Found returns the installation record of a store and its secrets, and makes it if there is none
// yet. Of several that found at once one wins, and all return the winner's. issuer, which the caller
// has validated, and dev must be those of the record: see [Installation.Check].
func Found(ctx context.Context, g Genesis, kek *jose.KEK, issuer string, dev bool, now time.Time, by audit.Origin) (Installation, Secrets, error) {
	if kek == nil || issuer == "" {
		return Installation{}, Secrets{}, errors.New("keys: found an installation: no key-encryption key, or no issuer")
	}
	in, err := g.Installation(ctx)
	if errors.Is(err, ErrNotFound) {
		if in, err = newInstallation(kek, issuer, dev, now); err == nil {
			in, err = install(ctx, g, in, now, by)
		}
	}
	if err != nil {
		return Installation{}, Secrets{}, fmt.Errorf("keys: found an installation: %w", err)
	}
	secrets, err := in.Open([]*jose.KEK{kek})
	if err == nil {
		err = in.Check(issuer, dev)
	}
	if err != nil {
		return Installation{}, Secrets{}, err
	}
	return in, secrets, nil
}

func install(ctx context.Context, g Genesis, in Installation, now time.Time, by audit.Origin) (Installation, error) {
	e := by.Done(now, ActionInstall, in.Issuer)
	var err error
	_, e.After, err = audit.Diff(nil, audit.View{"issuer": in.Issuer, "format": in.Format, "dev": in.Dev, "kek_id": in.KEKID})
	if err != nil {
		return Installation{}, err
	}
	return g.PutInstallation(ctx, in, e)
}

func newInstallation(kek *jose.KEK, issuer string, dev bool, now time.Time) (Installation, error) {
	in := Installation{
		Format:    InstallationFormat,
		ID:        rand.Text(), // 130 bits
		Issuer:    issuer,
		Dev:       dev,
		KEKID:     kek.ID(),
		CreatedAt: floor(now),
	}
	var s Secrets
	_, _ = rand.Read(s.Pepper[:]) // never fails
	_, _ = rand.Read(s.RecordKey[:])
	return in.seal(kek, s)
}

// seal completes a record whose other fields are set.
func (in Installation) seal(kek *jose.KEK, s Secrets) (Installation, error) {
	var err error
	if in.Pepper, err = jose.Seal(kek, in.bindings(purposePepper), s.Pepper[:]); err != nil {
		return Installation{}, err
	}
	if in.RecordKey, err = jose.Seal(kek, in.bindings(purposeRecordKey), s.RecordKey[:]); err != nil {
		return Installation{}, err
	}
	in.MAC, err = in.mac(s.RecordKey)
	return in, err
}

// Open unseals the secrets and checks that the record is whole. Who can write to the store can
// neither alter the issuer nor clear the mark of --dev, nor put in secrets of his own.
func (in Installation) Open(keks []*jose.KEK) (Secrets, error) {
	switch {
	case in.Format > InstallationFormat:
		return Secrets{}, fmt.Errorf("%w: %d, and this program knows %d; run the newer version", ErrNewerFormat, in.Format, InstallationFormat)
	case in.Format != InstallationFormat:
		return Secrets{}, fmt.Errorf("%w: format %d", ErrDamaged, in.Format)
	case !knows(keks, in.KEKID):
		return Secrets{}, fmt.Errorf("%w: it is sealed under %s, and what is given is %s; give that key, or name its file among the previous ones",
			ErrWrongKEK, in.KEKID, kekIDs(keks))
	}
	var s Secrets
	if err := in.unseal(keks, purposeRecordKey, in.RecordKey, &s.RecordKey); err != nil {
		return Secrets{}, err
	}
	mac, err := in.mac(s.RecordKey)
	if err != nil {
		return Secrets{}, err
	}
	if !hmac.Equal(mac, in.MAC) {
		return Secrets{}, fmt.Errorf("%w: its authentication code does not fit", ErrDamaged)
	}
	if err := in.unseal(keks, purposePepper, in.Pepper, &s.Pepper); err != nil {
		return Secrets{}, err
	}
	return s, nil
}

// Check refuses to run an installation as another issuer, or one that --dev made without --dev. Ask
// it of a record that [Installation.Open] has found whole.
func (in Installation) Check(issuer string, dev bool) error {
	if issuer != in.Issuer {
		return fmt.Errorf("%w: it was made for %q, and the configuration says %q; correct the issuer, or use another store",
			ErrIssuer, in.Issuer, issuer)
	}
	if in.Dev && !dev {
		return fmt.Errorf("%w, and is for trying things out; start with --dev, or make another one with marque init", ErrDevelopment)
	}
	return nil
}

// bindings are the protected members of a sealed secret: one cannot take the other's place, nor that
// of another installation.
func (in Installation) bindings(purpose string) map[string]string {
	return map[string]string{"purpose": purpose, "installation": in.ID}
}

func (in Installation) unseal(keks []*jose.KEK, purpose, sealed string, into *Secret) error {
	b, err := jose.Open(keks, in.bindings(purpose), sealed)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, purpose, err)
	}
	defer clear(b)
	if len(b) != len(into) {
		return fmt.Errorf("%w: %s: of %d octets", ErrDamaged, purpose, len(b))
	}
	copy(into[:], b)
	return nil
}

// mac authenticates every field but MAC itself. Its key is derived from the record key, so that it
// can never be the code of some other record. Each part is preceded by its length: otherwise the end
// of one field could pass for the beginning of the next.
func (in Installation) mac(recordKey Secret) ([]byte, error) {
	key, err := hkdf.Expand(sha256.New, recordKey[:], "marque installation record", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("keys: derive a key: %w", err)
	}
	h := hmac.New(sha256.New, key)
	number := func(n int64) { _ = binary.Write(h, binary.BigEndian, n) }
	text := func(s string) { number(int64(len(s))); h.Write([]byte(s)) }
	number(int64(in.Format))
	text(in.ID)
	text(in.Issuer)
	text(fmt.Sprint(in.Dev))
	text(in.KEKID)
	text(in.Pepper)
	text(in.RecordKey)
	number(in.CreatedAt.Unix())
	return h.Sum(nil), nil
}

// kekIDs lists the identifiers of key-encryption keys, for messages.
func kekIDs(keks []*jose.KEK) string {
	var ids []string
	for _, k := range keks {
		if k != nil {
			ids = append(ids, k.ID())
		}
	}
	if len(ids) == 0 {
		return "none"
	}
	return strings.Join(ids, ", ")
}

func knows(keks []*jose.KEK, id string) bool {
	for _, k := range keks {
		if k != nil && k.ID() == id {
			return true
		}
	}
	return false
}

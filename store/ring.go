package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

// ringForm is a ring of signing keys as it is stored, under its algorithm.
type ringForm struct {
	Keys      []keyForm     `json:"keys,omitempty"`
	Emergency emergencyForm `json:"emergency,omitzero"`

	earlier interface{ keys() []keyForm } // what a record of an earlier format says instead
}

type keyForm struct {
	keyForm2
	Imported bool `json:"imported,omitzero"`
}

type emergencyForm struct {
	ID string    `json:"id,omitempty"`
	At time.Time `json:"at,omitzero"` // whole seconds
}

func (f *ringForm) of(format byte) any {
	switch format {
	case formatFirst:
		f.earlier = &ringForm1{}
	case formatSecond:
		f.earlier = &ringForm2{}
	default:
		return f
	}
	return f.earlier
}

// keys returns the keys of any format.
func (f *ringForm) keys() []keyForm {
	if f.earlier != nil {
		return f.earlier.keys()
	}
	return f.Keys
}

// ringForm2 is a ring in format 2.
type ringForm2 struct {
	Keys []keyForm2 `json:"keys,omitempty"`
}

type keyForm2 struct {
	keyForm1
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

func (f *ringForm2) keys() []keyForm {
	out := make([]keyForm, len(f.Keys))
	for i, k := range f.Keys {
		out[i].keyForm2 = k
	}
	return out
}

// ringForm1 is a ring in format 1.
type ringForm1 struct {
	Keys []keyForm1 `json:"keys,omitempty"`
}

type keyForm1 struct {
	KeyID       string    `json:"kid"`
	Algorithm   string    `json:"alg"`
	Wire        string    `json:"wire_alg"`
	Public      []byte    `json:"public,omitempty"` // base64 of the public JWK, so that it reads back byte for byte
	Sealed      string    `json:"sealed,omitempty"` // compact JWE
	CreatedAt   time.Time `json:"created_at,omitzero"`
	PublishedAt time.Time `json:"published_at,omitzero"`
	SignFrom    time.Time `json:"sign_from,omitzero"`
	WithdrawAt  time.Time `json:"withdraw_at,omitzero"`
	PublishLead int64     `json:"publish_lead,omitzero"` // seconds
	RetireAfter int64     `json:"retire_after,omitzero"` // seconds
}

func (f *ringForm1) keys() []keyForm {
	out := make([]keyForm, len(f.Keys))
	for i, k := range f.Keys {
		out[i].keyForm1 = k
	}
	return out
}

// SealRing is as SealClient, for a ring. An emergency between two seconds is refused.
func (e *Envelope) SealRing(r keys.RingRecord) ([]byte, error) {
	if !wholeSeconds(r.Emergency.At) {
		return nil, fmt.Errorf("store: ring %q: %w", r.Algorithm, errFraction)
	}
	form := ringForm{
		Keys:      make([]keyForm, len(r.Keys)),
		Emergency: emergencyForm{ID: r.Emergency.ID, At: r.Emergency.At.UTC()},
	}
	for i, k := range r.Keys {
		lead, err1 := seconds(k.Windows.PublishLead)
		retire, err2 := seconds(k.Windows.RetireAfter)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("store: ring %q: key %q: %w", r.Algorithm, k.KeyID, err)
		}
		form.Keys[i] = keyForm{
			keyForm2: keyForm2{
				keyForm1: keyForm1{
					KeyID:       k.KeyID,
					Algorithm:   string(k.Algorithm),
					Wire:        string(k.Wire),
					Public:      k.Public,
					Sealed:      k.Sealed,
					CreatedAt:   k.CreatedAt.UTC(),
					PublishedAt: k.PublishedAt.UTC(),
					SignFrom:    k.SignFrom.UTC(),
					WithdrawAt:  k.WithdrawAt.UTC(),
					PublishLead: lead,
					RetireAfter: retire,
				},
				RevokedAt: k.RevokedAt.UTC(),
			},
			Imported: k.Imported,
		}
	}
	return seal(e, KindRing, string(r.Algorithm), r.Version, form)
}

// OpenRing is as OpenClient, for the ring stored under an algorithm's name.
func (e *Envelope) OpenRing(algorithm string, sealed []byte) (keys.RingRecord, error) {
	form, version, err := open[ringForm](e, KindRing, algorithm, sealed)
	if err != nil {
		return keys.RingRecord{}, err
	}
	if !wholeSeconds(form.Emergency.At) {
		return keys.RingRecord{}, damaged(KindRing, algorithm, errFraction.Error())
	}
	r := keys.RingRecord{
		Algorithm: jose.Algorithm(algorithm),
		Emergency: keys.Emergency{ID: form.Emergency.ID, At: form.Emergency.At.UTC()},
		Version:   version,
	}
	for _, f := range form.keys() {
		lead, err1 := duration(f.PublishLead)
		retire, err2 := duration(f.RetireAfter)
		if err := errors.Join(err1, err2); err != nil {
			return keys.RingRecord{}, damaged(KindRing, algorithm, err.Error())
		}
		r.Keys = append(r.Keys, keys.Key{
			KeyID:       f.KeyID,
			Imported:    f.Imported,
			Algorithm:   jose.Algorithm(f.Algorithm),
			Wire:        jose.Algorithm(f.Wire),
			Public:      f.Public,
			Sealed:      f.Sealed,
			CreatedAt:   f.CreatedAt.UTC(),
			PublishedAt: f.PublishedAt.UTC(),
			SignFrom:    f.SignFrom.UTC(),
			WithdrawAt:  f.WithdrawAt.UTC(),
			RevokedAt:   f.RevokedAt.UTC(),
			Windows:     keys.Windows{PublishLead: lead, RetireAfter: retire},
		})
	}
	return r, nil
}

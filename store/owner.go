package store

import "github.com/marque-auth/marque/authz"

// ownerForm is an entry of the credential index: which client holds, or held, the credential. It is
// written once, with version 1, and stays, so that the identifier is never given to another client.
type ownerForm struct {
	ClientID string `json:"client_id"`
}

func (f *ownerForm) of(byte) any { return f }

// SealOwner returns the index entry that is stored under the credential's identifier.
func (e *Envelope) SealOwner(id authz.CredentialID, owner authz.ClientID) ([]byte, error) {
	if err := checkID(KindClient, string(owner)); err != nil {
		return nil, err
	}
	return seal(e, KindCredential, string(id), 1, ownerForm{ClientID: string(owner)})
}

// OpenOwner checks and reads the index entry stored under id. The error is a *RecordError.
func (e *Envelope) OpenOwner(id authz.CredentialID, sealed []byte) (authz.ClientID, error) {
	form, _, err := open[ownerForm](e, KindCredential, string(id), sealed)
	if err != nil {
		return "", err
	}
	if form.ClientID == "" {
		return "", damaged(KindCredential, string(id), "it names no client")
	}
	return authz.ClientID(form.ClientID), nil
}

// Package storetest is the conformance suite of the storage contracts. Every driver passes it; what
// only one driver has (its file, its trimming, its crashes) is tested beside that driver.
package storetest

import (
	"errors"
	"testing"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

// Fixture is one store that is empty at first.
type Fixture struct {
	Store store.Store
	Peer  store.Store // another handle on the same data, as a second server would have
	Raw   Raw
}

// Raw reaches under a store's authentication, as one does who can write to the disk or the database
// but has not the record key.
type Raw interface {
	// Get returns the stored bytes, or nil if there are none.
	Get(t *testing.T, kind store.Kind, key string) []byte
	// Put stores bytes as they are, without version check, Change or audit entry.
	Put(t *testing.T, kind store.Kind, key string, b []byte)
}

// Run tests a driver. open returns a new, empty store that ends with its test; two of them share
// nothing.
func Run(t *testing.T, open func(t *testing.T) Fixture) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, Fixture)
	}{
		{"client round trip", clientRoundTrip},
		{"resource round trip", resourceRoundTrip},
		{"ring round trip", ringRoundTrip},
		{"revocation round trip", revocationRoundTrip},
		{"client version", clientVersion},
		{"private copies", privateCopies},
		{"list clients", listClients},
		{"list resources", listResources},
		{"list revocations", listRevocations},
		{"list limits", listLimits},
		{"deleted", deleted},
		{"search clients", searchClients},
		{"search like a model", searchLikeModel},
		{"search faults", searchFaults},
		{"revocation questions", revocationQuestions},
		{"revocation times", revocationTimes},
		{"one damaged revocation", oneDamagedRevocation},
		{"ended revocations", endedRevocations},
		{"revocations at one instant", revocationsAtOneInstant},
		{"record and revocations together", together},
		{"all or nothing", allOrNothing},
		{"race for a revocation", raceTogether},
		{"credential index", credentialIndex},
		{"credential of another client", credentialOfAnother},
		{"credential index damaged", credentialIndexDamaged},
		{"changes", changes},
		{"changes in commit order", changesInCommitOrder},
		{"audit log", auditLog},
		{"audit entry round trip", auditRoundTrip},
		{"audit log backwards", auditLogBackwards},
		{"inspection", inspection},
		{"kinds stand apart", kindsStandApart},
		{"race for a credential", raceForCredential},
		{"follower sees peer's writes", followerSeesPeer},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
	for _, s := range subjects() {
		t.Run(string(s.kind), func(t *testing.T) {
			for _, c := range []struct {
				name string
				test func(*testing.T, Fixture, subject)
			}{
				{"absent", absent},
				{"versions", versions},
				{"odd identifiers", oddIdentifiers},
				{"refused identifiers", refusedIdentifiers},
				{"refused entries", refusedEntries},
				{"ended context", endedContext},
				{"race to create", raceToCreate},
				{"race to update", raceToUpdate},
				{"no lost update", noLostUpdate},
				{"readers never go back", readersNeverGoBack},
				{"altered", altered},
				{"cut off", cutOff},
				{"moved", moved},
				{"forged", forged},
				{"newer format", newerFormat},
			} {
				t.Run(c.name, func(t *testing.T) { c.test(t, open(t), s) })
			}
		})
	}
	t.Run("cursor of another store", func(t *testing.T) { foreignCursor(t, open(t), open(t)) })
}

// everything reads the whole audit log and the whole feed since the given place.
func everything(t *testing.T, s store.Store, since store.Cursor) ([]store.Change, []audit.Entry) {
	t.Helper()
	changes, _, err := s.Changes(t.Context(), since, 1<<20)
	if err != nil {
		t.Fatalf("Changes: %v", err)
	}
	entries, _, err := s.Entries(t.Context(), "", 1<<20)
	if err != nil {
		t.Fatalf("Entries: %v", err)
	}
	return changes, entries
}

// unrecorded fails if f commits a Change or an audit entry.
func unrecorded(t *testing.T, s store.Store, f func()) {
	t.Helper()
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	_, before := everything(t, s, head)
	f()
	changes, after := everything(t, s, head)
	if len(changes) != 0 {
		t.Errorf("a write that failed left changes: %v", changes)
	}
	if len(after) != len(before) {
		t.Errorf("a write that failed left audit entries: %v", after[len(before):])
	}
}

// wantFault checks that err is a fault that names the record, and no answer.
func wantFault(t *testing.T, what string, err, want error, kind store.Kind, key string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
		return
	}
	if isAnswer(err) {
		t.Errorf("%s: %v must not pass for an answer", what, err)
	}
	var record *store.RecordError
	if !errors.As(err, &record) || record.Kind != kind || record.Key != key {
		t.Errorf("%s: error %q does not name %s %q", what, err, kind, key)
	}
}

// isAnswer reports whether err says something about the record rather than about the store.
func isAnswer(err error) bool {
	for _, s := range subjects() {
		if errors.Is(err, s.notFound) || errors.Is(err, s.conflict) {
			return true
		}
	}
	return errors.Is(err, keys.ErrNotFound)
}

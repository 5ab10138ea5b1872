package authz

import (
	"errors"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

var byRepair = audit.Origin{Actor: audit.System("repair"), Reason: "it went back"}

// RVK-12, EVT-13: what is known to be withdrawn is put back where the store says less, and nothing is
// written where it says as much.
func TestRVK12_EVT13_Restore(t *testing.T) {
	now := newClock().now().Truncate(time.Second)
	client := clientSubject("acme")
	credential := credentialSubject("c")
	for name, row := range map[string]struct {
		stored *token.Revocation
		held   token.Revocation
		want   token.Revocation
		writes bool
	}{
		"gone":                  {nil, openEnded(client), openEnded(client), true},
		"gone, of a token":      {nil, token.Revocation{Subject: jtiSubject("a"), Until: now.Add(time.Hour)}, token.Revocation{Subject: jtiSubject("a"), Until: now.Add(time.Hour)}, true},
		"there":                 {ref(openEnded(client)), openEnded(client), openEnded(client), false},
		"says less":             {ref(issuedUntil(client, now.Add(-time.Minute))), issuedUntil(client, now), issuedUntil(client, now), true},
		"says more":             {ref(issuedUntil(client, now)), issuedUntil(client, now.Add(-time.Minute)), issuedUntil(client, now), false},
		"had ended":             {ref(issuedUntil(client, now.Add(-time.Minute))), openEnded(client), openEnded(client), true},
		"since earlier":         {ref(token.Revocation{Subject: credential, Since: now}), token.Revocation{Subject: credential, Since: now.Add(-time.Hour)}, token.Revocation{Subject: credential, Since: now.Add(-time.Hour)}, true},
		"each says more":        {ref(token.Revocation{Subject: credential, Since: now}), issuedUntil(credential, now), openEnded(credential), true},
		"what may be forgotten": {nil, token.Revocation{Subject: jtiSubject("a"), Until: now}, token.Revocation{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			if row.stored != nil {
				w.revocations[row.stored.Subject] = Revocation{Revocation: *row.stored, Version: 7}
			}
			w.applied = errDown // whoever follows the store cannot wait for itself
			done, err := w.revoker.Restore(t.Context(), byRepair, row.held, "acme")
			if err != nil || done != row.writes {
				t.Errorf("%t, %v", done, err)
			}
			got := w.revocations[row.held.Subject]
			if !equalRevocations(got.Revocation, row.want) {
				t.Errorf("stored %+v, want %+v", got.Revocation, row.want)
			}
			if !row.writes {
				if len(w.entries) != 0 {
					t.Errorf("%+v", w.entries)
				}
				return
			}
			if got.Actor != byRepair.Actor || got.Reason != byRepair.Reason || got.Client != "acme" {
				t.Errorf("%+v", got)
			}
			if e := w.entries[0]; len(w.entries) != 1 || e.Action != "revocation.restore" || e.Target != row.held.String() || e.Origin != byRepair || e.After == nil || !withdrew(e) || !about(e, row.held.Value) {
				t.Errorf("%+v", w.entries)
			}
		})
	}
}

func ref[T any](v T) *T { return &v }

// Several servers put the same back at once: it is one change.
func TestEVT13_RestoreByTwoAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	held := openEnded(clientSubject("acme"))
	w.once("revoke", func() { // the other one was faster
		if done, err := w.revoker.Restore(t.Context(), byRepair, held, ""); err != nil || !done {
			t.Errorf("%t, %v", done, err)
		}
	})
	if done, err := w.revoker.Restore(t.Context(), byRepair, held, ""); err != nil || done {
		t.Errorf("%t, %v", done, err)
	}
	if len(w.entries) != 1 || w.revocations[held.Subject].Version != 1 {
		t.Errorf("%d entries, %+v", len(w.entries), w.revocations[held.Subject])
	}
}

// What could not be put back is an error: it is no news that nothing is lost.
func TestEVT13_RestoreFails(t *testing.T) {
	for _, op := range []string{"revocations", "revoke"} {
		w := newWorld(t, nil)
		w.onCall(func(called string) error {
			if called == op {
				return errDown
			}
			return nil
		})
		if done, err := w.revoker.Restore(t.Context(), byRepair, openEnded(clientSubject("acme")), ""); !errors.Is(err, errDown) || done {
			t.Errorf("%s: %t, %v", op, done, err)
		}
	}
}

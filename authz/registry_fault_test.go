package authz

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
)

// writeCase is one management operation that changes something, and what must be there before.
type writeCase struct {
	prepare func(t *testing.T, w *world)
	act     func(t *testing.T, w *world) error
}

const testKey = "0123456789abcdef"

// brought is a secret from another server.
const brought = Secret("Tr0ub4dor&3-from-another-server")

func writeCases() map[string]writeCase {
	story := func(t *testing.T, w *world) { w.story(t) }
	nothing := func(*testing.T, *world) {}
	unused := func(t *testing.T, w *world) { w.resource(t, ResourceSpec{ID: api}) }
	first := func(w *world) CredentialID { return w.clients["acme"].Credentials[0].ID }
	return map[string]writeCase{
		"create a resource": {nothing, func(t *testing.T, w *world) error {
			_, _, err := w.registry.CreateResource(t.Context(), admin, ResourceSpec{ID: api})
			return err
		}},
		"create a resource anew": {func(t *testing.T, w *world) {
			unused(t, w)
			if err := w.registry.DeleteResource(t.Context(), admin, api, anyVersion); err != nil {
				t.Fatal(err)
			}
		}, func(t *testing.T, w *world) error {
			_, _, err := w.registry.CreateResource(t.Context(), admin, ResourceSpec{ID: api})
			return err
		}},
		"update a resource": {unused, func(t *testing.T, w *world) error {
			return second(w.registry.UpdateResource(t.Context(), admin, api, Match{Version: 1}, ResourceSpec{Scopes: []string{"a"}, Algorithm: "RS256"}, false))
		}},
		"update a resource and withdraw": {unused, func(t *testing.T, w *world) error {
			return second(w.registry.UpdateResource(t.Context(), admin, api, Match{Version: 1}, ResourceSpec{Scopes: []string{"a"}}, true))
		}},
		"delete a resource": {unused, func(t *testing.T, w *world) error {
			return w.registry.DeleteResource(t.Context(), admin, api, Match{Version: 1})
		}},
		"create a client": {unused, func(t *testing.T, w *world) error {
			spec := ClientSpec{ID: "acme", Name: "Acme", Resources: []string{api}, Serves: []string{api}, Admin: true}
			return third(w.registry.CreateClient(t.Context(), admin, spec))
		}},
		"create a client with a secret": {unused, func(t *testing.T, w *world) error {
			return third(w.registry.CreateClient(t.Context(), admin, ClientSpec{IdempotencyKey: testKey, Name: "Acme", Secret: brought}))
		}},
		"update a client": {story, func(t *testing.T, w *world) error {
			spec := storySpec()
			spec.Name, spec.Admin = "Other", true
			return second(w.registry.UpdateClient(t.Context(), admin, "acme", Match{Version: 1}, spec, false))
		}},
		"update a client and withdraw": {story, func(t *testing.T, w *world) error {
			spec := storySpec()
			spec.Name = "Other"
			return second(w.registry.UpdateClient(t.Context(), admin, "acme", Match{Version: 1}, spec, true))
		}},
		"delete a client": {story, func(t *testing.T, w *world) error {
			return w.registry.DeleteClient(t.Context(), admin, "acme", Match{Version: 1})
		}},
		"disable": {story, func(t *testing.T, w *world) error {
			return second(w.registry.SetClientDisabled(t.Context(), admin, "acme", true))
		}},
		"enable": {func(t *testing.T, w *world) {
			w.story(t)
			if _, err := w.registry.SetClientDisabled(t.Context(), admin, "acme", true); err != nil {
				t.Fatal(err)
			}
		}, func(t *testing.T, w *world) error {
			return second(w.registry.SetClientDisabled(t.Context(), admin, "acme", false))
		}},
		"add a secret": {story, func(t *testing.T, w *world) error {
			return third(w.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{IdempotencyKey: testKey}))
		}},
		"bring a secret": {story, func(t *testing.T, w *world) error {
			return third(w.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{IdempotencyKey: testKey, Secret: brought}))
		}},
		"revoke a secret": {story, func(t *testing.T, w *world) error {
			return second(w.registry.RevokeSecret(t.Context(), admin, "acme", first(w), SecretRevocation{}))
		}},
		"a compromised secret": {story, func(t *testing.T, w *world) error {
			return second(w.registry.RevokeSecret(t.Context(), admin, "acme", first(w), SecretRevocation{Compromised: true, Since: w.now().Add(-time.Minute)}))
		}},
		"revoke a client's tokens": {story, func(t *testing.T, w *world) error {
			return second(w.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: clientSubject("acme")}))
		}},
		"revoke a token": {nothing, func(t *testing.T, w *world) error {
			return second(w.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: jtiSubject("x")}))
		}},
	}
}

func third[A, B, C any](_ A, _ B, _ C, err error) error { return err }

// stored is all that a world has stored, comparable between worlds: what is random is left out.
type stored struct {
	Clients     map[ClientID]Client
	Resources   map[ResourceID]Resource
	Revocations []string
	Entries     []string
}

func (w *world) stored() stored {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := stored{Clients: map[ClientID]Client{}, Resources: maps.Clone(w.resources)}
	for id, c := range w.clients {
		c.Credentials = slices.Clone(c.Credentials)
		for i := range c.Credentials {
			c.Credentials[i].ID, c.Credentials[i].Digest = "", nil
		}
		out.Clients[id] = c
	}
	for s, r := range w.revocations {
		if s.Kind == token.RevokedCredential { // its name is random
			s.Value = ""
		}
		out.Revocations = append(out.Revocations, fmt.Sprint(s, r.Since, r.Before, r.Until, r.Version))
	}
	slices.Sort(out.Revocations)
	for _, e := range w.entries {
		out.Entries = append(out.Entries, e.Action+" "+e.Target)
	}
	return out
}

// Every operation is tried with a fault at each of its calls of the store, one after the other, and at
// the moment after its commit when only the answer is lost. Nothing is acknowledged, nothing is half
// done, and the same call succeeds afterwards and leaves what it would have left at once.
func TestRegistry_AFaultAnywhereLeavesNothingHalfDone(t *testing.T) {
	for name, c := range writeCases() {
		t.Run(name, func(t *testing.T) {
			ideal := newWorld(t, nil)
			c.prepare(t, ideal)
			before := ideal.stored()
			if err := c.act(t, ideal); err != nil {
				t.Fatal(err)
			}
			after := ideal.stored()
			if reflect.DeepEqual(before, after) {
				t.Fatal("it changes nothing")
			}
			failed := 0
			for at := 1; ; at++ {
				w := newWorld(t, nil)
				c.prepare(t, w)
				if !w.failAt(t, at, c, before, after) {
					break
				}
				failed++
			}
			if failed < 2 { // the put, and after it
				t.Errorf("%d faults", failed)
			}
		})
	}
}

// failAt makes the n-th call of the store fail; it reports whether there was one.
func (w *world) failAt(t *testing.T, n int, c writeCase, before, after stored) bool {
	t.Helper()
	calls, failing := 0, ""
	w.onCall(func(op string) error {
		if calls++; calls != n {
			return nil
		}
		failing = op
		return errDown
	})
	err := c.act(t, w)
	w.onCall(nil)
	if failing == "" {
		return false
	}
	if err == nil {
		t.Errorf("a fault of %q, call %d, is acknowledged", failing, n)
	}
	want := before
	if failing == "stored" || len(w.stored().Entries) > len(before.Entries) {
		want = after // the commit is whole
	}
	if got := w.stored(); !reflect.DeepEqual(got, want) {
		t.Errorf("a fault of %q, call %d, left\n%+v\nwant\n%+v", failing, n, got, want)
	}
	if err := c.act(t, w); err != nil {
		t.Errorf("repeated after a fault of %q, call %d: %v", failing, n, err)
	}
	if got := w.stored(); !reflect.DeepEqual(got, after) {
		t.Errorf("repeated after a fault of %q, call %d:\n%+v\nwant\n%+v", failing, n, got, after)
	}
	return true
}

// Repeating what was done changes nothing, whatever happened to its answer; also when it was committed
// and could not be applied here.
func TestRegistry_EveryWriteCanBeRepeated(t *testing.T) {
	for name, c := range writeCases() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			c.prepare(t, w)
			w.applied = errDown
			for range 2 {
				if err := c.act(t, w); err == nil {
					t.Fatal("acknowledged before it was applied")
				}
			}
			w.applied = nil
			once := w.stored()
			for range 2 {
				if err := c.act(t, w); err != nil {
					t.Fatal(err)
				}
			}
			if got := w.stored(); !reflect.DeepEqual(got, once) {
				t.Errorf("repeated:\n%+v\nonce\n%+v", got, once)
			}
			if w.index.Len() != len(w.revocations) {
				t.Errorf("%d in the index, %d stored", w.index.Len(), len(w.revocations))
			}
		})
	}
}

// A write that loses its race starts again with what is stored then, and loses nothing of either.
func TestRegistry_EveryWriteSurvivesALostRace(t *testing.T) {
	for name, c := range writeCases() {
		t.Run(name, func(t *testing.T) {
			ideal := newWorld(t, nil)
			c.prepare(t, ideal)
			if err := c.act(t, ideal); err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, nil)
			c.prepare(t, w)
			lost := false
			w.onCall(func(op string) error {
				if !lost && (op == "put" || op == "revoke") {
					lost = true
					return ErrConflict
				}
				return nil
			})
			err := c.act(t, w)
			if name == "create a client" || name == "create a client with a secret" {
				// A creation has nothing to start again with: what is in its way is not there.
				if !errors.Is(err, ErrConflict) {
					t.Errorf("created over something: %v", err)
				}
				return
			}
			if got := w.stored(); err != nil || !lost || !reflect.DeepEqual(got, ideal.stored()) {
				t.Errorf("%v, lost %t:\n%+v", err, lost, got)
			}
		})
	}
}

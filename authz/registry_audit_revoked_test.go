package authz

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
)

// actions returns the actions of the entries that a query finds, in order of commit.
func (w *world) actions(t *testing.T, q AuditQuery) (out []string) {
	t.Helper()
	q.Limit = 1_000
	entries, _, err := w.registry.Audit(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range slices.Backward(entries) {
		out = append(out, e.Action+" "+e.Target)
	}
	return out
}

// Every act is done once without withdrawing and once with it, and what is found is what withdrew.
func TestEVT12_WhatWithdrewTokensIsFound(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.story(t)
	id, _ := CredentialIn(secret.Reveal())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		w.advance(2 * time.Second)
	}
	spec := storySpec()
	spec.Name = `a name that says "revocations"`
	must(second(w.registry.UpdateClient(t.Context(), admin, "acme", anyVersion, spec, false)))
	spec.Name = "Acme again"
	must(second(w.registry.UpdateClient(t.Context(), admin, "acme", anyVersion, spec, true)))
	spec.Admin = true
	must(second(w.registry.UpdateClient(t.Context(), admin, "acme", anyVersion, spec, false)))
	spec.Admin = false
	must(second(w.registry.UpdateClient(t.Context(), admin, "acme", anyVersion, spec, false)))
	must(second(w.registry.SetClientDisabled(t.Context(), admin, "acme", true)))
	must(second(w.registry.SetClientDisabled(t.Context(), admin, "acme", false)))
	must(second(w.registry.RevokeSecret(t.Context(), admin, "acme", id, SecretRevocation{})))
	must(second(w.registry.RevokeSecret(t.Context(), admin, "acme", id, SecretRevocation{Compromised: true})))
	must(second(w.registry.UpdateResource(t.Context(), admin, api, anyVersion, ResourceSpec{Scopes: []string{"orders:read orders:write more"}}, false)))
	must(second(w.registry.UpdateResource(t.Context(), admin, api, anyVersion, ResourceSpec{Scopes: []string{"orders:read orders:write"}}, true)))
	for _, s := range []token.Subject{clientSubject("acme"), resourceSubject(api), {Kind: token.RevokedAll}} {
		must(second(w.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: s})))
	}
	must(w.registry.DeleteClient(t.Context(), admin, "acme", anyVersion))
	must(w.registry.DeleteResource(t.Context(), admin, api, anyVersion))
	must(second(firstTwo(w.registry.CreateResource(t.Context(), admin, ResourceSpec{ID: api}))))
	w.mu.Lock()
	for _, action := range []string{keys.ActionRotate, keys.ActionWithdraw, keys.ActionRevoke, keys.ActionCreate} {
		w.entries = append(w.entries, admin.Done(w.now(), action, "kid1"))
	}
	refused := admin.Done(w.now(), "client.delete", "acme")
	refused.Result = audit.ResultRefused
	w.entries = append(w.entries, refused)
	w.mu.Unlock()

	want := []string{
		"client.update acme", "client.update acme", "client.disable acme", "client.secret.revoke acme", "resource.update " + api,
		"revocation.create client:acme", "revocation.create resource:" + api, "revocation.create all:",
		"client.delete acme", "resource.delete " + api, "key.revoke kid1",
	}
	if got := w.actions(t, AuditQuery{Revoked: true}); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	want = []string{"client.update acme", "client.update acme", "client.disable acme", "client.secret.revoke acme", "revocation.create client:acme", "client.delete acme"}
	if got := w.actions(t, AuditQuery{Revoked: true, Target: "acme"}); !slices.Equal(got, want) {
		t.Errorf("of the client: %q", got)
	}
	want = []string{"resource.update " + api, "revocation.create resource:" + api, "resource.delete " + api}
	if got := w.actions(t, AuditQuery{Revoked: true, Target: api}); !slices.Equal(got, want) {
		t.Errorf("of the resource: %q", got)
	}
	for target, n := range map[string]int{"client:acme": 1, "//fulfilment.example": 0, "cme": 0, "all:": 1, "kid1": 4} {
		if got := w.actions(t, AuditQuery{Target: target}); len(got) != n {
			t.Errorf("%s: %q", target, got)
		}
	}
}

func firstTwo[T, U any](v T, _ U, err error) (T, error) { return v, err }

// What cannot be read is no withdrawal, and no fault either: later versions may write it.
func TestAudit_WithdrewReadsWhatItCan(t *testing.T) {
	for after, want := range map[string]bool{
		`{"revocations":[{"kind":"client","value":"a","before":"2026-01-01T00:00:00Z"}]}`: true,
		`{"revocations":[{"kind":"client","value":"a","more":{}}]}`:                       true,
		`{"revocations":[]}`: false, `{"revocations":{}}`: false, `{"revocations":`: false, `{}`: false, "": false, `{"x":"\"revocations\""}`: false,
	} {
		e := audit.Entry{Action: "client.update", Result: audit.ResultDone}
		e.After = []byte(after)
		if got := withdrew(e); got != want {
			t.Errorf("%s: %v", after, got)
		}
	}
}

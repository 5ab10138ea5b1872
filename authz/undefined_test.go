package authz

import "testing"

// A resource loses a scope that a client still has: what the client is told then is true, and who
// changes something else of the client is not refused for it.
func TestResourceUpdate_AScopeThatIsTakenAway(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.story(t)
	w.resource(t, ResourceSpec{ID: otherAPI, Scopes: []string{"accounts:create"}})
	if _, err := w.registry.UpdateResource(t.Context(), admin, api, Match{Any: true}, ResourceSpec{Scopes: []string{"orders:write"}}, false); err != nil {
		t.Fatal(err)
	}
	ask := func(scope string, resources ...string) error {
		r := request("acme", secret)
		r.Scope, r.Resources = scope, resources
		_, err := w.server.Token(t.Context(), r)
		return err
	}
	for _, scope := range []string{"", "orders:read", "orders:read orders:write"} {
		wantError(t, ask(scope), InvalidScope, CauseScopeOfNoAPI)
	}
	wantError(t, ask("orders:read", api), InvalidScope, CauseScopeNotOfResource)
	if err := ask("orders:write"); err != nil {
		t.Error(err)
	}

	spec := storySpec()
	update := func(edit func(*ClientSpec)) error {
		s := spec
		edit(&s)
		_, err := w.registry.UpdateClient(t.Context(), admin, "acme", Match{Any: true}, s, false)
		return err
	}
	if err := update(func(s *ClientSpec) { s.Name = "Acme Europe" }); err != nil {
		t.Errorf("a new name is refused: %v", err)
	}
	if err := update(func(s *ClientSpec) { s.Scopes = []string{"orders:read"} }); err != nil {
		t.Errorf("fewer scopes: %v", err)
	}
	if err := update(func(s *ClientSpec) { s.Scopes = []string{"orders:read orders:write"} }); err != nil {
		t.Errorf("a scope that is defined is added: %v", err)
	}
	wantFields(t, update(func(s *ClientSpec) { s.Scopes = []string{"orders:read orders:write accounts:create"} }), "scope")
	wantFields(t, update(func(s *ClientSpec) { s.Resources = []string{api, otherAPI} }), "scope")
	if err := update(func(s *ClientSpec) { s.Scopes, s.DefaultScopes = []string{"orders:write"}, nil }); err != nil {
		t.Error(err)
	}
	wantFields(t, update(func(s *ClientSpec) {}), "scope") // it was given up: now it is added
}

// All of a client's resources are gone: that is what is said, and not that its scope is of several.
func TestPolicy_NoResourceIsLeft(t *testing.T) {
	w := newWorld(t, nil)
	w.resource(t, ResourceSpec{ID: api})
	_, secret := w.client(t, ClientSpec{ID: "acme", Resources: []string{api}})
	w.mu.Lock()
	delete(w.resources, api)
	w.mu.Unlock()
	w.server.AllChanged()
	_, err := w.server.Token(t.Context(), request("acme", secret))
	wantError(t, err, InvalidTarget, CauseResourceMissing)
}

//go:build linux || darwin

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/marque-auth/marque/authz/admin/client"
)

// conclude stops everybody, reads everything back through a server that was started afterwards and knows nothing but
// the store, asks that and all others about every token, checks the history, and prints what was counted.
func (w *world) conclude(t *testing.T, fresh *faultNode) losses {
	t.Helper()
	wrong, n := w.judge(t, fresh)
	for _, text := range wrong[:min(5, len(wrong))] {
		t.Error(text)
	}
	if len(wrong) > 5 {
		t.Errorf("%d such objects and answers in all", len(wrong))
	}
	t.Log(n)
	t.Log(w.told())
	return n
}

// judge is [world.conclude] without a word: it returns what is wrong.
func (w *world) judge(t *testing.T, fresh *faultNode) (wrong []string, n losses) {
	t.Helper()
	w.end()
	w.readBack(t, fresh)
	for _, n := range append([]*faultNode{fresh}, w.nodes...) {
		w.askAboutAll(t, n)
	}
	n = w.history.count()
	for kind, lost := range n.lostOf {
		if !slices.Contains(w.mayLose, kind) {
			wrong = append(wrong, fmt.Sprintf("%d acknowledged writes of %s are lost", lost, kind))
		}
	}
	for _, problem := range w.history.check() {
		if kind, _, _ := strings.Cut(problem, ":"); !slices.Contains(w.mayLose, kind) {
			wrong = append(wrong, problem)
		}
	}
	return append(wrong, w.wrong...), n
}

// askAboutAll asks a server about every token.
func (w *world) askAboutAll(t *testing.T, n *faultNode) {
	t.Helper()
	tokens := make(chan heldToken)
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for held := range tokens {
				c, ok := w.introspect(n, held.compact)
				if !ok {
					t.Errorf("%s does not answer about %s", n.public, held.object)
					continue
				}
				w.history.found(held.object, c)
			}
		})
	}
	for _, held := range w.tokens {
		tokens <- held
	}
	close(tokens)
	asking.Wait()
}

// readBack notes for each object that somebody wrote, and is no token, what a server says of it.
func (w *world) readBack(t *testing.T, n *faultNode) {
	t.Helper()
	s := read(t, n)
	for _, object := range w.history.written("") {
		kind, name, _ := strings.Cut(object, ":")
		switch kind {
		case "client":
			w.history.found(object, s.client(name))
		case "credential":
			id, credential, _ := strings.Cut(name, ":")
			w.history.found(object, s.credential(t, n, id, credential))
		case "pulse":
			w.history.found(object, condition{life: map[bool]life{true: void}[s.revoked["jti:"+name]]})
		case "kid":
			w.history.found(object, condition{life: s.keys[name]})
		}
	}
}

// contents are what a server lists.
type contents struct {
	clients map[string]client.RegisteredClient
	revoked map[string]bool // by subject
	keys    map[string]life // that sign, did, or are to
	secrets map[string][]client.Secret
}

func read(t *testing.T, n *faultNode) contents {
	t.Helper()
	s := contents{map[string]client.RegisteredClient{}, map[string]bool{}, map[string]life{}, map[string][]client.Secret{}}
	all, err := pages(func(cursor *string) ([]client.RegisteredClient, *string, error) {
		r, err := n.api.ListClientsWithResponse(t.Context(), &client.ListClientsParams{Cursor: cursor, Limit: new(1000)})
		if err != nil || r.JSON200 == nil {
			return nil, nil, errors.Join(errNotDone, err)
		}
		return r.JSON200.Clients, r.JSON200.Next, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		s.clients[c.ClientID] = c
	}
	list, err := pages(func(cursor *string) ([]client.Revocation, *string, error) {
		r, err := n.api.ListRevocationsWithResponse(t.Context(), &client.ListRevocationsParams{Cursor: cursor, Limit: new(1000)})
		if err != nil || r.JSON200 == nil {
			return nil, nil, errors.Join(errNotDone, err)
		}
		return r.JSON200.Revocations, r.JSON200.Next, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		s.revoked[string(r.Kind)+":"+text(r.Value)] = true
	}
	r, err := n.api.ListKeysWithResponse(t.Context())
	if err != nil || r.JSON200 == nil {
		t.Fatalf("keys: %v", err)
	}
	for _, k := range r.JSON200.Keys {
		switch {
		case k.State == client.KeyStateRevoked:
			s.keys[k.KID] = void
		case k.State != client.KeyStateNext || k.SignFrom != nil:
			s.keys[k.KID] = there
		}
	}
	return s
}

// client is what the contents say of a client. What a change means stands in several records, and is there whole.
func (s contents) client(id string) condition {
	c, listed := s.clients[id]
	switch revoked := s.revoked["client:"+id]; {
	case listed && c.Disabled && !revoked:
		return condition{life: torn}
	case listed:
		return condition{life: there, disabled: c.Disabled, name: c.ClientName}
	case revoked:
		return condition{life: void}
	}
	return condition{}
}

// credential asks for the secrets of its client, once.
func (s contents) credential(t *testing.T, n *faultNode, id, credential string) condition {
	t.Helper()
	if _, asked := s.secrets[id]; !asked {
		r, err := n.api.ListSecretsWithResponse(context.Background(), id)
		switch {
		case err == nil && r.JSON200 != nil:
			s.secrets[id] = r.JSON200.Secrets
		case statusOf(r, err) != http.StatusNotFound:
			t.Fatalf("secrets of %s: %v", id, err)
		case s.revoked["client:"+id]: // deleted
			s.secrets[id] = nil
		}
	}
	i := slices.IndexFunc(s.secrets[id], func(one client.Secret) bool { return one.CredentialID == credential })
	revoked := s.revoked["credential:"+credential]
	switch {
	case i < 0 && revoked:
		return condition{life: torn}
	case i < 0:
		return condition{}
	case s.secrets[id][i].Revoked != revoked:
		return condition{life: torn}
	case revoked:
		return condition{life: void}
	}
	return condition{life: there}
}

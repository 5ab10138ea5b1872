package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
)

func clientRoundTrip(t *testing.T, f Fixture) {
	for _, want := range []authz.Client{
		FullClient(t, "full"),
		{ID: "bare"},
	} {
		put, err := f.Store.PutClient(t.Context(), want, entry(string(want.ID)))
		if err != nil {
			t.Fatalf("PutClient: %v", err)
		}
		want.Version = 1
		if d := Diff(put, want); d != "" {
			t.Errorf("PutClient returned something else (-want +got):\n%s", d)
		}
		got, err := f.Peer.Client(t.Context(), want.ID)
		if err != nil {
			t.Fatalf("Client: %v", err)
		}
		if d := Diff(got, want); d != "" {
			t.Errorf("Client (-want +got):\n%s", d)
		}
	}
}

func resourceRoundTrip(t *testing.T, f Fixture) {
	for _, want := range []authz.Resource{
		FullResource(t, "https://fulfilment.example"),
		{ID: "https://bare.example"},
	} {
		put, err := f.Store.PutResource(t.Context(), want, entry(string(want.ID)))
		if err != nil {
			t.Fatalf("PutResource: %v", err)
		}
		want.Version = 1
		if d := Diff(put, want); d != "" {
			t.Errorf("PutResource returned something else (-want +got):\n%s", d)
		}
		got, err := f.Peer.Resource(t.Context(), want.ID)
		if err != nil {
			t.Fatalf("Resource: %v", err)
		}
		if d := Diff(got, want); d != "" {
			t.Errorf("Resource (-want +got):\n%s", d)
		}
	}
}

func ringRoundTrip(t *testing.T, f Fixture) {
	if rings, err := f.Store.Rings(t.Context()); err != nil || len(rings) != 0 {
		t.Fatalf("Rings of an empty store: got %v, %v", rings, err)
	}
	for _, algorithm := range []jose.Algorithm{jose.ES256, jose.RS256} {
		want := FullRing(algorithm)
		put, err := f.Store.PutRing(t.Context(), want, entry(string(algorithm)))
		if err != nil {
			t.Fatalf("PutRing: %v", err)
		}
		want.Version = 1
		if d := Diff(put, want); d != "" {
			t.Errorf("PutRing returned something else (-want +got):\n%s", d)
		}
		rings, err := f.Peer.Rings(t.Context())
		if err != nil {
			t.Fatalf("Rings: %v", err)
		}
		found := false
		for _, got := range rings {
			if got.Algorithm == algorithm {
				found = true
				if d := Diff(got, want); d != "" {
					t.Errorf("Rings (-want +got):\n%s", d)
				}
			}
		}
		if !found {
			t.Errorf("Rings has no ring of %s", algorithm)
		}
	}
}

// privateCopies changes what was put and what was returned: neither may reach the store.
func privateCopies(t *testing.T, f Fixture) {
	spoil := func(c authz.Client) {
		c.GrantTypes[0] = "spoilt"
		c.Resources[0] = "spoilt"
		c.Credentials[0].Digest[0] ^= 0xff
		c.Credentials[0].Scheme = "spoilt"
		c.Claims[0].Value[0] = '!'
	}
	in := FullClient(t, "c")
	put, err := f.Store.PutClient(t.Context(), in, entry("c"))
	if err != nil {
		t.Fatalf("PutClient: %v", err)
	}
	spoil(in)
	spoil(put)
	want := FullClient(t, "c")
	want.Version = 1
	for range 2 {
		got, err := f.Store.Client(t.Context(), "c")
		if err != nil {
			t.Fatalf("Client: %v", err)
		}
		if d := Diff(got, want); d != "" {
			t.Errorf("Client (-want +got):\n%s", d)
		}
		spoil(got)
	}
}

func listClients(t *testing.T, f Fixture) {
	ids := []authz.ClientID{"a", "B", "b", "a:b", "a/b", "a-", "a0", "é", "z", "Z", "aa", "a.", "~"}
	for _, id := range ids {
		if _, err := f.Store.PutClient(t.Context(), authz.Client{ID: id}, entry(string(id))); err != nil {
			t.Fatalf("PutClient %q: %v", id, err)
		}
	}
	slices.Sort(ids) // bytewise
	for _, limit := range []int{1, 2, 5, len(ids), len(ids) + 1} {
		var got []authz.ClientID
		after := authz.ClientID("")
		for {
			page, err := f.Peer.ListClients(t.Context(), authz.ClientQuery{After: after, Limit: limit})
			if err != nil {
				t.Fatalf("ListClients: %v", err)
			}
			for _, c := range page {
				got = append(got, c.ID)
			}
			if len(page) < limit {
				break
			}
			if len(page) > limit {
				t.Fatalf("ListClients: got %d clients, limit %d", len(page), limit)
			}
			after = page[len(page)-1].ID
		}
		if d := Diff(got, ids); d != "" {
			t.Errorf("limit %d (-want +got):\n%s", limit, d)
		}
	}
	// A place that is no client's is a place all the same.
	page, err := f.Store.ListClients(t.Context(), authz.ClientQuery{After: "aZ", Limit: 1})
	if err != nil || len(page) != 1 || page[0].ID != "aa" {
		t.Errorf("after \"aZ\": got %v, %v, want aa", page, err)
	}
}

func listResources(t *testing.T, f Fixture) {
	var want []authz.ResourceID
	for i := range 7 {
		id := authz.ResourceID(fmt.Sprintf("https://r%d.example", i))
		if _, err := f.Store.PutResource(t.Context(), authz.Resource{ID: id}, entry(string(id))); err != nil {
			t.Fatalf("PutResource: %v", err)
		}
		want = append(want, id)
	}
	first, err := f.Peer.ListResources(t.Context(), "", 4)
	if err != nil || len(first) != 4 {
		t.Fatalf("ListResources: got %d, %v", len(first), err)
	}
	rest, err := f.Peer.ListResources(t.Context(), first[3].ID, 4)
	if err != nil {
		t.Fatalf("ListResources: %v", err)
	}
	var got []authz.ResourceID
	for _, r := range slices.Concat(first, rest) {
		got = append(got, r.ID)
	}
	if d := Diff(got, want); d != "" {
		t.Errorf("resources (-want +got):\n%s", d)
	}
}

// listLimits: "at most none" is a mistake of the caller, and an empty page would read as the end.
func listLimits(t *testing.T, f Fixture) {
	head, err := f.Store.Head(t.Context())
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	for _, limit := range []int{0, -1} {
		_, err1 := f.Store.ListClients(t.Context(), authz.ClientQuery{Limit: limit})
		_, err2 := f.Store.ListResources(t.Context(), "", limit)
		_, _, err3 := f.Store.Changes(t.Context(), head, limit)
		_, _, err4 := f.Store.Entries(t.Context(), "", limit)
		_, err5 := f.Store.ListRevocations(t.Context(), "", limit)
		_, _, err6 := f.Store.Latest(t.Context(), "", limit)
		_, err7 := f.Store.ListClients(t.Context(), authz.ClientQuery{Limit: limit, Text: "x"})
		for i, err := range []error{err1, err2, err3, err4, err5, err6, err7} {
			if err == nil || errors.Is(err, store.ErrCursor) {
				t.Errorf("limit %d, method %d: got error %v, want one about the limit", limit, i, err)
			}
		}
	}
}

package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
)

// walkClients reads page after page of what q describes.
func walkClients(t *testing.T, s store.Store, q authz.ClientQuery) []authz.ClientID {
	t.Helper()
	var got []authz.ClientID
	for {
		page, err := s.ListClients(t.Context(), q)
		if err != nil {
			t.Fatalf("ListClients %+v: %v", q, err)
		}
		if len(page) > q.Limit {
			t.Fatalf("ListClients %+v: got %d clients", q, len(page))
		}
		for _, c := range page {
			got = append(got, c.ID)
		}
		if len(page) < q.Limit {
			return got
		}
		q.After = page[len(page)-1].ID
	}
}

// deleted: what was deleted can be read, with the time, and is in no list; pages are as full as if it
// were not there.
func deleted(t *testing.T, f Fixture) {
	gone := map[int]bool{0: true, 3: true, 4: true, 5: true, 6: true, 9: true, 12: true, 13: true}
	var clients []authz.ClientID
	var resources []authz.ResourceID
	for i := range 14 {
		c, r := authz.Client{ID: authz.ClientID(fmt.Sprintf("c%02d", i)), Name: "Some"}, authz.Resource{ID: authz.ResourceID(fmt.Sprintf("r%02d", i))}
		if gone[i] {
			c.DeletedAt, r.DeletedAt = at, at
		} else {
			clients, resources = append(clients, c.ID), append(resources, r.ID)
		}
		put, err1 := f.Store.PutClient(t.Context(), c, entry("c"))
		_, err2 := f.Store.PutResource(t.Context(), r, entry("r"))
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		gotClient, err1 := f.Peer.Client(t.Context(), c.ID)
		gotResource, err2 := f.Peer.Resource(t.Context(), r.ID)
		version, err3 := f.Peer.ClientVersion(t.Context(), c.ID)
		if err := errors.Join(err1, err2, err3); err != nil || !gotClient.DeletedAt.Equal(c.DeletedAt) || !gotResource.DeletedAt.Equal(r.DeletedAt) || version != put.Version {
			t.Errorf("%d: got %v, %v, version %d, %v", i, gotClient.DeletedAt, gotResource.DeletedAt, version, err)
		}
	}
	for _, limit := range []int{1, 2, 3, len(clients), len(clients) + 1, 100} {
		for _, text := range []string{"", "some", "c"} {
			if d := Diff(walkClients(t, f.Peer, authz.ClientQuery{Limit: limit, Text: text}), clients); d != "" {
				t.Errorf("clients with %q, limit %d (-want +got):\n%s", text, limit, d)
			}
		}
		var got []authz.ResourceID
		after := authz.ResourceID("")
		for {
			page, err := f.Peer.ListResources(t.Context(), after, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page {
				got = append(got, r.ID)
			}
			if len(page) < limit {
				break
			}
			after = page[len(page)-1].ID
		}
		if d := Diff(got, resources); d != "" {
			t.Errorf("resources, limit %d (-want +got):\n%s", limit, d)
		}
	}
	// A deleted record is still the holder of its place: nothing is put over it as if it were absent.
	if _, err := f.Store.PutClient(t.Context(), authz.Client{ID: "c00"}, entry("c")); !errors.Is(err, authz.ErrConflict) {
		t.Errorf("a client over a deleted one: got error %v, want ErrConflict", err)
	}
	if _, err := f.Store.PutResource(t.Context(), authz.Resource{ID: "r00", Version: 1}, entry("r")); err != nil {
		t.Errorf("a resource anew: %v", err)
	}
	if page, err := f.Peer.ListResources(t.Context(), "", 1); err != nil || len(page) != 1 || page[0].ID != "r00" {
		t.Errorf("a resource anew is not in the list: %v, %v", page, err)
	}
}

func searchClients(t *testing.T, f Fixture) {
	for id, name := range map[authz.ClientID]string{
		"acme":      "Acme Fulfilment GmbH & Söhne",
		"ACME-2":    `Quote " and \ and /`,
		"b.acme":    "",
		"c":         "line\nbreak\tand ACME\u2028",
		"d":         "KELVIN \u212a and long \u017f", // which Unicode folds to k and s
		"e":         "<script>é</script>",
		"f-name":    `"name":"acme`,
		"g":         `{"deleted_at":"acme`,
		"h":         "\U0001f511",
		"deleted_a": "name",
	} {
		if _, err := f.Store.PutClient(t.Context(), authz.Client{ID: id, Name: name}, entry("x")); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string][]authz.ClientID{
		"acme":                       {"ACME-2", "acme", "b.acme", "c", "f-name", "g"},
		"AcMe":                       {"ACME-2", "acme", "b.acme", "c", "f-name", "g"},
		"FULFILMENT g":               {"acme"},
		"söhne":                      {"acme"},
		"SÖHNE":                      nil, // only ASCII is folded
		`" AND \ and`:                {"ACME-2"},
		"\nbreak":                    {"c"},
		"\u2028":                     {"c"},
		"kelvin k":                   nil,
		"\u212a":                     {"d"},
		"<SCRIPT>é<":                 {"e"},
		`"name":"`:                   {"f-name"},
		"name":                       {"deleted_a", "f-name"},
		"\U0001f511":                 {"h"},
		"deleted_a":                  {"deleted_a", "g"},
		"token_endpoint_auth_method": nil,
		"acmeacme":                   nil,
		"\xff":                       nil,
		"\x00":                       nil,
	} {
		for _, limit := range []int{1, 3, 100} {
			if d := Diff(walkClients(t, f.Peer, authz.ClientQuery{Text: text, Limit: limit}), want); d != "" {
				t.Errorf("%q, limit %d (-want +got):\n%s", text, limit, d)
			}
		}
	}
}

// searchLikeModel compares searches for pieces of random names with the plainest way to do it.
func searchLikeModel(t *testing.T, f Fixture) {
	random := rand.New(rand.NewPCG(3, 14))
	letters := []string{"a", "A", "b", "\\", "\"", "é", "É", " ", "\u2028", "/", "\x1f", "n"}
	word := func(most int) string {
		var b strings.Builder
		for range random.IntN(most + 1) {
			b.WriteString(letters[random.IntN(len(letters))])
		}
		return b.String()
	}
	names := map[authz.ClientID]string{}
	for range 60 {
		id := authz.ClientID("-" + word(4))
		if _, twice := names[id]; twice {
			continue
		}
		names[id] = word(8)
		if _, err := f.Store.PutClient(t.Context(), authz.Client{ID: id, Name: names[id]}, entry("x")); err != nil {
			t.Fatal(err)
		}
	}
	lower := func(s string) string {
		return strings.Map(func(r rune) rune {
			if 'A' <= r && r <= 'Z' {
				return r + 32
			}
			return r
		}, s)
	}
	for range 200 {
		text := word(3)
		var want []authz.ClientID
		for id, name := range names {
			if strings.Contains(lower(string(id)), lower(text)) || strings.Contains(lower(name), lower(text)) {
				want = append(want, id)
			}
		}
		slices.Sort(want)
		if d := Diff(walkClients(t, f.Peer, authz.ClientQuery{Text: text, Limit: 1 + random.IntN(9)}), want); d != "" {
			t.Errorf("%q (-want +got):\n%s", text, d)
		}
	}
}

// searchFaults: a search looks at every record on its way, and one that it cannot authenticate is a
// fault, even where its bytes do not have what is looked for.
func searchFaults(t *testing.T, f Fixture) {
	for _, id := range []authz.ClientID{"a", "b", "c"} {
		if _, err := f.Store.PutClient(t.Context(), authz.Client{ID: id, Name: "Some name"}, entry("x")); err != nil {
			t.Fatal(err)
		}
	}
	genuine := f.Raw.Get(t, store.KindClient, "b")
	altered := slices.Clone(genuine)
	altered[len(altered)-2] ^= 1
	newer := slices.Clone(genuine)
	newer[0] = store.Format + 1
	for raw, want := range map[string]error{
		string(altered): store.ErrDamaged, string(genuine[:20]): store.ErrDamaged, "": store.ErrDamaged, string(newer): store.ErrNewerFormat,
		string(f.Raw.Get(t, store.KindClient, "a")): store.ErrDamaged,
	} {
		f.Raw.Put(t, store.KindClient, "b", []byte(raw))
		for _, text := range []string{"", "some", "nobody has this"} {
			_, err := f.Store.ListClients(t.Context(), authz.ClientQuery{Text: text, Limit: 10})
			wantFault(t, "ListClients "+text, err, want, store.KindClient, "b")
		}
		if page, err := f.Store.ListClients(t.Context(), authz.ClientQuery{Text: "some", Limit: 1}); err != nil || len(page) != 1 {
			t.Errorf("a page before the damage: got %v, %v", page, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Store.ListClients(ctx, authz.ClientQuery{Text: "x", Limit: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: got error %v", err)
	}
}

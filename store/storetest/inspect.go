package storetest

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/marque-auth/marque/store"
)

// inspect returns what Inspect finds.
func inspect(t *testing.T, s store.Store) (read store.Inspected, found []error) {
	t.Helper()
	read, err := s.Inspect(t.Context(), func(err error) { found = append(found, err) })
	if err != nil {
		t.Fatalf("Inspect: %v", err)
	}
	return read, found
}

// inspection damages one record after another, of every kind, and expects all of them to be named at
// the end, each by its own name: a doctor that stops at the first one would have to be called again and
// again, and one that misses some is none.
func inspection(t *testing.T, f Fixture) {
	if read, found := inspect(t, f.Store); read != (store.Inspected{}) || len(found) != 0 {
		t.Errorf("an empty store: got %+v, %v", read, found)
	}
	want := map[store.RecordError]bool{}
	var all store.Inspected
	type place struct {
		kind store.Kind
		key  string
	}
	var places []place
	for _, s := range subjects() {
		for _, id := range []string{"a", "b", "c"} {
			mustPut(t, f, s, id, 0, "m")
			places = append(places, place{s.kind, s.key(id)})
			all.Records++
			all.Entries += 2 // its change and its audit entry
		}
	}
	if _, err := f.Store.PutClient(t.Context(), withCredentials("d", 0, "k1", "k2"), entry("d")); err != nil {
		t.Fatal(err)
	}
	places = append(places, place{store.KindClient, "d"}, place{store.KindCredential, "k1"})
	all.Records += 3
	all.Entries += 2
	if n, found := inspect(t, f.Peer); n != all || len(found) != 0 {
		t.Errorf("got %+v, %v, want %+v and no damage", n, found, all)
	}
	for i, p := range places {
		raw := bytes.Clone(f.Raw.Get(t, p.kind, p.key))
		finding := store.RecordError{Kind: p.kind, Key: p.key, Err: store.ErrDamaged}
		switch i % 3 {
		case 0:
			raw = raw[:len(raw)-1]
		case 1:
			raw[0], finding.Err = store.Format+1, store.ErrNewerFormat
		case 2:
			raw[len(raw)/2] ^= 1
		}
		f.Raw.Put(t, p.kind, p.key, raw)
		want[finding] = true
		got := map[store.RecordError]bool{}
		n, found := inspect(t, f.Store)
		for _, err := range found {
			var record *store.RecordError
			if !errors.As(err, &record) || record.Reason == "" {
				t.Fatalf("found %v, which names no record", err)
			}
			got[store.RecordError{Kind: record.Kind, Key: record.Key, Err: record.Err}] = true
		}
		if d := Diff(got, want); d != "" || n != all {
			t.Fatalf("after %s %q: %+v of %+v (-want +got):\n%s", p.kind, p.key, n, all, d)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Store.Inspect(ctx, func(error) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: got error %v", err)
	}
}

package storetest

import (
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
)

// clientVersion reads the version alone: of records, of absences, and of what is no record.
func clientVersion(t *testing.T, f Fixture) {
	want := func(name string, id authz.ClientID, version uint64) {
		t.Helper()
		if got, err := f.Store.ClientVersion(t.Context(), id); err != nil || got != version {
			t.Errorf("%s: version %d, %v; want %d", name, got, err, version)
		}
	}
	want("absent", "nobody", 0)
	want("an empty identifier", "", 0)
	c := FullClient(t, "acme")
	c.Version = 0
	for version := range uint64(3) {
		var err error
		if c, err = f.Store.PutClient(t.Context(), c, entry("acme")); err != nil {
			t.Fatal(err)
		}
		want("stored", "acme", version+1)
		if got, err := f.Peer.ClientVersion(t.Context(), "acme"); err != nil || got != c.Version {
			t.Errorf("another server: version %d, %v; want %d", got, err, c.Version)
		}
	}
	for name, bytes := range map[string][]byte{"empty": {}, "cut off": {1, 0, 0}, "a newer format": append([]byte{store.Format + 1}, make([]byte, 64)...), "version 0": append([]byte{store.Format}, make([]byte, 64)...)} {
		f.Raw.Put(t, store.KindClient, "acme", bytes)
		if got, err := f.Store.ClientVersion(t.Context(), "acme"); err == nil {
			t.Errorf("%s: version %d, want a fault", name, got)
		}
	}
}

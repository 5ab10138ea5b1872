package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/boltstore"
	"github.com/marque-auth/marque/store/moving"
)

// What bulk writes is an export that a server's own would be: all of it can be imported.
func TestBulk_CanBeImported(t *testing.T) {
	db, err := boltstore.OpenDB(boltstore.Config{Path: filepath.Join(t.TempDir(), "m.db"), Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, db)
	r := newRigOn(t, 1, db, func(e *store.Envelope) (store.Store, error) { return boltstore.New(db, e) })
	s := secrets("seed")
	if _, _, _, err := r.registry.CreateClient(t.Context(), audit.Origin{Actor: audit.System("test")}, authz.ClientSpec{
		ID: filledID(0), Name: filledName(0), Scopes: []string{scope}, Resources: []string{resourceOf(jose.ES256)}, Secret: authz.Secret(s.of(0)),
	}); err != nil {
		t.Fatal(err)
	}
	kek, err := keys.ReadKEKFile(r.kekFile)
	if err != nil {
		t.Fatal(err)
	}
	small, large := filepath.Join(t.TempDir(), "small"), filepath.Join(t.TempDir(), "large")
	f, err := os.Create(small)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := moving.Export(t.Context(), f, moving.Source{Store: db, Namespace: namespace, KEKs: []*jose.KEK{kek}, ID: moving.NewID(), Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	b, kek, err := openBulk(small, r.kekFile, s)
	if err != nil {
		t.Fatal(err)
	}
	b.clients, b.revocations, b.until = 300, 30, time.Now().Add(time.Hour).Truncate(time.Second)
	records, octets, err := b.write(t.Context(), large, kek)
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(large)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	contents, err := moving.Check(t.Context(), in, []*jose.KEK{kek}, namespace, nil)
	if err != nil {
		t.Fatal(err)
	}
	of := contents.End.Records // the rig has two clients more
	if of[store.KindClient] != 300+2 || of[store.KindRevocation] != 30 || of[store.KindCredential] != 300+2 || records < 630 || octets < 100_000 {
		t.Errorf("%v, %d records, %d octets", of, records, octets)
	}
}

package boltstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/storetest"
)

// inspected returns what Inspect finds: kind and key of each, sorted.
func inspected(t *testing.T, s *Store) (found []string) {
	t.Helper()
	if _, err := s.Inspect(t.Context(), func(err error) {
		var record *store.RecordError
		if !errors.As(err, &record) {
			t.Errorf("found %v, which names no record", err)
			return
		}
		found = append(found, string(record.Kind)+" "+record.Key)
	}); err != nil {
		t.Fatalf("Inspect: %v", err)
	}
	slices.Sort(found)
	return found
}

// What no record's own code can tell: records that were removed, and entries that do not fit together.
func TestInspect_Together(t *testing.T) {
	put := func(bucket []byte, key string, value []byte) func(*bolt.Bucket) error {
		return func(ns *bolt.Bucket) error { return ns.Bucket(bucket).Put([]byte(key), value) }
	}
	remove := func(bucket []byte, key string) func(*bolt.Bucket) error {
		return func(ns *bolt.Bucket) error { return ns.Bucket(bucket).Delete([]byte(key)) }
	}
	end := testTime.Add(time.Hour)
	number := func(n uint64) string { return string(sequenceKey(n)) }
	for name, c := range map[string]struct {
		spoil func(*bolt.Bucket) error
		want  []string
	}{
		"nothing":                       {func(*bolt.Bucket) error { return nil }, nil},
		"client removed":                {remove(bucketClients, "acme"), []string{"client acme"}},
		"index entry removed":           {remove(bucketCredentials, "cred-1-acme"), []string{"credential cred-1-acme"}},
		"revocation removed":            {remove(bucketRevocations, "jti:000"), []string{"revocation jti:000"}},
		"its place removed":             {remove(bucketExpiries, string(expiryKey(end, "jti:000"))), []string{"expiry jti:000"}},
		"another place":                 {put(bucketExpiries, string(expiryKey(end.Add(1e9), "jti:000")), []byte{}), []string{"expiry jti:000"}},
		"a place of one without end":    {put(bucketExpiries, string(expiryKey(end, "all:")), []byte{}), []string{"expiry all:"}},
		"a place of none":               {put(bucketExpiries, string(expiryKey(end, "jti:x")), []byte{}), []string{"revocation jti:x"}},
		"no place":                      {put(bucketExpiries, "x", []byte{}), []string{"expiry 78"}},
		"revocation of an unknown kind": {put(bucketRevocations, "user:x", []byte{}), []string{"revocation user:x"}},
		"audit entry removed":           {remove(bucketAudit, number(2)), []string{"audit 2"}},
		"first audit entry removed":     {remove(bucketAudit, number(1)), []string{"audit 1"}},
		"last audit entry removed":      {remove(bucketAudit, number(5)), []string{"audit 5"}},
		"audit entry from the future":   {put(bucketAudit, number(9), []byte(`{}`)), []string{"audit 0000000000000009"}},
		"audit entry damaged":           {put(bucketAudit, number(2), []byte(`{}`)), []string{"audit 2"}},
		"audit entry without a number":  {put(bucketAudit, "xy", []byte(`{}`)), []string{"audit 7879"}},
		"audit log emptied":             {func(ns *bolt.Bucket) error { return emptied(ns, bucketAudit) }, []string{"audit 1"}},
		"change removed":                {remove(bucketChanges, number(3)), []string{"change 3"}},
		"change damaged":                {put(bucketChanges, number(3), []byte(`{"at":1,"kind":"","id":"x"}`)), []string{"change 3"}},
		"first changes trimmed":         {remove(bucketChanges, number(1)), nil},
		"changes trimmed, all":          {func(ns *bolt.Bucket) error { return emptied(ns, bucketChanges) }, nil},
		"installation damaged":          {put(bucketGenesis, "installation", []byte(`{"format":1}x`)), []string{"installation test"}},
		"a bucket in a record's place":  {func(ns *bolt.Bucket) error { _, err := ns.Bucket(bucketClients).CreateBucket([]byte("b")); return err }, []string{"client b"}},
		"a resource in a client's place": {func(ns *bolt.Bucket) error {
			return ns.Bucket(bucketClients).Put([]byte("https://r.example"), ns.Bucket(bucketResources).Get([]byte("https://r.example")))
		}, []string{"client https://r.example"}},
	} {
		db := openTemp(t, Config{Now: newTestClock().now})
		s := newStore(t, db)
		if _, err := db.PutInstallation(t.Context(), storetest.FullInstallation("i"), testEntry("i")); err != nil {
			t.Fatal(err)
		}
		mustPut(t, s, storetest.FullClient(t, "acme"))
		if _, err := s.PutResource(t.Context(), storetest.FullResource(t, "https://r.example"), testEntry("r")); err != nil {
			t.Fatal(err)
		}
		mustRevoke(t, s, until(jti(0), end))
		mustRevoke(t, s, until(token.Subject{Kind: token.RevokedAll}, time.Time{}))
		if err := db.bolt.Update(func(tx *bolt.Tx) error { return c.spoil(tx.Bucket(db.name())) }); err != nil {
			t.Fatal(err)
		}
		if got := inspected(t, s); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// emptied removes everything from a bucket, which keeps its count.
func emptied(ns *bolt.Bucket, name []byte) error {
	b := ns.Bucket(name)
	for k, _ := b.Cursor().First(); k != nil; k, _ = b.Cursor().First() {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// A credential that another client's record has as well is named with both.
func TestInspect_CredentialOfTwo(t *testing.T) {
	db := openTemp(t, Config{})
	s := newStore(t, db)
	mustPut(t, s, storetest.FullClient(t, "acme"))
	thief := authz.Client{ID: "thief", Credentials: []authz.Credential{{ID: "cred-1-acme"}}, Version: 1}
	sealed, err := s.env.SealClient(thief)
	if err != nil {
		t.Fatal(err)
	}
	raw{db}.Put(t, store.KindClient, "thief", sealed)
	var found []string
	if _, err := s.Inspect(t.Context(), func(err error) { found = append(found, err.Error()) }); err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || !strings.Contains(found[0], "acme") || !strings.Contains(found[0], "thief") {
		t.Errorf("got %q", found)
	}
}

// A missing bucket, and a file that fails as a whole, end the inspection with an error: nothing else
// can be said of what is in them.
func TestInspect_Fails(t *testing.T) {
	for _, name := range namespaceBuckets(fileFormat) {
		db := openTemp(t, Config{})
		s := newStore(t, db)
		if err := db.bolt.Update(func(tx *bolt.Tx) error { return tx.Bucket(db.name()).DeleteBucket(name) }); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Inspect(t.Context(), func(error) {}); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("without %s: got error %v, want ErrDamaged", name, err)
		}
	}
}

// An inspection takes several transactions, between which others write: what they write, and what they
// remove because it has ended, is no damage. Who is told may use the store.
func TestInspect_BesideWrites(t *testing.T) {
	clock := newTestClock()
	db := openTemp(t, Config{Now: clock.now})
	s := newStore(t, db)
	for i := range 3 {
		mustPut(t, s, storetest.FullClient(t, authz.ClientID(fmt.Sprint("first-", i))))
		mustRevoke(t, s, until(jti(i), clock.now()))
	}
	clock.advance(3 * time.Hour)
	raw{db}.Put(t, store.KindClient, "damaged", []byte{1})
	raw{db}.Put(t, store.KindCredential, "damaged", []byte{1})
	raw{db}.Put(t, store.KindRevocation, "jti:damaged", []byte{1})
	n := 0
	if _, err := s.Inspect(t.Context(), func(err error) {
		n++
		mustPut(t, s, storetest.FullClient(t, authz.ClientID(fmt.Sprint("meanwhile-", n))))
		mustRevoke(t, s, until(jti(100+n), clock.now()))
		if !strings.Contains(err.Error(), `"damaged"`) && !strings.Contains(err.Error(), `"jti:damaged"`) {
			t.Error(err)
		}
	}); err != nil || n != 3 {
		t.Errorf("told %d times, %v", n, err)
	}
}

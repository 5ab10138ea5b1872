package boltstore

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/storetest"
)

// firstFile returns the path of a copy of a file that the program wrote when fileFormat was 1. It has
// the namespaces test, with a record of each kind, and other.
func firstFile(t *testing.T) string { return oldFile(t, "format1.db.gz") }

// secondFile is as firstFile, with records of format 2.
func secondFile(t *testing.T) string { return oldFile(t, "format2.db.gz") }

func oldFile(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "marque.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// edit changes a file behind the driver's back.
func edit(t *testing.T, path string, fn func(*bolt.Tx) error) {
	t.Helper()
	f, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Update(fn), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// wantFirst checks that the records of a file of format 1 read as they were written.
func wantFirst(t *testing.T, s *Store) {
	t.Helper()
	client, resource, ring := secondRecords(t)
	client.Admin, client.IntrospectionAlgorithm, client.DeletedAt = false, "", time.Time{}
	resource.DeletedAt, ring.Keys[0].RevokedAt = time.Time{}, time.Time{}
	clients, err := s.ListClients(t.Context(), authz.ClientQuery{Limit: 10})
	want(t, "clients", clients, []authz.Client{client, {ID: "bare", Name: "second version", Version: 2}}, err)
	resources, err := s.ListResources(t.Context(), "", 10)
	want(t, "resources", resources, []authz.Resource{resource}, err)
	wantOld(t, s, ring)
	changes, _, err := s.Changes(t.Context(), store.Cursor(s.db.cursor(3)), 10)
	want(t, "changes", changes, []store.Change{{Kind: store.KindResource, ID: "https://r.example"}, {Kind: store.KindRing, ID: "ES256"}}, err)
}

// secondRecords returns what a file with records of format 2 says.
func secondRecords(t *testing.T) (authz.Client, authz.Resource, keys.RingRecord) {
	client, resource, ring := storetest.FullClient(t, "acme"), storetest.FullResource(t, "https://r.example"), storetest.FullRing(jose.ES256)
	client.Version, resource.Version, ring.Version = 1, 1, 1
	resource.PreviousAlgorithm, resource.AlgorithmFrom = "", time.Time{}
	ring.Keys[0].Imported, ring.Emergency = false, keys.Emergency{}
	return client, resource, ring
}

func want(t *testing.T, name string, got, want any, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", name, err)
	} else if d := storetest.Diff(got, want); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

// wantOld checks what the old files have in common.
func wantOld(t *testing.T, s *Store, ring keys.RingRecord) {
	t.Helper()
	rings, err := s.Rings(t.Context())
	want(t, "rings", rings, []keys.RingRecord{ring}, err)
	owner, err := s.ClientOf(t.Context(), "cred-2-acme")
	want(t, "credential", owner, authz.ClientID("acme"), err)
	installation, err := s.db.Installation(t.Context())
	want(t, "installation", installation, storetest.FullInstallation("test"), err)
	entries, _, err := s.Entries(t.Context(), "", 100)
	var log []audit.Entry
	for _, target := range []string{"installation", "acme", "bare", "bare", "https://r.example", "ES256"} {
		log = append(log, testEntry(target))
	}
	for i := range entries {
		entries[i].ID = ""
	}
	want(t, "audit log", entries, log, err)
}

// A file of an earlier version keeps working: what it has reads as before, and it can hold what is new.
func TestUpgrade(t *testing.T) {
	path := firstFile(t)
	var notices []string
	config := Config{Path: path, Namespace: "test", MustExist: true, Now: newTestClock().now, Warn: func(text string) { notices = append(notices, text) }}
	db := openTemp(t, config)
	s := newStore(t, db)
	wantFirst(t, s)
	if len(notices) != 1 || !strings.Contains(notices[0], path) || !strings.Contains(notices[0], "format 1") {
		t.Errorf("the operator is told %q", notices)
	}
	if n, err := s.Inspect(t.Context(), func(err error) { t.Error(err) }); err != nil || n.Records == 0 || n.Entries == 0 {
		t.Errorf("Inspect: %d, %v", n, err)
	}
	before := raw{db}.Get(t, store.KindClient, "acme")
	if before[0] != 1 {
		t.Fatal("the file's records are not of format 1")
	}
	everything := token.Subject{Kind: token.RevokedAll}
	if got, err := s.Revocations(t.Context(), []token.Subject{everything}); err != nil || len(got) != 0 {
		t.Errorf("Revocations: %v, %v", got, err)
	}
	acme, err := s.Client(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	acme.Admin = true
	if _, err := s.PutClient(t.Context(), acme, testEntry("acme"), storetest.FullRevocation(everything)); err != nil {
		t.Fatal(err)
	}
	if after := (raw{db}).Get(t, store.KindClient, "acme"); after[0] != store.Format {
		t.Errorf("a record that was written again has format %d", after[0])
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	// The other namespace, which was not asked for, is upgraded as well; nothing more is told.
	config.Namespace = "other"
	other := openTemp(t, config)
	if c, err := newStore(t, other).Client(t.Context(), "theirs"); err != nil || c.Version != 1 {
		t.Errorf("other namespace: %+v, %v", c, err)
	}
	if other.Epoch() != db.Epoch() || len(notices) != 1 {
		t.Errorf("epochs %q and %q, notices %q", other.Epoch(), db.Epoch(), notices)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	config.Namespace = "test"
	got, err := newStore(t, openTemp(t, config)).Revocations(t.Context(), []token.Subject{everything})
	if err != nil || len(got) != 1 {
		t.Errorf("after another start: %v, %v", got, err)
	}
}

// Records of format 2 read as they were written, and each takes the present format when it is written again. The
// file itself is of the same format, so nobody is told anything.
func TestUpgrade_SecondRecords(t *testing.T) {
	db := openTemp(t, Config{
		Path: secondFile(t), Namespace: "test", MustExist: true, Now: newTestClock().now,
		Warn: func(text string) { t.Errorf("the operator is told %q", text) },
	})
	s := newStore(t, db)
	client, resource, ring := secondRecords(t)
	got, err := s.Client(t.Context(), "acme")
	want(t, "client", got, client, err)
	gotResource, err := s.Resource(t.Context(), resource.ID)
	want(t, "resource", gotResource, resource, err)
	wantOld(t, s, ring)
	all := storetest.FullRevocation(token.Subject{Kind: token.RevokedAll})
	revocations, err := s.Revocations(t.Context(), []token.Subject{all.Subject})
	all.Version = 1
	want(t, "revocations", revocations, []authz.Revocation{all}, err)
	format := func(want byte) {
		t.Helper()
		for kind, key := range map[store.Kind]string{store.KindResource: string(resource.ID), store.KindRing: "ES256"} {
			if got := (raw{db}).Get(t, kind, key)[0]; got != want {
				t.Errorf("%s has format %d, want %d", kind, got, want)
			}
		}
	}
	format(2)

	ring.Keys, ring.Emergency = storetest.FullRing(jose.ES256).Keys, storetest.FullRing(jose.ES256).Emergency
	resource = storetest.FullResource(t, resource.ID)
	resource.Version = 1
	_, err1 := s.PutRing(t.Context(), ring, testEntry("ES256"))
	_, err2 := s.PutResource(t.Context(), resource, testEntry("r"))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	ring.Version, resource.Version = 2, 2
	rings, err := s.Rings(t.Context())
	want(t, "rings", rings, []keys.RingRecord{ring}, err)
	gotResource, err = s.Resource(t.Context(), resource.ID)
	want(t, "resource", gotResource, resource, err)
	format(store.Format)
	if got := (raw{db}).Get(t, store.KindClient, "acme")[0]; got != 2 {
		t.Errorf("a record that was not written has format %d", got)
	}
	if _, err := s.Inspect(t.Context(), func(err error) { t.Error(err) }); err != nil {
		t.Error(err)
	}
}

// A new namespace may be made in a file of format 1.
func TestUpgrade_NewNamespace(t *testing.T) {
	path := firstFile(t)
	third := openTemp(t, Config{Path: path, Namespace: "third"})
	mustPut(t, newStore(t, third), authz.Client{ID: "c"})
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
	wantFirst(t, newStore(t, openTemp(t, Config{Path: path, Namespace: "test", MustExist: true})))
}

// What is not whole is not upgraded: buckets that are made in it would hide what is missing. Nothing is
// written to such a file.
func TestUpgrade_Refused(t *testing.T) {
	namespace := func(tx *bolt.Tx) *bolt.Bucket { return tx.Bucket([]byte(namespacePrefix + "test")) }
	type refusal struct {
		config Config
		spoil  func(*bolt.Tx) error
		want   error
	}
	cases := map[string]refusal{
		"namespace missing": {Config{Namespace: "none", MustExist: true}, func(*bolt.Tx) error { return nil }, ErrNoInstallation},
		"revocations there": {Config{Namespace: "test"}, func(tx *bolt.Tx) error {
			_, err := namespace(tx).CreateBucket(bucketRevocations)
			return err
		}, store.ErrDamaged},
		"expiries there, in another namespace": {Config{Namespace: "test"}, func(tx *bolt.Tx) error {
			_, err := tx.Bucket([]byte(namespacePrefix + "other")).CreateBucket(bucketExpiries)
			return err
		}, store.ErrDamaged},
	}
	for _, name := range namespaceBuckets(1) {
		cases["without "+string(name)] = refusal{
			Config{Namespace: "test", MustExist: true}, func(tx *bolt.Tx) error { return namespace(tx).DeleteBucket(name) }, store.ErrDamaged,
		}
	}
	for name, c := range cases {
		path := firstFile(t)
		edit(t, path, c.spoil)
		before, err1 := os.ReadFile(path)
		c.config.Path = path
		db, err := OpenDB(c.config)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
		if err == nil {
			_ = db.Close()
		}
		after, err2 := os.ReadFile(path)
		if err := errors.Join(err1, err2); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: the file was written to (%v)", name, err)
		}
	}
}

// A part that is missing in another namespace is that one's damage, and stays it.
func TestUpgrade_DamageElsewhere(t *testing.T) {
	path := firstFile(t)
	edit(t, path, func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(namespacePrefix + "other")).DeleteBucket(bucketCredentials)
	})
	db := openTemp(t, Config{Path: path, Namespace: "test", MustExist: true})
	wantFirst(t, newStore(t, db))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDB(Config{Path: path, Namespace: "other"}); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("the damaged namespace: got error %v, want ErrDamaged", err)
	}
}

package boltstore

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

func secret(id string, revoked, expires time.Time) authz.Credential {
	return authz.Credential{ID: authz.CredentialID(id), Scheme: authz.SchemeHMAC, Digest: make([]byte, 32), RevokedAt: revoked, Expires: expires, CreatedAt: testTime}
}

func change(t *testing.T, s *Store, id authz.ClientID, edit func(*authz.Client)) {
	t.Helper()
	c, err := s.Client(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	c.Credentials = slices.Clone(c.Credentials)
	edit(&c)
	mustPut(t, s, c)
}

func revokedUntil(kind token.RevocationKind, value string, before, until time.Time) authz.Revocation {
	return authz.Revocation{Revocation: token.Revocation{Subject: token.Subject{Kind: kind, Value: value}, Before: before, Until: until}}
}

// beforeAndAfter returns a store as it was, and as it is once things were withdrawn in it, and given.
func beforeAndAfter(t *testing.T) (was, is *Store) {
	t.Helper()
	now := func() time.Time { return testTime }
	db := openTemp(t, Config{Now: now})
	is = newStore(t, db)
	end := testTime.Add(time.Hour)
	mustPut(t, is, authz.Client{ID: "kept", Name: "Kept", Credentials: []authz.Credential{secret("kept-1", time.Time{}, time.Time{})}})
	mustPut(t, is, authz.Client{ID: "disabled", Name: "Disabled"})
	mustPut(t, is, authz.Client{ID: "enabled", Disabled: true})
	mustPut(t, is, authz.Client{ID: "deleted", Name: "Deleted"})
	mustPut(t, is, authz.Client{ID: "secrets", Admin: true, Credentials: []authz.Credential{
		secret("revoked", time.Time{}, time.Time{}), secret("ends", time.Time{}, time.Time{}), secret("sooner", time.Time{}, end),
		secret("later", time.Time{}, end), secret("dropped", time.Time{}, time.Time{}), secret("good", time.Time{}, time.Time{}),
	}})
	for _, id := range []authz.ResourceID{"https://kept", "https://deleted"} {
		if _, err := is.PutResource(t.Context(), authz.Resource{ID: id, TokenLifetime: time.Minute}, testEntry(string(id))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := is.PutRing(t.Context(), keys.RingRecord{Algorithm: "ES256", Keys: []keys.Key{{KeyID: "stolen", Sealed: "x"}, {KeyID: "fine", Sealed: "x"}, {KeyID: "dead", RevokedAt: testTime}}}, testEntry("ring")); err != nil {
		t.Fatal(err)
	}
	mustRevoke(t, is, revokedUntil(token.RevokedClient, "kept", testTime.Add(-time.Hour), end))
	mustRevoke(t, is, revokedUntil(token.RevokedJTI, "old", testTime, end))
	mustRevoke(t, is, killRevocation(token.RevokedClient, "enabled", "", 0))

	path := filepath.Join(t.TempDir(), "marque.db")
	restored(t, path, backup(t, db), "")
	was = newStore(t, openTemp(t, Config{Path: path, Now: now}))

	change(t, is, "kept", func(c *authz.Client) { c.Name = "Another name" })
	change(t, is, "disabled", func(c *authz.Client) { c.Disabled = true })
	change(t, is, "enabled", func(c *authz.Client) { c.Disabled = false })
	change(t, is, "deleted", func(c *authz.Client) {
		*c = authz.Client{ID: c.ID, Version: c.Version, CreatedAt: c.CreatedAt, DeletedAt: testTime}
	})
	change(t, is, "secrets", func(c *authz.Client) {
		c.Admin = false
		c.Credentials[0].RevokedAt = testTime
		c.Credentials[1].Expires = end
		c.Credentials[2].Expires = testTime
		c.Credentials[3].Expires = end.Add(time.Hour)
		c.Credentials = slices.Delete(c.Credentials, 4, 5)
	})
	mustPut(t, is, authz.Client{ID: "new"})
	mustPut(t, is, authz.Client{ID: "new-disabled", Disabled: true})
	mustPut(t, is, authz.Client{ID: "new-deleted", DeletedAt: testTime})
	for id, version := range map[authz.ResourceID]uint64{"https://deleted": 1, "https://new-deleted": 0} {
		if _, err := is.PutResource(t.Context(), authz.Resource{ID: id, Version: version, Algorithm: "ES256", DeletedAt: testTime}, testEntry(string(id))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := is.PutRing(t.Context(), keys.RingRecord{Algorithm: "ES256", Version: 1, Keys: []keys.Key{{KeyID: "stolen", RevokedAt: testTime}, {KeyID: "fine", Sealed: "x"}, {KeyID: "dead", RevokedAt: testTime}, {KeyID: "since", RevokedAt: testTime}}}, testEntry("ring")); err != nil {
		t.Fatal(err)
	}
	wider := revokedUntil(token.RevokedClient, "kept", testTime, end.Add(time.Minute))
	wider.Version = 1
	mustRevoke(t, is, wider)
	mustRevoke(t, is, revokedUntil(token.RevokedJTI, "stolen", testTime, end))
	mustRevoke(t, is, revokedUntil(token.RevokedJTI, "ended", testTime.Add(-time.Hour), testTime))
	for _, id := range []string{"disabled", "deleted", "new-disabled", "new-deleted"} {
		mustRevoke(t, is, killRevocation(token.RevokedClient, id, "", 0))
	}
	closed := revokedUntil(token.RevokedClient, "enabled", testTime, end)
	closed.Version = 1
	mustRevoke(t, is, closed)
	return was, is
}

// Whatever was withdrawn since is withdrawn, and nothing else changes.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	was, is := beforeAndAfter(t)
	untouched := everything(t, was, "kept", "enabled")
	entries := auditTargets(t, was)
	by := audit.Origin{Actor: audit.System("test"), Reason: "restored"}
	got, err := was.Withdraw(t.Context(), is, by)
	if err != nil {
		t.Fatal(err)
	}
	want := Withdrawn{
		Disabled: []authz.ClientID{"disabled"}, Deleted: []authz.ClientID{"deleted", "new-deleted"},
		Secrets:   []WithdrawnSecret{{"secrets", "revoked"}, {"secrets", "ends"}, {"secrets", "sooner"}, {"secrets", "dropped"}},
		Resources: []authz.ResourceID{"https://deleted", "https://new-deleted"}, Revocations: 5, Keys: []string{"stolen"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("took over %+v,\nwant %+v", got, want)
	}
	if now := everything(t, was, "kept", "enabled"); now != untouched {
		t.Errorf("changed %s\nto %s", untouched, now)
	}
	if c, err := was.Client(t.Context(), "disabled"); err != nil || !c.Disabled || c.Name != "Disabled" || c.Version != 2 {
		t.Errorf("the disabled one: %+v, %v", c, err)
	}
	for _, id := range []authz.ClientID{"deleted", "new-deleted"} {
		if c, err := was.Client(t.Context(), id); err != nil || c.DeletedAt.IsZero() || c.Name != "" {
			t.Errorf("%s: %+v, %v", id, c, err)
		}
	}
	for _, id := range []authz.ClientID{"new", "new-disabled"} {
		if _, err := was.Client(t.Context(), id); !errors.Is(err, authz.ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
	}
	c, err := was.Client(t.Context(), "secrets")
	if err != nil || !c.Admin || len(c.Credentials) != 6 {
		t.Fatalf("%+v, %v", c, err)
	}
	end := testTime.Add(time.Hour)
	for i, x := range []struct{ revoked, expires time.Time }{
		{revoked: testTime}, {expires: end}, {expires: testTime}, {expires: end}, {revoked: testTime}, {},
	} {
		if at := c.Credentials[i]; !at.RevokedAt.Equal(x.revoked) || !at.Expires.Equal(x.expires) {
			t.Errorf("secret %s: revoked %v, ends %v", at.ID, at.RevokedAt, at.Expires)
		}
	}
	if r, err := was.Resource(t.Context(), "https://deleted"); err != nil || r.DeletedAt.IsZero() {
		t.Errorf("the deleted resource: %+v, %v", r, err)
	}
	for subject, want := range map[token.Subject]token.Revocation{
		{Kind: token.RevokedJTI, Value: "stolen"}:     {Before: testTime, Until: end},
		{Kind: token.RevokedJTI, Value: "old"}:        {Before: testTime, Until: end},
		{Kind: token.RevokedClient, Value: "kept"}:    {Before: testTime, Until: end.Add(time.Minute)},
		{Kind: token.RevokedClient, Value: "deleted"}: {},
	} {
		want.Subject = subject
		r, err := was.Revocations(t.Context(), []token.Subject{subject})
		if err != nil || len(r) != 1 || r[0].Revocation != want {
			t.Errorf("%s: %+v, %v", subject, r, err)
		}
	}
	for _, gone := range []token.Subject{{Kind: token.RevokedJTI, Value: "ended"}, {Kind: token.RevokedClient, Value: "new-disabled"}} {
		if r, err := was.Revocations(t.Context(), []token.Subject{gone}); err != nil || len(r) != 0 {
			t.Errorf("%s: %+v, %v", gone, r, err)
		}
	}
	if n := len(auditTargets(t, was)) - len(entries); n != 11 {
		t.Errorf("%d entries, want one for each record", n)
	}
	if found := inspected(t, was); found != nil {
		t.Errorf("found %v", found)
	}
	if again, err := was.Withdraw(t.Context(), is, by); err != nil || !reflect.DeepEqual(again, Withdrawn{Keys: want.Keys}) {
		t.Errorf("again: %+v, %v", again, err)
	}
}

// everything shows clients that nothing is to happen to, and the ring.
func everything(t *testing.T, s *Store, ids ...authz.ClientID) string {
	t.Helper()
	var all []any
	for _, id := range ids {
		c, err := s.Client(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	rings, err := s.Rings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Resource(t.Context(), "https://kept")
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(append(all, rings, r))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func auditTargets(t *testing.T, s *Store) (targets []string) {
	t.Helper()
	entries, _, err := s.Entries(t.Context(), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		targets = append(targets, e.Target)
	}
	return targets
}

// What is damaged in the other store is told of, and the rest is taken over; what is damaged here, or of a later
// format there, is the end of it.
func TestWithdraw_Damaged(t *testing.T) {
	t.Parallel()
	was, is := beforeAndAfter(t)
	by := audit.Origin{Actor: audit.System("test")}
	in := raw{is.db}
	sealed := in.Get(t, store.KindClient, "disabled")
	in.Put(t, store.KindClient, "disabled", append([]byte{store.Format + 1}, sealed[1:]...))
	before := auditTargets(t, was)
	if _, err := was.Withdraw(t.Context(), is, by); !errors.Is(err, store.ErrNewerFormat) {
		t.Errorf("of a later format: %v", err)
	}
	in.Put(t, store.KindClient, "disabled", append(slices.Clone(sealed), ' '))
	own := raw{was.db}
	mine := own.Get(t, store.KindClient, "deleted")
	own.Put(t, store.KindClient, "deleted", append(slices.Clone(mine), ' '))
	if _, err := was.Withdraw(t.Context(), is, by); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("damaged here: %v", err)
	}
	own.Put(t, store.KindClient, "deleted", mine)
	if after := auditTargets(t, was); len(after) != len(before) {
		t.Errorf("entries were left: %v", after)
	}
	if err := is.db.bolt.Update(func(tx *bolt.Tx) error {
		b, err := is.db.bucket(tx, bucketRevocations)
		if err != nil {
			return err
		}
		return b.Delete([]byte("jti:stolen"))
	}); err != nil {
		t.Fatal(err)
	}
	got, err := was.Withdraw(t.Context(), is, by)
	if err != nil || len(got.Damaged) != 2 || len(got.Disabled) != 0 || len(got.Deleted) != 2 || len(got.Keys) != 1 {
		t.Errorf("took over %+v, %v", got, err)
	}
}

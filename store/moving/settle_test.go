package moving_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/boltstore"
	"github.com/marque-auth/marque/store/moving"
)

// finally closes a source, and exports it.
func finally(t *testing.T, from installed, src moving.Source) []byte {
	t.Helper()
	if err := from.CloseFor(t.Context(), src.ID); err != nil {
		t.Fatal(err)
	}
	return export(t, src)
}

// claiming makes a target ask a source under a name.
func claiming(tt moving.Target, from installed, place string) moving.Target {
	tt.Claim = func(ctx context.Context, export string) (bool, error) { return from.Claim(ctx, export, place) }
	tt.Settle = func(ctx context.Context, export string) error { return from.Settle(ctx, export, place) }
	return tt
}

// ISS-7: a target that is put back to a state from the middle of its import, weeks after that was done, does not
// complete it once more: what was revoked there since would be good again.
func TestImport_TargetGoesBack(t *testing.T) {
	t.Parallel()
	k := kek(1)
	from := full(t, k, 3)
	src := from.source(k)
	src.Final = true
	file := finally(t, from, src)
	path := filepath.Join(t.TempDir(), "file")
	var snapshot []byte
	run := func(claimed func()) moving.Imported {
		t.Helper()
		db := openFile(t, path)
		defer db.Close()
		tt := moving.Target{Store: db, By: by.Actor, Now: func(context.Context) (time.Time, error) { return at, nil }}
		tt = claiming(tt, from, moving.Place(db.Epoch(), "fake"))
		claim := tt.Claim
		tt.Claim = func(ctx context.Context, export string) (bool, error) {
			claimed()
			return claim(ctx, export)
		}
		done, err := mustCheck(t, file, k).Import(t.Context(), bytes.NewReader(file), tt)
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	if done := run(func() { snapshot = contents(t, path) }); !done.Complete || done.Unsettled != nil {
		t.Fatalf("the first import: %+v", done)
	}
	revokeIn(t, path, from, token.Subject{Kind: token.RevokedJTI, Value: "stolen"})
	if err := os.WriteFile(path, snapshot, 0o600); err != nil {
		t.Fatal(err)
	}
	if done := run(func() {}); done.Complete || done.Unproven != moving.WentBack || done.RevokedBefore.Before(at) {
		t.Errorf("the second import: %+v, want that everything is revoked", done)
	}
}

func openFile(t *testing.T, path string) *boltstore.DB {
	t.Helper()
	db, err := boltstore.OpenDB(boltstore.Config{Path: path, Namespace: "fake", Moving: true, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// revokeIn revokes something in a file.
func revokeIn(t *testing.T, path string, from installed, subject token.Subject) {
	t.Helper()
	db := openFile(t, path)
	defer db.Close()
	s, err := boltstore.New(db, from.env)
	if err != nil {
		t.Fatal(err)
	}
	r := authz.Revocation{Revocation: token.Revocation{Subject: subject, Before: at, Until: at.Add(time.Hour)}, Actor: by.Actor, CreatedAt: at}
	if _, err := s.PutRevocation(t.Context(), r, by.Done(at, "revoke", subject.String())); err != nil {
		t.Fatal(err)
	}
}

// Who cannot tell the source that a complete import is done, says so. It is complete all the same.
func TestImport_Unsettled(t *testing.T) {
	t.Parallel()
	k := kek(1)
	from := full(t, k, 2)
	src := from.source(k)
	src.Final = true
	file := finally(t, from, src)
	tt := claiming(target(newFake()), from, "to")
	tt.Settle = func(context.Context, string) error { return errPulled }
	done, err := mustCheck(t, file, k).Import(t.Context(), bytes.NewReader(file), tt)
	if err != nil || !done.Complete || !errors.Is(done.Unsettled, errPulled) {
		t.Errorf("got %+v, %v", done, err)
	}
	// One that is not complete has nothing to tell.
	tt = claiming(target(newFake()), from, "elsewhere")
	tt.Settle = func(context.Context, string) error { t.Error("settled"); return nil }
	if done, err := mustCheck(t, file, k).Import(t.Context(), bytes.NewReader(file), tt); err != nil || done.Unproven != moving.Claimed || done.Unsettled != nil {
		t.Errorf("got %+v, %v", done, err)
	}
}

// Of two that import one export into one target at once, one does not take what the other has completed for its own: it
// would say that everything is revoked, and nothing is.
func TestImport_TwoIntoOneTarget(t *testing.T) {
	t.Parallel()
	k := kek(1)
	from := full(t, k, 3)
	src := from.source(k)
	src.Final = true
	file := finally(t, from, src)
	c := mustCheck(t, file, k)
	to := newFake()
	away := target(to)
	away.Claim = func(context.Context, string) (bool, error) { return false, errPulled }
	if _, err := c.Import(t.Context(), bytes.NewReader(file), away); !errors.Is(err, errPulled) {
		t.Fatal(err)
	}
	slow, once := target(to), false
	slow.Now = func(context.Context) (time.Time, error) {
		if !once {
			once = true
			if done, err := c.Import(t.Context(), bytes.NewReader(file), claiming(target(to), from, "to")); err != nil || !done.Complete {
				t.Errorf("the fast one: %+v, %v", done, err)
			}
		}
		return at.Add(time.Hour), nil
	}
	if done, err := c.Import(t.Context(), bytes.NewReader(file), slow); !errors.Is(err, store.ErrOccupied) {
		t.Errorf("the slow one: %+v, %v, want ErrOccupied", done, err)
	}
	if _, there := from.all(t, to); there {
		t.Error("everything is revoked")
	}
}

// Namespaces of one file are not one place.
func TestPlace(t *testing.T) {
	t.Parallel()
	path, names := filepath.Join(t.TempDir(), "file"), map[string]string{}
	for _, namespace := range []string{"a", "b"} {
		db, err := boltstore.OpenDB(boltstore.Config{Path: path, Namespace: namespace})
		if err != nil {
			t.Fatal(err)
		}
		name := moving.Place(db.Epoch(), namespace)
		if other, twice := names[name]; twice || len(name) > 64 {
			t.Errorf("%s and %s have the name %q", other, namespace, name)
		}
		names[name] = namespace
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if moving.Place("a", "bc") == moving.Place("ab", "c") {
		t.Error("two places have one name")
	}
}

package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

// MoverFixture is one store that is empty at first.
type MoverFixture struct {
	DB, Peer Moved // two handles on the same data, as two servers, or two imports, would have
	Env      *store.Envelope
	Raw      Raw
}

// Moved is a handle with all that it does.
type Moved struct {
	store.Mover
	keys.Genesis
	store.Store
}

// RunMover tests a driver's store.Mover. open returns a new, empty store that ends with its test; two of them share
// nothing.
func RunMover(t *testing.T, open func(t *testing.T) MoverFixture) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, MoverFixture)
	}{
		{"resumed", moverResumed},
		{"imports at once", moverImportsAtOnce},
		{"unfinished", moverUnfinished},
		{"refused records", moverRefused},
		{"revocations that ended", moverEnded},
		{"completed twice", moverCompletedTwice},
		{"closed", moverClosed},
		{"closed under writes", moverClosedUnderWrites},
		{"race to claim", moverRaceToClaim},
		{"dump", moverDump},
		{"ended context", moverEndedContext},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
	t.Run("everything", func(t *testing.T) { moverEverything(t, open(t), open(t)) })
	t.Run("occupied", func(t *testing.T) { moverOccupied(t, open) })
}

// fillAll writes something of all that can be moved.
func fillAll(t *testing.T, f MoverFixture) {
	t.Helper()
	ctx, s := t.Context(), f.DB.Store
	_, err := f.DB.PutInstallation(ctx, FullInstallation("source"), entry("installation"))
	mustBe(t, err)
	for _, id := range []string{"a", "ü:*", "10", "9"} {
		c := FullClient(t, authz.ClientID(id))
		if id == "a" {
			c.DeletedAt = time.Time{}
		}
		_, err := s.PutClient(ctx, c, entry(id), FullRevocation(revocationOf(id)))
		mustBe(t, err)
		c.Version, c.Name = 1, "second version"
		_, err = s.PutClient(ctx, c, entry(id))
		mustBe(t, err)
		_, err = s.PutResource(ctx, FullResource(t, authz.ResourceID("https://"+id)), entry(id))
		mustBe(t, err)
	}
	_, err = s.PutRing(ctx, FullRing("ES256"), entry("ring"))
	mustBe(t, err)
	forever := FullRevocation(token.Subject{Kind: token.RevokedJTI, Value: "for ever"})
	forever.Until = time.Time{}
	_, err = s.PutRevocation(ctx, forever, entry("for ever"))
	mustBe(t, err)
}

func mustBe(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dumped is everything that a store gives out.
func dumped(t *testing.T, m store.Mover) (all []store.Stored) {
	t.Helper()
	for _, kind := range store.MovedKinds() {
		mustBe(t, m.Dump(t.Context(), kind, func(r store.Stored) error {
			if r.Kind != kind || !r.Ends.IsZero() {
				t.Errorf("Dump of %s gave %s %q, ends %v", kind, r.Kind, r.Key, r.Ends)
			}
			all = append(all, r)
			return nil
		}))
	}
	return all
}

// resealed does what an import does: it authenticates records, and seals them for their new place.
func resealed(t *testing.T, from, to *store.Envelope, all []store.Stored) []store.Stored {
	t.Helper()
	all = slices.Clone(all)
	for i, r := range all {
		if r.Kind == store.KindAudit {
			continue
		}
		version, body, err := from.Open(r.Kind, r.Key, r.Octets)
		mustBe(t, err)
		if r.Kind == store.KindRevocation {
			revocation, err := from.OpenRevocation(r.Key, r.Octets)
			mustBe(t, err)
			all[i].Ends = revocation.Until
		}
		all[i].Octets = to.Seal(r.Kind, r.Key, version, body)
	}
	return all
}

// restoreAll puts records in batches, the last of them by Complete.
func restoreAll(t *testing.T, m store.Mover, export string, all []store.Stored, floor uint64) {
	t.Helper()
	const batch = 7
	done := 0
	for ; len(all)-done > batch; done += batch {
		mustBe(t, m.Restore(t.Context(), export, done, all[done:done+batch]))
	}
	mustBe(t, m.Complete(t.Context(), export, done, all[done:], floor, FullInstallation("target"), entry("import")))
}

// moverEverything: what is moved is there as it was, in each way in which it can be asked for.
func moverEverything(t *testing.T, from, to MoverFixture) {
	fillAll(t, from)
	head, err := to.Peer.Head(t.Context())
	mustBe(t, err)
	floor, err := from.DB.Floor(t.Context())
	mustBe(t, err)
	floor = max(floor, 41)
	all := dumped(t, from.DB)
	restoreAll(t, to.DB, "E1", resealed(t, from.Env, to.Env, all), floor)

	for _, s := range []store.Store{to.DB.Store, to.Peer.Store} {
		wantSame(t, from.DB.Store, s)
		if changes, _, err := s.Changes(t.Context(), head, 100); err != nil || len(changes) != 0 {
			t.Errorf("the feed has %v, %v, want nothing", changes, err)
		}
		was, _, err1 := from.DB.Entries(t.Context(), "", 1000)
		is, _, err2 := s.Entries(t.Context(), "", 1000)
		if d := Diff(unplaced(is), unplaced(append(was, entry("import")))); d != "" || err1 != nil || err2 != nil {
			t.Errorf("audit log: %v, %v (-want +got):\n%s", err1, err2, d)
		}
		if read, found := inspect(t, s); len(found) > 0 || read.Records == 0 {
			t.Errorf("inspection: %+v, %v", read, found)
		}
	}
	in, err := to.Peer.Installation(t.Context())
	if d := Diff(in, FullInstallation("target")); d != "" || err != nil {
		t.Errorf("installation: %v (-want +got):\n%s", err, d)
	}
	// What was made is used as ever, and no version comes back.
	r, err := to.Peer.PutRevocation(t.Context(), FullRevocation(revocationOf("new")), entry("new"))
	if err != nil || r.Version <= floor {
		t.Errorf("a new revocation: version %d, %v, want more than %d", r.Version, err, floor)
	}
	if now, err := to.DB.Floor(t.Context()); err != nil || now < floor {
		t.Errorf("Floor: %d, %v, want %d at least", now, err, floor)
	}
	changes, _, err := to.DB.Changes(t.Context(), head, 100)
	if d := Diff(changes, []store.Change{{Kind: store.KindRevocation, ID: "client:new"}}); d != "" || err != nil {
		t.Errorf("changes: %v (-want +got):\n%s", err, d)
	}
	wantOwner(t, to.DB.Store, "cred-1-a", "a")
	if _, err := to.DB.PutClient(t.Context(), withCredentials("thief", 0, "cred-1-a"), entry("thief")); !errors.Is(err, authz.ErrConflict) {
		t.Errorf("another client took a credential: %v", err)
	}
	// It can be moved on.
	if got := len(dumped(t, to.Peer)); got != len(all)+3 {
		t.Errorf("%d records are given out, want %d, and two entries and a revocation more", got, len(all))
	}
}

// wantSame compares what two stores list.
func wantSame(t *testing.T, a, b store.Store) {
	t.Helper()
	ctx := t.Context()
	for what, list := range map[string]func(s store.Store) (any, error){
		"clients":     func(s store.Store) (any, error) { return s.ListClients(ctx, authz.ClientQuery{Limit: 1000}) },
		"resources":   func(s store.Store) (any, error) { return s.ListResources(ctx, "", 1000) },
		"rings":       func(s store.Store) (any, error) { return s.Rings(ctx) },
		"revocations": func(s store.Store) (any, error) { return s.ListRevocations(ctx, "", 1000) },
		"a deleted client": func(s store.Store) (any, error) {
			return s.Client(ctx, "ü:*")
		},
	} {
		want, err1 := list(a)
		got, err2 := list(b)
		if d := Diff(got, want); d != "" || err1 != nil || err2 != nil {
			t.Errorf("%s: %v, %v (-want +got):\n%s", what, err1, err2, d)
		}
	}
}

// clientsOf are sealed clients, c0 and so on.
func clientsOf(t *testing.T, env *store.Envelope, n int) (all []store.Stored) {
	t.Helper()
	for i := range n {
		c := authz.Client{ID: authz.ClientID(fmt.Sprintf("c%d", i)), Version: 3}
		sealed, err := env.SealClient(c)
		mustBe(t, err)
		all = append(all, store.Stored{Kind: store.KindClient, Key: string(c.ID), Octets: sealed})
	}
	return all
}

// entriesOf are audit entries with numbers from first on.
func entriesOf(t *testing.T, first, n int) (all []store.Stored) {
	t.Helper()
	for i := range n {
		e, err := store.EncodeEntry(entry(fmt.Sprint(first + i)))
		mustBe(t, err)
		all = append(all, store.Stored{Kind: store.KindAudit, Key: strconv.Itoa(first + i), Octets: e})
	}
	return all
}

func wantImported(t *testing.T, m store.Mover, export string, want int) {
	t.Helper()
	if done, err := m.Imported(t.Context(), export); done != want || err != nil {
		t.Errorf("Imported: got %d, %v, want %d", done, err, want)
	}
}

// moverResumed: a batch is put once, whoever repeats it, and whoever comes later knows where to go on.
func moverResumed(t *testing.T, f MoverFixture) {
	ctx := t.Context()
	all := append(clientsOf(t, f.Env, 3), entriesOf(t, 1, 3)...)
	wantImported(t, f.DB, "E1", 0)
	mustBe(t, f.DB.Restore(ctx, "E1", 0, nil)) // nothing is not yet something
	wantImported(t, f.DB, "E2", 0)
	mustBe(t, f.DB.Restore(ctx, "E1", 0, all[:2]))
	wantImported(t, f.Peer, "E1", 2)
	mustBe(t, f.Peer.Restore(ctx, "E1", 2, all[2:4]))
	for i, err := range []error{
		f.DB.Restore(ctx, "E1", 2, all[2:4]),
		f.DB.Restore(ctx, "E1", 0, all[:2]),
		f.DB.Restore(ctx, "E1", 3, all[4:]),
		f.DB.Restore(ctx, "E1", 3, nil),
		f.DB.Restore(ctx, "E1", 5, all[4:]),
		f.DB.Restore(ctx, "E2", 4, all[4:]),
		f.DB.Restore(ctx, "E2", 0, all[4:]),
		f.DB.Complete(ctx, "E1", 2, all[2:], 0, FullInstallation("x"), entry("x")),
		f.DB.Complete(ctx, "E2", 4, all[4:], 0, FullInstallation("x"), entry("x")),
	} {
		if !errors.Is(err, store.ErrOccupied) {
			t.Errorf("case %d: got error %v, want ErrOccupied", i, err)
		}
	}
	if _, err := f.Peer.Imported(ctx, "E2"); !errors.Is(err, store.ErrOccupied) {
		t.Errorf("another import: got error %v, want ErrOccupied", err)
	}
	wantImported(t, f.DB, "E1", 4)
	mustBe(t, f.Peer.Complete(ctx, "E1", 4, all[4:], 0, FullInstallation("x"), entry("end")))
	list, err := f.DB.ListClients(ctx, authz.ClientQuery{Limit: 10})
	if err != nil || len(list) != 3 || list[2].ID != "c2" || list[2].Version != 3 {
		t.Errorf("clients: got %v, %v", list, err)
	}
	wantEntries(t, f.DB, entry("1"), entry("2"), entry("3"), entry("end"))
	for _, m := range []store.Mover{f.DB, f.Peer} {
		for _, export := range []string{"E1", "E2"} {
			if _, err := m.Imported(ctx, export); !errors.Is(err, store.ErrOccupied) {
				t.Errorf("an installation: got error %v, want ErrOccupied", err)
			}
		}
	}
}

// moverImportsAtOnce: several that import the same go on where another one is, and nothing is put twice.
func moverImportsAtOnce(t *testing.T, f MoverFixture) {
	all := append(clientsOf(t, f.Env, 40), entriesOf(t, 1, 25)...)
	var refused [racers]int
	errs := race(Fixture{Store: f.DB.Store, Peer: f.Peer.Store}, func(i int, _ store.Store) error {
		m := f.DB
		if i%2 == 1 {
			m = f.Peer
		}
		ctx, cancel := context.WithTimeout(t.Context(), raceTimeout)
		defer cancel()
		for {
			done, err := m.Imported(ctx, "E1")
			if err != nil {
				return fmt.Errorf("asking how far it is: %w", err)
			}
			if done == len(all) {
				return nil
			}
			err = m.Restore(ctx, "E1", done, all[done:min(done+5, len(all))])
			if errors.Is(err, store.ErrOccupied) {
				refused[i]++
			} else if err != nil {
				return err
			}
		}
	})
	for i, err := range errs {
		if err != nil {
			t.Errorf("racer %d, refused %d times: %v", i, refused[i], err)
		}
	}
	mustBe(t, f.DB.Complete(t.Context(), "E1", len(all), nil, 0, FullInstallation("x"), entry("end")))
	entries, _, err := f.DB.Entries(t.Context(), "", 100)
	if err != nil || len(entries) != 26 || entries[24].Target != "25" {
		t.Errorf("got %d audit entries, %v, want 26", len(entries), err)
	}
	if _, found := inspect(t, f.Peer.Store); len(found) > 0 {
		t.Errorf("inspection: %v", found)
	}
}

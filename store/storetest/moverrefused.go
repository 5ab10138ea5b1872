package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store"
)

// moverOccupied: nothing is imported into what holds anything.
func moverOccupied(t *testing.T, open func(t *testing.T) MoverFixture) {
	for name, put := range map[string]func(f MoverFixture) error{
		"installation": func(f MoverFixture) error {
			_, err := f.DB.PutInstallation(t.Context(), FullInstallation("x"), entry("x"))
			return err
		},
		"client": func(f MoverFixture) error {
			_, err := f.DB.PutClient(t.Context(), withCredentials("a", 0), entry("x"))
			return err
		},
		"revocation": func(f MoverFixture) error {
			_, err := f.DB.PutRevocation(t.Context(), FullRevocation(revocationOf("a")), entry("x"))
			return err
		},
		"closed": func(f MoverFixture) error { return f.DB.CloseFor(t.Context(), "E1") },
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			mustBe(t, put(f))
			before := dumped(t, f.DB)
			all := clientsOf(t, f.Env, 2)
			for _, m := range []store.Mover{f.DB, f.Peer} {
				_, err := m.Imported(t.Context(), "E1")
				for i, err := range []error{
					err, m.Restore(t.Context(), "E1", 0, all),
					m.Complete(t.Context(), "E1", 0, all, 0, FullInstallation("y"), entry("y")),
					m.Complete(t.Context(), "E1", 0, nil, 0, FullInstallation("y"), entry("y")),
				} {
					if !errors.Is(err, store.ErrOccupied) {
						t.Errorf("case %d: got error %v, want ErrOccupied", i, err)
					}
				}
			}
			if d := Diff(dumped(t, f.DB), before); d != "" {
				t.Errorf("something was written (-want +got):\n%s", d)
			}
		})
	}
}

// moverRefused: a batch with one record that cannot be put is refused whole.
func moverRefused(t *testing.T, f MoverFixture) {
	ctx := t.Context()
	all := append(clientsOf(t, f.Env, 3), entriesOf(t, 1, 4)...)
	ending := store.Stored{Kind: store.KindRevocation, Key: "jti:x", Octets: f.Env.Seal(store.KindRevocation, "jti:x", 1e15, []byte(`{}`))}
	for i, batch := range [][]store.Stored{
		{all[0], all[0]},
		{all[0], {Kind: store.KindInstallation, Key: "x", Octets: all[0].Octets}},
		{all[0], {Kind: store.KindClient, Key: "", Octets: all[0].Octets}},
		{all[0], {Kind: store.KindClient, Key: "x", Octets: all[0].Octets[:30]}},
		{all[0], {Kind: store.KindClient, Key: "x", Octets: all[0].Octets, Ends: at}},
		{all[0], ending},
		{all[0], all[4]}, // not number 1
		{all[0], all[3], all[5]},
	} {
		if err := f.DB.Restore(ctx, "E1", 0, batch); err == nil {
			t.Errorf("case %d was taken", i)
		}
	}
	if err := f.DB.Restore(ctx, "a.b", 0, all[:1]); err == nil {
		t.Error("an identifier with a dot was taken")
	}
	wantImported(t, f.Peer, "E1", 0)
	mustBe(t, f.DB.Restore(ctx, "E1", 0, []store.Stored{all[0], all[3]}))
	for i, batch := range [][]store.Stored{
		{all[1], all[0]},         // there already
		{all[1], all[3]},         // there already
		{all[1], all[5]},         // 2 is missing
		{all[1], all[4], all[6]}, // 3 is missing
	} {
		if err := f.DB.Restore(ctx, "E1", 2, batch); err == nil {
			t.Errorf("later case %d was taken", i)
		}
	}
	newer := FullInstallation("x")
	newer.Format++
	for i, err := range []error{
		f.DB.Complete(ctx, "E1", 2, all[1:2], 1e15, FullInstallation("x"), entry("x")),
		f.DB.Complete(ctx, "E1", 2, all[1:2], 0, FullInstallation("x"), audit.Entry{}),
		f.DB.Complete(ctx, "E1", 2, all[1:2], 0, newer, entry("x")),
		f.DB.Complete(ctx, "E1", 2, all[:1], 0, FullInstallation("x"), entry("x")),
	} {
		if err == nil {
			t.Errorf("Complete, case %d was taken", i)
		}
	}
	wantImported(t, f.Peer, "E1", 2)
	mustBe(t, f.DB.Complete(ctx, "E1", 2, []store.Stored{all[4], all[1]}, 0, FullInstallation("x"), entry("end")))
	wantEntries(t, f.DB, entry("1"), entry("2"), entry("end"))
	if _, err := f.DB.Client(ctx, "c2"); !errors.Is(err, authz.ErrNotFound) {
		t.Errorf("what was refused is there: %v", err)
	}
}

// moverEnded: a revocation that a driver would have removed by now is not put, and its version does not come back.
func moverEnded(t *testing.T, f MoverFixture) {
	now := time.Now().UTC().Truncate(time.Second)
	sealed := func(jti string, version uint64, until time.Time) store.Stored {
		r := authz.Revocation{Revocation: token.Revocation{Subject: token.Subject{Kind: token.RevokedJTI, Value: jti}, Until: until}, Version: version}
		octets, err := f.Env.SealRevocation(r)
		mustBe(t, err)
		return store.Stored{Kind: store.KindRevocation, Key: r.Subject.String(), Octets: octets, Ends: until}
	}
	mustBe(t, f.DB.Restore(t.Context(), "E1", 0, []store.Stored{
		sealed("long ago", 70, now.Add(-2*time.Hour)),
		sealed("a while ago", 5, now.Add(-30*time.Minute)),
		sealed("later", 6, now.Add(time.Hour)),
		sealed("very long ago", 1, time.Unix(-1000, 0)),
	}))
	wantImported(t, f.DB, "E1", 4)
	mustBe(t, f.DB.Complete(t.Context(), "E1", 4, []store.Stored{sealed("never", 7, time.Time{})}, 12, FullInstallation("x"), entry("end")))
	list, err := f.Peer.ListRevocations(t.Context(), "", 10)
	var got []string
	for _, r := range list {
		got = append(got, r.Subject.Value)
	}
	if d := Diff(got, []string{"a while ago", "later", "never"}); d != "" || err != nil {
		t.Errorf("revocations: %v (-want +got):\n%s", err, d)
	}
	if _, found := inspect(t, f.DB.Store); len(found) > 0 {
		t.Errorf("inspection: %v", found)
	}
	r, err := f.DB.PutRevocation(t.Context(), authz.Revocation{Revocation: token.Revocation{Subject: token.Subject{Kind: token.RevokedJTI, Value: "long ago"}}}, entry("again"))
	if err != nil || r.Version <= 70 {
		t.Errorf("made again: version %d, %v, want more than 70", r.Version, err)
	}
}

// moverCompletedTwice: who got no answer asks again, and it was done once; another one is told that it was not his.
func moverCompletedTwice(t *testing.T, f MoverFixture) {
	ctx, all := t.Context(), append(clientsOf(t, f.Env, 3), entriesOf(t, 1, 1)...)
	mustBe(t, f.DB.Restore(ctx, "E1", 0, all[:2]))
	in := FullInstallation("x")
	mustBe(t, f.DB.Complete(ctx, "E1", 2, all[2:], 0, in, entry("end")))
	mustBe(t, f.Peer.Complete(ctx, "E1", 2, all[2:], 0, in, entry("end")))
	other := Rewrapped(in, "kek-2")
	if err := f.Peer.Complete(ctx, "E1", 2, all[2:], 0, other, entry("end")); !errors.Is(err, store.ErrOccupied) {
		t.Errorf("another record: got error %v, want ErrOccupied", err)
	}
	if err := f.Peer.Complete(ctx, "E1", 2, all[2:], 0, in, entry("end of another")); !errors.Is(err, store.ErrOccupied) {
		t.Errorf("another one that imports the same: got error %v, want ErrOccupied", err)
	}
	got, err := f.DB.Installation(ctx)
	if d := Diff(got, in); d != "" || err != nil {
		t.Errorf("installation: %v (-want +got):\n%s", err, d)
	}
	wantEntries(t, f.DB, entry("1"), entry("end"))
}

// moverUnfinished: what is half imported is used by nobody.
func moverUnfinished(t *testing.T, f MoverFixture) {
	ctx := t.Context()
	head, err := f.DB.Head(ctx)
	mustBe(t, err)
	all := append(clientsOf(t, f.Env, 3), entriesOf(t, 1, 1)...)
	mustBe(t, f.DB.Restore(ctx, "E1", 0, all[:2]))
	for _, h := range []Moved{f.DB, f.Peer} {
		wantAll(t, h, head, store.ErrUnfinished)
		_, err := h.Installation(ctx)
		_, floorErr := h.Floor(ctx)
		for i, err := range []error{
			err, floorErr, h.CloseFor(ctx, "E2"), h.Reopen(ctx),
			h.Dump(ctx, store.KindClient, func(store.Stored) error { return nil }),
			h.Dump(ctx, store.KindInstallation, func(store.Stored) error { return nil }),
		} {
			if !errors.Is(err, store.ErrUnfinished) {
				t.Errorf("case %d: got error %v, want ErrUnfinished", i, err)
			}
		}
		if first, err := h.Claim(ctx, "E1", "new"); first || !errors.Is(err, store.ErrNotClosed) {
			t.Errorf("Claim: got %v, %v, want ErrNotClosed", first, err)
		}
	}
	mustBe(t, f.Peer.Complete(ctx, "E1", 2, all[2:], 0, FullInstallation("x"), entry("end")))
	for _, h := range []Moved{f.DB, f.Peer} {
		if _, err := h.Client(ctx, "c2"); err != nil {
			t.Errorf("after that: %v", err)
		}
		if _, err := h.Installation(ctx); err != nil {
			t.Errorf("after that: %v", err)
		}
	}
	wantEntries(t, f.DB, entry("1"), entry("end"))
}

// wantAll calls everything that is not a Mover's, and wants it to fail in that way.
func wantAll(t *testing.T, h Moved, head store.Cursor, want error) {
	t.Helper()
	ctx := t.Context()
	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, want) || isAnswer(err) || errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: got error %v, want %v", what, err, want)
		}
	}
	for _, s := range subjects() {
		_, putErr := s.put(ctx, h.Store, "new", 0, "m", entry("new"))
		_, _, getErr := s.get(ctx, h.Store, "c0")
		check("put "+string(s.kind), putErr)
		check("get "+string(s.kind), getErr)
		check("list "+string(s.kind), s.list(ctx, h.Store))
	}
	_, err := h.ClientOf(ctx, "k")
	check("ClientOf", err)
	_, err = h.ClientVersion(ctx, "c0")
	check("ClientVersion", err)
	_, err = h.Head(ctx)
	check("Head", err)
	_, _, err = h.Changes(ctx, head, 10)
	check("Changes", err)
	_, _, err = h.Entries(ctx, "", 10)
	check("Entries", err)
	_, _, err = h.Latest(ctx, "", 10)
	check("Latest", err)
	_, err = h.Inspect(ctx, func(err error) { t.Errorf("Inspect tells of %v", err) })
	check("Inspect", err)
	_, err = h.PutInstallation(ctx, FullInstallation("new"), entry("new"))
	check("PutInstallation", err)
	check("ReplaceInstallation", h.ReplaceInstallation(ctx, FullInstallation("source"), Rewrapped(FullInstallation("source"), "kek-2"), entry("new")))
	if w, ok := h.Store.(store.Waiter); ok {
		check("Wait", w.Wait(ctx, head))
	}
	if c, ok := h.Store.(store.Clock); ok {
		_, err := c.Clock(ctx)
		check("Clock", err)
	}
}

package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
)

// moverClosed: a namespace that was closed is given out, and used by nobody, until it is opened again; one that was
// claimed stays closed.
func moverClosed(t *testing.T, f MoverFixture) {
	ctx := t.Context()
	fillAll(t, f)
	head, err := f.DB.Head(ctx)
	mustBe(t, err)
	without := len(dumped(t, f.DB))
	mustBe(t, f.DB.Note(ctx, entry("an export")))
	before := dumped(t, f.Peer)
	if len(before) != without+1 || !slices.ContainsFunc(before, func(s store.Stored) bool {
		return s.Kind == store.KindAudit && strings.Contains(string(s.Octets), "an export")
	}) {
		t.Errorf("%d records, and with a note %d", without, len(before))
	}
	in, err := f.DB.Installation(ctx)
	mustBe(t, err)
	closed := func() {
		t.Helper()
		for _, h := range []Moved{f.DB, f.Peer} {
			wantAll(t, h, head, store.ErrClosed)
			if err := h.Note(ctx, entry("late")); !errors.Is(err, store.ErrClosed) {
				t.Errorf("a note of a closed namespace: got error %v, want ErrClosed", err)
			}
			if d := Diff(dumped(t, h), before); d != "" {
				t.Errorf("what is given out (-want +got):\n%s", d)
			}
			if _, err := h.Floor(ctx); err != nil {
				t.Errorf("Floor: %v", err)
			}
			got, err := h.Installation(ctx)
			if d := Diff(got, in); d != "" || err != nil {
				t.Errorf("installation: %v (-want +got):\n%s", err, d)
			}
		}
	}
	claim := func(h Moved, export, by string, want bool, wantErr error) {
		t.Helper()
		if first, err := h.Claim(ctx, export, by); first != want || !errors.Is(err, wantErr) {
			t.Errorf("claimed for %s by %s: got %v, %v, want %v, %v", export, by, first, err, want, wantErr)
		}
	}
	mustBe(t, f.Peer.Reopen(ctx)) // it is open
	claim(f.DB, "E1", "new", false, store.ErrNotClosed)
	mustBe(t, f.DB.CloseFor(ctx, "E1"))
	closed()
	mustBe(t, f.Peer.Reopen(ctx))
	for _, h := range []Moved{f.DB, f.Peer} {
		if _, err := h.Client(ctx, "a"); err != nil {
			t.Errorf("opened again: %v", err)
		}
	}
	claim(f.DB, "E1", "new", false, store.ErrNotClosed)
	mustBe(t, f.Peer.CloseFor(ctx, "E2"))
	mustBe(t, f.DB.CloseFor(ctx, "E3"))
	claim(f.DB, "E2", "new", false, store.ErrNotClosed)
	if err := f.Peer.Settle(ctx, "E3", "new"); !errors.Is(err, store.ErrNotClosed) {
		t.Errorf("settled before it was claimed: got error %v, want ErrNotClosed", err)
	}
	if err := f.DB.CloseFor(ctx, "not a name"); err == nil || errors.Is(err, store.ErrClosed) {
		t.Errorf("closed for what is no identifier: %v", err)
	}
	claim(f.Peer, "E3", "new", true, nil)
	claim(f.DB, "E3", "new", true, nil)
	claim(f.DB, "E3", "newer", false, nil)
	claim(f.DB, "E1", "new", false, store.ErrNotClosed)
	moved := func() {
		t.Helper()
		for i, err := range []error{f.DB.Reopen(ctx), f.Peer.Reopen(ctx), f.DB.CloseFor(ctx, "E3"), f.Peer.CloseFor(ctx, "E4")} {
			if !errors.Is(err, store.ErrMoved) {
				t.Errorf("case %d: got error %v, want ErrMoved", i, err)
			}
		}
		for _, h := range []Moved{f.DB, f.Peer} {
			wantAll(t, h, head, store.ErrMoved)
		}
		closed()
	}
	moved()
	settle := func(h Moved, export, by string, want error) {
		t.Helper()
		if err := h.Settle(ctx, export, by); !errors.Is(err, want) {
			t.Errorf("settled for %s by %s: got error %v, want %v", export, by, err, want)
		}
	}
	settle(f.DB, "E3", "newer", store.ErrNotClosed)
	settle(f.DB, "E1", "new", store.ErrNotClosed)
	claim(f.Peer, "E3", "new", true, nil)
	settle(f.DB, "E3", "new", nil)
	settle(f.Peer, "E3", "new", nil) // its answer was lost
	claim(f.DB, "E3", "new", false, store.ErrSettled)
	claim(f.Peer, "E3", "newer", false, nil)
	claim(f.DB, "E1", "new", false, store.ErrNotClosed)
	moved()
}

// moverClosedUnderWrites: what was acknowledged before a store was closed is given out, and after that nothing is
// acknowledged.
func moverClosedUnderWrites(t *testing.T, f MoverFixture) {
	ctx, cancel := context.WithTimeout(t.Context(), raceTimeout)
	defer cancel()
	_, err := f.DB.PutInstallation(ctx, FullInstallation("source"), entry("installation"))
	mustBe(t, err)
	acknowledged := make([][]string, racers)
	begun := make(chan struct{}, racers)
	var writers sync.WaitGroup
	for i := range racers {
		h := f.DB
		if i%2 == 1 {
			h = f.Peer
		}
		writers.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%d-%d", i, n)
				_, err := h.PutClient(ctx, authz.Client{ID: authz.ClientID(id)}, entry(id), FullRevocation(revocationOf(id)))
				if err != nil {
					if !errors.Is(err, store.ErrClosed) {
						t.Errorf("a write: got error %v, want ErrClosed", err)
					}
					return
				}
				if acknowledged[i] = append(acknowledged[i], id); n == 0 {
					begun <- struct{}{}
				}
			}
		})
	}
	for range racers / 2 {
		<-begun
	}
	mustBe(t, f.Peer.CloseFor(ctx, "E1"))
	there := map[store.Kind][]string{}
	for _, r := range dumped(t, f.DB) {
		there[r.Kind] = append(there[r.Kind], r.Key)
	}
	writers.Wait()
	all := slices.Sorted(slices.Values(slices.Concat(acknowledged...)))
	slices.Sort(there[store.KindClient])
	if d := Diff(there[store.KindClient], all); d != "" {
		t.Errorf("clients (-acknowledged +given out):\n%s", d)
	}
	if n := len(all); len(there[store.KindRevocation]) != n || len(there[store.KindAudit]) != n+1 {
		t.Errorf("given out: %d revocations and %d audit entries, want %d and %d", len(there[store.KindRevocation]), len(there[store.KindAudit]), n, n+1)
	}
}

// moverRaceToClaim: of several that take over one export, one is the first.
func moverRaceToClaim(t *testing.T, f MoverFixture) {
	mustBe(t, f.DB.CloseFor(t.Context(), "E1"))
	var first [racers]bool
	for i, err := range race(Fixture{Store: f.DB.Store, Peer: f.Peer.Store}, func(i int, _ store.Store) (err error) {
		h := f.DB
		if i%2 == 1 {
			h = f.Peer
		}
		first[i], err = h.Claim(t.Context(), "E1", fmt.Sprint("by-", i))
		return err
	}) {
		if err != nil {
			t.Errorf("racer %d: %v", i, err)
		}
	}
	n := 0
	for i, won := range first {
		again, err := f.Peer.Claim(t.Context(), "E1", fmt.Sprint("by-", i))
		if again != won || err != nil {
			t.Errorf("racer %d asks again: got %v, %v, want %v", i, again, err, won)
		}
		if won {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d were the first, want 1", n)
	}
}

// moverDump: what is given out is the caller's own, an error of his ends it, and nothing is not an error.
func moverDump(t *testing.T, f MoverFixture) {
	ctx := t.Context()
	for _, kind := range append(store.MovedKinds(), store.KindInstallation) {
		mustBe(t, f.DB.Dump(ctx, kind, func(r store.Stored) error { return fmt.Errorf("there is %s %q", kind, r.Key) }))
	}
	if err := f.DB.Dump(ctx, "epoch", func(store.Stored) error { return nil }); err == nil {
		t.Error("a kind that is none was given out")
	}
	fillAll(t, f)
	stop := errors.New("stop")
	for _, kind := range append(store.MovedKinds(), store.KindInstallation) {
		n := 0
		if err := f.Peer.Dump(ctx, kind, func(r store.Stored) error {
			n++
			if kind != store.KindAudit { // which Raw does not reach
				key := r.Key
				if kind == store.KindInstallation {
					key = ""
				}
				if d := Diff(r.Octets, f.Raw.Get(t, kind, key)); d != "" {
					t.Errorf("%s %q (-want +got):\n%s", kind, r.Key, d)
				}
			}
			clear(r.Octets)
			if _, err := f.DB.Installation(ctx); err != nil {
				t.Errorf("fn uses the store: %v", err)
			}
			return stop
		}); !errors.Is(err, stop) || n != 1 {
			t.Errorf("%s: called %d times, got error %v, want %v", kind, n, err, stop)
		}
	}
	last := ""
	n := 0
	mustBe(t, f.DB.Dump(ctx, store.KindAudit, func(r store.Stored) error {
		n++
		last = r.Key
		if r.Key != fmt.Sprint(n) {
			t.Errorf("entry %d is given out as %s", n, r.Key)
		}
		_, err := store.DecodeEntry(r.Key, r.Octets)
		return err
	}))
	if entries, _, err := f.DB.Entries(ctx, "", 1000); err != nil || fmt.Sprint(len(entries)) != last || len(entries) < 10 {
		t.Errorf("the last entry is %s of %d, %v", last, len(entries), err)
	}
	// A record that is damaged is not passed over: who can authenticate it is to say so.
	f.Raw.Put(t, store.KindClient, "a", []byte("damaged"))
	found := false
	err := f.DB.Dump(ctx, store.KindClient, func(r store.Stored) error {
		found = found || r.Key == "a" && string(r.Octets) == "damaged"
		return nil
	})
	if !found && !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a damaged record was passed over: %v", err)
	}
}

func moverEndedContext(t *testing.T, f MoverFixture) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err1 := f.DB.Floor(ctx)
	_, err2 := f.DB.Claim(ctx, "E1", "new")
	_, err3 := f.DB.Imported(ctx, "E1")
	for i, err := range []error{
		err1, err2, err3,
		f.DB.Dump(ctx, store.KindClient, func(store.Stored) error { return nil }),
		f.DB.Note(ctx, entry("x")),
		f.DB.CloseFor(ctx, "E1"),
		f.DB.Reopen(ctx),
		f.DB.Settle(ctx, "E1", "new"),
		f.DB.Restore(ctx, "E1", 0, clientsOf(t, f.Env, 1)),
		f.DB.Complete(ctx, "E1", 0, nil, 0, FullInstallation("x"), entry("x")),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("case %d: got error %v, want context.Canceled", i, err)
		}
	}
	wantImported(t, f.Peer, "E1", 0)
}

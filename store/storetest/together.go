package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
)

// holder is a kind of record that is stored together with revocations.
type holder struct {
	kind store.Kind
	put  func(ctx context.Context, s store.Store, version uint64, revoked ...authz.Revocation) error
	read func(ctx context.Context, s store.Store) (version uint64, err error)
}

func holders() []holder {
	return []holder{
		{
			store.KindClient,
			func(ctx context.Context, s store.Store, version uint64, revoked ...authz.Revocation) error {
				_, err := s.PutClient(ctx, withCredentials("held", version, "k-held"), entry("held"), revoked...)
				return err
			},
			func(ctx context.Context, s store.Store) (uint64, error) {
				c, err := s.Client(ctx, "held")
				return c.Version, err
			},
		},
		{
			store.KindResource,
			func(ctx context.Context, s store.Store, version uint64, revoked ...authz.Revocation) error {
				r := authz.Resource{ID: "held", Algorithm: jose.ES256, TokenLifetime: time.Minute, Version: version}
				_, err := s.PutResource(ctx, r, entry("held"), revoked...)
				return err
			},
			func(ctx context.Context, s store.Store) (uint64, error) {
				r, err := s.Resource(ctx, "held")
				return r.Version, err
			},
		},
	}
}

// together: a record and its revocations are one commit, with a Change each and one audit entry.
func together(t *testing.T, f Fixture) {
	for _, h := range holders() {
		first, second := FullRevocation(revocationOf("t1-"+string(h.kind))), FullRevocation(revocationOf("t2-"+string(h.kind)))
		head := mustHead(t, f.Store)
		_, before := everything(t, f.Store, head)
		if err := h.put(t.Context(), f.Store, 0, first, second); err != nil {
			t.Fatalf("%s: %v", h.kind, err)
		}
		changes, after := everything(t, f.Peer, head)
		want := []store.Change{{Kind: h.kind, ID: "held"}, {Kind: store.KindRevocation, ID: first.Subject.String()}, {Kind: store.KindRevocation, ID: second.Subject.String()}}
		for _, c := range want {
			if !slices.Contains(changes, c) {
				t.Errorf("%s: the feed misses %v", h.kind, c)
			}
		}
		if len(changes) != len(want) || len(after) != len(before)+1 {
			t.Errorf("%s: got %d changes and %d audit entries, want %d and 1", h.kind, len(changes), len(after)-len(before), len(want))
		}
		for _, want := range []authz.Revocation{first, second} {
			got := revocationOfSubject(t, f.Peer, want.Subject)
			if got.Version == 0 {
				t.Errorf("%s: %s is not revoked", h.kind, want.Subject)
			}
			want.Version = got.Version
			if d := Diff(got, want); d != "" {
				t.Errorf("%s (-want +got):\n%s", h.kind, d)
			}
		}
	}
}

// allOrNothing: whichever of the versions differs, and whatever else is wrong with one of them, nothing
// of the commit is stored: neither a client that is disabled while its tokens are good, nor tokens that
// are void for no reason.
func allOrNothing(t *testing.T, f Fixture) {
	there := mustRevoke(t, f.Store, FullRevocation(revocationOf("there")))
	damaged := mustRevoke(t, f.Store, FullRevocation(revocationOf("damaged")))
	f.Raw.Put(t, store.KindRevocation, damaged.Subject.String(), []byte{store.Format, 0, 0})
	fresh := FullRevocation(revocationOf("fresh"))
	change := func(spoil func(r *authz.Revocation)) authz.Revocation {
		r := there
		r.Reason = "another"
		spoil(&r)
		return r
	}
	stale := change(func(r *authz.Revocation) { r.Version = 0 })
	ahead := change(func(r *authz.Revocation) { r.Version++ })
	gone := change(func(r *authz.Revocation) { r.Subject = revocationOf("never was") })
	fraction := change(func(r *authz.Revocation) { r.Until = at.Add(1) })
	invalid := change(func(r *authz.Revocation) { r.Subject, r.Version = token.Subject{Kind: "user", Value: "x"}, 0 })
	good := change(func(*authz.Revocation) {})
	for _, h := range holders() {
		if err := h.put(t.Context(), f.Store, 0); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name    string
			version uint64
			revoked []authz.Revocation
			want    error // nil: a plain error
		}{
			{"the record is newer", 0, []authz.Revocation{fresh, good}, authz.ErrConflict},
			{"the record is older", 2, []authz.Revocation{fresh, good}, authz.ErrConflict},
			{"one revocation exists", 1, []authz.Revocation{fresh, stale}, authz.ErrConflict},
			{"one revocation exists, first", 1, []authz.Revocation{stale, fresh}, authz.ErrConflict},
			{"one revocation is older", 1, []authz.Revocation{fresh, ahead}, authz.ErrConflict},
			{"one revocation does not exist", 1, []authz.Revocation{fresh, gone}, authz.ErrConflict},
			{"one cannot be stored", 1, []authz.Revocation{fresh, fraction}, nil},
			{"one is of nothing", 1, []authz.Revocation{fresh, invalid}, nil},
			{"two of one subject", 1, []authz.Revocation{fresh, good, good}, nil},
			{"two new ones of one subject", 1, []authz.Revocation{good, fresh, fresh}, nil},
			{"one is damaged", 1, []authz.Revocation{fresh, good, damaged}, store.ErrDamaged},
		} {
			name := string(h.kind) + ", " + c.name
			unrecorded(t, f.Store, func() {
				err := h.put(t.Context(), f.Store, c.version, c.revoked...)
				if c.want != nil && !errors.Is(err, c.want) || c.want == nil && (err == nil || isAnswer(err)) {
					t.Errorf("%s: got error %v, want %v", name, err, c.want)
				}
			})
			if v, err := h.read(t.Context(), f.Peer); err != nil || v != 1 {
				t.Errorf("%s: the record has version %d, %v", name, v, err)
			}
			if d := Diff(revocationOfSubject(t, f.Peer, there.Subject), there); d != "" {
				t.Errorf("%s: a revocation was changed (-want +got):\n%s", name, d)
			}
			if got := revocationOfSubject(t, f.Peer, fresh.Subject); got.Version != 0 {
				t.Errorf("%s: a revocation was made", name)
			}
		}
	}
	// A client that takes another one's credential revokes nothing.
	unrecorded(t, f.Store, func() {
		_, err := f.Store.PutClient(t.Context(), withCredentials("thief", 0, "k-held"), entry("thief"), fresh)
		if !errors.Is(err, authz.ErrConflict) {
			t.Errorf("credential of another: got error %v, want ErrConflict", err)
		}
	})
	if got := revocationOfSubject(t, f.Peer, fresh.Subject); got.Version != 0 {
		t.Error("credential of another: a revocation was made")
	}
}

// raceTogether: who disables a client and who revokes its tokens want the same revocation. One of them
// wins, and nothing of the others is stored.
func raceTogether(t *testing.T, f Fixture) {
	for round := range 4 {
		r := FullRevocation(revocationOf(fmt.Sprint("round-", round)))
		name := func(i int) authz.ClientID { return authz.ClientID(fmt.Sprintf("c-%d-%d", round, i)) }
		winner := oneWinner(t, race(f, func(i int, s store.Store) error {
			mine := r
			mine.Reason = fmt.Sprint(i)
			if i%3 == 0 {
				_, err := s.PutRevocation(t.Context(), mine, entry("r"))
				return err
			}
			_, err := s.PutClient(t.Context(), authz.Client{ID: name(i)}, entry("c"), mine)
			return err
		}), authz.ErrConflict)
		if got := revocationOfSubject(t, f.Store, r.Subject); got.Reason != fmt.Sprint(winner) {
			t.Errorf("round %d: %d won, and %s is stored", round, winner, got.Reason)
		}
		for i := range racers {
			_, err := f.Peer.Client(t.Context(), name(i))
			if there := err == nil; there != (i == winner && i%3 != 0) {
				t.Errorf("round %d: %d won, and client %d: %v", round, winner, i, err)
			}
		}
	}
}

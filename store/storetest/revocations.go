package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store"
)

// everySubject returns one subject of each kind.
func everySubject() []token.Subject {
	return []token.Subject{
		{Kind: token.RevokedJTI, Value: "a:b/é?"},
		{Kind: token.RevokedClient, Value: "acme"},
		{Kind: token.RevokedCredential, Value: "acme"},
		{Kind: token.RevokedKey, Value: "acme"},
		{Kind: token.RevokedResource, Value: "https://r.example/p?q=1"},
		{Kind: token.RevokedAll},
	}
}

func mustRevoke(t *testing.T, s store.Store, r authz.Revocation) authz.Revocation {
	t.Helper()
	stored, err := s.PutRevocation(t.Context(), r, entry(r.Subject.String()))
	if err != nil {
		t.Fatalf("PutRevocation %s: %v", r.Subject, err)
	}
	return stored
}

// revocationOfSubject reads one revocation, which is the zero one if there is none.
func revocationOfSubject(t *testing.T, s store.Store, subject token.Subject) authz.Revocation {
	t.Helper()
	found, err := s.Revocations(t.Context(), []token.Subject{subject})
	if err != nil || len(found) > 1 {
		t.Fatalf("Revocations %s: got %v, %v", subject, found, err)
	}
	if len(found) == 0 {
		return authz.Revocation{}
	}
	return found[0]
}

func revocationRoundTrip(t *testing.T, f Fixture) {
	var want []authz.Revocation
	for _, subject := range everySubject() {
		openEnded := authz.Revocation{Revocation: token.Revocation{Subject: subject}}
		for i, r := range []authz.Revocation{FullRevocation(subject), openEnded, FullRevocation(subject)} {
			r.Version = revocationOfSubject(t, f.Store, subject).Version
			put := mustRevoke(t, f.Store, r) // in place of the one before
			if put.Version <= r.Version {
				t.Errorf("%s: version %d after %d", subject, put.Version, r.Version)
			}
			r.Version = put.Version
			if d := Diff(put, r); d != "" {
				t.Errorf("PutRevocation returned something else (-want +got):\n%s", d)
			}
			if d := Diff(revocationOfSubject(t, f.Peer, subject), r); d != "" {
				t.Errorf("Revocations (-want +got):\n%s", d)
			}
			if i == 2 {
				want = append(want, r)
			}
		}
	}
	got, err := f.Peer.Revocations(t.Context(), everySubject())
	if err != nil {
		t.Fatalf("Revocations: %v", err)
	}
	bySubject := func(a, b authz.Revocation) int { return strings.Compare(a.Subject.String(), b.Subject.String()) }
	slices.SortFunc(got, bySubject)
	slices.SortFunc(want, bySubject)
	if d := Diff(got, want); d != "" {
		t.Errorf("Revocations of all subjects (-want +got):\n%s", d)
	}
	listed, err := f.Peer.ListRevocations(t.Context(), "", 100)
	if err != nil {
		t.Fatalf("ListRevocations: %v", err)
	}
	if d := Diff(listed, want); d != "" {
		t.Errorf("ListRevocations (-want +got):\n%s", d)
	}
}

// revocationQuestions: only who asks a proper question learns that nothing is revoked.
func revocationQuestions(t *testing.T, f Fixture) {
	mustRevoke(t, f.Store, FullRevocation(revocationOf("a")))
	for _, none := range [][]token.Subject{nil, {}, {revocationOf("b")}, {{Kind: token.RevokedJTI, Value: "a"}, {Kind: token.RevokedAll}}, {revocationOf(strings.Repeat("x", 1<<16))}, {revocationOf("\xff")}} {
		if got, err := f.Store.Revocations(t.Context(), none); err != nil || len(got) != 0 {
			t.Errorf("%.40q: got %v, %v, want none", none, got, err)
		}
	}
	for _, bad := range []token.Subject{{}, {Kind: token.RevokedClient}, {Kind: "user", Value: "a"}, {Kind: "Client", Value: "a"}, {Kind: token.RevokedAll, Value: "a"}, {Kind: "client:a", Value: ""}} {
		if got, err := f.Store.Revocations(t.Context(), []token.Subject{revocationOf("a"), bad}); err == nil || isAnswer(err) {
			t.Errorf("%q: got %v, %v, want a plain error", bad, got, err)
		}
		unrecorded(t, f.Store, func() {
			r := authz.Revocation{Revocation: token.Revocation{Subject: bad}}
			if _, err := f.Store.PutRevocation(t.Context(), r, entry("x")); err == nil || isAnswer(err) {
				t.Errorf("PutRevocation %q: got error %v, want a plain one", bad, err)
			}
		})
	}
}

// revocationTimes: a time that would not read back as it is, is refused.
func revocationTimes(t *testing.T, f Fixture) {
	for name, spoil := range map[string]func(*authz.Revocation){
		"since":      func(r *authz.Revocation) { r.Since = at.Add(time.Nanosecond) },
		"before":     func(r *authz.Revocation) { r.Before = at.Add(time.Millisecond) },
		"until":      func(r *authz.Revocation) { r.Until = at.Add(time.Second / 2) },
		"year 10000": func(r *authz.Revocation) { r.Until = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"reason":     func(r *authz.Revocation) { r.Reason = "\xff" },
		"client":     func(r *authz.Revocation) { r.Client = "\xff" },
	} {
		r := FullRevocation(revocationOf("a"))
		spoil(&r)
		unrecorded(t, f.Store, func() {
			if _, err := f.Store.PutRevocation(t.Context(), r, entry("x")); err == nil || isAnswer(err) {
				t.Errorf("%s: got error %v, want a plain one", name, err)
			}
		})
	}
	r := FullRevocation(revocationOf("a"))
	r.Since = r.Since.In(time.FixedZone("", 5400)) // another place, the same instant
	if got := mustRevoke(t, f.Store, r); !got.Since.Equal(r.Since) || got.Since.Location() != time.UTC {
		t.Errorf("got %v, want %v in UTC", got.Since, r.Since)
	}
}

// oneDamagedRevocation: a question that touches a damaged revocation has no answer, whatever else it
// touches. "Not revoked" would let a withdrawn token through.
func oneDamagedRevocation(t *testing.T, f Fixture) {
	for _, subject := range everySubject() {
		mustRevoke(t, f.Store, FullRevocation(subject))
	}
	absent := token.Subject{Kind: token.RevokedJTI, Value: "absent"}
	for _, bad := range everySubject() {
		key := bad.String()
		genuine := f.Raw.Get(t, store.KindRevocation, key)
		for what, raw := range map[string][]byte{
			"empty": {}, "cut off": genuine[:len(genuine)-1], "not ours": []byte("\x02x"),
			"another's": f.Raw.Get(t, store.KindRevocation, everySubject()[0].String()),
		} {
			if string(raw) == string(genuine) {
				continue
			}
			f.Raw.Put(t, store.KindRevocation, key, raw)
			for _, asked := range [][]token.Subject{{bad}, {absent, bad}, {bad, absent}, everySubject()} {
				_, err := f.Peer.Revocations(t.Context(), asked)
				wantFault(t, what+": Revocations", err, store.ErrDamaged, store.KindRevocation, key)
			}
			_, err := f.Store.ListRevocations(t.Context(), "", 100)
			wantFault(t, what+": ListRevocations", err, store.ErrDamaged, store.KindRevocation, key)
			others := slices.DeleteFunc(everySubject(), func(s token.Subject) bool { return s == bad })
			if got, err := f.Store.Revocations(t.Context(), others); err != nil || len(got) != len(others) {
				t.Errorf("%s: of the others got %d, %v", what, len(got), err)
			}
		}
		f.Raw.Put(t, store.KindRevocation, key, genuine)
	}
}

func listRevocations(t *testing.T, f Fixture) {
	var want []string
	for i := range 9 {
		for _, s := range []token.Subject{{Kind: token.RevokedJTI, Value: fmt.Sprintf("%d:é", i)}, revocationOf(fmt.Sprint(i))} {
			mustRevoke(t, f.Store, FullRevocation(s))
			want = append(want, s.String())
		}
	}
	slices.Sort(want) // bytewise
	for _, limit := range []int{1, 2, 7, len(want), len(want) + 1} {
		var got []string
		after := ""
		for {
			page, err := f.Peer.ListRevocations(t.Context(), after, limit)
			if err != nil {
				t.Fatalf("ListRevocations: %v", err)
			}
			for _, r := range page {
				got = append(got, r.Subject.String())
			}
			if len(page) > limit {
				t.Fatalf("ListRevocations: got %d, limit %d", len(page), limit)
			}
			if len(page) < limit {
				break
			}
			after = got[len(got)-1]
		}
		if d := Diff(got, want); d != "" {
			t.Errorf("limit %d (-want +got):\n%s", limit, d)
		}
	}
}

// endedRevocations: one that has ended may have gone, but it is there whole or not at all, its version
// never comes back, and who finds it gone can revoke anew.
func endedRevocations(t *testing.T, f Fixture) {
	subject := revocationOf("a")
	var newest uint64
	for i := range 6 {
		r := FullRevocation(subject)
		r.Until = time.Unix(1_000_000_000, 0) // years before any driver's clock
		r.Reason = fmt.Sprint(i)
		r.Version = revocationOfSubject(t, f.Peer, subject).Version
		put := mustRevoke(t, f.Store, r)
		if put.Version <= newest {
			t.Errorf("version %d comes again, after %d", put.Version, newest)
		}
		newest = put.Version
		mustPut(t, f, subjects()[0], fmt.Sprint(i), 0, "m") // any write may remove it
		listed, err := f.Peer.ListRevocations(t.Context(), "", 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range append(listed, revocationOfSubject(t, f.Store, subject)) {
			if got.Version == 0 {
				continue // gone
			}
			if d := Diff(got, put); d != "" {
				t.Errorf("an ended revocation changed (-want +got):\n%s", d)
			}
		}
	}
	// One without end, and one that ends later, are never removed.
	open, later := FullRevocation(revocationOf("open")), FullRevocation(revocationOf("later"))
	open.Until = time.Time{}
	mustRevoke(t, f.Store, open)
	mustRevoke(t, f.Store, later)
	for i := range 40 {
		mustPut(t, f, subjects()[0], fmt.Sprint("x", i), 0, "m")
	}
	if got, err := f.Peer.Revocations(t.Context(), []token.Subject{open.Subject, later.Subject}); err != nil || len(got) != 2 {
		t.Errorf("live revocations: got %v, %v", got, err)
	}
}

// revocationsAtOneInstant: whoever reads several revocations sees the state after some commit, never
// half of one.
func revocationsAtOneInstant(t *testing.T, f Fixture) {
	const last = 30
	ctx, cancel := context.WithTimeout(t.Context(), raceTimeout)
	defer cancel()
	asked := []token.Subject{revocationOf("a"), {Kind: token.RevokedCredential, Value: "k"}, {Kind: token.RevokedAll}}
	write := func(s store.Store, n int) error {
		var revoked []authz.Revocation
		for _, subject := range asked {
			r := FullRevocation(subject)
			r.Reason, r.Version = fmt.Sprint(n), uint64(n)
			revoked = append(revoked, r)
		}
		_, err := s.PutClient(ctx, authz.Client{ID: "a", Version: uint64(n)}, entry("a"), revoked...)
		return err
	}
	if err := write(f.Store, 0); err != nil {
		t.Fatal(err)
	}
	for i, err := range race(f, func(i int, s store.Store) error {
		if i == 0 {
			for n := 1; n <= last; n++ {
				if err := write(s, n); err != nil {
					cancel()
					return err
				}
			}
			return nil
		}
		for seen := ""; seen != fmt.Sprint(last); {
			got, err := s.Revocations(ctx, asked)
			if err != nil {
				return err
			}
			if len(got) != len(asked) {
				return fmt.Errorf("got %d revocations, want %d", len(got), len(asked))
			}
			for _, r := range got {
				if r.Reason != got[0].Reason {
					return fmt.Errorf("writes %s and %s in one answer", got[0].Reason, r.Reason)
				}
			}
			seen = got[0].Reason
		}
		return nil
	}) {
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("racer %d: %v", i, err)
		}
	}
}

package authz

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// withdrawn reports what the one decision says of a token, over the store and over the index: they must
// agree, as everything that was acknowledged is applied.
func (w *world) withdrawn(t testing.TB, c token.Claims) bool {
	t.Helper()
	const kid = "key"
	stored, err := w.Revocations(t.Context(), token.Subjects(&c, kid))
	if err != nil {
		t.Fatal(err)
	}
	var found token.Found
	for _, r := range stored {
		found = append(found, r.Revocation)
	}
	_, byStore := token.Void(&c, kid, found)
	_, byIndex := token.Void(&c, kid, w.index)
	if byStore != byIndex {
		t.Errorf("%s: void %t says the store, %t the index", c.JTI, byStore, byIndex)
	}
	return byStore
}

// tokenAt is a token of a client for the API, dated as issuing dates it.
func tokenAt(client ClientID, at time.Time) token.Claims {
	return token.Claims{
		JTI: "t-" + string(client) + at.Format("150405"), ClientID: string(client), CredentialID: "c-" + string(client),
		Audience: []string{api}, IssuedAt: at.Truncate(time.Second),
	}
}

func jtiSubject(jti string) token.Subject {
	return token.Subject{Kind: token.RevokedJTI, Value: jti}
}

// revokeToken revokes a single token of a client for an hour.
func (w *world) revokeToken(t testing.TB, jti string, client ClientID) (Revocation, bool) {
	t.Helper()
	r, changed, err := w.revoker.Revoke(t.Context(), admin, token.Revocation{Subject: jtiSubject(jti), Until: w.now().Add(time.Hour)}, client)
	if err != nil {
		t.Fatal(err)
	}
	return r, changed
}

func TestNewRevoker_NamesWhatIsMissing(t *testing.T) {
	_, err := NewRevoker(RevokerConfig{})
	for _, field := range []string{"Records", "Index", "Applied", "PerClient", "Now"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestRVK14_ARevocationIsKeptAsLongAsATokenCouldBeUsed(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	whole := w.now().Truncate(time.Second).Add(time.Second) // now is no whole second: rounded up

	r, err := w.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: clientSubject("acme")})
	if err != nil || !r.Before.Equal(whole) || !r.Until.Equal(whole.Add(65*time.Minute)) {
		t.Errorf("before %v until %v, %v", r.Before, r.Until, err)
	}
	until := w.now().Add(7 * time.Minute).Truncate(time.Second)
	r, changed, err := w.revoker.Revoke(t.Context(), admin, token.Revocation{Subject: jtiSubject("a"), Until: until}, "acme")
	if err != nil || !changed || !r.Until.Equal(until) {
		t.Errorf("a token that expires: %t, until %v, %v", changed, r.Until, err)
	}
	if r, err = w.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: jtiSubject("b")}); err != nil || !r.Until.Equal(whole.Add(65*time.Minute)) {
		t.Errorf("a token of which nothing is known: until %v, %v", r.Until, err)
	}

	// Today's settings have no say in it.
	if _, err := w.registry.UpdateResource(t.Context(), admin, api, Match{Any: true}, ResourceSpec{Scopes: []string{"orders:read orders:write"}, TokenLifetime: time.Second}, false); err != nil {
		t.Fatal(err)
	}
	w.advance(64 * time.Minute)
	old := tokenAt("acme", whole)
	if !w.withdrawn(t, old) {
		t.Error("forgotten while a token could be verified")
	}
	w.advance(time.Minute + time.Second)
	w.revokeToken(t, "another", "other") // a driver may forget with any write
	w.index.Sweep(w.now())
	if n := w.index.Len(); n != 1 {
		t.Errorf("%d are remembered, want 1", n)
	}
	if list, err := w.registry.ListRevocations(t.Context(), "", 100); err != nil || len(list) != 1 {
		t.Errorf("%d are listed, %v", len(list), err)
	}
}

func TestRVK14_WhatMayBeForgottenIsNotStored(t *testing.T) {
	w := newWorld(t, nil)
	for _, until := range []time.Time{w.now().Truncate(time.Second), w.now().Add(-time.Second)} {
		r, changed, err := w.revoker.Revoke(t.Context(), admin, token.Revocation{Subject: jtiSubject("a"), Until: until}, "acme")
		if err != nil || changed || r.Version != 0 {
			t.Errorf("changed %t, version %d, %v", changed, r.Version, err)
		}
	}
	if len(w.entries) != 0 || len(w.revocations) != 0 {
		t.Errorf("%d entries, %d revocations", len(w.entries), len(w.revocations))
	}
	r, changed, err := w.revoker.Revoke(t.Context(), admin, token.Revocation{Subject: jtiSubject("a"), Until: w.now().Add(time.Nanosecond)}, "")
	if err != nil || !changed || !r.Until.Equal(roundedUp(w.now())) {
		t.Errorf("a part of a second is kept as a whole one: %v, %t, %v", r.Until, changed, err)
	}
	if _, _, err := w.revoker.Revoke(t.Context(), admin, token.Revocation{}, ""); err == nil {
		t.Error("a revocation of nothing was stored")
	}
}

func TestRevoker_ARevocationIsNeverMadeWeaker(t *testing.T) {
	w := newWorld(t, nil)
	subject := credentialSubject("c")
	now := w.now().Truncate(time.Second)
	revoke := func(r token.Revocation) (Revocation, bool) {
		r.Subject = subject
		got, changed, err := w.revoker.Revoke(t.Context(), admin, r, "")
		if err != nil {
			t.Fatal(err)
		}
		return got, changed
	}
	strong, changed := revoke(token.Revocation{Since: now.Add(-time.Minute)}) // open-ended
	if !changed || strong.Version != 1 {
		t.Fatalf("%+v, %t", strong, changed)
	}
	if got, changed := revoke(issuedUntil(subject, now)); !changed || !got.Since.IsZero() || !got.Before.IsZero() || !got.Until.IsZero() {
		t.Errorf("merged %+v, %t", got, changed)
	}
	if got, changed := revoke(issuedUntil(subject, now.Add(-time.Hour))); changed || got.Version != 2 {
		t.Errorf("covered already: %+v, %t", got, changed)
	}
	if n := len(w.entries); n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
}

// What one client can make the server remember is bounded, and what goes beyond harms that client alone.
func TestRevoker_TooManyTokensBecomeTheClient(t *testing.T) {
	w := newWorld(t, nil)
	w.revoker.config.PerClient = 3
	issued := tokenAt("acme", w.now())
	for _, jti := range []string{"a", "b", "c"} {
		if r, changed := w.revokeToken(t, jti, "acme"); !changed || r.Kind != token.RevokedJTI || r.Client != "acme" {
			t.Errorf("%s: %+v", jti, r)
		}
	}
	if r, changed := w.revokeToken(t, "a", "acme"); changed || r.Kind != token.RevokedJTI {
		t.Errorf("a repeat at the cap: %+v", r)
	}
	if w.withdrawn(t, issued) {
		t.Error("too early")
	}
	r, changed := w.revokeToken(t, "d", "acme")
	if !changed || r.Subject != clientSubject("acme") || r.Before.Before(w.now()) {
		t.Errorf("the fourth: %+v", r)
	}
	if !w.withdrawn(t, issued) || w.withdrawn(t, tokenAt("other", w.now())) {
		t.Error("not this client, or not it alone")
	}
	last := w.entries[len(w.entries)-1]
	if last.Target != "client:acme" || !strings.Contains(last.Reason, "jti:d") || !strings.HasPrefix(last.Reason, admin.Reason) {
		t.Errorf("entry %+v", last)
	}
	if r, _ := w.revokeToken(t, "e", "other"); r.Kind != token.RevokedJTI {
		t.Errorf("another client: %+v", r)
	}
	for i := range 5 { // nobody's tokens are not capped: only an operator names them
		if r, _ := w.revokeToken(t, fmt.Sprint("x", i), ""); r.Kind != token.RevokedJTI {
			t.Errorf("of no client: %+v", r)
		}
	}
	w.advance(time.Hour + time.Second)
	w.index.Sweep(w.now())
	if r, _ := w.revokeToken(t, "f", "acme"); r.Kind != token.RevokedJTI {
		t.Errorf("once the others have expired: %+v", r)
	}
}

func TestRevoker_ParallelRevocationsDoNotExceedTheCap(t *testing.T) {
	w := newWorld(t, nil)
	w.revoker.config.PerClient = 10
	var wg sync.WaitGroup
	var arrived atomic.Int64
	all := make(chan struct{})
	w.onCall(func(op string) error { // nothing is stored until all of them have counted what is stored
		if op == "revoke" {
			if arrived.Add(1) == 40 {
				close(all)
			}
			<-all
		}
		return nil
	})
	for i := range 40 {
		wg.Go(func() { w.revokeToken(t, fmt.Sprint("t", i), "acme") })
	}
	wg.Wait()
	if n := w.index.Tokens("acme"); n != 10 {
		t.Errorf("%d single tokens", n)
	}
	if len(w.revoker.taken) != 0 {
		t.Errorf("places are still held: %v", w.revoker.taken)
	}
	if _, ok := w.index.Revocation(clientSubject("acme")); !ok {
		t.Error("the client is not revoked")
	}
}

func TestRevoker_ParallelRevocationsOfOneTokenAreOneChange(t *testing.T) {
	w := newWorld(t, nil)
	var wg sync.WaitGroup
	var changes atomic.Int64
	for range 50 {
		wg.Go(func() {
			if _, changed := w.revokeToken(t, "a", "acme"); changed {
				changes.Add(1)
			}
		})
	}
	wg.Wait()
	if changes.Load() != 1 || len(w.entries) != 1 {
		t.Errorf("%d changes, %d entries", changes.Load(), len(w.entries))
	}
}

// What was acknowledged is in the index when the call returns, whoever else writes meanwhile, and stays.
func TestRevoker_TheIndexNeverShowsLessThanWasAcknowledged(t *testing.T) {
	w := newWorld(t, nil)
	var wg sync.WaitGroup
	subjects := []token.Subject{clientSubject("a"), clientSubject("b"), {Kind: token.RevokedAll}, resourceSubject(api)}
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				s := subjects[(g+i)%len(subjects)]
				r, _, err := w.revoker.store(t.Context(), admin, withdrawal{Revocation: issuedUntil(s, w.now().Truncate(time.Second).Add(time.Duration(i)*time.Second))})
				if err != nil && !errors.Is(err, ErrConflict) { // a loser is told, and repeats
					t.Error(err)
				}
				if held, ok := w.index.Revocation(s); err == nil && (!ok || held.Before.Before(r.Before)) {
					t.Errorf("%s: the index has %v, acknowledged was %v", s, held.Before, r.Before)
				}
			}
		})
	}
	wg.Wait()
}

func TestRevoker_ARaceWithExpiry(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := w.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: token.Subject{Kind: token.RevokedAll}}); err != nil {
		t.Fatal(err)
	}
	w.advance(2 * time.Hour)
	var once sync.Once
	w.onCall(func(op string) error {
		if op == "revoke" { // between read and write, another write lets the old one be forgotten
			once.Do(func() { w.mu.Lock(); w.forget(); w.mu.Unlock() })
		}
		return nil
	})
	r, err := w.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: token.Subject{Kind: token.RevokedAll}})
	if err != nil || r.Before.Before(w.now()) {
		t.Errorf("%+v, %v", r, err)
	}
	if !w.withdrawn(t, tokenAt("acme", w.now())) {
		t.Error("not withdrawn")
	}
}

func TestRevoker_NotAppliedIsNotAcknowledged(t *testing.T) {
	w := newWorld(t, nil)
	w.applied = errDown
	r := token.Revocation{Subject: jtiSubject("a"), Until: w.now().Add(time.Hour)}
	for range 2 {
		if got, changed, err := w.revoker.Revoke(t.Context(), admin, r, "acme"); !errors.Is(err, errDown) || changed || got.Version != 0 {
			t.Errorf("%+v, %t, %v", got, changed, err)
		}
	}
	w.applied = nil
	if _, changed, err := w.revoker.Revoke(t.Context(), admin, r, "acme"); err != nil || changed {
		t.Errorf("repeated: changed %t, %v", changed, err)
	}
	if _, ok := w.index.Revocation(r.Subject); !ok || len(w.entries) != 1 {
		t.Errorf("not applied, or %d entries", len(w.entries))
	}
}

func TestRevoker_AFaultIsNotAcknowledged(t *testing.T) {
	for _, op := range []string{"revocations", "revoke", "stored"} {
		t.Run(op, func(t *testing.T) {
			w := newWorld(t, nil)
			w.onCall(func(called string) error {
				if called == op {
					return errDown
				}
				return nil
			})
			r := token.Revocation{Subject: jtiSubject("a"), Until: w.now().Add(time.Hour)}
			if _, _, err := w.revoker.Revoke(t.Context(), admin, r, "acme"); !errors.Is(err, errDown) {
				t.Error(err)
			}
			if n := len(w.revocations); n != len(w.entries) || (op == "stored") != (n == 1) {
				t.Errorf("%d revocations, %d entries", n, len(w.entries))
			}
			w.onCall(nil)
			if _, changed, err := w.revoker.Revoke(t.Context(), admin, r, "acme"); err != nil || changed != (op != "stored") {
				t.Errorf("repeated: changed %t, %v", changed, err)
			}
			if len(w.entries) != 1 || len(w.revoker.taken) != 0 {
				t.Errorf("%d entries, %d places held", len(w.entries), len(w.revoker.taken))
			}
		})
	}
}

func TestRevoker_LostEveryRace(t *testing.T) {
	w := newWorld(t, nil)
	w.onCall(func(op string) error {
		if op == "revoke" {
			return ErrConflict
		}
		return nil
	})
	_, _, err := w.revoker.Revoke(t.Context(), admin, token.Revocation{Subject: jtiSubject("a"), Until: w.now().Add(time.Hour)}, "")
	if !errors.Is(err, ErrConflict) {
		t.Error(err)
	}
}

// A token that was dated ahead of the clock, to come after one revocation, is covered by the next.
func TestRevoker_TokensDatedAheadAreCovered(t *testing.T) {
	w := newWorld(t, nil)
	now := func() time.Time {
		t.Helper()
		until, err := w.revoker.now()
		if err != nil {
			t.Error(err)
		}
		return until
	}
	first := now()
	ahead := first.Add(time.Second)
	w.revoker.Dated(ahead)
	w.revoker.Dated(ahead.Add(-time.Hour)) // does not take it back
	if got := now(); !got.Equal(ahead) {
		t.Errorf("now is %v, want %v", got, ahead)
	}
	w.advance(5 * time.Second)
	if got := now(); !got.Equal(roundedUp(w.now())) {
		t.Errorf("later: %v", got)
	}
	w.revoker.Dated(w.now().Add(token.MaxLeeway)) // the clock was ahead for a moment
	if got := now(); !got.Equal(w.now().Add(token.MaxLeeway).Truncate(time.Second)) {
		t.Errorf("after the clock was set back: %v", got)
	}
	w.revoker.Dated(w.now().Add(time.Hour))
	_, err := w.revoker.now()
	wantUnavailable(t, err, CauseClockBehind)
}

func TestRoundedUp(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 5, 0, time.FixedZone("x", 3600))
	for offset, want := range map[time.Duration]time.Duration{0: 0, 1: time.Second, time.Second - 1: time.Second, time.Second: time.Second} {
		if got := roundedUp(at.Add(offset)); !got.Equal(at.Add(want)) || got.Location() != time.UTC {
			t.Errorf("%v: %v", offset, got)
		}
	}
}

func TestRVK20_EVT12_TheAuditEntryOfARevocation(t *testing.T) {
	w := newWorld(t, nil)
	by := audit.Origin{Actor: audit.Actor{Kind: audit.ActorClient, ID: "acme"}, Reason: "lost", RequestID: "r9"}
	revoke := func(jti string, until time.Duration) audit.Entry {
		t.Helper()
		r := token.Revocation{Subject: jtiSubject(jti), Until: time.Date(2026, 11, 21, 13, 0, 0, 0, time.UTC).Add(until)}
		if _, _, err := w.revoker.Revoke(context.Background(), by, r, "acme"); err != nil {
			t.Fatal(err)
		}
		return w.entries[len(w.entries)-1]
	}
	e := revoke("a", 0)
	if e.Origin != by || e.Action != "revocation.create" || e.Target != "jti:a" || e.Result != audit.ResultDone || e.Before != nil ||
		string(e.After) != `{"client_id":"acme","kind":"jti","until":"2026-11-21T13:00:00Z","value":"a"}` {
		t.Errorf("entry %+v\nafter %s", e, e.After)
	}
	e = revoke("a", time.Minute)
	if string(e.Before) != `{"until":"2026-11-21T13:00:00Z"}` || string(e.After) != `{"until":"2026-11-21T13:01:00Z"}` {
		t.Errorf("before %s after %s", e.Before, e.After)
	}
	stored := w.revocations[jtiSubject("a")]
	if stored.Actor != by.Actor || stored.Reason != "lost" || stored.CreatedAt.IsZero() || stored.Version != 2 {
		t.Errorf("stored %+v", stored)
	}
}

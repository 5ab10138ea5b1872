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
	"github.com/marque-auth/marque/keys/jose"
)

func TestRVK03_RVK11_EveryOwnTokenCanBeRevoked(t *testing.T) {
	s := newScene(t, nil)
	for _, alg := range []jose.Algorithm{jose.ES384, jose.RS256, jose.PS256, jose.Ed25519} {
		s.addKey(t, alg)
	}
	c, secret := s.client(t, ClientSpec{ID: "all"})
	p := party{c.ID, secret}
	for _, alg := range []string{"ES256", "ES384", "RS256", "PS256", "EdDSA"} {
		for _, typ := range []string{token.TypeAccessToken, token.TypeJWT} {
			id := "https://" + strings.ToLower(alg+typ[:2]) + ".example"
			s.resource(t, ResourceSpec{ID: id, Algorithm: alg, TokenType: typ})
			mustDo(t)(s.registry.UpdateClient(t.Context(), admin, p.id, Match{Any: true}, ClientSpec{Name: "All", Resources: []string{id}}, false))
			compact, other := s.issue(t, p, "").AccessToken, s.issue(t, p, "").AccessToken
			s.wantActive(t, p, compact)
			got := s.withdraw(t, p, compact)
			if !got.Changed || got.Collapsed || got.Client != p.id || got.JTI != claims(t, compact)["jti"] {
				t.Errorf("%+v", got)
			}
			s.wantInactive(t, p, compact, CauseTokenRevoked)
			s.wantActive(t, p, other)
		}
	}
	if _, err := s.server.Token(t.Context(), request(p.id, p.secret)); err != nil { // nothing else happened to the client
		t.Error(err)
	}
}

func TestRVK05_WhatIsNoLiveTokenIsDone(t *testing.T) {
	s := newScene(t, nil)
	expired := s.issue(t, s.partner, "").AccessToken
	s.advance(DefaultTokenLifetime)
	s.server.ConfirmedAt(s.now())
	twice := s.issue(t, s.partner, "").AccessToken
	if got := s.withdraw(t, s.partner, twice); !got.Changed {
		t.Errorf("%+v", got)
	}
	stored, acts := s.live(), len(s.journal())
	for name, compact := range map[string]string{"random": encode("random"), "expired": expired, "twice": twice} {
		if got := s.withdraw(t, s.partner, compact); got.Changed || got.Collapsed || got.Client != s.partner.id {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// RVK-14: an expired token, or one that is void already, adds nothing.
	if s.live() != stored || len(s.journal()) != acts {
		t.Errorf("%d revocations, %d acts", s.live(), len(s.journal()))
	}
}

// What withdraws a token already, whatever it is, leaves nothing to store.
func TestRVK05_RVK14_AVoidTokenAddsNoRecord(t *testing.T) {
	s := newScene(t, nil)
	compact := s.issue(t, s.partner, "").AccessToken
	mustDo(t)(s.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: token.Subject{Kind: token.RevokedAll}}))
	stored := s.live()
	if got := s.withdraw(t, s.partner, compact); got.Changed || got.JTI == "" {
		t.Errorf("%+v", got)
	}
	r, err := s.server.RevokeToken(t.Context(), admin, compact)
	if err != nil || r.Kind != token.RevokedAll || r.Version == 0 || r.Actor != admin.Actor {
		t.Errorf("%+v, %v", r, err)
	}
	if s.live() != stored {
		t.Errorf("%d revocations, want %d", s.live(), stored)
	}
}

func TestRVK06_FiftyAtOnceAreOneChange(t *testing.T) {
	s := newScene(t, nil)
	compact, other := s.issue(t, s.partner, "").AccessToken, s.issue(t, s.partner, "").AccessToken
	same := twin(t, compact)
	acts := len(s.journal())
	var changed, failed atomic.Int64
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range 50 {
		all.Go(func() {
			<-start
			one := compact
			if i%2 == 0 { // the same token, in other words
				one = same
			}
			got, err := s.server.Revoke(t.Context(), RevokeRequest{Token: one, Client: presented(s.partner.id, s.partner.secret)})
			if err != nil {
				failed.Add(1)
			} else if got.Changed {
				changed.Add(1)
			}
		})
	}
	close(start)
	all.Wait()
	if failed.Load() != 0 || changed.Load() != 1 || s.live() != 1 || len(s.journal()) != acts+1 {
		t.Errorf("%d failed, %d changed, %d revocations, %d acts", failed.Load(), changed.Load(), s.live(), len(s.journal())-acts)
	}
	s.wantInactive(t, s.first, compact, CauseTokenRevoked)
	s.wantActive(t, s.first, other)
}

func TestRVK07_OnlyTheClientThatItWasIssuedTo(t *testing.T) {
	s := newScene(t, nil)
	compact := s.issue(t, s.partner, "").AccessToken
	for _, p := range []party{s.rival, s.first, s.boss(t)} { // not its API either, nor an administrator's client
		_, err := s.server.Revoke(t.Context(), RevokeRequest{Token: compact, Client: presented(p.id, p.secret)})
		wantError(t, err, InvalidGrant, CauseTokenOfAnotherClient)
		if e := err.(*Error); e.Client != p.id || strings.Contains(e.Description+e.Error(), "acme") {
			t.Errorf("%+v", e)
		}
	}
	s.wantActive(t, s.first, compact)
	if s.live() != 0 {
		t.Error("something was withdrawn")
	}
	// Whether it is withdrawn is not the caller's to know: the answer stays the same.
	s.withdraw(t, s.partner, compact)
	reads := s.calls.Load()
	_, err := s.server.Revoke(t.Context(), RevokeRequest{Token: compact, Client: presented(s.rival.id, s.rival.secret)})
	wantError(t, err, InvalidGrant, CauseTokenOfAnotherClient)
	if got := s.calls.Load() - reads; got > 3 { // its record, for the first time
		t.Errorf("%d reads", got)
	}
}

// TKE-64: a client has one rate, for the tokens that it asks for and those that it revokes: of each that is
// revoked something stays.
func TestTKE64_RevocationsTakeFromTheClientsRate(t *testing.T) {
	s := newScene(t, func(c *Config) { c.ClientRate = 3 })
	var compact []string
	for range 2 {
		compact = append(compact, s.issue(t, s.partner, "").AccessToken)
	}
	s.withdraw(t, s.partner, compact[0])
	acts := len(s.journal())
	for _, token := range []string{compact[1], encode("random")} {
		_, err := s.server.Revoke(t.Context(), RevokeRequest{Token: token, Client: presented(s.partner.id, s.partner.secret)})
		var throttled *ThrottledError
		if !errors.As(err, &throttled) || throttled.Cause != CauseRateLimited || throttled.Client != s.partner.id || throttled.RetryAfter <= 0 {
			t.Errorf("%v", err)
		}
	}
	if s.live() != 1 || len(s.journal()) != acts {
		t.Error("something was withdrawn")
	}
	s.withdraw(t, s.rival, encode("random")) // somebody else
	if _, err := s.server.RevokeToken(t.Context(), admin, compact[1]); err != nil {
		t.Errorf("an administrator: %v", err)
	}
	s.advance(time.Second)
	s.withdraw(t, s.partner, compact[1])
}

func TestRVK08_RVK09_ForgedAndForeignTokensChangeNothing(t *testing.T) {
	s := newScene(t, nil)
	compact := s.issue(t, s.partner, "").AccessToken
	all := s.forgeries(t, compact)
	for name, kind := range s.otherKinds(t, compact) {
		all[name] = kind
	}
	acts := len(s.journal())
	for name, forged := range all {
		for _, p := range []party{s.partner, s.rival} {
			got, err := s.server.Revoke(t.Context(), RevokeRequest{Token: forged, Client: presented(p.id, p.secret)})
			if err != nil || got.Changed || got.Client != p.id {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		if _, err := s.server.RevokeToken(t.Context(), admin, forged); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: an administrator: %v", name, err)
		}
	}
	s.wantActive(t, s.first, compact)
	if s.live() != 0 || len(s.journal()) != acts {
		t.Errorf("%d revocations, %d acts", s.live(), len(s.journal())-acts)
	}
}

// Another server on the same store knows at once, whatever its memory holds.
func TestRVK12_AnotherServerKnowsAtOnce(t *testing.T) {
	s := newScene(t, nil)
	index := token.NewIndex()
	another, err := NewServer(Config{
		Issuer: testIssuer, Pepper: [32]byte{1}, Clients: s.memory, Resources: s.memory, Keys: s.keys,
		PublicKey: s.keys.public, Revocations: s.memory, Index: index, Revoker: s.revoker,
		ClientCache: 100, StoreOutage: DefaultStoreOutage, SigningQueue: 10, Now: s.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	another.ConfirmedAt(s.now())
	compact := s.issue(t, s.partner, "").AccessToken
	for _, want := range []bool{true, false} {
		got, err := another.Introspect(t.Context(), IntrospectRequest{Token: compact, Client: presented(s.first.id, s.first.secret)})
		if err != nil || got.Active != want {
			t.Errorf("active %t, want %t; %v", got.Active, want, err)
		}
		s.withdraw(t, s.partner, compact)
	}
	if index.Len() != 0 {
		t.Error("it was told")
	}
}

// Nothing is called done that is not: not stored, perhaps stored, stored and not applied here.
func TestRVK13_DoneMeansDurableAndApplied(t *testing.T) {
	for name, breaks := range map[string]func(*scene){
		"nothing can be read": func(s *scene) { s.fail(errDown) },
		"nothing can be written": func(s *scene) {
			s.onCall(failing("revoke"))
		},
		"the answer is lost": func(s *scene) { s.onCall(failing("stored")) },
		"not applied here":   func(s *scene) { s.applied = errDown },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, nil)
			compact, second := s.issue(t, s.partner, "").AccessToken, s.issue(t, s.partner, "").AccessToken
			breaks(s)
			_, err := s.server.Revoke(t.Context(), RevokeRequest{Token: compact, Client: presented(s.partner.id, s.partner.secret)})
			wantUnavailable(t, err, CauseStoreUnavailable)
			_, err = s.server.RevokeToken(t.Context(), admin, second)
			wantUnavailable(t, err, CauseStoreUnavailable)
			s.fail(nil)
			s.onCall(nil)
			s.applied = nil
			s.withdraw(t, s.partner, compact)
			s.wantInactive(t, s.first, compact, CauseTokenRevoked)
			if _, void := s.index.Revocation(token.Subject{Kind: token.RevokedJTI, Value: claims(t, compact)["jti"].(string)}); !void {
				t.Error("acknowledged, and not applied here")
			}
		})
	}
	s := newScene(t, nil)
	compact := s.issue(t, s.partner, "").AccessToken
	ctx, cancel := context.WithCancel(t.Context())
	s.onCall(func(op string) error {
		if op == "revoke" {
			cancel()
			return ctx.Err()
		}
		return nil
	})
	if _, err := s.server.Revoke(ctx, RevokeRequest{Token: compact, Client: presented(s.partner.id, s.partner.secret)}); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that went away: %v", err)
	}
}

func failing(op string) func(string) error {
	return func(asked string) error {
		if asked == op {
			return errDown
		}
		return nil
	}
}

func TestRVK14_HowLongARecordIsKept(t *testing.T) {
	s := newScene(t, nil)
	mustDo(t)(s.registry.UpdateResource(t.Context(), admin, api, Match{Any: true}, ResourceSpec{Scopes: []string{"orders:read orders:write"}, TokenLifetime: time.Hour}, false))
	single, other := s.issue(t, s.partner, "").AccessToken, s.issue(t, s.partner, "").AccessToken
	expiry := time.Unix(int64(claims(t, single)["exp"].(float64)), 0)
	s.withdraw(t, s.partner, single)
	stored := s.only(t)
	if !stored.Until.Equal(expiry.Add(5*time.Minute)) || stored.Kind != token.RevokedJTI {
		t.Errorf("kept until %v, want five minutes after %v", stored.Until, expiry)
	}
	mustDo(t)(s.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: clientSubject("acme")}))
	// A lifetime that is shortened afterwards drops nothing early.
	mustDo(t)(s.registry.UpdateResource(t.Context(), admin, api, Match{Any: true}, ResourceSpec{Scopes: []string{"orders:read orders:write"}, TokenLifetime: time.Second}, false))
	for s.now().Before(expiry.Add(-time.Minute)) {
		s.advance(time.Minute)
		s.server.ConfirmedAt(s.now())
		s.index.Sweep(s.now())
		s.touch(t)
		for _, compact := range []string{single, other} {
			s.wantInactive(t, s.first, compact, CauseTokenRevoked)
		}
	}
	s.advance(token.RevocationKept)
	s.server.ConfirmedAt(s.now())
	s.touch(t)
	s.index.Sweep(s.now())
	if s.live() != 0 || s.index.Len() != 0 {
		t.Errorf("%d stored, %d in memory, long after", s.live(), s.index.Len())
	}
}

// touch writes something, with which a store may forget what it need not keep.
func (s *scene) touch(t testing.TB) {
	t.Helper()
	_, err := s.registry.UpdateClient(t.Context(), admin, s.second.id, Match{Any: true}, ClientSpec{Name: fmt.Sprint(s.now().Unix()), Serves: []string{otherAPI}}, false)
	if err != nil {
		t.Fatal(err)
	}
}

// only returns the one stored revocation.
func (w *world) only(t testing.TB) Revocation {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.revocations) != 1 {
		t.Fatalf("%d revocations", len(w.revocations))
	}
	for _, r := range w.revocations {
		return r
	}
	panic("unreachable")
}

func TestRVK18_ABadClientRevokesNothing(t *testing.T) {
	s := newScene(t, nil)
	compact := s.issue(t, s.rival, "").AccessToken
	s.issue(t, s.partner, "")
	mustDo(t)(s.registry.SetClientDisabled(t.Context(), admin, s.partner.id, true))
	_, err := s.server.Revoke(t.Context(), RevokeRequest{Token: compact, Client: presented(s.partner.id, s.partner.secret)})
	wantError(t, err, InvalidClient, CauseDisabled)
	_, err = s.server.Introspect(t.Context(), IntrospectRequest{Token: compact, Client: presented(s.partner.id, s.partner.secret)})
	wantError(t, err, InvalidClient, CauseDisabled)
	if err := s.registry.DeleteClient(t.Context(), admin, s.partner.id, Match{Any: true}); err != nil {
		t.Fatal(err)
	}
	_, err = s.server.Revoke(t.Context(), RevokeRequest{Token: compact, Client: presented(s.partner.id, s.partner.secret)})
	wantError(t, err, InvalidClient, CauseDeletedClient)
	_, err = s.server.Revoke(t.Context(), RevokeRequest{Token: compact, Client: presented(s.rival.id, "wrong")})
	wantError(t, err, InvalidClient, CauseWrongSecret)
	s.wantActive(t, s.first, compact)
}

func TestRVK20_EVT12_WhoWhatWhyAndNeverTheToken(t *testing.T) {
	s := newScene(t, nil)
	mine, theirs := s.issue(t, s.partner, ""), s.issue(t, s.partner, "")
	s.withdraw(t, s.partner, mine.AccessToken)
	entry := s.journal()[len(s.journal())-1]
	want := audit.Origin{Actor: audit.Actor{Kind: audit.ActorClient, ID: "acme"}, Reason: "revoked by its client (RFC 7009)", RequestID: "r7009"}
	if entry.Origin != want || entry.Action != "revocation.create" || entry.Target != "jti:"+mine.JTI || entry.Result != audit.ResultDone || !entry.Time.Equal(s.now()) {
		t.Errorf("%+v", entry)
	}
	by := audit.Origin{Actor: audit.Actor{Kind: audit.ActorUID, ID: "1000"}, Reason: "left on a train", RequestID: "r1"}
	r, err := s.server.RevokeToken(t.Context(), by, theirs.AccessToken)
	if err != nil || r.Actor != by.Actor || r.Reason != by.Reason || r.Client != "acme" || r.Subject != (token.Subject{Kind: token.RevokedJTI, Value: theirs.JTI}) {
		t.Errorf("%+v, %v", r, err)
	}
	if entry := s.journal()[len(s.journal())-1]; entry.Origin != by || entry.Target != "jti:"+theirs.JTI {
		t.Errorf("%+v", entry)
	}
	acts := len(s.journal())
	for range 2 { // a repeat is no second act
		s.withdraw(t, s.partner, mine.AccessToken)
	}
	if len(s.journal()) != acts {
		t.Error("a repeat was noted")
	}
	for _, e := range s.journal() {
		text := fmt.Sprintf("%+v %s %s", e, e.Before, e.After)
		for _, issued := range []Issued{mine, theirs} {
			for _, part := range strings.Split(issued.AccessToken, ".") {
				if strings.Contains(text, part) {
					t.Errorf("part of a token in %s", text)
				}
			}
		}
	}
}

// With too many single tokens withdrawn, all of that client's are, and nobody else's.
func TestRevoke_TooManyTokensBecomeTheClient(t *testing.T) {
	const most = 5
	s := newScene(t, nil)
	s.revoker.config.PerClient = most
	rival := s.issue(t, s.rival, "").AccessToken
	var issued []Issued
	for range most + 2 {
		issued = append(issued, s.issue(t, s.partner, ""))
	}
	for i, x := range issued[:most+1] {
		if got := s.withdraw(t, s.partner, x.AccessToken); got.Collapsed != (i == most) || !got.Changed {
			t.Errorf("%d: %+v", i, got)
		}
	}
	s.wantInactive(t, s.first, issued[most+1].AccessToken, CauseTokenRevoked) // never named
	s.wantActive(t, s.first, rival)
	if e := s.journal()[len(s.journal())-1]; e.Target != "client:acme" || e.Action != "revocation.create" || e.Actor.String() != "client:acme" ||
		!strings.HasPrefix(e.Reason, "revoked by its client (RFC 7009) (") || !strings.Contains(e.Reason, "jti:"+issued[most].JTI) {
		t.Errorf("%+v", e)
	}
	s.wantActive(t, s.first, s.issue(t, s.partner, "").AccessToken)
}

func TestRevokeToken_OfAnAdministrator(t *testing.T) {
	s := newScene(t, nil)
	compact := s.issue(t, s.partner, "").AccessToken
	for range 2 {
		r, err := s.server.RevokeToken(t.Context(), admin, compact)
		if err != nil || r.Kind != token.RevokedJTI {
			t.Errorf("%+v, %v", r, err)
		}
	}
	s.wantInactive(t, s.first, compact, CauseTokenRevoked)
	expired := s.issue(t, s.partner, "").AccessToken
	s.advance(time.Hour)
	if _, err := s.server.RevokeToken(t.Context(), admin, expired); !errors.Is(err, ErrNotFound) {
		t.Errorf("expired: %v", err)
	}
	if _, err := s.server.RevokeToken(t.Context(), admin, ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("nothing: %v", err)
	}
}

// The clock was set back: a token that this server issued is not valid yet. To say that it is withdrawn,
// and store nothing, would let it become good.
func TestRVK13_ATokenFromTheFutureIsNotCalledDone(t *testing.T) {
	s := newScene(t, nil)
	compact := s.issue(t, s.partner, "").AccessToken
	s.advance(-time.Hour)
	_, err := s.server.Revoke(t.Context(), RevokeRequest{Token: compact, Client: presented(s.partner.id, s.partner.secret)})
	wantUnavailable(t, err, CauseClockBehind)
	_, err = s.server.RevokeToken(t.Context(), admin, compact)
	wantUnavailable(t, err, CauseClockBehind)
	s.wantInactive(t, s.first, compact, CauseTokenNotYetValid)
}

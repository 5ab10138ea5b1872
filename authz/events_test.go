package authz

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
)

// at is a server whose clock stands at the start of a second plus d.
func at(t *testing.T, d time.Duration) *scene {
	s := newScene(t, nil)
	s.advance(5*time.Second - time.Duration(s.now().Nanosecond()) + d)
	s.server.ConfirmedAt(s.now())
	return s
}

// offsets are places in a second where rounding could go wrong.
var offsets = []time.Duration{0, 1, 300 * time.Millisecond, time.Second - 1}

func TestEVT01_EVT10_DisableAndEnable(t *testing.T) {
	for _, offset := range offsets {
		s := at(t, offset)
		old, rival := s.issue(t, s.partner, "").AccessToken, s.issue(t, s.rival, "").AccessToken
		disable := func(d bool) { mustDo(t)(s.registry.SetClientDisabled(t.Context(), admin, "acme", d)) }
		for range 3 { // within one second
			disable(true)
			_, err := s.server.Token(t.Context(), request(s.partner.id, s.partner.secret))
			wantError(t, err, InvalidClient, CauseDisabled)
			s.wantInactive(t, s.first, old, CauseTokenRevoked)
			disable(false)
			s.wantInactive(t, s.first, old, CauseTokenRevoked)
			got, err := s.server.Token(t.Context(), request(s.partner.id, s.partner.secret))
			if err != nil { // enabled and disabled again within two seconds
				wantUnavailable(t, err, CauseBornVoid)
				s.advance(time.Second)
				got = s.issue(t, s.partner, "")
			}
			s.wantActive(t, s.first, got.AccessToken)
			s.wantActive(t, s.first, rival)
			old = got.AccessToken
		}
	}
}

func TestEVT02_DeletedForEver(t *testing.T) {
	s := at(t, 0)
	old := s.issue(t, s.partner, "").AccessToken
	if err := s.registry.DeleteClient(t.Context(), admin, "acme", Match{Any: true}); err != nil {
		t.Fatal(err)
	}
	s.wantInactive(t, s.first, old, CauseTokenRevoked)
	_, err := s.server.Token(t.Context(), request(s.partner.id, s.partner.secret))
	wantError(t, err, InvalidClient, CauseDeletedClient)
	if _, _, _, err := s.registry.CreateClient(t.Context(), admin, ClientSpec{ID: "acme", Name: "Another", Resources: []string{api}}); err == nil {
		t.Error("its identifier was given to another")
	}
	s.advance(time.Hour + 10*time.Minute) // the record of a deletion is not forgotten
	s.touch(t)
	s.index.Sweep(s.now())
	if _, ok := s.index.Revocation(clientSubject("acme")); !ok {
		t.Error("forgotten")
	}
}

// CLA-19: what a refusal costs does not tell that a client once was.
func TestEVT02_CLA19_ADeletedClientCostsWhatAnUnknownOneDoes(t *testing.T) {
	s := newScene(t, nil)
	if err := s.registry.DeleteClient(t.Context(), admin, "acme", Match{Any: true}); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []Secret{"wrong", s.partner.secret, newSecret("cccccccccccccccc"), ""} {
		_, _ = s.server.Token(t.Context(), request("acme", secret)) // its record is read once
		cost := func(id ClientID) int64 {
			before := s.calls.Load()
			_, err := s.server.Token(t.Context(), request(id, secret))
			if e, ok := err.(*Error); !ok || e.Description != invalidClient.description {
				t.Errorf("%s: %v", id, err)
			}
			return s.calls.Load() - before
		}
		if deleted, unknown := cost("acme"), cost("nobody"); deleted != unknown {
			t.Errorf("%d reads for a deleted client, %d for an unknown one", deleted, unknown)
		}
	}
}

func TestEVT03_WhatACompromisedSecretObtained(t *testing.T) {
	s := at(t, 0)
	c, next, _, err := s.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{})
	if err != nil {
		t.Fatal(err)
	}
	leaked, other := s.partner, party{"acme", next}
	rotated, _, _, _ := s.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{})
	before := s.issue(t, leaked, "").AccessToken
	s.advance(10 * time.Second)
	suspected := s.now()
	during, clean := s.issue(t, leaked, "").AccessToken, s.issue(t, other, "").AccessToken
	s.advance(10 * time.Second)
	// Ordinary rotation revokes nothing.
	mustDo(t)(s.registry.RevokeSecret(t.Context(), admin, "acme", rotated.ID, SecretRevocation{}))
	for _, compact := range []string{before, during, clean} {
		s.wantActive(t, s.first, compact)
	}
	id := CredentialID(claims(t, before)["credential_id"].(string))
	mustDo(t)(s.registry.RevokeSecret(t.Context(), admin, "acme", id, SecretRevocation{Compromised: true, Since: suspected}))
	_, err = s.server.Token(t.Context(), request(leaked.id, leaked.secret))
	wantError(t, err, InvalidClient, CauseSecretRevoked)
	s.wantInactive(t, s.first, during, CauseTokenRevoked) // at the very second, too
	s.wantActive(t, s.first, before)
	s.wantActive(t, s.first, clean)
	s.wantActive(t, s.first, s.issue(t, other, "").AccessToken)
	mustDo(t)(s.registry.RevokeSecret(t.Context(), admin, "acme", c.ID, SecretRevocation{Compromised: true}))
	s.wantInactive(t, s.first, clean, CauseTokenRevoked)
	s.wantActive(t, s.first, before)
}

func TestEVT07_ARemovedResource(t *testing.T) {
	s := at(t, 300*time.Millisecond)
	one, other, both := s.issue(t, s.partner, "").AccessToken, s.issue(t, s.partner, "accounts:create").AccessToken,
		s.issue(t, s.partner, bothAPIs, api, otherAPI).AccessToken
	leave := func(resources ...string) {
		mustDo(t)(s.registry.UpdateClient(t.Context(), admin, "acme", Match{Any: true}, ClientSpec{Name: "Acme", Resources: resources}, false))
	}
	leave(api)
	mustDo(t)(s.registry.UpdateClient(t.Context(), admin, "accounts", Match{Any: true}, ClientSpec{Name: "Acme"}, false))
	s.wantActive(t, s.partner, other) // what was issued is left to expire
	if err := s.registry.DeleteResource(t.Context(), admin, otherAPI, Match{Any: true}); err != nil {
		t.Fatal(err)
	}
	s.wantInactive(t, s.partner, other, CauseTokenRevoked)
	s.wantInactive(t, s.partner, both, CauseTokenRevoked)
	s.wantActive(t, s.partner, one)
	// A record that still names it gets no token for it.
	s.edit(t, "acme", func(c *Client) { c.Resources = []ResourceID{otherAPI} })
	r := request(s.partner.id, s.partner.secret)
	r.Resources = []string{otherAPI}
	_, err := s.server.Token(t.Context(), r)
	wantError(t, err, InvalidTarget, CauseResourceUnknown)
	s.resource(t, ResourceSpec{ID: otherAPI})
	leave(api, otherAPI)
	s.wantInactive(t, s.partner, other, CauseTokenRevoked)
	s.wantActive(t, s.partner, s.issue(t, s.partner, "", otherAPI).AccessToken)
}

// Tokens of the very second T are void, and one that is issued a moment later is not: it is dated after.
func TestEVT09_RVK19_IssuedBeforeT(t *testing.T) {
	for _, kind := range []token.RevocationKind{token.RevokedClient, token.RevokedCredential, token.RevokedKey, token.RevokedResource, token.RevokedAll} {
		for _, offset := range offsets {
			s := at(t, offset)
			first, second := s.issue(t, s.partner, ""), s.issue(t, s.partner, "")
			rival := s.issue(t, s.rival, "orders:read").AccessToken
			subject := map[token.RevocationKind]token.Subject{
				token.RevokedClient: clientSubject("acme"), token.RevokedCredential: credentialSubject(first.Credential),
				token.RevokedKey: {Kind: token.RevokedKey, Value: first.KeyID}, token.RevokedResource: resourceSubject(api), token.RevokedAll: {Kind: token.RevokedAll},
			}[kind]
			s.advance(10 * time.Second)
			later := s.issue(t, s.partner, "").AccessToken
			// T is the second of the first two.
			mustDo(t)(s.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: subject, Before: time.Unix(int64(claims(t, first.AccessToken)["iat"].(float64)), 0)}))
			s.wantInactive(t, s.first, first.AccessToken, CauseTokenRevoked)
			s.wantInactive(t, s.first, second.AccessToken, CauseTokenRevoked)
			s.wantActive(t, s.first, later)
			wide := kind == token.RevokedKey || kind == token.RevokedResource || kind == token.RevokedAll
			if got := s.ask(t, s.first, rival).Active; got == wide {
				t.Errorf("%s: another client's token: active %t", kind, got)
			}
			// T is now.
			mustDo(t)(s.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: subject}))
			s.wantInactive(t, s.first, later, CauseTokenRevoked)
			got := s.issue(t, s.partner, "")
			s.wantActive(t, s.first, got.AccessToken)
			c := claims(t, got.AccessToken)
			iat, exp := int64(c["iat"].(float64)), int64(c["exp"].(float64))
			if ahead := time.Unix(iat, 0).Sub(s.now()); ahead > maxAhead || ahead <= 0 && offset != 0 {
				t.Errorf("%s at %v: dated %v ahead", kind, offset, ahead)
			}
			if time.Duration(exp-iat)*time.Second != got.ExpiresIn { // TOK-32
				t.Errorf("exp - iat is %d, expires_in %v", exp-iat, got.ExpiresIn)
			}
		}
	}
}

// Whoever revokes again within the second covers the token that was dated ahead, too.
func TestEVT09_TokensThatWereDatedAheadAreCovered(t *testing.T) {
	for _, offset := range offsets {
		s := at(t, offset)
		subjects := []token.Subject{clientSubject("acme"), {Kind: token.RevokedAll}, resourceSubject(api)}
		for i := range 6 {
			got, err := s.server.Token(t.Context(), request(s.partner.id, s.partner.secret))
			if err != nil {
				wantUnavailable(t, err, CauseBornVoid)
				s.advance(400 * time.Millisecond)
				continue
			}
			s.wantActive(t, s.first, got.AccessToken)
			mustDo(t)(s.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: subjects[i%len(subjects)]}))
			s.wantInactive(t, s.first, got.AccessToken, CauseTokenRevoked)
		}
	}
}

// The clock is set back by no more than verifiers may overlook: tokens of the time that is to come again
// are withdrawn with the others, for good, by whatever withdraws what was issued until now. A single one
// that was dated further ahead than is taken here counts too.
func TestEVT09_EVT10_AfterTheClockWasSetBack(t *testing.T) {
	for _, back := range []time.Duration{time.Second, 3 * time.Second, 30 * time.Second, token.MaxAhead, 2 * time.Minute, token.MaxLeeway - time.Second} {
		for name, act := range actsUntilNow {
			t.Run(name+back.String(), func(t *testing.T) {
				s := at(t, 300*time.Millisecond)
				s.advance(10 * time.Minute)
				s.server.ConfirmedAt(s.now())
				old := s.issue(t, s.partner, "")
				s.advance(-back)
				s.server.ConfirmedAt(s.now())
				if err := act(s, old); err != nil {
					t.Fatal(err)
				}
				if got := s.ask(t, s.first, old.AccessToken); got.Active {
					t.Error("active at once")
				}
				_, err := s.server.Token(t.Context(), request(s.partner.id, s.partner.secret))
				if back > maxAhead {
					wantUnavailable(t, err, CauseBornVoid) // until the time comes, what is withdrawn has no tokens
				}
				s.advance(back + 2*time.Second)
				s.server.ConfirmedAt(s.now())
				s.wantInactive(t, s.first, old.AccessToken, CauseTokenRevoked)
				s.wantActive(t, s.first, s.issue(t, s.partner, "").AccessToken)
			})
		}
	}
}

// actsUntilNow are what withdraws tokens by "issued until now", an old token of the partner's among them.
var actsUntilNow = map[string]func(s *scene, old Issued) error{
	"client": func(s *scene, _ Issued) error {
		_, err := s.registry.Revoke(context.Background(), admin, RevocationSpec{Subject: clientSubject("acme")})
		return err
	},
	"all": func(s *scene, _ Issued) error {
		_, err := s.registry.Revoke(context.Background(), admin, RevocationSpec{Subject: token.Subject{Kind: token.RevokedAll}})
		return err
	},
	"enable": func(s *scene, _ Issued) error {
		if _, err := s.registry.SetClientDisabled(context.Background(), admin, "acme", true); err != nil {
			return errors.New("disabling needs no time: " + err.Error())
		}
		_, err := s.registry.SetClientDisabled(context.Background(), admin, "acme", false)
		return err
	},
	"update": func(s *scene, _ Issued) error {
		c := s.clients["acme"]
		_, err := s.registry.UpdateClient(context.Background(), admin, "acme", anyVersion, ClientSpec{
			Name: c.Name, Scopes: []string{c.Scopes.String()}, DefaultScopes: []string{"orders:read"}, Resources: []string{api, otherAPI},
		}, true)
		return err
	},
	"collapse": func(s *scene, _ Issued) error {
		s.revoker.config.PerClient = 1
		s.index.Set(token.Indexed{Revocation: token.Revocation{Subject: jtiSubject("another"), Until: s.now().Add(time.Hour)}, Client: "acme"})
		_, _, err := s.revoker.Revoke(context.Background(), admin, token.Revocation{Subject: jtiSubject("one more"), Until: s.now().Add(time.Hour)}, "acme")
		return err
	},
}

// The clock was an hour ahead for a moment, and a token was issued then. Nobody is told that it is
// withdrawn: it would come to life in an hour. Nobody waits for that but who withdraws by time.
func TestEVT09_EVT10_AfterTheClockWasFarAhead(t *testing.T) {
	for name, act := range actsUntilNow {
		t.Run(name, func(t *testing.T) {
			s := at(t, 300*time.Millisecond)
			s.advance(time.Hour)
			s.server.ConfirmedAt(s.now())
			old, single := s.issue(t, s.partner, ""), s.issue(t, s.partner, "")
			s.advance(-time.Hour)
			s.wantActive(t, s.first, s.issue(t, s.partner, "").AccessToken)
			err := act(s, old)
			wantUnavailable(t, err, CauseClockBehind)
			if after := err.(*UnavailableError).RetryAfter; after < 54*time.Minute || after > 56*time.Minute {
				t.Errorf("come back in %v", after)
			}
			s.wantActive(t, s.first, s.issue(t, s.rival, "").AccessToken)

			// What is not about time works: the token itself, for as long as it can be used.
			r, err := s.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: jtiSubject(single.JTI)})
			if err != nil || r.Until.Before(s.now().Add(time.Hour+single.ExpiresIn)) {
				t.Errorf("%+v, %v", r, err)
			}
			s.advance(56 * time.Minute)
			s.server.ConfirmedAt(s.now())
			if err := act(s, old); err != nil {
				t.Error(err)
			}
			s.advance(5 * time.Minute)
			s.server.ConfirmedAt(s.now())
			s.wantInactive(t, s.first, old.AccessToken, CauseTokenRevoked)
			s.wantInactive(t, s.first, single.AccessToken, CauseTokenRevoked)
		})
	}
}

// A server that is started anew within the seconds for which it has dated a token ahead knows that it may
// have: what withdraws until now covers that token. From the future it takes nothing over.
func TestEVT09_AStartForgetsNoDate(t *testing.T) {
	s := at(t, 300*time.Millisecond)
	start := func() {
		t.Helper()
		var err error
		if s.revoker, err = NewRevoker(s.revoker.config); err != nil {
			t.Fatal(err)
		}
		s.registry.config.Revoker, s.server.mint.revoker = s.revoker, s.revoker
		for _, r := range s.revocations {
			s.revoker.Restored(r.Revocation)
		}
	}
	mustDo(t)(s.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: clientSubject("acme")}))
	ahead := s.issue(t, s.partner, "").AccessToken
	s.wantActive(t, s.first, ahead)
	start()
	mustDo(t)(s.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: token.Subject{Kind: token.RevokedAll}}))
	s.wantInactive(t, s.first, ahead, CauseTokenRevoked)
	s.later()
	s.wantInactive(t, s.first, ahead, CauseTokenRevoked)

	s.advance(time.Hour) // a revocation of a clock that was ahead
	mustDo(t)(s.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: resourceSubject(api)}))
	s.advance(-time.Hour)
	start()
	if until, err := s.revoker.now(); err != nil || until.Sub(s.now()) > 2*time.Second {
		t.Errorf("until %v, %v", until, err)
	}
}

// Tokens and revocations at the same time: what was issued before a revocation began is void, what is
// issued after the last one ended is good. In between, either may be first.
func TestEVT09_RVK12_IssuingWhileRevoking(t *testing.T) {
	s := at(t, 0)
	type span struct{ from, to int64 }
	var tick, good, refused atomic.Int64
	var mu sync.Mutex
	issued, acts := map[string]span{}, []span{}
	var issuing, revoking sync.WaitGroup
	stop := make(chan struct{})
	issue := func() {
		from := tick.Add(1)
		got, err := s.server.Token(t.Context(), request(s.partner.id, s.partner.secret))
		if err != nil {
			wantUnavailable(t, err, CauseBornVoid)
			refused.Add(1)
			return
		}
		mu.Lock()
		issued[got.AccessToken] = span{from, tick.Add(1)}
		mu.Unlock()
		good.Add(1)
	}
	// However the machine shares its cores out, there is a token between revocations. Who is told to come back
	// later needs a later.
	await := func() {
		seen, told := good.Load(), refused.Load()
		for good.Load() == seen && !t.Failed() {
			if n := refused.Load(); n != told {
				told = n
				s.advance(100 * time.Millisecond)
			}
			runtime.Gosched()
		}
	}
	for range 4 {
		issuing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					issue()
				}
			}
		})
	}
	subjects := []token.Subject{clientSubject("acme"), resourceSubject(api), {Kind: token.RevokedAll}}
	for i := range 2 {
		revoking.Go(func() {
			for n := range 60 {
				if n%3 == 0 { // several in one second
					s.advance(700 * time.Millisecond)
					await()
				}
				from := tick.Add(1)
				if _, err := s.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: subjects[(n+i)%len(subjects)]}); err != nil {
					t.Error(err)
				}
				mu.Lock()
				acts = append(acts, span{from, tick.Add(1)})
				mu.Unlock()
			}
		})
	}
	revoking.Wait()
	close(stop)
	issuing.Wait()
	s.advance(time.Second)
	for range 10 {
		issue()
	}
	void := 0
	for compact, x := range issued {
		mustBeVoid, mustBeGood := false, true
		for _, a := range acts {
			mustBeVoid = mustBeVoid || x.to < a.from
			mustBeGood = mustBeGood && a.to < x.from
		}
		got := s.ask(t, s.first, compact)
		if got.Active && mustBeVoid || !got.Active && mustBeGood {
			t.Errorf("active %t, of a token issued in %v", got.Active, x)
		}
		if mustBeVoid {
			void++
		}
	}
	if void < 10 || len(issued)-void == 0 {
		t.Errorf("%d of %d were issued before a revocation: nothing was tested", void, len(issued))
	}
}

func TestToken_WhatWouldBeBornVoidIsNotIssued(t *testing.T) {
	s := newScene(t, nil)
	put := func(r token.Revocation) { s.index.Set(token.Indexed{Revocation: r}) }
	try := func() error {
		_, err := s.server.Token(t.Context(), request(s.partner.id, s.partner.secret))
		return err
	}
	now := roundedUp(s.now())
	for name, row := range map[string]struct {
		r    token.Revocation
		void bool
	}{
		"open-ended":                  {openEnded(clientSubject("acme")), true},
		"until a moment ago":          {issuedUntil(clientSubject("acme"), now.Add(-2*time.Second)), false},
		"until now":                   {issuedUntil(clientSubject("acme"), now), false},
		"until more than two seconds": {issuedUntil(clientSubject("acme"), now.Add(2*time.Second)), true},
		"of everything, open-ended":   {openEnded(token.Subject{Kind: token.RevokedAll}), true},
		"of another client":           {openEnded(clientSubject("rival")), false},
	} {
		put(row.r)
		if err := try(); row.void {
			wantUnavailable(t, err, CauseBornVoid)
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s.index.Remove(row.r.Subject)
	}
	s.index.SetKeys([]string{s.keys["ES256"].KeyID()})
	wantUnavailable(t, try(), CauseBornVoid)
	s.index.SetKeys(nil)
	// Two revocations that follow each other: the date goes behind both, or there is none.
	put(issuedUntil(clientSubject("acme"), now.Add(-time.Second)))
	put(issuedUntil(resourceSubject(api), now))
	got := s.issue(t, s.partner, "")
	if iat := int64(claims(t, got.AccessToken)["iat"].(float64)); iat != now.Unix()+1 {
		t.Errorf("iat %d, want %d", iat, now.Unix()+1)
	}
	put(issuedUntil(token.Subject{Kind: token.RevokedAll}, now.Add(time.Second)))
	wantUnavailable(t, try(), CauseBornVoid)
}

func TestToken_NoTokenBeforeTheIndexWasLoaded(t *testing.T) {
	index := token.NewIndex()
	s := newWorld(t, func(c *Config) { c.Index = index })
	_, secret := s.story(t)
	_, err := s.server.Token(t.Context(), request("acme", secret))
	wantUnavailable(t, err, CauseNotLoaded)
	index.Replace(nil)
	if _, err := s.server.Token(t.Context(), request("acme", secret)); err != nil {
		t.Error(err)
	}
}

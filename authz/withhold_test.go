package authz

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// stalledKeys runs f once, when a token is decided and about to be dated.
type stalledKeys struct {
	Signers
	f func()
}

func (k *stalledKeys) Signer(a jose.Algorithm, at time.Time) (*jose.Signer, error) {
	if f := k.f; f != nil {
		k.f = nil
		f()
	}
	return k.Signers.Signer(a, at)
}

// stalled is a scene whose next token is decided before f runs, and dated after it.
func stalled(t *testing.T) (*scene, func(f func())) {
	t.Helper()
	k := &stalledKeys{}
	s := newScene(t, func(c *Config) { k.Signers, c.Keys = c.Keys, k })
	return s, func(f func()) { k.f = f }
}

// once makes f run once, in the next call of an operation of the store.
func (w *world) once(op string, f func()) {
	w.onCall(func(called string) error {
		if called == op {
			w.onCall(nil)
			f()
		}
		return nil
	})
}

// later moves the clock past whatever may be dated ahead.
func (s *scene) later() {
	s.advance(4 * time.Second)
	s.server.ConfirmedAt(s.now())
}

func (s *scene) ask1(p party, scope string) (Issued, error) {
	r := request(p.id, p.secret)
	r.Scope = scope
	return s.server.Token(context.Background(), r)
}

// narrower is what is left of the partner when it may only read.
var narrower = ClientSpec{Name: "Acme", Scopes: []string{"orders:read"}, DefaultScopes: []string{"orders:read"}, Resources: []string{api, otherAPI}, DefaultResource: api}

// A token that was decided before a change, and is dated when the change and its revocation are applied,
// is not dated after them: it is decided again.
func TestEVT06_WhatWasDecidedBeforeAChangeIsDecidedAgain(t *testing.T) {
	t.Run("a scope was taken away", func(t *testing.T) {
		s, stall := stalled(t)
		s.issue(t, s.partner, "orders:write") // its record is held
		stall(func() {
			mustDo(t)(s.registry.UpdateClient(t.Context(), admin, "acme", anyVersion, narrower, true))
		})
		_, err := s.ask1(s.partner, "orders:write")
		wantError(t, err, InvalidScope, CauseScopeNotAllowed)
	})
	t.Run("the management API was taken away", func(t *testing.T) {
		s, stall := stalled(t)
		boss := s.boss(t)
		s.issue(t, boss, "")
		stall(func() {
			mustDo(t)(s.registry.UpdateClient(t.Context(), admin, boss.id, anyVersion, ClientSpec{Name: "Boss", Resources: []string{api}}, false))
		})
		got, err := s.ask1(boss, ScopeAdmin)
		wantError(t, err, InvalidScope, CauseScopeNotAllowed)
		s.later()
		if _, err := s.server.Admin(t.Context(), got.AccessToken); err == nil {
			t.Error("it still may manage")
		}
	})
	t.Run("it was disabled and enabled", func(t *testing.T) {
		s, stall := stalled(t)
		s.issue(t, s.partner, "")
		stall(func() {
			mustDo(t)(s.registry.SetClientDisabled(t.Context(), admin, "acme", true))
			mustDo(t)(s.registry.UpdateClient(t.Context(), admin, "acme", anyVersion, narrower, false))
			mustDo(t)(s.registry.SetClientDisabled(t.Context(), admin, "acme", false))
		})
		_, err := s.ask1(s.partner, "orders:write")
		wantError(t, err, InvalidScope, CauseScopeNotAllowed)
	})
	t.Run("its secret was revoked, and then all tokens", func(t *testing.T) {
		s, stall := stalled(t)
		s.issue(t, s.partner, "")
		stall(func() {
			id := s.clients["acme"].Credentials[0].ID
			mustDo(t)(s.registry.RevokeSecret(t.Context(), admin, "acme", id, SecretRevocation{}))
			mustDo(t)(s.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: token.Subject{Kind: token.RevokedAll}}))
		})
		_, err := s.ask1(s.partner, "")
		wantError(t, err, InvalidClient, CauseSecretRevoked)
	})
	t.Run("the API lost a scope", func(t *testing.T) {
		s, stall := stalled(t)
		s.issue(t, s.partner, "orders:write")
		stall(func() {
			mustDo(t)(s.registry.UpdateResource(t.Context(), admin, api, anyVersion, ResourceSpec{Scopes: []string{"orders:read"}}, true))
		})
		_, err := s.ask1(s.partner, "orders:write")
		if e := (*Error)(nil); !errors.As(err, &e) {
			t.Errorf("%v", err)
		}
	})
}

// The same when the clock went on while the token waited between its client's record and its resource's:
// it would be dated after the revocation without being moved.
func TestEVT06_WhatWasAuthenticatedLongAgoIsDecidedAgain(t *testing.T) {
	s := newScene(t, nil)
	s.server.AllChanged()
	s.once("resource", func() {
		mustDo(t)(s.registry.UpdateClient(t.Context(), admin, "acme", anyVersion, narrower, true))
		s.later()
	})
	_, err := s.ask1(s.partner, "orders:write")
	wantError(t, err, InvalidScope, CauseScopeNotAllowed)
}

// Records that change all the time are an outage, not an old decision.
func TestToken_ADecisionThatIsAlwaysOutdated(t *testing.T) {
	k := &alwaysStalled{}
	s := newScene(t, func(c *Config) { k.Signers, c.Keys = c.Keys, k })
	k.f = func() { s.server.ClientChanged("somebody") }
	_, err := s.ask1(s.partner, "")
	wantUnavailable(t, err, CauseBornVoid)
	k.f = func() {}
	s.issue(t, s.partner, "")
}

type alwaysStalled struct {
	Signers
	f func()
}

func (k *alwaysStalled) Signer(a jose.Algorithm, at time.Time) (*jose.Signer, error) {
	if k.f != nil {
		k.f()
	}
	return k.Signers.Signer(a, at)
}

// slowChanges are changes that withdraw what was issued until now, and what they take away.
var slowChanges = map[string]struct {
	scope  string
	change func(*scene) error
}{
	"client": {"orders:write", func(s *scene) error {
		_, err := s.registry.UpdateClient(context.Background(), admin, "acme", anyVersion, narrower, true)
		return err
	}},
	"administrator": {ScopeAdmin, func(s *scene) error {
		_, err := s.registry.UpdateClient(context.Background(), admin, "acme", anyVersion, narrower, false)
		return err
	}},
	"resource": {"orders:write", func(s *scene) error {
		_, err := s.registry.UpdateResource(context.Background(), admin, api, anyVersion, ResourceSpec{Scopes: []string{"orders:read"}}, true)
		return err
	}},
}

// slow is a scene whose partner may manage, too.
func slow(t *testing.T) *scene {
	s := newScene(t, nil)
	s.edit(t, "acme", func(c *Client) { c.Admin = true })
	return s
}

// Until a change is applied tokens are decided by what was before, and its "now" was said before it
// waited for the store. What would fall under it is not issued meanwhile: afterwards nobody has one.
func TestEVT06_NothingIsIssuedByWhatAChangeIsAboutToWithdraw(t *testing.T) {
	for name, row := range slowChanges {
		for _, moment := range []string{"put", "stored"} { // before and after it is durable
			t.Run(name+" "+moment, func(t *testing.T) {
				s := slow(t)
				before := s.issue(t, s.partner, row.scope).AccessToken
				other, scope := s.rival, "orders:read"
				if name == "resource" {
					other, scope = s.partner, "accounts:create"
				}
				good := s.issue(t, other, scope).AccessToken
				s.once(moment, func() {
					s.advance(2100 * time.Millisecond)
					s.server.ConfirmedAt(s.now()) // by the follower's own pass, before the commit
					_, err := s.ask1(s.partner, row.scope)
					wantUnavailable(t, err, CauseBornVoid)
					s.issue(t, other, scope) // nobody else waits
				})
				if err := row.change(s); err != nil {
					t.Fatal(err)
				}
				if _, err := s.ask1(s.partner, row.scope); err == nil {
					t.Error("issued after the change")
				}
				s.issue(t, s.partner, "orders:read")
				s.later()
				s.wantInactive(t, s.partner, before, CauseTokenRevoked)
				s.wantActive(t, other, good)
				if s.revoker.withheld.Load() != nil || len(s.revoker.changing) != 0 {
					t.Error("something is still withheld")
				}
			})
		}
	}
}

// A change whose fate is not known, or that is not applied here, keeps its tokens from being issued until
// the feed was read to its end.
func TestEVT06_AChangeThatIsNotAppliedHereIssuesNothing(t *testing.T) {
	for name, row := range slowChanges {
		for _, fault := range []string{"put", "stored", "applied"} {
			t.Run(name+" "+fault, func(t *testing.T) {
				s := slow(t)
				s.issue(t, s.partner, row.scope) // its records are held
				if fault == "applied" {
					s.applied = errDown
				}
				s.onCall(func(op string) error {
					if op == fault {
						return errDown
					}
					return nil
				})
				if err := row.change(s); !errors.Is(err, errDown) {
					t.Fatal(err)
				}
				s.onCall(nil)
				s.server.ConfirmedAt(s.now().Add(-time.Second)) // of a pass that began before
				s.advance(2100 * time.Millisecond)
				_, err := s.ask1(s.partner, row.scope)
				wantUnavailable(t, err, CauseBornVoid)
				s.applied = nil
				if err := s.apply(t.Context()); err != nil { // the follower's own pass
					t.Fatal(err)
				}
				_, err = s.ask1(s.partner, row.scope)
				if stored := fault != "put"; (err != nil) != stored {
					t.Errorf("stored %t, %v", stored, err)
				}
				s.issue(t, s.partner, "orders:read")
			})
		}
	}
}

// Whatever a lost race leaves behind is nothing.
func TestEVT06_ALostRaceWithholdsNothing(t *testing.T) {
	for name, row := range slowChanges {
		t.Run(name, func(t *testing.T) {
			s := slow(t)
			s.onCall(func(op string) error {
				if op == "put" {
					return ErrConflict
				}
				return nil
			})
			if err := row.change(s); !errors.Is(err, ErrConflict) {
				t.Fatal(err)
			}
			s.issue(t, s.partner, row.scope)
		})
	}
}

// What enables a client ends its open-ended revocation: nothing that was decided before slips through
// between the two, however long the store takes.
func TestEVT10_NothingIsIssuedWhileAClientIsBeingEnabled(t *testing.T) {
	s, stall := stalled(t)
	s.issue(t, s.partner, "orders:write")
	stall(func() {
		mustDo(t)(s.registry.SetClientDisabled(t.Context(), admin, "acme", true))
		mustDo(t)(s.registry.UpdateClient(t.Context(), admin, "acme", anyVersion, narrower, false))
		s.once("put", s.later)
		mustDo(t)(s.registry.SetClientDisabled(t.Context(), admin, "acme", false))
	})
	_, err := s.ask1(s.partner, "orders:write")
	wantError(t, err, InvalidScope, CauseScopeNotAllowed)
}

// Who may manage is read from the store, whatever is revoked or not.
func TestEVT06_AdminIsAskedOfTheStore(t *testing.T) {
	for name, row := range map[string]struct {
		edit  func(*Client)
		cause Cause
	}{
		"no administrator": {func(c *Client) { c.Admin = false }, CauseTokenRevoked},
		"disabled":         {func(c *Client) { c.Disabled = true }, CauseDisabled},
		"deleted":          {func(c *Client) { *c = Client{ID: c.ID, DeletedAt: c.CreatedAt, Version: c.Version} }, CauseDeletedClient},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, nil)
			boss := s.boss(t)
			compact := s.issue(t, boss, "").AccessToken
			s.mu.Lock() // by nothing that this server is told of
			c := s.clients[boss.id]
			row.edit(&c)
			s.clients[boss.id] = c
			s.mu.Unlock()
			_, err := s.server.Admin(t.Context(), compact)
			wantInvalidToken(t, err, row.cause, "")
			_, err = s.server.Introspect(t.Context(), IntrospectRequest{Token: compact, Bearer: compact})
			wantInvalidToken(t, err, row.cause, "")
			s.onCall(func(op string) error {
				if op == "client" {
					return errDown
				}
				return nil
			})
			_, err = s.server.Admin(t.Context(), compact)
			wantUnavailable(t, err, CauseStoreUnavailable)
		})
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

var byTest = audit.Origin{Actor: audit.System("test"), Reason: "a test"}

// post sends a form and returns the status and the body.
func post(t *testing.T, address string, form url.Values) (int, string) {
	t.Helper()
	r, err := http.PostForm(address, form)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

// getSample gets a token for the sample client.
func getSample(t *testing.T, s *server) string {
	t.Helper()
	return getSampleFor(t, s, "")
}

// getSampleFor gets a token with a scope; empty: with those that the client has by default.
func getSampleFor(t *testing.T, s *server, scope string) string {
	t.Helper()
	form := sampleForm(t, s)
	if scope != "" {
		form.Set("scope", scope)
	}
	code, body := post(t, "http://"+s.Address()+"/oauth2/token", form)
	var got issued
	if err := json.Unmarshal([]byte(body), &got); err != nil || code != http.StatusOK {
		t.Fatalf("status %d, %s, %v", code, body, err)
	}
	return got.AccessToken
}

// asks introspects a token as the sample client, to which it was issued.
func asks(t *testing.T, s *server, compact string) (int, string) {
	t.Helper()
	form := sampleForm(t, s)
	form.Del("grant_type")
	form.Set("token", compact)
	return post(t, "http://"+s.Address()+"/oauth2/introspect", form)
}

func wantActive(t *testing.T, s *server, compact string, want bool) {
	t.Helper()
	code, body := asks(t, s, compact)
	var got struct {
		Active *bool `json:"active"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || code != http.StatusOK || got.Active == nil || *got.Active != want {
		t.Errorf("status %d, %s; want active %v", code, body, want)
	}
}

func jtiOf(t *testing.T, compact string) string {
	t.Helper()
	_, claims, err := decodeToken(compact)
	var c struct{ JTI string }
	if err == nil {
		err = json.Unmarshal(claims, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c.JTI
}

// TestRVK12_ARevocationHoldsAtOnce: whoever made it, the next introspection says inactive, and the next
// token is not born void. No clock and no tick helps.
func TestRVK12_ARevocationHoldsAtOnce(t *testing.T) {
	c := devConfig(t)
	c.Cache.MaxAge = configs.Duration(time.Minute) // no look at the store by itself
	var direct store.Store
	s := startTest(t, c, options{storeAs: func(inner store.Store) store.Store { direct = inner; return inner }})
	defer http.DefaultClient.CloseIdleConnections()

	first := getSample(t, s)
	wantActive(t, s, first, true)
	if _, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedClient, Value: sampleClient}}); err != nil {
		t.Fatal(err)
	}
	wantActive(t, s, first, false)
	second := getSample(t, s)
	wantActive(t, s, second, true)
	wantActive(t, s, first, false)

	// Another handle on the store, as another process has on a shared one: introspection asks the store,
	// and the index knows it after the next look.
	subject := token.Subject{Kind: token.RevokedJTI, Value: jtiOf(t, second)}
	_, err := direct.PutRevocation(t.Context(), authz.Revocation{
		Revocation: token.Revocation{Subject: subject, Until: time.Now().Add(time.Hour).Truncate(time.Second)},
		Client:     sampleClient, Actor: byTest.Actor, CreatedAt: time.Now().Truncate(time.Second),
	}, byTest.Done(time.Now(), "revocation.create", subject.String()))
	if err != nil {
		t.Fatal(err)
	}
	wantActive(t, s, second, false)
	if _, ok := s.index.Revocation(subject); ok {
		t.Error("the index knows what nobody has told it")
	}
	if err := s.applied(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.index.Revocation(subject); !ok {
		t.Error("the index does not know a revocation that the feed has named")
	}
}

// TestEVT10_RevocationsOutliveARestart: the index is whole before anything listens.
func TestEVT10_RevocationsOutliveARestart(t *testing.T) {
	c := devConfig(t)
	c.Issuer = "http://127.0.0.1:1"
	s := startTest(t, c, options{})
	defer http.DefaultClient.CloseIdleConnections()
	compact := getSample(t, s)
	for _, disabled := range []bool{true, false} { // enabling revives nothing
		if _, err := s.registry.SetClientDisabled(t.Context(), byTest, sampleClient, disabled); err != nil {
			t.Fatal(err)
		}
	}
	wantActive(t, s, compact, false)
	held := s.index.Len()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = startTest(t, c, options{})
	if got := s.index.Len(); !s.index.Loaded() || got != held || got == 0 {
		t.Errorf("after a restart the index holds %d, before %d", got, held)
	}
	wantActive(t, s, compact, false)
	wantActive(t, s, getSample(t, s), true)
}

// flaky stands between a server and its store. It forgets, or fails, when it is told to.
type flaky struct {
	store.Store
	forgotten, failing atomic.Bool
	newCursor          atomic.Bool // the feed cannot be continued, once
}

var errAway = errors.New("the store is away")

func (f *flaky) Revocations(ctx context.Context, subjects []token.Subject) ([]authz.Revocation, error) {
	switch {
	case f.failing.Load():
		return nil, errAway
	case f.forgotten.Load():
		return nil, nil
	}
	return f.Store.Revocations(ctx, subjects)
}

func (f *flaky) ListRevocations(ctx context.Context, after string, limit int) ([]authz.Revocation, error) {
	switch {
	case f.failing.Load():
		return nil, errAway
	case f.forgotten.Load():
		return nil, nil
	}
	return f.Store.ListRevocations(ctx, after, limit)
}

func (f *flaky) PutRevocation(ctx context.Context, r authz.Revocation, e audit.Entry) (authz.Revocation, error) {
	if f.failing.Load() {
		return authz.Revocation{}, errAway
	}
	return f.Store.PutRevocation(ctx, r, e)
}

func (f *flaky) Changes(ctx context.Context, after store.Cursor, limit int) ([]store.Change, store.Cursor, error) {
	if f.failing.Load() {
		return nil, "", errAway
	}
	if f.newCursor.CompareAndSwap(true, false) {
		return nil, "", store.ErrCursor
	}
	return f.Store.Changes(ctx, after, limit)
}

func startFlaky(t *testing.T) (*server, *flaky, *logBuffer) {
	t.Helper()
	c := devConfig(t)
	c.Cache.MaxAge = configs.Duration(time.Minute)
	f, log := &flaky{}, &logBuffer{}
	s := startTest(t, c, options{log: newLog(log, c.Log), storeAs: func(inner store.Store) store.Store { f.Store = inner; return f }})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s, f, log
}

// TestINT13_AStoreThatForgotRevivesNothing: an emptied store is no news of mercy. The index keeps what it
// has, introspection does not take silence for an answer, and nothing is confirmed until the store knows
// again.
func TestINT13_AStoreThatForgotRevivesNothing(t *testing.T) {
	s, f, _ := startFlaky(t)
	compact := getSample(t, s)
	if _, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedClient, Value: sampleClient}}); err != nil {
		t.Fatal(err)
	}
	held, confirmed := s.index.Len(), s.confirmed.Load()

	f.forgotten.Store(true)
	f.newCursor.Store(true)
	if err := s.applied(t.Context()); !errors.Is(err, errRevocationLost) {
		t.Errorf("the reload of an emptied store: got %v", err)
	}
	if s.index.Len() != held || s.confirmed.Load() != confirmed {
		t.Errorf("the index holds %d, want %d; confirmed anew: %v", s.index.Len(), held, s.confirmed.Load() != confirmed)
	}
	if code, body := asks(t, s, compact); code != http.StatusServiceUnavailable || strings.Contains(body, "true") {
		t.Errorf("introspection beside an emptied store: %d, %s", code, body)
	}
	if err := s.applied(t.Context()); err == nil {
		t.Error("the second look at an emptied store was taken for an answer")
	}

	f.forgotten.Store(false)
	if err := s.applied(t.Context()); err != nil {
		t.Errorf("after the store knew again: %v", err)
	}
	wantActive(t, s, compact, false)
	if s.confirmed.Load() == confirmed {
		t.Error("a store that knows again was not confirmed")
	}
}

// TestFeedNamesWhatIsGone: a change that names a live revocation which the store does not have is the
// same loss, found by another way.
func TestFeedNamesWhatIsGone(t *testing.T) {
	s, f, _ := startFlaky(t)
	if _, err := s.registry.SetClientDisabled(t.Context(), byTest, sampleClient, true); err != nil {
		t.Fatal(err)
	}
	f.forgotten.Store(true)
	changes := []store.Change{{Kind: store.KindRevocation, ID: "client:" + sampleClient}}
	if err := s.apply(t.Context(), changes); !errors.Is(err, errRevocationLost) {
		t.Errorf("got %v", err)
	}
	if _, ok := s.index.Revocation(token.Subject{Kind: token.RevokedClient, Value: sampleClient}); !ok {
		t.Error("the index has lost it too")
	}
	if err := s.apply(t.Context(), []store.Change{{Kind: store.KindRevocation, ID: "planet:mars"}}); err == nil {
		t.Error("a revocation of an unknown kind was obeyed by ignoring it")
	}
}

// TestSaysLess: what may follow what. Enabling a client ends an open-ended revocation; nothing else gets
// weaker.
func TestSaysLess(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	for _, r := range []struct {
		name         string
		stored, held token.Revocation
		want         bool
	}{
		{"the same", token.Revocation{Before: at(5)}, token.Revocation{Before: at(5)}, false},
		{"later", token.Revocation{Before: at(6)}, token.Revocation{Before: at(5)}, false},
		{"earlier", token.Revocation{Before: at(4)}, token.Revocation{Before: at(5)}, true},
		{"disabled", token.Revocation{}, token.Revocation{Before: at(5)}, false},
		{"enabled", token.Revocation{Before: at(5)}, token.Revocation{}, false},
		{"fewer old ones", token.Revocation{Since: at(3), Before: at(5)}, token.Revocation{Since: at(2), Before: at(5)}, true},
		{"more old ones", token.Revocation{Since: at(1), Before: at(5)}, token.Revocation{Since: at(2), Before: at(5)}, false},
	} {
		if got := saysLess(authz.Revocation{Revocation: r.stored}, token.Indexed{Revocation: r.held}); got != r.want {
			t.Errorf("%s: got %v", r.name, got)
		}
	}
}

// TestINT13_RVK13_AStoreThatIsAway: nothing is answered that is not known, and nothing is lost by it.
func TestINT13_RVK13_AStoreThatIsAway(t *testing.T) {
	s, f, log := startFlaky(t)
	compact := getSample(t, s)
	revoke := sampleForm(t, s)
	revoke.Del("grant_type")
	revoke.Set("token", compact)

	f.failing.Store(true)
	if code, body := asks(t, s, compact); code != http.StatusServiceUnavailable {
		t.Errorf("introspection: %d, %s", code, body)
	}
	if code, body := post(t, "http://"+s.Address()+"/oauth2/revoke", revoke); code != http.StatusServiceUnavailable {
		t.Errorf("revocation: %d, %s", code, body)
	}
	if _, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedAll}}); err == nil {
		t.Error("a revocation that was not stored was acknowledged")
	}
	f.failing.Store(false)
	wantActive(t, s, compact, true)
	if code, body := post(t, "http://"+s.Address()+"/oauth2/revoke", revoke); code != http.StatusOK || body != "" {
		t.Errorf("revocation: %d, %s", code, body)
	}
	wantActive(t, s, compact, false)
	if strings.Contains(log.String(), "eyJ") {
		t.Error("the log holds a token")
	}
}

// TestEVT05_ARevokedKeyReachesTheIndex: what the ring knows of revoked keys, issuing knows at once.
func TestEVT05_ARevokedKeyReachesTheIndex(t *testing.T) {
	c := devConfig(t)
	c.Issuer = "http://127.0.0.1:1"
	s := startTest(t, c, options{})
	defer http.DefaultClient.CloseIdleConnections()
	compact := getSample(t, s)
	kid := activeKey(t, s)
	if _, err := s.ring.Revoke(t.Context(), kid, byTest); err != nil {
		t.Fatal(err)
	}
	if err := s.applied(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantRevoked := func(s *server) {
		t.Helper()
		if _, ok := s.index.Revocation(token.Subject{Kind: token.RevokedKey, Value: kid}); !ok {
			t.Error("the index does not know the revoked key")
		}
		wantActive(t, s, compact, false)
	}
	wantRevoked(s)
	if now := activeKey(t, s); now == kid {
		t.Error("the revoked key signs")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantRevoked(startTest(t, c, options{}))
}

// Whoever is told that a key is revoked finds it so: the change feed may take its time.
func TestEVT05_TheIndexKnowsBeforeTheAdminIsAnswered(t *testing.T) {
	c := devConfig(t)
	c.Cache.MaxAge = configs.Duration(time.Hour)
	s := startTest(t, c, options{})
	kid := activeKey(t, s)
	if _, err := s.adminConfig().Keys.Revoke(t.Context(), kid, byTest); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.index.Revocation(token.Subject{Kind: token.RevokedKey, Value: kid}); !ok {
		t.Error("the index does not know the revoked key")
	}
}

func activeKey(t *testing.T, s *server) string {
	t.Helper()
	for _, k := range s.ring.List() {
		if k.State == keys.StateActive && k.Algorithm == s.algorithm() {
			return k.KeyID
		}
	}
	t.Fatal("no key signs")
	return ""
}

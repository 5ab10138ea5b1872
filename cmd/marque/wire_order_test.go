package main

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/store"
)

// watched is a store that tells when revocations are read for the index, and counts reads of clients.
type watched struct {
	store.Store
	clients atomic.Int64
	reading atomic.Pointer[func()] // called before revocations are read, one at a time
}

func (w *watched) Client(ctx context.Context, id authz.ClientID) (authz.Client, error) {
	w.clients.Add(1)
	return w.Store.Client(ctx, id)
}

func (w *watched) Revocations(ctx context.Context, subjects []token.Subject) ([]authz.Revocation, error) {
	if f := w.reading.Swap(nil); f != nil {
		(*f)()
	}
	return w.Store.Revocations(ctx, subjects)
}

// TestEVT06_RecordsAreDroppedBeforeTheIndexIsTold: whoever sees a revocation in the index no longer sees
// the record that it was committed with a change of, whichever of the two the feed names first.
func TestEVT06_RecordsAreDroppedBeforeTheIndexIsTold(t *testing.T) {
	c := devConfig(t)
	c.Cache.MaxAge = configs.Duration(time.Minute) // no look at the store by itself
	w := &watched{}
	s := startTest(t, c, options{storeAs: func(inner store.Store) store.Store { w.Store = inner; return w }})
	defer http.DefaultClient.CloseIdleConnections()

	subject := token.Subject{Kind: token.RevokedClient, Value: sampleClient}
	client, revocation := store.Change{Kind: store.KindClient, ID: sampleClient}, store.Change{Kind: store.KindRevocation, ID: subject.String()}
	for _, changes := range [][]store.Change{{client, revocation}, {revocation, client}} {
		getSample(t, s)
		before := w.clients.Load()
		getSample(t, s)
		if w.clients.Load() != before {
			t.Fatal("the record is not held: nothing is tested")
		}
		seen := false
		look := func() {
			getSample(t, s)
			seen = w.clients.Load() > before
		}
		w.reading.Store(&look)
		if err := s.apply(t.Context(), changes); err != nil {
			t.Fatal(err)
		}
		if !seen {
			t.Errorf("%v: the index was told before the record was dropped", changes)
		}
	}
}

// TestReload_DropsRecordsToo: a feed that cannot be continued may have named any of them.
func TestReload_DropsRecordsToo(t *testing.T) {
	c := devConfig(t)
	c.Cache.MaxAge = configs.Duration(time.Minute)
	w := &watched{}
	s := startTest(t, c, options{storeAs: func(inner store.Store) store.Store { w.Store = inner; return w }})
	defer http.DefaultClient.CloseIdleConnections()
	getSample(t, s)
	before := w.clients.Load()
	if err := s.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	getSample(t, s)
	if w.clients.Load() == before {
		t.Error("a record outlived the reload")
	}
}

// TestEVT03_WhatMayBeForgottenStopsNobody: a revocation whose time has passed, and which nobody has swept
// yet, may be followed by one of the same subject that says less. That is no loss, and stops no feed.
func TestEVT03_WhatMayBeForgottenStopsNobody(t *testing.T) {
	var ahead atomic.Int64
	start := time.Now()
	now := func() time.Time { return start.Add(time.Duration(ahead.Load())) }
	s := startTest(t, devConfig(t), options{now: now})
	c, err := s.registry.Client(t.Context(), sampleClient)
	if err != nil {
		t.Fatal(err)
	}
	credential := c.Credentials[0].ID
	subject := token.Subject{Kind: token.RevokedCredential, Value: string(credential)}
	if _, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: subject}); err != nil {
		t.Fatal(err)
	}
	ahead.Store(int64(token.RevocationKept + 5*time.Second))
	since := now().Add(-time.Minute).Truncate(time.Second)
	_, err = s.registry.RevokeSecret(t.Context(), byTest, sampleClient, credential, authz.SecretRevocation{Compromised: true, Since: since})
	if err != nil {
		t.Errorf("a later revocation of the same secret: %v", err)
	}
	if held, ok := s.index.Stored(subject); !ok || !held.Since.Equal(since) || !held.Until.IsZero() {
		t.Errorf("the index holds %+v", held)
	}
	if _, err := s.registry.SetClientDisabled(t.Context(), byTest, sampleClient, true); err != nil {
		t.Errorf("an emergency after that: %v", err)
	}
}

// TestEVT09_AStartForgetsNoDate: a token that was dated after one revocation, a second ahead of the clock,
// is covered by the next one, also when the server was started anew within that second.
func TestEVT09_AStartForgetsNoDate(t *testing.T) {
	c := devConfig(t)
	c.Issuer = "http://127.0.0.1:1"
	var ahead atomic.Int64
	start := time.Now()
	now := func() time.Time { return start.Add(time.Duration(ahead.Load())) }
	s := startTest(t, c, options{now: now})
	defer http.DefaultClient.CloseIdleConnections()
	client := token.Subject{Kind: token.RevokedClient, Value: sampleClient}
	if _, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: client}); err != nil {
		t.Fatal(err)
	}
	compact := getSample(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = startTest(t, c, options{now: now})
	wantActive(t, s, compact, true)
	if _, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedAll}}); err != nil {
		t.Fatal(err)
	}
	ahead.Store(int64(3 * time.Second))
	wantActive(t, s, compact, false)
}

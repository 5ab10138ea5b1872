package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redisstore"
	"github.com/marque-auth/marque/store/redistest"
)

// fading is a store of which some reads fail.
type fading struct {
	store.Store
	clients, revocations atomic.Pointer[error]
}

func failing(p *atomic.Pointer[error]) error {
	if err := p.Load(); err != nil {
		return *err
	}
	return nil
}

func (f *fading) Client(ctx context.Context, id authz.ClientID) (authz.Client, error) {
	if err := failing(&f.clients); err != nil {
		return authz.Client{}, err
	}
	return f.Store.Client(ctx, id)
}

func (f *fading) Revocations(ctx context.Context, subjects []token.Subject) ([]authz.Revocation, error) {
	if err := failing(&f.revocations); err != nil {
		return nil, err
	}
	return f.Store.Revocations(ctx, subjects)
}

// TestFollow_WhoIsServedIsServedOn: a store that came back says that clients changed, as it does of all that changed in the
// minute before, or wants everything read anew, and goes away again before they are read. Clients that were served
// until then are served. A record that cannot be read for another reason is not served as it was.
func TestFollow_WhoIsServedIsServedOn(t *testing.T) {
	c := nodeConfig(t, redistest.Start(t).Addr)
	c.Cache.MaxAge = configs.Duration(time.Minute) // no look at the store by itself
	f := &fading{}
	s := startTest(t, c, options{storeAs: func(inner store.Store) store.Store { f.Store = inner; return f }})
	defer http.DefaultClient.CloseIdleConnections()
	waitReady(t, s)
	known := newPartner(t, s, "known")
	changes := []store.Change{
		{Kind: store.KindClient, ID: known.id},
		{Kind: store.KindResource, ID: sampleResource},
		{Kind: store.KindRevocation, ID: token.Subject{Kind: token.RevokedClient, Value: known.id}.String()},
	}
	apply := func() error { return s.apply(t.Context(), changes) }
	reload := func() error { return s.reload(t.Context()) }
	away, damaged := fmt.Errorf("read: %w", redisstore.ErrUnreachable), &store.RecordError{Kind: "client", Key: known.id, Err: store.ErrDamaged}
	for _, r := range []struct {
		name   string
		does   func() error
		fault  error
		of     *atomic.Pointer[error]
		fails  bool
		status int // of a token request meanwhile
	}{
		{"changes, away before clients are read", apply, away, &f.clients, true, http.StatusOK},
		{"changes, away before revocations are read", apply, away, &f.revocations, true, http.StatusOK},
		{"everything, away before clients are read", reload, away, &f.clients, true, http.StatusOK},
		{"changes, a damaged record", apply, damaged, &f.clients, false, http.StatusServiceUnavailable},
		{"everything, a damaged record", reload, damaged, &f.clients, false, http.StatusServiceUnavailable},
	} {
		if status, _ := known.asksFor(t, s); status != http.StatusOK {
			t.Fatalf("%s: before: %d", r.name, status)
		}
		r.of.Store(&r.fault)
		if err := r.does(); (err != nil) != r.fails || r.fails && !errors.Is(err, r.fault) {
			t.Errorf("%s: %v", r.name, err)
		}
		f.clients.Store(&r.fault) // from now on it is away as a whole
		if status, _ := known.asksFor(t, s); status != r.status {
			t.Errorf("%s: a token request is answered %d, want %d", r.name, status, r.status)
		}
		f.clients.Store(nil)
		f.revocations.Store(nil)
		if err := r.does(); err != nil {
			t.Errorf("%s: afterwards: %v", r.name, err)
		}
	}
	// Who ends a pass early is not a slow store: nothing is forgotten.
	if status, _ := known.asksFor(t, s); status != http.StatusOK {
		t.Fatal(status)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.apply(ended, changes); !errors.Is(err, context.Canceled) {
		t.Errorf("a pass that was ended: %v", err)
	}
	f.clients.Store(&away)
	if status, _ := known.asksFor(t, s); status != http.StatusOK {
		t.Errorf("after it: %d", status)
	}
}

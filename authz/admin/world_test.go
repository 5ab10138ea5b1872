package admin

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/boltstore"
)

const issuer = "https://issuer.example"

// world is everything behind the handler, as the program wires it, with a clock of its own.
type world struct {
	t        *testing.T
	offset   atomic.Int64 // of the clock
	stopped  atomic.Int64 // Unix nanoseconds at which it stands, but for the offset; 0: it runs
	db       *boltstore.DB
	store    *boltstore.Store
	ring     *keys.Ring
	index    *token.Index
	tokens   *authz.Server
	registry *authz.Registry
	refusals *authz.Refusals
	follower *store.Follower
	findings []Finding
	status   Status
	log      *logBuffer
	config   Config
}

func (w *world) now() time.Time {
	now := time.Now()
	if at := w.stopped.Load(); at != 0 {
		now = time.Unix(0, at)
	}
	return now.Add(time.Duration(w.offset.Load()))
}

// stop lets the clock move by sleep alone.
func (w *world) stop() { w.stopped.Store(time.Now().UnixNano()) }

// sleep moves the clock, and lets happen what is due.
func (w *world) sleep(d time.Duration) {
	w.t.Helper()
	w.offset.Add(int64(d))
	w.must(w.follower.CatchUp(w.t.Context()))
	w.must(w.ring.Step(w.t.Context(), w.now()))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, index: token.NewIndex(), refusals: authz.NewRefusals(), log: &logBuffer{}, status: Status{State: StateOK}}
	w.openStore()
	w.openRing()
	w.decide()
	var err error
	w.follower, err = store.NewFollower(store.FollowerConfig{
		Changes: w.store, Apply: w.apply, Reload: w.reload, Now: w.now,
		Confirmed: func(at time.Time) { w.tokens.ConfirmedAt(at); w.ring.ConfirmedAt(at) },
	})
	w.must(err)
	w.must(w.follower.Start(t.Context()))
	w.config = Config{
		Registry: w.registry, Tokens: w.tokens, Keys: wholeRing{w.ring, w.db}, Refusals: w.refusals,
		Log:    slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Status: func() Status { return w.status },
		Doctor: func(context.Context) ([]Finding, error) { return w.findings, nil },
		Backup: w.backup,
	}
	return w
}

func (w *world) openStore() {
	w.t.Helper()
	db, err := boltstore.OpenDB(boltstore.Config{Path: filepath.Join(w.t.TempDir(), "marque.db"), Namespace: "test"})
	w.must(err)
	w.t.Cleanup(func() { _ = db.Close() })
	env, err := store.NewEnvelope(secretBytes(), "test")
	w.must(err)
	w.db = db
	w.store, err = boltstore.New(db, env)
	w.must(err)
}

func (w *world) openRing() {
	w.t.Helper()
	kek := jose.NewKEK(secretBytes())
	in, _, err := keys.Found(w.t.Context(), w.db, kek, issuer, false, w.now(), w.by())
	w.must(err)
	w.ring, err = keys.NewRing(keys.Config{
		Rings: w.store, KEKs: []*jose.KEK{kek}, KEKID: kek.ID(), Installation: in.ID,
		JWKSMaxAge: 2 * time.Second, RefreshInterval: time.Second, PublishLead: 4 * time.Second,
		StoreOutage: time.Minute, Leeway: time.Second, FirstKeyAtOnce: true, Now: w.now,
	})
	w.must(err)
	w.must(w.ring.Step(w.t.Context(), w.now()))
}

// wholeRing is a ring with the installation record, as the program wires it.
type wholeRing struct {
	*keys.Ring
	genesis keys.Genesis
}

func (r wholeRing) Rewrap(ctx context.Context, by audit.Origin) (keys.Rewrapped, error) {
	return r.Ring.Rewrap(ctx, r.genesis, by)
}

func (w *world) decide() {
	w.t.Helper()
	applied := func(ctx context.Context) error { return w.follower.CatchUp(ctx) }
	revoker, err := authz.NewRevoker(authz.RevokerConfig{
		Records: w.store, Index: w.index, Applied: applied, PerClient: authz.DefaultTokenRevocations, Now: w.now,
	})
	w.must(err)
	pepper := keys.Secret(secretBytes())
	w.tokens, err = authz.NewServer(authz.Config{
		Issuer: issuer, Pepper: pepper, Clients: w.store, Resources: w.store, Keys: w.ring,
		PublicKey: w.ring.Lookup, Revocations: w.store, Index: w.index, Revoker: revoker,
		ClientCache: 100, StoreOutage: time.Minute, SigningQueue: 100, Now: w.now,
	})
	w.must(err)
	w.registry, err = authz.NewRegistry(authz.RegistryConfig{
		Issuer: issuer, Pepper: pepper, Clients: w.store, Resources: w.store, Revocations: w.store, Log: w.store, Revoker: revoker,
		ClaimNamespaces: []string{"https://claims.example/"},
		EnsureKeys: func(ctx context.Context, alg jose.Algorithm, by audit.Origin) (time.Time, error) {
			if _, err := w.ring.Ensure(ctx, alg, by); err != nil {
				return time.Time{}, err
			}
			return w.ring.KnownFrom(alg)
		},
		KnowsKey: w.ring.Knows,
		Applied:  applied,
		Now:      w.now,
	})
	w.must(err)
}

// apply hands changes on to what holds copies.
func (w *world) apply(ctx context.Context, changes []store.Change) error {
	for _, c := range changes {
		switch c.Kind {
		case store.KindClient:
			w.tokens.ClientChanged(authz.ClientID(c.ID))
		case store.KindResource:
			w.tokens.ResourceChanged(authz.ResourceID(c.ID))
		}
	}
	return w.reload(ctx)
}

// reload reads every revocation and the key ring: a test has few of them.
func (w *world) reload(ctx context.Context) error {
	if err := w.ring.Reload(ctx); err != nil {
		return err
	}
	found, err := w.store.ListRevocations(ctx, "", 1000)
	if err != nil {
		return err
	}
	all := make([]token.Indexed, len(found))
	for i, r := range found {
		all[i] = token.Indexed{Revocation: r.Revocation, Client: string(r.Client)}
	}
	w.index.Replace(all)
	w.index.SetKeys(w.ring.RevokedKeys())
	w.tokens.AllChanged()
	return nil
}

// register makes a client, and returns its secret.
func (w *world) register(spec authz.ClientSpec) authz.Secret {
	w.t.Helper()
	_, secret, _, err := w.registry.CreateClient(w.t.Context(), w.by(), spec)
	w.must(err)
	return secret
}

// issue returns an access token for a client.
func (w *world) issue(id authz.ClientID, secret authz.Secret, resources ...string) string {
	w.t.Helper()
	issued, err := w.tokens.Token(w.t.Context(), authz.Request{
		GrantType: authz.GrantClientCredentials, Resources: resources,
		Client: authz.Presented{Method: authz.PresentedBasic, ID: id, Secret: secret},
	})
	w.must(err)
	return issued.AccessToken
}

// active reports whether a token is, as its owner is told.
func (w *world) active(compact string, id authz.ClientID, secret authz.Secret) bool {
	w.t.Helper()
	in, err := w.tokens.Introspect(w.t.Context(), authz.IntrospectRequest{
		Token: compact, Client: authz.Presented{Method: authz.PresentedBasic, ID: id, Secret: secret},
	})
	w.must(err)
	return in.Active
}

// issueScope returns an access token with a scope for a resource.
func (w *world) issueScope(id authz.ClientID, secret authz.Secret, scope, resource string) string {
	w.t.Helper()
	issued, err := w.tokens.Token(w.t.Context(), authz.Request{
		GrantType: authz.GrantClientCredentials, Scope: scope, Resources: []string{resource},
		Client: authz.Presented{Method: authz.PresentedBasic, ID: id, Secret: secret},
	})
	w.must(err)
	return issued.AccessToken
}

// by is who sets a world up.
// backup copies the store, as the program wires it.
func (w *world) backup(ctx context.Context, by audit.Origin) (Backup, error) {
	f, err := w.db.Backup(ctx, by.Done(w.now(), "store.backup", issuer), nil)
	if err != nil {
		return Backup{}, err
	}
	info, err := f.Stat()
	return Backup{f, info.Size()}, err
}

func (w *world) by() audit.Origin { return audit.Origin{Actor: audit.System("test")} }

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/endpoint"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
)

// options are what a server takes beside its configuration.
type options struct {
	log           *slog.Logger     // nil is silence
	now           func() time.Time // nil is time.Now
	withoutSample bool             // leaves out the sample that --dev creates

	storeAs func(store.Store) store.Store // puts something between the server and its store; nil is nothing
	shared  bool                          // others have the same store, whatever kind it is
}

// server is a running Marque: one issuer. start makes it, Close ends it. Its fields are written
// before start returns and not afterwards, but for those that say so.
type server struct {
	config configs.Config
	log    *slog.Logger
	now    func() time.Time

	started      time.Time // as the machine's clock says
	backend      backend
	shared       bool // other servers may have the same store
	db           database
	certificate  *tls.Certificate // nil for plain HTTP
	listener     net.Listener     // the public one
	admin        net.Listener     // over TCP; nil if there is none
	local        net.Listener     // the admin socket
	issuer       string
	keks         []*jose.KEK // all open; marque key rewrap moves to the first
	installation keys.Installation
	secrets      keys.Secrets
	store        store.Store
	plain        store.Store // below it: what the driver can do beside that
	storeAs      func(store.Store) store.Store
	ring         *keys.Ring
	tokens       *authz.Server
	registry     *authz.Registry
	follower     *store.Follower
	feed         *authz.Feed
	index        *token.Index
	revoker      *authz.Revoker
	refusals     *authz.Refusals
	metrics      *metrics
	calls        *storeCalls
	neighbours

	indexing  sync.Mutex   // held by who compares the index with the store, or sweeps it
	deadKeys  []string     // under indexing: signing keys that the index knows to be revoked
	live      atomic.Bool  // everything listens
	confirmed atomic.Int64 // Unix nanoseconds at which the change feed was last read to its end
	failed    chan error   // of a listener that ended by itself; one place for each

	waits    bool                      // start's own: the store is away
	awaited  atomic.Pointer[string]    // why it is, or was
	standIns map[net.Listener]*standIn // start's own: what answers until the store is there

	closing sync.Once
	closers []closer // in order of start
	closed  error    // what closing met; set by closing
}

// closer ends one part of a server. Its context ends when the grace is over.
type closer struct {
	name string
	end  func(context.Context) error
}

// start brings up a server and returns when it is ready. ctx bounds the start and not the life of
// the server. What was begun before an error is ended again.
func start(ctx context.Context, c configs.Config, o options) (*server, error) {
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	if o.now == nil {
		o.now = time.Now
	}
	s := &server{config: c, log: o.log, now: o.now, started: time.Now(), storeAs: o.storeAs, shared: o.shared, calls: newStoreCalls(), failed: make(chan error, 3)}
	sample := s.sample
	if !c.Dev || o.withoutSample {
		sample = func(context.Context) error { return nil }
	}
	// Each step needs the ones before it. The lock of the folder comes early: whoever has it may
	// replace the socket in the folder. Certificate and addresses come before anything is made: a
	// start that fails must not bind a folder to an issuer.
	for _, step := range []func(context.Context) error{
		s.loadCertificate,
		s.openData,
		s.listen,
		s.connect,
		s.unseal,
		s.openRing,
		s.decide,
		s.follow,
		sample,
		s.serveAdmin,
		s.serveAdminTCP,
		s.servePublic,
		s.serveFeed,
	} {
		if err := s.patient(ctx, step); err != nil {
			return nil, errors.Join(s.withAdvice(err), s.Close())
		}
	}
	s.live.Store(true)
	state := "ready"
	if err := s.ready(ctx); err != nil {
		state = "started, and not ready: " + err.Error()
	}
	s.log.InfoContext(ctx, state, "issuer", s.issuer, "listen", s.Address(), "admin", s.AdminAddress(), "socket", s.Socket())
	return s, nil
}

// Close stops the server: no new requests, then the running ones get their grace, then what serves
// them ends, in reverse order of start. It returns once everything has ended.
func (s *server) Close() error {
	s.closing.Do(func() {
		s.live.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(s.config.Shutdown.Grace))
		defer cancel()
		for _, c := range slices.Backward(s.closers) {
			if err := c.end(ctx); err != nil {
				s.closed = errors.Join(s.closed, fmt.Errorf("stop %s: %w", c.name, err))
			}
		}
	})
	return s.closed
}

func (s *server) onClose(name string, end func(context.Context) error) {
	s.closers = append(s.closers, closer{name, end})
}

// Issuer is the issuer identifier.
func (s *server) Issuer() string { return s.issuer }

// Address is where the public listener listens, host:port.
func (s *server) Address() string { return s.listener.Addr().String() }

// AdminAddress is where the admin listener listens, host:port; empty if there is none.
func (s *server) AdminAddress() string {
	if s.admin == nil {
		return ""
	}
	return s.admin.Addr().String()
}

// Socket is the path of the admin socket.
func (s *server) Socket() string { return filepath.Join(s.config.Data, socketName) }

// confirmedAt is when the change feed was last read to its end; zero if it never was.
func (s *server) confirmedAt() time.Time {
	if n := s.confirmed.Load(); n != 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}

// decide makes what answers token requests and management calls.
func (s *server) decide(context.Context) error {
	var err error
	s.index, s.refusals = s.newIndex(), authz.NewRefusals()
	s.metrics = newMetrics(metricsConfig{
		Build: thisBuild(), Revocations: s.index.Len, Confirmed: s.confirmedAt, Keys: s.ring.List, Now: s.commonNow, Log: s.log, Calls: s.calls,
		Status: s.statusConfig(), Feed: func() authz.FeedStats { return s.feed.Stats() },
	})
	s.revoker, err = authz.NewRevoker(authz.RevokerConfig{
		Records:   s.store,
		Index:     s.index,
		Applied:   s.applied,
		PerClient: s.config.Limits.TokenRevocations,
		Now:       s.commonNow,
		Skew:      s.skew(),
	})
	if err != nil {
		return err
	}
	s.tokens, err = authz.NewServer(authz.Config{
		Issuer:       s.issuer,
		Pepper:       s.secrets.Pepper,
		Clients:      s.store,
		Resources:    s.store,
		Keys:         s.ring,
		Algorithm:    s.algorithm(),
		PublicKey:    s.ring.Lookup,
		Revocations:  s.remember(),
		Index:        s.index,
		Revoker:      s.revoker,
		ClientCache:  s.config.Cache.Clients,
		StoreOutage:  time.Duration(s.config.Store.Outage),
		ClientRate:   float64(s.config.Limits.ClientRate),
		Failures:     float64(s.config.Limits.Failures),
		Unknown:      float64(s.config.Limits.UnknownTokens),
		SigningQueue: s.config.Limits.SigningQueue,
		Now:          s.now,
		CaughtUp:     s.caughtUp(),
		Clock:        s.sharedClock(),
	})
	if err != nil {
		return err
	}
	if err := s.openFeed(); err != nil {
		return err
	}
	s.registry, err = authz.NewRegistry(authz.RegistryConfig{
		Issuer:          s.issuer,
		Pepper:          s.secrets.Pepper,
		Clients:         s.store,
		Resources:       s.store,
		Revocations:     s.store,
		Log:             s.store,
		Revoker:         s.revoker,
		ClaimNamespaces: s.config.Claims.Namespaces,
		Algorithm:       s.algorithm(),
		EnsureKeys:      s.ensureKeys,
		KnowsKey:        s.ring.Knows,
		Applied:         s.applied,
		Now:             s.commonNow,
	})
	return err
}

// applyTimeout is how long a change that was committed may take to arrive in this process.
const applyTimeout = 5 * time.Second

// applied returns once this process has applied every change committed before the call. A caller who
// hangs up after the commit does not end it: a client that is disabled stops at once all the same.
func (s *server) applied(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyTimeout)
	defer cancel()
	if err := s.follower.CatchUp(ctx); err != nil {
		return err
	}
	return s.lasting(ctx)
}

// caughtUp returns what applies every change that was committed before it is called; nil when nobody else
// changes anything.
func (s *server) caughtUp() func(context.Context) error {
	if !s.shared {
		return nil
	}
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, applyTimeout)
		defer cancel()
		return s.follower.CatchUp(ctx)
	}
}

// lasting returns once what was committed before is as durable as was asked for. A repeat writes nothing when
// it finds what the first attempt wrote: that one may have been told that nobody confirmed it.
func (s *server) lasting(ctx context.Context) error {
	if c, ok := s.store.(interface{ Confirm(context.Context) error }); ok {
		return c.Confirm(ctx)
	}
	return nil
}

// publicHandler translates the configuration for the public listener.
func (s *server) publicHandler() (http.Handler, error) {
	proxies, err := networks(s.config.TrustedProxies)
	if err != nil {
		return nil, err
	}
	return endpoint.New(endpoint.Config{
		Issuer:                   s.issuer,
		InsecureHTTP:             s.config.InsecureHTTP || s.config.Dev,
		Tokens:                   s.tokens,
		Keys:                     s.ring,
		Feed:                     s.feed,
		Log:                      s.log,
		Refusals:                 s.refusals,
		Meter:                    s.metrics,
		Now:                      s.now,
		Ready:                    s.ready,
		TrustedProxies:           proxies,
		SigningAlgorithms:        signingAlgorithms(s.config.Keys.Ed25519Name),
		WithoutOpenIDAlias:       !s.config.Metadata.OpenIDAlias,
		PlaceholderResponseTypes: s.config.Metadata.ResponseTypesPlaceholder,
	})
}

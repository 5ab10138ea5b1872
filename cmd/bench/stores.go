package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// stand is one of the two servers that are compared: on the embedded store, or on Redis.
type stand struct {
	lab    *lab
	server *process
	load   *load
	tokens []owned
	redis  *process // works for the server; nil for the embedded store
}

// measureStores measures a server on Redis beside one on the embedded store.
func measureStores(ctx context.Context, base lab, r *report) error {
	redis, err := startRedis(ctx, base.dir)
	if err != nil {
		return err
	}
	defer redis.stop()
	version, err := redis.info("server")
	if err != nil {
		return err
	}
	r.stores(version["redis_version"], base.settings.clients)
	embedded, err := base.stand(ctx, "embedded", nil)
	if err != nil {
		return fmt.Errorf("the embedded store: %w", err)
	}
	defer embedded.close()
	shared, err := base.stand(ctx, "redis", redis)
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	defer shared.close()
	idle, err := redis.idle(ctx)
	if err != nil {
		return err
	}
	if err := compare(ctx, embedded, shared, r); err != nil {
		return err
	}
	if err := shared.tally(ctx, redis, idle, r); err != nil {
		return err
	}
	embedded.close()
	if base.settings.filled == 0 {
		return nil
	}
	return measureMany(ctx, shared, redis, idle, r)
}

// cacheClients is what cache.clients is by default.
const cacheClients = 10_000

// stand makes an installation in a folder of its own, starts its server and registers the clients.
func (l lab) stand(ctx context.Context, name string, on *redis) (*stand, error) {
	l.dir = filepath.Join(l.dir, name)
	l.signed = algorithms()[:1]
	l.env = []string{"MARQUE_CACHE_CLIENTS=" + strconv.Itoa(cacheClients)}
	if err := os.Mkdir(l.dir, 0o700); err != nil {
		return nil, err
	}
	s := &stand{lab: &l}
	if on != nil {
		l.env, s.redis = append(l.env, on.env()...), on.process
	}
	err := l.prepare(ctx)
	if err == nil {
		s.server, err = l.serve(ctx)
	}
	if err == nil {
		_, err = l.register(ctx)
	}
	if err != nil {
		s.close()
	}
	return s, err
}

// connect makes the connections of the load. A server hangs up on those that ask for nothing.
func (s *stand) connect(ctx context.Context) error {
	var err error
	s.load, err = newLoad(ctx, s.server.address, s.lab.settings.connections)
	return err
}

// close ends the server. Closing again does nothing.
func (s *stand) close() {
	if s.load != nil {
		s.load.close()
	}
	if s.server != nil {
		s.server.stop()
	}
	s.load, s.server = nil, nil
}

func (s *stand) side(requests [][]byte) side {
	return side{process: s.server, load: s.load, requests: requests, helper: s.redis}
}

// part is some of the tokens that are to be revoked: as many for each window, and for the counting.
func (s *stand) part(n int) []owned {
	size := len(s.tokens) / (s.lab.settings.pairs + 1)
	return s.tokens[n*size : (n+1)*size]
}

// fetch gets the tokens that are asked about, and then revoked.
func (s *stand) fetch(ctx context.Context) error {
	parts := s.lab.settings.pairs + 1
	var err error
	s.tokens, err = s.lab.fetchTokens(ctx, s.server, parts*s.lab.settings.evenly(s.lab.settings.withdrawn/parts+1))
	return err
}

func (s *stand) issuing() side { return s.side(s.lab.requests[jose.ES256]) }

func (s *stand) asking() side { return s.side(s.lab.introspections(s.tokens)) }

// revoke revokes a part of the tokens, each once.
func (s *stand) revoke(ctx context.Context, n int) (window, error) {
	requests := s.lab.revocations(s.part(n))
	return s.side(requests).measureUpTo(ctx, len(requests), time.Minute)
}

// compare measures the two in turn.
func compare(ctx context.Context, embedded, shared *stand, r *report) error {
	settings := shared.lab.settings
	for _, s := range []*stand{embedded, shared} {
		if err := s.fetch(ctx); err != nil {
			return fmt.Errorf("tokens to withdraw: %w", err)
		}
		if err := s.connect(ctx); err != nil {
			return err
		}
	}
	r.storesHead()
	for _, what := range []struct {
		name    string
		onDisk  bool // that is what bounds it
		measure func() ([]pair, error)
	}{
		{"tokens", false, func() ([]pair, error) { return settings.alternate(ctx, embedded.issuing(), shared.issuing()) }},
		{"introspection", false, func() ([]pair, error) { return settings.alternate(ctx, embedded.asking(), shared.asking()) }},
		{"revocation", true, func() ([]pair, error) {
			return settings.inTurn(
				func(n int) (window, error) { return embedded.revoke(ctx, n) },
				func(n int) (window, error) { return shared.revoke(ctx, n) })
		}},
	} {
		pairs, err := what.measure()
		if err != nil {
			return fmt.Errorf("%s: %w", what.name, err)
		}
		r.store(what.name, pairs, what.onDisk)
	}
	r.speedEnd()
	return nil
}

// tally counts what Redis is asked for by requests of each kind.
func (s *stand) tally(ctx context.Context, redis *redis, idle counted, r *report) error {
	r.tallies(idle)
	live, revoked := s.part(s.lab.settings.pairs), s.part(0)
	for _, t := range []struct {
		what, target string
		requests     [][]byte
		n            int
	}{
		{"token, client cached", "0 calls", s.lab.requests[jose.ES256], countedTokens},
		{"introspection, active", "1 round trip", s.lab.introspections(live), s.lab.settings.withdrawn},
		{"introspection, revoked", "1 round trip", s.lab.introspections(revoked), s.lab.settings.withdrawn},
		{"revocation", "", s.lab.revocations(live), len(live)},
	} {
		var asked int
		seen, err := redis.during(func() (err error) {
			asked, err = s.load.run(ctx, t.requests, t.n, time.Minute)
			return err
		})
		if err != nil {
			return fmt.Errorf("count %s: %w", t.what, s.server.failure(err))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.tally(tally{t.what, t.target, asked, seen, idle})
	}
	return nil
}

// countedTokens is how many are issued while calls are counted.
const countedTokens = 20_000

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/keys/jose"
)

// manyAsking is how many different clients ask a server for tokens before its memory is read, and as many
// others then: five times what its cache holds.
const manyAsking = 50_000

// many is what was seen of a server on a Redis with many clients.
type many struct {
	clients  int
	filled   filled
	few, all started // before Redis was filled, and after
	held     []holding
	uncached tally
}

// filled is what the filling took.
type filled struct {
	took             time.Duration
	records, entries float64 // memory of Redis for each client, in octets
	memory           int64   // all that Redis uses then
}

// started is what was seen of servers that had just started.
type started struct {
	took []time.Duration // from the start of the process to the first token
	held resident        // when it was ready
}

// holding is what a server held after tokens of different clients.
type holding struct {
	tokens, clients int
	held            resident
}

// measureMany fills Redis with clients, and measures a server that starts then.
func measureMany(ctx context.Context, s *stand, redis *redis, idle counted, r *report) error {
	l := s.lab
	m := many{clients: l.settings.filled}
	f, err := l.filling(ctx, redis)
	if err != nil {
		return fmt.Errorf("fill redis: %w", err)
	}
	s.close()
	if m.few, err = l.starting(ctx, l.requests[jose.ES256]); err != nil {
		return err
	}
	if err := l.seats.atServer(func() (err error) { // nobody else is there now
		m.filled, err = f.run(ctx, m.clients)
		return err
	}); err != nil {
		return fmt.Errorf("fill redis: %w", err)
	}
	requests := l.filledRequests(f.secrets)
	if m.all, err = l.starting(ctx, requests); err != nil {
		return err
	}
	if err := l.measureCache(ctx, redis, idle, requests, &m); err != nil {
		return err
	}
	r.many(m)
	return nil
}

// filling registers the pattern and opens the installation.
func (l *lab) filling(ctx context.Context, redis *redis) (*filling, error) {
	s := secrets(rand.Text())
	if err := l.registerPattern(ctx, s); err != nil {
		return nil, fmt.Errorf("register the pattern: %w", err)
	}
	return openFilling(redis, l.kek(), s)
}

// registerPattern registers the client that padding repeats.
func (l *lab) registerPattern(ctx context.Context, s secrets) error {
	api, err := client.NewUnix(filepath.Join(l.data(), "admin.sock"))
	if err != nil {
		return err
	}
	answer, err := api.CreateClientWithResponse(ctx, nil, client.ClientMetadata{
		ClientID: new(filledID(0)), ClientName: filledName(0), ClientSecret: new(s.of(0)),
		Scope: new(scope), Resources: &[]string{resourceOf(jose.ES256)},
	})
	if err == nil && answer.JSON201 == nil {
		err = fmt.Errorf("%s: %s", answer.Status(), answer.Body)
	}
	return err
}

// run fills Redis up to n clients.
func (f *filling) run(ctx context.Context, n int) (filled, error) {
	var out filled
	began := time.Now()
	memory := [3]int64{}
	for i, send := range []func(int) (int, error){nil, f.sendRecords, f.sendEntry} {
		if send != nil {
			if err := f.each(ctx, n, send); err != nil {
				return out, f.redis.process.failure(err)
			}
		}
		var err error
		if memory[i], err = f.redis.number("memory", "used_memory"); err != nil {
			return out, err
		}
	}
	put := float64(n - 1)
	out.records, out.entries = float64(memory[1]-memory[0])/put, float64(memory[2]-memory[1])/put
	out.took, out.memory = time.Since(began), memory[2]
	return out, nil
}

// filledRequests are those of so many different clients that asking for them fills the cache again and
// again: an even number, of which each connection has as many in either half.
func (l *lab) filledRequests(s secrets) [][]byte {
	half := min(manyAsking, l.settings.filled/2)
	half -= half % l.settings.connections
	requests := make([][]byte, 2*half)
	for i := range requests {
		n := l.settings.filled - 1 - i // from the end: the last of them must be there, too
		requests[i] = tokenRequest(l.address, filledID(n), s.of(n), resourceOf(jose.ES256))
	}
	return requests
}

// starting measures starts, and reads the memory of one more.
func (l *lab) starting(ctx context.Context, requests [][]byte) (started, error) {
	took, err := l.measureStarts(ctx, requests)
	if err != nil {
		return started{}, err
	}
	server, err := l.serve(ctx)
	if err != nil {
		return started{}, err
	}
	defer server.stop()
	held, err := server.memory()
	return started{took, held}, err
}

// measureCache asks a server that has just started for tokens of many more clients than it keeps.
func (l *lab) measureCache(ctx context.Context, redis *redis, idle counted, requests [][]byte, m *many) error {
	server, err := l.serve(ctx)
	if err != nil {
		return err
	}
	defer server.stop()
	load, err := newLoad(ctx, server.address, l.settings.connections)
	if err != nil {
		return err
	}
	defer load.close()
	first, second := requests[:len(requests)/2], requests[len(requests)/2:]
	m.uncached = tally{what: "token, client not cached", target: "1 round trip", idle: idle}
	m.uncached.seen, err = redis.during(func() (err error) { // each asks once
		m.uncached.asked, err = load.run(ctx, first, len(first), memoryTimeout)
		return err
	})
	if err != nil {
		return server.failure(err)
	}
	again, err := load.run(ctx, first, max(0, l.settings.tokens-m.uncached.asked), memoryTimeout)
	if err != nil {
		return server.failure(err)
	}
	if err := m.hold(server, m.uncached.asked+again, len(first)); err != nil {
		return err
	}
	others, err := load.run(ctx, second, l.settings.tokens, memoryTimeout)
	if err != nil {
		return server.failure(err)
	}
	return errors.Join(m.hold(server, others, len(second)), ctx.Err())
}

// hold reads what the server holds.
func (m *many) hold(server *process, tokens, clients int) error {
	held, err := server.memory()
	m.held = append(m.held, holding{tokens, clients, held})
	return err
}

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/marque-auth/marque/authz/token"
)

// revokedShare is how many of the filled clients have one live revocation: one in so many.
const revokedShare = 10

// moves is what moving a large installation took, and starting on it.
type moves struct {
	clients, revocations int
	records              int   // in the export
	octets               int64 // of the export
}

// moved is one command.
type moved struct {
	what    string
	records int
	took    time.Duration
	held    int64 // the most that the process held, in octets; 0 where that is not known
}

// measureMoving makes a large installation out of a small one, moves it into the embedded store, out of it, into Redis
// and out of that, starts servers on both, and takes Redis away from three of them for a while.
func measureMoving(ctx context.Context, base lab, r *report) error {
	m := moves{clients: base.settings.filled}
	m.revocations = m.clients / revokedShare
	large, s, err := m.make(ctx, base)
	if err != nil {
		return fmt.Errorf("make a large installation: %w", err)
	}
	r.moving(m)
	redis, err := startRedis(ctx, base.dir)
	if err != nil {
		return err
	}
	defer redis.stop()
	embedded, shared := base, base
	shared.env = redis.env()
	if err := m.through(ctx, &embedded, "embedded", large, base.kek(), s, r); err != nil {
		return fmt.Errorf("the embedded store: %w", err)
	}
	if err := m.through(ctx, &shared, "Redis", large, base.kek(), s, r); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	back, err := shared.recover(ctx, redis)
	if err != nil {
		return fmt.Errorf("redis away: %w", err)
	}
	r.recovered(back)
	return nil
}

// make registers the pattern at a server, exports that, and writes the export of a large installation.
func (m *moves) make(ctx context.Context, base lab) (file string, s secrets, err error) {
	s = secrets(rand.Text())
	base.settings.clients = 1
	base.signed = algorithms()[:1]
	if err := base.prepare(ctx); err != nil {
		return "", s, err
	}
	server, err := base.serve(ctx)
	if err != nil {
		return "", s, err
	}
	_, err = base.register(ctx)
	if err == nil {
		err = base.registerPattern(ctx, s)
	}
	server.stop()
	if err != nil {
		return "", s, err
	}
	small := filepath.Join(base.dir, "small.export")
	if _, err := base.move(ctx, "export", small, base.data(), base.kek()); err != nil {
		return "", s, err
	}
	b, kek, err := openBulk(small, base.kek(), s)
	if err != nil {
		return "", s, err
	}
	b.clients, b.revocations, b.until = m.clients, m.revocations, time.Now().Add(token.RevocationKept).Truncate(time.Second)
	file = filepath.Join(base.dir, "large.export")
	m.records, m.octets, err = b.write(ctx, file, kek)
	return file, s, err
}

// through imports the large installation into a store, starts servers on it, and exports it again.
func (m *moves) through(ctx context.Context, l *lab, name, large, kek string, s secrets, r *report) error {
	l.dir = filepath.Join(l.dir, "moved-"+name)
	err := os.Mkdir(l.dir, 0o700)
	if err == nil {
		err = os.Link(kek, l.kek())
	}
	if err == nil {
		l.address, err = freeAddress()
	}
	if err != nil {
		return err
	}
	in, err := l.move(ctx, "import", large, l.data(), l.kek())
	if err != nil {
		return err
	}
	in.what, in.records = "import into "+name, m.records
	r.moved(in)
	requests := l.filledRequests(s)
	// An import revokes what was issued until some seconds from now: the first start waits for them to pass.
	if _, err := l.firstToken(ctx, requests[0]); err != nil {
		return err
	}
	took, err := l.measureStarts(ctx, requests)
	if err != nil {
		return err
	}
	r.movedStarts(name, took)
	out, err := l.move(ctx, "export", filepath.Join(l.dir, "again.export"), l.data(), l.kek())
	if err != nil {
		return err
	}
	out.what, out.records = "export from "+name, m.records
	r.moved(out)
	return nil
}

// move runs marque export or marque import on the server's core, and wants it to say what it moved.
func (l *lab) move(ctx context.Context, verb, file, data, kek string) (moved, error) {
	cmd := exec.CommandContext(ctx, l.binary, verb, file, "--data", data, "--kek-file", kek, "--json")
	cmd.Env = append(os.Environ(), l.env...)
	var out bytes.Buffer
	cmd.Stdout = &out
	began := time.Now()
	p, err := start(l.seats, l.dir, "marque-"+verb, cmd)
	if err != nil {
		return moved{}, err
	}
	<-p.ended
	took := time.Since(began)
	var said map[string]any
	if err := errors.Join(p.err, json.Unmarshal(out.Bytes(), &said)); err != nil {
		return moved{}, p.failure(err)
	}
	return moved{took: took, held: peakOf(cmd.ProcessState)}, nil
}

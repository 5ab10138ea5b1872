package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/marque-auth/marque/authz/admin/client"
)

// recoveryNodes is how many servers wait for their Redis.
const recoveryNodes = 3

// awayFor is how long Redis is away at least: its server must have noticed.
const awayFor = 3 * time.Second

// recovery is what was seen after Redis had been killed and started again.
type recovery struct {
	loading time.Duration // from the start of Redis until it answers: it reads its file
	current time.Duration // from then until every server knows all that was committed before
}

// recover starts servers on Redis, kills that, starts it again, and waits for the servers.
func (l *lab) recover(ctx context.Context, redis *redis) (recovery, error) {
	var nodes []*lab
	for i := range recoveryNodes {
		n := *l
		n.dir = filepath.Join(l.dir, fmt.Sprint("node-", i))
		var err error
		if n.address, err = freeAddress(); err != nil {
			return recovery{}, err
		}
		server, err := n.serveOn(ctx, l.kek())
		if err != nil {
			return recovery{}, err
		}
		defer server.stop()
		nodes = append(nodes, &n)
	}
	redis.kill()
	select {
	case <-time.After(awayFor):
	case <-ctx.Done():
		return recovery{}, ctx.Err()
	}
	began := time.Now()
	if err := redis.again(ctx); err != nil {
		return recovery{}, err
	}
	answers := time.Now()
	var errs []error
	for _, n := range nodes {
		errs = append(errs, n.awaitCurrent(ctx, answers))
	}
	return recovery{answers.Sub(began), time.Since(answers)}, errors.Join(errs...)
}

// awaitCurrent waits until a server says that it knows everything that was committed before a time.
func (l *lab) awaitCurrent(ctx context.Context, at time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	api, err := client.NewUnix(filepath.Join(l.data(), "admin.sock"))
	if err != nil {
		return err
	}
	for {
		answer, err := api.StatusWithResponse(ctx)
		if err == nil && answer.JSON200 != nil {
			if c := answer.JSON200.Store.ConfirmedAt; c != nil && c.After(at) {
				return nil
			}
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("a server is not current %s after Redis is back: %w", startTimeout, errors.Join(err, ctx.Err()))
		}
	}
}

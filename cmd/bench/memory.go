package main

import (
	"context"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// memoryTimeout bounds the run before memory is read: a slow machine reads it after fewer tokens,
// and the report says after how many.
const memoryTimeout = time.Minute

// memoryUse is what the server held at several moments.
type memoryUse struct {
	began  resident // ready, before the first token
	tokens int
	after  resident // that many tokens later
	used   resident // the process in which everything was registered, after all windows
}

// measureMemory issues tokens to all clients from a server that was just started.
func (l *lab) measureMemory(ctx context.Context, server *process, used resident, r *report) error {
	began, err := server.memory()
	if err != nil {
		return err
	}
	load, err := newLoad(ctx, server.address, l.settings.connections)
	if err != nil {
		return err
	}
	defer load.close()
	tokens, err := load.run(ctx, l.requests[jose.ES256], l.settings.tokens, memoryTimeout)
	if err != nil {
		return server.failure(err)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	after, err := server.memory()
	if err != nil {
		return err
	}
	r.memory(l.settings.clients, memoryUse{began, tokens, after, used})
	return nil
}

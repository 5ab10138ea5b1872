package main

import (
	"context"
	"fmt"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// measureStarts starts the server several times, with the keys and clients that exist, and returns
// how long each took from the start of the process to the end of the first token's answer.
func (l *lab) measureStarts(ctx context.Context) ([]time.Duration, error) {
	var took []time.Duration
	for range l.settings.starts {
		d, err := l.firstToken(ctx)
		if err != nil {
			return nil, fmt.Errorf("start to first token: %w", err)
		}
		took = append(took, d)
	}
	return took, nil
}

func (l *lab) firstToken(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	p, err := l.launch()
	if err != nil {
		return 0, err
	}
	defer p.stop()
	at, err := p.await(ctx, l.requests[jose.ES256][0])
	return at.Sub(began), err
}

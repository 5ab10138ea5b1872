package main

import (
	"context"
	"fmt"
	"time"
)

// measureStarts starts the server several times, with the keys and clients that exist, and returns
// how long each took from the start of the process to the end of the first token's answer. Each is asked
// another one of the requests.
func (l *lab) measureStarts(ctx context.Context, requests [][]byte) ([]time.Duration, error) {
	var took []time.Duration
	for i := range l.settings.starts {
		d, err := l.firstToken(ctx, requests[i%len(requests)])
		if err != nil {
			return nil, fmt.Errorf("start to first token: %w", err)
		}
		took = append(took, d)
	}
	return took, nil
}

func (l *lab) firstToken(ctx context.Context, request []byte) (time.Duration, error) {
	began := time.Now()
	p, err := l.launch()
	if err != nil {
		return 0, err
	}
	defer p.stop()
	at, err := p.await(ctx, request)
	return at.Sub(began), err
}

package main

import (
	"context"
	"fmt"
	"math"
	"time"
)

// side is one of the two that are compared: its process, and the load that is put on it.
type side struct {
	process  *process
	load     *load
	requests [][]byte
}

// window is what was seen of one side between two looks at the clocks.
type window struct {
	tokens  int
	elapsed time.Duration
	cpu     time.Duration
}

func (w window) perToken() float64  { return float64(w.cpu.Nanoseconds()) / 1e3 / float64(w.tokens) } // µs
func (w window) perSecond() float64 { return float64(w.tokens) / w.elapsed.Seconds() }
func (w window) busy() float64      { return w.cpu.Seconds() / w.elapsed.Seconds() } // share of a core

// pair is a window of the floor and the window of the server that followed it.
type pair struct{ floor, server window }

func (p pair) ratio() float64 { return p.server.perToken() / p.floor.perToken() }

// measureSpeed compares the server with the floor for every algorithm.
func (l *lab) measureSpeed(ctx context.Context, server *process, r *report) error {
	floor, err := l.startFloor(ctx, server)
	if err != nil {
		return err
	}
	defer floor.stop()
	toFloor, err := newLoad(ctx, floor.address, l.settings.connections)
	if err != nil {
		return err
	}
	defer toFloor.close()
	toServer, err := newLoad(ctx, server.address, l.settings.connections)
	if err != nil {
		return err
	}
	defer toServer.close()
	r.speedHead()
	for _, a := range algorithms() {
		pairs, err := l.alternate(ctx,
			side{floor, toFloor, l.requests[a][:1]}, // the only secret that it knows
			side{server, toServer, l.requests[a]})
		if err != nil {
			return fmt.Errorf("measure %s: %w", a, err)
		}
		r.speed(a, pairs)
	}
	r.speedEnd()
	return nil
}

// alternate measures floor, server, floor, server, …: what a machine does on the side, and how its
// clock drifts, hits both sides of a pair alike.
func (l *lab) alternate(ctx context.Context, floor, server side) ([]pair, error) {
	for _, s := range []side{floor, server} { // warm up
		if _, err := s.measure(ctx, l.settings.window); err != nil {
			return nil, err
		}
	}
	var pairs []pair
	for range l.settings.pairs {
		f, err := floor.measure(ctx, l.settings.window)
		if err != nil {
			return nil, fmt.Errorf("the floor: %w", err)
		}
		s, err := server.measure(ctx, l.settings.window)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, pair{f, s})
	}
	return pairs, nil
}

// measure puts load on a side for d.
func (s side) measure(ctx context.Context, d time.Duration) (window, error) {
	return s.measureUpTo(ctx, math.MaxInt32, d)
}

// measureUpTo is measure that ends when that many requests were answered. If there are as many, each is
// sent once.
func (s side) measureUpTo(ctx context.Context, most int, d time.Duration) (window, error) {
	cpu, err := s.process.cpu()
	if err != nil {
		return window{}, err
	}
	began := time.Now()
	tokens, err := s.load.run(ctx, s.requests, most, d)
	elapsed := time.Since(began)
	if err != nil {
		return window{}, s.process.failure(err)
	}
	after, err := s.process.cpu()
	if err != nil {
		return window{}, err
	}
	if ctx.Err() != nil {
		return window{}, ctx.Err()
	}
	if tokens == 0 {
		return window{}, fmt.Errorf("no token in %s", d)
	}
	return window{tokens: tokens, elapsed: elapsed, cpu: after - cpu}, nil
}

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
	helper   *process // works for it, on another core; nil for nobody
}

// window is what was seen of one side between two looks at the clocks.
type window struct {
	tokens  int
	elapsed time.Duration
	cpu     time.Duration
	helped  time.Duration // CPU time of the helper
}

func (w window) perToken() float64 { return float64(w.cpu.Nanoseconds()) / 1e3 / float64(w.tokens) } // µs
func (w window) helpPerToken() float64 {
	return float64(w.helped.Nanoseconds()) / 1e3 / float64(w.tokens) // µs
}
func (w window) perSecond() float64 { return float64(w.tokens) / w.elapsed.Seconds() }
func (w window) busy() float64      { return w.cpu.Seconds() / w.elapsed.Seconds() } // share of a core

// pair is a window of one side, such as the floor, and the window of the other that followed it.
type pair struct{ first, second window }

func (p pair) ratio() float64 { return p.second.perToken() / p.first.perToken() }

// ratioWithHelp counts the second one's helper in.
func (p pair) ratioWithHelp() float64 {
	return (p.second.perToken() + p.second.helpPerToken()) / p.first.perToken()
}

func (p pair) rates() float64 { return p.second.perSecond() / p.first.perSecond() }

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
		pairs, err := l.settings.alternate(ctx,
			side{process: floor, load: toFloor, requests: l.requests[a][:1]}, // the only secret that it knows
			side{process: server, load: toServer, requests: l.requests[a]})
		if err != nil {
			return fmt.Errorf("measure %s: %w", a, err)
		}
		r.speed(a, pairs)
	}
	r.speedEnd()
	return nil
}

// alternate measures both sides in turn, each under the same requests again and again.
func (s settings) alternate(ctx context.Context, first, second side) ([]pair, error) {
	for _, one := range []side{first, second} { // warm up
		if _, err := one.measure(ctx, s.window); err != nil {
			return nil, err
		}
	}
	return s.inTurn(
		func(int) (window, error) { return first.measure(ctx, s.window) },
		func(int) (window, error) { return second.measure(ctx, s.window) })
}

// inTurn measures first, second, first, second, …: what a machine does on the side, and how its clock
// drifts, hits both windows of a pair alike.
func (s settings) inTurn(first, second func(n int) (window, error)) ([]pair, error) {
	pairs := make([]pair, s.pairs)
	for n := range pairs {
		var err error
		if pairs[n].first, err = first(n); err != nil {
			return nil, err
		}
		if pairs[n].second, err = second(n); err != nil {
			return nil, err
		}
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
	before, err := s.cpu()
	if err != nil {
		return window{}, err
	}
	began := time.Now()
	tokens, err := s.load.run(ctx, s.requests, most, d)
	elapsed := time.Since(began)
	if err != nil {
		return window{}, s.process.failure(err)
	}
	after, err := s.cpu()
	if err != nil {
		return window{}, err
	}
	if ctx.Err() != nil {
		return window{}, ctx.Err()
	}
	if tokens == 0 {
		return window{}, fmt.Errorf("no token in %s", d)
	}
	return window{tokens: tokens, elapsed: elapsed, cpu: after.process - before.process, helped: after.helper - before.helper}, nil
}

// used is CPU time that a side has used since it started.
type used struct{ process, helper time.Duration }

func (s side) cpu() (used, error) {
	var u used
	var err error
	if u.process, err = s.process.cpu(); err != nil || s.helper == nil {
		return u, err
	}
	u.helper, err = s.helper.cpu()
	return u, err
}

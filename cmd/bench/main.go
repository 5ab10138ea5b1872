// Command bench measures a real marque server process beside a bare net/http handler that does the
// least a token endpoint can do: parse the form, compare one hash, sign. README.md says what each
// number means. Nothing is asserted: targets are printed beside what was measured.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// settings bound the run in count and time.
type settings struct {
	binary      string        // a marque binary; empty: build one
	clients     int           // registered clients, all of which ask for tokens
	connections int           // kept alive, one request at a time on each
	pairs       int           // windows of the floor, and as many of the server, for each algorithm
	window      time.Duration // length of a window
	tokens      int           // issued before memory is read
	starts      int           // process starts to the first token
	withdrawn   int           // tokens that are asked about, and then revoked
	streams     int           // of the revocation feed; 0: none
	listed      int           // clients that are registered before pages of them are asked for; 0: none

	feed   bool // measure the revocation feed, and nothing else
	redis  bool // measure a server on Redis beside one on the embedded store, and nothing else
	gate   bool // measure nginx with a gate beside nginx alone, and nothing else
	moving bool // measure moving a large installation, starts on it and recovery, and nothing else
	filled int  // clients that Redis, or the large installation, holds when starts and memory are measured; 0: leave that out
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == floorCommand {
		exit(serveFloor(os.Stdin, os.Stdout))
	}
	var s settings
	flag.StringVar(&s.binary, "marque", "", "the marque `binary` to measure (default: built from this module)")
	flag.IntVar(&s.clients, "clients", 1_000, "registered clients")
	flag.IntVar(&s.connections, "connections", 8, "connections kept alive")
	flag.IntVar(&s.pairs, "pairs", 9, "pairs of windows for each algorithm")
	flag.DurationVar(&s.window, "window", 600*time.Millisecond, "length of a window")
	flag.IntVar(&s.tokens, "tokens", 100_000, "tokens issued before memory is read")
	flag.IntVar(&s.starts, "starts", 7, "process starts to the first token")
	flag.IntVar(&s.withdrawn, "withdrawn", 5_000, "tokens that are introspected, and then revoked")
	flag.IntVar(&s.listed, "listed", 100_000, "clients registered before lists are measured; 0 for none")
	flag.IntVar(&s.streams, "streams", 1_000, "streams of the revocation feed; 0 for none")
	flag.BoolVar(&s.feed, "feed", false, "measure the revocation feed, and nothing else")
	flag.BoolVar(&s.redis, "redis", false, "measure Redis beside the embedded store, and nothing else")
	flag.BoolVar(&s.gate, "gate", false, "measure nginx that asks marque gate beside nginx alone, and nothing else")
	flag.BoolVar(&s.moving, "moving", false, "measure moving a large installation, and nothing else")
	flag.IntVar(&s.filled, "filled", 1_000_000, "with -redis or -moving: clients that a store is filled with; 0 for none")
	flag.Parse()
	if problem := s.problem(); problem != "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "bench:", cmp.Or(problem, "no arguments, please"))
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s, os.Stdout)
	stop()
	exit(err)
}

// problem says what cannot be measured so; empty for none.
func (s settings) problem() string {
	if s.gate && s.redis || s.moving && (s.gate || s.redis) {
		return "-gate, -redis and -moving exclude each other"
	}
	if least := 2 * s.connections; s.redis && s.filled != 0 && s.filled < least || s.moving && s.filled < least {
		return fmt.Sprintf("-filled is 0, or at least %d, twice the connections", least)
	}
	if min(s.clients, s.connections, s.pairs, s.tokens, s.starts, s.withdrawn) < 1 || s.window <= 0 || s.listed < 0 || s.streams < 0 || s.feed && s.streams == 0 {
		return "every number is at least 1 (-listed, -streams and -filled at least 0)"
	}
	return ""
}

func exit(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run measures everything once, from an empty data folder to the report.
func run(ctx context.Context, s settings, out io.Writer) error {
	began := time.Now()
	dir, err := os.MkdirTemp("", "marque-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := s.binary
	if binary == "" {
		// Before this process is confined to one core.
		if binary, err = build(ctx, dir); err != nil {
			return err
		}
	}
	runtime.GOMAXPROCS(1)
	seats := findSeats()
	if err := seats.sit(); err != nil {
		return err
	}
	l := lab{settings: s, seats: seats, binary: binary, dir: dir}
	r := report{out: out}
	r.machine(s, seats)
	switch {
	case s.gate:
		err = measureGate(ctx, l, &r)
	case s.feed:
		l.signed = []jose.Algorithm{jose.ES256}
		err = l.onlyFeed(ctx, &r)
	case s.redis:
		err = measureStores(ctx, l, &r)
	case s.moving:
		err = measureMoving(ctx, l, &r)
	default:
		l.signed = algorithms()
		err = l.measure(ctx, &r)
	}
	if err != nil {
		return err
	}
	r.end(time.Since(began))
	return nil
}

// measure runs the parts of the report in the order in which it prints them.
func (l *lab) measure(ctx context.Context, r *report) error {
	if err := l.prepare(ctx); err != nil {
		return err
	}
	server, err := l.serve(ctx)
	if err != nil {
		return err
	}
	defer func() { server.stop() }()
	took, err := l.register(ctx)
	if err != nil {
		return err
	}
	r.registered(l.settings.clients, took)
	if err := l.measureSpeed(ctx, server, r); err != nil {
		return err
	}
	if err := l.measureWithdrawal(ctx, server, r); err != nil {
		return err
	}
	if err := l.measureJWKS(ctx, server, r); err != nil {
		return err
	}
	if l.settings.streams > 0 {
		if err := l.measureFeed(ctx, server, r); err != nil {
			return err
		}
	}
	used, err := server.memory()
	if err != nil {
		return err
	}
	server.stop()
	starts, err := l.measureStarts(ctx, l.requests[jose.ES256])
	if err != nil {
		return err
	}
	r.starts(starts)
	if server, err = l.serve(ctx); err != nil {
		return err
	}
	if err := l.measureMemory(ctx, server, used, r); err != nil {
		return err
	}
	server.stop()
	if err := l.measureRotation(ctx, r); err != nil {
		return err
	}
	if err := l.measureSigning(ctx, r); err != nil {
		return err
	}
	if err := l.measureDecision(ctx, r); err != nil {
		return err
	}
	if server, err = l.serve(ctx); err != nil {
		return err
	}
	return l.measureLists(ctx, r)
}

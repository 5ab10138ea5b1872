package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/keys/jose"
)

const (
	feedAlone  = 60              // revocations that are waited for, each until all who follow have it
	feedBurst  = 1_000           // as fast as the server takes them, with and without anybody who follows
	feedAPI    = 60              // streams of one client; it may have 64
	feedWithin = 2 * time.Minute // all of it
)

// following is what was seen of the revocation feed.
type following struct {
	streams         int
	before, after   resident        // of the server: without a stream, and with all of them
	alone           window          // revocations with a pause for all who follow to get them
	late            []time.Duration // of them: from the answer until the last one had it
	quiet, followed window          // as fast as they come: without streams, and with them until all had everything
	idle            time.Duration   // CPU time in a second with nothing but heartbeats
}

// measureFeed has many follow the revocation feed of a server of its own, and revokes tokens.
func (l *lab) measureFeed(ctx context.Context, server *process, r *report) error {
	ctx, cancel := context.WithTimeout(ctx, feedWithin)
	defer cancel()
	tokens, err := l.fetchTokens(ctx, server, l.settings.evenly(feedAlone+2*feedBurst))
	if err != nil {
		return fmt.Errorf("tokens to revoke: %w", err)
	}
	load, err := newLoad(ctx, server.address, l.settings.connections)
	if err != nil {
		return err
	}
	defer load.close()
	revocations := l.revocations(tokens)
	revoke := func(n int) side {
		s := side{process: server, load: load, requests: revocations[:n]}
		revocations = revocations[n:]
		return s
	}
	f := following{streams: l.settings.streams}
	n := l.settings.evenly(feedBurst)
	if f.quiet, err = revoke(n).measureUpTo(ctx, n, time.Minute); err != nil {
		return fmt.Errorf("revocation: %w", err)
	}
	if f.before, err = server.memory(); err != nil {
		return err
	}
	audience, err := l.gather(ctx, server)
	if err != nil {
		return fmt.Errorf("follow: %w", err)
	}
	defer audience.leave()
	if f.after, err = server.memory(); err != nil {
		return err
	}
	if f.idle, err = usedBy(server, func() error { return pause(ctx, 4*time.Second) }); err != nil {
		return err
	}
	f.idle /= 4
	if err := f.measureAlone(ctx, server, audience, func() side { return revoke(1) }); err != nil {
		return err
	}
	n = len(revocations) / l.settings.connections * l.settings.connections
	burst := revoke(n)
	began := time.Now()
	cpu, err := usedBy(server, func() error {
		f.followed, err = burst.measureUpTo(ctx, n, time.Minute)
		return errors.Join(err, audience.await(ctx, f.followed.tokens))
	})
	f.followed.cpu, f.followed.elapsed = cpu, time.Since(began)
	if err != nil {
		return fmt.Errorf("a burst of revocations: %w", server.failure(err))
	}
	r.feed(f)
	return nil
}

// measureAlone revokes one token after the other.
func (f *following) measureAlone(ctx context.Context, server *process, audience *audience, next func() side) error {
	began := time.Now()
	cpu, err := usedBy(server, func() error {
		for range feedAlone {
			one := next()
			if n, err := one.load.run(ctx, one.requests, 1, requestTimeout); err != nil || n != 1 {
				return fmt.Errorf("revocation: %d, %w", n, err)
			}
			answered := time.Now()
			if err := audience.await(ctx, 1); err != nil {
				return err
			}
			f.late = append(f.late, time.Since(answered))
		}
		return nil
	})
	f.alone = window{tokens: feedAlone, elapsed: time.Since(began), cpu: cpu}
	if err != nil {
		return server.failure(err)
	}
	return nil
}

// usedBy returns the CPU time that a process uses while something is done.
func usedBy(p *process, do func() error) (time.Duration, error) {
	before, err := p.cpu()
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	after, err := p.cpu()
	return after - before, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// audience is who follows, in this process: it reads, and verifies nothing, so that the server is what is measured.
type audience struct {
	conns   []net.Conn
	readers sync.WaitGroup
	begun   atomic.Int64 // streams whose snapshot has come
	heard   atomic.Int64 // revocations, of all streams together
	failed  atomic.Pointer[error]
	want    int64 // of heard
}

// gather opens the streams, as many as the settings say, of as many clients as it takes.
func (l *lab) gather(ctx context.Context, server *process) (a *audience, err error) {
	api, err := client.NewUnix(filepath.Join(l.data(), "admin.sock"))
	if err != nil {
		return nil, err
	}
	a = &audience{}
	defer func() {
		if err != nil {
			a.leave()
		}
	}()
	var request *http.Request
	for i := range l.settings.streams {
		if i%feedAPI == 0 {
			id := fmt.Sprint("follower-", i/feedAPI)
			secret, err := createClient(ctx, api, client.ClientMetadata{ClientID: &id, ClientName: "A service", Serves: &[]string{resourceOf(jose.ES256)}})
			if err != nil {
				return nil, err
			}
			if request, err = http.NewRequestWithContext(ctx, http.MethodGet, "http://"+server.address+"/oauth2/revocations", nil); err != nil {
				return nil, err
			}
			request.SetBasicAuth(id, secret)
			request.Header.Set("Accept", "text/event-stream")
		}
		if err := a.join(ctx, server.address, request); err != nil {
			return nil, err
		}
	}
	return a, a.until(ctx, func() bool { return a.begun.Load() == int64(len(a.conns)) })
}

// join opens a stream.
func (a *audience) join(ctx context.Context, address string, request *http.Request) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	a.conns = append(a.conns, c)
	if err := request.Write(c); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), request)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	a.readers.Go(func() {
		defer answer.Body.Close()
		err := a.read(bufio.NewReader(answer.Body))
		a.failed.CompareAndSwap(nil, &err)
	})
	return nil
}

// read counts revocations until the stream ends, which is an error, by their numbers: an id without one before it is that of a snapshot, one that is as before that
// of a heartbeat.
func (a *audience) read(r *bufio.Reader) error {
	last, whole := int64(-1), true
	for {
		line, err := r.ReadSlice('\n')
		first := whole // of a line that is longer than the buffer, only the beginning says what it is
		if whole = err == nil; err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if !first || !bytes.HasPrefix(line, []byte("id: ")) {
			continue
		}
		_, number, _ := bytes.Cut(bytes.TrimSpace(line), []byte("."))
		seq, err := strconv.ParseInt(string(number), 10, 64)
		if err != nil {
			return err
		}
		switch {
		case last < 0:
			a.begun.Add(1)
		case seq == last+1:
			a.heard.Add(1)
		case seq != last:
			return fmt.Errorf("number %d after %d", seq, last)
		}
		last = seq
	}
}

// await returns once all have got n more revocations.
func (a *audience) await(ctx context.Context, n int) error {
	a.want += int64(n) * int64(len(a.conns))
	return a.until(ctx, func() bool { return a.heard.Load() >= a.want })
}

func (a *audience) until(ctx context.Context, done func() bool) error {
	for !done() {
		if err := a.failed.Load(); err != nil {
			return *err
		}
		if err := pause(ctx, 100*time.Microsecond); err != nil {
			return err
		}
	}
	return nil
}

// leave ends the streams.
func (a *audience) leave() {
	for _, c := range a.conns {
		c.Close()
	}
	a.readers.Wait()
}

// onlyFeed measures the feed and nothing else.
func (l *lab) onlyFeed(ctx context.Context, r *report) error {
	if err := l.prepare(ctx); err != nil {
		return err
	}
	server, err := l.serve(ctx)
	if err != nil {
		return err
	}
	defer server.stop()
	took, err := l.register(ctx)
	if err != nil {
		return err
	}
	r.registered(l.settings.clients, took)
	return l.measureFeed(ctx, server, r)
}

func (r *report) feed(f following) {
	at := func(q float64) float64 { return times(f.late).quantile(q).Seconds() * 1e3 }
	messages := f.followed.perSecond() * float64(f.streams)
	r.line("")
	r.line("the revocation feed, %d streams", f.streams)
	r.line("  one revocation at a time     %.1f ms CPU of the server each; the last one has it p50 %.1f ms, p99 %.1f ms after the 200", f.alone.perToken()/1e3, at(0.5), at(0.99))
	r.line("  %-5d as fast as they come   %.0f per second until all have them, %.0f messages per second, core busy %.0f %%", f.followed.tokens, f.followed.perSecond(), messages, 100*f.followed.busy())
	r.line("  CPU ms of the server each    %.2f; without streams %.2f: %.1f µs for each message that is sent", f.followed.perToken()/1e3, f.quiet.perToken()/1e3,
		(f.followed.perToken()-f.quiet.perToken())/float64(f.streams))
	r.line("  with nothing but heartbeats  %.1f %% of a core", 100*f.idle.Seconds())
	r.line("  memory                       %s without streams, %s with them: %.1f KiB for each", mebibytes(f.before), mebibytes(f.after),
		float64(f.after.Now-f.before.Now)/1024/float64(f.streams))
}

package redistest

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy passes TCP connections on to a server, until told to break them. It begins and ends with the test.
// Its methods may be called concurrently, but Restore from the test's own goroutine alone.
//
// It is for one server that clients know by the proxy's address alone: Sentinel and Cluster tell their
// clients the servers' own addresses.
type Proxy struct {
	t            testing.TB
	addr, target string
	running      sync.WaitGroup // the goroutines of this proxy

	mu       sync.Mutex // guards what follows
	listener net.Listener
	open     chan struct{} // closed while bytes may pass
	delay    time.Duration
	tunnels  map[*tunnel]struct{}
}

// tunnel is one connection through the proxy.
type tunnel struct {
	client net.Conn
	gone   chan struct{} // closed when the tunnel is to end

	mu     sync.Mutex // guards what follows
	server net.Conn   // nil until it is connected
	ended  bool
}

// StartProxy listens on a free loopback port and passes what comes there on to target, a "host:port".
// Whether somebody answers there is asked anew for each connection.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p := &Proxy{t: t, target: target, open: make(chan struct{}), tunnels: map[*tunnel]struct{}{}}
	close(p.open)
	var err error
	for range 20 {
		p.addr = reserve(t)
		if err = p.listen(); err == nil {
			t.Cleanup(p.close)
			return p
		}
	}
	t.Fatalf("proxy to %s: %v", target, err)
	return nil
}

// Addr is the address that clients take for the server's. It stays the same after Cut and Restore.
func (p *Proxy) Addr() string { return p.addr }

// Cut closes all connections, and new ones are refused, as when the server's process is gone.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut()
}

func (p *Proxy) cut() {
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	for tun := range p.tunnels {
		tun.end()
	}
}

// Stall keeps connections open and accepts new ones (unless they were Cut), but no byte passes, as when a
// network loses everything: only a deadline tells a client. What was sent meanwhile passes after Restore.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.passes() {
		p.open = make(chan struct{})
	}
}

// Delay holds back each piece of an answer (up to 32 KiB) for so long. 0 ends it.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Restore undoes Cut, Stall and Delay. Connections that were cut stay closed.
func (p *Proxy) Restore() {
	p.t.Helper()
	p.mu.Lock()
	p.delay = 0
	if !p.passes() {
		close(p.open)
	}
	cut := p.listener == nil
	p.mu.Unlock()
	if cut { // a stranger may have the port for a moment
		await(p.t, "restore proxy "+p.addr, nil, p.listen)
	}
}

func (p *Proxy) passes() bool {
	select {
	case <-p.open:
		return true
	default:
		return false
	}
}

func (p *Proxy) listen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return err
	}
	p.listener = l
	p.running.Go(func() { p.accept(l) })
	return nil
}

func (p *Proxy) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return // Cut
		}
		p.admit(l, client)
	}
}

// admit lets nobody in who was accepted just before the Cut.
func (p *Proxy) admit(l net.Listener, client net.Conn) {
	tun := &tunnel{client: client, gone: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != l {
		tun.end()
		return
	}
	p.tunnels[tun] = struct{}{}
	p.running.Go(func() {
		p.carry(tun)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.tunnels, tun)
	})
}

// carry connects to the server, but not through a network that stands still.
func (p *Proxy) carry(tun *tunnel) {
	defer tun.end()
	if !p.gate(tun) {
		return
	}
	server, err := net.DialTimeout("tcp", p.target, oneCall)
	if err != nil || !tun.connect(server) {
		return
	}
	var answers sync.WaitGroup
	answers.Go(func() {
		defer tun.end()
		p.pump(tun, tun.client, server, p.slowness)
	})
	p.pump(tun, server, tun.client, func() time.Duration { return 0 })
	tun.end()
	answers.Wait()
}

// pump copies until either side ends.
func (p *Proxy) pump(tun *tunnel, to, from net.Conn, slowness func() time.Duration) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !tun.hold(slowness()) || !p.gate(tun) {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) slowness() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.delay
}

// gate waits until bytes may pass. It is false when the tunnel ended meanwhile.
func (p *Proxy) gate(tun *tunnel) bool {
	p.mu.Lock()
	open := p.open
	p.mu.Unlock()
	select {
	case <-tun.gone:
		return false
	case <-open:
		return true
	}
}

func (p *Proxy) close() {
	p.Cut()
	p.running.Wait()
}

// connect is false, and the connection closed, when the tunnel ended meanwhile.
func (tun *tunnel) connect(server net.Conn) bool {
	tun.mu.Lock()
	defer tun.mu.Unlock()
	if tun.ended {
		_ = server.Close()
		return false
	}
	tun.server = server
	return true
}

func (tun *tunnel) end() {
	tun.mu.Lock()
	defer tun.mu.Unlock()
	if tun.ended {
		return
	}
	tun.ended = true
	close(tun.gone)
	_ = tun.client.Close()
	if tun.server != nil {
		_ = tun.server.Close()
	}
}

func (tun *tunnel) hold(d time.Duration) bool {
	if d == 0 {
		return true
	}
	select {
	case <-tun.gone:
		return false
	case <-time.After(d):
		return true
	}
}

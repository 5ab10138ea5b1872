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
	gates    [2]chan struct{} // by direction, each closed while bytes may pass
	delay    time.Duration
	tunnels  map[*tunnel]struct{}
}

// direction is which way bytes pass.
type direction int

const (
	requests direction = iota // to the server
	answers
)

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
	p := &Proxy{t: t, target: target, tunnels: map[*tunnel]struct{}{}}
	for i := range p.gates {
		p.gates[i] = make(chan struct{})
		close(p.gates[i])
	}
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
func (p *Proxy) Stall() { p.stall(requests, answers) }

// StallRequests is [Proxy.Stall] of one direction: the server hears nothing, and what it says by itself passes.
func (p *Proxy) StallRequests() { p.stall(requests) }

// StallAnswers is [Proxy.Stall] of one direction: the server hears and does what it is told, and nobody learns of it.
func (p *Proxy) StallAnswers() { p.stall(answers) }

func (p *Proxy) stall(ways ...direction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, way := range ways {
		if p.passes(way) {
			p.gates[way] = make(chan struct{})
		}
	}
}

// Reset breaks all connections off (RST), as a firewall does that has forgotten them. New ones are accepted.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for tun := range p.tunnels {
		tun.reset()
	}
}

// Delay holds back each piece of an answer (up to 32 KiB) for so long. 0 ends it.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Restore undoes Cut, Delay, and Stall in either direction. Connections that were cut stay closed.
func (p *Proxy) Restore() {
	p.t.Helper()
	p.mu.Lock()
	p.delay = 0
	for way := range p.gates {
		if !p.passes(direction(way)) {
			close(p.gates[way])
		}
	}
	cut := p.listener == nil
	p.mu.Unlock()
	if cut { // a stranger may have the port for a moment
		await(p.t, "restore proxy "+p.addr, nil, p.listen)
	}
}

func (p *Proxy) passes(way direction) bool {
	select {
	case <-p.gates[way]:
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
	if !p.gate(tun, requests) {
		return
	}
	server, err := net.DialTimeout("tcp", p.target, oneCall)
	if err != nil || !tun.connect(server) {
		return
	}
	var answering sync.WaitGroup
	answering.Go(func() {
		defer tun.end()
		p.pump(tun, tun.client, server, answers)
	})
	p.pump(tun, server, tun.client, requests)
	tun.end()
	answering.Wait()
}

// pump copies until either side ends.
func (p *Proxy) pump(tun *tunnel, to, from net.Conn, way direction) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !tun.hold(p.slowness(way)) || !p.gate(tun, way) {
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

func (p *Proxy) slowness(way direction) time.Duration {
	if way == requests {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.delay
}

// gate waits until bytes may pass. It is false when the tunnel ended meanwhile.
func (p *Proxy) gate(tun *tunnel, way direction) bool {
	p.mu.Lock()
	open := p.gates[way]
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

// reset ends it so that both sides are told that it is gone, and what was on its way is lost.
func (tun *tunnel) reset() {
	tun.mu.Lock()
	for _, conn := range []net.Conn{tun.client, tun.server} {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	}
	tun.mu.Unlock()
	tun.end()
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

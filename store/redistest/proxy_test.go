package redistest_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/marque-auth/marque/store/redistest"
)

// talk is one connection, by hand: what a client library would mend in silence is to be seen.
type talk struct {
	net.Conn
	in *bufio.Reader
}

func dial(t *testing.T, addr string) *talk {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &talk{conn, bufio.NewReader(conn)}
}

// ping sends one and waits so long for the answer.
func (c *talk) ping(patience time.Duration) error {
	if _, err := fmt.Fprint(c, "PING\r\n"); err != nil {
		return err
	}
	return c.pong(patience)
}

// line waits so long for a line.
func (c *talk) line(patience time.Duration) (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	return c.in.ReadString('\n')
}

func (c *talk) pong(patience time.Duration) error {
	line, err := c.line(patience)
	if err == nil && line != "+PONG\r\n" {
		err = fmt.Errorf("got %q", line)
	}
	return err
}

const (
	ample = 10 * time.Second
	brief = 100 * time.Millisecond // for nothing to come
)

func wantPong(t *testing.T, c *talk) {
	t.Helper()
	if err := c.ping(ample); err != nil {
		t.Error(err)
	}
}

func wantSilence(t *testing.T, c *talk) {
	t.Helper()
	if err := c.ping(brief); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want silence", err)
	}
}

func TestProxy_CutAndRestore(t *testing.T) {
	p := redistest.StartProxy(t, redistest.Start(t).Addr)
	before := p.Addr()
	a, b := dial(t, p.Addr()), dial(t, p.Addr())
	wantPong(t, a)
	wantPong(t, b)
	p.Cut()
	for _, c := range []*talk{a, b} {
		if err := c.pong(ample); !errors.Is(err, io.EOF) {
			t.Errorf("after Cut: got %v, want EOF", err)
		}
	}
	if !refused(p.Addr()) {
		t.Error("a new connection is accepted after Cut")
	}
	p.Cut() // a second time is nothing
	p.Restore()
	p.Restore()
	if p.Addr() != before {
		t.Errorf("it moved from %s to %s", before, p.Addr())
	}
	wantPong(t, dial(t, p.Addr()))
}

func TestProxy_StallAndRestore(t *testing.T) {
	p := redistest.StartProxy(t, redistest.Start(t).Addr)
	old := dial(t, p.Addr())
	wantPong(t, old)
	p.Stall()
	wantSilence(t, old)
	late := dial(t, p.Addr()) // accepted
	wantSilence(t, late)
	p.Restore()
	for _, c := range []*talk{old, late} { // what was sent meanwhile arrives
		if err := c.pong(ample); err != nil {
			t.Errorf("after Restore: %v", err)
		}
		wantPong(t, c)
	}
}

// One direction stands still: what is asked is done, and no answer comes, until Restore.
func TestProxy_StallAnswers(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.StartProxy(t, s.Addr)
	c := dial(t, p.Addr())
	wantPong(t, c)
	p.StallAnswers()
	if _, err := fmt.Fprint(c, "SET k v\r\n"); err != nil {
		t.Fatal(err)
	}
	wantSilence(t, c)
	if v, err := s.Client().Get(t.Context(), "k").Result(); err != nil || v != "v" {
		t.Errorf("the server holds %q, %v", v, err)
	}
	p.Restore()
	if line, err := c.line(ample); err != nil || line != "+OK\r\n" {
		t.Errorf("after Restore: %q, %v", line, err)
	}
	if err := c.pong(ample); err != nil {
		t.Errorf("after Restore: %v", err)
	}
}

// The other direction: the server hears nothing, and what it says is heard.
func TestProxy_StallRequests(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.StartProxy(t, s.Addr)
	c := dial(t, p.Addr())
	wantPong(t, c)
	if _, err := fmt.Fprint(c, "SUBSCRIBE news\r\n"); err != nil {
		t.Fatal(err)
	}
	for range 6 { // of an array: its length, a word, the channel, a number
		if _, err := c.line(ample); err != nil {
			t.Fatal(err)
		}
	}
	p.StallRequests()
	late := dial(t, p.Addr())
	wantSilence(t, late)
	if err := s.Client().Publish(t.Context(), "news", "x").Err(); err != nil {
		t.Fatal(err)
	}
	if line, err := c.line(ample); err != nil || line != "*3\r\n" {
		t.Errorf("what the server says: %q, %v", line, err)
	}
	p.Restore()
	if err := late.pong(ample); err != nil {
		t.Errorf("after Restore: %v", err)
	}
}

// Connections are broken off, and new ones are not.
func TestProxy_Reset(t *testing.T) {
	p := redistest.StartProxy(t, redistest.Start(t).Addr)
	c := dial(t, p.Addr())
	wantPong(t, c)
	p.Stall()
	p.Reset()
	if err := c.pong(ample); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want ECONNRESET", err)
	}
	p.Restore()
	wantPong(t, dial(t, p.Addr()))
}

// A connection that stands still can be cut, and no byte of it arrives.
func TestProxy_CutWhileStalled(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.StartProxy(t, s.Addr)
	c := dial(t, p.Addr())
	wantPong(t, c)
	p.Stall()
	if _, err := fmt.Fprint(c, "SET k v\r\n"); err != nil {
		t.Fatal(err)
	}
	p.Cut()
	p.Restore()
	wantPong(t, dial(t, p.Addr()))
	if n, err := s.Client().Exists(t.Context(), "k").Result(); err != nil || n != 0 {
		t.Errorf("%d keys arrived, %v", n, err)
	}
}

func TestProxy_Delay(t *testing.T) {
	p := redistest.StartProxy(t, redistest.Start(t).Addr)
	c := dial(t, p.Addr())
	wantPong(t, c)
	const d = 150 * time.Millisecond
	p.Delay(d)
	begun := time.Now()
	wantPong(t, c)
	if took := time.Since(begun); took < d {
		t.Errorf("an answer took %v, want %v at least", took, d)
	}
	p.Restore()
	begun = time.Now()
	for range 10 {
		wantPong(t, c)
	}
	if took := time.Since(begun); took > 10*d {
		t.Errorf("ten answers took %v after Restore", took)
	}
}

// The server may go and come: the proxy asks anew for each connection.
func TestProxy_ServerAway(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.StartProxy(t, s.Addr)
	c := dial(t, p.Addr())
	wantPong(t, c)
	s.Kill()
	for _, c := range []*talk{c, dial(t, p.Addr())} {
		if err := c.pong(ample); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("without a server: got %v, want a closed connection", err)
		}
	}
	s.Restart()
	wantPong(t, dial(t, p.Addr()))
}

// A test may end with whatever it did to its proxy.
func TestProxy_EndsWithItsTest(t *testing.T) {
	var addrs []string
	t.Run("short", func(t *testing.T) {
		s := redistest.Start(t)
		for _, fault := range []func(*redistest.Proxy){
			func(*redistest.Proxy) {}, (*redistest.Proxy).Stall, (*redistest.Proxy).Cut, (*redistest.Proxy).Reset,
			(*redistest.Proxy).StallRequests, (*redistest.Proxy).StallAnswers,
			func(p *redistest.Proxy) { p.Delay(time.Hour) },
		} {
			p := redistest.StartProxy(t, s.Addr)
			c := dial(t, p.Addr())
			wantPong(t, c)
			fault(p)
			_, _ = fmt.Fprint(c, "PING\r\n") // fails where it was cut
			addrs = append(addrs, p.Addr())
		}
	})
	for _, addr := range addrs {
		if !refused(addr) {
			t.Errorf("%s still listens", addr)
		}
	}
}

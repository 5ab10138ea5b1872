package endpoint_test

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
)

// Frame types and flags of RFC 9113, Section 6.
const (
	frameData, frameHeaders, frameReset, frameSettings, framePing, frameGoAway = 0, 1, 3, 4, 6, 7

	flagAck, flagEndStream, flagEndHeaders = 1, 1, 4
)

// h2 is an HTTP/2 connection on which a test writes frames of its own: a client of good manners
// hides from its caller that a stream was reset, and never sends half a request.
type h2 struct {
	t      testing.TB
	conn   *tls.Conn
	stream uint32         // the last one opened
	ended  map[uint32]int // how often the answer of a stream ended
	reset  map[uint32]bool
	pongs  int
}

func (s *stack) h2() *h2 {
	s.t.Helper()
	conn, err := s.dial(func(c *tls.Config) { c.NextProtos = []string{"h2"} })
	check(s.t, err)
	s.t.Cleanup(func() { conn.Close() })
	check(s.t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	c := &h2{t: s.t, conn: conn.(*tls.Conn), stream: ^uint32(0), ended: map[uint32]int{}, reset: map[uint32]bool{}}
	if p := c.conn.ConnectionState().NegotiatedProtocol; p != "h2" {
		s.t.Fatalf("the server speaks %q", p)
	}
	_, err = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	check(s.t, err)
	c.frame(frameSettings, 0, 0, nil)
	return c
}

func (c *h2) frame(kind, flags byte, stream uint32, payload []byte) {
	c.t.Helper()
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	b = binary.BigEndian.AppendUint32(append(b, flags), stream)
	_, err := c.conn.Write(append(b, payload...))
	check(c.t, err)
}

// open sends the header of a request whose body follows, and returns its stream.
func (c *h2) open(method, path string, fields ...string) uint32 {
	c.t.Helper()
	c.stream += 2
	var block []byte
	all := append([]string{":method", method, ":scheme", "https", ":authority", "as.example", ":path", path}, fields...)
	for i := 0; i < len(all); i += 2 { // literals without indexing (RFC 7541, Section 6.2.2), below 127 octets
		block = append(block, 0, byte(len(all[i])))
		block = append(append(block, all[i]...), byte(len(all[i+1])))
		block = append(block, all[i+1]...)
	}
	c.frame(frameHeaders, flagEndHeaders, c.stream, block)
	return c.stream
}

func (c *h2) data(stream uint32, body string, end bool) {
	c.t.Helper()
	var flags byte
	if end {
		flags = flagEndStream
	}
	c.frame(frameData, flags, stream, []byte(body))
}

// next reads one frame, and remembers what it says.
func (c *h2) next() {
	c.t.Helper()
	var head [9]byte
	_, err := io.ReadFull(c.conn, head[:])
	check(c.t, err)
	payload := make([]byte, binary.BigEndian.Uint32(head[:])>>8)
	_, err = io.ReadFull(c.conn, payload)
	check(c.t, err)
	kind, flags, stream := head[3], head[4], binary.BigEndian.Uint32(head[5:])
	switch {
	case kind == frameSettings && flags&flagAck == 0:
		c.frame(frameSettings, flagAck, 0, nil)
	case kind == framePing:
		c.pongs++
	case kind == frameReset:
		c.reset[stream] = true
	case kind == frameGoAway:
		c.t.Fatalf("the connection is closed: %q", payload)
	case (kind == frameHeaders || kind == frameData) && flags&flagEndStream != 0:
		c.ended[stream]++
	}
}

// settle waits until the server has answered two pings: whatever it had decided to send before, such
// as the reset that follows the end of an answer, has then been read.
func (c *h2) settle() {
	c.t.Helper()
	for range 2 {
		c.frame(framePing, 0, 0, make([]byte, 8))
		for want := c.pongs + 1; c.pongs < want; {
			c.next()
		}
	}
}

// answered waits for the end of a stream's answer.
func (c *h2) answered(stream uint32) {
	c.t.Helper()
	for c.ended[stream] == 0 && !c.reset[stream] {
		c.next()
	}
}

// quiet wants no answer yet.
func (c *h2) quiet(stream uint32) {
	c.t.Helper()
	for range 20 {
		c.settle()
	}
	if c.ended[stream] != 0 || c.reset[stream] {
		c.t.Error("answered before the body came")
	}
}

func overHTTP2(c *settings) { c.http2 = true }

// unread are requests that are answered without a look at the body.
var unread = map[string]struct {
	method, path string
	fields       []string
}{
	"wrong path":             {"POST", "/oauth2/token/", nil},
	"wrong path, declared":   {"POST", "/token", []string{"content-length", strconv.Itoa(len(b0Body))}},
	"wrong method":           {"PUT", "/oauth2/token", nil},
	"GET with a body":        {"GET", "/.well-known/jwks.json", nil},
	"wrong method elsewhere": {"POST", "/healthz", nil},
	"credentials in the URL": {"POST", "/oauth2/token?client_secret=x", nil},
	"no media type":          {"POST", "/oauth2/token", nil},
	"wrong media type":       {"POST", "/oauth2/token", []string{"content-type", "application/json"}},
	"compressed":             {"POST", "/oauth2/token", []string{"content-type", "application/x-www-form-urlencoded", "content-encoding", "gzip"}},
	"introspection by PUT":   {"PUT", "/oauth2/introspect", nil},
	"revocation, no type":    {"POST", "/oauth2/revoke", nil},
	"a token in the URL":     {"POST", "/oauth2/revoke?token=x", nil},
	"two authorizations":     {"POST", "/oauth2/token", []string{"authorization", "Basic YTpi", "authorization", "Basic YTpi"}},
}

func TestHTTP2_AnUnreadBodyDoesNotResetTheStream(t *testing.T) {
	s := newStack(t, overHTTP2)
	for name, r := range unread {
		t.Run(name, func(t *testing.T) {
			c := s.in(t).h2()
			for range 20 {
				stream := c.open(r.method, r.path, r.fields...)
				c.settle()
				c.data(stream, b0Body, true)
				c.answered(stream)
				c.settle()
				if c.ended[stream] != 1 || c.reset[stream] {
					t.Fatalf("answered %d times, reset %v", c.ended[stream], c.reset[stream])
				}
			}
			stream := c.open(r.method, r.path, r.fields...)
			c.quiet(stream)
			c.data(stream, b0Body[:10], false)
			c.quiet(stream)
			c.data(stream, b0Body[10:], false)
			c.data(stream, "", true) // the end may come alone
			c.answered(stream)
		})
	}
}

// An upload that is too large is told so while it goes on, on every path: reading on is what it wants.
func TestHTTP2_TKE12_TooLargeIsNotDrained(t *testing.T) {
	// Without times that would end the wait for a body that stands still.
	s := newStack(t, overHTTP2, func(c *settings) { c.server = func(srv *http.Server) { srv.ReadTimeout, srv.WriteTimeout = 0, 0 } })
	form := []string{"content-type", "application/x-www-form-urlencoded"}
	for name, path := range map[string]string{
		"token endpoint": "/oauth2/token", "introspection": "/oauth2/introspect", "revocation": "/oauth2/revoke", "wrong path": "/token",
	} {
		t.Run(name+", declared", func(t *testing.T) {
			c := s.in(t).h2()
			stream := c.open("POST", path, append([]string{"content-length", "65537"}, form...)...)
			c.answered(stream)
			if c.ended[stream] != 1 {
				t.Error("no answer")
			}
		})
		t.Run(name+", without end", func(t *testing.T) {
			c := s.in(t).h2()
			stream := c.open("POST", path, form...)
			c.settle() // the windows are known
			chunk := strings.Repeat("x", 16<<10)
			for range 4 {
				c.data(stream, chunk, false)
			}
			c.quiet(stream)
			c.data(stream, "x", false)
			c.answered(stream)
			if c.ended[stream] != 1 {
				t.Error("no answer")
			}
		})
	}
}

// A body that never comes costs a stream for as long as the server's ReadTimeout, as it would where it
// is wanted; other streams go on, and the answer is sent in the end.
func TestHTTP2_ASlowBodyIsBoundedByTheReadTimeout(t *testing.T) {
	s := newStack(t, overHTTP2, func(c *settings) { c.server = func(srv *http.Server) { srv.ReadTimeout = time.Second } })
	c := s.h2()
	var slow []uint32
	for range 50 {
		stream := c.open("POST", "/token")
		c.data(stream, "x", false)
		slow = append(slow, stream)
	}
	quick := c.open("POST", "/token")
	c.data(quick, "x", true)
	c.answered(quick)
	for _, stream := range slow {
		c.answered(stream)
		if c.ended[stream] != 1 {
			t.Error("no answer")
		}
	}
}

// What is thrown away is not looked at: not logged, not answered.
func TestHTTP2_ASecretInADrainedBodyGoesNowhere(t *testing.T) {
	s := newStack(t, overHTTP2)
	s.log.take()
	r := s.send(path("/token"), raw("client_secret="+s.secret))
	s.wantError(r, 404, "")
	s.refused(400, authz.InvalidRequest, field("Content-Type", "text/plain"), raw("client_secret="+s.secret))
	s.nothingLeaked(t, s.log.take())
}

// Over HTTP/1.1 a client that waits for 100 Continue is refused without being asked for its body, and a
// connection whose short body was not read serves the next request.
func TestHTTP1_UnreadBodies(t *testing.T) {
	s := newStack(t)
	for _, target := range []string{"/token", "/healthz", "/oauth2/token?client_id=c1"} {
		head := "POST " + target + " HTTP/1.1\r\nHost: as.example\r\nContent-Length: " + strconv.Itoa(len(b0Body)) + "\r\n"
		w := s.wire()
		check(t, w.write(head+"Expect: 100-continue\r\n\r\n"))
		if r := w.read(); r.status < 400 {
			t.Errorf("%s: %d", target, r.status)
		}
		w = s.wire()
		check(t, w.write(head+"\r\n"+b0Body+s.head("Content-Length: "+strconv.Itoa(len(b0Body)))+b0Body))
		if r := w.read(); r.status < 400 {
			t.Errorf("%s: %d", target, r.status)
		}
		s.accept(w.read())
	}
}

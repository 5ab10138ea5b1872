package redistest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Servers listen below the ports that systems give to outgoing connections (32768 and up on Linux, 49152 and up elsewhere),
// so that no client takes the port of a server that was killed and comes back. Cluster's bus is 10,000 above.
const (
	firstPort = 10000
	lastPort  = 22767
	busOffset = 10000
)

// reserve gives a loopback address that nobody listens on. Until the test ends no other user of this
// package gets it, in this process or another, whether something listens there or not: the same numbers are
// held in UDP, where nothing else wants them, and the system lets go of them whatever becomes of the test.
// A stranger may still come first, so whoever listens must be ready to ask for another one.
func reserve(t testing.TB) string {
	t.Helper()
	var err error
	for range 200 {
		var held []net.PacketConn
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if held, err = hold(port, port+busOffset); err == nil {
			t.Cleanup(func() { release(held) })
			return address(port)
		}
	}
	t.Fatalf("no free port from %d to %d: %v", firstPort, lastPort, err)
	return ""
}

func hold(ports ...int) (held []net.PacketConn, err error) {
	defer func() {
		if err != nil {
			release(held)
		}
	}()
	for _, port := range ports {
		u, err := net.ListenPacket("udp", address(port))
		if err != nil {
			return held, err
		}
		held = append(held, u)
		l, err := net.Listen("tcp", address(port))
		if err != nil {
			return held, err
		}
		if err := l.Close(); err != nil {
			return held, err
		}
	}
	return held, nil
}

func release(held []net.PacketConn) {
	for _, u := range held {
		_ = u.Close()
	}
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

var errPortTaken = errors.New("another program listens on the port")

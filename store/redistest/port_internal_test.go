package redistest

import (
	"net"
	"strconv"
	"testing"
)

func portOf(t *testing.T, addr string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestReserve_KeepsThePortUntilTheTestEnds(t *testing.T) {
	var port int
	t.Run("test", func(t *testing.T) {
		port = portOf(t, reserve(t))
		if port+busOffset >= 1<<16 {
			t.Errorf("port %d leaves none for the Cluster's bus", port)
		}
		for _, p := range []int{port, port + busOffset} {
			if held, err := hold(p); err == nil {
				release(held)
				t.Errorf("port %d can be had twice", p)
			}
		}
	})
	held, err := hold(port, port+busOffset)
	if err != nil {
		t.Fatalf("after the test: %v", err)
	}
	release(held)
}

// A port is no good if a stranger listens on it, or on that of the bus.
func TestHold_NotWhatAStrangerHas(t *testing.T) {
	for _, offset := range []int{0, busOffset} {
		var port int
		t.Run("find one", func(t *testing.T) { port = portOf(t, reserve(t)) })
		l, err := net.Listen("tcp", address(port+offset))
		if err != nil {
			t.Fatal(err)
		}
		if held, err := hold(port, port+busOffset); err == nil {
			release(held)
			t.Errorf("port %d was given although somebody listens on %d", port, port+offset)
		}
		_ = l.Close()
	}
}

//go:build linux

package main

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestGate_SocketOfABusyGate: one that has no time for another connection lives, and so does what speaks something else.
func TestGate_SocketOfABusyGate(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]int{"busy": syscall.SOCK_STREAM, "datagrams": syscall.SOCK_DGRAM} {
		dir, err := os.MkdirTemp("", "mq")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		path := filepath.Join(dir, "gate.sock")
		fd, err := syscall.Socket(syscall.AF_UNIX, kind|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Close(fd) })
		if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
			t.Fatal(err)
		}
		if kind == syscall.SOCK_STREAM {
			if err := syscall.Listen(fd, 0); err != nil {
				t.Fatal(err)
			}
			for range 10 { // until nobody else gets in
				c, err := net.Dial("unix", path)
				if err != nil {
					break
				}
				t.Cleanup(func() { c.Close() })
			}
		}
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if l, err := gateSocket(t.Context(), path); err == nil {
			l.Close()
			t.Errorf("%s: its place is taken", name)
		} else {
			t.Log(err)
		}
		if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s: the socket was replaced: %v", name, err)
		}
	}
}

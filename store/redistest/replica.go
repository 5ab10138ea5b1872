package redistest

import (
	"fmt"
	"net"
	"testing"
)

// StartReplica runs a replica of a server, with the same options, and returns when it has the data.
func StartReplica(t testing.TB, of *Server) *Server {
	t.Helper()
	host, port, _ := net.SplitHostPort(of.Addr)
	s := start(t, of.set, func(c *config, _ string) { c.set("replicaof %s %s", host, port) })
	await(t, "synchronization of "+s.Addr, []*Server{s, of}, s.synchronized)
	return s
}

func (s *Server) synchronized() error {
	info, err := s.Info()
	if err != nil {
		return err
	}
	if got := info["master_link_status"]; info["role"] != "slave" || got != "up" {
		return fmt.Errorf("role %s, master_link_status %q", info["role"], got)
	}
	return nil
}

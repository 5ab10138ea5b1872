package redistest

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// StartReplica runs a replica of a server, with the same options, and returns when it has the data
// and the server counts it.
func StartReplica(t testing.TB, of *Server) *Server {
	t.Helper()
	return startReplica(t, of, of.Addr)
}

// StartReplicaThrough is [StartReplica] through a proxy to the server, which can come between them.
func StartReplicaThrough(t testing.TB, of *Server, p *Proxy) *Server {
	t.Helper()
	return startReplica(t, of, p.Addr())
}

func startReplica(t testing.TB, of *Server, through string) *Server {
	t.Helper()
	host, port, _ := net.SplitHostPort(through)
	s := start(t, of.set, func(c *config, _ string) { c.set("replicaof %s %s", host, port) })
	await(t, "synchronization of "+s.Addr, []*Server{s, of}, s.synchronized)
	await(t, "report of "+s.Addr, []*Server{s, of}, func() error { return of.counts(s) })
	return s
}

// ExpelReplicas breaks the connections of the server's replicas, and lets none synchronize any more until it is
// restarted: whatever is written from now on, no replica has it, and none is waiting for it in a buffer.
func (s *Server) ExpelReplicas() {
	s.t.Helper()
	for _, command := range [][]any{
		{"ACL", "SETUSER", ownUser, "-psync", "-sync"},
		{"CLIENT", "KILL", "TYPE", "replica"},
	} {
		if _, err := s.ask(command...); err != nil {
			s.fatal(fmt.Errorf("%v: %w", command, err))
		}
	}
}

// counts returns nil once a primary counts a replica, which is a moment after that has the data.
func (s *Server) counts(replica *Server) error {
	info, err := s.Info()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(replica.Addr)
	for name, said := range info {
		if strings.HasPrefix(name, "slave") && strings.Contains(said, "port="+port+",state=online,") {
			return nil
		}
	}
	return fmt.Errorf("%s does not count it as online", s.Addr)
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

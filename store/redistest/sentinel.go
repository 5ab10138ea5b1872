package redistest

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
)

const (
	sentinels = 3
	quorum    = 2
	replicas  = 2
)

// hurry shortens what Sentinel does every so often, in ms. With its own pace (10 s, 2 s, 30 s) a primary that comes
// back is a replica only 20 s later, and a machine that stalls for a moment puts off all failovers for 30 s.
var hurry = [][]any{
	{"SENTINEL", "DEBUG", "info-period", 500, "publish-period", 500, "tilt-period", 1000},
}

// Sentinel is a primary, two replicas, and three Sentinels that watch them.
type Sentinel struct {
	// MasterName is what the Sentinels call the primary: "marque".
	MasterName string

	t         testing.TB
	data      []*Server // the first one began as the primary
	sentinels []*Server
}

// StartSentinel runs a primary, two replicas and three Sentinels (quorum 2; a server that does not answer for
// 800 ms is down), and returns when a failover could begin. Replacing a primary takes two to three seconds.
// The options are the data servers'; of them [TLS] is the Sentinels' as well, and [SentinelACL] theirs alone.
func StartSentinel(t testing.TB, o ...Option) *Sentinel {
	t.Helper()
	primary := Start(t, o...)
	s := &Sentinel{MasterName: "marque", t: t, data: []*Server{primary}}
	for range replicas {
		s.data = append(s.data, StartReplica(t, primary))
	}
	for range sentinels {
		s.sentinels = append(s.sentinels, s.startOne(primary))
	}
	s.AwaitReady()
	return s
}

func (s *Sentinel) startOne(primary *Server) *Server {
	s.t.Helper()
	host, port, _ := net.SplitHostPort(primary.Addr)
	set := settings{tls: primary.set.tls}
	return launch(s.t, set, kind{flags: []string{"--sentinel"}, tune: hurry, lines: func(c *config, addr string) {
		if set.tls != nil {
			c.secure(addr, *set.tls)
		}
		c.set("sentinel monitor %s %s %s %d", s.MasterName, host, port, quorum)
		c.set("sentinel auth-user %s %s", s.MasterName, ownUser)
		c.set("sentinel auth-pass %s %s", s.MasterName, ownPassword)
		c.set("sentinel sentinel-user %s", ownUser)
		c.set("sentinel sentinel-pass %s", ownPassword)
		c.set("sentinel down-after-milliseconds %s 800", s.MasterName)
		c.set("sentinel failover-timeout %s 3000", s.MasterName) // a failed attempt is repeated after twice as long, not after 6 minutes
	}}, primary.set.sentinelUsers)
}

// AwaitReady returns when every Sentinel knows the two replicas and the two other Sentinels, and reaches them all: after a
// failover and the Restart of what was killed, this is when the next failover could begin.
func (s *Sentinel) AwaitReady() {
	s.t.Helper()
	await(s.t, "sentinels ready", s.sentinels, func() error {
		for _, one := range s.sentinels {
			if err := s.sees(one); err != nil {
				return fmt.Errorf("sentinel %s: %w", one.Addr, err)
			}
		}
		return s.synchronized()
	})
}

// synchronized asks the replicas themselves: what a Sentinel says of them may be half a second old.
func (s *Sentinel) synchronized() error {
	master, err := s.agreed()
	if err != nil {
		return err
	}
	for _, d := range s.data {
		if d == master {
			continue
		}
		if err := d.synchronized(); err != nil {
			return fmt.Errorf("replica %s: %w", d.Addr, err)
		}
	}
	return nil
}

func (s *Sentinel) sees(one *Server) error {
	for _, c := range []struct {
		command, flags string
		want           int
	}{
		{"MASTERS", "master", 1},
		{"REPLICAS", "slave", replicas},
		{"SENTINELS", "sentinel", sentinels - 1},
	} {
		args := []any{"SENTINEL", c.command}
		if c.command != "MASTERS" {
			args = append(args, s.MasterName)
		}
		answer, err := one.ask(args...)
		if err != nil {
			return err
		}
		if err := allWell(answer, c.flags, c.want); err != nil {
			return fmt.Errorf("%s: %w", c.command, err)
		}
	}
	return nil
}

// allWell wants so many entries of a list of SENTINEL, with no flag but that of what they are.
func allWell(answer any, flags string, want int) error {
	list, _ := answer.([]any)
	if len(list) != want {
		return fmt.Errorf("%d, want %d", len(list), want)
	}
	for _, entry := range list {
		fields, _ := entry.(map[any]any)
		if fields["flags"] != flags {
			return fmt.Errorf("%v is %v", fields["name"], fields["flags"])
		}
		if link, ok := fields["master-link-status"]; ok && link != "ok" {
			return fmt.Errorf("%v is not synchronized: %v", fields["name"], link)
		}
	}
	return nil
}

// Addrs gives the addresses of the Sentinels.
func (s *Sentinel) Addrs() []string { return addrs(s.sentinels) }

// Sentinels gives the Sentinels themselves, in the order of Addrs.
func (s *Sentinel) Sentinels() []*Server { return slices.Clone(s.sentinels) }

// Master gives the server that the first Sentinel to answer calls the primary, whether it still lives or not.
func (s *Sentinel) Master() *Server {
	s.t.Helper()
	var master *Server
	await(s.t, "the primary's name", s.sentinels, func() (err error) {
		master, err = s.named()
		return err
	})
	return master
}

// Replicas gives the data servers that Master is not.
func (s *Sentinel) Replicas() []*Server {
	s.t.Helper()
	master := s.Master()
	return slices.DeleteFunc(slices.Clone(s.data), func(d *Server) bool { return d == master })
}

// AwaitFailover returns when every Sentinel that answers calls another server than old the primary, and
// that one agrees; it gives the new one.
func (s *Sentinel) AwaitFailover(old *Server) *Server {
	s.t.Helper()
	var master *Server
	await(s.t, "failover", append(s.Sentinels(), s.data...), func() (err error) {
		if master, err = s.agreed(); err != nil {
			return err
		}
		if master == old {
			return fmt.Errorf("%s is still the primary", old.Addr)
		}
		info, err := master.Info()
		if err == nil && info["role"] != "master" {
			err = fmt.Errorf("%s is not yet the primary", master.Addr)
		}
		return err
	})
	return master
}

// named asks one Sentinel after the other.
func (s *Sentinel) named() (*Server, error) {
	var failed error
	for _, one := range s.sentinels {
		master, err := s.masterBy(one)
		if err == nil {
			return master, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

// agreed is the primary that all Sentinels name who answer.
func (s *Sentinel) agreed() (*Server, error) {
	var master *Server
	for _, one := range s.sentinels {
		switch m, err := s.masterBy(one); {
		case err != nil:
		case master != nil && m != master:
			return nil, fmt.Errorf("some say %s, some %s", master.Addr, m.Addr)
		default:
			master = m
		}
	}
	if master == nil {
		return nil, errors.New("no sentinel answers")
	}
	return master, nil
}

func (s *Sentinel) masterBy(one *Server) (*Server, error) {
	answer, err := one.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", s.MasterName)
	if err != nil {
		return nil, err
	}
	pair, _ := answer.([]any)
	if len(pair) != 2 {
		return nil, fmt.Errorf("sentinel %s answers %v", one.Addr, answer)
	}
	addr := net.JoinHostPort(fmt.Sprint(pair[0]), fmt.Sprint(pair[1]))
	for _, d := range s.data {
		if d.Addr == addr {
			return d, nil
		}
	}
	return nil, fmt.Errorf("sentinel %s names the stranger %s", one.Addr, addr)
}

func addrs(servers []*Server) []string {
	var all []string
	for _, s := range servers {
		all = append(all, s.Addr)
	}
	return all
}

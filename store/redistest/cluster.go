package redistest

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	primaries = 3
	slots     = 16384
)

// Cluster is a Redis Cluster of three primaries, with replicas or without.
type Cluster struct {
	t     testing.TB
	nodes []*Server // the primaries, then their replicas
}

// StartCluster runs three primaries without replicas, and returns when all of them serve all slots.
func StartCluster(t testing.TB, o ...Option) *Cluster {
	t.Helper()
	return StartClusterWithReplicas(t, 0, o...)
}

// StartClusterWithReplicas runs three primaries with n replicas each, and returns when all slots are served and
// all replicas have the data. A primary that does not answer for a second is replaced.
func StartClusterWithReplicas(t testing.TB, n int, o ...Option) *Cluster {
	t.Helper()
	set, c := settingsOf(o), &Cluster{t: t}
	for range primaries * (1 + n) {
		c.nodes = append(c.nodes, start(t, set, clusterNode))
	}
	c.divide()
	c.meet()
	c.await("all nodes knowing each other", c.acquainted)
	c.follow()
	c.AwaitServed()
	return c
}

func clusterNode(c *config, _ string) {
	c.set("cluster-enabled yes")
	c.set("cluster-config-file nodes.conf")
	c.set("cluster-node-timeout 1000")
	c.set("cluster-announce-ip 127.0.0.1") // known from the start, and not learnt from others
}

// divide gives each primary its share of the slots. Each node gets an epoch of its own while it is alone:
// nodes that meet with equal ones have to settle that first.
func (c *Cluster) divide() {
	c.t.Helper()
	for i, node := range c.nodes {
		c.must(node, "CLUSTER", "SET-CONFIG-EPOCH", i+1)
		if i < primaries {
			c.must(node, "CLUSTER", "ADDSLOTSRANGE", i*slots/primaries, (i+1)*slots/primaries-1)
		}
	}
}

func (c *Cluster) meet() {
	c.t.Helper()
	for _, node := range c.nodes[1:] {
		host, port, _ := net.SplitHostPort(node.Addr)
		c.must(c.nodes[0], "CLUSTER", "MEET", host, port)
	}
}

func (c *Cluster) follow() {
	c.t.Helper()
	for i, node := range c.nodes[primaries:] {
		c.must(node, "CLUSTER", "REPLICATE", c.must(c.nodes[i%primaries], "CLUSTER", "MYID"))
	}
}

func (c *Cluster) must(node *Server, args ...any) any {
	c.t.Helper()
	answer, err := node.ask(args...)
	if err != nil {
		node.fatal(fmt.Errorf("%v: %w", args, err))
	}
	return answer
}

func (c *Cluster) await(what string, check func(*Server) error) {
	c.t.Helper()
	await(c.t, what, c.nodes, func() error {
		for _, node := range c.nodes {
			if err := check(node); err != nil {
				return fmt.Errorf("node %s: %w", node.Addr, err)
			}
		}
		return nil
	})
}

// AwaitServed returns when every node knows of every slot who serves it, finds all others well, and every
// replica has the data: after a Restart, too.
func (c *Cluster) AwaitServed() {
	c.t.Helper()
	c.await("cluster served", func(node *Server) error {
		return errors.Join(c.acquainted(node), c.serves(node), c.settled(node))
	})
}

func (c *Cluster) serves(node *Server) error {
	info, err := node.fields("CLUSTER", "INFO")
	if err != nil {
		return err
	}
	for name, want := range map[string]string{
		"cluster_state":       "ok",
		"cluster_slots_ok":    strconv.Itoa(slots),
		"cluster_known_nodes": strconv.Itoa(len(c.nodes)),
		"cluster_size":        strconv.Itoa(primaries),
	} {
		if info[name] != want {
			return fmt.Errorf("%s is %q, want %s", name, info[name], want)
		}
	}
	return nil
}

// acquainted wants a table of all nodes with nobody in a handshake, failing, or cut off.
func (c *Cluster) acquainted(node *Server) error {
	rows, err := node.table()
	if err != nil {
		return err
	}
	if len(rows) != len(c.nodes) {
		return fmt.Errorf("it knows %d nodes of %d", len(rows), len(c.nodes))
	}
	for _, row := range rows {
		if strings.Contains(row.flags, "fail") || strings.Contains(row.flags, "handshake") || row.link != "connected" {
			return fmt.Errorf("%s is %s, %s", row.addr, row.flags, row.link)
		}
	}
	return nil
}

// settled wants three primaries in the table, and a replica to be in step.
func (c *Cluster) settled(node *Server) error {
	rows, err := node.table()
	if err != nil {
		return err
	}
	count := 0
	for _, row := range rows {
		if strings.Contains(row.flags, "master") {
			count++
		}
	}
	if count != primaries {
		return fmt.Errorf("%d primaries", count)
	}
	info, err := node.Info()
	if err == nil && info["role"] == "slave" {
		err = node.synchronized()
	}
	return err
}

// row is a line of CLUSTER NODES.
type row struct {
	addr, flags, link string
	slots             []string // "0-5460" or "7"
}

func (s *Server) table() ([]row, error) {
	answer, err := s.ask("CLUSTER", "NODES")
	if err != nil {
		return nil, err
	}
	var rows []row
	for line := range strings.Lines(fmt.Sprint(answer)) {
		f := strings.Fields(line)
		if len(f) < 8 {
			return nil, fmt.Errorf("CLUSTER NODES answers %q", line)
		}
		addr, _, _ := strings.Cut(f[1], "@")
		rows = append(rows, row{addr: addr, flags: f[2], link: f[7], slots: f[8:]})
	}
	return rows, nil
}

// Nodes gives all nodes: the first three began as primaries; then come their first replicas in the same
// order, then their second ones.
func (c *Cluster) Nodes() []*Server { return slices.Clone(c.nodes) }

// Addrs gives the addresses of Nodes.
func (c *Cluster) Addrs() []string { return addrs(c.nodes) }

// Owner gives the primary that serves a key, by the word of the first node that answers.
func (c *Cluster) Owner(key string) *Server {
	c.t.Helper()
	var owner *Server
	await(c.t, fmt.Sprintf("owner of %q", key), c.nodes, func() error {
		var failed error
		for _, node := range c.nodes {
			addr, err := node.whoServes(key)
			if err == nil {
				owner, err = c.node(addr)
			}
			if err == nil {
				return nil
			}
			failed = errors.Join(failed, err)
		}
		return failed
	})
	return owner
}

// Migrate moves the slot of a key with everything in it to another primary, some keys at a time, and returns how many
// they were. In between it calls between, unless that is nil: then the slot is at both, and once at least.
func (c *Cluster) Migrate(key string, to *Server, between func(moved int)) (moved int) {
	c.t.Helper()
	from := c.Owner(key)
	slot := c.must(from, "CLUSTER", "KEYSLOT", key)
	target := c.must(to, "CLUSTER", "MYID")
	c.must(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", c.must(from, "CLUSTER", "MYID"))
	c.must(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", target)
	host, port, _ := net.SplitHostPort(to.Addr)
	for {
		names, _ := c.must(from, "CLUSTER", "GETKEYSINSLOT", slot, 20).([]any)
		if len(names) > 0 {
			args := []any{"MIGRATE", host, port, "", 0, 5000, "AUTH2", ownUser, ownPassword, "KEYS"}
			c.must(from, append(args, names...)...)
			moved += len(names)
		}
		if between != nil {
			between(moved)
		}
		if len(names) == 0 {
			break
		}
	}
	// The one that receives the slot says so first, with an epoch of its own; others believe whom they are told.
	c.must(to, "CLUSTER", "SETSLOT", slot, "NODE", target)
	c.must(from, "CLUSTER", "SETSLOT", slot, "NODE", target)
	c.await("slot moved", func(node *Server) error {
		addr, err := node.whoServes(key)
		if err == nil && addr != to.Addr {
			err = fmt.Errorf("%s serves it", addr)
		}
		return err
	})
	return moved
}

func (c *Cluster) node(addr string) (*Server, error) {
	i := slices.Index(c.Addrs(), addr)
	if i < 0 {
		return nil, fmt.Errorf("%s is not of this cluster", addr)
	}
	return c.nodes[i], nil
}

func (s *Server) whoServes(key string) (string, error) {
	slot, err := s.ask("CLUSTER", "KEYSLOT", key)
	if err != nil {
		return "", err
	}
	rows, err := s.table()
	if err != nil {
		return "", err
	}
	for _, row := range rows {
		if row.holds(slot.(int64)) {
			return row.addr, nil
		}
	}
	return "", fmt.Errorf("nobody serves slot %d", slot)
}

func (r row) holds(slot int64) bool {
	for _, s := range r.slots {
		from, to, several := strings.Cut(s, "-")
		if !several {
			to = from
		}
		first, err1 := strconv.ParseInt(from, 10, 64)
		last, err2 := strconv.ParseInt(to, 10, 64)
		if err1 == nil && err2 == nil && first <= slot && slot <= last {
			return true
		}
	}
	return false
}

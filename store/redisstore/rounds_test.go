package redisstore

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store/redistest"
)

// observed is what Config.Observe was told.
type observed struct {
	mu  sync.Mutex
	all []string // "command outcome"
}

func (o *observed) observe(command, outcome string, took time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, command+" "+outcome)
	if took <= 0 {
		o.all = append(o.all, "no time")
	}
}

// take returns what was told since the last call, without the making of connections.
func (o *observed) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := slices.DeleteFunc(o.all, func(s string) bool { return s == "dial ok" || s == "hello ok" })
	o.all = nil
	return all
}

// since returns all that was told; go-redis may still be dialling in the background when a test looks.
func (o *observed) since() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.all)
}

// TestRoundTrips: how often Redis is asked for each call, when connections and scripts are there.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	cluster := redistest.StartCluster(t)
	for name, c := range map[string]Config{
		"standalone": {Addrs: []string{server.Addr}},
		"cluster":    {Addrs: cluster.Addrs(), Cluster: true},
	} {
		t.Run(name, func(t *testing.T) {
			var told observed
			c.Observe = told.observe
			s := newStore(t, openTest(t, c))
			fill(t, s)
			head, err := s.Head(t.Context())
			must(t, err)
			must(t, calls["ReplaceInstallation"].does(t.Context(), s, head)) // its script is there
			claims := &token.Claims{JTI: "j", ClientID: "a", CredentialID: "k-1", Audience: []string{"r"}}
			commit := []string{"evalsha ok", "evalsha ok"}
			for _, c := range []struct {
				name string
				does func() error
				want []string
			}{
				{"Client", func() error { return calls["Client"].does(t.Context(), s, head) }, []string{"mget ok"}},
				{"an unknown client", func() error { _, err := s.Client(t.Context(), "nobody"); return ignore(err, isAbsence) }, []string{"mget ok"}},
				{"ClientVersion", func() error { return calls["ClientVersion"].does(t.Context(), s, head) }, []string{"exists ok"}},
				{"ClientOf", func() error { return calls["ClientOf"].does(t.Context(), s, head) }, []string{"mget ok"}},
				{"Revocations of a token", func() error { _, err := s.Revocations(t.Context(), token.Subjects(claims, "kid")); return err }, []string{"mget ok"}},
				{"Resource", func() error { return calls["Resource"].does(t.Context(), s, head) }, []string{"mget ok"}},
				{"Installation", func() error { return calls["Installation"].does(t.Context(), s, head) }, []string{"mget ok"}},
				{"Head", func() error { return calls["Head"].does(t.Context(), s, head) }, []string{"xrevrange ok"}},
				{"Changes", func() error { return calls["Changes"].does(t.Context(), s, head) }, []string{"xrange ok"}},
				{"Clock", func() error { return calls["Clock"].does(t.Context(), s, head) }, []string{"time ok"}},
				{"ListClients", func() error { return calls["ListClients"].does(t.Context(), s, head) }, []string{"zrangebylex ok", "mget ok"}},
				{"PutClient", func() error { return calls["PutClient"].does(t.Context(), s, head) }, commit},
				{"PutResource", func() error { return calls["PutResource"].does(t.Context(), s, head) }, commit},
				{"PutRevocation", func() error { return calls["PutRevocation"].does(t.Context(), s, head) }, commit},
				{"PutRing", func() error { return calls["PutRing"].does(t.Context(), s, head) }, commit},
				{"ReplaceInstallation", func() error { return calls["ReplaceInstallation"].does(t.Context(), s, head) }, commit[:1]},
				{"a conflict", func() error {
					return ignore(calls["PutClient"].does(t.Context(), s, head), func(err error) bool { return errors.Is(err, authz.ErrConflict) })
				}, commit[:1]},
				{"what cannot be stored", func() error {
					_, err := s.PutClient(t.Context(), authz.Client{}, testEntry("x"))
					return ignore(err, func(err error) bool { return err != nil })
				}, nil},
				{"Confirm, of nothing", func() error { return s.Confirm(t.Context()) }, nil},
			} {
				told.take()
				if err := c.does(); err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
				if got := told.take(); !slices.Equal(got, c.want) {
					t.Errorf("%s: Redis was asked %v, want %v", c.name, got, c.want)
				}
			}
		})
	}
}

func ignore(err error, expected func(error) bool) error {
	if expected(err) {
		return nil
	}
	return fmt.Errorf("got error %w", err)
}

// TestObserve_NamesOnly: what is told is of closed lists, whatever is asked, and however it ends.
func TestObserve_NamesOnly(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Password(secret))
	w := newWire(t, server.Addr)
	var told observed
	s := newStore(t, openTest(t, Config{Addrs: []string{w.addr}, Password: secret, Observe: told.observe, CallTimeout: 500 * time.Millisecond}))
	fill(t, s)
	head, err := s.Head(t.Context())
	must(t, err)
	for _, does := range []act{passes, loses, cuts} {
		for _, name := range []string{"mget", "evalsha", "xrange"} {
			w.on(name, always(does))
		}
		for _, name := range slices.Sorted(maps.Keys(calls)) {
			_ = calls[name].does(t.Context(), s, head)
		}
	}
	for _, name := range []string{"mget", "evalsha", "xrange"} {
		w.on(name, nil)
	}
	must(t, server.Client().Del(t.Context(), s.db.names.of(nameChanges)).Err())
	must(t, server.Client().HSet(t.Context(), s.db.names.of(nameChanges), "a", "b").Err())
	_, _ = s.Head(t.Context())
	w.on("mget", always(withholds))
	_, _ = s.Client(t.Context(), "a")
	outcomes := []string{"ok", "refused", "timeout", "error"}
	seen := map[string]bool{}
	for _, text := range told.since() {
		command, outcome, _ := strings.Cut(text, " ")
		seen[outcome] = true
		if !slices.Contains(Commands(), command) || !slices.Contains(outcomes, outcome) {
			t.Errorf("told %q", text)
		}
	}
	for _, o := range outcomes {
		if !seen[o] {
			t.Errorf("nothing ended as %s", o)
		}
	}
}

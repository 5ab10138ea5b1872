//go:build linux || darwin

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/store/redistest"
)

// How much TestEVT14_Propagation does, each by a variable of the environment; otherwise little, for CI. All of it:
//
//	PROPAGATE_VERIFIERS=1000 PROPAGATE_PROCESSES=20 PROPAGATE_REVOCATIONS=10000 PROPAGATE_KILLS=40 \
//	go test -timeout 2h -v -run EVT14_Propagation ./cmd/marque
const (
	propagateVerifiers   = "PROPAGATE_VERIFIERS"   // in this process
	propagateProcesses   = "PROPAGATE_PROCESSES"   // with one more each
	propagateRevocations = "PROPAGATE_REVOCATIONS" // signing keys among them
	propagateKills       = "PROPAGATE_KILLS"       // of servers
)

const (
	propagated     = "https://propagated.example" // the audience
	perAPI         = 50                           // services of one client: it may have 64 streams at one server
	actors         = 3                            // who revoke at the same time
	completeJudged = 20_000                       // verdicts in the end: of each service on each token, if there are no more
)

// TestEVT14_Propagation_STR03_SET14_EVT05 has services follow three servers on one Redis, revokes tokens, clients, secrets
// and signing keys at servers drawn at random, while servers are killed (SIGKILL) and started again, and measures
// the time from the 200 until each service refuses. No revocation is missed. A service that has a stream knows
// within a second as a rule (p99); whatever happens to servers, none vouches for a time before which it misses something,
// so that a service lets nothing through for longer than its MaxAge.
func TestEVT14_Propagation_STR03_SET14_EVT05(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	redistest.Require(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("run", func(t *testing.T) { // so that everything has ended before goroutines are counted
		// A thousand services have one processor between them here, and one of their own elsewhere.
		defer debug.SetGCPercent(debug.SetGCPercent(400))
		p := newPropagation(t, times(propagateVerifiers, 30), times(propagateProcesses, 3), times(propagateRevocations, 150), times(propagateKills, 2))
		p.before = p.memory()
		p.run(t)
		p.awaitAll(t)
		p.awaitRest(t)
		p.report(t)
		p.judgeAll(t)
		p.everything(t)
		p.end(t)
	})
}

// act is something that is revoked.
type act struct {
	kind, subject string
	compact       string       // a token that it voids
	key           *atomic.Bool // the key that signed it is revoked, too: who does not have it may not be able to ask
	answered      atomic.Int64 // when the 200 had come, in Unix nanoseconds; 0: not yet
	left          atomic.Int32 // services that do not know it
}

// spread is the whole test.
type spread struct {
	t        *testing.T
	nodes    []*liveNode
	kills    int
	services []*attentive
	children []*child
	front    front

	registered sync.RWMutex
	acts       []*act
	bySubject  map[string]int
	keys       map[string]*atomic.Bool // by kid: it is revoked

	done    atomic.Int64 // acts that were answered
	want    int
	revoker sync.RWMutex // held for reading by whoever needs a token that is good, for writing by who revokes a key

	sampled, closed atomic.Int64 // verdicts meanwhile; those that were 503
	early           atomic.Int64 // events that came before the 200
	hesitated       atomic.Int64 // good tokens that a service did not take at once: it had not fetched their key
	faults          atomic.Int64
	slowest         slowest

	before memory
}

// memory is what is held, in octets: by services here, and by each server.
type memory struct {
	services uint64
	servers  []int
}

func (p *spread) memory() (m memory) {
	m.services = heap()
	for _, n := range p.nodes {
		m.servers = append(m.servers, residentOf(n.process))
	}
	return m
}

// residentOf is the resident set of a process in KiB; 0 where that is not known.
func residentOf(process *exec.Cmd) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", process.Process.Pid))
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	return 0
}

func newPropagation(t *testing.T, verifiers, processes, revocations, kills int) *spread {
	t.Helper()
	environ := onRedis(redistest.Start(t).Addr)
	first := newLab(t, environ...)
	ports, err := freePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	p := &spread{t: t, kills: kills, want: revocations, bySubject: map[string]int{}, keys: map[string]*atomic.Bool{}}
	t.Cleanup(func() { // for a test that fails before it has ended them
		for _, n := range p.nodes {
			_ = n.process.Process.Kill()
			_ = n.process.Wait()
		}
	})
	labs := []*lab{first}
	for i, port := range ports {
		labs = append(labs, &lab{dir: first.dir, data: filepath.Join(first.dir, fmt.Sprint("d", i)), listen: port, environ: environ})
	}
	var addresses []string
	for _, l := range labs {
		n := &liveNode{lab: l, http: &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}}
		n.begin(t)
		p.nodes, addresses = append(p.nodes, n), append(addresses, l.listen)
	}
	p.front = newFront(addresses)
	t.Cleanup(p.front.transport.CloseIdleConnections)
	api := first.api(t)
	if r, err := api.CreateResourceWithResponse(t.Context(), nil, client.ResourceDefinition{
		Resource: propagated, Scopes: &[]string{"read"}, TokenLifetime: new(int64(3600)),
	}); err != nil || r.JSON201 == nil {
		t.Fatalf("%v, %s", err, r.Body)
	}
	var starting sync.WaitGroup
	turns := make(chan struct{}, 20)
	var c followerConfig
	for i := range verifiers + processes {
		if i%perAPI == 0 {
			c = followerConfig{Issuer: "http://" + first.listen, Audience: propagated, ClientID: fmt.Sprint("api-", i), Nodes: addresses, Remember: 100}
			r, err := api.CreateClientWithResponse(t.Context(), nil, client.ClientMetadata{ClientID: &c.ClientID, ClientName: "A service", Serves: &[]string{propagated}})
			if err != nil || r.JSON201 == nil {
				t.Fatalf("%v, %s", err, r.Body)
			}
			c.Secret = *r.JSON201.ClientSecret
		}
		w := &attentive{p: p, known: make([]bool, revocations+2)} // and a resource, and everything
		p.services = append(p.services, w)
		if i >= verifiers {
			k := startChild(t, w, c)
			p.children = append(p.children, k)
			starting.Go(func() {
				select {
				case <-k.ready:
				case <-k.ended:
					t.Error("a service in a process of its own did not start")
				}
			})
			continue
		}
		turns <- struct{}{}
		mine := c
		starting.Go(func() {
			defer func() { <-turns }()
			f, err := startFollower(t.Context(), mine, p.front, &events, w.hear)
			if err != nil {
				t.Error(err)
				return
			}
			w.judge = f
			t.Cleanup(f.Close)
		})
	}
	starting.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return p
}

// broken tells of the first things that must not be.
func (p *spread) broken(format string, args ...any) {
	p.t.Helper()
	if p.faults.Add(1) <= 10 {
		p.t.Errorf(format, args...)
	}
}

// run revokes, kills and looks.
func (p *spread) run(t *testing.T) {
	var partners []partner
	for i := range p.want/500 + 1 { // each may revoke a thousand tokens
		partners = append(partners, p.newPartner(rand.New(rand.NewPCG(1, uint64(i))), fmt.Sprint("partner-", i)))
	}
	ctx, stop := context.WithCancel(t.Context())
	var workers, others sync.WaitGroup
	var turn atomic.Int64
	for i := range actors {
		dice := rand.New(rand.NewPCG(2, uint64(i)))
		workers.Go(func() {
			for !t.Failed() {
				n := int(turn.Add(1)) - 1
				if n >= p.want {
					return
				}
				began := time.Now()
				a := p.revokeOne(ctx, dice, n, partners[n/500])
				p.done.Add(1)
				for waited := 0; a.left.Load() > 0 && waited < 3_000; waited += 2 {
					time.Sleep(2 * time.Millisecond)
				}
				time.Sleep(time.Since(began)) // so that the machine is not what is measured
			}
		})
	}
	others.Go(func() { p.killAndStart(ctx, t) })
	others.Go(func() { p.look(ctx) })
	workers.Wait()
	stop()
	others.Wait()
}

// killAndStart kills servers as the revocations go on, and starts them again.
func (p *spread) killAndStart(ctx context.Context, t *testing.T) {
	dice := rand.New(rand.NewPCG(3, 3))
	for kill := 0; kill < p.kills; kill++ {
		for p.done.Load() < int64((kill+1)*p.want/(p.kills+1)) {
			if !wait(ctx, dice, 1, 2*time.Millisecond) {
				return
			}
		}
		victims := dice.Perm(len(p.nodes))[:1+dice.IntN(4)/3]
		for _, i := range victims {
			p.nodes[i].kill(t)
			p.slowest.killed(i)
		}
		time.Sleep(time.Duration(dice.Int64N(int64(2 * time.Second)))) // for as long as it takes somebody to notice
		for _, i := range victims {
			p.nodes[i].begin(t)
			p.slowest.begun(i)
		}
	}
}

// look has services judge tokens while all this goes on: what one knows to be revoked it refuses, whatever became of
// the servers, and nothing is let through that was revoked before the longest time in which a service may not know.
func (p *spread) look(ctx context.Context) {
	dice := rand.New(rand.NewPCG(4, 4))
	for wait(ctx, dice, time.Millisecond, 10*time.Millisecond) {
		p.registered.RLock()
		acts := p.acts
		p.registered.RUnlock()
		if len(acts) == 0 {
			continue
		}
		i, w := dice.IntN(len(acts)), p.services[dice.IntN(len(p.services))]
		w.mu.Lock()
		known := w.known[i]
		w.mu.Unlock()
		answered := acts[i].answered.Load()
		old := answered != 0 && time.Since(time.Unix(0, answered)) > verifier.DefaultMaxAge+time.Second
		v := w.judge.judge(ctx, acts[i].compact)
		p.sampled.Add(1)
		switch {
		case v == unknown && known && !acts[i].key.Load():
			p.broken("%s %s is known, and the answer is 503", acts[i].kind, acts[i].subject)
		case v == unknown:
			p.closed.Add(1)
		case v == taken && (known || old):
			p.broken("EVT-14: %s %s is let through, known %t, %v after the 200", acts[i].kind, acts[i].subject, known, time.Since(time.Unix(0, answered)))
		}
	}
}

// awaitAll wants all services to know everything.
func (p *spread) awaitAll(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if !slices.ContainsFunc(p.acts, func(a *act) bool { return a.left.Load() > 0 }) {
			return
		}
	}
	for _, a := range p.acts {
		if n := a.left.Load(); n > 0 {
			p.broken("missed: %s %s by %d services", a.kind, a.subject, n)
		}
	}
	t.FailNow()
}

// awaitRest returns once no service here holds what an older server said beside what it is told now: when it has read
// everything anew, that goes with the next word of the server that it follows.
func (p *spread) awaitRest(t *testing.T) {
	t.Helper()
	most := len(p.acts)*3/2 + 100
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if !slices.ContainsFunc(p.services, func(w *attentive) bool {
			f, here := w.judge.(*followed)
			return here && f.FeedStatus().Revocations > most
		}) {
			return
		}
	}
	t.Errorf("services hold more than %d revocations", most)
}

// end ends everything as an operator would.
func (p *spread) end(t *testing.T) {
	t.Helper()
	for _, k := range p.children {
		k.in.Close()
		<-k.ended
		if err := k.process.Wait(); err != nil {
			t.Errorf("a service in a process of its own: %v", err)
		}
	}
	for _, n := range p.nodes {
		n.http.CloseIdleConnections()
		n.end(t, n.process)
	}
}

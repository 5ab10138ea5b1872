//go:build linux || darwin

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/authz/token"
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
		p := newPropagation(t, times(propagateVerifiers, 50), times(propagateProcesses, 3), times(propagateRevocations, 300), times(propagateKills, 2))
		p.before = p.memory()
		p.run(t)
		p.awaitAll(t)
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

// judge is a service, here or elsewhere.
type judge interface {
	judge(ctx context.Context, compact string) verdict
}

// attentive is a service, and when it came to know what.
type attentive struct {
	judge
	p *spread

	mu          sync.Mutex
	known       []bool // by act
	unknown     int    // acts before this one are known
	steady, cut delays // it had a stream at the time of the 200, or not
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
			p.children = append(p.children, startChild(t, w, c))
		}
		turns <- struct{}{}
		mine := c
		starting.Go(func() {
			defer func() { <-turns }()
			if i >= verifiers {
				<-p.children[i-verifiers].ready
				return
			}
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

var events eventReader // of all services in this process

// hear takes a step. What it vouches for, it must have said.
func (w *attentive) hear(s step) {
	p := w.p
	p.registered.RLock()
	acts := p.acts
	var ids []int
	for _, subject := range s.Subjects {
		if i, ok := p.bySubject[subject]; ok {
			ids = append(ids, i)
		}
	}
	p.registered.RUnlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range ids {
		if w.known[i] {
			continue
		}
		w.known[i] = true
		acts[i].left.Add(-1)
		answered := acts[i].answered.Load()
		late := time.Duration(0)
		if answered != 0 && s.At.UnixNano() > answered {
			late = time.Duration(s.At.UnixNano() - answered)
		} else {
			p.early.Add(1)
		}
		if answered == 0 || s.Since.UnixNano() < answered {
			w.steady = append(w.steady, late)
		} else {
			w.cut = append(w.cut, late)
		}
	}
	for w.unknown < len(acts) && w.known[w.unknown] {
		w.unknown++
	}
	if s.AsOf.IsZero() {
		return
	}
	for i := w.unknown; i < len(acts); i++ {
		const clocks = 100 * time.Millisecond // servers read the store's clock over a connection
		if a := acts[i]; !w.known[i] && a.answered.Load() != 0 && s.AsOf.UnixNano() > a.answered.Load()+int64(clocks) {
			p.broken("SET-14: a service was told that it knows everything until %v, and not of %s, revoked at %v", s.AsOf, a.subject, time.Unix(0, a.answered.Load()))
		}
	}
}

// broken tells of the first things that must not be.
func (p *spread) broken(format string, args ...any) {
	p.t.Helper()
	if p.faults.Add(1) <= 10 {
		p.t.Errorf(format, args...)
	}
}

// child is a service in a process of its own.
type child struct {
	process *exec.Cmd
	in      io.WriteCloser
	ready   chan struct{}
	ended   chan struct{} // nothing more is to be read

	mu      sync.Mutex
	ask     *json.Encoder
	answers []chan verdict // by asked.ID
}

func startChild(t *testing.T, w *attentive, c followerConfig) *child {
	t.Helper()
	c.Remember = 0
	k := &child{process: exec.CommandContext(t.Context(), followerName), ready: make(chan struct{}), ended: make(chan struct{})}
	k.process.Stderr = os.Stderr
	var err error
	if k.in, err = k.process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := k.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // for a test that fails before it has ended it
		_ = k.process.Process.Kill()
		_ = k.process.Wait()
	})
	w.judge, k.ask = k, json.NewEncoder(k.in)
	if err := k.ask.Encode(c); err != nil {
		t.Fatal(err)
	}
	go k.listen(w, json.NewDecoder(bufio.NewReader(out)))
	return k
}

func (k *child) listen(w *attentive, lines *json.Decoder) {
	defer close(k.ended)
	for {
		var line told
		if err := lines.Decode(&line); err != nil {
			return
		}
		switch {
		case line.Ready:
			close(k.ready)
		case line.Step != nil:
			w.hear(*line.Step)
		case line.Verdict != nil:
			k.mu.Lock()
			k.answers[line.Verdict.ID] <- line.Verdict.Verdict
			k.mu.Unlock()
		}
	}
}

func (k *child) judge(_ context.Context, compact string) verdict {
	k.mu.Lock()
	answer := make(chan verdict, 1)
	k.answers = append(k.answers, answer)
	err := k.ask.Encode(question{ID: len(k.answers) - 1, Compact: compact})
	k.mu.Unlock()
	if err != nil {
		return unknown
	}
	select {
	case v := <-answer:
		return v
	case <-k.ended:
		return unknown
	}
}

// register makes known what will be revoked, before it is.
func (p *spread) register(kind string, subject token.Subject, compact string) *act {
	a := &act{kind: kind, subject: subject.String(), compact: compact}
	a.left.Store(int32(len(p.services)))
	kid := kidOf(p.t, compact)
	p.registered.Lock()
	defer p.registered.Unlock()
	if p.keys[kid] == nil {
		p.keys[kid] = &atomic.Bool{}
	}
	a.key = p.keys[kid]
	p.bySubject[a.subject] = len(p.acts)
	p.acts = append(p.acts, a)
	return a
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

// anyNode returns a server that lives.
func (p *spread) anyNode(dice *rand.Rand) *liveNode {
	for {
		n := p.nodes[dice.IntN(len(p.nodes))]
		if _, lives := n.now(); lives {
			return n
		}
		time.Sleep(time.Millisecond)
	}
}

// insist asks servers until one has done it: the one that was asked may have been killed.
func (p *spread) insist(dice *rand.Rand, what string, do func(*liveNode) (status int, err error)) {
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		status, err := do(p.anyNode(dice))
		if err == nil && status/100 == 2 {
			return
		}
		if time.Now().After(end) {
			p.broken("%s: status %d, %v", what, status, err)
			return
		}
	}
}

// postForm posts a form to a server.
func (n *liveNode) postForm(path string, form url.Values, into any) (int, error) {
	r, err := n.http.PostForm("http://"+n.listen+path, form)
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK || into == nil {
		return r.StatusCode, nil
	}
	return r.StatusCode, json.NewDecoder(r.Body).Decode(into)
}

func (p *spread) newPartner(dice *rand.Rand, id string) (c partner) {
	c, _ = p.newClient(dice, id)
	return c
}

// newClient makes a client, and returns its credential, too. An answer that was cut off left a client behind: the next one
// has another name.
func (p *spread) newClient(dice *rand.Rand, id string) (c partner, credential string) {
	tries := 0
	p.insist(dice, "create "+id, func(n *liveNode) (int, error) {
		c.id = fmt.Sprint(id, ".", tries)
		tries++
		r, err := n.api(p.t).CreateClientWithResponse(context.Background(), nil, client.ClientMetadata{
			ClientID: &c.id, ClientName: "A partner", Scope: new("read"), DefaultScope: new("read"), Resources: &[]string{propagated},
		})
		if err == nil && r.JSON201 != nil {
			c.secret, credential = *r.JSON201.ClientSecret, text(r.JSON201.CredentialID)
		}
		return statusOf(r, err), err
	})
	return c, credential
}

// token gets one, which one of the services takes.
func (p *spread) token(ctx context.Context, dice *rand.Rand, c partner) string {
	var got issued
	p.insist(dice, "a token for "+c.id, func(n *liveNode) (int, error) {
		return n.postForm("/oauth2/token", c.form("grant_type", "client_credentials"), &got)
	})
	w := p.services[dice.IntN(len(p.services))]
	for i := 0; ; i++ {
		v := w.judge.judge(ctx, got.AccessToken)
		if v != refused {
			return got.AccessToken
		}
		if p.hesitated.Add(1); i == 1_000 {
			p.broken("a service does not take a good token")
			return got.AccessToken
		}
		time.Sleep(20 * time.Millisecond) // its key is new, and was fetched of a server that did not know it
	}
}

// revokeOne makes the n-th revocation, and returns when it was answered.
func (p *spread) revokeOne(ctx context.Context, dice *rand.Rand, n int, c partner) *act {
	if every := max(p.want/4, 100); n%every == every-1 {
		return p.revokeKey(ctx, dice, c)
	}
	p.revoker.RLock()
	defer p.revoker.RUnlock()
	revoke := func(kind client.RevocationKind, value string) func(*liveNode) (int, error) {
		return func(n *liveNode) (int, error) {
			r, err := n.api(p.t).CreateRevocationWithResponse(context.Background(), nil, client.RevocationRequest{Kind: kind, Value: &value})
			return statusOf(r, err), err
		}
	}
	var a *act
	var do func(*liveNode) (int, error)
	switch n % 10 {
	case 0:
		c = p.newPartner(dice, fmt.Sprint("disabled-", n))
		a = p.register("client disabled", token.Subject{Kind: token.RevokedClient, Value: c.id}, p.token(ctx, dice, c))
		do = func(n *liveNode) (int, error) {
			r, err := n.api(p.t).DisableClientWithResponse(context.Background(), c.id, nil)
			return statusOf(r, err), err
		}
	case 1:
		c = p.newPartner(dice, fmt.Sprint("until-now-", n))
		a = p.register("client until now", token.Subject{Kind: token.RevokedClient, Value: c.id}, p.token(ctx, dice, c))
		do = revoke(client.RevocationKindClient, c.id)
	case 2:
		c, credential := p.newClient(dice, fmt.Sprint("compromised-", n))
		a = p.register("secret", token.Subject{Kind: token.RevokedCredential, Value: credential}, p.token(ctx, dice, c))
		do = func(n *liveNode) (int, error) {
			r, err := n.api(p.t).RevokeSecretWithResponse(context.Background(), c.id, credential, nil, client.SecretRevocation{Compromised: new(true)})
			return statusOf(r, err), err
		}
	case 3, 4, 5:
		compact := p.token(ctx, dice, c)
		a = p.register("token, by its client", token.Subject{Kind: token.RevokedJTI, Value: jtiOf(p.t, compact)}, compact)
		do = func(n *liveNode) (int, error) {
			return n.postForm("/oauth2/revoke", c.form("token", compact), nil)
		}
	default:
		compact := p.token(ctx, dice, c)
		jti := jtiOf(p.t, compact)
		a = p.register("token", token.Subject{Kind: token.RevokedJTI, Value: jti}, compact)
		do = revoke(client.RevocationKindJti, jti)
	}
	p.insist(dice, a.kind, do)
	a.answered.Store(time.Now().UnixNano())
	return a
}

// revokeKey revokes the key that signs, while nobody waits for what it has signed.
func (p *spread) revokeKey(ctx context.Context, dice *rand.Rand, c partner) *act {
	p.revoker.Lock()
	defer p.revoker.Unlock()
	compact := p.token(ctx, dice, c)
	kid := kidOf(p.t, compact)
	a := p.register("signing key", token.Subject{Kind: token.RevokedKey, Value: kid}, compact)
	a.key.Store(true)
	p.insist(dice, a.kind, func(n *liveNode) (int, error) {
		r, err := n.api(p.t).RevokeKeyWithResponse(context.Background(), kid, nil)
		return statusOf(r, err), err
	})
	a.answered.Store(time.Now().UnixNano())
	for _, n := range p.nodes { // until all who live sign by the next one
		waitFor(p.t, func() bool {
			time.Sleep(5 * time.Millisecond)
			if _, lives := n.now(); !lives {
				return true
			}
			var got issued
			status, _ := n.postForm("/oauth2/token", c.form("grant_type", "client_credentials"), &got)
			return status == http.StatusOK && kidOf(p.t, got.AccessToken) != kid
		})
	}
	return a
}

func kidOf(t *testing.T, compact string) string {
	header, _, err := decodeToken(compact)
	if err != nil {
		t.Error(err)
	}
	var h struct{ KID string }
	_ = json.Unmarshal(header, &h)
	return h.KID
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
		}
		time.Sleep(time.Duration(dice.Int64N(int64(2 * time.Second)))) // for as long as it takes somebody to notice
		for _, i := range victims {
			p.nodes[i].begin(t)
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

// report says what was measured.
func (p *spread) report(t *testing.T) {
	t.Helper()
	after := p.memory()
	var steady, cut delays
	dropped := map[verifier.FeedCause]uint64{}
	for _, w := range p.services {
		w.mu.Lock()
		steady, cut = append(steady, w.steady...), append(cut, w.cut...)
		w.mu.Unlock()
		if f, ok := w.judge.(*followed); ok {
			for cause, n := range f.FeedStatus().Dropped {
				dropped[cause] += n
			}
		}
	}
	kinds := map[string]int{}
	for _, a := range p.acts {
		kinds[a.kind]++
	}
	load, _ := os.ReadFile("/proc/loadavg")
	t.Logf("%d services here and %d in processes of their own, 3 servers on one Redis, %d kills (SIGKILL); revoked: %v; load average %s",
		len(p.services)-len(p.children), len(p.children), p.kills, kinds, strings.TrimSpace(string(load)))
	t.Logf("from the 200 to the refusal, with a stream at the time of the 200: %v (%d before the 200)", steady, p.early.Load())
	if len(cut) > 0 {
		t.Logf("without one, its server killed or just asked again: %v", cut)
	}
	t.Logf("%d calls of revoked tokens meanwhile, %d of them 503; %d times a new key had to be waited for; streams that ended: %v",
		p.sampled.Load(), p.closed.Load(), p.hesitated.Load(), dropped)
	if here := len(p.services) - len(p.children); here > 0 {
		grown := float64(after.services) - float64(p.before.services)
		t.Logf("a live revocation takes %.0f octets of each service here, what this test notes of it included; the servers had %v KiB and have %v KiB",
			grown/float64(here*len(p.acts)), p.before.servers, after.servers)
	}
	// All services of a long run are on this one machine: how late they are says how busy it is.
	if len(steady) == 0 || len(p.services) <= 100 && steady[len(steady)*99/100] > propagation {
		t.Errorf("EVT-14: services with a stream know after %v", steady)
	}
}

// judgeAll has services judge what was revoked, all of them all of it if that is not too much.
func (p *spread) judgeAll(t *testing.T) {
	t.Helper()
	each := len(p.services)
	if each*len(p.acts) > completeJudged {
		each = max(1, completeJudged/len(p.acts))
	}
	var verdicts atomic.Int64
	var wg sync.WaitGroup
	next := make(chan int)
	for range 4 {
		wg.Go(func() {
			for i := range next {
				for k := range each { // so that each service has its turn
					w, a := p.services[(i*each+k)%len(p.services)], p.acts[i]
					v := w.judge.judge(t.Context(), a.compact)
					for tries := 0; v == unknown && a.key.Load() && tries < 1_000; tries++ {
						time.Sleep(10 * time.Millisecond) // it asks for the key that is no more
						v = w.judge.judge(t.Context(), a.compact)
					}
					if verdicts.Add(1); v != refused {
						p.broken("%s %s: %s in the end", a.kind, a.subject, v)
					}
				}
			}
		})
	}
	for i := range p.acts {
		next <- i
	}
	close(next)
	wg.Wait()
	t.Logf("%d verdicts in the end", verdicts.Load())
}

// everything revokes what is of a resource, and then everything: all services refuse, and take what is issued later.
func (p *spread) everything(t *testing.T) {
	t.Helper()
	dice := rand.New(rand.NewPCG(5, 5))
	c := p.newPartner(dice, "last")
	for _, last := range []client.RevocationRequest{{Kind: client.RevocationKindResource, Value: new(propagated)}, {Kind: client.RevocationKindAll}, {}} {
		var compact string
		waitFor(t, func() bool { // what is issued in the very second is void, too
			time.Sleep(50 * time.Millisecond)
			compact = p.token(t.Context(), dice, c)
			return !slices.ContainsFunc(p.services[:1], func(w *attentive) bool { return w.judge.judge(t.Context(), compact) != taken })
		})
		p.everywhere(t, compact, taken)
		if last.Kind == "" {
			return
		}
		a := p.register(string(last.Kind), token.Subject{Kind: token.RevocationKind(last.Kind), Value: text(last.Value)}, compact)
		p.insist(dice, a.kind, func(n *liveNode) (int, error) {
			r, err := n.api(t).CreateRevocationWithResponse(context.Background(), nil, last)
			return statusOf(r, err), err
		})
		a.answered.Store(time.Now().UnixNano())
		p.awaitAll(t)
		p.everywhere(t, compact, refused)
	}
}

// everywhere wants one verdict of all services, at once if it is a refusal.
func (p *spread) everywhere(t *testing.T, compact string, want verdict) {
	t.Helper()
	for i, w := range p.services {
		v := w.judge.judge(t.Context(), compact)
		for tries := 0; v != want && want == taken && tries < 1_000; tries++ {
			time.Sleep(10 * time.Millisecond) // a key that is new to it
			v = w.judge.judge(t.Context(), compact)
		}
		if v != want {
			p.broken("service %d: %s, want %s", i, v, want)
		}
	}
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

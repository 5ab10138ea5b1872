//go:build linux || darwin

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/admin/client"
)

// faultNode is a running server, in this process or another: where it answers, and how it fares.
type faultNode struct {
	public, socket string
	api            *client.ClientWithResponses
	acknowledges   atomic.Int64 // when the last change was asked for that it acknowledged: nanoseconds of the history
	refusal        atomic.Value // string: how the last change was answered that it did not acknowledge
}

func newFaultNode(t *testing.T, public, socket string) *faultNode {
	t.Helper()
	api, err := client.NewUnix(socket)
	if err != nil {
		t.Fatal(err)
	}
	return &faultNode{public: public, socket: socket, api: api}
}

// nodeOf is a server of this process.
func nodeOf(t *testing.T, s *server) *faultNode {
	t.Helper()
	return newFaultNode(t, s.Address(), filepath.Join(s.config.Data, socketName))
}

// world is servers on one store, everybody who uses them while something is broken, and what came of it.
//
//	w := newWorld(t, nodes...)       // registers those who use it
//	w.begin(t)                       // from now on they write and ask
//	…                                // break something, and mend it
//	took := w.settle(t)              // until every server acknowledges changes again
//	w.conclude(t, fresh)             // reads everything back, checks it, and prints what was counted
type world struct {
	nodes      []*faultNode
	http       *http.Client
	history    *history
	known, api partner  // one that every server has in its cache, and one that may ask about every token
	keysRest   bool     // nobody rotates or revokes keys
	mayLose    []string // kinds of objects, but for tokens, of which acknowledged writes may be lost
	good       []heldToken
	stop       context.CancelFunc
	running    sync.WaitGroup
	shared     atomic.Int64 // which clients several writers change at the same time

	mu      sync.Mutex // guards what follows
	pauses  []*pause
	wrong   []string    // answers that nobody may give
	tokens  []heldToken // all
	revoked []heldToken // of late
}

// heldToken is a token and the name of its object.
type heldToken struct{ compact, object string }

// Resources: tokens for the first are signed with the usual keys, those for the second with keys that are revoked.
const (
	faultResource  = "https://faults.example"
	faultResource2 = "https://faults-2.example"
)

// newWorld makes the resources, a partner that every server knows, and an API that asks about tokens.
func newWorld(t *testing.T, nodes ...*faultNode) *world {
	t.Helper()
	w := &world{
		nodes: nodes, history: newHistory(),
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}, Timeout: 20 * time.Second},
	}
	t.Cleanup(w.end)
	api := nodes[0].api
	for _, r := range []client.ResourceDefinition{
		{Resource: faultResource, Scopes: &[]string{"read"}},
		{Resource: faultResource2, Algorithm: new(labRing)},
	} {
		if got, err := api.CreateResourceWithResponse(t.Context(), nil, r); err != nil || got.JSON201 == nil {
			t.Fatalf("%v, %s", err, got.Body)
		}
	}
	w.known = w.mustCreate(t, client.ClientMetadata{ClientID: new("known"), ClientName: "known", Scope: new("read"), DefaultScope: new("read"), Resources: &[]string{faultResource}, TokenLifetime: new(int64(3600))})
	w.api = w.mustCreate(t, client.ClientMetadata{ClientID: new("api"), ClientName: "api", Serves: &[]string{faultResource, faultResource2}})
	for _, n := range nodes { // every server has both in its cache
		waitFor(t, func() bool {
			time.Sleep(5 * time.Millisecond)
			compact := w.token(n, w.known)
			if compact == "" {
				return false
			}
			w.good = append(w.good, w.issued(compact))
			_, ok := w.introspect(n, compact)
			return ok
		})
	}
	waitFor(t, func() bool {
		time.Sleep(5 * time.Millisecond)
		active, next := w.ring(nodes[0], labRing)
		return active != "" && next != ""
	})
	return w
}

func (w *world) mustCreate(t *testing.T, c client.ClientMetadata) partner {
	t.Helper()
	r, err := w.nodes[0].api.CreateClientWithResponse(t.Context(), nil, c)
	if err != nil || r.JSON201 == nil {
		t.Fatalf("%v, %s", err, r.Body)
	}
	return partner{*c.ClientID, *r.JSON201.ClientSecret}
}

// begin lets everybody act, until [world.conclude] or the end of the test. What they do takes turns among the servers.
func (w *world) begin(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	for i, n := range w.nodes {
		other := w.nodes[(i+1)%len(w.nodes)]
		for range 2 {
			w.act(ctx, "token", 8*time.Millisecond, func(p *pause, _ int) { w.asksForToken(n, p) })
		}
		w.act(ctx, "introspection", 10*time.Millisecond, func(p *pause, _ int) { w.asksAboutToken(n, p) })
		w.act(ctx, "admin write", 25*time.Millisecond, func(p *pause, k int) { w.pulse(n, p, fmt.Sprintf("pulse-%d-%d", i, k)) })
		for kind, write := range map[string]func(context.Context, *faultNode, *faultNode, string){
			"life": w.liveClient, "secret": w.changeSecrets, "token": w.revokeTokens,
		} {
			w.act(ctx, "", 20*time.Millisecond, func(_ *pause, k int) { write(ctx, n, other, fmt.Sprintf("%s-%d-%d", kind, i, k)) })
		}
		w.act(ctx, "", 20*time.Millisecond, func(_ *pause, k int) { w.shareClients(ctx, n, k, fmt.Sprintf("by-%d-%d", i, k)) })
		if !w.keysRest {
			w.act(ctx, "", 2*time.Second, func(_ *pause, k int) { w.changeKeys(ctx, n, other, k) })
		}
	}
}

// act has something done again and again, with a pause in between: partners, not a flood. Something that has a kind is
// watched for how long it was not answered as it should.
func (w *world) act(ctx context.Context, kind string, every time.Duration, does func(p *pause, k int)) {
	p := &pause{kind: kind, last: w.history.now()}
	if kind != "" {
		w.mu.Lock()
		w.pauses = append(w.pauses, p)
		w.mu.Unlock()
	}
	w.running.Go(func() {
		for k := 0; ctx.Err() == nil; k++ {
			does(p, k)
			idle(ctx, every/2+rand.N(every))
		}
	})
}

// idle lets time pass, unless ctx ends.
func idle(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// end stops everybody, and waits for them.
func (w *world) end() {
	if w.stop != nil {
		w.stop()
	}
	w.running.Wait()
	w.http.CloseIdleConnections()
}

// settle returns once every server has acknowledged a change that was asked for after the call, and how long it took.
func (w *world) settle(t *testing.T) time.Duration {
	t.Helper()
	begun := w.history.now()
	if err := w.settles(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	return w.history.now() - begun
}

// settles is settle with an error, after so long, that tells how a change was answered.
func (w *world) settles(ctx context.Context, most time.Duration) error {
	begun := int64(w.history.now())
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for _, n := range w.nodes {
		for n.acknowledges.Load() < begun {
			if idle(ctx, 5*time.Millisecond); ctx.Err() != nil {
				return fmt.Errorf("%s acknowledges no change any more, for %v: %v", n.public, most, n.refusal.Load())
			}
		}
	}
	return nil
}

// accuse notes an answer that nobody may give.
func (w *world) accuse(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, fmt.Sprintf("%v: ", w.history.now().Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

// post sends a form of a client that is good, and is never to be told otherwise. Status 0 is no answer.
func (w *world) post(n *faultNode, path string, form url.Values) (status int, body []byte) {
	r, err := w.http.PostForm("http://"+n.public+path, form)
	if err != nil {
		return 0, nil
	}
	defer r.Body.Close()
	if body, err = io.ReadAll(r.Body); err != nil {
		return 0, nil
	}
	if id := form.Get("client_id"); r.StatusCode == http.StatusUnauthorized && (id == w.known.id || id == w.api.id || !slices.Contains(w.mayLose, "client")) {
		w.accuse("%s: %s is told 401: %s", path, id, body)
	}
	return r.StatusCode, body
}

// token asks for one; "" is none.
func (w *world) token(n *faultNode, p partner) string {
	status, body := w.post(n, "/oauth2/token", p.form("grant_type", "client_credentials"))
	return accessToken(status, body)
}

func accessToken(status int, body []byte) string {
	var got issued
	if status != http.StatusOK || json.Unmarshal(body, &got) != nil {
		return ""
	}
	return got.AccessToken
}

// issued notes that a token was.
func (w *world) issued(compact string) heldToken {
	var c struct{ JTI string }
	if _, claims, err := decodeToken(compact); err != nil || json.Unmarshal(claims, &c) != nil {
		w.accuse("a token that cannot be read: %v", err)
	}
	held := heldToken{compact, "jti:" + c.JTI}
	w.history.did(deed{object: held.object, doing: makes})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens = append(w.tokens, held)
	return held
}

// introspect asks whether a token is active. It is not ok if there is no answer.
func (w *world) introspect(n *faultNode, compact string) (c condition, ok bool) {
	status, body := w.post(n, "/oauth2/introspect", w.api.form("token", compact))
	var got struct{ Active bool }
	if status != http.StatusOK || json.Unmarshal(body, &got) != nil {
		return condition{}, false
	}
	if got.Active {
		return condition{life: there}, true
	}
	return condition{life: void}, true
}

// look asks a server about a token and notes the answer.
func (w *world) look(n *faultNode, held heldToken) (ok bool) {
	w.history.look(held.object, func() (c condition, answered bool) {
		c, ok = w.introspect(n, held.compact)
		return c, ok
	})
	return ok
}

// ring returns the keys of an algorithm that a server lists as active and as next.
func (w *world) ring(n *faultNode, alg client.AlgorithmName) (active, next string) {
	r, err := n.api.ListKeysWithResponse(context.Background())
	if err != nil || r.JSON200 == nil {
		return "", ""
	}
	for _, k := range r.JSON200.Keys {
		switch {
		case string(k.Algorithm) != string(alg):
		case k.State == client.KeyStateActive:
			active = k.KID
		case k.State == client.KeyStateNext:
			next = k.KID
		}
	}
	return active, next
}

// held returns a token to ask about: one that is good, or one that was revoked of late.
func (w *world) held() heldToken {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := rand.IntN(2 * len(w.good)); i < len(w.good) || len(w.revoked) == 0 {
		return w.good[i%len(w.good)]
	}
	return w.revoked[rand.IntN(len(w.revoked))]
}

// remember keeps a token that was revoked among those that are asked about.
func (w *world) remember(held heldToken) {
	const most = 100
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.revoked = append(w.revoked, held); len(w.revoked) > most {
		w.revoked = slices.Delete(w.revoked, 0, 1)
	}
}

// pause is for how long something was not answered as it should be: the longest time between two answers to one who
// asks all the time. One goroutine asks; who reads it comes afterwards.
type pause struct {
	kind          string
	last, longest time.Duration // of the history
	good, bad     int
	badly         string // how the first bad one was answered
}

func (p *pause) answered(now time.Duration, ok bool, how string) {
	if !ok {
		if p.bad++; p.bad == 1 {
			p.badly = fmt.Sprintf("%v: %s", now.Round(time.Millisecond), how)
		}
		return
	}
	p.good++
	p.longest, p.last = max(p.longest, now-p.last), now
}

// told sums up the pauses of each kind.
func (w *world) told() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var said []string
	for _, kind := range []string{"token", "introspection", "admin write"} {
		var sum pause
		for _, p := range w.pauses {
			if p.kind == kind {
				sum.good, sum.bad, sum.longest = sum.good+p.good, sum.bad+p.bad, max(sum.longest, p.longest)
			}
		}
		said = append(said, fmt.Sprintf("%s %v (%d answered, %d not)", kind, sum.longest.Round(time.Millisecond), sum.good, sum.bad))
	}
	return "longest pause: " + strings.Join(said, ", ")
}

// failures says how requests of a kind failed.
func (w *world) failures(kind string) (n int, first string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.pauses {
		if p.kind == kind && p.bad > 0 {
			n, first = n+p.bad, p.badly
		}
	}
	return n, first
}

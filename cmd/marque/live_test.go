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
	"github.com/marque-auth/marque/store/redistest"
)

// liveEnv says for how long TestROT05_RotationUnderFire runs, as in
//
//	LIVE_FOR=10m go test -timeout 30m -v -run ROT05 ./cmd/marque
//
// and liveSeedEnv repeats what each of its actors draws: who is killed, who is asked, and after how long. When
// the machine lets them run is not repeated.
const (
	liveEnv     = "LIVE_FOR" // not MARQUE_…: those are settings, and an unknown one is refused
	liveSeedEnv = "LIVE_SEED"
	defaultLive = 50 * time.Second
)

// The windows of the servers: as short as may be, so that rotations follow each other. The lead is exactly
// what it must be at least. Of it, refreshInterval and leeway are what a busy machine may be late by.
const (
	liveMaxAge   = 2 * time.Second
	liveRefresh  = time.Second
	liveLeeway   = 2 * time.Second
	liveLead     = liveMaxAge + liveRefresh + liveLeeway
	liveLifetime = 6 * time.Second // of tokens
	liveEnding   = 2 * time.Second // before a token expires: when it is verified again
	liveKeys     = 38              // rotations at most: retiring keys stay for more than an hour, and 48 may be published
)

// TestROT05_RotationUnderFire_JWK10_ROT04 runs three servers on one Redis, whose keys rotate every few seconds,
// kills them (SIGKILL) and starts them again, and has every token verified by three libraries, at once and
// shortly before it expires. Nothing is refused; a request fails only because its server was killed meanwhile;
// a kid is in the set of every server before it signs; and there is one key that signs. Two emergencies
// follow. The test of the test runs along with it: of the same tokens, the same libraries refuse some when what is
// in front of the servers promises that a set may be kept longer than they publish a key before it signs.
func TestROT05_RotationUnderFire_JWK10_ROT04(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	redistest.Require(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("live", func(t *testing.T) { // so that everything has ended before goroutines are counted
		f := newFleet(t)
		f.live(t, liveDuration(t))
		f.agree(t)
		first := f.revokeKnown(t)
		second := f.revokeFresh(t)
		f.rotateAfter(t, first, second)
		for _, n := range f.nodes {
			n.http.CloseIdleConnections()
			n.end(t, n.process)
		}
	})
}

func liveDuration(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv(liveEnv)
	if text == "" {
		return defaultLive
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", liveEnv, err)
	}
	return d
}

// liveNode is a server that is killed and started again, at the same address and in the same folder.
type liveNode struct {
	*lab
	process *exec.Cmd // of the conductor alone
	http    *http.Client

	mu    sync.Mutex
	life  int
	lives bool
	dying bool
}

func (n *liveNode) begin(t *testing.T) {
	t.Helper()
	n.process = n.start(t)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.life, n.lives, n.dying = n.life+1, true, false
}

// kill ends a life. From its begin on, a request that breaks is explained by it; until its end, there are some.
func (n *liveNode) kill(t *testing.T) {
	t.Helper()
	n.set(true, true)
	if err := n.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = n.process.Wait()
	if code := n.process.ProcessState.ExitCode(); code != -1 {
		t.Fatalf("the server ended by itself, with %d", code)
	}
	n.set(false, false)
	n.http.CloseIdleConnections()
}

func (n *liveNode) set(lives, dying bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lives, n.dying = lives, dying
}

// now returns which life it is in, if it lives.
func (n *liveNode) now() (life int, lives bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.life, n.lives
}

// killedSince says whether a life has ended.
func (n *liveNode) killedSince(life int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.life != life || n.dying || !n.lives
}

// fleet is the servers, who verifies their tokens, and what was seen.
type fleet struct {
	nodes              []*liveNode
	issuer, secret     string // secret of the client live
	seed               uint64
	honest, deceived   []library
	verified           []atomic.Int64 // by honest validator
	fooled             []atomic.Int64 // refusals by deceived validator
	issued, cut, tried atomic.Int64   // tokens; requests whose server was killed; looks for a kid in a set
	late               atomic.Int64   // verifications that ended after the token had
	kills, rotations   int

	mu       sync.Mutex
	signed   map[string][]sighting // by alg, in the order in which they took over
	failures int
	told     map[string]int // of them, by kind
}

// sighting is when the first token of a key came.
type sighting struct {
	kid   string
	first time.Time
}

// newFleet starts the servers. The set is fetched from the issuer's URL, behind which all of them are.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	environ := append(onRedis(redistest.Start(t).Addr),
		"MARQUE_KEYS_JWKS_MAX_AGE="+liveMaxAge.String(), "MARQUE_KEYS_REFRESH_INTERVAL="+liveRefresh.String(),
		"MARQUE_LEEWAY="+liveLeeway.String(), "MARQUE_KEYS_PUBLISH_LEAD="+liveLead.String())
	first := newLab(t, environ...)
	ports, err := freePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{issuer: "http://" + first.listen, seed: rand.Uint64(), signed: map[string][]sighting{}, told: map[string]int{}}
	t.Cleanup(func() { // for a test that fails before it has ended them
		for _, n := range f.nodes {
			_ = n.process.Process.Kill()
			_ = n.process.Wait()
		}
	})
	labs := []*lab{first}
	for i, port := range ports {
		labs = append(labs, &lab{dir: first.dir, data: filepath.Join(first.dir, fmt.Sprint("d", i)), listen: port, environ: environ})
	}
	front := &balancer{transport: &http.Transport{}}
	t.Cleanup(front.transport.CloseIdleConnections)
	for _, l := range labs {
		n := &liveNode{lab: l, http: &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}}
		n.begin(t)
		f.nodes, front.nodes = append(f.nodes, n), append(front.nodes, l.listen)
	}
	if text := os.Getenv(liveSeedEnv); text != "" {
		if f.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	f.register(t)
	set := f.issuer + "/.well-known/jwks.json"
	f.honest = librariesOf(t, f.issuer, set, front)
	f.deceived = librariesOf(t, f.issuer, set, longer{front, 3 * liveLead})
	f.verified, f.fooled = make([]atomic.Int64, len(f.honest)), make([]atomic.Int64, len(f.deceived))
	return f
}

// register makes one client for two resources, whose tokens are signed with different algorithms.
func (f *fleet) register(t *testing.T) {
	t.Helper()
	first := f.nodes[0]
	first.register(t)
	r, err := first.api(t).CreateClientWithResponse(t.Context(), nil, client.ClientMetadata{
		ClientID: new("live"), ClientName: "Live", Scope: new("read"), DefaultScope: new("read"),
		Resources: &[]string{"https://a.example", "https://b.example"}, TokenLifetime: new(int64(liveLifetime / time.Second)),
	})
	if err != nil || r.JSON201 == nil {
		t.Fatalf("%v, %s", err, r.Body)
	}
	f.secret = *r.JSON201.ClientSecret
	for _, n := range f.nodes {
		waitFor(t, func() bool {
			time.Sleep(time.Millisecond)
			_, err := f.get(n, "live", f.secret, "https://b.example")
			return err == nil
		})
	}
}

// dice are an actor's own, so that what it draws does not depend on what others do.
func (f *fleet) dice(actor uint64) *rand.Rand { return rand.New(rand.NewPCG(f.seed, actor)) }

// anyOf returns a server that lives, and which life it is.
func (f *fleet) anyOf(dice *rand.Rand) (*liveNode, int) {
	for {
		n := f.nodes[dice.IntN(len(f.nodes))]
		if life, lives := n.now(); lives {
			return n, life
		}
	}
}

// wait passes at least low, less than high, and says whether ctx still stands.
func wait(ctx context.Context, dice *rand.Rand, low, high time.Duration) bool {
	timer := time.NewTimer(low + time.Duration(dice.Int64N(int64(high-low))))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// fail tells of the first failures of each kind, and counts all of them.
func (f *fleet) fail(t *testing.T, format string, args ...any) {
	t.Helper()
	f.mu.Lock()
	f.failures++
	f.told[format]++
	n := f.told[format]
	f.mu.Unlock()
	if n <= 5 {
		t.Errorf(format, args...)
	}
}

// live lets everybody act for a while, then lets them finish, and says what came of it.
func (f *fleet) live(t *testing.T, d time.Duration) {
	t.Helper()
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var actors, second sync.WaitGroup
	later := make(chan liveToken, 1<<16)
	for i := range 4 {
		actors.Go(func() { f.ask(ctx, t, f.dice(uint64(10+i)), later) })
	}
	actors.Go(func() { f.rotate(ctx, t, f.dice(1), d) })
	for range 4 {
		second.Go(func() { f.again(t, later) })
	}
	f.killAndStart(ctx, t, f.dice(2))
	actors.Wait()
	close(later)
	second.Wait()

	kids := 0
	for _, keys := range f.signed {
		kids += len(keys)
	}
	var verified []string
	for i, v := range f.honest {
		verified = append(verified, fmt.Sprintf("%s %d", v.name, f.verified[i].Load()))
	}
	t.Logf("seed %d, %v: %d tokens issued, verifications %s (%d too late to judge), %d rotations, %d kills (SIGKILL), %d requests cut by them, %d kids seen signing, %d looks for a kid in a set, failures %d",
		f.seed, time.Since(begun).Round(time.Second), f.issued.Load(), strings.Join(verified, ", "), f.late.Load(), f.rotations, f.kills, f.cut.Load(), kids, f.tried.Load(), f.failures)
	for i, v := range f.deceived {
		n := f.fooled[i].Load()
		t.Logf("the test of the test: told to keep a set for %v, %s refused %d times", 3*liveLead, v.name, n)
		if n == 0 {
			t.Errorf("%s never refused a token, though it kept a set for longer than keys are published before they sign", v.name)
		}
	}
	if f.rotations < int(min(d/(6*time.Second), liveKeys/2)) || f.kills < int(d/(10*time.Second)) || kids < f.rotations || f.late.Load() > f.issued.Load() {
		t.Errorf("this proves little: %d rotations, %d kids, %d kills, %d verifications too late in %v", f.rotations, kids, f.kills, f.late.Load(), d)
	}
}

// killAndStart kills one or two servers, and starts them again.
func (f *fleet) killAndStart(ctx context.Context, t *testing.T, dice *rand.Rand) {
	t.Helper()
	for wait(ctx, dice, time.Second, 4*time.Second) {
		victims := dice.Perm(len(f.nodes))[:1+dice.IntN(4)/3]
		for _, i := range victims {
			f.nodes[i].kill(t)
			f.kills++
		}
		wait(ctx, dice, 1, 2*time.Second)
		for _, i := range victims {
			n := f.nodes[i]
			n.begin(t)
			f.knowsAll(t, n)
		}
	}
}

// rotate asks servers to rotate, of both rings, often before the next key's time has come.
func (f *fleet) rotate(ctx context.Context, t *testing.T, dice *rand.Rand, d time.Duration) {
	gap := max(2500*time.Millisecond, d/liveKeys)
	took := map[string]bool{}
	for len(took) < liveKeys && wait(ctx, dice, gap/2, gap*3/2) {
		alg := client.AlgorithmNameES256
		if dice.IntN(2) == 0 {
			alg = labRing
		}
		n, life := f.anyOf(dice)
		r, err := n.api(t).RotateKeysWithResponse(context.Background(), nil, client.RotateOptions{Algorithm: &alg})
		switch {
		case err == nil && r.JSON200 != nil && len(r.JSON200.Keys) == 1:
			took[r.JSON200.Keys[0].KID] = true
		case err != nil && n.killedSince(life):
			f.cut.Add(1)
		default:
			f.fail(t, "rotation: status %d, %v", statusOf(r, err), err)
		}
	}
	f.rotations = len(took)
}

// liveToken is a token and what its header and claims say.
type liveToken struct {
	compact, kid, alg, audience string
	expires                     time.Time
}

// get requests a token.
func (f *fleet) get(n *liveNode, id, secret, resource string) (liveToken, error) {
	var got issued
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}, "resource": {resource}}
	r, err := n.http.PostForm("http://"+n.listen+"/oauth2/token", form)
	if err != nil {
		return liveToken{}, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return liveToken{}, answered(r.Status)
	}
	if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
		return liveToken{}, err
	}
	header, claims, err := decodeToken(got.AccessToken)
	if err != nil {
		return liveToken{}, err
	}
	var h struct{ KID, Alg string }
	var c struct{ Exp int64 }
	if err := json.Unmarshal(header, &h); err != nil {
		return liveToken{}, err
	}
	err = json.Unmarshal(claims, &c)
	return liveToken{got.AccessToken, h.KID, h.Alg, resource, time.Unix(c.Exp, 0)}, err
}

// answered is the status of an answer, which no kill explains.
type answered string

func (e answered) Error() string { return "answered " + string(e) }

// ask is a client that wants tokens from whoever lives, and hands them to the verifiers.
func (f *fleet) ask(ctx context.Context, t *testing.T, dice *rand.Rand, later chan<- liveToken) {
	for wait(ctx, dice, 20*time.Millisecond, 60*time.Millisecond) {
		resource := []string{"https://a.example", "https://b.example"}[dice.IntN(2)]
		n, life := f.anyOf(dice)
		asked := time.Now()
		token, err := f.get(n, "live", f.secret, resource)
		if _, said := err.(answered); err != nil && !said && n.killedSince(life) {
			f.cut.Add(1)
			continue
		} else if err != nil {
			f.fail(t, "%s: %v", n.listen, err)
			continue
		}
		f.issued.Add(1)
		f.verify(t, token, "at once")
		if f.sees(t, token, asked) {
			for _, n := range f.nodes {
				f.knows(t, n, token.kid)
			}
		} else {
			n, _ := f.anyOf(dice)
			f.knows(t, n, token.kid)
		}
		later <- token
	}
}

// verify asks all validators. One that finds a token expired while this machine was busy has not judged it.
func (f *fleet) verify(t *testing.T, token liveToken, when string) {
	t.Helper()
	for i, v := range f.honest {
		err := v.verify(context.Background(), token.compact, token.audience)
		switch {
		case err == nil:
			f.verified[i].Add(1)
		case !time.Now().Before(token.expires):
			f.late.Add(1)
		default:
			f.fail(t, "ROT-05: %s refuses a token of the key %s (%s) %s: %v", v.name, token.kid, token.alg, when, err)
		}
	}
	for i, v := range f.deceived {
		if err := v.verify(context.Background(), token.compact, token.audience); err != nil && time.Now().Before(token.expires) {
			f.fooled[i].Add(1)
		}
	}
}

// again has tokens verified shortly before they expire, in the order in which they came.
func (f *fleet) again(t *testing.T, later <-chan liveToken) {
	for token := range later {
		timer := time.NewTimer(time.Until(token.expires) - liveEnding)
		<-timer.C
		f.verify(t, token, "shortly before it expires")
	}
}

// sees notes which key signed, and says whether it is the first time. ROT-04: when a key has taken over, the
// one before it signs nothing that is asked for after the time in which a change reaches every server.
func (f *fleet) sees(t *testing.T, token liveToken, asked time.Time) (first bool) {
	t.Helper()
	f.mu.Lock()
	keys := f.signed[token.alg]
	i := slices.IndexFunc(keys, func(s sighting) bool { return s.kid == token.kid })
	if i < 0 {
		f.signed[token.alg] = append(keys, sighting{token.kid, time.Now()})
	}
	f.mu.Unlock()
	if i >= 0 && i+1 < len(keys) {
		if late := asked.Sub(keys[i+1].first); late > propagation {
			f.fail(t, "ROT-04: %s signs %v after %s has taken over", token.kid, late, keys[i+1].kid)
		}
	}
	return i < 0
}

// published returns what a server publishes: the kids, its ETag, and the document.
func (n *liveNode) published() (kids []string, tag, document string, err error) {
	r, err := n.http.Get("http://" + n.listen + "/.well-known/jwks.json")
	if err != nil {
		return nil, "", "", err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, "", "", answered(r.Status)
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, "", "", err
	}
	var set struct{ Keys []struct{ KID string } }
	err = json.Unmarshal(b, &set)
	for _, k := range set.Keys {
		kids = append(kids, k.KID)
	}
	return kids, r.Header.Get("ETag"), string(b), err
}

// knows looks for keys that have signed in the set of a server (JWK-10), unless it is dead.
func (f *fleet) knows(t *testing.T, n *liveNode, signed ...string) {
	t.Helper()
	life, lives := n.now()
	if !lives {
		return
	}
	kids, _, _, err := n.published()
	if _, said := err.(answered); err != nil && !said && n.killedSince(life) {
		return
	} else if err != nil {
		f.fail(t, "the set of %s: %v", n.listen, err)
		return
	}
	f.tried.Add(int64(len(signed)))
	for _, kid := range signed {
		if !slices.Contains(kids, kid) {
			f.fail(t, "JWK-10: %s signs and is not in the set of %s", kid, n.listen)
		}
	}
}

// knowsAll looks for all of them at a server that has just been started.
func (f *fleet) knowsAll(t *testing.T, n *liveNode) {
	t.Helper()
	f.mu.Lock()
	var all []string
	for _, keys := range f.signed {
		for _, s := range keys {
			all = append(all, s.kid)
		}
	}
	f.mu.Unlock()
	f.knows(t, n, all...)
}

// agree wants one set, one ETag and one active key for each algorithm of all servers (JWK-10, ROT-04).
func (f *fleet) agree(t *testing.T) {
	t.Helper()
	waitFor(t, func() bool {
		time.Sleep(10 * time.Millisecond)
		seen := map[string]bool{}
		for _, n := range f.nodes {
			_, tag, document, err := n.published()
			if err != nil {
				t.Fatal(err)
			}
			seen[tag+document] = true
		}
		return len(seen) == 1
	})
	for _, n := range f.nodes {
		keys, err := n.keys(t.Context(), n.api(t))
		if err != nil {
			t.Fatal(err)
		}
		active := map[client.Algorithm]int{}
		for _, k := range keys {
			if k.State == client.KeyStateActive {
				active[k.Algorithm]++
			}
		}
		for alg, n := range active {
			if n != 1 {
				t.Errorf("ROT-04: %d active keys of %s", n, alg)
			}
		}
		if len(active) != 2 {
			t.Errorf("ROT-04: keys of %d algorithms sign", len(active))
		}
	}
}

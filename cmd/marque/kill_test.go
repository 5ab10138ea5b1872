//go:build linux || darwin

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/store/redistest"
)

// killsEnv says how often TestKill9OfServe kills, and redisKillsEnv how often TestKill9OfRedis does;
// the defaults otherwise.
const (
	killsEnv          = "SERVE_KILLS"
	defaultKills      = 50
	redisKillsEnv     = "REDIS_KILLS"
	defaultRedisKills = 20
)

// lab is an installation whose server is started and killed again and again, and what it has said.
type lab struct {
	dir, data, listen string
	environ           []string // settings of the server
	secret            string   // of the client lab

	life         string // which one it is
	mu           sync.Mutex
	written      map[string]string // by name: asked for, and in which life last
	acknowledged map[string]bool   // answered 200, 201
	tokens       map[string]string // the token behind a name that is one's revocation
	credentials  map[string]string // the first credential of a client
	acks         int               // in this life

	found, lost int // of all lives but this one
}

// TestKill9OfServe kills the real server in the middle of a stream of changes over its API: clients that
// are made, changed, disabled, enabled and deleted, secrets that are added and revoked, keys that are
// rotated and revoked, revocations by an admin and by a client. What it has acknowledged is there at its
// next start, with its audit entry.
func TestKill9OfServe(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	t.Run("embedded store", func(t *testing.T) {
		t.Parallel()
		killServe(t, newLab(t))
	})
	t.Run("Redis", func(t *testing.T) {
		t.Parallel()
		killServe(t, newLab(t, onRedis(redistest.Start(t).Addr)...))
	})
}

// onRedis are the settings of a server on a Redis. Its first keys sign after a second.
func onRedis(address string) []string {
	return []string{"MARQUE_STORE_DRIVER=redis", "MARQUE_REDIS_ADDRS=" + address, "MARQUE_KEYS_REFRESH_INTERVAL=1s"}
}

// times says how often something is killed.
func times(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

func killServe(t *testing.T, l *lab) {
	begun := time.Now()
	kills := times(killsEnv, defaultKills)
	for life := range kills {
		server := l.start(t)
		if life == 0 {
			l.register(t)
		}
		l.nextLife(t, life)
		l.writeUntil(t, 1+(life*7)%37, func() {
			if err := server.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = server.Wait()
			if code := server.ProcessState.ExitCode(); code != -1 {
				t.Fatalf("the server ended by itself, with %d", code)
			}
		})
	}
	server := l.start(t)
	l.conclude(t, kills, begun)
	l.end(t, server)
}

// TestKill9OfRedis kills the Redis below a running server in the middle of the same stream, and starts it
// again from its append-only file. The server stays, and what it has acknowledged is there. With appendfsync
// everysec it would not be: while a sync is under way, Redis answers for as long as two seconds before it
// even hands what it answered to the system.
func TestKill9OfRedis(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	t.Parallel()
	redis := redistest.Start(t, redistest.Args("--appendfsync", "always"))
	l := newLab(t, onRedis(redis.Addr)...)
	begun := time.Now()
	kills := times(redisKillsEnv, defaultRedisKills)
	server := l.start(t)
	l.register(t)
	for life := range kills {
		l.nextLife(t, life)
		l.writeUntil(t, 1+(life*7)%37, redis.Kill)
		redis.Restart()
		rewriteAOF(t, redis)
		l.awaitAPI(t)
	}
	l.conclude(t, kills, begun)
	l.end(t, server)
}

// rewriteAOF makes Redis write its append-only file anew, as an operator should after a crash: Redis 7.0 leaves
// half a transaction at the end of a torn file, and what comes after it is part of that at the next start.
func rewriteAOF(t *testing.T, redis *redistest.Server) {
	t.Helper()
	if err := redis.Client().BgRewriteAOF(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		time.Sleep(time.Millisecond)
		info, err := redis.Info()
		return err == nil && info["aof_rewrite_in_progress"] == "0" && info["aof_rewrite_scheduled"] == "0"
	})
}

// awaitAPI returns once a change is acknowledged again: then the server has caught up with what Redis has. It
// asks for none as long as the server says that something is wrong.
func (l *lab) awaitAPI(t *testing.T) {
	t.Helper()
	attempt := 0
	waitFor(t, func() bool {
		time.Sleep(50 * time.Millisecond) // each attempt is a write that is counted
		if r, err := l.api(t).StatusWithResponse(context.Background()); err != nil || r.JSON200 == nil || r.JSON200.State != client.StatusStateOk {
			return false
		}
		attempt++ // one that is answered 503 may have been written: each is a write of its own
		return l.revokeJTI(t, fmt.Sprintf("after%d-%s", attempt, l.life)) == nil
	})
}

// nextLife begins a life, once everything of the one before was looked for.
func (l *lab) nextLife(t *testing.T, life int) {
	t.Helper()
	if life > 0 {
		l.found, l.lost = l.count(t, l.life, l.found, l.lost)
	}
	l.life = fmt.Sprintf("life%d-", life)
}

// conclude looks for everything once more, and says what was found.
func (l *lab) conclude(t *testing.T, kills int, begun time.Time) {
	t.Helper()
	l.found, l.lost = l.count(t, l.life, l.found, l.lost)
	l.examine(t)
	if again, gone := l.count(t, "life", 0, 0); again != l.found || gone != 0 {
		t.Errorf("at the end %d writes are found and %d lost; before, %d were found", again, gone, l.found)
	}
	t.Logf("acknowledged: %s", l.acknowledgedBy())
	t.Logf("%d kills in %v: written %d, acknowledged %d, found %d, lost %d",
		kills, time.Since(begun).Round(time.Millisecond), len(l.written), len(l.acknowledged), l.found, l.lost)
	if l.lost != 0 {
		t.Errorf("%d acknowledged writes are lost", l.lost)
	}
	if len(l.acknowledged) < kills {
		t.Errorf("only %d writes were acknowledged: this test kills an idle server", len(l.acknowledged))
	}
}

func newLab(t *testing.T, environ ...string) *lab {
	t.Helper()
	dir, err := os.MkdirTemp("", "mk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ports, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{
		dir: dir, data: filepath.Join(dir, "d"), listen: ports[0], environ: environ,
		written: map[string]string{}, acknowledged: map[string]bool{}, tokens: map[string]string{}, credentials: map[string]string{},
	}
	if out, err := l.marque(t, "init", "--data", l.data, "--issuer", "http://"+l.listen, "--kek-file", filepath.Join(dir, "kek"), "--insecure-http").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return l
}

func (l *lab) marque(t *testing.T, args ...string) *exec.Cmd {
	c := exec.CommandContext(t.Context(), "marque", args...)
	c.Env = append(append(os.Environ(), "HOME="+l.dir), l.environ...)
	return c
}

// start starts the server and returns once it is ready.
func (l *lab) start(t *testing.T) *exec.Cmd {
	t.Helper()
	server := l.marque(t, "serve", "--data", l.data, "--kek-file", filepath.Join(l.dir, "kek"), "--insecure-http", "--listen", l.listen, "--admin-listen", "")
	log := &logBuffer{}
	server.Stderr = log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.listen+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(r); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return server
			}
		}
		select {
		case <-ctx.Done():
			_ = server.Process.Kill()
			t.Fatalf("the server does not start again: %v\n%s", server.Wait(), log)
		case <-tick.C:
		}
	}
}

// end stops the server as an operator would.
func (l *lab) end(t *testing.T, server *exec.Cmd) {
	t.Helper()
	http.DefaultClient.CloseIdleConnections()
	if err := server.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

// api is a client that asks once: what it is told is what the server said.
func (l *lab) api(t *testing.T) *client.ClientWithResponses {
	t.Helper()
	api, err := client.NewUnix(filepath.Join(l.data, socketName))
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// register makes the client whose tokens are revoked, and a ring whose keys are: nothing else is signed with
// them, for a token of a revoked key needs no revocation of its own.
func (l *lab) register(t *testing.T) {
	t.Helper()
	api := l.api(t)
	if r, err := api.CreateResourceWithResponse(t.Context(), nil, client.ResourceDefinition{Resource: "https://a.example", Scopes: &[]string{"read"}}); err != nil || r.JSON201 == nil {
		t.Fatalf("%v, %s", err, r.Body)
	}
	if r, err := api.CreateResourceWithResponse(t.Context(), nil, client.ResourceDefinition{Resource: "https://b.example", Algorithm: new(labRing)}); err != nil || r.JSON201 == nil {
		t.Fatalf("%v, %s", err, r.Body)
	}
	r, err := api.CreateClientWithResponse(t.Context(), nil, client.ClientMetadata{
		ClientID: new("lab"), ClientName: "Lab", Scope: new("read"), DefaultScope: new("read"), Resources: &[]string{"https://a.example"},
	})
	if err != nil || r.JSON201 == nil {
		t.Fatalf("%v, %s", err, r.Body)
	}
	l.secret = *r.JSON201.ClientSecret
	waitFor(t, func() bool { // on a shared store the first key waits until others know it
		time.Sleep(time.Millisecond)
		keys, err := l.keys(t.Context(), api)
		return err == nil && slices.ContainsFunc(keys, func(k client.Key) bool {
			return string(k.Algorithm) == string(labRing) && k.State == client.KeyStateActive
		})
	})
}

// labRing is the algorithm of the keys that are rotated and revoked.
const labRing = client.AlgorithmNameEd25519

// begin notes that something is asked for, acknowledge that the server said it was done.
func (l *lab) begin(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written[name] = l.life
}

func (l *lab) acknowledge(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acknowledged[name] = true
	l.acks++
}

// acknowledgedBy counts what was acknowledged of each action.
func (l *lab) acknowledgedBy() string {
	n := map[string]int{}
	for name := range l.acknowledged {
		action, _, _ := strings.Cut(name, " ")
		n[action]++
	}
	var all []string
	for _, action := range slices.Sorted(maps.Keys(n)) {
		all = append(all, fmt.Sprintf("%s %d", action, n[action]))
	}
	return strings.Join(all, ", ")
}

func (l *lab) acked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acks
}

// writeUntil lets writers write until the server has acknowledged that much, and kills something.
func (l *lab) writeUntil(t *testing.T, acks int, kill func()) {
	t.Helper()
	l.acks = 0
	var writers sync.WaitGroup
	for i, write := range []func(*testing.T, string) error{
		l.makeAndChange, l.makeAndDelete, l.revokeJTI, l.revokeToken, l.disableAndEnable, l.addAndRevokeSecret, l.rotateAndRevokeKey,
	} {
		writers.Go(func() {
			for n := 0; ; n++ {
				if err := write(t, fmt.Sprintf("%sw%d-%d", l.life, i, n)); err != nil {
					return // killed
				}
			}
		})
	}
	waitFor(t, func() bool { time.Sleep(200 * time.Microsecond); return l.acked() >= acks })
	kill()
	writers.Wait()
	http.DefaultClient.CloseIdleConnections()
}

var errNotDone = errors.New("not done")

// done notes the answer to a change. Anything but success is the kill.
func (l *lab) done(name string, status int, err error) error {
	if err == nil && status/100 == 2 {
		l.acknowledge(name)
		return nil
	}
	return errors.Join(errNotDone, err)
}

func (l *lab) create(t *testing.T, id string) error {
	l.begin("client.create " + id)
	r, err := l.api(t).CreateClientWithResponse(context.Background(), nil, client.ClientMetadata{ClientID: &id, ClientName: "made", Resources: &[]string{"https://a.example"}})
	if err == nil && r.JSON201 != nil {
		l.mu.Lock()
		l.credentials[id] = text(r.JSON201.CredentialID)
		l.mu.Unlock()
	}
	return l.done("client.create "+id, statusOf(r, err), err)
}

func (l *lab) makeAndChange(t *testing.T, id string) error {
	if err := l.create(t, id); err != nil {
		return err
	}
	l.begin("client.update " + id)
	r, err := l.api(t).UpdateClientWithResponse(context.Background(), id, &client.UpdateClientParams{IfMatch: "*"},
		client.ClientUpdate{ClientName: "changed", Resources: &[]string{"https://a.example"}})
	return l.done("client.update "+id, statusOf(r, err), err)
}

func (l *lab) makeAndDelete(t *testing.T, id string) error {
	if err := l.create(t, id); err != nil {
		return err
	}
	l.begin("client.delete " + id)
	r, err := l.api(t).DeleteClientWithResponse(context.Background(), id, &client.DeleteClientParams{IfMatch: "*"})
	return l.done("client.delete "+id, statusOf(r, err), err)
}

// disableAndEnable leaves the clients of every fifth life disabled.
func (l *lab) disableAndEnable(t *testing.T, id string) error {
	if err := l.create(t, id); err != nil {
		return err
	}
	l.begin("client.disable " + id)
	r, err := l.api(t).DisableClientWithResponse(context.Background(), id, nil)
	if err := l.done("client.disable "+id, statusOf(r, err), err); err != nil || strings.HasSuffix(l.life, "0-") || strings.HasSuffix(l.life, "5-") {
		return err
	}
	l.begin("client.enable " + id)
	e, err := l.api(t).EnableClientWithResponse(context.Background(), id, nil)
	return l.done("client.enable "+id, statusOf(e, err), err)
}

// addAndRevokeSecret gives a client a second secret, and revokes its first one as compromised.
func (l *lab) addAndRevokeSecret(t *testing.T, id string) error {
	if err := l.create(t, id); err != nil {
		return err
	}
	l.begin("client.secret.add " + id)
	r, err := l.api(t).AddSecretWithResponse(context.Background(), id, nil, client.SecretOptions{})
	if err := l.done("client.secret.add "+id, statusOf(r, err), err); err != nil {
		return err
	}
	l.mu.Lock()
	first := l.credentials[id]
	l.mu.Unlock()
	l.begin("client.secret.revoke " + id)
	revoked, err := l.api(t).RevokeSecretWithResponse(context.Background(), id, first, nil, client.SecretRevocation{Compromised: new(true)})
	return l.done("client.secret.revoke "+id, statusOf(revoked, err), err)
}

// rotateAndRevokeKey stamps the next key, unless an earlier life has, and revokes the active one, so that the
// stamped one takes over at once. Only then is there another one to stamp: no key takes over unstamped.
func (l *lab) rotateAndRevokeKey(t *testing.T, _ string) error {
	keys, err := l.keys(context.Background(), l.api(t))
	if err != nil {
		return err
	}
	var active, next client.Key
	for _, k := range keys {
		switch {
		case string(k.Algorithm) != string(labRing):
		case k.State == client.KeyStateActive:
			active = k
		case k.State == client.KeyStateNext && (next.KID == "" || k.SignFrom != nil):
			next = k
		}
	}
	if active.KID == "" || next.KID == "" {
		return errNotDone // what the timeline owes is done at its next step
	}
	if next.SignFrom == nil {
		l.begin("key.rotate " + next.KID)
		r, err := l.api(t).RotateKeysWithResponse(context.Background(), nil, client.RotateOptions{Algorithm: new(labRing)})
		if err := l.done("key.rotate "+next.KID, statusOf(r, err), err); err != nil {
			return err
		}
	}
	l.begin("key.revoke " + active.KID)
	r, err := l.api(t).RevokeKeyWithResponse(context.Background(), active.KID, nil)
	return l.done("key.revoke "+active.KID, statusOf(r, err), err)
}

func (l *lab) keys(ctx context.Context, api *client.ClientWithResponses) ([]client.Key, error) {
	r, err := api.ListKeysWithResponse(ctx)
	if err != nil || r.JSON200 == nil {
		return nil, errors.Join(errNotDone, err)
	}
	return r.JSON200.Keys, nil
}

func (l *lab) revokeJTI(t *testing.T, jti string) error {
	l.begin("revocation.create jti:" + jti)
	r, err := l.api(t).CreateRevocationWithResponse(context.Background(), nil, client.RevocationRequest{Kind: client.RevocationKindJti, Value: &jti})
	return l.done("revocation.create jti:"+jti, statusOf(r, err), err)
}

// revokeToken gets a token and revokes it as the client that it was issued to.
func (l *lab) revokeToken(_ *testing.T, name string) error {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"lab"}, "client_secret": {l.secret}}
	var got issued
	if err := l.form("/oauth2/token", form, &got); err != nil || got.AccessToken == "" {
		return errors.Join(errNotDone, err)
	}
	name = "token " + name
	l.mu.Lock()
	l.tokens[name] = got.AccessToken
	l.mu.Unlock()
	l.begin(name)
	form.Del("grant_type")
	form.Set("token", got.AccessToken)
	if err := l.form("/oauth2/revoke", form, nil); err != nil {
		return err
	}
	l.acknowledge(name)
	return nil
}

// form posts a form to the public listener and reads the answer, which must be 200.
func (l *lab) form(path string, form url.Values, into any) error {
	r, err := http.PostForm("http://"+l.listen+path, form)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errNotDone, r.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(r.Body).Decode(into)
}

func statusOf(r interface{ StatusCode() int }, err error) int {
	if err != nil {
		return 0
	}
	return r.StatusCode()
}

// count looks for every write of a life, or of all of them: each one is there whole, with one audit
// entry, or not at all, and it is there if it was acknowledged.
func (l *lab) count(t *testing.T, life string, found, lost int) (int, int) {
	t.Helper()
	audited, present := l.audited(t), l.present(t)
	for name, written := range l.written {
		if !strings.HasPrefix(written, life) {
			continue
		}
		action, target, _ := strings.Cut(name, " ")
		there := present(action, target)
		if entries := audited[l.entry(t, name)]; (entries == 1) != there || entries > 1 {
			t.Errorf("%s: there %v, with %d audit entries", name, there, entries)
		}
		if there {
			found++
		} else if l.acknowledged[name] {
			lost++
			t.Errorf("%s was acknowledged and is lost", name)
		}
	}
	return found, lost
}

// entry names the audit entry of a write.
func (l *lab) entry(t *testing.T, name string) string {
	t.Helper()
	if compact, ok := l.tokens[name]; ok {
		return "revocation.create jti:" + jtiOf(t, compact)
	}
	return name
}

// audited counts audit entries by action and target.
func (l *lab) audited(t *testing.T) map[string]int {
	t.Helper()
	n := map[string]int{}
	api := l.api(t)
	all, err := pages(func(cursor *string) ([]client.AuditEntry, *string, error) {
		r, err := api.ListAuditWithResponse(t.Context(), &client.ListAuditParams{Cursor: cursor, Limit: new(1000)})
		if err != nil || r.JSON200 == nil {
			return nil, nil, errors.Join(errNotDone, err)
		}
		return r.JSON200.Entries, r.JSON200.Next, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		n[e.Action+" "+e.Target]++
	}
	return n
}

// present returns what says whether a write has its effect. A client that was deleted was made and
// changed before.
func (l *lab) present(t *testing.T) func(action, target string) bool {
	t.Helper()
	api := l.api(t)
	clients, disabled := map[string]string{}, map[string]bool{}
	all, err := pages(func(cursor *string) ([]client.RegisteredClient, *string, error) {
		r, err := api.ListClientsWithResponse(t.Context(), &client.ListClientsParams{Cursor: cursor, Limit: new(1000)})
		if err != nil || r.JSON200 == nil {
			return nil, nil, errors.Join(errNotDone, err)
		}
		return r.JSON200.Clients, r.JSON200.Next, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		clients[c.ClientID], disabled[c.ClientID] = c.ClientName, c.Disabled
	}
	revoked := map[string]bool{}
	list, err := pages(func(cursor *string) ([]client.Revocation, *string, error) {
		r, err := api.ListRevocationsWithResponse(t.Context(), &client.ListRevocationsParams{Cursor: cursor, Limit: new(1000)})
		if err != nil || r.JSON200 == nil {
			return nil, nil, errors.Join(errNotDone, err)
		}
		return r.JSON200.Revocations, r.JSON200.Next, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		revoked[string(r.Kind)+":"+text(r.Value)] = true
	}
	keys, err := l.keys(t.Context(), api)
	if err != nil {
		t.Fatal(err)
	}
	ring := map[string]client.Key{}
	for _, k := range keys {
		ring[k.KID] = k
	}
	return func(action, target string) bool {
		name, exists := clients[target]
		switch action {
		case "client.create":
			return exists || revoked["client:"+target]
		case "client.update":
			return name == "changed"
		case "client.delete":
			return !exists && revoked["client:"+target]
		case "client.disable": // what it voided stays void, also when it is enabled
			return revoked["client:"+target]
		case "client.enable":
			return exists && !disabled[target] && revoked["client:"+target]
		case "client.secret.add":
			return len(l.secrets(t, target)) == 2
		case "client.secret.revoke":
			return slices.ContainsFunc(l.secrets(t, target), func(s client.Secret) bool {
				return s.CredentialID == l.credentials[target] && s.Revoked && revoked["credential:"+s.CredentialID]
			})
		case "key.rotate":
			return ring[target].SignFrom != nil
		case "key.revoke":
			return ring[target].State == client.KeyStateRevoked
		case "token":
			return revoked["jti:"+jtiOf(t, l.tokens["token "+target])]
		}
		return revoked[target]
	}
}

// secrets returns those of a client; none if there is no such client.
func (l *lab) secrets(t *testing.T, id string) []client.Secret {
	t.Helper()
	r, err := l.api(t).ListSecretsWithResponse(t.Context(), id)
	switch {
	case err != nil:
		t.Fatal(err)
	case r.StatusCode() == http.StatusNotFound:
		return nil
	case r.JSON200 == nil:
		t.Fatalf("secrets of %s: %s", id, r.Status())
	}
	return r.JSON200.Secrets
}

// examine asks the server itself: no record is damaged, and the tokens that it let be revoked are void.
func (l *lab) examine(t *testing.T) {
	t.Helper()
	r, err := l.api(t).DoctorWithResponse(t.Context())
	if err != nil || r.JSON200 == nil {
		t.Fatalf("doctor: %v", err)
	}
	for _, f := range r.JSON200.Findings {
		if f.Level == client.FindingLevelError {
			t.Errorf("doctor: %s %s: %s", f.Check, text(f.Subject), text(f.Message))
		}
	}
	for name, compact := range l.tokens {
		form := url.Values{"client_id": {"lab"}, "client_secret": {l.secret}, "token": {compact}}
		var answer struct {
			Active bool `json:"active"`
		}
		if err := l.form("/oauth2/introspect", form, &answer); err != nil {
			t.Fatal(err)
		}
		if answer.Active && l.acknowledged[name] {
			t.Errorf("%s: its revocation was acknowledged, and it is active", name)
		}
	}
}

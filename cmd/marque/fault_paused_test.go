//go:build linux || darwin

package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store/redistest"
)

// beside is another server of the same installation, in a folder of its own.
func (l *lab) beside(t *testing.T, name string, environ []string) *lab {
	t.Helper()
	ports, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	return &lab{dir: l.dir, data: filepath.Join(l.dir, name), listen: ports[0], environ: environ}
}

// starts starts a server that ends with the test.
func (l *lab) starts(t *testing.T) (*exec.Cmd, *faultNode) {
	t.Helper()
	server := l.start(t)
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	return server, newFaultNode(t, l.listen, filepath.Join(l.data, socketName))
}

// TestFault_PausedForLongerThanAnOutage: one of two servers, a process of its own, is stopped (SIGSTOP) for longer than
// store.outage, as a machine is that is moved, and goes on. Meanwhile a client is disabled and tokens are revoked at the other
// one. Whatever it was asked while it slept: nothing is issued or called good by what it knew before, its feed does not vouch
// for the time that it slept through, and it recovers by itself.
func TestFault_PausedForLongerThanAnOutage(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and stops processes")
	}
	t.Parallel()
	const outage = 2 * time.Second
	redis := redistest.Start(t)
	proxy := redistest.StartProxy(t, redis.Addr)
	settings := []string{"MARQUE_STORE_OUTAGE=" + outage.String()}
	others := append(settings, onRedis(redis.Addr)...)
	l := newLab(t, append(settings, onRedis(proxy.Addr())...)...)
	sleeper, a := l.starts(t)
	_, b := l.beside(t, "other", others).starts(t)
	w := newWorld(t, a, b)
	w.begin(t)
	for round := range faultTimes(1, 10) {
		w.settle(t)
		id := fmt.Sprint("stopped-", round)
		p, _, ok := w.create(t.Context(), b, id)
		if !ok {
			t.Fatal("no client")
		}
		var held []heldToken
		waitFor(t, func() bool { time.Sleep(5 * time.Millisecond); held = w.tokensOf(a, p); return len(held) > 0 }) // it has the client in its cache

		if err := sleeper.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		slept := time.Now()
		if e := w.disable(t.Context(), b, id, held...); e != acked {
			t.Fatal("the other server acknowledges nothing")
		}
		acknowledged := time.Now()
		answers := w.queue(a, p, held[0])
		time.Sleep(time.Until(slept.Add(outage + time.Second)))
		// Every other time it finds its store away, so that it has nothing to go by but what it knew.
		if round%2 == 0 {
			proxy.Stall()
		}
		woke := w.history.now()
		if err := sleeper.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		told := map[string]int{}
		for s := range answers {
			told[s.about+" "+fmt.Sprint(s.status)]++
			switch {
			case s.about == "token" && round%2 == 0 && s.status != http.StatusServiceUnavailable:
				t.Errorf("beside a store that is away: %d", s.status)
			case s.about == "token" && s.status == http.StatusOK:
				t.Error("a token was issued to a client that was disabled while the server slept")
			case s.about == "introspection" && s.active:
				t.Error("a token of that client is called good")
			case s.about == "feed" && !s.asOf.Before(acknowledged) && !s.names:
				t.Errorf("the feed vouches for %v, and does not name what was acknowledged at %v", s.asOf, acknowledged)
			}
		}
		proxy.Restore()
		w.settle(t)
		t.Logf("slept for %v; what it had been asked meanwhile was answered %v; changes acknowledged again after %v", time.Since(slept).Round(time.Second), told, (w.history.now() - woke).Round(time.Millisecond))
	}
	_, fresh := l.beside(t, "fresh", others).starts(t)
	w.conclude(t, fresh)
}

// slumber is an answer to what was asked of a server that slept.
type slumber struct {
	about  string
	status int
	active bool
	asOf   time.Time // up to when the page of the feed vouches
	names  bool      // the client that was disabled, among what is revoked
}

// queue asks a server that sleeps for what it must not answer by what it knew, and closes the channel when everything is
// answered.
func (w *world) queue(n *faultNode, p partner, held heldToken) <-chan slumber {
	const each = 8
	answers := make(chan slumber, 3*each)
	var asking sync.WaitGroup
	for range each {
		asking.Go(func() {
			status, _ := w.quietly(n, "/oauth2/token", p.form("grant_type", "client_credentials").Encode())
			answers <- slumber{about: "token", status: status}
		})
		asking.Go(func() {
			status, body := w.quietly(n, "/oauth2/introspect", w.api.form("token", held.compact).Encode())
			var got struct{ Active bool }
			_ = json.Unmarshal(body, &got)
			answers <- slumber{about: "introspection", status: status, active: got.Active}
		})
		asking.Go(func() { answers <- w.asksFeed(n, p) })
	}
	go func() {
		asking.Wait()
		close(answers)
	}()
	return answers
}

// quietly posts a form of which any answer is expected.
func (w *world) quietly(n *faultNode, path, form string) (status int, body []byte) {
	r, err := w.http.Post("http://"+n.public+path, "application/x-www-form-urlencoded", strings.NewReader(form))
	if err != nil {
		return 0, nil
	}
	defer r.Body.Close()
	body, _ = io.ReadAll(r.Body)
	return r.StatusCode, body
}

// asksFeed reads a page of the feed from its beginning.
func (w *world) asksFeed(n *faultNode, p partner) slumber {
	answer := slumber{about: "feed"}
	r, err := http.NewRequest(http.MethodGet, "http://"+n.public+"/oauth2/revocations?after=", nil)
	if err != nil {
		return answer
	}
	r.SetBasicAuth(w.api.id, w.api.secret)
	res, err := w.http.Do(r)
	if err != nil {
		return answer
	}
	defer res.Body.Close()
	answer.status = res.StatusCode
	var page struct{ Sets []string }
	if res.StatusCode != http.StatusOK || json.NewDecoder(res.Body).Decode(&page) != nil {
		return answer
	}
	for _, set := range page.Sets {
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(set, ".")[1])
		if err != nil {
			w.accuse("a page of the feed: %v", err)
			continue
		}
		e, err := token.ParseEvent(payload)
		if err != nil {
			w.accuse("a page of the feed: %v", err)
			continue
		}
		if e.AsOf.After(answer.asOf) {
			answer.asOf = e.AsOf
		}
		for _, revoked := range e.Revocations {
			answer.names = answer.names || revoked.Subject == token.Subject{Kind: token.RevokedClient, Value: p.id}
		}
	}
	return answer
}

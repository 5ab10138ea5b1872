package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redistest"
)

// hasReason reports whether the status names a reason, and returns what it says of it.
func hasReason(s *server, code string) (message string, ok bool) {
	for _, r := range s.status().Reasons {
		if r.Code == code {
			return r.Message, true
		}
	}
	return "", false
}

// retryAfter posts a form, and returns the status and Retry-After of the answer.
func retryAfter(t *testing.T, s *server, path string, form url.Values) (status int, after string) {
	t.Helper()
	r, err := http.PostForm("http://"+s.Address()+path, form)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	return r.StatusCode, r.Header.Get("Retry-After")
}

// TestOutage_ARedisThatTakesNoWrites: one that is full, lacks a replica, is one, or whose replicas confirm nothing.
// Tokens are issued, the server is ready, revocations and changes are 503 with Retry-After, and the status says
// why until one is acknowledged.
func TestOutage_ARedisThatTakesNoWrites(t *testing.T) {
	redistest.Require(t)
	set := func(name, value string) func(*testing.T, *redistest.Server, *redistest.Server) {
		return func(t *testing.T, redis, _ *redistest.Server) {
			t.Helper()
			if err := redis.Client().Do(t.Context(), "CONFIG", "SET", name, value).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, fault := range map[string]struct {
		says       string
		begin, end func(t *testing.T, redis, replica *redistest.Server)
	}{
		"full":        {"OOM", set("maxmemory", "1"), set("maxmemory", "0")},
		"no replicas": {"NOREPLICAS", set("min-replicas-to-write", "1"), set("min-replicas-to-write", "0")},
		"unconfirmed": {
			"durability.replicas",
			func(_ *testing.T, _, replica *redistest.Server) { replica.Kill() },
			func(_ *testing.T, _, replica *redistest.Server) { replica.Restart() },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, redis, replica := startOnRedis(t, name == "unconfirmed")
			defer http.DefaultClient.CloseIdleConnections()
			p := newPartner(t, s, "partner")
			_, compact := p.asksFor(t, s)
			if got := s.status(); got.State != admin.StateOK {
				t.Fatalf("%+v", got)
			}
			fault.begin(t, redis, replica)
			if status, after := retryAfter(t, s, "/oauth2/revoke", p.form("token", compact)); status != http.StatusServiceUnavailable || after == "" {
				t.Errorf("revocation: %d, Retry-After %q", status, after)
			}
			if message, ok := hasReason(s, reasonNoWrites); !ok || !strings.Contains(message, fault.says) || s.status().State != admin.StateDegraded {
				t.Errorf("%q, %+v", message, s.status())
			}
			if status, _ := p.asksFor(t, s); status != http.StatusOK {
				t.Errorf("a token: %d", status)
			}
			if status := status(t, http.DefaultClient, "http://"+s.Address()+"/readyz"); status != http.StatusOK {
				t.Errorf("/readyz: %d", status)
			}
			// What nobody has confirmed may have been made: the token is void, or it is not, but that is said.
			if status, active := p.hears(t, s, compact); status != http.StatusOK || active == (name == "unconfirmed") {
				t.Errorf("introspection: %d, active %v", status, active)
			}
			fault.end(t, redis, replica)
			waitFor(t, func() bool {
				time.Sleep(10 * time.Millisecond)
				status, _ := retryAfter(t, s, "/oauth2/revoke", p.form("token", compact))
				return status == http.StatusOK
			})
			if message, ok := hasReason(s, reasonNoWrites); ok {
				t.Errorf("after it was acknowledged: %s", message)
			}
		})
	}
}

// TestOutage_RetryAfter: whatever is 503 because Redis is away says when to come back.
func TestOutage_RetryAfter(t *testing.T) {
	redis := redistest.Start(t)
	s := startNodes(t, 1, redis.Addr)[0]
	defer http.DefaultClient.CloseIdleConnections()
	known, unknown := newPartner(t, s, "known"), newPartner(t, s, "unknown")
	_, compact := known.asksFor(t, s)
	redis.Kill()
	for path, form := range map[string]url.Values{
		"/oauth2/token":      unknown.form("grant_type", "client_credentials"),
		"/oauth2/introspect": known.form("token", compact),
		"/oauth2/revoke":     known.form("token", compact),
	} {
		if status, after := retryAfter(t, s, path, form); status != http.StatusServiceUnavailable || after == "" {
			t.Errorf("%s: %d, Retry-After %q", path, status, after)
		}
	}
	if message, ok := hasReason(s, reasonNoWrites); ok {
		t.Errorf("silence is no refusal: %s", message)
	}
}

// unwilling is an embedded store whose writes fail.
type unwilling struct {
	store.Store
	err atomic.Pointer[error]
}

func (u *unwilling) PutRevocation(ctx context.Context, r authz.Revocation, e audit.Entry) (authz.Revocation, error) {
	if err := u.err.Load(); err != nil {
		return authz.Revocation{}, *err
	}
	return u.Store.PutRevocation(ctx, r, e)
}

// TestStatus_ADiskThatIsFull: what the system says of the file is told, and what concerns one record is not.
func TestStatus_ADiskThatIsFull(t *testing.T) {
	u := &unwilling{}
	s := startTest(t, devConfig(t), options{storeAs: func(inner store.Store) store.Store { u.Store = inner; return u }})
	for i, step := range []struct {
		err     error
		refuses bool
	}{
		{nil, false},
		{authz.ErrConflict, false},
		{fmt.Errorf("write: %w", errFull), true},
		{authz.ErrConflict, true},
		{context.Canceled, true},
		{nil, false},
		{store.ErrDamaged, false},
	} {
		u.err.Store(nil)
		if step.err != nil {
			u.err.Store(&step.err)
		}
		_, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedJTI, Value: fmt.Sprint("a", i)}})
		if (err == nil) != (step.err == nil) {
			t.Errorf("step %d: %v", i, err)
		}
		if message, ok := hasReason(s, reasonNoWrites); ok != step.refuses || ok && !strings.Contains(message, "no space") {
			t.Errorf("step %d, after %v: %v, %q", i, step.err, ok, message)
		}
	}
	if err := s.ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// startOnRedis starts a server on a Redis of its own. If changes are confirmed by replicas there are two, of which one
// is returned: the other stays, because a primary without any is not believed.
func startOnRedis(t *testing.T, confirmed bool) (s *server, redis, replica *redistest.Server) {
	t.Helper()
	redis = redistest.Start(t)
	c := nodeConfig(t, redis.Addr)
	if confirmed {
		redistest.StartReplica(t, redis)
		replica = redistest.StartReplica(t, redis)
		c.Durability.Replicas, c.Durability.Timeout = 2, configs.Duration(200*time.Millisecond)
	}
	s = startTest(t, c, options{})
	waitReady(t, s)
	return s, redis, replica
}

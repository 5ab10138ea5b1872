package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
)

func TestNew_NamesWhatIsMissing(t *testing.T) {
	_, err := New(Config{})
	for _, field := range []string{"Registry", "Tokens", "Keys", "Refusals", "Log", "Status", "Doctor", "Backup"} {
		if err == nil || !strings.Contains(err.Error(), "Config."+field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}

func TestRoute_NotFound(t *testing.T) {
	s := start(t)
	for _, path := range []string{"/", "/admin", "/admin/v1", "/admin/v1/", "/admin/v1/clients/", "/admin//v1/keys", "/admin/v1/./keys", "/admin/v1/x/../keys", "/admin/v1/keys/", "/admin/v1/keys%2Frotate", "/admin/v2/keys", "/Admin/v1/keys", "/metrics", "/admin/v1/clients/%2e%2e/secrets/x"} {
		s.do("GET", path, nil).want(404)
		s.do("POST", path, "{}").want(404)
	}
}

func TestRoute_MethodNotAllowed(t *testing.T) {
	s := start(t)
	for path, allow := range map[string]string{
		"/admin/v1/resources": "GET, HEAD, POST", "/admin/v1/resources/x": "DELETE, GET, HEAD, PUT", "/admin/v1/clients": "GET, HEAD, POST",
		"/admin/v1/clients/x": "DELETE, GET, HEAD, PUT", "/admin/v1/clients/x/disable": "POST", "/admin/v1/clients/x/enable": "POST",
		"/admin/v1/clients/x/secrets": "GET, HEAD, POST", "/admin/v1/clients/x/secrets/y/revoke": "POST",
		"/admin/v1/keys": "GET, HEAD", "/admin/v1/keys/rotate": "POST", "/admin/v1/keys/plan": "GET, HEAD", "/admin/v1/keys/x/revoke": "POST",
		"/admin/v1/clients/x/refusals": "GET, HEAD", "/admin/v1/refusals/x": "GET, HEAD", "/admin/v1/revocations": "GET, HEAD, POST",
		"/admin/v1/tokens/revoke": "POST", "/admin/v1/audit": "GET, HEAD", "/admin/v1/status": "GET, HEAD", "/admin/v1/doctor": "GET, HEAD",
	} {
		for _, method := range []string{"PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} {
			if strings.Contains(allow, method) {
				continue
			}
			if got := s.do(method, path, nil).want(405).Header.Get("Allow"); got != allow {
				t.Errorf("%s %s: Allow = %q, want %q", method, path, got, allow)
			}
		}
	}
	s.do("HEAD", "/admin/v1/keys", nil).want(200)
	s.do("HEAD", "/admin/v1/keys/rotate", nil).want(405)
}

func TestRequestID_IsNewEachTime(t *testing.T) {
	s := start(t)
	a := s.do("GET", "/admin/v1/keys", nil, header{"X-Request-Id": "chosen-by-the-caller"}).Header.Get("X-Request-Id")
	b := s.do("GET", "/admin/v1/keys", nil).Header.Get("X-Request-Id")
	if a == b || a == "chosen-by-the-caller" || len(a) < 26 {
		t.Errorf("request ids %q and %q", a, b)
	}
}

// broken is a registry that fails at reading clients.
type broken struct {
	Registry
	err error
}

func (b broken) Client(context.Context, authz.ClientID) (authz.Client, error) {
	if b.err == nil {
		panic("out of order: mrq_abcdefghijklmnop")
	}
	return authz.Client{}, b.err
}

// errPassing is a fault that passes by itself.
var errPassing = errors.New("the store is away")

func TestFail_Statuses(t *testing.T) {
	secret := "mrq_abcdefghijklmnop_AAAAAAAA"
	for name, c := range map[string]struct {
		err        error
		status     int
		retryAfter string
		logged     bool
	}{
		"absent":      {fmt.Errorf("read: %w", authz.ErrNotFound), 404, "", false},
		"no such key": {fmt.Errorf("read: %w", keys.ErrNotFound), 404, "", false},
		"conflict":    {fmt.Errorf("write: %w", authz.ErrConflict), 409, "", false},
		"key race":    {fmt.Errorf("write: %w", keys.ErrConflict), 409, "", false},
		"many keys":   {fmt.Errorf("rotate: %w", keys.ErrTooManyKeys), 409, "", false},
		"unavailable": {&authz.UnavailableError{Cause: authz.CauseStoreUnavailable, RetryAfter: 1500 * time.Millisecond, Err: errors.New(secret)}, 503, "2", true},
		"no hint":     {&authz.UnavailableError{Cause: authz.CauseStoreUnavailable}, 503, "1", true},
		"throttled":   {&authz.ThrottledError{Cause: authz.CauseRateLimited, RetryAfter: time.Second}, 429, "1", false},
		"fault":       {errors.New("disk on fire: " + secret), 500, "", true},
		"deadline":    {context.DeadlineExceeded, 500, "", true},
		"passes":      {fmt.Errorf("read: %s: %w", secret, errPassing), 503, "1", true},
		"of both":     {fmt.Errorf("%w, %w", errPassing, authz.ErrConflict), 409, "", false},
		"panic":       {nil, 500, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, func(cfg *Config) {
				cfg.Registry, cfg.Passes = broken{cfg.Registry, c.err}, func(err error) bool { return errors.Is(err, errPassing) }
			})
			a := s.do("GET", "/admin/v1/clients/x", nil).want(c.status)
			if got := a.Header.Get("Retry-After"); got != c.retryAfter {
				t.Errorf("Retry-After = %q, want %q", got, c.retryAfter)
			}
			if strings.Contains(string(a.Body), "fire") || strings.Contains(string(a.Body), "mrq_") || strings.Contains(string(a.Body), "out of order") {
				t.Errorf("the answer tells what went wrong: %s", a.Body)
			}
			if c.status == 500 && a.problem().Detail != "" {
				t.Errorf("a fault has a detail: %s", a.Body)
			}
			log := s.log.String()
			if got := strings.Count(log, `"level":"ERROR"`); got != map[bool]int{true: 1}[c.logged] {
				t.Errorf("logged %d times: %s", got, log)
			}
			if c.logged && !strings.Contains(log, a.Header.Get("X-Request-Id")) || strings.Contains(log, "mrq_a") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

// Every operation on one record says what is missing; every one that changes something, what is in the
// way; and no text repeats what was sent.
func TestFail_DetailsNameTheNoun(t *testing.T) {
	for pattern, op := range operations() {
		one := strings.Contains(pattern, "{") || strings.Contains(pattern, "/tokens/")
		if missing := op.missing != ""; missing != one {
			t.Errorf("%s: missing %q", pattern, op.missing)
		}
		changes := !strings.HasPrefix(pattern, "GET") && (!strings.Contains(pattern, "/keys") || strings.HasSuffix(pattern, "/import"))
		if conflict := op.conflict != ""; conflict != changes {
			t.Errorf("%s: conflict %q", pattern, op.conflict)
		}
		_, path, _ := strings.Cut(pattern, "/admin/v1/")
		noun, conflict := strings.TrimSuffix(strings.Split(path, "/")[0], "s"), strings.TrimSuffix(strings.Split(path, "/")[0], "s")
		if noun == "revocation" || noun == "token" {
			conflict = "revoked"
		}
		if one && !strings.Contains(op.missing, noun) || changes && !strings.Contains(op.conflict, conflict) {
			t.Errorf("%s: %q, %q do not say %s", pattern, op.missing, op.conflict, noun)
		}
	}
	s := start(t, func(cfg *Config) {
		cfg.Registry = broken{cfg.Registry, fmt.Errorf("client \"hunter2\": %w", authz.ErrConflict)}
	})
	s.do("GET", "/admin/v1/clients/hunter2", nil).wantDetail(409, "") // the error's own text stays here
	s.do("POST", "/admin/v1/clients/hunter2/disable", nil).wantDetail(404, noClient)
	s.addResource(fulfilment)
	s.do("POST", "/admin/v1/clients", clientBody("acme")).want(201)
	body := clientBody("acme")
	body["client_name"] = "hunter2"
	s.do("POST", "/admin/v1/clients", body).wantDetail(409, otherClient)
}

// A caller who hangs up is no fault of ours.
func TestFail_CallerWentAway(t *testing.T) {
	log := &logBuffer{}
	h := &handler{log: slog.New(slog.NewJSONHandler(log, nil))}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", "/", nil)
	h.fault(httptest.NewRecorder(), r, fmt.Errorf("read: %w", context.Canceled))
	if got := log.String(); strings.Contains(got, "ERROR") || !strings.Contains(got, "went away") {
		t.Errorf("log: %s", got)
	}
}

// Everything about who, why and when reaches the audit log in the entry that is committed with the change.
func TestAudit_Origin(t *testing.T) {
	s := start(t)
	s.addResource(fulfilment)
	why := header{"X-Marque-Reason": "ticket 42, 100% sure: Änne said so"}
	check := func(action, target string, a answer) {
		t.Helper()
		e := s.lastEntry(action)
		want := audit.Origin{Actor: audit.Actor{Kind: audit.ActorUID, ID: ownUID()}, Reason: why["X-Marque-Reason"], RequestID: a.Header.Get("X-Request-Id")}
		if a.Status >= 300 || e.Origin != want || e.Target != target || e.Result != audit.ResultDone {
			t.Errorf("%s: entry %+v, want %+v of %s", action, e, want, target)
		}
	}
	check("resource.create", "urn:x:y", s.do("POST", "/admin/v1/resources", map[string]any{"resource": "urn:x:y"}, why))
	check("client.create", "acme", s.do("POST", "/admin/v1/clients", clientBody("acme"), why))
	check("client.disable", "acme", s.do("POST", "/admin/v1/clients/acme/disable", nil, why))
	check("client.enable", "acme", s.do("POST", "/admin/v1/clients/acme/enable", nil, why))
	a := s.do("POST", "/admin/v1/clients/acme/secrets", nil, why)
	check("client.secret.add", "acme", a)
	check("client.secret.revoke", "acme", s.do("POST", "/admin/v1/clients/acme/secrets/"+a.object()["credential_id"].(string)+"/revoke", nil, why))
	a = s.do("POST", "/admin/v1/keys/rotate", `{"algorithm":"ES256"}`, why)
	check("key.rotate", a.object()["keys"].([]any)[0].(map[string]any)["kid"].(string), a)
}

func TestAudit_Reason(t *testing.T) {
	s := startWithClient(t)
	for _, bad := range []string{strings.Repeat("x", 257), "a\tb", "\xff", "a\u202eb", "a\u0085b", "a\u2028b"} {
		s.do("POST", "/admin/v1/clients/acme/disable", nil, header{"X-Marque-Reason": bad}).wantFields("X-Marque-Reason")
	}
	twice, _ := http.NewRequestWithContext(t.Context(), "POST", "http://localhost/admin/v1/clients/acme/disable", nil)
	twice.Header["X-Marque-Reason"] = []string{"a", "b"}
	s.send(twice, nil).wantFields("X-Marque-Reason")
	twice, _ = http.NewRequestWithContext(t.Context(), "POST", "http://localhost/admin/v1/clients/acme/secrets", nil)
	twice.Header["Idempotency-Key"] = []string{"0123456789abcdef", "0123456789abcdeg"}
	s.send(twice, nil).wantFields("Idempotency-Key")

	s.do("POST", "/admin/v1/clients/acme/disable", nil, header{"X-Marque-Reason": "leaked mrq_abcdefghijklmnop_AAAAAAAA"}).want(200)
	if got := s.lastEntry("client.disable").Reason; got != "leaked [redacted]" {
		t.Errorf("reason = %q", got)
	}
}

// A body that ends early must not be taken for the whole of it.
func TestBody_CutOff(t *testing.T) {
	s := start(t)
	r, w := io.Pipe()
	go func() {
		_, _ = io.WriteString(w, `{"client_name":"N","client_id":"cut"}`)
		_ = w.CloseWithError(errors.New("cut off"))
	}()
	req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://localhost/admin/v1/clients", r)
	req.ContentLength = 1000
	req.Header.Set("Content-Type", "application/json")
	if resp, err := s.http.Do(req); err == nil {
		resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("status = %d", resp.StatusCode)
		}
	}
	s.do("GET", "/admin/v1/clients/cut", nil).want(404)
}

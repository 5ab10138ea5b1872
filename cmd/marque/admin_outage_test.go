package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redisstore"
	"github.com/marque-auth/marque/store/redistest"
)

// What an operation of the management API needs.
const (
	needsNothing = iota // it answers from memory
	needsReading
	needsConfirming // it finds that nothing is left to be done, and wants that to be durable
	needsWriting
)

// operation is a request to the management API that would succeed.
type operation struct {
	route  string // as the document has it
	path   string // with the parameters of this one; empty: as the route
	body   string
	header http.Header
	needs  int
}

// allOperations are one request for each operation of the document, in an order in which none keeps a later
// one from what it is for.
func allOperations(t *testing.T, s *server) []operation {
	t.Helper()
	newPartner(t, s, "stays")
	newPartner(t, s, "rests")
	if _, err := s.registry.SetClientDisabled(t.Context(), byTest, "rests", true); err != nil {
		t.Fatal(err)
	}
	p := newPartner(t, s, "goes")
	_, compact := p.asksFor(t, s)
	credential := strings.Split(p.secret, "_")[1]
	match := http.Header{"If-Match": {"*"}}
	key := func(k string) http.Header { return http.Header{"Idempotency-Key": {k}} }
	resource := "/admin/v1/resources/" + strings.ReplaceAll(strings.ReplaceAll(sampleResource, ":", "%3A"), "/", "%2F")
	return []operation{
		{route: "GET /admin/v1/resources", needs: needsReading},
		{route: "GET /admin/v1/resources/{resource}", path: resource, needs: needsReading},
		{route: "GET /admin/v1/clients", needs: needsReading},
		{route: "GET /admin/v1/clients/{client_id}", path: "/admin/v1/clients/stays", needs: needsReading},
		{route: "GET /admin/v1/clients/{client_id}/refusals", path: "/admin/v1/clients/stays/refusals", needs: needsReading},
		{route: "GET /admin/v1/clients/{client_id}/secrets", path: "/admin/v1/clients/stays/secrets", needs: needsReading},
		{route: "GET /admin/v1/keys"},
		{route: "GET /admin/v1/keys/plan"},
		{route: "GET /admin/v1/revocations", needs: needsReading},
		{route: "GET /admin/v1/refusals/{request_id}", path: "/admin/v1/refusals/x"},
		{route: "GET /admin/v1/audit", needs: needsReading},
		{route: "GET /admin/v1/status"},
		{route: "GET /admin/v1/doctor"},
		{route: "GET /admin/v1/backup"}, // 404: it lies in Redis

		{route: "POST /admin/v1/resources", body: `{"resource":"https://new.example","scopes":["x"]}`, needs: needsWriting},
		{route: "PUT /admin/v1/resources/{resource}", path: resource, body: `{"scopes":["orders:read","orders:write","x"]}`, header: match, needs: needsWriting},
		{route: "POST /admin/v1/clients", body: `{"client_name":"n","scope":"` + sampleScope + `","resources":["` + sampleResource + `"]}`, header: key("one-two-three-four"), needs: needsWriting},
		{route: "PUT /admin/v1/clients/{client_id}", path: "/admin/v1/clients/stays", body: `{"client_name":"other","scope":"` + sampleScope + `","resources":["` + sampleResource + `"]}`, header: match, needs: needsWriting},
		{route: "POST /admin/v1/clients/{client_id}/disable", path: "/admin/v1/clients/stays/disable", needs: needsWriting},
		{route: "POST /admin/v1/clients/{client_id}/enable", path: "/admin/v1/clients/rests/enable", needs: needsWriting},
		{route: "POST /admin/v1/clients/{client_id}/secrets", path: "/admin/v1/clients/stays/secrets", header: key("five-six-seven-eight"), needs: needsWriting},
		{route: "POST /admin/v1/clients/{client_id}/secrets/{credential_id}/revoke", path: "/admin/v1/clients/goes/secrets/" + credential + "/revoke", needs: needsWriting},
		{route: "POST /admin/v1/tokens/revoke", body: `{"token":"` + compact + `"}`, needs: needsWriting},
		{route: "POST /admin/v1/revocations", body: `{"kind":"jti","value":"a"}`, needs: needsWriting},
		{route: "DELETE /admin/v1/clients/{client_id}", path: "/admin/v1/clients/goes", header: match, needs: needsWriting},
		{route: "DELETE /admin/v1/resources/{resource}", path: "/admin/v1/resources/https%3A%2F%2Funused.example", header: match, needs: needsWriting},
		{route: "POST /admin/v1/keys/rotate", needs: needsWriting},
		{route: "POST /admin/v1/keys/{kid}/revoke", path: "/admin/v1/keys/" + activeKey(t, s) + "/revoke", needs: needsWriting},
		{route: "POST /admin/v1/keys/import", body: `{"key":` + strconv.Quote(newPrivateKey(t)) + `}`, needs: needsWriting},
		{route: "POST /admin/v1/keys/rewrap", needs: needsConfirming},
		{route: "POST /admin/v1/keys/revoke-all", header: key("nine-ten-eleven-twelve"), needs: needsWriting},
	}
}

// newPrivateKey is a key of another server, in PEM.
func newPrivateKey(t *testing.T) string {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// onSocket is an HTTP client on the admin socket of a server.
func onSocket(s *server) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.Socket())
	}}}
}

// ask makes the request.
func (o operation) ask(t *testing.T, c *http.Client) (status int, retryAfter, body string) {
	t.Helper()
	method, path, _ := strings.Cut(o.route, " ")
	if o.path != "" {
		path = o.path
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+path, bytes.NewBufferString(o.body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range o.header {
		r.Header[name] = values
	}
	if o.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Retry-After"), string(b)
}

// TestOutage_TheManagementAPI: while Redis is full, emptied, killed, or confirms nothing, what needs it is 503
// with Retry-After, and may be said again; never 500, and never a success. What does not need it is answered.
func TestOutage_TheManagementAPI(t *testing.T) {
	redistest.Require(t)
	for name, fault := range map[string]struct {
		begin   func(t *testing.T, redis, replica *redistest.Server)
		refuses int // what needs as much as this
	}{
		"full": {func(t *testing.T, redis, _ *redistest.Server) {
			if err := redis.Client().Do(t.Context(), "CONFIG", "SET", "maxmemory", "1").Err(); err != nil {
				t.Fatal(err)
			}
		}, needsWriting},
		"emptied": {func(t *testing.T, redis, _ *redistest.Server) {
			if err := redis.Client().FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}, needsReading},
		"killed":      {func(_ *testing.T, redis, _ *redistest.Server) { redis.Kill() }, needsReading},
		"unconfirmed": {func(_ *testing.T, _, replica *redistest.Server) { replica.Kill() }, needsConfirming},
	} {
		t.Run(name, func(t *testing.T) {
			s, redis, replica := startOnRedis(t, name == "unconfirmed")
			defer http.DefaultClient.CloseIdleConnections()
			socket := onSocket(s)
			defer socket.CloseIdleConnections()
			unused := operation{route: "POST /admin/v1/resources", body: `{"resource":"https://unused.example","scopes":["y"]}`}
			if status, _, body := unused.ask(t, socket); status != http.StatusCreated {
				t.Fatal(status, body)
			}
			all := allOperations(t, s)
			wantWhole(t, all)
			fault.begin(t, redis, replica)
			for _, o := range all {
				status, after, body := o.ask(t, socket)
				switch {
				case o.needs >= fault.refuses:
					if status != http.StatusServiceUnavailable || after == "" || !strings.Contains(body, "can be repeated") {
						t.Errorf("%s: %d, Retry-After %q, %s", o.route, status, after, body)
					}
				case status >= http.StatusInternalServerError || status == http.StatusBadRequest:
					t.Errorf("%s: %d, %s", o.route, status, body)
				}
			}
		})
	}
}

// wantWhole wants every operation of the document.
func wantWhole(t *testing.T, all []operation) {
	t.Helper()
	document, err := os.ReadFile("../../authz/admin/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := ""
	for _, m := range regexp.MustCompile(`(?m)^  (/admin/\S*):$|^    (get|post|put|delete|patch):$`).FindAllStringSubmatch(string(document), -1) {
		if m[1] != "" {
			path = m[1]
			continue
		}
		route := strings.ToUpper(m[2]) + " " + path
		if !slices.ContainsFunc(all, func(o operation) bool { return o.route == route }) {
			t.Errorf("nobody asks for %s", route)
		}
	}
}

// TestPasses: a request that failed so may be said again; nobody waits for what somebody has to mend.
func TestPasses(t *testing.T) {
	over := func(b backend) func(error) bool { return (&server{backend: b}).passes }
	for _, r := range []struct {
		err             error
		redis, embedded bool
	}{
		{fmt.Errorf("read: %w", context.DeadlineExceeded), true, true},
		{errRevocationLost, true, true},
		{keys.ErrRegressed, true, true},
		{keys.ErrStale, true, true},
		{fmt.Errorf("write: %w", errFull), false, true},
		{redisstore.ErrEmptied, true, false},
		{redisstore.ErrUnconfirmed, true, false},
		{redisAnswer("OOM command not allowed"), true, false},
		{redisAnswer("WRONGPASS invalid username-password pair"), false, false},
		{fmt.Errorf("%w: %w", store.ErrDamaged, context.DeadlineExceeded), false, false},
		{store.ErrNewerFormat, false, false},
		{context.Canceled, false, false},
		{fmt.Errorf("boom"), false, false},
	} {
		if got := over(&redisBackend{})(r.err); got != r.redis {
			t.Errorf("%v, of Redis: %v", r.err, got)
		}
		if got := over(&boltBackend{})(r.err); got != r.embedded {
			t.Errorf("%v, of the embedded store: %v", r.err, got)
		}
	}
}

// errFull is what a write to a full disk fails with.
var errFull error = &os.PathError{Op: "write", Err: syscall.ENOSPC}

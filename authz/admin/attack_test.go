package admin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
)

// raw sends bytes, which no HTTP client has made harmless, and returns the status of each answer. The
// last request must end the connection.
func (s *server) raw(t *testing.T, request string) (statuses []int) {
	t.Helper()
	network, address := "tcp", strings.TrimPrefix(s.base, "http://")
	if s.socket != "" {
		network, address = "unix", s.socket
	}
	c, err := new(net.Dialer).DialContext(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	for {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return statuses
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		statuses = append(statuses, resp.StatusCode)
	}
}

// What stands in a path is one identifier, or nothing: no spelling of it reaches another record or
// another operation.
func TestAttack_Paths(t *testing.T) {
	s := startWithBoth(t)
	before := len(s.entries())
	for _, path := range []string{
		"/admin/v1/resources/../clients/acme", "/admin/v1/resources/%2e%2e/clients/acme", "/admin/v1/resources/..%2Fclients%2Facme",
		"/admin/v1/resources/%2E%2E%2Fclients%2Facme", "/admin/v1/resources/x%2F..%2F..%2Fclients%2Facme", "/admin/v1/resources/https://fulfilment.example",
		"/admin/v1/resources/https:%252F%252Ffulfilment.example", "/admin/v1/resources/https:%5C%5Cfulfilment.example", "/admin/v1/resources/https:%2F%2Ffulfilment.example%00",
		"/admin/v1/resources/https:%2F%2Ffulfilment.example/", "/admin/v1/resources/https:%2F%2Ffulfilment.example%2F", "/admin/v1/resources/https:%2F%2FFULFILMENT.example",
		"/admin/v1/resources/%20https:%2F%2Ffulfilment.example", "/admin/v1/resources/https:%2F%2Ffulfilment.example;x", "/admin/v1/resources/https:%2F%2Ffulfilment.example%23x",
		"/admin/v1/resources/", "/admin/v1/resources/%2F", "/admin/v1/resources/.", "/admin/v1/resources/%2e", "//admin/v1/resources/https:%2F%2Ffulfilment.example",
		"/admin/v1/resources/https:%2F%2Ffulfilment.example%0d%0aX:%20y", "/admin/v1/clients/acme%2F", "/admin/v1/clients/acme%00", "/admin/v1/clients/ACME", "/admin/v1/clients/acme%20",
		"/admin/v1/clients/%61cme%2Fsecrets", "/admin/v1/clients/*", "/admin/v1/clients/" + strings.Repeat("a", 8000), "/admin/v1/./clients/acme", "/admin/v1/clients/./acme", "/admin/v1/%63lients/acme/../acme",
	} {
		for _, method := range []string{"GET", "DELETE", "PUT"} {
			request := method + " " + path + " HTTP/1.1\nHost: localhost\nIf-Match: *\nContent-Type: application/json\nContent-Length: 19\nConnection: close\n\n{\"client_name\":\"X\"}"
			if method != "PUT" {
				request = method + " " + path + " HTTP/1.1\nHost: localhost\nIf-Match: *\nConnection: close\n\n"
			}
			for _, status := range s.raw(t, request) {
				if status < 400 || status >= 500 {
					t.Errorf("%s %s: %d", method, path, status)
				}
			}
		}
	}
	if n := len(s.entries()); n != before {
		t.Errorf("%d changes were recorded", n-before)
	}
	// The same identifier, spelled otherwise, is the same.
	for _, path := range []string{"/admin/v1/resources/https:%2f%2ffulfilment.example", "/admin/v1/resources/%68ttps%3A%2F%2Ffulfilment%2Eexample"} {
		s.do("GET", path, nil).want(200)
	}
}

// Two readers of one request must not read two requests.
func TestAttack_Smuggling(t *testing.T) {
	a := newAdmins(t)
	before := len(a.entries())
	auth := "Authorization: Bearer " + a.good + "\n"
	hidden := "DELETE /admin/v1/clients/victim HTTP/1.1\nHost: localhost\nIf-Match: *\n" + auth + "Connection: close\n\n"
	body := `{"client_name":"X"}`
	for name, request := range map[string]string{
		"two lengths":               "POST /admin/v1/clients HTTP/1.1\nHost: localhost\n" + auth + "Content-Length: 0\nContent-Length: 19\n\n" + body,
		"list of lengths":           "POST /admin/v1/clients HTTP/1.1\nHost: localhost\n" + auth + "Content-Length: 0, 19\n\n" + body,
		"signed length":             "POST /admin/v1/clients HTTP/1.1\nHost: localhost\n" + auth + "Content-Length: +19\n\n" + body,
		"space before the colon":    "GET /admin/v1/clients HTTP/1.1\nHost: localhost\nAuthorization : Bearer " + a.good + "\n\n",
		"unknown coding":            "POST /admin/v1/clients HTTP/1.1\nHost: localhost\n" + auth + "Transfer-Encoding: xchunked\n\n" + body,
		"two codings":               "POST /admin/v1/clients HTTP/1.1\nHost: localhost\n" + auth + "Transfer-Encoding: chunked\nTransfer-Encoding: identity\n\n0\n\n",
		"two hosts":                 "GET /admin/v1/clients HTTP/1.1\nHost: localhost\nHost: evil.example\n" + auth + "\n",
		"no host":                   "GET /admin/v1/clients HTTP/1.1\n" + auth + "\n",
		"host in the request line":  "GET http://evil.example/admin/v1/clients HTTP/1.1\nHost: localhost\n" + auth + "\n",
		"no host, HTTP/1.0":         "GET /admin/v1/clients HTTP/1.0\n" + auth + "\n",
		"two tokens":                "GET /admin/v1/clients HTTP/1.1\nHost: localhost\nAuthorization: Bearer x\n" + auth + "\n",
		"a token behind a fold":     "GET /admin/v1/clients HTTP/1.1\nHost: localhost\nAuthorization: Bearer x\n " + a.good + "\n\n",
		"another name of the field": "GET /admin/v1/clients HTTP/1.1\nHost: localhost\nX-Authorization: Bearer " + a.good + "\nProxy-Authorization: Bearer " + a.good + "\nCookie: access_token=" + a.good + "\n\n",
		"a body of a GET":           "GET /admin/v1/clients HTTP/1.1\nHost: localhost\n" + auth + fmt.Sprintf("Content-Type: application/json\nContent-Length: %d\n\n", len(strings.ReplaceAll(hidden, "\n", "\r\n"))) + hidden,
		"a length beside a coding":  "POST /admin/v1/clients/none/disable HTTP/1.1\nHost: localhost\n" + auth + "Content-Length: 0\nTransfer-Encoding: chunked\n\n0\n\n",
	} {
		statuses := a.raw(t, request+"GET /admin/v1/nothing HTTP/1.1\nHost: localhost\n"+auth+"Connection: close\n\n")
		bad := func(status int) bool { return status < 400 || status >= 500 && status != http.StatusNotImplemented }
		if len(statuses) > 2 || slices.ContainsFunc(statuses, bad) || len(statuses) == 2 && statuses[1] != 404 {
			t.Errorf("%s: %v", name, statuses)
		}
	}
	if n := len(a.entries()); n != before {
		t.Errorf("%d changes were recorded", n-before)
	}
	if got := a.raw(t, "GET /admin/v1/clients HTTP/1.1\nHost: localhost\n"+auth+"Connection: close\n\n"); !slices.Equal(got, []int{200}) {
		t.Errorf("an honest request: %v", got)
	}
}

// A page in an admin's browser is told nothing by which it could read answers or send more than a form.
func TestAttack_Browser(t *testing.T) {
	a := newAdmins(t)
	for _, origin := range []string{"https://evil.example", "null", "http://localhost"} {
		for _, method := range []string{"OPTIONS", "GET", "POST"} {
			got := a.do(method, "/admin/v1/clients", nil, header{
				"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization", "Sec-Fetch-Site": "cross-site",
			})
			if got.Status != 401 {
				t.Errorf("%s from %s: %d", method, origin, got.Status)
			}
			for name := range got.Header {
				if strings.HasPrefix(name, "Access-Control-") || name == "Set-Cookie" {
					t.Errorf("%s: %s", name, got.Header.Get(name))
				}
			}
		}
	}
	if got := a.with(a.good).do("OPTIONS", "/admin/v1/clients", nil).want(405).Header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Error(got)
	}
}

func TestAttack_Cursors(t *testing.T) {
	s := startWithBoth(t)
	for _, list := range []string{"/admin/v1/clients", "/admin/v1/resources", "/admin/v1/revocations", "/admin/v1/audit"} {
		for _, cursor := range []string{
			strings.Repeat("A", 1025), strings.Repeat("QUFB", 10_000), "..", "%00", "%2e%2e%2f", "AA", "gICA", "QQ%3D%3D", "QR", "Q", "QUJ%0A", "QUJD%20",
		} {
			a := s.do("GET", list+"?cursor="+cursor, nil)
			if a.Status != 400 && a.Status != 200 || a.Status == 200 && cursor != "AA" {
				t.Errorf("%s with %.20s: %d", list, cursor, a.Status)
			}
		}
		// A cursor of one list in another one is a place, or a mistake, and never a fault.
		for _, other := range []string{*cursorAfter("acme"), *cursorAfter(fulfilment), *cursorAfter("jti:x"), *cursorAfter("all:"), *cursorAfter(strings.Repeat("z", 600))} {
			if a := s.do("GET", list+"?cursor="+other, nil); a.Status != 200 && a.Status != 400 {
				t.Errorf("%s with %s: %d", list, other, a.Status)
			}
		}
	}
}

// An Idempotency-Key counts for the actor that sent it: whoever learns another's key learns no secret by
// it, and does not take its place.
func TestAttack_IdempotencyKeyOfAnother(t *testing.T) {
	a := newAdmins(t)
	second := a.issueScope("second", a.register(authz.ClientSpec{ID: "second", Name: "S", Admin: true}), authz.ScopeAdmin, string(authz.AdminResource(issuer)))
	key := header{"Idempotency-Key": "one-act-of-creation"}
	one, two := a.with(a.good), a.with(second)
	for _, path := range []string{"/admin/v1/clients", "/admin/v1/clients/victim/secrets"} {
		body := `{"client_name":"N"}`
		if path != "/admin/v1/clients" {
			body = `{}`
		}
		first := one.do("POST", path, body, key).want(201).object()
		other := two.do("POST", path, body, key).want(201).object()
		if first["client_secret"] == other["client_secret"] || first["credential_id"] == other["credential_id"] {
			t.Errorf("%s: two actors share %v", path, first["credential_id"])
		}
		if again := one.do("POST", path, body, key).want(200).object(); again["credential_id"] != first["credential_id"] || again["client_secret"] != nil {
			t.Errorf("%s: repeated %v", path, again)
		}
	}
}

// A judge that breaks down lets nobody in.
func TestAttack_PanicOfTheJudge(t *testing.T) {
	h, w := overTCP(t, func(c *TCPConfig) {
		c.Authenticate = func(context.Context, string) (audit.Actor, error) { panic("out of order") }
	})
	w.register(authz.ClientSpec{ID: "acme", Name: "Acme"})
	before := len(w.entries())
	a := ask(t, h, "POST", "/admin/v1/clients/acme/disable", bearing("Bearer good")).want(500)
	if strings.Contains(string(a.Body), "order") || len(w.entries()) != before {
		t.Errorf("%s", a.Body)
	}
}

// The handler of the socket takes no token, and that of TCP no user id: neither can stand in for the other.
func TestAttack_TheOtherListener(t *testing.T) {
	w := newWorld(t)
	local, err := New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, local, "GET", "/admin/v1/clients", bearing("Bearer good")).want(403)
	over, _ := overTCP(t)
	ask(t, over, "GET", "/admin/v1/clients", func(r *http.Request) {
		*r = *r.WithContext(context.WithValue(r.Context(), peerKey{}, peer{uid: 0}))
	}).want(401)
}

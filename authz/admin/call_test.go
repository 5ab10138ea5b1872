package admin

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

type logLine struct {
	Time, Level, Msg, Operation, Actor, Target string

	RequestID    string `json:"request_id"`
	CredentialID string `json:"credential_id"`
	Status       int
}

// lines returns the lines of the log that tell of a whole request.
func (b *logBuffer) lines(t *testing.T) (all []logLine) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		var l logLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		if l.Msg == "admin request" {
			all = append(all, l)
		}
	}
	return all
}

// wantLine wants a to have been logged last, and once.
func (s *server) wantLine(a answer, level, operation, target string) {
	s.t.Helper()
	id := a.Header.Get("X-Request-Id")
	lines := s.log.lines(s.t)
	lines = slices.DeleteFunc(lines, func(l logLine) bool { return l.RequestID != id })
	want := logLine{Level: level, Msg: "admin request", Operation: operation, Actor: "uid:" + ownUID(), Target: target, RequestID: id, Status: a.Status}
	if len(lines) == 1 {
		lines[0].Time, want.CredentialID = "", lines[0].CredentialID
	}
	if len(lines) != 1 || lines[0] != want {
		s.t.Errorf("logged %+v, want %+v", lines, want)
	}
}

func TestLog_OneLineForEachChange(t *testing.T) {
	s := start(t)
	const clients, secrets = "/admin/v1/clients", "/admin/v1/clients/{client_id}/secrets"
	a := s.do("POST", "/admin/v1/resources", resourceBody(fulfilment)).want(201)
	s.wantLine(a, "INFO", "POST /admin/v1/resources", fulfilment)
	a = s.do("POST", clients, map[string]any{"client_name": "N"}).want(201)
	s.wantLine(a, "INFO", "POST "+clients, a.object()["client_id"].(string)) // which the server made
	a = s.do("POST", clients, clientBody("acme")).want(201)
	s.wantLine(a, "INFO", "POST "+clients, "acme")
	a = s.do("POST", clients, clientBody("acme")).want(200) // nothing was left to do
	s.wantLine(a, "INFO", "POST "+clients, "acme")
	for _, verb := range []string{"disable", "enable"} {
		a = s.do("POST", clients+"/acme/"+verb, nil).want(200)
		s.wantLine(a, "INFO", "POST /admin/v1/clients/{client_id}/"+verb, "acme")
	}
	a = s.do("POST", clients+"/acme/secrets", nil).want(201)
	s.wantLine(a, "INFO", "POST "+secrets, "acme")
	credential := a.object()["credential_id"].(string)
	a = s.do("POST", clients+"/acme/secrets/"+credential+"/revoke", nil).want(200)
	s.wantLine(a, "INFO", "POST "+secrets+"/{credential_id}/revoke", "acme")
	if lines := s.log.lines(t); lines[len(lines)-1].CredentialID != credential {
		t.Errorf("revoked %q, logged %+v", credential, lines[len(lines)-1])
	}
	a = s.do("POST", "/admin/v1/keys/rotate", `{"algorithm":"ES256"}`).want(200)
	s.wantLine(a, "INFO", "POST /admin/v1/keys/rotate", "ES256")
	a = s.do("POST", "/admin/v1/keys/rotate", nil).want(200)
	s.wantLine(a, "INFO", "POST /admin/v1/keys/rotate", "")
}

func TestLog_WhatWasRefusedToo(t *testing.T) {
	s := start(t)
	s.wantLine(s.do("POST", "/admin/v1/clients/nobody/disable", nil).want(404), "INFO", "POST /admin/v1/clients/{client_id}/disable", "nobody")
	s.wantLine(s.do("POST", "/admin/v1/clients", map[string]any{"client_name": ""}).want(400), "INFO", "POST /admin/v1/clients", "")
	s.wantLine(s.do("POST", "/admin/v1/clients", map[string]any{"client_id": "wished", "client_name": "N", "resources": []string{"urn:no"}}).want(400), "INFO", "POST /admin/v1/clients", "wished")
	s.wantLine(s.do("POST", "/admin/v1/clients", `{"mrq_abcdefghijklmnop":1}`).want(400), "INFO", "POST /admin/v1/clients", "")
	s.wantLine(s.do("POST", "/admin/v1/keys/rotate", `{"algorithm":"RS256"}`).want(404), "INFO", "POST /admin/v1/keys/rotate", "RS256")
	s = start(t, func(cfg *Config) { cfg.Registry = broken{cfg.Registry, nil} })
	s.wantLine(s.do("GET", "/admin/v1/clients/x", nil).want(500), "DEBUG", "GET /admin/v1/clients/{client_id}", "x")
}

func TestLog_ReadingIsDebug(t *testing.T) {
	s := start(t)
	s.wantLine(s.do("GET", "/admin/v1/clients", nil).want(200), "DEBUG", "GET /admin/v1/clients", "")
	s.wantLine(s.do("HEAD", "/admin/v1/keys", nil).want(200), "DEBUG", "GET /admin/v1/keys", "")
	s.wantLine(s.do("GET", "/admin/v1/resources/urn:x", nil).want(404), "DEBUG", "GET /admin/v1/resources/{resource}", "urn:x")
	before := len(s.log.lines(t))
	s.do("POST", "/admin/v1/nothing", nil).want(404) // nothing is there to be changed
	s.do("PUT", "/admin/v1/keys", nil).want(405)
	if n := len(s.log.lines(t)); n != before {
		t.Errorf("%d lines for what does not exist", n-before)
	}
}

// Callers choose the identifiers in a path and in a body. Whatever they hold, the log says one line about
// one request, and no secret. The handler that writes it may quote nothing, so that must not matter.
func TestLog_NothingIsForged(t *testing.T) {
	s := start(t)
	var seen []string
	secret := "mrq_abcdefghijklmnop_AAAAAAAAAAAAAAAA"
	for _, id := range []string{
		"x\nlevel=ERROR msg=forged", "x\r\nforged", "x\x1b[2Jforged", "x\u202eforged", "x\u2028forged", "x\u0085forged", "x forged", "x\xffforged",
		"x\x00forged", strings.Repeat("forged", 200), secret, "x" + secret, "mrq_abcdefgh\nforged", "mrq_abc\u200bdefghijklmnop-forged", "mrq_abc def-forged",
	} {
		for _, path := range []string{"/disable", "/enable", "/secrets", "/secrets/k/revoke"} {
			a := s.do("POST", "/admin/v1/clients/"+url.PathEscape(id)+path, nil)
			if a.Status < 400 {
				t.Errorf("%q%s: %d", id, path, a.Status)
			}
		}
		s.do("POST", "/admin/v1/clients/acme/secrets/"+url.PathEscape(id)+"/revoke", nil).want(404)
		if json.Valid([]byte(`"` + id + `"`)) {
			s.do("POST", "/admin/v1/clients", clientBody(id))
			s.do("POST", "/admin/v1/resources", map[string]any{"resource": id})
		}
		for _, l := range s.log.lines(t) {
			seen = append(seen, l.Target, l.CredentialID)
		}
	}
	if got := strings.Join(seen, "|"); strings.Contains(got, "forged") || strings.Contains(got, "AAAA") || strings.ContainsAny(got, "\r\n\x1b\x00") {
		t.Errorf("targets %q", slices.Compact(seen))
	}
	if strings.Contains(s.log.String(), secret) {
		t.Error("a secret was logged")
	}
}

// The line is written whether or not the answer could be: a panic that comes after it began included.
func TestLog_AfterAPanic(t *testing.T) {
	log := &logBuffer{}
	h := &handler{log: slog.New(slog.NewJSONHandler(log, nil)), operations: operations(), mux: http.NewServeMux()}
	h.caller = h.peer
	h.mux.HandleFunc("POST /admin/v1/clients/{client_id}/disable", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		panic("late")
	})
	r := httptest.NewRequest("POST", "/admin/v1/clients/x/disable", nil)
	r = r.WithContext(context.WithValue(r.Context(), peerKey{}, peer{uid: 7}))
	func() {
		defer func() {
			if p := recover(); p != http.ErrAbortHandler {
				t.Errorf("recovered %v", p)
			}
		}()
		h.ServeHTTP(httptest.NewRecorder(), r)
	}()
	if lines := log.lines(t); len(lines) != 1 || lines[0].Target != "x" || lines[0].Actor != "uid:7" || lines[0].Status != 200 {
		t.Errorf("logged %s", log)
	}
}

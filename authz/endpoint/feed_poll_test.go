package endpoint_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// polled is a page of the feed as it is on the wire.
type polled struct {
	Sets []string
	Next string
	More bool
}

// poll asks for a page, and verifies what is in it.
func (s *stack) poll(query string, fields ...string) (polled, []token.Event) {
	s.t.Helper()
	r := s.get(feedPath+query, fields...)
	var p polled
	d := json.NewDecoder(strings.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); r.status != http.StatusOK || err != nil {
		s.t.Fatalf("%s: %d %s, %v", query, r.status, r.body, err)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Cache-Control": "no-store", "Vary": "Accept", "Content-Length": fmt.Sprint(len(r.body)), "Etag": "",
	} {
		if got := r.header.Get(name); got != want {
			s.t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	var all []token.Event
	for _, set := range p.Sets {
		_, payload, err := jose.Verify(set, jose.VerifyOptions{
			Types: []string{token.TypeEvent}, Algorithms: []jose.Algorithm{jose.ES256}, Key: s.publishedKey,
		})
		check(s.t, err)
		e, err := token.ParseEvent(payload)
		check(s.t, err)
		if e.Issuer != s.issuer || e.Audience != s.issuer+feedPath {
			s.t.Errorf("%+v", e)
		}
		all = append(all, e)
	}
	return p, all
}

// The way of those who cannot stream, over both versions: everything, then what came, each time with a heartbeat.
func TestSET14_SET10_Polling(t *testing.T) {
	for version, edit := range overHTTP {
		t.Run(version, func(t *testing.T) {
			s := newStack(t, edit)
			gateway := []string{"Authorization", s.gatewayOf("gateway")}
			s.withdraw(authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedJTI, Value: "first"}})
			p, all := s.poll("", gateway...)
			if p.More || len(all) != 2 || all[0].Kind != token.EventSnapshot || len(all[0].Revocations) != 1 || all[1].Kind != token.EventHeartbeat {
				t.Fatalf("%+v", all)
			}
			for _, accept := range []string{"application/json", "*/*", "text/html", "application/json, text/event-stream"} {
				if q, all := s.poll("?after="+p.Next, append(gateway, "Accept", accept)...); len(all) != 1 || q.Next != p.Next {
					t.Errorf("%s: %+v", accept, all)
				}
			}
			for i, subject := range []token.Subject{{Kind: token.RevokedClient, Value: "c1"}, {Kind: token.RevokedAll}, {Kind: token.RevokedJTI, Value: "second"}} {
				s.withdraw(authz.RevocationSpec{Subject: subject})
				q, all := s.poll("?after="+p.Next, gateway...)
				if len(all) != 2 || all[0].Revocations[0].Subject != subject || all[0].Seq != all[1].Seq {
					t.Errorf("%d: %+v", i, all)
				}
				p = q
			}
			// A stream goes on from there: the cursor is one.
			u := s.subscribe(append(gateway, "Last-Event-ID", p.Next)...)
			s.feed.Beat()
			if e, _ := u.event(); e.Kind != token.EventHeartbeat {
				t.Errorf("%+v", e)
			}
			admins := "Bearer " + s.token(as("boss", s.client(authz.ClientSpec{ID: "boss", Admin: true})), without("scope", "resource"))
			if _, all := s.poll("?after="+p.Next, "Authorization", admins); len(all) != 1 {
				t.Errorf("an administrator: %+v", all)
			}
			s.nothingLeaked(t, s.log.String())
		})
	}
}

// What may be read in two ways is refused, and nothing of it echoed; a place that nobody can go on from begins anew.
func TestSET14_SET10_PollingByStrangers(t *testing.T) {
	s := newStack(t)
	gateway := s.gatewayOf("gateway")
	p, _ := s.poll("", "Authorization", gateway)
	for _, query := range []string{
		"?after=", "?after", "?", "?x=y", "?after=x.1", "?after=" + p.Next[:len(p.Next)-1] + "18446744073709551615", "?after=x~7", "?x=1&after=" + strings.ReplaceAll(p.Next, ".", "~"),
	} {
		if _, all := s.poll(query, "Authorization", gateway); all[0].Kind != token.EventSnapshot {
			t.Errorf("%s: %+v", query, all)
		}
	}
	if _, all := s.poll("?after="+strings.ReplaceAll(p.Next, ".", "%2E")+"&x=y", "Authorization", gateway); len(all) != 1 {
		t.Errorf("escaped: %+v", all)
	}
	const query, after = "the query of the revocation feed", "after is not from the revocation feed"
	for name, c := range map[string]struct {
		query, fields string
		status        int
		want          string
	}{
		"twice":               {"?after=" + p.Next + "&after=" + p.Next, gateway, 400, query},
		"twice, one empty":    {"?after=&after=" + p.Next, gateway, 400, query},
		"twice, one escaped":  {"?after=" + p.Next + "&%61fter=" + p.Next, gateway, 400, query},
		"a semicolon":         {"?after=" + p.Next + ";x=y", gateway, 400, query},
		"a bad escape":        {"?after=%zz", gateway, 400, query},
		"a line break":        {"?after=x.1%0d%0aX:y", gateway, 400, query},
		"too many":            {"?" + strings.Repeat("a&b&", 40), gateway, 400, query},
		"no cursor":           {"?after=x", gateway, 400, after},
		"no number":           {"?after=x.", gateway, 400, after},
		"no name":             {"?after=.1", gateway, 400, after},
		"too large a number":  {"?after=x.18446744073709551616", gateway, 400, after},
		"another spelling":    {"?after=x.01", gateway, 400, after},
		"a name too long":     {"?after=" + strings.Repeat("x", 65) + ".1", gateway, 400, after},
		"HTML":                {"?after=%3Cscript%3E.1", gateway, 400, after},
		"a plus sign":         {"?after=x+1", gateway, 400, after},
		"nobody":              {"?after=" + p.Next, "", 401, "client authentication failed"},
		"a wrong secret":      {"", basic("gateway", "x"), 401, "client authentication failed"},
		"serves nothing":      {"", basic("c1", s.secret), 403, "this client serves no resource"},
		"SET-15 a SET":        {"", "Bearer " + p.Sets[0], 401, "the access token"},
		"a secret in the URL": {"?client_secret=x", gateway, 400, "credentials must not be sent in the URL"},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			r := s.get(feedPath+c.query, "Authorization", c.fields)
			if c.fields == "" {
				r = s.get(feedPath + c.query)
			}
			var e errorBody
			_ = json.Unmarshal([]byte(r.body), &e)
			if r.status != c.status || !strings.HasPrefix(e.Description, c.want) {
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	}
	if log := s.log.String(); strings.Contains(log, p.Sets[0]) || strings.Contains(log, "script") {
		t.Error("something of a request is in the log")
	}
	s.feed.Renew()
	s.gate.closed.Store(true)
	if r := s.get(feedPath+"?after="+p.Next, "Authorization", gateway); r.status != 503 || r.header.Get("Retry-After") == "" || r.body != "" {
		t.Errorf("the store is away: %d %s", r.status, r.body)
	}
}

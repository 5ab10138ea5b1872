package admin

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
)

var segmentEncoding = base64.RawURLEncoding

// chatty repeats the token that it is given.
type chatty struct{}

func (chatty) RevokeToken(_ context.Context, _ audit.Origin, compact string) (authz.Revocation, error) {
	return authz.Revocation{}, errors.New("cannot judge " + compact)
}

type entryBody struct {
	ID, Actor, Reason, Action, Target, Result string
	RequestID                                 string `json:"request_id"`
	Time                                      time.Time
	Before, After                             map[string]any
}

func (s *server) audit(query string) (entries []entryBody, next string) {
	s.t.Helper()
	var page struct {
		Entries []entryBody
		Next    string
	}
	s.do("GET", "/admin/v1/audit"+query, nil).want(200).decode(&page)
	return page.Entries, page.Next
}

func TestListAudit(t *testing.T) {
	s := startWithBoth(t)
	body := clientBody("acme")
	body["client_name"], body["token_lifetime"] = "Other", 60
	update := s.do("PUT", "/admin/v1/clients/acme", body, ifMatch("*"), header{"X-Marque-Reason": "ticket 7"}).want(200)
	s.do("DELETE", "/admin/v1/clients/acme", nil, ifMatch("*")).want(204)

	all, next := s.audit("")
	if next != "" || len(all) != len(s.entries()) {
		t.Fatalf("%d entries, next %q; %d are stored", len(all), next, len(s.entries()))
	}
	ids := map[string]bool{}
	for i, e := range all {
		if ids[e.ID] || e.ID == "" || i > 0 && e.Time.After(all[i-1].Time) {
			t.Errorf("entry %d: %+v", i, e)
		}
		ids[e.ID] = true
	}
	got, _ := s.audit("?action=client.update")
	if len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	e := got[0]
	if e.Actor != "uid:"+ownUID() || e.Reason != "ticket 7" || e.RequestID != update.Header.Get("X-Request-Id") || e.Target != "acme" || e.Result != "done" ||
		fmt.Sprint(e.Before) != "map[client_name:Acme token_lifetime:300]" || fmt.Sprint(e.After) != "map[client_name:Other token_lifetime:60]" {
		t.Errorf("%+v", e)
	}
	made, _ := s.audit("?action=client.create")
	if len(made) != 1 || made[0].Before != nil || made[0].After["client_name"] != "Acme" {
		t.Errorf("created: %+v", made)
	}
	gone, _ := s.audit("?action=client.delete")
	if len(gone) != 1 || gone[0].Before == nil {
		t.Errorf("deleted: %+v", gone)
	}
}

func TestListAudit_Filters(t *testing.T) {
	s := startWithBoth(t)
	s.do("POST", "/admin/v1/clients", map[string]any{"client_id": "client", "client_name": "N"}).want(201)
	actions := func(query string) (list []string) {
		entries, _ := s.audit(query)
		for _, e := range entries {
			list = append(list, e.Action+" "+e.Target)
		}
		return list
	}
	s.do("POST", "/admin/v1/revocations", map[string]any{"kind": "client", "value": "client"}).want(200)
	s.do("POST", "/admin/v1/clients/client/disable", nil).want(200)
	for query, want := range map[string]string{
		"?target=client&revoked=true":  "[client.disable client revocation.create client:client]",
		"?target=client&revoked=false": "[client.disable client revocation.create client:client client.create client]",
		"?revoked=true&action=client":  "[client.disable client]",
		"?action=client&target=acme":   "[client.create acme]",
		"?action=client":               "[client.disable client client.create client client.create acme]",
		"?action=clien":                "[]",
		"?action=client.create.x":      "[]",
		"?target=client:client":        "[revocation.create client:client]",
		"?target=" + url.QueryEscape(fulfilment) + "&actor=uid:" + ownUID(): "[resource.create " + fulfilment + "]",
		"?actor=client:ops":           "[]",
		"?actor=uid":                  "[]",
		"?since=2999-01-01T00:00:00Z": "[]",
		"?action=resource&since=2026-01-01T00:00:00%2B02:00": "[resource.create " + fulfilment + "]",
	} {
		if got := fmt.Sprint(actions(query)); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	for query, fields := range map[string][]string{
		"actor=": {"actor"}, "action=": {"action"}, "target=": {"target"}, "since=": {"since"}, "since=yesterday": {"since"}, "since=2026-01-01": {"since"}, "since=1767225600": {"since"},
		"since=2026-01-01T00:00:00Z&since=2026-01-01T00:00:00Z": {"since"}, "until=x": {"until"}, "revoked=": {"revoked"}, "revoked=1": {"revoked"}, "actor=%00&actor=b": {"actor"}, "limit=0&since=x&actor=&cursor=!": {"limit", "since", "actor", "cursor"},
		"cursor=" + segmentEncoding.EncodeToString([]byte("nobody gave this out")): {"cursor"},
	} {
		s.do("GET", "/admin/v1/audit?"+query, nil).wantFields(fields...)
	}
}

func TestListAudit_Pages(t *testing.T) {
	s := start(t)
	for i := range 7 {
		s.do("POST", "/admin/v1/clients", map[string]any{"client_id": fmt.Sprint("c", i), "client_name": "N"}).want(201)
	}
	whole, _ := s.audit("")
	var got []entryBody
	for cursor, pages := "", 0; pages < 20; pages++ {
		page, next := s.audit("?limit=3" + cursor)
		got = append(got, page...)
		if pages == 0 { // what happens meanwhile does not move the pages
			s.do("POST", "/admin/v1/clients/c0/disable", nil).want(200)
		}
		if next == "" {
			break
		}
		cursor = "&cursor=" + url.QueryEscape(next)
	}
	if fmt.Sprint(got) != fmt.Sprint(whole) {
		t.Errorf("pages %v\nwhole %v", got, whole)
	}
}

// An entry from before Before and After were kept has neither.
func TestAuditEntry_Records(t *testing.T) {
	for text, ok := range map[string]bool{"": true, "{}": true, `{"a":null,"b":[1]}`: true, "null": false, "[]": false, "x": false, `"x"`: false} {
		var v []byte
		if text != "" {
			v = []byte(text)
		}
		got, err := auditRecord(v)
		if (err == nil) != ok {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		if ok && (got == nil) != (text == "") {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestRefusals(t *testing.T) {
	s := startWithClient(t)
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	secret := "mrq_abcdefghijklmnop_AAAAAAAAAAAA"
	for i, r := range []authz.Refusal{
		{RequestID: "r1", Client: "acme", Cause: authz.CauseWrongSecret, Credential: "k1", Address: netip.MustParseAddr("192.0.2.1")},
		{RequestID: "r2", Client: "acme", Cause: authz.CauseBadRequest, Detail: "scope is repeated; " + secret},
		{RequestID: "r3", Client: "acmee", Cause: authz.CauseUnknownClient},
		{RequestID: "r4", Cause: authz.CauseNoCredentials},
	} {
		r.Time, r.Route = at.Add(time.Duration(i)*time.Second), "token"
		s.refusals.Add(r)
	}
	got := s.do("GET", "/admin/v1/clients/acme/refusals", nil).want(200)
	want := `[map[cause:bad_request client_id:acme detail:scope is repeated; [redacted] request_id:r2 route:token time:2026-05-04T03:02:02Z] ` +
		`map[address:192.0.2.1 cause:wrong_secret client_id:acme credential_id:k1 request_id:r1 route:token time:2026-05-04T03:02:01Z]]`
	if list := fmt.Sprint(got.object()["refusals"]); list != want {
		t.Errorf("got  %s\nwant %s", list, want)
	}
	if list := s.do("GET", "/admin/v1/clients/acmee/refusals", nil).want(200).object()["refusals"].([]any); len(list) != 1 {
		t.Errorf("mistyped: %v", list)
	}
	s.do("GET", "/admin/v1/clients/nobody/refusals", nil).wantDetail(404, noRefusals)
	s.do("POST", "/admin/v1/clients", map[string]any{"client_id": "quiet", "client_name": "N"}).want(201)
	if list := s.do("GET", "/admin/v1/clients/quiet/refusals", nil).want(200).object()["refusals"].([]any); len(list) != 0 {
		t.Errorf("quiet: %v", list)
	}
	for id, cause := range map[string]string{"r1": "wrong_secret", "r2": "bad_request", "r3": "unknown_client", "r4": "no_credentials"} {
		if one := s.do("GET", "/admin/v1/refusals/"+id, nil).want(200).object(); one["cause"] != cause || one["request_id"] != id {
			t.Errorf("%s: %v", id, one)
		}
	}
	s.do("GET", "/admin/v1/refusals/r5", nil).wantDetail(404, noRefusal)
	s.do("GET", "/admin/v1/refusals/"+strings.Repeat("x", 5000), nil).want(404)
}

func TestDoctor(t *testing.T) {
	s := start(t)
	if got := string(s.do("GET", "/admin/v1/doctor", nil).want(200).Body); got != `{"findings":[]}`+"\n" {
		t.Errorf("nothing found: %s", got)
	}
	s.findings = []Finding{
		{Check: "records", Level: LevelOK, Message: "7 records are sound"},
		{Check: "record", Level: LevelError, Subject: "client acme", Message: "its MAC is wrong", Fix: "restore it"},
		{Check: "clock", Level: LevelWarning},
	}
	want := `[map[check:records level:ok message:7 records are sound] map[check:record fix:restore it level:error message:its MAC is wrong subject:client acme] map[check:clock level:warning]]`
	if got := fmt.Sprint(s.do("GET", "/admin/v1/doctor", nil).want(200).object()["findings"]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	s.do("GET", "/admin/v1/doctor?x=1", nil).wantFields("x")
	broken := start(t, func(c *Config) {
		c.Doctor = func(context.Context) ([]Finding, error) { return nil, errors.New("disk on fire") }
	})
	broken.do("GET", "/admin/v1/doctor", nil).want(500)
}

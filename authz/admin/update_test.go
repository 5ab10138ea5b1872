package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/marque-auth/marque/authz"
)

const fulfilmentPath = "/admin/v1/resources/https:%2F%2Ffulfilment.example"

func ifMatch(value string) header { return header{"If-Match": value} }

// etagOf reads the version of a record.
func (s *server) etagOf(path string) string {
	s.t.Helper()
	tag := s.do("GET", path, nil).want(200).Header.Get("ETag")
	if tag == "" {
		s.t.Fatal("no ETag")
	}
	return tag
}

// startWithBoth has a resource, and a client that has and serves it.
func startWithBoth(t *testing.T) *server {
	t.Helper()
	s := start(t)
	s.addResource(fulfilment)
	s.do("POST", "/admin/v1/clients", clientBody("acme")).want(201)
	return s
}

// Every answer that shows one record has its version, and the version changes with the record alone.
func TestETag(t *testing.T) {
	s := startWithBoth(t)
	for _, path := range []string{fulfilmentPath, "/admin/v1/clients/acme"} {
		if a, b := s.etagOf(path), s.etagOf(path); a != b {
			t.Errorf("%s: %s, then %s", path, a, b)
		}
	}
	first := s.etagOf("/admin/v1/clients/acme")
	if got := s.do("POST", "/admin/v1/clients", clientBody("acme")).want(200).Header.Get("ETag"); got != first {
		t.Errorf("repeated creation: %s, want %s", got, first)
	}
	disabled := s.do("POST", "/admin/v1/clients/acme/disable", nil).want(200).Header.Get("ETag")
	if disabled == first || disabled != s.etagOf("/admin/v1/clients/acme") {
		t.Errorf("disabled: %s, before %s", disabled, first)
	}
	if got := s.do("POST", "/admin/v1/clients/acme/disable", nil).want(200).Header.Get("ETag"); got != disabled {
		t.Errorf("disabled again: %s, want %s", got, disabled)
	}
	enabled := s.do("POST", "/admin/v1/clients/acme/enable", nil).want(200).Header.Get("ETag")
	if enabled == first || enabled == disabled {
		t.Errorf("a version came back: %s %s %s", first, disabled, enabled)
	}
	made := s.do("POST", "/admin/v1/clients", map[string]any{"client_name": "N", "client_id": "n"}).want(201).Header.Get("ETag")
	if got := s.etagOf("/admin/v1/clients/n"); got != made {
		t.Errorf("created %s, read %s", made, got)
	}
}

func TestUpdate_NeedsIfMatch(t *testing.T) {
	s := startWithBoth(t)
	before := len(s.entries())
	for _, op := range []struct {
		method, path string
		body         any
	}{
		{"PUT", "/admin/v1/clients/acme", map[string]any{"client_name": "Other"}},
		{"DELETE", "/admin/v1/clients/acme", nil},
		{"PUT", fulfilmentPath, map[string]any{"token_lifetime": 60}},
		{"DELETE", fulfilmentPath, nil},
	} {
		s.do(op.method, op.path, op.body).want(428)
		for _, stale := range []string{`"9999"`, `W/` + s.etagOf(op.path), `"0"`, `"x"`, `"9998", "9999"`} {
			s.do(op.method, op.path, op.body, ifMatch(stale)).want(412)
		}
		for _, bad := range []string{strings.Trim(s.etagOf(op.path), `"`), `*, "1"`, `"1`, ""} {
			s.do(op.method, op.path, op.body, ifMatch(bad)).wantFields("If-Match")
		}
	}
	// Together with other mistakes it is one of them.
	s.do("PUT", "/admin/v1/clients/acme?x=1", map[string]any{"client_name": 1}).wantFields("If-Match", "client_name", "x")
	s.do("DELETE", "/admin/v1/clients/acme", `{}`).wantFields("If-Match", "body")
	if n := len(s.entries()); n != before {
		t.Errorf("%d changes were recorded", n-before)
	}
}

func TestUpdateClient(t *testing.T) {
	s := startWithBoth(t)
	read := func() map[string]any { return s.do("GET", "/admin/v1/clients/acme", nil).want(200).object() }
	was := read()
	body := map[string]any{
		"client_id": "acme", "client_name": "Acme & Co", "scope": "orders:read", "resources": []string{fulfilment}, "admin": true,
	}
	tag := s.etagOf("/admin/v1/clients/acme")
	a := s.do("PUT", "/admin/v1/clients/acme", body, ifMatch(tag), header{"X-Marque-Reason": "renamed"}).want(200)
	got := a.object()
	if fmt.Sprint(got) != fmt.Sprint(read()) || a.Header.Get("ETag") != s.etagOf("/admin/v1/clients/acme") || a.Header.Get("ETag") == tag {
		t.Errorf("answered %v, read %v", got, read())
	}
	want := map[string]any{ // the whole definition: what is left out has its default
		"client_name": "Acme & Co", "scope": "orders:read", "default_scope": "", "serves": []any{}, "token_lifetime": nil, "claims": nil, "default_resource": nil,
		"admin": true, "client_id": "acme", "client_id_issued_at": was["client_id_issued_at"], "credential_id": was["credential_id"], "disabled": false,
	}
	for name, v := range want {
		if fmt.Sprint(got[name]) != fmt.Sprint(v) {
			t.Errorf("%s = %v, want %v", name, got[name], v)
		}
	}
	if e := s.lastEntry("client.update"); e.Reason != "renamed" || e.Target != "acme" || e.Before == nil || e.After == nil {
		t.Errorf("audit: %+v", e)
	}

	// The same again is a repeat, whatever it matches; something else is not.
	entries := len(s.entries())
	s.do("PUT", "/admin/v1/clients/acme", body, ifMatch(tag)).want(200)
	if n := len(s.entries()); n != entries {
		t.Error("a repeat was recorded")
	}
	body["client_name"] = "Other"
	s.do("PUT", "/admin/v1/clients/acme", body, ifMatch(tag)).want(412)
	s.do("PUT", "/admin/v1/clients/acme", body, ifMatch(`"77", `+s.etagOf("/admin/v1/clients/acme"))).want(200)
	body["client_name"] = "Another"
	s.do("PUT", "/admin/v1/clients/acme", body, ifMatch("*")).want(200)
	if log := s.log.String(); strings.Contains(log, "unreadable") {
		t.Errorf("log: %s", log)
	}
}

// If-Match may come in several lines (RFC 9110, Section 5.3).
func TestUpdate_IfMatchInSeveralLines(t *testing.T) {
	s := startWithBoth(t)
	body := `{"client_name":"Other"}`
	req, _ := http.NewRequestWithContext(t.Context(), "PUT", "http://localhost/admin/v1/clients/acme", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header["If-Match"] = []string{`"9999"`, s.etagOf("/admin/v1/clients/acme")}
	resp, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("status = %d", resp.StatusCode)
	}
}

func TestUpdate_WrongFields(t *testing.T) {
	s := startWithBoth(t)
	whatever := ifMatch("*")
	s.do("PUT", "/admin/v1/clients/acme", map[string]any{
		"client_id": "other", "client_name": "\n", "scope": "a  b", "default_scope": "c", "resources": []string{"https://unknown.example"},
		"default_resource": "https://other.example", "serves": []string{"https://unknown.example"}, "token_lifetime": 4000, "claims": map[string]any{"sub": "x"},
		"introspection_signed_response_alg": "none",
	}, whatever).wantFields("client_id", "client_name", "scope", "default_scope", "resources", "default_resource", "serves", "token_lifetime", "claims", "introspection_signed_response_alg")
	s.do("PUT", "/admin/v1/clients/acme", `{"client_name":"N","client_secret":"0123456789abcdefghijkl","disabled":true,"client_id_issued_at":1}`, whatever).
		wantFields("client_secret", "disabled", "client_id_issued_at")
	s.do("PUT", "/admin/v1/clients/acme", `{}`, whatever).wantFields("client_name")
	s.do("PUT", fulfilmentPath, map[string]any{"resource": "https://other.example", "token_lifetime": 0, "algorithm": "HS256", "token_type": "x", "scopes": []string{"\n"}}, whatever).
		wantFields("resource", "token_lifetime", "algorithm", "token_type", "scopes")
	s.do("PUT", fulfilmentPath, `{"created_at":"2026-01-01T00:00:00Z"}`, whatever).wantFields("created_at")
	for _, query := range []string{"revoke_tokens=1", "revoke_tokens=True", "revoke_tokens=", "revoke_tokens"} {
		s.do("PUT", "/admin/v1/clients/acme?"+query, `{"client_name":"N"}`, whatever).wantFields("revoke_tokens")
	}
	s.do("DELETE", "/admin/v1/clients/acme?revoke_tokens=true", nil, whatever).wantFields("revoke_tokens")
	s.do("PUT", "/admin/v1/clients/acme?revoke_tokens=true&revoke_tokens=false", `{"client_name":"N"}`, whatever).wantFields("revoke_tokens")
	s.do("PUT", "/admin/v1/clients/nobody", `{"client_name":"N"}`, whatever).wantDetail(404, noClient)
	s.do("PUT", "/admin/v1/resources/urn:nothing", `{}`, whatever).wantDetail(404, noResource)
}

func TestUpdateResource(t *testing.T) {
	s := startWithBoth(t)
	tag := s.etagOf(fulfilmentPath)
	body := map[string]any{"resource": fulfilment, "scopes": []string{"orders:read", "orders:write", "orders:list"}, "token_lifetime": 60, "algorithm": "EdDSA", "token_type": "JWT"}
	a := s.do("PUT", fulfilmentPath, body, ifMatch(tag)).want(200)
	got, read := a.object(), s.do("GET", fulfilmentPath, nil).want(200).object()
	if fmt.Sprint(got) != fmt.Sprint(read) || got["algorithm"] != "Ed25519" || got["token_lifetime"] != 60.0 || got["token_type"] != "JWT" {
		t.Errorf("answered %v, read %v", got, read)
	}
	s.do("PUT", fulfilmentPath, body, ifMatch(tag)).want(200)
	body["token_lifetime"] = 61
	s.do("PUT", fulfilmentPath, body, ifMatch(tag)).want(412)
	s.do("PUT", fulfilmentPath, body, ifMatch(a.Header.Get("ETag"))).want(200)
}

// EVT-06: with revoke_tokens the change and the revocation are one.
func TestEVT06_UpdateAndRevoke(t *testing.T) {
	s, secret := withTokens(t)
	other := s.register(authz.ClientSpec{ID: "other", Name: "O", Scopes: []string{"orders:read"}, DefaultScopes: []string{"orders:read"}, Resources: []string{fulfilment}})
	acmes, others := s.issue("acme", secret), s.issue("other", other)
	s.do("PUT", "/admin/v1/clients/acme?revoke_tokens=false", `{"client_name":"A"}`, ifMatch("*")).want(200)
	if list := s.revocations(); len(list) != 0 || !s.active(acmes, "acme", secret) {
		t.Errorf("revoked %v", list)
	}
	s.do("PUT", "/admin/v1/clients/acme?revoke_tokens=true", `{"client_name":"B"}`, ifMatch("*")).want(200)
	if s.active(acmes, "acme", secret) || !s.active(others, "other", other) {
		t.Error("not exactly the tokens of the client are void")
	}
	s.do("PUT", fulfilmentPath+"?revoke_tokens=true", map[string]any{"token_lifetime": 60, "scopes": []string{"orders:read"}}, ifMatch("*")).want(200)
	if s.active(others, "other", other) {
		t.Error("a token for the resource is not void")
	}
	if again := s.issue("other", other); !s.active(again, "other", other) {
		t.Error("a token issued afterwards is void")
	}
	list := s.revocations()
	if len(list) != 2 || list[0].Kind != "client" || list[0].Value != "acme" || list[1].Kind != "resource" || list[1].Value != fulfilment {
		t.Errorf("revoked %+v", list)
	}
}

func TestDeleteClient(t *testing.T) {
	s := startWithBoth(t)
	const path = "/admin/v1/clients/acme"
	s.do("DELETE", "/admin/v1/clients/nobody", nil, ifMatch("*")).wantDetail(404, noClient)
	tag := s.etagOf(path)
	for _, value := range []string{tag, tag, "*", `"1", "2"`, `"999"`} { // deleted, and deleted again
		if a := s.do("DELETE", path, nil, ifMatch(value)).want(204); len(a.Body) != 0 || a.Header.Get("ETag") != "" {
			t.Errorf("%s: body %q", value, a.Body)
		}
	}
	s.do("GET", path, nil).wantDetail(404, noClient)
	s.do("PUT", path, `{"client_name":"N"}`, ifMatch("*")).wantDetail(404, noClient)
	for _, verb := range []string{"disable", "enable", "secrets"} {
		s.do("POST", path+"/"+verb, nil).want(404)
	}
	s.do("GET", path+"/secrets", nil).want(404)
	s.do("GET", path+"/refusals", nil).wantDetail(404, noRefusals)
	s.do("POST", "/admin/v1/clients", clientBody("acme")).want(409) // never given to another
	var list struct{ Clients []any }
	if s.do("GET", "/admin/v1/clients", nil).decode(&list); len(list.Clients) != 0 {
		t.Errorf("listed: %v", list.Clients)
	}
	if r := s.revocations(); len(r) != 1 || r[0].Kind != "client" || r[0].Value != "acme" || r[0].Before != nil || r[0].Until != nil {
		t.Errorf("revoked %+v", r)
	}
	n := 0
	for _, e := range s.entries() {
		if e.Action == "client.delete" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("recorded %d times", n)
	}
}

func TestDeleteResource(t *testing.T) {
	s := startWithBoth(t)
	a := s.do("DELETE", fulfilmentPath, nil, ifMatch("*")).want(409)
	if got := a.problem().Detail; !strings.HasSuffix(got, ": acme") {
		t.Errorf("detail %q does not name the client", got)
	}
	s.do("PUT", "/admin/v1/clients/acme", `{"client_name":"N"}`, ifMatch("*")).want(200)
	s.do("DELETE", fulfilmentPath, nil, ifMatch(s.etagOf(fulfilmentPath))).want(204)
	s.do("DELETE", fulfilmentPath, nil, ifMatch(`"1"`)).want(204)
	s.do("GET", fulfilmentPath, nil).wantDetail(404, noResource)
	s.do("DELETE", "/admin/v1/resources/urn:nothing", nil, ifMatch("*")).wantDetail(404, noResource)
	s.addResource(fulfilment) // anew
	if tag := s.etagOf(fulfilmentPath); tag == `"1"` {
		t.Errorf("the version began again: %s", tag)
	}
}

func TestDeleteResource_NamesTenClients(t *testing.T) {
	s := start(t)
	s.addResource(fulfilment)
	for i := range 12 {
		s.do("POST", "/admin/v1/clients", map[string]any{"client_id": fmt.Sprintf("c%02d", i), "client_name": "N", "serves": []string{fulfilment}}).want(201)
	}
	detail := s.do("DELETE", fulfilmentPath, nil, ifMatch("*")).want(409).problem().Detail
	if n := strings.Count(detail, ", "); n != 9 || !strings.Contains(detail, "c00, c01") {
		t.Errorf("detail %q", detail)
	}
}

// Of admins who change what both have read, one wins and the others hear of it.
func TestUpdate_Race(t *testing.T) {
	s := startWithBoth(t)
	tag := s.etagOf("/admin/v1/clients/acme")
	const admins = 8
	var statuses [admins]int
	var wg sync.WaitGroup
	for i := range admins {
		wg.Go(func() {
			statuses[i] = s.do("PUT", "/admin/v1/clients/acme", map[string]any{"client_name": fmt.Sprint("Admin ", i)}, ifMatch(tag)).Status
		})
	}
	wg.Wait()
	count := map[int]int{}
	for _, status := range statuses {
		count[status]++
	}
	if count[200] != 1 || count[412]+count[409] != admins-1 {
		t.Errorf("statuses %v, want one 200", statuses)
	}
}

func TestSearch(t *testing.T) {
	s := start(t)
	for _, r := range []string{"https://A.example/orders", "https://b.example/Orders", "urn:c"} {
		s.do("POST", "/admin/v1/resources", map[string]any{"resource": r}).want(201)
	}
	for id, name := range map[string]string{"acme": "The ACME Company", "zeta": "Änne", "beta": "N"} {
		s.do("POST", "/admin/v1/clients", map[string]any{"client_id": id, "client_name": name}).want(201)
	}
	ids := func(path, query, list, id string) (found []string) {
		a := s.do("GET", path+"?query="+url.QueryEscape(query), nil).want(200)
		for _, e := range a.object()[list].([]any) {
			found = append(found, e.(map[string]any)[id].(string))
		}
		return found
	}
	for query, want := range map[string]string{"ORDERS": "[https://A.example/orders https://b.example/Orders]", "a.EXAMPLE": "[https://A.example/orders]", "urn": "[urn:c]", "nothing": "[]", "é": "[]"} {
		if got := fmt.Sprint(ids("/admin/v1/resources", query, "resources", "resource")); got != want {
			t.Errorf("resources with %q: %s, want %s", query, got, want)
		}
	}
	for query, want := range map[string]string{"eta": "[beta zeta]", "acme c": "[acme]", "Änne": "[zeta]", "nothing": "[]", "%": "[]", "_": "[]"} {
		if got := fmt.Sprint(ids("/admin/v1/clients", query, "clients", "client_id")); got != want {
			t.Errorf("clients with %q: %s, want %s", query, got, want)
		}
	}
	// Pages of what was found.
	var page struct {
		Clients   []any
		Resources []any
		Next      string
	}
	for _, path := range []string{"/admin/v1/clients?query=eta&limit=1", "/admin/v1/resources?query=orders&limit=1"} {
		page.Next = ""
		s.do("GET", path, nil).want(200).decode(&page)
		next := page.Next
		page.Next = ""
		s.do("GET", path+"&cursor="+next, nil).want(200).decode(&page)
		if next == "" || page.Next != "" || len(page.Clients)+len(page.Resources) == 0 {
			t.Errorf("%s: %q, then %+v", path, next, page)
		}
	}
	for _, bad := range []string{"query=", "query=%ff", "query=" + strings.Repeat("x", 1025), "query=a&query=b"} {
		s.do("GET", "/admin/v1/clients?"+bad, nil).wantFields("query")
		s.do("GET", "/admin/v1/resources?"+bad, nil).wantFields("query")
	}
	s.do("GET", "/admin/v1/clients?query="+url.QueryEscape(strings.Repeat("ä", 512)), nil).want(200)
	s.do("GET", "/admin/v1/revocations?query=a", nil).wantFields("query")
}

// A secret that was brought along is kept, works, and is in no answer.
func TestBroughtSecret(t *testing.T) {
	s := start(t)
	const brought, second = "Old-Server's;Secret/2019", "Another~Old|Secret=2020!"
	s.addResource(fulfilment)
	body := map[string]any{"client_id": "acme", "client_name": "N", "client_secret": brought, "resources": []string{fulfilment}, "scope": "orders:read", "default_scope": "orders:read"}
	a := s.do("POST", "/admin/v1/clients", body).want(201)
	b := s.do("POST", "/admin/v1/clients/acme/secrets", map[string]any{"client_secret": second}, header{"Idempotency-Key": "0123456789abcdef"}).want(201)
	answers := []answer{
		a, b, s.do("POST", "/admin/v1/clients", body), s.do("GET", "/admin/v1/clients/acme", nil), s.do("GET", "/admin/v1/clients/acme/secrets", nil),
		s.do("POST", "/admin/v1/clients/acme/secrets", map[string]any{"client_secret": second}, header{"Idempotency-Key": "0123456789abcdef"}).want(200),
		s.do("GET", "/admin/v1/audit", nil),
	}
	for _, a := range answers {
		for _, secret := range []string{brought, second} {
			if quoted, _ := json.Marshal(secret); strings.Contains(string(a.Body), strings.Trim(string(quoted), `"`)) || strings.Contains(string(a.Body), `client_secret"`) {
				t.Errorf("shown: %s", a.Body)
			}
		}
	}
	if log := s.log.String(); strings.Contains(log, "Secret/2019") || strings.Contains(log, "Secret=2020") {
		t.Errorf("logged: %s", log)
	}
	for _, secret := range []authz.Secret{brought, second} {
		s.issue("acme", secret)
	}
	for _, bad := range []any{"short", strings.Repeat("ab", 15), "with space in the middle of it", strings.Repeat("x1y2z3w4", 32), "ümlaut-0123456789abcdef", 1, nil, ""} {
		for _, path := range []string{"/admin/v1/clients", "/admin/v1/clients/acme/secrets"} {
			body := map[string]any{"client_secret": bad}
			if path == "/admin/v1/clients" {
				body["client_name"] = "N"
			}
			s.do("POST", path, body).wantFields("client_secret")
		}
	}
}

package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
)

type revocationBody struct {
	Kind, Value, Actor, Reason string
	Since, Before, Until       *time.Time
	ClientID                   string    `json:"client_id"`
	CreatedAt                  time.Time `json:"created_at"`
}

func (s *server) revocations() (list []revocationBody) {
	s.t.Helper()
	var body struct{ Revocations []revocationBody }
	s.do("GET", "/admin/v1/revocations", nil).want(200).decode(&body)
	return body.Revocations
}

// withTokens has a client that may have tokens, and its secret.
func withTokens(t *testing.T) (*server, authz.Secret) {
	t.Helper()
	s := start(t)
	s.addResource(fulfilment)
	return s, s.register(authz.ClientSpec{ID: "acme", Name: "Acme", Scopes: []string{"orders:read"}, DefaultScopes: []string{"orders:read"}, Resources: []string{fulfilment}})
}

// RVK-19: by token identifier, client, credential, key, resource and all, "issued before T". Of three
// tokens, each kind withdraws exactly those that it names.
func TestRVK19_CreateRevocation(t *testing.T) {
	const other = "https://other.example"
	for kind, want := range map[string][3]bool{ // which stay active: acme by its first secret, by its second, beta
		"jti": {false, true, true}, "client": {false, false, true}, "credential": {false, true, true},
		"kid": {false, false, true}, "resource": {false, false, true}, "all": {false, false, false},
	} {
		t.Run(kind, func(t *testing.T) {
			s, first := withTokens(t)
			s.do("POST", "/admin/v1/resources", map[string]any{"resource": other, "algorithm": "Ed25519"}).want(201)
			beta := s.register(authz.ClientSpec{ID: "beta", Name: "B", Resources: []string{other}})
			second := authz.Secret(s.do("POST", "/admin/v1/clients/acme/secrets", nil).want(201).object()["client_secret"].(string))
			tokens := [3]string{s.issue("acme", first), s.issue("acme", second), s.issue("beta", beta)}
			before := s.now().Add(time.Second).UTC().Truncate(time.Second) // tokens of that very second are meant, too
			s.sleep(3 * time.Second)
			var header struct{ KID string }
			var claims struct{ JTI string }
			decodeSegment(t, strings.Split(tokens[0], ".")[0], &header)
			decodeSegment(t, strings.Split(tokens[0], ".")[1], &claims)
			value := map[string]string{
				"jti": claims.JTI, "client": "acme", "credential": s.secrets("acme")[0].CredentialID, "kid": header.KID, "resource": fulfilment,
			}[kind]
			body := map[string]any{"kind": kind}
			if value != "" {
				body["value"] = value
			}
			if kind != "jti" {
				body["before"] = before.Format(time.RFC3339)
			}
			a := s.do("POST", "/admin/v1/revocations", body, map[string]string{"X-Marque-Reason": "trial"}).want(200)
			got := [3]bool{s.active(tokens[0], "acme", first), s.active(tokens[1], "acme", first), s.active(tokens[2], "beta", beta)}
			if got != want {
				t.Errorf("active: %v, want %v", got, want)
			}
			if again := s.issue("acme", first); !s.active(again, "acme", first) {
				t.Error("a token issued after T is void")
			}
			s.wantRevocation(a, kind, value, before)
		})
	}
}

// wantRevocation checks what an answer, the log and the audit log say of a revocation.
func (s *server) wantRevocation(a answer, kind, value string, before time.Time) {
	s.t.Helper()
	var got revocationBody
	a.decode(&got)
	if got.Kind != kind || got.Value != value || got.Actor != "uid:"+ownUID() || got.Reason != "trial" || got.CreatedAt.IsZero() || got.Until == nil {
		s.t.Errorf("%+v", got)
	}
	if kind != "jti" && (got.Before == nil || !got.Before.Equal(before)) {
		s.t.Errorf("before %v, want %v", got.Before, before)
	}
	s.wantLine(a, "INFO", "POST /admin/v1/revocations", kind+":"+value)
	if e := s.lastEntry("revocation.create"); e.Target != kind+":"+value || e.Reason != "trial" {
		s.t.Errorf("audit %+v", e)
	}
	if list := s.revocations(); len(list) != 1 {
		s.t.Errorf("%d revocations are listed", len(list))
	}
}

// A revocation is never made weaker by another one.
func TestCreateRevocation_Merges(t *testing.T) {
	s, _ := withTokens(t)
	early := s.now().Add(-time.Minute).UTC().Format(time.RFC3339)
	var now, again revocationBody
	s.do("POST", "/admin/v1/revocations", `{"kind":"client","value":"acme"}`).want(200).decode(&now)
	s.do("POST", "/admin/v1/revocations", `{"kind":"client","value":"acme","before":"`+early+`"}`).want(200).decode(&again)
	if now.Before == nil || now.Before.Before(s.now().Add(-2*time.Second)) || again.Before == nil || !again.Before.Equal(*now.Before) {
		t.Errorf("before %v, then %v", now.Before, again.Before)
	}
}

func TestCreateRevocation_WrongFields(t *testing.T) {
	s, secret := withTokens(t)
	before := len(s.entries())
	compact := s.issue("acme", secret)
	now := s.now().UTC()
	for body, fields := range map[string][]string{
		`{}`:                                     {"kind"},
		`{"kind":"x"}`:                           {"kind"},
		`{"kind":"all","value":"x"}`:             {"value"},
		`{"kind":"jti"}`:                         {"value"},
		`{"kind":"jti","value":""}`:              {"value"},
		`{"kind":"client","value":"nobody"}`:     {"value"},
		`{"kind":"credential","value":"nobody"}`: {"value"},
		`{"kind":"resource","value":"urn:no"}`:   {"value"},
		`{"kind":"jti","value":"x","before":"` + now.Format(time.RFC3339) + `"}`:                        {"before"},
		`{"kind":"all","before":"` + now.Add(time.Hour).Format(time.RFC3339) + `"}`:                     {"before"},
		`{"kind":"all","before":"` + now.Add(-2*time.Hour).Format(time.RFC3339) + `"}`:                  {"before"},
		`{"kind":"client","value":"nobody","before":"` + now.Add(time.Hour).Format(time.RFC3339) + `"}`: {"value", "before"},
		`{"kind":"all","before":"yesterday"}`:                                                           {"before"},
		`{"kind":"all","until":"x"}`:                                                                    {"until"},
		`{"kind":1,"value":2,"before":3}`:                                                               {"kind", "value", "before"},
		`{"kind":"jti","value":"` + compact + `"}`:                                                      {"value"},
		`{"kind":"client","value":"` + secret.Reveal() + `"}`:                                           {"value"},
	} {
		s.do("POST", "/admin/v1/revocations", body).wantFields(fields...)
	}
	if n := len(s.entries()); n != before || len(s.revocations()) != 0 {
		t.Errorf("%d changes were recorded", n-before)
	}
	if log := s.log.String(); strings.Contains(log, compact) || strings.Contains(log, secret.Reveal()) {
		t.Errorf("logged: %s", log)
	}
}

func TestListRevocations_Pages(t *testing.T) {
	s := start(t)
	for i := range 5 {
		s.do("POST", "/admin/v1/revocations", fmt.Sprintf(`{"kind":"jti","value":"j%d/ä?"}`, i)).wantFields("value") // visible ASCII
		s.do("POST", "/admin/v1/revocations", fmt.Sprintf(`{"kind":"jti","value":"j%d/?"}`, i)).want(200)
	}
	s.do("POST", "/admin/v1/revocations", `{"kind":"all"}`).want(200)
	var got []string
	cursor := ""
	for pages := 0; pages < 10; pages++ {
		var page struct {
			Revocations []revocationBody
			Next        string
		}
		s.do("GET", "/admin/v1/revocations?limit=2"+cursor, nil).want(200).decode(&page)
		for _, r := range page.Revocations {
			got = append(got, r.Kind+":"+r.Value)
		}
		if page.Next == "" {
			break
		}
		cursor = "&cursor=" + url.QueryEscape(page.Next)
	}
	if fmt.Sprint(got) != "[all: jti:j0/? jti:j1/? jti:j2/? jti:j3/? jti:j4/?]" {
		t.Errorf("got %v", got)
	}
	s.sleep(2 * time.Hour)
	if list := s.revocations(); len(list) != 0 {
		t.Errorf("what every token has outlived is still listed: %+v", list)
	}
}

// The token works and is in the body of the request alone: not in the answer, the log, the audit log.
func TestRevokeToken(t *testing.T) {
	s, secret := withTokens(t)
	compact := s.issue("acme", secret)
	a := s.do("POST", "/admin/v1/tokens/revoke", map[string]any{"token": compact}, header{"X-Marque-Reason": "leaked"}).want(200)
	var got revocationBody
	a.decode(&got)
	if got.Kind != "jti" || got.ClientID != "acme" || got.Until == nil || got.Actor != "uid:"+ownUID() || got.Reason != "leaked" {
		t.Errorf("%+v", got)
	}
	s.wantLine(a, "INFO", "POST /admin/v1/tokens/revoke", "jti:"+got.Value)
	if e := s.lastEntry("revocation.create"); e.Target != "jti:"+got.Value || e.Actor.String() != "uid:"+ownUID() {
		t.Errorf("audit: %+v", e)
	}
	again := s.do("POST", "/admin/v1/tokens/revoke", map[string]any{"token": compact}).want(200)
	if string(again.Body) != string(a.Body) {
		t.Errorf("again: %s, first %s", again.Body, a.Body)
	}
	parts := strings.Split(compact, ".")
	for name, text := range map[string]string{"answer": string(a.Body), "log": s.log.String(), "audit log": string(s.do("GET", "/admin/v1/audit", nil).Body)} {
		if strings.Contains(text, parts[1]) || strings.Contains(text, parts[2]) {
			t.Errorf("the token is in the %s: %s", name, text)
		}
	}
}

func TestRevokeToken_Unknown(t *testing.T) {
	s, secret := withTokens(t)
	compact := s.issue("acme", secret)
	before := len(s.entries())
	parts := strings.Split(compact, ".")
	for _, bad := range []string{
		"x", "…", " " + compact, compact + " ", compact + ".", parts[0] + "." + parts[1] + ".", parts[0] + ".." + parts[2], parts[1] + "." + parts[0] + "." + parts[2],
		secret.Reveal(), strings.Repeat("x", 60<<10), "\u202e", strings.Repeat(".", 100),
	} {
		a := s.do("POST", "/admin/v1/tokens/revoke", map[string]any{"token": bad})
		a.wantDetail(404, noToken)
	}
	s.do("POST", "/admin/v1/tokens/revoke", `{}`).wantFields("token")
	s.do("POST", "/admin/v1/tokens/revoke", `{"token":""}`).wantFields("token")
	s.do("POST", "/admin/v1/tokens/revoke", map[string]any{"token": compact, "token_type_hint": "access_token"}).wantFields("token_type_hint")
	s.do("POST", "/admin/v1/tokens/revoke?token="+compact, nil).wantFields("token", "body")
	s.sleep(time.Hour)
	s.do("POST", "/admin/v1/tokens/revoke", map[string]any{"token": compact}).wantDetail(404, noToken) // expired
	if n := len(s.entries()); n != before || len(s.revocations()) != 0 {
		t.Errorf("%d changes were recorded", n-before)
	}
	if log := s.log.String(); strings.Contains(log, parts[1]) || strings.Contains(log, parts[2]) || strings.Contains(log, secret.Reveal()) {
		t.Errorf("logged: %s", log)
	}
}

// An error that repeats the token does not bring it to the log.
func TestRevokeToken_FaultThatRepeatsIt(t *testing.T) {
	s := start(t, func(c *Config) { c.Tokens = chatty{} })
	s.do("POST", "/admin/v1/tokens/revoke", `{"token":"header.payload.signature"}`).want(500)
	if log := s.log.String(); strings.Contains(log, "payload") || !strings.Contains(log, "cannot judge [redacted]") {
		t.Errorf("log: %s", log)
	}
}

// EVT-03: a compromised secret takes with it what it obtained since it was compromised, and nothing that
// another secret did. One that is revoked in the ordinary way takes nothing.
func TestEVT03_RevokeCompromisedSecret(t *testing.T) {
	s, first := withTokens(t)
	second := authz.Secret(s.do("POST", "/admin/v1/clients/acme/secrets", nil).want(201).object()["client_secret"].(string))
	early := s.issue("acme", first)
	s.sleep(10 * time.Second)
	since := s.now().UTC().Truncate(time.Second)
	late, others := s.issue("acme", first), s.issue("acme", second)
	check := func(earlyIs, lateIs bool) {
		t.Helper()
		got := [3]bool{s.active(early, "acme", second), s.active(late, "acme", second), s.active(others, "acme", second)}
		if got != [3]bool{earlyIs, lateIs, true} {
			t.Errorf("active: %v, want %v %v true", got, earlyIs, lateIs)
		}
	}
	id := s.secrets("acme")[0].CredentialID
	path := "/admin/v1/clients/acme/secrets/" + id + "/revoke"
	s.do("POST", path, `{"since":"2026-01-01T00:00:00Z"}`).wantFields("since")
	s.do("POST", path, map[string]any{"compromised": true, "since": s.now().Add(time.Hour)}).wantFields("since")
	s.do("POST", path, `{"compromised":"yes","since":1,"x":1}`).wantFields("compromised", "since", "x")
	s.do("POST", path, `{"compromised":false}`).want(200)
	check(true, true)
	s.do("POST", path, map[string]any{"compromised": true, "since": since}).want(200) // learnt afterwards
	check(true, false)
	list := s.revocations()
	if len(list) != 1 || list[0].Kind != "credential" || list[0].Value != id || list[0].Since == nil || !list[0].Since.Equal(since) || list[0].Before != nil || list[0].Until != nil {
		t.Errorf("revoked %+v", list)
	}
	s.do("POST", path, `{"compromised":true}`).want(200)
	check(false, false)
	s.do("POST", path, nil).want(200)
	check(false, false)
}

func TestKeys_PlanAndRevoke(t *testing.T) {
	s, secret := withTokens(t)
	compact := s.issue("acme", secret)
	var kid struct{ KID string }
	head, _, _ := strings.Cut(compact, ".")
	decodeSegment(t, head, &kid)

	var plan struct {
		Steps []struct {
			At        time.Time
			Algorithm string
			KID       string
			State     string
		}
	}
	s.do("POST", "/admin/v1/keys/rotate", nil).want(200)
	s.do("GET", "/admin/v1/keys/plan", nil).want(200).decode(&plan)
	if len(plan.Steps) == 0 || plan.Steps[0].At.IsZero() || plan.Steps[0].KID == "" {
		t.Errorf("plan %+v", plan)
	}

	s.do("POST", "/admin/v1/keys/nothing/revoke", nil).wantDetail(404, noKey)
	s.do("POST", "/admin/v1/keys/"+kid.KID+"/revoke", `{}`).wantFields("body")
	a := s.do("POST", "/admin/v1/keys/"+kid.KID+"/revoke", nil, header{"X-Marque-Reason": "stolen"}).want(200)
	got := a.object()
	if got["kid"] != kid.KID || got["was"] != "active" || got["successor"] == nil || got["sign_from"] == nil || got["jwks_max_age"] != 2.0 {
		t.Errorf("revoked: %v", got)
	}
	s.wantLine(a, "INFO", "POST /admin/v1/keys/{kid}/revoke", kid.KID)
	if e := s.lastEntry("key.revoke"); e.Target != kid.KID || e.Reason != "stolen" {
		t.Errorf("audit: %+v", e)
	}
	if again := s.do("POST", "/admin/v1/keys/"+kid.KID+"/revoke", nil).want(200); string(again.Body) != string(a.Body) {
		t.Errorf("again: %s, first %s", again.Body, a.Body)
	}
	for _, k := range s.do("GET", "/admin/v1/keys", nil).want(200).object()["keys"].([]any) {
		k := k.(map[string]any)
		if (k["kid"] == kid.KID) != (k["state"] == "revoked") {
			t.Errorf("listed: %v", k)
		}
	}
	s.do("POST", "/admin/v1/tokens/revoke", map[string]any{"token": compact}).want(404) // nothing is left to revoke
}

// A caller who has no business there is not told what there is.
func TestMethods_AreNotOverridden(t *testing.T) {
	s := startWithClient(t)
	for _, h := range []header{{"X-HTTP-Method-Override": "DELETE"}, {"X-HTTP-Method": "DELETE"}, {"X-Method-Override": "DELETE"}} {
		h["If-Match"] = "*"
		s.do("GET", "/admin/v1/clients/acme", nil, h).want(200)
		s.do("POST", "/admin/v1/clients/acme", nil, h).want(405)
	}
	s.do("GET", "/admin/v1/clients/acme", nil).want(http.StatusOK)
}

func decodeSegment(t *testing.T, segment string, v any) {
	t.Helper()
	raw, err := segmentEncoding.DecodeString(segment)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatal(err)
	}
}

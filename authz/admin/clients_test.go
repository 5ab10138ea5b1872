package admin

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
)

func clientBody(id string) map[string]any {
	return map[string]any{
		"client_id": id, "client_name": "Acme", "scope": "orders:read orders:write", "default_scope": "orders:read",
		"resources": []string{fulfilment}, "default_resource": fulfilment, "serves": []string{fulfilment}, "token_lifetime": 300,
		"claims": map[string]any{"https://claims.example/tier": "gold"},
	}
}

func TestCreateClient_ShowsTheSecretOnce(t *testing.T) {
	s := start(t)
	s.addResource(fulfilment)
	a := s.do("POST", "/admin/v1/clients", clientBody("acme")).want(201)
	made := a.object()
	secret, _ := made["client_secret"].(string)
	if !strings.HasPrefix(secret, "mrq_") || made["client_secret_expires_at"] != 0.0 {
		t.Fatalf("secret %q, expires %v", secret, made["client_secret_expires_at"])
	}
	if id, _ := made["credential_id"].(string); id == "" || !strings.Contains(secret, id) {
		t.Errorf("credential_id %q is not the secret's", id)
	}
	if got := a.Header.Get("Location"); got != "/admin/v1/clients/acme" {
		t.Errorf("Location = %q", got)
	}

	delete(made, "client_secret")
	delete(made, "client_secret_expires_at")
	for name, got := range map[string]map[string]any{
		"repeated": s.do("POST", "/admin/v1/clients", clientBody("acme")).want(200).object(),
		"read":     s.do("GET", "/admin/v1/clients/acme", nil).want(200).object(),
	} {
		if fmt.Sprint(got) != fmt.Sprint(made) {
			t.Errorf("%s: %v, want %v", name, got, made)
		}
	}
	for name, want := range clientBody("acme") {
		if fmt.Sprint(made[name]) != fmt.Sprint(want) {
			t.Errorf("%s = %v, want %v", name, made[name], want)
		}
	}
}

// What was secret in the answer to a creation is in no later answer, and neither is its digest.
func TestSecret_IsInNoOtherAnswer(t *testing.T) {
	s := start(t)
	s.addResource(fulfilment)
	first := s.do("POST", "/admin/v1/clients", clientBody("acme")).want(201).object()["client_secret"].(string)
	second := s.do("POST", "/admin/v1/clients/acme/secrets", nil).want(201).object()["client_secret"].(string)
	stored, err := s.store.Client(t.Context(), "acme")
	if err != nil || len(stored.Credentials) != 2 {
		t.Fatalf("%v, %v", stored, err)
	}
	for _, a := range []answer{
		s.do("GET", "/admin/v1/clients", nil), s.do("GET", "/admin/v1/clients/acme", nil), s.do("GET", "/admin/v1/clients/acme/secrets", nil),
		s.do("POST", "/admin/v1/clients", clientBody("acme")), s.do("POST", "/admin/v1/clients/acme/disable", nil),
		s.do("POST", "/admin/v1/clients/acme/enable", nil),
		s.do("POST", "/admin/v1/clients/acme/secrets/"+string(stored.Credentials[1].ID)+"/revoke", nil),
	} {
		body := string(a.want(200).Body)
		if strings.Contains(body, first) || strings.Contains(body, second) || strings.Contains(body, `client_secret"`) || strings.Contains(strings.ToLower(body), "digest") {
			t.Errorf("an answer holds a secret: %s", body)
		}
	}
	if log := s.log.String(); strings.Contains(log, "mrq_") {
		t.Errorf("the log holds a secret: %s", log)
	}
}

func TestCreateClient_Different(t *testing.T) {
	s := start(t)
	s.addResource(fulfilment)
	s.do("POST", "/admin/v1/clients", clientBody("acme")).want(201)
	for name, value := range map[string]any{
		"client_name": "Other", "scope": "orders:read", "default_scope": "orders:write", "token_lifetime": 301,
		"serves": []string{}, "claims": map[string]any{"https://claims.example/tier": "silver"},
	} {
		body := clientBody("acme")
		body[name] = value
		s.do("POST", "/admin/v1/clients", body).want(409)
	}
}

func TestCreateClient_IdempotencyKey(t *testing.T) {
	s := start(t)
	s.addResource(fulfilment)
	body := clientBody("")
	delete(body, "client_id")
	key := header{"Idempotency-Key": "5f2b6a52-0d0e-4a3c-9d57-0b6f3c8b7a11"}

	first := s.do("POST", "/admin/v1/clients", body, key).want(201).object()
	again := s.do("POST", "/admin/v1/clients", body, key).want(200).object()
	if first["client_id"] != again["client_id"] || again["client_secret"] != nil {
		t.Errorf("repeated: %v, want client %v without secret", again, first["client_id"])
	}
	other := s.do("POST", "/admin/v1/clients", body, header{"Idempotency-Key": "another-key-of-16"}).want(201).object()
	none := s.do("POST", "/admin/v1/clients", body).want(201).object()
	if other["client_id"] == first["client_id"] || none["client_id"] == first["client_id"] || none["client_id"] == other["client_id"] {
		t.Error("two acts of creation made one client")
	}
	body["client_name"] = "Other"
	s.do("POST", "/admin/v1/clients", body, key).want(409)
	for _, bad := range []string{"short", strings.Repeat("x", 256), "with space in the middle"} {
		s.do("POST", "/admin/v1/clients", body, header{"Idempotency-Key": bad}).wantFields("Idempotency-Key")
	}
}

// Two admins, or one impatient one: whoever loses gets the same client, and there is one secret.
func TestCreateClient_Race(t *testing.T) {
	s := start(t)
	s.addResource(fulfilment)
	anonymous := clientBody("")
	delete(anonymous, "client_id")
	for name, body := range map[string]map[string]any{"chosen id": clientBody("acme"), "server-made id": anonymous} {
		t.Run(name, func(t *testing.T) {
			const callers = 8
			answers := make([]answer, callers)
			var wg sync.WaitGroup
			for i := range callers {
				wg.Go(func() {
					answers[i] = s.do("POST", "/admin/v1/clients", body, header{"Idempotency-Key": "one-act-of-creation"})
				})
			}
			wg.Wait()
			ids, secrets := map[any]bool{}, 0
			for _, a := range answers {
				got := a.object()
				ids[got["client_id"]] = true
				if got["client_secret"] != nil {
					secrets++
				}
				if want := map[bool]int{true: 201, false: 200}[got["client_secret"] != nil]; a.Status != want {
					t.Errorf("status = %d, want %d: %s", a.Status, want, a.Body)
				}
			}
			if len(ids) != 1 || secrets != 1 {
				t.Errorf("%d clients, %d secrets, want one of each", len(ids), secrets)
			}
		})
	}
}

func TestCreateClient_RaceOfDifferentOnes(t *testing.T) {
	s := start(t)
	s.addResource(fulfilment)
	statuses := make([]int, 6)
	var wg sync.WaitGroup
	for i := range statuses {
		wg.Go(func() {
			body := clientBody("acme")
			body["client_name"] = fmt.Sprint("Acme ", i)
			statuses[i] = s.do("POST", "/admin/v1/clients", body).Status
		})
	}
	wg.Wait()
	count := map[int]int{}
	for _, status := range statuses {
		count[status]++
	}
	if count[201] != 1 || count[409] != len(statuses)-1 {
		t.Errorf("statuses = %v, want one 201 and 409 else", statuses)
	}
}

func TestDisableClient(t *testing.T) {
	s := start(t)
	s.addResource(fulfilment)
	s.do("POST", "/admin/v1/clients", clientBody("acme")).want(201)
	for _, step := range []struct {
		verb     string
		disabled bool
	}{{"enable", false}, {"disable", true}, {"disable", true}, {"enable", false}} {
		got := s.do("POST", "/admin/v1/clients/acme/"+step.verb, nil).want(200).object()["disabled"]
		read := s.do("GET", "/admin/v1/clients/acme", nil).want(200).object()["disabled"]
		if got != step.disabled || read != step.disabled {
			t.Errorf("after %s: answered %v, read %v", step.verb, got, read)
		}
	}
	var actions []string
	for _, e := range s.entries() {
		if strings.HasSuffix(e.Action, "able") {
			actions = append(actions, e.Action)
		}
	}
	if fmt.Sprint(actions) != "[client.disable client.enable]" {
		t.Errorf("recorded %v: what changes nothing is not recorded", actions)
	}
}

func TestClient_NotFound(t *testing.T) {
	s := start(t)
	for _, path := range []string{"/admin/v1/clients/x", "/admin/v1/clients/x/secrets", "/admin/v1/clients/%00", "/admin/v1/clients/" + strings.Repeat("x", 4000)} {
		s.do("GET", path, nil).wantDetail(404, "there is no such client; identifiers compare as strings")
	}
	for _, path := range []string{"/admin/v1/clients/x/disable", "/admin/v1/clients/x/enable", "/admin/v1/clients/x/secrets", "/admin/v1/clients/x/secrets/y/revoke"} {
		s.do("POST", path, nil).want(404)
	}
}

func TestListClients_Pages(t *testing.T) {
	s := start(t)
	for _, id := range []string{"b", "a", "c", "B"} {
		s.do("POST", "/admin/v1/clients", map[string]any{"client_name": "N", "client_id": id}).want(201)
	}
	var got []string
	for cursor := ""; ; {
		path := "/admin/v1/clients?limit=2"
		if cursor != "" {
			path += "&cursor=" + url.QueryEscape(cursor)
		}
		var page struct {
			Clients []struct {
				ClientID string `json:"client_id"`
			}
			Next string
		}
		s.do("GET", path, nil).want(200).decode(&page)
		for _, c := range page.Clients {
			got = append(got, c.ClientID)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if fmt.Sprint(got) != "[B a b c]" {
		t.Errorf("got %v, want bytewise order", got)
	}
}

func TestCreateClient_NamesEveryWrongField(t *testing.T) {
	s := start(t)
	s.do("POST", "/admin/v1/clients", map[string]any{
		"client_id": "user:x", "client_name": "\n", "scope": "a  b", "default_scope": "c", "resources": []string{"https://unknown.example"},
		"default_resource": "https://other.example", "serves": []string{"https://unknown.example"}, "token_lifetime": 4000,
		"claims": map[string]any{"sub": "someone"},
	}).wantFields("client_id", "client_name", "scope", "default_scope", "resources", "default_resource", "serves", "token_lifetime", "claims")
	for _, bad := range []string{"user:x", "a/b", "ä", strings.Repeat("x", 65)} {
		s.do("POST", "/admin/v1/clients", map[string]any{"client_id": bad, "client_name": "N"}).wantFields("client_id")
	}
	var list struct{ Clients []any }
	if s.do("GET", "/admin/v1/clients", nil).decode(&list); len(list.Clients) != 0 {
		t.Errorf("a refused creation made %v", list.Clients)
	}
}

// A path cannot name them: every HTTP client resolves them away.
func TestCreateClient_DotsAreNoIdentifier(t *testing.T) {
	s := start(t)
	for _, bad := range []string{".", ".."} {
		s.do("POST", "/admin/v1/clients", map[string]any{"client_id": bad, "client_name": "N"}).wantFields("client_id")
	}
	s.do("POST", "/admin/v1/clients", map[string]any{"client_id": "...", "client_name": "N"}).want(201)
	s.do("GET", "/admin/v1/clients/...", nil).want(200)
}

// Whose secret it is, by what a leak shows; and a secret that is sent all the same is kept nowhere.
func TestListClients_WhoseSecretItIs(t *testing.T) {
	s := startWithBoth(t)
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
		Cred   string `json:"credential_id"`
	}
	s.do("POST", "/admin/v1/clients", clientBody("leaky")).want(201).decode(&made)
	for _, text := range []string{made.Cred, made.Secret, made.Secret[:25], made.Secret + "%0a"} {
		a := s.do("GET", "/admin/v1/clients?limit=1&query="+text, nil).want(200)
		if got := fmt.Sprint(a.object()["clients"]); strings.Count(got, "client_id:") != 1 || !strings.Contains(got, "client_id:leaky") {
			t.Errorf("%s: %s", text, got)
		}
	}
	s.do("GET", "/admin/v1/clients?query="+made.Secret+"&query="+made.Secret, nil).wantFields("query")
	s.do("GET", "/admin/v1/clients?"+made.Secret+"=1", nil).want(400)
	s.do("GET", "/admin/v1/audit?target="+made.Secret, nil).want(200)
	_, random, _ := strings.Cut(made.Secret, made.Cred+"_")
	for what, text := range map[string]string{"log": s.log.String(), "audit": fmt.Sprint(s.entries())} {
		if strings.Contains(text, random[:12]) || strings.Contains(text, "mrq_") {
			t.Errorf("the %s has the secret:\n%s", what, text)
		}
	}
}

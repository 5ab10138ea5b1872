package admin

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

type secretBody struct {
	ClientID     string `json:"client_id"`
	CredentialID string `json:"credential_id"`
	ClientSecret string `json:"client_secret"`
	Expires      int64  `json:"client_secret_expires_at"`
	NotBefore    *time.Time
	CreatedAt    time.Time `json:"created_at"`
	Revoked      bool
	RevokedAt    *time.Time `json:"revoked_at"`
}

func (s *server) secrets(client string) (list []secretBody) {
	s.t.Helper()
	var body struct{ Secrets []secretBody }
	s.do("GET", "/admin/v1/clients/"+client+"/secrets", nil).want(200).decode(&body)
	return body.Secrets
}

func startWithClient(t *testing.T) *server {
	t.Helper()
	s := start(t)
	s.do("POST", "/admin/v1/clients", map[string]any{"client_id": "acme", "client_name": "Acme"}).want(201)
	return s
}

func TestAddSecret(t *testing.T) {
	s := startWithClient(t)
	for _, body := range []any{nil, "{}"} {
		var made secretBody
		s.do("POST", "/admin/v1/clients/acme/secrets", body).want(201).decode(&made)
		if made.ClientID != "acme" || made.ClientSecret == "" || made.Expires != 0 || made.NotBefore != nil || made.Revoked {
			t.Errorf("made %+v", made)
		}
	}
	var made secretBody
	expires := time.Now().Add(time.Hour).Unix()
	s.do("POST", "/admin/v1/clients/acme/secrets", map[string]any{"not_before": "2020-01-02T03:04:05+01:00", "client_secret_expires_at": expires}).want(201).decode(&made)
	list := s.secrets("acme")
	last := list[len(list)-1]
	if len(list) != 4 || last.CredentialID != made.CredentialID || last.Expires != expires || last.ClientSecret != "" {
		t.Errorf("listed %+v, want %+v last", list, made)
	}
	// Several live secrets: none of them is "the" secret.
	if got := s.do("GET", "/admin/v1/clients/acme", nil).object()["credential_id"]; got != nil {
		t.Errorf("credential_id = %v with four secrets", got)
	}
}

func TestAddSecret_IdempotencyKey(t *testing.T) {
	s := startWithClient(t)
	key := header{"Idempotency-Key": "one-act-of-creation"}
	expires := time.Now().Add(time.Hour).Unix()
	body := map[string]any{"client_secret_expires_at": expires}
	var first, again secretBody
	s.do("POST", "/admin/v1/clients/acme/secrets", body, key).want(201).decode(&first)
	s.do("POST", "/admin/v1/clients/acme/secrets", body, key).want(200).decode(&again)
	if again.CredentialID != first.CredentialID || again.ClientSecret != "" || again.Expires != expires {
		t.Errorf("repeated: %+v, want %+v without the secret", again, first)
	}
	s.do("POST", "/admin/v1/clients/acme/secrets", map[string]any{}, key).want(409)
	s.do("POST", "/admin/v1/clients/acme/secrets", nil, header{"Idempotency-Key": "short"}).wantFields("Idempotency-Key")
	if n := len(s.secrets("acme")); n != 2 {
		t.Errorf("%d secrets, want 2", n)
	}
}

func TestAddSecret_Race(t *testing.T) {
	s := startWithClient(t)
	var mu sync.Mutex
	shown, ids := 0, map[string]bool{}
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			a := s.do("POST", "/admin/v1/clients/acme/secrets", nil, header{"Idempotency-Key": "one-act-of-creation"})
			var got secretBody
			a.decode(&got)
			mu.Lock()
			defer mu.Unlock()
			ids[got.CredentialID] = true
			if got.ClientSecret != "" {
				shown++
			}
		})
	}
	wg.Wait()
	if shown != 1 || len(ids) != 1 || len(s.secrets("acme")) != 2 {
		t.Errorf("%d secrets shown, %d made, want one of each", shown, len(ids))
	}
}

func TestAddSecret_WrongFields(t *testing.T) {
	s := startWithClient(t)
	past := time.Now().Add(-time.Hour).Unix()
	for _, expires := range []int64{past, -1, 253402300800, time.Now().UnixMilli(), 1<<63 - 1, -1 << 63, time.Time{}.Unix()} {
		s.do("POST", "/admin/v1/clients/acme/secrets", map[string]any{"client_secret_expires_at": expires}).wantFields("client_secret_expires_at")
	}
	s.do("POST", "/admin/v1/clients/acme/secrets", map[string]any{"not_before": "2030-01-01T00:00:00Z", "client_secret_expires_at": time.Now().Add(time.Hour).Unix()}).
		wantFields("client_secret_expires_at")
	for _, at := range []any{"2030-01-01", "tomorrow", "", 5, "2030-01-01T00:00:00", "2030-01-01T25:00:00Z"} {
		s.do("POST", "/admin/v1/clients/acme/secrets", map[string]any{"not_before": at}).wantFields("not_before")
	}
}

func TestAddSecret_TooMany(t *testing.T) {
	s := startWithClient(t)
	for range 15 {
		s.do("POST", "/admin/v1/clients/acme/secrets", nil).want(201)
	}
	if r := s.do("POST", "/admin/v1/clients/acme/secrets", nil).want(409); !strings.Contains(string(r.Body), "revoke one first") {
		t.Errorf("answered %s", r.Body)
	}
}

func TestRevokeSecret(t *testing.T) {
	s := startWithClient(t)
	id := s.secrets("acme")[0].CredentialID
	path := "/admin/v1/clients/acme/secrets/" + id + "/revoke"
	var first, again secretBody
	s.do("POST", path, nil).want(200).decode(&first)
	s.do("POST", path, nil).want(200).decode(&again)
	if !first.Revoked || first.RevokedAt == nil || fmt.Sprint(*first.RevokedAt) != fmt.Sprint(*again.RevokedAt) {
		t.Errorf("revoked %+v, again %+v", first, again)
	}
	if list := s.secrets("acme"); len(list) != 1 || !list[0].Revoked {
		t.Errorf("listed %+v", list)
	}
	if got := s.do("GET", "/admin/v1/clients/acme", nil).object()["credential_id"]; got != nil {
		t.Errorf("credential_id = %v although it is revoked", got)
	}
	s.do("POST", "/admin/v1/clients/acme/secrets/unknown/revoke", nil).wantDetail(404, "there is no such client, or it has no such secret")
	s.do("POST", "/admin/v1/clients", map[string]any{"client_id": "other", "client_name": "Other"}).want(201)
	s.do("POST", "/admin/v1/clients/other/secrets/"+id+"/revoke", nil).want(404) // somebody else's
}

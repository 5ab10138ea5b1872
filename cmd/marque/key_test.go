package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/keys/jose"
)

func TestPlanTable(t *testing.T) {
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	var b strings.Builder
	planTable(&b, []client.KeyStep{
		{At: now.Add(-49 * time.Hour), Algorithm: "ES256", State: client.KeyStateNext, Overdue: true},
		{At: now.Add(90 * time.Second), Algorithm: "ES256", KID: new("a"), State: client.KeyStateRetiring},
		{At: now.Add(5*time.Hour + time.Second), Algorithm: "ES256", KID: new("b"), State: client.KeyStateActive, Scheduled: true},
		{At: now.Add(71 * time.Hour), Algorithm: "RS256", KID: new("c"), State: client.KeyStateActive, Scheduled: true},
	}, now)
	want := `AT                                           ALGORITHM  KID               BECOMES   BY
overdue since 2026-12-29T23:00:00Z (2 days)  ES256      (yet to be made)  next      -
2027-01-01T00:01:30Z (in 1m30s)              ES256      a                 retiring  stamp
2027-01-01T05:00:01Z (in 5h)                 ES256      b                 active    schedule
2027-01-03T23:00:00Z (in 2 days)             RS256      c                 active    schedule
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

// A key that is typed in place of its file's name is not repeated; a name is.
func TestKeyFile(t *testing.T) {
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := jose.MarshalPrivateJWK(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{
		string(jwk), "-----BEGIN PRIVATE KEY-----", "x\ny", strings.Repeat("MIGHAgEA/", 20), strings.Repeat("a1", 21), "./" + strings.Repeat("a1", 21),
	} {
		if got := keyFile(secret); strings.Contains(got, secret) || !strings.Contains(got, "may be the key") {
			t.Errorf("%.20q is shown as %.40q", secret, got)
		}
	}
	for name, want := range map[string]string{
		"-": "stdin", "key.pem": "key.pem", "/very/long/path/of/somebody/who/likes/folders/and/gives/them/names/signing.pem": "/very/long/path/of/somebody/who/likes/folders/and/gives/them/names/signing.pem",
		"a\x1bb": "a\ufffdb",
	} {
		if got := keyFile(name); got != want {
			t.Errorf("%q is shown as %q", name, got)
		}
	}
}

func TestRedactedText_PrivateKeys(t *testing.T) {
	const pem = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIA\n-----END EC PRIVATE KEY-----"
	for in, want := range map[string]string{
		"open " + pem + ": no": "open [redacted]: no", "open " + pem[:40]: "open [redacted]", "-----BEGIN PUBLIC KEY-----": "-----BEGIN PUBLIC KEY-----",
	} {
		if got := redactedText(in); got != want {
			t.Errorf("%q became %q", in, got)
		}
	}
}

func TestExported(t *testing.T) {
	all := []client.Key{
		{KID: "a", Jwk: &client.PublicJWK{KID: "a"}}, {KID: "b", State: client.KeyStateRevoked}, {KID: "c", Jwk: &client.PublicJWK{KID: "c"}},
	}
	if got, err := exported(all, nil); err != nil || len(got) != 2 {
		t.Errorf("all: %v, %v", got, err)
	}
	if got, err := exported(all, []string{"c"}); err != nil || len(got) != 1 || got[0].KID != "c" {
		t.Errorf("one: %v, %v", got, err)
	}
	for kid, says := range map[string]string{"b": "published no more", "d": "see marque key list"} {
		if got, err := exported(all, []string{kid}); err == nil || got != nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, %v", kid, got, err)
		}
	}
	if got, err := exported(nil, nil); err != nil || jwks(got) == nil {
		t.Errorf("none: %v, %v; an empty set is written []", got, err)
	}
}

// doer answers with one status after another, and notes what it was sent.
type doer struct {
	statuses []int
	sent     []string
}

func (d *doer) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	d.sent = append(d.sent, r.Header.Get("Authorization")+" "+string(body))
	status := d.statuses[0]
	d.statuses = d.statuses[1:]
	if status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {"0"}}, Body: http.NoBody}, nil
}

// What an admin does can void the token by which it was asked. If the answer was lost, the repeat gets another
// token; a token that was never good is not tried twice.
func TestBearer_VoidedByWhatItDid(t *testing.T) {
	for name, c := range map[string]struct {
		statuses []int
		sent     string
		status   int
	}{
		"lost":       {[]int{0, 401, 200}, "Bearer t1 b|Bearer t1 b|Bearer t2 b", 200},
		"in part":    {[]int{503, 401, 200}, "Bearer t1 b|Bearer t1 b|Bearer t2 b", 200},
		"never good": {[]int{401}, "Bearer t1 b", 401},
		"no more":    {[]int{503, 401, 401}, "Bearer t1 b|Bearer t1 b|Bearer t2 b", 401},
	} {
		d, fetched := &doer{statuses: c.statuses}, 0
		api := &repeating{&bearer{next: d, fetch: func(context.Context) (string, error) {
			fetched++
			return fmt.Sprint("t", fetched), nil
		}}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://as.example", strings.NewReader("b"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := api.Do(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		resp.Body.Close()
		if got := strings.Join(d.sent, "|"); got != c.sent || resp.StatusCode != c.status {
			t.Errorf("%s: %d after %s", name, resp.StatusCode, got)
		}
	}
}

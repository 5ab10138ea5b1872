package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
)

// spoil changes one octet wherever the file has that text, in place, as a failing disk would under a
// server that runs.
func spoil(t *testing.T, file, text string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for at := 0; ; at++ {
		i := bytes.Index(all[at:], []byte(text))
		if i < 0 {
			break
		}
		at += i
		found = true
		if _, err := f.WriteAt([]byte{all[at] ^ 1}, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	if !found {
		t.Fatalf("the store does not hold %q", text)
	}
}

// What belongs to the client of which a record gets damaged. Everybody else is the sample client.
const (
	harmedClient   = "harmed"
	harmedResource = "https://harmed.example"
)

// harmed is a server that knows such a client.
type harmed struct {
	*testing.T
	*server
	secret string
}

func newHarmed(t *testing.T, s *server) harmed {
	t.Helper()
	_, _, err := s.registry.CreateResource(t.Context(), byTest, authz.ResourceSpec{ID: harmedResource, Scopes: []string{"h:read h:spare"}})
	if err != nil {
		t.Fatal(err)
	}
	_, secret, _, err := s.registry.CreateClient(t.Context(), byTest, authz.ClientSpec{
		ID: harmedClient, Name: "Harmed Records", Scopes: []string{"h:read"}, DefaultScopes: []string{"h:read"}, Resources: []string{harmedResource},
	})
	if err != nil {
		t.Fatal(err)
	}
	return harmed{t, s, secret.Reveal()}
}

// ask posts for the client that is harmed. It returns the token, if that is what there is.
func (h harmed) ask(path, compact string) (status int, got string) {
	h.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {harmedClient}, "client_secret": {h.secret}}
	if compact != "" {
		form.Del("grant_type")
		form.Set("token", compact)
	}
	status, body := post(h.T, "http://"+h.Address()+path, form)
	var answer issued
	if err := json.Unmarshal([]byte(body), &answer); body != "" && err != nil {
		h.Fatalf("%s: %d, %s: %v", path, status, body, err)
	}
	return status, answer.AccessToken
}

// servesOthers checks that whoever has nothing to do with the damage notices nothing of it.
func (h harmed) servesOthers() {
	h.Helper()
	wantActive(h.T, h.server, getSample(h.T, h.server), true)
	if got := status(h.T, http.DefaultClient, "http://"+h.Address()+"/readyz"); got != http.StatusOK {
		h.Errorf("/readyz: %d", got)
	}
}

// TestADamagedRecord says of each kind of record who notices that it is damaged: while the server runs, and
// when it starts. README.md promises the same.
func TestADamagedRecord(t *testing.T) {
	const unavailable = http.StatusServiceUnavailable
	for name, tt := range map[string]struct {
		text       func(harmed) string // in the record, and nowhere else that matters
		issue      int                 // the harmed client's next token, once its records are read anew
		introspect int                 // its earlier token
		change     func(harmed) error  // what an admin cannot do meanwhile
		timeline   bool                // whether all that is due for signing keys can be done
		starts     bool
		counted    map[string]float64 // as damage, by route
	}{
		"client": {
			text:  func(harmed) string { return "Harmed Records" },
			issue: unavailable, introspect: unavailable,
			change: func(h harmed) error {
				_, err := h.registry.SetClientDisabled(h.Context(), byTest, harmedClient, true)
				return err
			},
			timeline: true, starts: true,
			counted: map[string]float64{"token": 1, "introspect": 1},
		},
		"resource": {
			text:  func(harmed) string { return "h:spare" },
			issue: unavailable, introspect: http.StatusOK,
			change: func(h harmed) error {
				_, err := h.registry.UpdateResource(h.Context(), byTest, harmedResource, authz.Match{}, authz.ResourceSpec{}, false)
				return err
			},
			counted: map[string]float64{"token": 1},
		},
		"revocation": {
			text:  func(harmed) string { return `"reason":"` + byTest.Reason + `","created_at"` },
			issue: http.StatusOK, introspect: unavailable,
			change: func(h harmed) error {
				_, err := h.registry.Revoke(h.Context(), byTest, authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedClient, Value: harmedClient}})
				return err
			},
			timeline: true,
			counted:  map[string]float64{"introspect": 1},
		},
		"ring": {
			text:  func(h harmed) string { return `"` + activeKey(h.T, h.server) + `"` },
			issue: http.StatusOK, introspect: http.StatusOK,
			change: func(h harmed) error {
				_, err := h.ring.Rotate(h.Context(), jose.ES256, byTest)
				return err
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := devConfig(t)
			c.Issuer = "http://127.0.0.1:1"
			defer http.DefaultClient.CloseIdleConnections()
			h := newHarmed(t, startTest(t, c, options{}))
			if _, err := h.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedClient, Value: harmedClient}}); err != nil {
				t.Fatal(err)
			}
			_, compact := h.ask("/oauth2/token", "")

			spoil(t, filepath.Join(c.Data, databaseName), tt.text(h))
			if got, _ := h.ask("/oauth2/token", ""); got != http.StatusOK {
				t.Errorf("what is in memory no longer serves: %d", got)
			}
			h.tokens.AllChanged()
			if got, _ := h.ask("/oauth2/token", ""); got != tt.issue {
				t.Errorf("issuing: %d, want %d", got, tt.issue)
			}
			if got, _ := h.ask("/oauth2/introspect", compact); got != tt.introspect {
				t.Errorf("introspection: %d, want %d", got, tt.introspect)
			}
			if err := tt.change(h); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("the change: got %v, want ErrDamaged", err)
			}
			if err := h.ring.Step(t.Context(), h.now()); (err == nil) != tt.timeline || err != nil && !errors.Is(err, store.ErrDamaged) {
				t.Errorf("the timeline: %v", err)
			}
			h.servesOthers()
			for _, route := range routeLabels {
				damaged := testutil.ToFloat64(h.metrics.refusals.WithLabelValues(route, string(authz.CauseRecordDamaged)))
				outage := testutil.ToFloat64(h.metrics.refusals.WithLabelValues(route, string(authz.CauseStoreUnavailable)))
				if damaged != tt.counted[route] || outage != 0 {
					t.Errorf("route %s: %v answers were counted as damage, want %v; %v as an outage", route, damaged, tt.counted[route], outage)
				}
			}

			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			s, err := start(t.Context(), c, options{})
			if (err == nil) != tt.starts {
				t.Fatalf("start: %v", err)
			}
			if err != nil {
				if text := err.Error(); !errors.Is(err, store.ErrDamaged) || !strings.Contains(text, name+` "`) ||
					!strings.Contains(text, "run: marque doctor --data "+shellQuote(c.Data)) || !strings.Contains(text, "restore the database from a backup") {
					t.Errorf("start: %v", err)
				}
				return
			}
			defer s.Close()
			h.server = s
			h.servesOthers()
			if got, _ := h.ask("/oauth2/token", ""); got != tt.issue {
				t.Errorf("after the start, issuing: %d, want %d", got, tt.issue)
			}
		})
	}
}

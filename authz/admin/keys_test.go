package admin

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

type keyBody struct {
	Algorithm, KID, State string
	Imported              *bool
	JWK                   map[string]string
	CreatedAt             time.Time `json:"created_at"`
	PublishedAt           time.Time `json:"published_at"`
	SignFrom              time.Time `json:"sign_from"`
}

func (s *server) keys() (list []keyBody) {
	s.t.Helper()
	var body struct{ Keys []keyBody }
	s.do("GET", "/admin/v1/keys", nil).want(200).decode(&body)
	return body.Keys
}

func TestListKeys(t *testing.T) {
	s := start(t)
	states := map[string]int{}
	for _, k := range s.keys() {
		if k.Algorithm != "ES256" || k.KID == "" || k.CreatedAt.IsZero() || k.PublishedAt.IsZero() {
			t.Errorf("listed %+v", k)
		}
		states[k.State]++
		if k.Imported != nil || k.JWK["kid"] != k.KID || k.JWK["alg"] != "ES256" || k.JWK["kty"] != "EC" || len(k.JWK) != 7 {
			t.Errorf("imported %v, public part %v", k.Imported, k.JWK)
		}
	}
	if states["active"] != 1 || states["next"] != 1 || len(states) != 2 {
		t.Errorf("states = %v, want one active and one next", states)
	}
}

func TestRotateKeys(t *testing.T) {
	s := start(t)
	s.do("POST", "/admin/v1/resources", map[string]any{"resource": fulfilment, "algorithm": "Ed25519"}).want(201)
	next := map[string]string{}
	for _, k := range s.keys() {
		if k.State == "next" {
			next[k.Algorithm] = k.KID
		}
	}
	rotate := func(body any) []keyBody {
		var got struct{ Keys []keyBody }
		s.do("POST", "/admin/v1/keys/rotate", body).want(200).decode(&got)
		return got.Keys
	}
	one := rotate(`{"algorithm":"EdDSA"}`)
	if len(one) != 1 || one[0].Algorithm != "Ed25519" || one[0].KID != next["Ed25519"] || one[0].SignFrom.IsZero() {
		t.Errorf("rotated %+v, want %v", one, next)
	}
	if all := rotate(nil); len(all) != 2 {
		t.Errorf("rotated %+v, want every ring", all)
	}
	if e := s.lastEntry("key.rotate"); e.Actor.Kind != "uid" {
		t.Errorf("entry %+v", e)
	}
}

func TestRotateKeys_WrongFields(t *testing.T) {
	s := start(t)
	for _, body := range []string{`{"algorithm":"none"}`, `{"algorithm":"es256"}`, `{"algorithm":""}`, `{"algorithm":null}`, `{"algorithm":["ES256"]}`} {
		s.do("POST", "/admin/v1/keys/rotate", body).wantFields("algorithm") // an empty one must not mean every ring
	}
	s.do("POST", "/admin/v1/keys/rotate", `{"algorithm":"RS256"}`).wantDetail(404, "no resource is signed with this algorithm") // nobody uses it
}

// The public part is what the JWKS shows, and only while it does.
func TestListKeys_PublicPart(t *testing.T) {
	s := start(t)
	var set struct{ Keys []map[string]string }
	jwks, err := s.ring.JWKS()
	s.must(err)
	s.must(json.Unmarshal(jwks.Body, &set))
	var shown []map[string]string
	for _, k := range s.keys() {
		shown = append(shown, k.JWK)
	}
	if len(set.Keys) != 2 || !reflect.DeepEqual(shown, set.Keys) {
		t.Errorf("listed %v, the JWKS has %v", shown, set.Keys)
	}
	gone := s.keys()[1].KID
	s.do("POST", "/admin/v1/keys/"+gone+"/revoke", nil).want(200)
	for _, k := range s.keys() {
		if (k.JWK == nil) != (k.KID == gone) {
			t.Errorf("%s, %s: public part %v", k.KID, k.State, k.JWK)
		}
	}
}

// planned is a ring with a plan of its own.
type planned struct {
	Keys
	steps []keys.PlannedStep
}

func (p planned) Plan() []keys.PlannedStep { return p.steps }

func TestPlanKeys(t *testing.T) {
	at := time.Unix(1_900_000_000, 0)
	s := start(t, func(c *Config) {
		c.Keys = planned{c.Keys, []keys.PlannedStep{
			{At: at, Algorithm: jose.ES256, State: keys.StateNext, Overdue: true},
			{At: at, Algorithm: jose.RS256, KeyID: "k", State: keys.StateActive, Scheduled: true},
			{At: at, Algorithm: jose.RS256, KeyID: "l", State: keys.StateRetiring},
		}}
	})
	want := `{"steps":[{"algorithm":"ES256","at":"2030-03-17T17:46:40Z","overdue":true,"scheduled":false,"state":"next"},` +
		`{"algorithm":"RS256","at":"2030-03-17T17:46:40Z","kid":"k","overdue":false,"scheduled":true,"state":"active"},` +
		`{"algorithm":"RS256","at":"2030-03-17T17:46:40Z","kid":"l","overdue":false,"scheduled":false,"state":"retiring"}]}`
	if got := strings.TrimSpace(string(s.do("GET", "/admin/v1/keys/plan", nil).want(200).Body)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

type revokedRing struct {
	Algorithm  string
	KIDs       []string
	Successor  string
	SignFrom   time.Time `json:"sign_from"`
	JWKSMaxAge int       `json:"jwks_max_age"`
}

func (s *server) revokeAll(key string) (list []revokedRing) {
	s.t.Helper()
	var body struct{ Keys []revokedRing }
	s.do("POST", "/admin/v1/keys/revoke-all", nil, header{"Idempotency-Key": key, "X-Marque-Reason": "the disk was stolen"}).want(200).decode(&body)
	return body.Keys
}

// ROT-07: every ring signs with a fresh key, and a repeat is a repeat.
func TestROT07_RevokeAllKeys(t *testing.T) {
	s := start(t)
	s.do("POST", "/admin/v1/resources", map[string]any{"resource": fulfilment, "algorithm": "Ed25519"}).want(201)
	before := map[string]bool{}
	for _, k := range s.keys() {
		before[k.KID] = true
	}
	first := s.revokeAll("the-disk-was-stolen")
	if len(first) != 2 || first[0].Algorithm != "ES256" || first[1].Algorithm != "Ed25519" {
		t.Fatalf("revoked %+v", first)
	}
	for _, r := range first {
		if len(r.KIDs) != 2 || !before[r.KIDs[0]] || !before[r.KIDs[1]] || r.Successor == "" || before[r.Successor] || r.SignFrom.IsZero() || r.JWKSMaxAge != 2 {
			t.Errorf("ring %+v", r)
		}
	}
	if e := s.lastEntry("key.revoke_all"); e.Reason != "the disk was stolen" || e.Actor.Kind != "uid" {
		t.Errorf("entry %+v", e)
	}
	if again := s.revokeAll("the-disk-was-stolen"); !reflect.DeepEqual(again, first) {
		t.Errorf("repeated %+v, first %+v", again, first)
	}
	if other := s.revokeAll("another-disk-was-stolen"); other[0].Successor == first[0].Successor || !slices.Contains(other[0].KIDs, first[0].Successor) {
		t.Errorf("another act: %+v, first %+v", other, first)
	}
}

func TestRevokeAllKeys_NeedsAName(t *testing.T) {
	s := start(t)
	before := len(s.entries())
	s.do("POST", "/admin/v1/keys/revoke-all", nil).wantFields("Idempotency-Key")
	for _, key := range []string{"", "short", strings.Repeat("k", 256), "with a space in it"} {
		s.do("POST", "/admin/v1/keys/revoke-all", nil, header{"Idempotency-Key": key}).wantFields("Idempotency-Key")
	}
	s.do("POST", "/admin/v1/keys/revoke-all", `{}`, header{"Idempotency-Key": "0123456789abcdef"}).wantFields("body")
	if n := len(s.entries()); n != before {
		t.Errorf("%d changes were recorded", n-before)
	}
}

// An Idempotency-Key counts for its actor: whoever knows another's cannot make an emergency look repeated.
func TestRevokeAllKeys_KeyOfAnother(t *testing.T) {
	mine := audit.Actor{Kind: audit.ActorClient, ID: "ops"}
	yours := audit.Actor{Kind: audit.ActorClient, ID: "op"}
	if actID(mine, "0123456789abcdef") == actID(yours, "0123456789abcdef") || actID(mine, "0123456789abcdef") == actID(yours, "s0123456789abcdef") {
		t.Error("two actors share an act")
	}
}

// halting does what it is asked, and then says that a part of it failed.
type halting struct {
	Keys
	fail *error
}

func (h halting) RevokeAll(ctx context.Context, id string, by audit.Origin) ([]keys.RevokedRing, error) {
	done, err := h.Keys.RevokeAll(ctx, id, by)
	return done[:1], errors.Join(err, *h.fail)
}

// Whatever keeps a ring from being done, the answer is to ask again, and the repeat reports all.
func TestROT07_RevokeAllKeys_InPart(t *testing.T) {
	away := errors.New("the store is away")
	for cause, status := range map[error]int{
		errors.New("disk on fire"): 500, keys.ErrNotFound: 500, keys.ErrTooManyKeys: 500, keys.ErrConflict: 503, away: 503,
	} {
		fail := cause
		s := start(t, func(c *Config) {
			c.Keys, c.Passes = halting{c.Keys, &fail}, func(err error) bool { return errors.Is(err, away) }
		})
		a := s.do("POST", "/admin/v1/keys/revoke-all", nil, header{"Idempotency-Key": "one-emergency-act"}).want(status)
		if (a.Header.Get("Retry-After") == "1") != (status == 503) || !strings.Contains(a.problem().Detail, "same Idempotency-Key") || strings.Contains(string(a.Body), "fire") {
			t.Errorf("%v: %s", cause, a.Body)
		}
		if log := s.log.String(); strings.Count(log, `"level":"ERROR"`) != 1 {
			t.Errorf("%v: log: %s", cause, log)
		}
		n := len(s.keys())
		fail = nil
		if rest := s.revokeAll("one-emergency-act"); len(rest) != 1 || len(rest[0].KIDs) != 2 || len(s.keys()) != n {
			t.Errorf("%v: repeated %+v", cause, rest)
		}
	}
}

func TestRewrapKeys(t *testing.T) {
	s := start(t)
	body := s.do("POST", "/admin/v1/keys/rewrap", nil).want(200).object()
	if body["keys"] != 2. || body["secrets"] != 2. || body["kek_id"] == "" || len(body["previous"].([]any)) != 0 {
		t.Errorf("rewrapped %v", body)
	}
}

// moved is a ring that had something to move.
type moved struct{ Keys }

func (moved) Rewrap(context.Context, audit.Origin) (keys.Rewrapped, error) {
	return keys.Rewrapped{KEKID: "new", Before: []string{"old", "older"}, Keys: 7, Secrets: 2}, nil
}

func TestRewrapKeys_Moved(t *testing.T) {
	s := start(t, func(c *Config) { c.Keys = moved{c.Keys} })
	if got := strings.TrimSpace(string(s.do("POST", "/admin/v1/keys/rewrap", nil).want(200).Body)); got != `{"kek_id":"new","keys":7,"previous":["old","older"],"secrets":2}` {
		t.Errorf("rewrapped %s", got)
	}
}

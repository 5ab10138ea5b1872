package admin

import (
	"testing"
	"time"
)

type keyBody struct {
	Algorithm, KID, State string
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

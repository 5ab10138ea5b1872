package admin

import (
	"fmt"
	"net/url"
	"testing"
)

const fulfilment = "https://fulfilment.example"

func resourceBody(id string) map[string]any {
	return map[string]any{"resource": id, "scopes": []string{"orders:read", "orders:write"}}
}

func (s *server) addResource(id string) {
	s.t.Helper()
	s.do("POST", "/admin/v1/resources", resourceBody(id)).want(201)
}

func TestCreateResource_Defaults(t *testing.T) {
	s := start(t)
	a := s.do("POST", "/admin/v1/resources", resourceBody(fulfilment)).want(201)
	got := a.object()
	for name, want := range map[string]any{
		"resource": fulfilment, "token_lifetime": 600.0, "algorithm": "ES256", "token_type": "at+jwt",
	} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
	if got := s.do("GET", a.Header.Get("Location"), nil).want(200); string(got.Body) != string(a.Body) {
		t.Errorf("at Location: %s, want %s", got.Body, a.Body)
	}
}

func TestCreateResource_AllMembers(t *testing.T) {
	s := start(t)
	body := map[string]any{"resource": "urn:example:api", "scopes": []string{"a", "b"}, "token_lifetime": 60, "algorithm": "EdDSA", "token_type": "JWT"}
	got := s.do("POST", "/admin/v1/resources", body).want(201).object()
	if got["token_lifetime"] != 60.0 || got["algorithm"] != "Ed25519" || got["token_type"] != "JWT" {
		t.Errorf("got %v", got)
	}
	// Its keys were made before it was acknowledged.
	var list struct {
		Keys []struct{ Algorithm, State string }
	}
	s.do("GET", "/admin/v1/keys", nil).want(200).decode(&list)
	for _, k := range list.Keys {
		if k.Algorithm == "Ed25519" && k.State == "active" {
			return
		}
	}
	t.Errorf("no active Ed25519 key in %v", list)
}

func TestCreateResource_Repeat(t *testing.T) {
	s := start(t)
	s.addResource(fulfilment)
	first := s.do("GET", "/admin/v1/resources/"+url.PathEscape(fulfilment), nil).want(200)
	again := s.do("POST", "/admin/v1/resources", resourceBody(fulfilment)).want(200)
	if string(again.Body) != string(first.Body) {
		t.Errorf("repeated: %s, want %s", again.Body, first.Body)
	}
	different := resourceBody(fulfilment)
	different["token_lifetime"] = 61
	s.do("POST", "/admin/v1/resources", different).wantDetail(409, "this resource is registered already, with other settings")
	if got := s.do("GET", "/admin/v1/resources/"+url.PathEscape(fulfilment), nil); string(got.Body) != string(first.Body) {
		t.Errorf("a refused creation changed the resource: %s", got.Body)
	}
}

// An identifier is one path segment, whatever is in it.
func TestGetResource_AnyIdentifier(t *testing.T) {
	s := start(t)
	for _, id := range []string{
		"https://a.example", "https://a.example/", "https://a.example/b..c", "https://a.example//b", "https://a.example/%2F",
		"https://a.example/?q=1&r=2", "https://a.example:8443/x;y=1", "urn:a:b", "urn:a:..", "https://a.example/clients/x/disable",
	} {
		s.do("POST", "/admin/v1/resources", map[string]any{"resource": id}).want(201)
		if got := s.do("GET", "/admin/v1/resources/"+url.PathEscape(id), nil).want(200).object()["resource"]; got != id {
			t.Errorf("read %v, want %s", got, id)
		}
	}
	s.do("GET", "/admin/v1/resources/"+url.PathEscape("https://A.example"), nil).want(404)
	s.do("GET", "/admin/v1/resources/https://a.example", nil).want(404) // not encoded
	s.do("GET", "/admin/v1/resources/%00", nil).want(404)
	s.do("GET", "/admin/v1/resources/%ff", nil).want(404)
}

func TestListResources_Pages(t *testing.T) {
	s := start(t)
	var want []string
	for i := range 7 {
		id := fmt.Sprintf("https://r%d.example", i)
		s.addResource(id)
		want = append(want, id)
	}
	for _, limit := range []int{1, 2, 3, 6, 7, 8, 1000} {
		var got []string
		path, pages := fmt.Sprintf("/admin/v1/resources?limit=%d", limit), 0
		for path != "" {
			var page struct {
				Resources []struct{ Resource string }
				Next      string
			}
			s.do("GET", path, nil).want(200).decode(&page)
			if pages++; len(page.Resources) > limit || len(page.Resources) == 0 {
				t.Fatalf("limit %d: a page has %d entries", limit, len(page.Resources))
			}
			for _, r := range page.Resources {
				got = append(got, r.Resource)
			}
			path = ""
			if page.Next != "" {
				path = fmt.Sprintf("/admin/v1/resources?limit=%d&cursor=%s", limit, url.QueryEscape(page.Next))
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || pages != (len(want)+limit-1)/limit {
			t.Errorf("limit %d: %v in %d pages", limit, got, pages)
		}
	}
}

func TestListResources_Empty(t *testing.T) {
	if got := string(start(t).do("GET", "/admin/v1/resources", nil).want(200).Body); got != `{"resources":[]}`+"\n" {
		t.Errorf("got %s", got)
	}
}

func TestCreateResource_NamesEveryWrongField(t *testing.T) {
	s := start(t)
	s.do("POST", "/admin/v1/resources", map[string]any{
		"resource": issuer + "/admin/v1", "scopes": []string{`a"b`}, "token_lifetime": 3601, "algorithm": "none", "token_type": "jwt",
	}).wantFields("resource", "scopes", "token_lifetime", "algorithm", "token_type")
	for _, seconds := range []string{"0", "-1", "3601", "36028797018964028", "9223372036854775807"} { // the fourth is 60 s, overflowed
		s.do("POST", "/admin/v1/resources", `{"resource":"https://a.example","token_lifetime":`+seconds+`}`).wantFields("token_lifetime")
	}
	if n := len(s.entries()); n != len(ringEntries(s)) {
		t.Errorf("a refused creation was recorded: %v", s.entries())
	}
}

// ringEntries are the entries that starting the key ring made.
func ringEntries(s *server) (n []string) {
	for _, e := range s.entries() {
		if e.Actor.Kind == "system" {
			n = append(n, e.Action)
		}
	}
	return n
}

package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/marque-auth/marque/authz/gate"
)

// Traefik and Envoy are not in Debian. Their samples are read here, and a gate is asked as their documentation, and
// their source, say that they ask: authz/gate/README.md has where.

// traefikAuth is a ForwardAuth middleware.
type traefikAuth struct {
	Address                  string
	TrustForwardHeader       bool     `yaml:"trustForwardHeader"`
	AuthRequestHeaders       []string `yaml:"authRequestHeaders"`
	AuthResponseHeadersRegex string   `yaml:"authResponseHeadersRegex"`
}

func readSample(t *testing.T, file string, into any) {
	t.Helper()
	b, err := os.ReadFile("../../configs/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "<<:") {
		t.Errorf("%s: Envoy's YAML has no merge keys", file)
	}
	if err := yaml.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// TestGate_TraefikSample: the requirement stands in the address, and what the caller sent under a name of ours is
// removed whatever the gate says.
func TestGate_TraefikSample(t *testing.T) {
	var sample struct {
		HTTP struct {
			Routers map[string]struct {
				Rule        string
				Middlewares []string
			}
			Middlewares map[string]struct {
				ForwardAuth traefikAuth `yaml:"forwardAuth"`
				Headers     struct {
					CustomRequestHeaders map[string]string `yaml:"customRequestHeaders"`
				}
			}
		}
	}
	readSample(t, "traefik/dynamic.yaml", &sample)
	s := startTest(t, devConfig(t), options{})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	g := startGateTest(t, gateConfig(s, newAPI(t, s, "gate")))
	compact := getSample(t, s)
	if len(sample.HTTP.Routers) != 2 || len(sample.HTTP.Middlewares) != 3 {
		t.Fatalf("%+v", sample)
	}
	for name, router := range sample.HTTP.Routers {
		if len(router.Middlewares) != 2 {
			t.Fatalf("%s: %v", name, router.Middlewares)
		}
		if value, ok := sample.HTTP.Middlewares[router.Middlewares[0]].Headers.CustomRequestHeaders["Upgrade"]; !ok || value != "" {
			t.Errorf("%s: Upgrade stays", name)
		}
		auth := sample.HTTP.Middlewares[router.Middlewares[1]].ForwardAuth
		path, ok := strings.CutPrefix(auth.Address, "http://127.0.0.1:9180")
		if !ok || auth.TrustForwardHeader || !slices.Equal(auth.AuthRequestHeaders, []string{"Authorization"}) {
			t.Fatalf("%s: %+v", name, auth)
		}
		want := map[string]int{"orders-read": 200, "orders-write": 403}[name]
		for _, uri := range []string{"/orders/1", "/require/-/", "/../../require/-/?x=/require/-/"} {
			ask := http.Header{"X-Forwarded-Method": {"GET"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"api.example"}, "X-Forwarded-Uri": {uri}, "X-Forwarded-For": {"127.0.0.1"}}
			ask["Authorization"] = []string{"Bearer " + compact}
			if r := rawAsk(t, g, "GET", path, ask); r.StatusCode != want {
				t.Errorf("%s: %d %v", name, r.StatusCode, r.Header)
			}
			ask["Authorization"] = []string{"Bearer " + compact, "Bearer " + compact}
			if r := rawAsk(t, g, "GET", path, ask); r.StatusCode != 400 || r.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s, two tokens: %d", name, r.StatusCode)
			}
			delete(ask, "Authorization")
			if r := rawAsk(t, g, "GET", path, ask); r.StatusCode != 401 || r.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s, no token: %d", name, r.StatusCode)
			}
		}
		removed := regexp.MustCompile(auth.AuthResponseHeadersRegex)
		for _, header := range gate.IdentityHeaders() {
			for _, spelled := range []string{header, strings.ToUpper(header), strings.ToLower(header), strings.ReplaceAll(header, "-", "_"), strings.ReplaceAll(header, "-", ".")} {
				if !removed.MatchString(spelled) {
					t.Errorf("%s: %s stays as the caller sent it", name, spelled)
				}
			}
		}
	}
}

// envoyAuthz is an ext_authz filter, as far as it matters here.
type envoyAuthz struct {
	FailureModeAllow *bool `yaml:"failure_mode_allow"`
	StatusOnError    struct {
		Code string
	} `yaml:"status_on_error"`
	WithRequestBody any `yaml:"with_request_body"`
	HTTPService     struct {
		PathPrefix            string `yaml:"path_prefix"`
		AuthorizationResponse struct {
			Upstream envoyPatterns `yaml:"allowed_upstream_headers"`
			Client   envoyPatterns `yaml:"allowed_client_headers"`
		} `yaml:"authorization_response"`
	} `yaml:"http_service"`
}

type envoyPatterns struct{ Patterns []struct{ Exact string } }

func (p envoyPatterns) names() (all []string) {
	for _, n := range p.Patterns {
		all = append(all, http.CanonicalHeaderKey(n.Exact))
	}
	return all
}

// wantEnvoyRemoves reports names that Envoy lets the caller say who he is by: those of the gate, with "." for any "-".
// Envoy drops names with "_" by itself.
func wantEnvoyRemoves(t *testing.T, sample []byte) {
	t.Helper()
	path, err := yaml.PathString("$.static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.mutations.request_mutations")
	if err != nil {
		t.Fatal(err)
	}
	var mutations []struct{ Remove string }
	if err := path.Read(strings.NewReader(string(sample)), &mutations); err != nil {
		t.Fatal(err)
	}
	removed := map[string]bool{}
	for _, m := range mutations {
		removed[m.Remove] = true
	}
	for _, name := range append(gate.IdentityHeaders(), gate.HeaderStatus, gate.HeaderAnswer) {
		spelled := []string{""}
		for i, part := range strings.Split(strings.ToLower(name), "-") {
			var longer []string
			for _, s := range spelled {
				if i == 0 {
					longer = append(longer, part)
				} else {
					longer = append(longer, s+"-"+part, s+"."+part)
				}
			}
			spelled = longer
		}
		for _, s := range spelled {
			if !removed[s] {
				t.Errorf("%s stays as the caller sent it", s)
			}
		}
	}
}

// TestGate_EnvoySample: Envoy appends the path and the query of the caller to path_prefix, joins fields of one name
// by commas, asks with the caller's method, and takes 200 alone for a yes.
func TestGate_EnvoySample(t *testing.T) {
	b, err := os.ReadFile("../../configs/envoy/envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path, err := yaml.PathString("$.static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters")
	if err != nil {
		t.Fatal(err)
	}
	var filters []struct {
		Name        string
		TypedConfig envoyAuthz `yaml:"typed_config"`
	}
	wantEnvoyRemoves(t, b)
	if err := path.Read(strings.NewReader(string(b)), &filters); err != nil {
		t.Fatal(err)
	}
	readSample(t, "envoy/envoy.yaml", new(map[string]any))
	s := startTest(t, devConfig(t), options{})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	g := startGateTest(t, gateConfig(s, newAPI(t, s, "gate")))
	compact := getSample(t, s)
	found := 0
	for _, f := range filters {
		want, ok := map[string]int{"marque.read": 200, "marque.write": 403}[f.Name]
		if !ok {
			continue
		}
		found++
		c := f.TypedConfig
		if c.FailureModeAllow == nil || *c.FailureModeAllow || c.StatusOnError.Code != "ServiceUnavailable" || c.WithRequestBody != nil {
			t.Errorf("%s: %+v", f.Name, c)
		}
		if got := c.HTTPService.AuthorizationResponse.Upstream.names(); !slices.Equal(got, gate.IdentityHeaders()) {
			t.Errorf("%s: the API gets %v", f.Name, got)
		}
		for _, name := range c.HTTPService.AuthorizationResponse.Client.names() {
			if strings.HasPrefix(name, "Marque") {
				t.Errorf("%s: callers get %s", f.Name, name)
			}
		}
		for _, caller := range []string{"/", "/orders/1?x=y", "/require/-/", "//-/", "/-/", "/../../require/-/", "/%2e%2e/%2e%2e/-/", "/?/-/", "/a;b/-/", "/x?scope=orders:write"} {
			for _, method := range []string{"GET", "POST", "DELETE", "OPTIONS"} {
				ask := http.Header{"Authorization": {"Bearer " + compact}, "Content-Length": {"0"}, "X-Envoy-Internal": {"true"}}
				if r := rawAsk(t, g, method, c.HTTPService.PathPrefix+caller, ask); r.StatusCode != want {
					t.Errorf("%s, %s %s: %d", f.Name, method, caller, r.StatusCode)
				}
				ask["Authorization"] = []string{"Bearer " + compact + ",Bearer " + compact}
				if r := rawAsk(t, g, method, c.HTTPService.PathPrefix+caller, ask); r.StatusCode != 400 {
					t.Errorf("%s, two tokens, %s: %d", f.Name, caller, r.StatusCode)
				}
			}
		}
		// Of a target that is no path, "*" say, there is no requirement that anybody meets.
		for _, caller := range []string{"*", "", "x", "api.example:443"} {
			if r := rawAsk(t, g, "OPTIONS", c.HTTPService.PathPrefix+caller, http.Header{"Authorization": {"Bearer " + compact}}); r.StatusCode < 400 {
				t.Errorf("%s, %q: %d", f.Name, caller, r.StatusCode)
			}
		}
		if r := rawAsk(t, g, "GET", c.HTTPService.PathPrefix+"/?access_token="+compact, http.Header{"Authorization": {"Bearer " + compact}}); r.StatusCode != 400 {
			t.Errorf("%s, header and query: %d", f.Name, r.StatusCode)
		}
	}
	if found != 2 {
		t.Errorf("%d filters ask the gate", found)
	}
}

// rawAsk asks a gate with a target as it is written.
func rawAsk(t *testing.T, g *gateServer, method, target string, header http.Header) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", g.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n", method, target)
	if err := header.Write(conn); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "\r\n")
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	return r
}

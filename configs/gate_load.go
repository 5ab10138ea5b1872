package configs

import (
	"reflect"
	"slices"
	"strings"
	"time"
)

// VariableGateClientSecret carries the secret of the gate's client.
const VariableGateClientSecret = gateVariablePrefix + "CLIENT_SECRET"

var gateModes = []string{"feed", "introspection", "expiry"}

// unixPrefix stands before the path of a socket to listen on.
const unixPrefix = "unix:"

// LoadedGate is the configuration of a gate with the places that its values came from.
type LoadedGate struct {
	Gate
	origins
}

// LoadGate is [Load] for a gate. Options.Dev means nothing here.
func LoadGate(o Options) (*LoadedGate, error) {
	l := newGateLoader(o)
	if err := l.read(o); err != nil {
		return nil, err
	}
	l.validate()
	if err := l.verdict(); err != nil {
		return nil, err
	}
	return l.gate, nil
}

// gateLoader is the loader of a gate's settings, with its rules.
type gateLoader struct {
	*loader
	gate *LoadedGate
}

func newGateLoader(o Options) *gateLoader {
	gate := &LoadedGate{Gate: GateDefaults()}
	gate.origins = origins{root: &gate.Gate, prefix: gateVariablePrefix, empty: map[string]string{"realm": "the audience"}}
	l := newLoader(&gate.origins, o)
	gate.Places = l.places
	return &gateLoader{l, gate}
}

// SocketPath returns the path of the socket that a listen setting names, if it names one.
func SocketPath(listen string) (path string, ok bool) { return strings.CutPrefix(listen, unixPrefix) }

func (l *gateLoader) validate() {
	g := &l.gate.Gate
	l.checkRequired()
	if g.Issuer != "" && l.readable("issuer") {
		if problem := IssuerProblem(g.Issuer, g.InsecureHTTP, l.advice("insecure_http")); problem != "" {
			l.wrong("issuer", "%q %s", g.Issuer, problem)
		}
	}
	for _, s := range g.Scopes {
		if strings.ContainsFunc(s, notVisible) {
			l.wrong("scopes", "%q is not a scope", s)
		}
	}
	// RFC 6750, Section 3: what a challenge can hold.
	if realm := g.Realm; strings.ContainsFunc(strings.ReplaceAll(realm, " ", "."), notVisible) {
		l.wrong("realm", "%q is not printable ASCII without quotes and backslashes", realm)
	} else if realm == "" && strings.ContainsFunc(g.Audience, notVisible) {
		l.wrong("audience", "%q has characters that a challenge cannot hold; set realm", g.Audience)
	}
	l.checkListeners()
	l.checkRanges()
	l.checkMode()
	l.checkSecrets()
}

func (l *gateLoader) checkRequired() {
	for _, s := range []struct{ path, value, what string }{
		{"issuer", l.gate.Issuer, "the authorization server's identifier, such as https://as.example"},
		{"audience", l.gate.Audience, "the API behind the proxy, such as https://api.example"},
		{"mode", l.gate.Mode, "how the gate learns of revoked tokens: feed, introspection or expiry"},
	} {
		if s.value == "" && l.readable(s.path) {
			l.wrong(s.path, "is missing: %s", s.what)
		}
	}
}

func (l *gateLoader) checkListeners() {
	g := &l.gate.Gate
	if path, ok := SocketPath(g.Listen); ok {
		if !strings.HasPrefix(path, "/") {
			l.wrong("listen", "%q does not name the absolute path of a socket, such as unix:/run/marque/gate.sock", g.Listen)
		}
	} else {
		l.checkListener("listen", g.Listen, ", such as 127.0.0.1:9180, nor unix: and a path")
	}
	if g.StatusListen != "" {
		l.checkListener("status_listen", g.StatusListen, ", such as 127.0.0.1:9181, nor empty")
	}
	if _, port, _ := strings.Cut(g.Listen, ":"); g.Listen == g.StatusListen && port != "0" && l.readable("listen", "status_listen") {
		l.wrong("status_listen", "%q is where proxies ask already", g.StatusListen)
	}
}

func (l *gateLoader) checkListener(path, address, such string) {
	switch {
	case !l.readable(path):
	case !validAddress(address):
		l.wrong(path, "%q is not host:port%s", address, such)
	case !Loopback(address) && !l.gate.InsecureHTTP && l.readable("insecure_http"):
		l.wrong(path, "%q is beyond loopback, where what passes can be read; it needs %s", address, l.advice("insecure_http"))
	}
}

func (l *gateLoader) checkRanges() {
	g := &l.gate.Gate
	l.checkDurations([]durationRange{
		{"leeway", g.Leeway, 0, 5 * time.Minute},
		{"keep_keys_for", g.KeepKeysFor, time.Minute, 168 * time.Hour},
		{"feed.max_age", g.Feed.MaxAge, 5 * time.Second, 5 * time.Minute},
		{"introspection.timeout", g.Introspection.Timeout, 100 * time.Millisecond, 30 * time.Second},
		{"introspection.cache_for", g.Introspection.CacheFor, 0, time.Minute},
		{"shutdown.grace", g.Shutdown.Grace, 0, 5 * time.Minute},
	})
	l.checkNumbers([]numberRange{
		{"feed.max_revocations", g.Feed.MaxRevocations, 1, 100_000_000},
		{"remember", g.Remember, 0, 1_000_000},
	})
	words := []choice{
		{"log.level", g.Log.Level, []string{"debug", "info", "warn", "error"}},
		{"log.format", g.Log.Format, []string{"text", "json"}},
	}
	if g.Mode != "" {
		words = append(words, choice{"mode", g.Mode, gateModes})
	}
	if g.Feed.WhenSilent != "" {
		words = append(words, choice{"feed.when_silent", g.Feed.WhenSilent, []string{"closed", "open", "introspect"}})
	}
	l.checkWords(words)
}

// checkMode wants each mode to be described, and no other: a gate that was meant to know of revocations must not start
// without, because one line or one variable did not reach it.
func (l *gateLoader) checkMode() {
	g := &l.gate.Gate
	if !l.readable("mode", "feed.when_silent") || !slices.Contains(gateModes, g.Mode) {
		return
	}
	feed, asks := g.Mode == "feed", g.Mode == "introspection" || g.Mode == "feed" && g.Feed.WhenSilent == "introspect"
	if feed && g.Feed.WhenSilent == "" {
		l.wrong("feed.when_silent", "is missing: what becomes of calls when the issuer is not heard any more: closed, open or introspect")
	}
	if open := g.Feed.WhenSilent == "open"; feed && open && (time.Duration(g.Feed.OpenFor) < time.Second || time.Duration(g.Feed.OpenFor) > time.Hour) {
		l.wrong("feed.open_for", "%v is not between 1s and 1h", g.Feed.OpenFor)
	} else if feed && !open && g.Feed.OpenFor != 0 {
		l.wrong("feed.open_for", "is for feed.when_silent open alone")
	}
	if !feed {
		l.unused("feed.", "needs mode feed")
	}
	if !asks {
		l.unused("introspection.", "needs mode introspection, or feed.when_silent introspect")
	}
	if feed || g.Mode == "introspection" {
		l.checkClient()
		return
	}
	l.unused("client_", "needs mode feed or introspection")
}

func (l *gateLoader) checkClient() {
	g := &l.gate.Gate
	if g.ClientID == "" && l.readable("client_id") {
		l.wrong("client_id", "is missing: the gate's own client, which serves the audience")
	}
	if g.ClientSecretFile == "" && g.ClientSecret.IsZero() && l.readable("client_secret_file") {
		l.wrong("client_secret_file", "is missing: the file with the secret of client_id, or set %s", VariableGateClientSecret)
	}
}

// unused reports settings and secrets that begin so, and are not left at their defaults.
func (l *gateLoader) unused(prefix, message string) {
	defaults := GateDefaults()
	for _, s := range settings(&defaults) {
		if strings.HasPrefix(s.path, prefix) && l.readable(s.path) && !reflect.DeepEqual(l.settings[s.path].value(), s.value()) {
			l.wrong(s.path, "%s", message)
		}
	}
	for _, s := range secrets(&l.gate.Gate) {
		if strings.HasPrefix(s.path, prefix) && !s.field.IsZero() {
			l.wrong(s.path, "%s", message)
		}
	}
}

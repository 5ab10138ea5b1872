package endpoint

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/marque-auth/marque/authz"
)

// Handler serves the public listener. It is safe for concurrent use.
type Handler struct {
	config Config
	log    *slog.Logger
	issuer issuer
	shared shared
	routes map[string]*route
	calls  sync.Pool // of *call

	metadata, alias document
}

// route is what answers at one path.
type route struct {
	name    string // for the meter, and for what is remembered of a refusal
	allow   string // for Allow; the first method is the one documented
	methods []string
	refuses bool // who is refused here is remembered
	serve   func(*call) answer
	refused func(*call) answer // for another method; nil: a bare 405
}

// call is one request on its way. It is reused: nothing of it may outlive the answer.
type call struct {
	r    *http.Request
	id   string
	peer netip.Addr // of the connection
	from netip.Addr // of the caller: differs behind a trusted proxy
	in   []byte     // the body as it was read
	out  []byte     // the body of the answer
	form form

	client   authz.Presented
	bearer   string // instead of client, when byBearer
	byBearer bool   // the caller sent an access token, well formed or not

	route *route // nil for a path that does not exist
	cause string // why it does not succeed
}

// keepBuffer is the largest buffer that is kept for the next request, in octets.
const keepBuffer = 8 << 10

// New returns the handler, or every reason why c cannot work.
func New(c Config) (*Handler, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	iss, err := parseIssuer(c.Issuer, c.InsecureHTTP)
	if err != nil {
		return nil, err
	}
	h := &Handler{config: c, log: c.Log, issuer: iss, shared: newShared(c.Realm)}
	h.calls.New = func() any { return &call{in: make([]byte, 0, 1<<10), out: make([]byte, 0, 2<<10)} }
	if h.metadata, h.alias, err = newDocuments(c, iss); err != nil {
		return nil, err
	}
	h.routes = h.table()
	return h, nil
}

// table lists every path that exists. Paths are compared as they were spelled: net/http's mux would
// answer //token and /token/ with a redirect, and a redirected POST is a second chance to leak a
// secret (TOK-13).
func (h *Handler) table() map[string]*route {
	get := func(name string, serve func(*call) answer) *route {
		return &route{name: name, allow: "GET, HEAD", methods: []string{http.MethodGet, http.MethodHead}, serve: serve}
	}
	post := func(name string, p *posted) *route {
		return &route{
			name: name, allow: "POST", methods: []string{http.MethodPost}, refuses: true,
			serve:   func(c *call) answer { return h.post(c, p) },
			refused: func(c *call) answer { return h.notPOST(c, p) },
		}
	}
	base := h.issuer.path
	routes := map[string]*route{
		base + tokenPath:         post("token", h.tokenEndpoint()),
		base + introspectionPath: post("introspect", h.introspectionEndpoint()),
		base + revocationPath:    post("revoke", h.revocationEndpoint()),
		base + jwksPath:          get("jwks", h.jwks),
		metadataPath + base:      get("metadata", h.serveMetadata),
		"/healthz":               get("healthz", h.health),
		"/readyz":                get("readyz", h.ready),
	}
	if h.config.Feed != nil {
		p := h.feedEndpoint()
		routes[base+feedPath] = &route{
			name: "feed", allow: "GET", methods: []string{http.MethodGet}, refuses: true,
			serve:   func(c *call) answer { return h.feed(c, p) },
			refused: func(c *call) answer { return h.notPOST(c, p) },
		}
	}
	if !h.config.WithoutOpenIDAlias {
		routes[base+aliasPath] = get("metadata", h.serveAlias)
	}
	return routes
}

// ServeHTTP answers every request with an X-Request-Id, and never with a redirect.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := h.begin()
	c := h.calls.Get().(*call)
	c.r, c.id = r, rand.Text()
	c.peer = peer(r)
	c.from = callerAddress(r, c.peer, h.config.TrustedProxies)
	a := h.serve(c)
	h.drain(c, &a)
	h.write(w, c, &a)
	h.count(c, &a, begin)
	if a.stream != nil {
		h.stream(w, c, a.stream)
	}
	h.release(c)
}

// release hands c to the next request, without what it read and wrote: secrets and tokens.
func (h *Handler) release(c *call) {
	if cap(c.in) > keepBuffer || cap(c.out) > keepBuffer {
		return
	}
	clear(c.in[:cap(c.in)])
	clear(c.out[:cap(c.out)])
	c.in, c.out, c.form.n = c.in[:0], c.out[:0], 0
	c.r, c.id = nil, ""
	c.client, c.bearer, c.byBearer = authz.Presented{}, "", false
	c.route, c.cause = nil, ""
	h.calls.Put(c)
}

// serve finds the route and answers. A panic becomes a bare 500: no answer was begun when it
// happened, because only write begins one.
func (h *Handler) serve(c *call) (a answer) {
	defer func() {
		if v := recover(); v != nil {
			a = h.panicked(c, v, debug.Stack())
		}
	}()
	r := h.route(c.r)
	if r == nil {
		c.cause = causeNotFound
		return bare(http.StatusNotFound)
	}
	c.route = r
	for _, m := range r.methods {
		if c.r.Method == m {
			return r.serve(c)
		}
	}
	if r.refused != nil {
		a = r.refused(c)
	} else {
		c.cause = causeMethod
		a = bare(http.StatusMethodNotAllowed)
	}
	a.allow = r.allow
	return a
}

// route compares the path by its exact spelling: an escaped letter is another path, so that a rule
// written for a proxy in front cannot be walked around.
func (h *Handler) route(r *http.Request) *route {
	if r.URL.RawPath != "" || !strings.HasPrefix(r.URL.Path, "/") {
		return nil
	}
	return h.routes[r.URL.Path]
}

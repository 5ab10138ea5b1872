package endpoint

import (
	"context"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/marque-auth/marque/authz"
)

// posted is an endpoint that takes a form by POST and authenticates who sends it: what of it differs
// from the other two. The way through is the same for all (TOK-14, RVK-01, INT-01).
type posted struct {
	wrongMethod *refusal // its answer to every method but POST
	resources   bool     // the parameter resource may repeat (RFC 8707, Section 2)
	takesToken  bool     // it has a parameter token, which must not be in the URL
	takesBearer bool     // its caller may authenticate with an access token (RFC 7662, Section 2.1)
	codes       []authz.Code
	forbids     authz.Code // the one of them that is 403; empty: none is

	// act asks the domain, and makes its answer one of HTTP. A parameter that is missing is a *refusal;
	// every other error is the domain's.
	act func(ctx context.Context, c *call) (answer, error)
}

// post answers a POST: syntax here, everything else in the domain.
func (h *Handler) post(c *call, p *posted) answer {
	if refused := h.read(c, p); refused != nil {
		return h.refuse(c, refused)
	}
	ctx := &requestContext{c.r.Context(), c.id}
	a, err := p.act(ctx, c)
	if err != nil {
		return h.fail(ctx, c, p, err)
	}
	return a
}

// notPOST answers every other method (TOK-02). A request that has credentials in its URL is still
// reported as such: GET with everything in the query is how they get there.
func (h *Handler) notPOST(c *call, p *posted) answer {
	r := p.wrongMethod
	if in := inQuery(c.r.URL.RawQuery); in.credentials || in.token && p.takesToken {
		exposing := *r
		exposing.cause = authz.CauseCredentialsInURL
		r = &exposing
	}
	return h.refuse(c, r)
}

// read reads the request in the order of the error matrix: what can be told from the header fields
// first, so that a body that will be refused is not read.
func (h *Handler) read(c *call, p *posted) *refusal {
	if refused := h.checkHead(c, p); refused != nil {
		return refused
	}
	rules := formRules{resources: p.resources}
	var refused *refusal
	if rules.asciiOnly, refused = formCharset(c.r.Header["Content-Type"]); refused != nil {
		return refused
	}
	if refused = h.readBody(c); refused != nil {
		return refused
	}
	if refused = c.form.parse(c.in, rules); refused != nil {
		return refused
	}
	authorization := c.r.Header["Authorization"]
	if p.takesBearer && len(authorization) > 0 {
		if token, ok := bearer(authorization[0]); ok {
			c.byBearer, c.bearer = true, token
			return besideBearer(&c.form)
		}
	}
	c.client, refused = presented(authorization, &c.form)
	return refused
}

func (h *Handler) checkHead(c *call, p *posted) *refusal {
	field := c.r.Header
	if h.inClear(c) {
		return plainHTTP
	}
	if in := inQuery(c.r.URL.RawQuery); in.credentials {
		return credentialsInURL
	} else if in.token && p.takesToken {
		return tokenInURL
	}
	switch {
	case len(field["Authorization"]) > 1: // RFC 9110, Section 5.3: which one would count?
		return repeatedAuthorization
	case encoded(field["Content-Encoding"]):
		return contentEncoding
	case c.r.ContentLength > int64(h.config.BodyLimit):
		return bodyTooLarge
	}
	return nil
}

// inClear reports whether credentials crossed a network unencrypted although the issuer is https
// (RFC 6749, Section 3.2; TOK-01). Loopback, unix sockets and trusted proxies are where encryption
// may end.
func (h *Handler) inClear(c *call) bool {
	return h.issuer.secure && !h.config.InsecureHTTP && c.r.TLS == nil &&
		c.peer.IsValid() && !c.peer.IsLoopback() && !contains(h.config.TrustedProxies, c.peer)
}

// exposed says what is in a query that must not be there.
type exposed struct{ credentials, token bool }

// inQuery looks for credentials and tokens in the query, which is no source of parameters (TOK-03) but
// is where they must not be sent (RFC 6749, Section 2.3.1; RFC 6750, Section 2.3). It reads as
// leniently as any party that might have logged them.
func inQuery(query string) (in exposed) {
	for _, sequence := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, _, _ := strings.Cut(sequence, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		switch name {
		case "client_id", "client_secret", "client_assertion":
			in.credentials = true
		case "token", "access_token":
			in.token = true
		}
	}
	return in
}

func encoded(fields []string) bool {
	for _, f := range fields {
		if f != "" && !strings.EqualFold(f, "identity") {
			return true
		}
	}
	return false
}

// formCharset checks the media type (RFC 6749, Section 4.4.2). US-ASCII and ISO-8859-1, which some
// HTTP clients name by default, agree with UTF-8 as long as nothing but ASCII occurs (TOK-04).
func formCharset(fields []string) (asciiOnly bool, refused *refusal) {
	switch {
	case len(fields) > 1:
		return false, repeatedContentType
	case len(fields) == 0 || fields[0] == "":
		return false, missingContentType
	case fields[0] == mediaForm:
		return false, nil
	}
	media, parameters, err := mime.ParseMediaType(fields[0])
	if err != nil || media != mediaForm {
		return false, wrongContentType
	}
	charset, named := parameters["charset"]
	switch {
	case !named || strings.EqualFold(charset, "utf-8"):
		return false, nil
	case strings.EqualFold(charset, "us-ascii"), strings.EqualFold(charset, "iso-8859-1"):
		return true, nil
	}
	return false, wrongCharset
}

// readBody reads the body into c.in. A chunked body declares no length: the bound holds while
// reading, and one octet over it ends the request, however much is still to come (TOK-10).
func (h *Handler) readBody(c *call) *refusal {
	b, limit := c.in[:0], h.config.BodyLimit
	defer func() { c.in = b }()
	for {
		if len(b) == cap(b) {
			b = grow(b, limit+1)
		}
		n, err := c.r.Body.Read(b[len(b):min(cap(b), limit+1)])
		b = b[:len(b)+n]
		switch {
		case len(b) > limit:
			return bodyTooLarge
		case err == io.EOF:
			return nil
		case err != nil:
			return bodyUnreadable
		}
	}
}

// grow doubles the capacity of b, to at most limit, and wipes what it leaves behind.
func grow(b []byte, limit int) []byte {
	larger := make([]byte, len(b), max(len(b)+1, min(2*cap(b), limit)))
	copy(larger, b)
	clear(b)
	return larger
}

// statusOf is the one table from code to status. A code that is none of the endpoint's own (TOK-41,
// RVK-11) has none: what carries it is a fault.
func (p *posted) statusOf(code authz.Code) (status int, ok bool) {
	switch {
	case !slices.Contains(p.codes, code):
		return 0, false
	case code == authz.InvalidClient:
		// RFC 6749, Section 5.2 asks for 401 only when Authorization was used; here it is always 401.
		return http.StatusUnauthorized, true
	case code == p.forbids:
		return http.StatusForbidden, true
	}
	return http.StatusBadRequest, true
}

package endpoint

import (
	"io"
	"mime"
	"net/url"
	"strings"

	"github.com/marque-auth/marque/authz"
)

const tokenPath = "/oauth2/token"

// token is POST /oauth2/token: syntax here, everything else in the domain (TOK-14).
func (h *Handler) token(c *call) answer {
	request, refused := h.tokenRequest(c)
	if refused != nil {
		return h.refuse(c, refused)
	}
	ctx := &requestContext{c.r.Context(), c.id}
	issued, err := h.config.Tokens.Token(ctx, request)
	if err != nil {
		return h.fail(ctx, c, err)
	}
	a, err := issuedAnswer(c.out[:0], &issued)
	if err != nil {
		return h.fail(ctx, c, err)
	}
	c.out = a.body // so that release clears it, grown or not
	return a
}

// tokenMethod answers every method but POST (TOK-02). A request that has credentials in its URL is
// still reported as such: GET with everything in the query is how they get there.
func (h *Handler) tokenMethod(c *call) answer {
	if queryHasCredentials(c.r.URL.RawQuery) {
		r := *wrongMethod
		r.cause = authz.CauseCredentialsInURL
		return h.refuse(c, &r)
	}
	return h.refuse(c, wrongMethod)
}

// tokenRequest reads the request in the order of the error matrix: what can be told from the header
// fields first, so that a body that will be refused is not read.
func (h *Handler) tokenRequest(c *call) (authz.Request, *refusal) {
	if refused := h.checkHead(c); refused != nil {
		return authz.Request{}, refused
	}
	asciiOnly, refused := formCharset(c.r.Header["Content-Type"])
	if refused != nil {
		return authz.Request{}, refused
	}
	if refused := h.readBody(c); refused != nil {
		return authz.Request{}, refused
	}
	if refused := c.form.parse(c.in, asciiOnly); refused != nil {
		return authz.Request{}, refused
	}
	client, refused := presented(c.r.Header["Authorization"], &c.form)
	if refused != nil {
		return authz.Request{}, refused
	}
	grant := grantType(c.form.value("grant_type"))
	if grant == "" {
		return authz.Request{}, missingGrantType
	}
	return authz.Request{
		GrantType:            grant,
		Scope:                string(c.form.value("scope")),
		Resources:            c.form.resources(),
		AuthorizationDetails: len(c.form.value("authorization_details")) > 0,
		DPoP:                 len(c.r.Header["Dpop"]) > 0,
		Client:               client,
		Address:              c.from,
	}, nil
}

// grantType spares the usual value a copy.
func grantType(b []byte) string {
	if string(b) == authz.GrantClientCredentials {
		return authz.GrantClientCredentials
	}
	return string(b)
}

func (h *Handler) checkHead(c *call) *refusal {
	field := c.r.Header
	switch {
	case h.inClear(c):
		return plainHTTP
	case queryHasCredentials(c.r.URL.RawQuery):
		return credentialsInURL
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

// queryHasCredentials looks for credentials in the query, which is no source of parameters (TOK-03)
// but is where they must not be sent (RFC 6749, Section 2.3.1). It reads as leniently as any party
// that might have logged them.
func queryHasCredentials(query string) bool {
	for _, sequence := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, _, _ := strings.Cut(sequence, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		switch name {
		case "client_id", "client_secret", "client_assertion":
			return true
		}
	}
	return false
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

package endpoint

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz"
)

// answer is what a route decides to send. The zero values of its fields add nothing; an answer
// without a body is bare.
type answer struct {
	status     int
	media      string // Content-Type, when there is a body
	body       []byte
	allow      string        // 405 and nothing else
	etag       string        // quoted
	maxAge     time.Duration // public for so long; 0: no-store
	retryAfter time.Duration // rounded up to whole seconds
	token      bool          // it carries a token: Pragma too (TOK-30)
	identity   bool          // 415: which codings are understood (RFC 9110, Section 12.5.3)
	close      bool          // the rest of the request will not be read
	negotiated bool          // its form depends on Accept (RFC 9110, Section 12.5.5)
	challenge  []string      // WWW-Authenticate; nil: that of Basic, for a 401 alone

	stream *authz.FeedStream // what follows, instead of a body
}

// Media types.
const (
	mediaForm   = "application/x-www-form-urlencoded"
	mediaJSON   = "application/json"
	mediaJWKSet = "application/jwk-set+json" // RFC 7517, Section 8.5.2
	mediaText   = "text/plain; charset=utf-8"
)

// write sends an answer. It is the only place that touches the ResponseWriter, but for stream, which writes what
// follows one.
func (h *Handler) write(w http.ResponseWriter, c *call, a *answer) {
	field := w.Header()
	length := a.status != http.StatusNotModified && a.stream == nil
	// One array for the values that differ between requests. The others are shared, and full, so
	// that appending to one of them copies it.
	own := make([]string, 2)
	own[0], own[1] = c.id, strconv.Itoa(len(a.body))
	field["X-Request-Id"] = own[0:1:1]
	if length {
		field["Content-Length"] = own[1:2:2]
	}
	if len(a.body) > 0 || a.stream != nil {
		field["Content-Type"] = h.shared.media[a.media]
	}
	if a.stream != nil {
		field["X-Accel-Buffering"] = h.shared.no // nginx would keep it until there is more
	}
	h.writeCaching(field, a)
	switch { // RFC 9110, Section 15.5.2; TOK-39
	case a.challenge != nil:
		field["Www-Authenticate"] = a.challenge
	case a.status == http.StatusUnauthorized:
		field["Www-Authenticate"] = h.shared.basic
	}
	if a.negotiated {
		field["Vary"] = h.shared.accept
	}
	if a.allow != "" {
		field.Set("Allow", a.allow)
	}
	if a.retryAfter > 0 {
		field.Set("Retry-After", strconv.FormatInt(int64((a.retryAfter+time.Second-1)/time.Second), 10))
	}
	if a.identity {
		field.Set("Accept-Encoding", "identity")
	}
	if a.close && c.r.ProtoMajor == 1 { // HTTP/2 ends the stream, and other streams go on
		field.Set("Connection", "close")
	}
	w.WriteHeader(a.status)
	if len(a.body) > 0 && length && c.r.Method != http.MethodHead {
		w.Write(a.body) // the peer is gone when it fails; there is no one left to tell
	}
}

func (h *Handler) writeCaching(field http.Header, a *answer) {
	if a.etag != "" {
		field["Etag"] = []string{a.etag}
	}
	if a.maxAge > 0 {
		field.Set("Cache-Control", "public, max-age="+strconv.FormatInt(int64(a.maxAge/time.Second), 10))
		return
	}
	field["Cache-Control"] = h.shared.noStore
	if a.token {
		field["Pragma"] = h.shared.noCache
	}
}

// shared are the values of header fields that never change.
type shared struct {
	media            map[string][]string
	noStore, noCache []string
	accept, no       []string
	basic, either    []string // challenges: of Basic, and of Basic and Bearer
}

func newShared(realm string) shared {
	basic := `Basic realm="` + realm + `", charset="UTF-8"` // RFC 7617, Section 2.1
	return shared{
		media: map[string][]string{
			mediaJSON: {mediaJSON}, mediaJWKSet: {mediaJWKSet}, mediaText: {mediaText}, mediaIntrospection: {mediaIntrospection},
			mediaEvents: {mediaEvents},
		},
		noStore: []string{"no-store"},
		noCache: []string{"no-cache"},
		accept:  []string{"Accept"},
		no:      []string{"no"},
		basic:   []string{basic},
		either:  []string{basic, `Bearer realm="` + realm + `"`}, // RFC 6750, Section 3: no error, nothing was sent
	}
}

// issuedAnswer writes RFC 6749, Section 5.1 by hand: it is the one body that is made for every
// request that succeeds.
func issuedAnswer(out []byte, t *authz.Issued) (answer, error) {
	var err error
	text := func(name, value string) {
		if err != nil {
			return
		}
		out = append(out, name...)
		out, err = jsontext.AppendQuote(out, value)
	}
	out = append(out, `{"access_token":"`...)
	out = append(out, t.AccessToken...) // a compact JWS: nothing in its alphabet is escaped
	text(`","token_type":`, t.TokenType)
	out = append(out, `,"expires_in":`...)
	out = strconv.AppendInt(out, int64(t.ExpiresIn/time.Second), 10)
	if t.Scope != "" {
		text(`,"scope":`, t.Scope)
	}
	out = append(out, '}')
	return answer{status: http.StatusOK, media: mediaJSON, body: out, token: true}, err
}

// errorAnswer writes RFC 6749, Section 5.2. Codes come from a closed list; a description that holds
// what the section forbids is left out rather than escaped.
func errorAnswer(out []byte, status int, code authz.Code, description string) answer {
	out = append(out, `{"error":"`...)
	out = append(out, code...)
	if description != "" && quotable(description) {
		out = append(out, `","error_description":"`...)
		out = append(out, description...)
	}
	out = append(out, `"}`...)
	return answer{status: status, media: mediaJSON, body: out}
}

// bare is an answer without a body: every 5xx, 429, and every path that does not exist.
func bare(status int) answer { return answer{status: status} }

// unavailable is bare, with the time after which it is worth to try again.
func unavailable(after time.Duration) answer {
	return answer{status: http.StatusServiceUnavailable, retryAfter: max(after, time.Second)}
}

func throttled(after time.Duration) answer {
	return answer{status: http.StatusTooManyRequests, retryAfter: max(after, time.Second)}
}

package authz

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// IntrospectRequest is an introspection request after its syntax was checked (RFC 7662, Section 2.1).
// The caller authenticates as a client, or with an access token for the management API.
type IntrospectRequest struct {
	Token   string // never empty; whatever was sent
	Client  Presented
	Bearer  string // set instead of Client when a Bearer token was sent
	Signed  bool   // the answer is wanted as a JWT (RFC 9701, Section 4)
	Address netip.Addr
}

// Introspection is the answer. An inactive token says nothing else (INT-04).
type Introspection struct {
	Body   []byte // one JSON object (RFC 7662, Section 2.2)
	JWT    string // the same, signed (RFC 9701, Section 5); set instead of Body when Signed was asked for
	Active bool

	// For the log alone.
	Caller ClientID
	Cause  Cause    // why it is inactive; empty when it is active
	Client ClientID // whose token it is; like JTI, empty unless this server signed it
	JTI    string
}

// InvalidTokenError says that the Bearer token of a caller does not authenticate it: 401 with a Bearer
// challenge (RFC 6750, Section 3). With Scope set the token is good and lacks that scope: 403.
type InvalidTokenError struct {
	Cause  Cause
	Scope  string
	Client ClientID // once the token is verified
	Err    error
}

func (e *InvalidTokenError) Error() string {
	s := "bearer token: " + string(e.Cause)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns more about the cause.
func (e *InvalidTokenError) Unwrap() error { return e.Err }

// Introspect answers RFC 7662 for the client that is authenticated in this call, or for an
// administrator. The error is an *Error, an *InvalidTokenError, a *ThrottledError, an
// *UnavailableError or what ctx ended with; anything else is a fault. It never answers from memory
// alone: what the store does not say is unknown (INT-13).
func (s *Server) Introspect(ctx context.Context, r IntrospectRequest) (Introspection, error) {
	if err := s.mint.clockOff(""); err != nil {
		return Introspection{}, err
	}
	who, err := s.inquirer(ctx, r)
	if err != nil {
		return Introspection{}, err
	}
	v, err := s.look(ctx, who.id, r.Token, who.permits)
	out := Introspection{Caller: who.id, Body: []byte(inactive)}
	if err == nil {
		err = s.describe(ctx, &out, &who, &v)
	} else {
		err = s.explain(&out, err)
	}
	if err != nil {
		return Introspection{}, err
	}
	if r.Signed {
		out.JWT, err = s.signAnswer(ctx, &who, out.Body)
		out.Body = nil
	}
	return out, err
}

// inquirer is who asks about a token.
type inquirer struct {
	id        ClientID
	admin     bool         // it may see every token
	serves    []ResourceID // the resources that it is the API of
	algorithm jose.Algorithm
}

// inquirer authenticates the caller of Introspect.
func (s *Server) inquirer(ctx context.Context, r IntrospectRequest) (inquirer, error) {
	if r.Bearer != "" {
		v, err := s.bearer(ctx, r.Bearer)
		return inquirer{id: ClientID(v.ClientID), admin: true, algorithm: s.policy.admin.Algorithm}, err
	}
	who, err := s.authenticator.confidential(ctx, r.Client, r.Address)
	c := &who.client
	return inquirer{id: c.ID, serves: c.Serves, algorithm: cmp.Or(c.IntrospectionAlgorithm, s.policy.admin.Algorithm)}, err
}

// owns reports whether the token was issued to q, or q may see every token.
func (q *inquirer) owns(v *token.Verified) bool { return q.admin || v.ClientID == string(q.id) }

// permits returns nil if q may know about the token (INT-06).
func (q *inquirer) permits(v *token.Verified) error {
	if q.owns(v) || slices.ContainsFunc(v.Audience, q.servesAudience) {
		return nil
	}
	return &judgedError{cause: CauseTokenNotForCaller, token: *v}
}

func (q *inquirer) servesAudience(audience string) bool {
	return slices.Contains(q.serves, ResourceID(audience))
}

// inactive is the one answer about whatever is not an active token that the caller may know about
// (INT-04).
const inactive = `{"active":false}`

// explain notes why a token is inactive. It returns an error that is no answer, or when the caller
// asked about too many strings that this server did not sign (INT-12).
func (s *Server) explain(out *Introspection, err error) error {
	var judged *judgedError
	var bad *token.Error
	switch {
	case errors.As(err, &judged):
		out.Cause, out.Client, out.JTI = judged.cause, ClientID(judged.token.ClientID), judged.token.JTI
		return nil
	case !errors.As(err, &bad):
		return err
	case !signed(bad.Reason) && !s.mayBecomeKnown(err): // those were counted before they were looked into
		if after, ok := s.unknown.take(out.Caller); !ok {
			return &ThrottledError{Cause: CauseUnknownLimited, Client: out.Caller, RetryAfter: after}
		}
	}
	out.Cause, out.Client, out.JTI = tokenCause(bad.Reason), ClientID(bad.ClientID), bad.JTI
	return nil
}

// describe writes the answer about an active token.
func (s *Server) describe(ctx context.Context, out *Introspection, who *inquirer, v *token.Verified) error {
	scope, err := s.visibleScope(ctx, who, v)
	if err != nil {
		return err
	}
	out.Body, err = appendActive(make([]byte, 0, 512), v, scope)
	out.Active, out.Client, out.JTI = err == nil, ClientID(v.ClientID), v.JTI
	return err
}

// visibleScope returns the scope as far as the caller may see it: an API sees what its own resources
// define (INT-09; RFC 7662, Section 2.2), the owner and an administrator see the whole.
func (s *Server) visibleScope(ctx context.Context, who *inquirer, v *token.Verified) (string, error) {
	if who.owns(v) || v.Scope == "" {
		return v.Scope, nil
	}
	var served target
	for _, a := range v.Audience {
		if !who.servesAudience(a) {
			continue
		}
		r, err := s.policy.resources.get(ctx, ResourceID(a))
		switch {
		case errors.Is(err, ErrNotFound): // then it defines nothing
		case err != nil:
			return "", storeFault(ctx, who.id, err)
		case r.DeletedAt.IsZero():
			served = append(served, r)
		}
	}
	return served.narrow(v.Scope), nil
}

// narrow returns the scopes of a scope string that some resource of t defines, in their order.
func (t target) narrow(scope string) string {
	var kept []string
	for s := range strings.SplitSeq(scope, " ") {
		if t.meanings(s) > 0 {
			kept = append(kept, s)
		}
	}
	return strings.Join(kept, " ")
}

// appendActive appends the answer about an active token: RFC 7662, Section 2.2. What the server notes
// for itself, and what a client is configured to tell its APIs, is not in it.
func appendActive(b []byte, v *token.Verified, scope string) ([]byte, error) {
	w := writer{b: append(b, `{"active":true`...)}
	if scope != "" {
		w.text(`,"scope":`, scope)
	}
	w.text(`,"client_id":`, v.ClientID)
	w.raw(`,"token_type":"Bearer"`)
	w.date(`,"exp":`, v.Expiry)
	w.date(`,"iat":`, v.IssuedAt)
	w.text(`,"sub":`, v.Subject)
	w.texts(`,"aud":`, v.Audience)
	w.text(`,"iss":`, v.Issuer)
	w.text(`,"jti":`, v.JTI)
	w.raw("}")
	return w.b, w.err
}

// typeIntrospection is the typ of a signed answer, which keeps it from passing for an access token
// (RFC 9701, Section 5; INT-17).
const typeIntrospection = "token-introspection+jwt"

// signAnswer wraps an answer into a JWT: RFC 9701, Section 5. It waits for its turn like a token does.
func (s *Server) signAnswer(ctx context.Context, who *inquirer, body []byte) (string, error) {
	now := s.mint.now()
	signer, err := s.mint.signer(who.algorithm, now, who.id)
	if err != nil {
		return "", err
	}
	w := writer{b: make([]byte, 0, 256+len(body))}
	w.text(`{"iss":`, s.mint.issuer)
	w.texts(`,"aud":`, s.answerAudience(who))
	w.date(`,"iat":`, now)
	w.raw(`,"token_introspection":`)
	w.raw(string(body))
	w.raw("}")
	if w.err != nil {
		return "", w.err
	}
	return s.mint.sign(ctx, signer, typeIntrospection, w.b, who.id)
}

// maxAnswerAudience bounds the aud of a signed answer, in octets: a JWT has a bound, and one client may
// serve 64 resources of 512 characters.
const maxAnswerAudience = 4 << 10

// answerAudience returns whom a signed answer is for: the API that asks, by the names of what it serves,
// or by its client_id where it serves nothing, or too much to say.
func (s *Server) answerAudience(who *inquirer) []string {
	if who.admin {
		return []string{string(s.policy.admin.ID)}
	}
	size := 0
	out := make([]string, len(who.serves))
	for i, r := range who.serves {
		out[i] = string(r)
		size += len(r)
	}
	if len(out) == 0 || size > maxAnswerAudience {
		return []string{string(who.id)}
	}
	return out
}

// writer appends the members of a JSON object until the first error. Names are quoted, and bring what
// stands before them.
type writer struct {
	b   []byte
	err error
}

func (w *writer) raw(s string) { w.b = append(w.b, s...) }

func (w *writer) text(name, value string) {
	w.raw(name)
	b, err := jsontext.AppendQuote(w.b, value)
	if err != nil && w.err == nil {
		w.err = errors.New("authz: an answer is not UTF-8")
	}
	w.b = b
}

// texts writes one value as a string and several as an array (RFC 7519, Section 4.1.3).
func (w *writer) texts(name string, values []string) {
	if len(values) == 1 {
		w.text(name, values[0])
		return
	}
	w.raw(name)
	separator := "["
	for _, v := range values {
		w.text(separator, v)
		separator = ","
	}
	w.raw("]")
}

func (w *writer) date(name string, t time.Time) {
	w.b = strconv.AppendInt(append(w.b, name...), t.Unix(), 10)
}

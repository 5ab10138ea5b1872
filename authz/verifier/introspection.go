package verifier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/keys/remote"
)

// Limits of one question to the issuer.
const (
	DefaultIntrospectionTimeout = 3 * time.Second
	MaxIntrospectionTimeout     = 30 * time.Second
	MaxCacheFor                 = time.Minute

	maxAnswer = 64 << 10 // bytes: a token's claims fit four times
)

// Introspection has the issuer asked about every token that passed the local check (RFC 7662), so that
// a token that was revoked is refused at once. The price is one request for each call of the API, and
// that the API answers 503 while the issuer cannot be asked.
type Introspection struct {
	// ClientID and Secret are the service's own: of a client that serves Config.Audience.
	ClientID string
	Secret   Secret

	// Timeout bounds one question, to the last byte of its answer; 0 means 3 s, at most 30 s.
	Timeout time.Duration

	// CacheFor is how long a token that the issuer called active is not asked about again, and so for
	// how long one may work that was revoked meanwhile. 0 means that every call asks; at most 1 min. An
	// answer is never used once the token has expired.
	CacheFor time.Duration
}

// Secret is a client's secret. However it is printed, logged or marshalled, it does not show; a
// conversion to string gives it away.
type Secret string

const hidden = "[secret]"

// Format implements fmt.Formatter, for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText implements encoding.TextMarshaler, and with it hides the secret from encoders and logs.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Format implements fmt.Formatter, for every verb: package fmt prints what a pointer points at without
// asking its fields how they want to be printed, if the verb does not suit pointers.
func (i Introspection) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "{ClientID:%s Secret:%s Timeout:%v CacheFor:%v}", i.ClientID, hidden, i.Timeout, i.CacheFor)
}

// introspector asks one issuer's introspection endpoint. It is safe for concurrent use.
type introspector struct {
	client    *http.Client
	release   func()
	discover  func(context.Context) (string, error)
	authorize func(*http.Request) // a closure, so that nothing that can be printed holds the secret
	timeout   time.Duration
	cacheFor  time.Duration
	now       func() time.Time
	active    recent[time.Time] // until when the issuer is not asked again

	mu       sync.Mutex
	endpoint string // empty: to be discovered; guarded by mu
}

// newIntrospector returns what c.Introspect asks for, after it has found the endpoint.
func newIntrospector(ctx context.Context, c Config) (*introspector, error) {
	i := c.Introspect
	var errs []error
	if i.ClientID == "" || i.Secret == "" {
		errs = append(errs, errors.New("no ClientID or no Secret"))
	}
	if i.Timeout < 0 || i.Timeout > MaxIntrospectionTimeout {
		errs = append(errs, fmt.Errorf("a Timeout of %v is not between 0 and %v", i.Timeout, MaxIntrospectionTimeout))
	}
	if i.CacheFor < 0 || i.CacheFor > MaxCacheFor {
		errs = append(errs, fmt.Errorf("a CacheFor of %v is not between 0 and %v", i.CacheFor, MaxCacheFor))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("in Introspect: %w", err)
	}
	in := &introspector{timeout: i.Timeout, cacheFor: i.CacheFor, now: c.Now, active: recent[time.Time]{most: maxRecent}}
	if in.timeout == 0 {
		in.timeout = DefaultIntrospectionTimeout
	}
	if in.now == nil {
		in.now = time.Now
	}
	in.authorize = basic(i.ClientID, i.Secret)
	in.client, in.release = directClient(c.HTTPClient)
	in.discover = func(ctx context.Context) (string, error) {
		return remote.Endpoint(ctx, remote.Config{Issuer: c.Issuer, InsecureHTTP: c.InsecureHTTP, Client: c.HTTPClient}, "introspection_endpoint")
	}
	if _, err := in.where(ctx); err != nil && (!c.StartUnready || errors.Is(err, remote.ErrDocument)) {
		in.release()
		return nil, err
	}
	return in, nil
}

// directClient returns a client with the transport of the given one, or one of its own, and
// what releases its connections. It follows no redirect: the secret, and a token, are for nobody but
// the endpoint. It keeps no cookies.
func directClient(given *http.Client) (*http.Client, func()) {
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if given != nil {
		client.Transport = given.Transport
		return client, func() {}
	}
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		t = t.Clone()
		t.MaxIdleConnsPerHost = 64 // every call of the API asks the same host
		client.Transport = t
	}
	return client, client.CloseIdleConnections
}

// where returns the endpoint. Two that do not know it may both look: what they find is the same.
func (in *introspector) where(ctx context.Context) (string, error) {
	in.mu.Lock()
	endpoint := in.endpoint
	in.mu.Unlock()
	if endpoint != "" {
		return endpoint, nil
	}
	endpoint, err := in.discover(ctx)
	if err == nil {
		in.mu.Lock()
		in.endpoint = endpoint
		in.mu.Unlock()
	}
	return endpoint, err
}

// forget has the endpoint looked up again: it may have moved.
func (in *introspector) forget() {
	in.mu.Lock()
	in.endpoint = ""
	in.mu.Unlock()
}

// activeNow reports whether the issuer calls the token active, whose claims were verified. An error
// means that this is not known.
func (in *introspector) activeNow(ctx context.Context, compact string, c *token.Claims) (bool, error) {
	asked := in.now()
	unexpired := asked.Before(c.Expiry) // it may be inside the leeway, where only the issuer can say
	if in.cacheFor > 0 && unexpired {
		if until, ok := in.active.get(fingerprintOf(compact)); ok && asked.Before(until) {
			return true, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, in.timeout)
	defer cancel()
	endpoint, err := in.where(ctx)
	if err != nil {
		return false, err
	}
	body, err := in.ask(ctx, endpoint, compact)
	if err != nil {
		return false, err
	}
	active, err := readAnswer(body, c)
	if err == nil && active && in.cacheFor > 0 && unexpired {
		in.active.put(fingerprintOf(compact), asked.Add(in.cacheFor))
	}
	return active, err
}

// ask returns the JSON that the endpoint answers with. Errors hold nothing of the request or of the
// answer but the endpoint and the status.
func (in *introspector) ask(ctx context.Context, endpoint, compact string) ([]byte, error) {
	form := "token=" + url.QueryEscape(compact) + "&token_type_hint=access_token"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	in.authorize(req)
	resp, err := in.client.Do(req)
	if err != nil {
		in.forget()
		return nil, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("introspection: status %d: the issuer does not take this service's own client; on the server: marque client refusals ID", resp.StatusCode)
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable:
		return nil, fmt.Errorf("introspection: status %d", resp.StatusCode)
	default:
		in.forget()
		return nil, fmt.Errorf("introspection: status %d", resp.StatusCode)
	}
	if media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, errors.New("introspection: the answer is not application/json")
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil {
		// When our time ends, the transport hangs up, and a server that notices may end its body in
		// good order: what comes too late is late all the same.
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("introspection: read the answer: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("introspection: an answer of more than %d bytes", maxAnswer)
	}
	return body, nil
}

// readAnswer reads an answer about the token with these claims. Only the boolean true is active; an
// answer that is active and about another token is none (a mix-up of answers must not let anybody in).
func readAnswer(body []byte, c *token.Claims) (active bool, err error) {
	var a struct {
		Active   any    `json:"active"`
		JTI      string `json:"jti"`
		ClientID string `json:"client_id"`
		Issuer   string `json:"iss"`
	}
	if err := jose.StrictUnmarshal(body, &a, false); err != nil {
		return false, fmt.Errorf("introspection: read the answer: %w", err)
	}
	if a.Active == nil {
		return false, errors.New("introspection: the answer does not say whether the token is active")
	}
	if a.Active != true {
		return false, nil
	}
	if a.JTI != c.JTI || a.ClientID != c.ClientID || a.Issuer != c.Issuer {
		return false, errors.New("introspection: the answer is not about the token: jti, client_id or iss differ")
	}
	return true, nil
}

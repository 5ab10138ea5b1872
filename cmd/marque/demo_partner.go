package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// partner is step 3: the partner's application gets a token, with an OAuth library that knows
// nothing of Marque.
func (d *demo) partner(ctx context.Context) error {
	d.chapter("The partner gets a token", "with golang.org/x/oauth2/clientcredentials, unchanged")
	t, err := d.fetch(ctx, d.fully(), d.clientID, d.clientSecret, demoAPI)
	if err != nil {
		return err
	}
	d.token = t.AccessToken
	header, claims, err := decodeToken(t.AccessToken)
	if err != nil {
		return err
	}
	d.document("the token, decoded: header", indented(header))
	d.document("the token, decoded: claims", indented(claims))
	var said struct {
		Iss, Sub, Aud, Scope, Jti string
		ClientID                  string `json:"client_id"`
		Iat, Exp                  int64
	}
	if err := json.Unmarshal(claims, &said); err != nil {
		return err
	}
	for _, c := range []struct {
		what string
		held bool
	}{
		{"it is a Bearer token", t.Type() == "Bearer"},
		{"it names this issuer, the API and the partner", said.Iss == d.server.Issuer() && said.Aud == demoAPI && said.ClientID == d.clientID && said.Sub == d.clientID},
		{"it carries the default scope and no more", said.Scope == "orders:read"},
		{"it lives for ten minutes", time.Duration(said.Exp-said.Iat)*time.Second == 10*time.Minute},
		{"it holds nothing confidential", !strings.Contains(string(claims), d.clientSecret) && said.Jti != ""},
	} {
		if err := d.check(c.what, c.held, "it does not: %s", claims); err != nil {
			return err
		}
	}
	return nil
}

// fetch gets a token as an unchanged library does; what goes over the wire is shown by way.
func (d *demo) fetch(ctx context.Context, way wire, id, secret, resource string) (*oauth2.Token, error) {
	config := clientcredentials.Config{
		ClientID:       id,
		ClientSecret:   secret,
		TokenURL:       d.server.Issuer() + "/oauth2/token",
		EndpointParams: url.Values{"resource": {resource}},
	}
	return config.Token(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: way, Timeout: 10 * time.Second}))
}

// wire shows what passes through it.
type wire struct {
	*narrator
	fields []string // of the header, in this order
	bodies bool
}

// fully shows all that a reader of the story may ask for.
func (n *narrator) fully() wire {
	return wire{n, []string{"Authorization", "Content-Type", "Cache-Control", "WWW-Authenticate"}, true}
}

// briefly shows who asks to be let in, and whether that is so.
func (n *narrator) briefly() wire {
	return wire{n, []string{"Authorization", "WWW-Authenticate"}, false}
}

// RoundTrip implements http.RoundTripper.
func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent string
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		sent = string(b)
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(strings.NewReader(sent))
	}
	w.request(r, w.fields, w.body(sent))
	resp, got, err := exchange(r)
	if err != nil {
		return nil, err
	}
	w.response(resp, w.fields, w.body(got))
	return resp, nil
}

func (w wire) body(s string) string {
	if !w.bodies {
		return ""
	}
	return s
}

// exchange sends a request and returns the answer, and a copy of its body.
func exchange(r *http.Request) (*http.Response, string, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, "", err
	}
	got, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	resp.Body.Close()
	if err != nil {
		return nil, "", err
	}
	resp.Body = io.NopCloser(bytes.NewReader(got))
	return resp, string(got), nil
}

// get fetches a page that must answer 200.
func (d *demo) get(ctx context.Context, page string) (string, error) {
	status, body, err := d.call(ctx, d.fully(), page, "")
	if err == nil && status != http.StatusOK {
		err = &statusError{page, status}
	}
	return body, err
}

// call sends a GET, with a Bearer token if there is one.
func (d *demo) call(ctx context.Context, way wire, page, token string) (status int, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, body, err := send(way, r)
	if err != nil {
		return 0, "", err
	}
	return resp.StatusCode, body, nil
}

// send sends a request by a way, and returns the answer and its body.
func send(way wire, r *http.Request) (*http.Response, string, error) {
	resp, err := (&http.Client{Transport: way, Timeout: 10 * time.Second}).Do(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

type statusError struct {
	page   string
	status int
}

func (e *statusError) Error() string { return e.page + " answered " + http.StatusText(e.status) }

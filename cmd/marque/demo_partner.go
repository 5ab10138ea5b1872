package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// partner is step 3: the partner's application gets a token, with an OAuth library that knows
// nothing of Marque.
func (d *demo) partner(ctx context.Context) error {
	d.chapter("The partner gets a token", "with golang.org/x/oauth2/clientcredentials, unchanged")
	t, err := d.fetch(ctx, d.clientID, d.clientSecret, demoAPI)
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

// fetch gets a token as an unchanged library does; what went over the wire is shown on the way.
func (d *demo) fetch(ctx context.Context, id, secret, resource string) (*oauth2.Token, error) {
	config := clientcredentials.Config{
		ClientID:       id,
		ClientSecret:   secret,
		TokenURL:       d.server.Issuer() + "/oauth2/token",
		EndpointParams: url.Values{"resource": {resource}},
	}
	return config.Token(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: wire{d.narrator}, Timeout: 10 * time.Second}))
}

// wire shows what passes through it.
type wire struct{ *narrator }

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
	w.request(r, sent)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	w.response(resp, string(got))
	resp.Body = io.NopCloser(strings.NewReader(string(got)))
	return resp, nil
}

// get fetches a page that must answer 200.
func (d *demo) get(ctx context.Context, page string) (string, error) {
	status, body, err := d.call(ctx, page, "")
	if err == nil && status != http.StatusOK {
		err = &statusError{page, status}
	}
	return body, err
}

// call sends a GET, with a Bearer token if there is one.
func (d *demo) call(ctx context.Context, page, token string) (status int, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := (&http.Client{Transport: wire{d.narrator}, Timeout: 10 * time.Second}).Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

type statusError struct {
	page   string
	status int
}

func (e *statusError) Error() string { return e.page + " answered " + http.StatusText(e.status) }

// shownFields are the header fields that the story shows, in order.
func shownFields(h http.Header) []string {
	var lines []string
	for _, name := range []string{"Authorization", "Content-Type", "Cache-Control", "WWW-Authenticate"} {
		for _, v := range h.Values(name) {
			lines = append(lines, name+": "+shorten(v))
		}
	}
	return slices.Clip(lines)
}

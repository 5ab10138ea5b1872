package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// source gets the issuer's keys over HTTP. It is used by one goroutine at a time.
type source struct {
	identifier string
	issuer     *url.URL
	client     *http.Client
	jwksURI    string        // empty before the first discovery
	rediscover bool          // the last fetch failed: the keys may have moved
	anew       bool          // the next fetch is for a key that a cache on the way may not have yet
	timeout    time.Duration // of one request, to its last byte: fetchTimeout
}

// newSource returns a source, and what releases its connections.
func newSource(c Config) (*source, func(), error) {
	issuer, err := parseIssuer(c.Issuer, c.InsecureHTTP)
	if err != nil {
		return nil, nil, err
	}
	client, release := &http.Client{}, func() {}
	if c.Client != nil {
		*client = *c.Client
	} else if t, ok := http.DefaultTransport.(*http.Transport); ok {
		client.Transport = t.Clone()
		release = client.CloseIdleConnections
	}
	client.Jar = nil
	client.CheckRedirect = sameHost
	return &source{identifier: c.Issuer, issuer: issuer, client: client, timeout: fetchTimeout}, release, nil
}

// sameHost allows few redirects, and none to another host, port or scheme: whoever can make the
// issuer redirect must not choose who serves its keys.
func sameHost(req *http.Request, via []*http.Request) error {
	from := via[0].URL
	if req.URL.Host != from.Host || req.URL.Scheme != from.Scheme {
		return errors.New("redirect to another host")
	}
	if len(via) > maxRedirects {
		return errors.New("too many redirects")
	}
	return nil
}

// keys fetches the set, after discovery if that is due, and says how long it is fresh.
func (s *source) keys(ctx context.Context) (*jose.Set, time.Duration, error) {
	if s.jwksURI == "" || s.rediscover {
		uri, err := s.discover(ctx)
		switch {
		case err == nil:
			s.jwksURI = uri
		case s.jwksURI == "":
			return nil, 0, err
		}
		// Else the place that an earlier, good document named is still the best we know.
	}
	s.rediscover = true
	body, header, err := s.get(ctx, s.jwksURI, "application/jwk-set+json, application/json")
	if err != nil {
		return nil, 0, fmt.Errorf("fetch the keys: %w", err)
	}
	set, err := jose.ParseSet(body)
	if err != nil {
		return nil, 0, fmt.Errorf("read the keys: %w", err)
	}
	if set.Len() == 0 {
		// An empty set replaces nothing: it is what a broken issuer says, not one that withdrew
		// every key it has (RKY-11).
		return nil, 0, fmt.Errorf("read the keys: none of %d is usable, and %d hold secrets", set.Skipped(), len(set.Exposed()))
	}
	s.rediscover = false
	return set, freshness(header), nil
}

func (s *source) discover(ctx context.Context) (string, error) {
	body, _, err := s.get(ctx, metadataURL(s.issuer), "application/json")
	if err != nil {
		return "", fmt.Errorf("fetch the metadata: %w", err)
	}
	return jwksURI(body, s.issuer, s.identifier)
}

// get returns the body of a 200 and its header, within the limits of time and size.
func (s *source) get(ctx context.Context, url, accept string) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", accept)
	if s.anew {
		req.Header.Set("Cache-Control", "no-cache") // RFC 9111, Section 5.2.1.4
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("GET %s: status %d", url, resp.StatusCode)
	}
	// The limit counts what comes out of the decompressor, so a small bomb does not help.
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err == nil {
		// When our time ends, the transport hangs up, and a server that notices may still end its
		// body in good order: what was read then is a part of it that looks whole.
		err = ctx.Err()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("GET %s: %w", url, err)
	}
	if len(body) > maxBody {
		return nil, nil, fmt.Errorf("GET %s: more than %d bytes", url, maxBody)
	}
	return body, resp.Header, nil
}

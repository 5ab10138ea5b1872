package client

import (
	"context"
	"net"
	"net/http"
)

// NewUnix returns a client of the server whose admin socket lies at path. It makes no connection yet; the
// options are applied last, and may replace the HTTP client.
func NewUnix(path string, options ...ClientOption) (*ClientWithResponses, error) {
	transport := &http.Transport{
		// The host in the URL is a placeholder, and the environment's proxy has no business here.
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
		DisableCompression: true,
	}
	doer := &http.Client{
		Transport: transport,
		// The API does not redirect; whoever makes us follow one wants us elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return NewClientWithResponses("http://localhost", append([]ClientOption{WithHTTPClient(doer)}, options...)...)
}

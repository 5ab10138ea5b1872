package remote

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// DefaultKeepFor is how long keys stay usable while the issuer cannot be reached.
const DefaultKeepFor = 24 * time.Hour

// Limits of one fetch.
const (
	fetchTimeout = 5 * time.Second // from the request to the last byte
	maxBody      = 1 << 20         // bytes
	maxRedirects = 3               // all on the same host
)

// Config says whose keys to hold. Issuer is required.
type Config struct {
	// Issuer is the issuer identifier: an https URL without query and fragment (RFC 8414, Section 2).
	Issuer string

	// InsecureHTTP allows an issuer, and then a jwks_uri, that is plain http: whoever sits between
	// can replace the keys. For development on one machine.
	InsecureHTTP bool

	// Client makes the requests; nil means one of Discover's own. Its transport, and with it its
	// certificate checks and proxies, are used as they are; its redirect policy and cookies are not.
	Client *http.Client

	// KeepFor is how long after the last successful fetch keys stay usable while further fetches
	// fail; 0 means DefaultKeepFor. Keys are always usable until they expire.
	KeepFor time.Duration

	// StartUnready lets Discover return although the issuer could not be reached, so that a service
	// can start before its issuer. Until it could, every answer is ErrUnavailable. A document that is
	// wrong, and not just absent, fails all the same.
	StartUnready bool

	Now     func() time.Time // nil means time.Now
	Log     *slog.Logger     // nil means slog.Default()
	OnFetch func(Fetch)      // for metrics; called after every fetch of a Keys, one at a time; may be nil
}

// Fetch is what became of one attempt to get the keys.
type Fetch struct {
	Cause    Cause
	Err      error         // nil if the keys were replaced
	Duration time.Duration // by Config.Now
	Keys     int           // usable ones in the new set
	Skipped  int           // entries of it that were not: unknown types, bad keys
	Exposed  []string      // kids of entries that hold a secret, which were skipped (an alarm: JWK-03)
	Changed  []string      // kids whose key differs from the one they named before (an alarm: JWK-04)
}

// Cause says why a fetch was made.
type Cause string

// The causes.
const (
	CauseStart      Cause = "start"
	CauseRefresh    Cause = "refresh"
	CauseUnknownKey Cause = "unknown_key"
	CauseNamedKey   Cause = "named_key" // unknown as well, and named by the issuer: Keys.NamedKey
)

// withDefaults returns c with its defaults, or everything that is wrong with it.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	if _, err := parseIssuer(c.Issuer, c.InsecureHTTP); err != nil {
		errs = append(errs, fmt.Errorf("bad Issuer: %w", err))
	}
	if c.KeepFor < 0 {
		errs = append(errs, fmt.Errorf("a KeepFor of %v is negative", c.KeepFor))
	}
	if err := errors.Join(errs...); err != nil {
		return Config{}, fmt.Errorf("remote: %w", err)
	}
	if c.KeepFor == 0 {
		c.KeepFor = DefaultKeepFor
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.OnFetch == nil {
		c.OnFetch = func(Fetch) {}
	}
	return c, nil
}

// parseIssuer reads an issuer identifier: RFC 8414, Section 2.
func parseIssuer(issuer string, insecure bool) (*url.URL, error) {
	u, err := parseURL(issuer, insecure)
	if err != nil {
		return nil, err
	}
	if strings.Contains(issuer, "?") {
		return nil, fmt.Errorf("%q has a query", issuer)
	}
	return u, nil
}

// parseURL reads a URL that is safe to fetch keys from. http is for insecure only.
func parseURL(s string, insecure bool) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("not a URL") // the parser's error quotes what may hold a password
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%q is not an https URL", u.Redacted())
	case u.Scheme == "http" && !insecure:
		return nil, fmt.Errorf("%q is not https, and InsecureHTTP is off", u.Redacted())
	case u.Host == "" || u.Hostname() == "":
		return nil, fmt.Errorf("%q names no host", u.Redacted())
	case u.User != nil:
		return nil, errors.New("the URL holds credentials")
	case strings.Contains(s, "#"):
		return nil, fmt.Errorf("%q has a fragment", u.Redacted())
	}
	return u, nil
}

package remote

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// How long keys are fresh. The issuer says, within bounds: a key that was withdrawn verifies until
// then (ROT-08), and a shorter life than a second would put a fetch into every request.
const (
	minFresh     = time.Second
	maxFresh     = time.Hour
	defaultFresh = 5 * time.Minute // if the issuer says nothing
)

// freshness returns how long the answer may be used: max-age less the time that it lay in caches on
// its way (RFC 9111, Section 4.2). We are a private cache, so s-maxage is not for us. What cannot be
// read counts as stale, hence minFresh (Section 4.2.1).
func freshness(h http.Header) time.Duration {
	seconds, said := maxAge(h.Values("Cache-Control"))
	if !said {
		return defaultFresh
	}
	fresh := time.Duration(min(seconds, int64(maxFresh/time.Second))) * time.Second
	if age, ok := deltaSeconds(h.Get("Age")); ok {
		fresh -= time.Duration(min(age, int64(maxFresh/time.Second))) * time.Second
	}
	return max(fresh, minFresh)
}

// maxAge returns the smallest max-age; no-store, no-cache and nonsense are 0.
func maxAge(fields []string) (seconds int64, said bool) {
	for directive := range strings.SplitSeq(strings.Join(fields, ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		var n int64
		switch strings.ToLower(name) {
		case "max-age":
			n, _ = deltaSeconds(strings.Trim(value, `"`))
		case "no-store", "no-cache":
		default:
			continue
		}
		if !said || n < seconds {
			seconds, said = n, true
		}
	}
	return seconds, said
}

// deltaSeconds reads digits. What is too large for int64 is very long: RFC 9111, Section 1.2.2.
func deltaSeconds(s string) (int64, bool) {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	if s == "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return int64(maxFresh / time.Second), true
	}
	return n, true
}

package endpoint

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

// document is a public text that clients cache: the same bytes for everyone until it changes.
type document struct {
	media  string
	body   []byte
	etag   string // quoted; strong
	maxAge time.Duration
}

// newETag returns a strong entity tag that any node computes alike for the same bytes.
func newETag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}

// answerTo returns the document, or 304 when the caller has it (RFC 9110, Section 13.1.2).
func (d *document) answerTo(r *http.Request) answer {
	a := answer{status: http.StatusOK, media: d.media, body: d.body, etag: d.etag, maxAge: d.maxAge}
	if matchesAny(r.Header["If-None-Match"], d.etag) {
		a.status, a.body = http.StatusNotModified, nil
	}
	return a
}

// matchesAny compares by the weak comparison that If-None-Match asks for. A tag holds no comma here,
// so a list may be split at commas.
func matchesAny(fields []string, etag string) bool {
	for _, f := range fields {
		for candidate := range strings.SplitSeq(f, ",") {
			candidate = strings.TrimSpace(candidate)
			if candidate == "*" || strings.TrimPrefix(candidate, "W/") == etag {
				return true
			}
		}
	}
	return false
}

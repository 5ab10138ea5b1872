package endpoint

import (
	"log/slog"
	"net/http"
	"time"
)

const jwksPath = "/.well-known/jwks.json"

// jwks is the key set (RFC 7517, Section 5), as Keys made it. Without one the answer is 503: an
// empty set would make every service refuse every token (JWK-14).
func (h *Handler) jwks(c *call) answer {
	set, err := h.config.Keys.JWKS()
	if err != nil || len(set.Body) == 0 {
		h.record(c.r.Context(), slog.LevelWarn, c, entry{
			status: http.StatusServiceUnavailable, cause: causeNoKeys, err: err,
		})
		return unavailable(time.Second)
	}
	d := document{media: mediaJWKSet, body: set.Body, etag: set.ETag, maxAge: set.MaxAge}
	return d.answerTo(c.r)
}

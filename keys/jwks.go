package keys

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"time"
)

// Document is a JWKS document (RFC 7517, Section 5) as it goes out: public members only.
type Document struct {
	Body   []byte        // JSON; shared, not to be changed
	ETag   string        // strong, with its quotes (RFC 9110, Section 8.8.3); a function of Body alone
	MaxAge time.Duration // how long it may be kept: whole seconds
}

// edition is the document in force until a time; the zero time means for ever.
type edition struct {
	until    time.Time
	document Document
}

// editions writes the document as it is at now and as it will be after each withdrawal that is
// stamped, so that a key leaves by the clock, at the same second on every node. The order of keys is
// that of ring and making, the same everywhere: nodes agree on body and ETag (JWK-10). No document
// is empty (JWK-14): where nothing would be left, the list ends and [Ring.JWKS] is an error.
func editions(published []*material, now time.Time, maxAge time.Duration) []edition {
	var ends []time.Time
	for _, m := range published {
		if at := m.key.WithdrawAt; at.After(now) {
			ends = append(ends, at)
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	ends = append(slices.CompactFunc(ends, time.Time.Equal), time.Time{})

	var list []edition
	from := now
	for _, until := range ends {
		var jwks []string
		for _, m := range published {
			if !m.key.withdrawn(from) {
				jwks = append(jwks, string(m.jwk))
			}
		}
		if len(jwks) == 0 {
			break
		}
		list = append(list, edition{until: until, document: document(jwks, maxAge)})
		from = until
	}
	return list
}

func document(jwks []string, maxAge time.Duration) Document {
	body := []byte(`{"keys":[` + strings.Join(jwks, ",") + `]}`)
	sum := sha256.Sum256(body)
	return Document{
		Body:   body,
		ETag:   `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`,
		MaxAge: maxAge,
	}
}

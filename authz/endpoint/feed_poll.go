package endpoint

import (
	"context"
	"net/http"
	"slices"

	"github.com/marque-auth/marque/authz"
)

// poll answers somebody who does not stream: JSON with the messages, where to go on, and whether there is more.
func (h *Handler) poll(ctx context.Context, c *call, p *posted, r authz.FeedRequest) answer {
	after, refused := feedCursor(c)
	if refused != nil {
		return h.refuse(c, refused)
	}
	r.After = after
	page, err := h.config.Feed.Poll(ctx, r)
	if err != nil {
		return h.fail(ctx, c, p, err)
	}
	return answer{status: http.StatusOK, media: mediaJSON, body: pageBody(c.out[:0], &page), negotiated: true}
}

// feedCursor reads the query. What might be read in two ways is refused: whoever went on from another place than
// the caller meant would miss what lies between them. An empty after is none (RFC 6749, Section 3.2), and so is one
// that names no place any more: both begin with everything, which is never wrong.
func feedCursor(c *call) (after string, refused *refusal) {
	c.in = append(c.in[:0], c.r.URL.RawQuery...)
	if c.form.parse(c.in, formRules{}) != nil {
		return "", feedQuery
	}
	after = string(c.form.value("after"))
	if after != "" && !authz.IsFeedCursor(after) {
		return "", feedAfter
	}
	return after, nil
}

// pageBody writes a page. Nothing in the alphabets of a compact JWS and of a cursor is escaped in JSON.
func pageBody(out []byte, p *authz.FeedPage) []byte {
	size := len(p.Next) + 64
	for _, set := range p.Sets {
		size += len(set) + len(`"",`)
	}
	out = append(slices.Grow(out, size), `{"sets":[`...)
	for i, set := range p.Sets {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), set...), '"')
	}
	out = append(append(out, `],"next":"`...), p.Next...)
	if p.More {
		return append(out, `","more":true}`...)
	}
	return append(out, `","more":false}`...)
}

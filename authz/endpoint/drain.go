package endpoint

import "net/http"

// drain reads what the route left of a request over HTTP/2, before the answer is written.
//
// net/http resets a stream whose answer ends before its request (RFC 9113, Section 8.1). The code is
// NO_ERROR, and the answer is whole; curl and others report a broken stream all the same, in place of
// the 404 that would tell what is wrong. So a short body is read to its end, and thrown away.
//
// The rest is bounded, because a stranger decides what to send: nothing is read when the answer says
// that nothing will be, or when the declared length is over the limit, and never more than the limit
// and one octet. How slowly it comes is bounded by the server's ReadTimeout, as it is for a good
// request. Over HTTP/1.1 net/http does the same by itself, within 256 KiB, and knows better than a
// handler can that a client with Expect: 100-continue must not be asked for its body. (Over HTTP/2 it
// hides that field: such a client is asked, and read within the limit.)
func (h *Handler) drain(c *call, a *answer) {
	limit := int64(h.config.BodyLimit)
	if c.r.ProtoMajor < 2 || a.close || c.r.Body == http.NoBody || c.r.ContentLength > limit {
		return
	}
	// c.in, because it is wiped: what was sent to a wrong path can hold a secret too.
	scratch := c.in[:cap(c.in)]
	for read := int64(0); read <= limit; {
		n, err := c.r.Body.Read(scratch[:min(int64(len(scratch)), limit+1-read)])
		if read += int64(n); err != nil {
			return // the end, or the caller is gone: the answer is the same
		}
	}
}

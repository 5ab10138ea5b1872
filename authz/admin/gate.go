package admin

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/marque-auth/marque/authz"
)

const (
	maxBody = 64 << 10 // octets of a body

	reasonHeader         = "X-Marque-Reason"
	idempotencyKeyHeader = "Idempotency-Key"
)

// route finds the operation that a request asks for. Otherwise it answers, and returns false.
func (h *handler) route(w *reply, r *http.Request) (pattern string, ok bool) {
	found, pattern := h.mux.Handler(r)
	if _, known := h.operations[pattern]; known && path.Clean(r.URL.EscapedPath()) == r.URL.EscapedPath() {
		return pattern, true
	}
	// What the mux would answer tells 404, 405 and a redirect apart; redirecting a changing request
	// to a path that somebody mistyped helps nobody.
	probe := &discard{header: http.Header{}}
	found.ServeHTTP(probe, r)
	if probe.status != http.StatusMethodNotAllowed {
		problem(w, http.StatusNotFound, "there is no such path in the management API")
		return "", false
	}
	w.Header().Set("Allow", probe.header.Get("Allow"))
	problem(w, http.StatusMethodNotAllowed, "this path has other methods: see Allow")
	return "", false
}

// discard is a ResponseWriter that remembers status and header fields only.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// gate checks the form of a request, which needs no domain. When something is wrong it answers itself,
// and returns false; the answer then names what the domain finds wrong with the rest, too. Afterwards
// the body of r can be read again.
func (h *handler) gate(w *reply, c *call) bool {
	r, op := c.r, h.operations[c.operation]
	wrong := checkQuery(r.URL.RawQuery, op.query)
	var more []authz.FieldError
	c.by.Reason, more = reasonOf(r.Header)
	wrong = append(wrong, more...)
	if op.ifMatch {
		c.seen, more = seenIn(r.Header)
		wrong = append(wrong, more...)
	}
	switch n := len(r.Header.Values(idempotencyKeyHeader)); {
	case n > 1:
		wrong = append(wrong, authz.FieldError{Field: idempotencyKeyHeader, Rule: "must be sent once"})
	case op.named && r.Header.Get(idempotencyKeyHeader) == "":
		wrong = append(wrong, authz.FieldError{Field: idempotencyKeyHeader, Rule: "is required"})
	}

	body, status, detail := readBody(w, r)
	if status != 0 {
		problem(w, status, detail)
		return false
	}
	rest, more := op.checkBody(body)
	if wrong = append(wrong, more...); len(wrong) > 0 {
		h.refuse(w, c, wrong, rest)
		return false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return true
}

// refuse answers for a request whose form is wrong, and joins what is wrong with the rest of it.
func (h *handler) refuse(w *reply, c *call, wrong []authz.FieldError, rest []byte) {
	if rest != nil {
		more, err := h.judge(c, rest)
		if err != nil {
			h.fail(w, c.r, err)
			return
		}
		wrong = joined(wrong, more)
	}
	if len(wrong) == 1 && wrong[0] == noIfMatch {
		problem(w, http.StatusPreconditionRequired, "send the ETag that you read as If-Match, so that nobody else's change is lost, or *")
		return
	}
	invalid(w, wrong)
}

// noIfMatch is what is wrong with a change that does not say what it changes. Alone it is a 428 (RFC
// 6585, Section 3); together with other mistakes it is one of them.
var noIfMatch = authz.FieldError{Field: ifMatchHeader, Rule: "is required"}

// seenIn reads If-Match, and leaves it in one line, which is all that the generated code reads.
func seenIn(header http.Header) (preconditions, []authz.FieldError) {
	lines := header.Values(ifMatchHeader)
	if len(lines) == 0 {
		return preconditions{}, []authz.FieldError{noIfMatch}
	}
	all := strings.Join(lines, ", ") // RFC 9110, Section 5.3
	p, ok := parseIfMatch(all)
	if !ok {
		return preconditions{}, []authz.FieldError{{Field: ifMatchHeader, Rule: ifMatchRule}}
	}
	header.Set(ifMatchHeader, all)
	return p, nil
}

// checkBody returns what is wrong with the form of a body, and the rest, which the domain can judge; nil
// when there is nothing to judge.
func (op operation) checkBody(body []byte) (rest []byte, wrong []authz.FieldError) {
	switch {
	case op.body == nil && len(body) > 0:
		return nil, []authz.FieldError{{Field: "body", Rule: "must be empty"}}
	case op.body == nil:
		return nil, nil
	case len(body) == 0 && op.bodyOptional:
		return body, nil
	case len(body) == 0:
		return nil, []authz.FieldError{{Field: "body", Rule: "is required"}}
	}
	return op.body.check(body)
}

// readBody reads a body as a whole, or returns the status to refuse it with, and why. The media type
// does not matter while there is nothing to interpret.
func readBody(w http.ResponseWriter, r *http.Request) (body []byte, status int, detail string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, http.StatusRequestEntityTooLarge, "a body has at most 64 KiB"
	case err != nil:
		return nil, http.StatusBadRequest, "the body could not be read"
	case len(body) > 0 && !isJSON(r.Header):
		return nil, http.StatusUnsupportedMediaType, "a body is sent as Content-Type: application/json, in UTF-8, without Content-Encoding"
	}
	return body, 0, ""
}

// isJSON reports whether the header says application/json in UTF-8, not compressed, once.
func isJSON(header http.Header) bool {
	types := header.Values("Content-Type")
	if len(types) != 1 || len(header.Values("Content-Encoding")) > 0 {
		return false
	}
	mediaType, params, err := mime.ParseMediaType(types[0])
	if err != nil || mediaType != "application/json" {
		return false
	}
	charset, given := params["charset"]
	return len(params) == 0 || len(params) == 1 && given && strings.EqualFold(charset, "utf-8")
}

// checkQuery returns what is wrong with a query: a parameter that is ignored is a filter that the
// caller believes in.
func checkQuery(raw string, allowed []string) []authz.FieldError {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return []authz.FieldError{{Field: "query", Rule: "must be well-formed"}}
	}
	var wrong []authz.FieldError
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case !slices.Contains(allowed, name):
			wrong = append(wrong, authz.FieldError{Field: label(name), Rule: "is no query parameter of this operation"})
		case len(values[name]) > 1:
			wrong = append(wrong, authz.FieldError{Field: name, Rule: "must be sent once"})
		default:
			if rule := parameterRule(name, values.Get(name)); rule != "" {
				wrong = append(wrong, authz.FieldError{Field: name, Rule: rule})
			}
		}
	}
	return wrong
}

// parameterRule returns the rule that the value of a query parameter breaks, if it breaks one.
func parameterRule(name, value string) string {
	switch name {
	case "limit":
		if !isLimit(value) {
			return authz.LimitRule
		}
	case "cursor":
		if !isCursor(value) {
			return authz.CursorRule
		}
	case "revoke_tokens", "revoked":
		if value != "true" && value != "false" {
			return "must be true or false"
		}
	case "since":
		if _, err := time.Parse(time.RFC3339, value); err != nil {
			return timeRule
		}
	case "query", "actor", "action", "target":
		if !authz.ValidFilter(value) {
			return authz.FilterRule
		}
	}
	return ""
}

func isLimit(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && authz.ValidLimit(n) && strconv.Itoa(n) == s
}

// reasonOf returns the reason that the caller gives. A secret pasted into it would be kept for ever,
// so what looks like one is redacted.
func reasonOf(header http.Header) (string, []authz.FieldError) {
	values := header.Values(reasonHeader)
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", []authz.FieldError{{Field: reasonHeader, Rule: "must be sent once"}}
	case !authz.ValidReason(values[0]):
		return "", []authz.FieldError{{Field: reasonHeader, Rule: authz.ReasonRule}}
	}
	return authz.Redact(values[0]), nil
}

package admin

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/marque-auth/marque/authz"
)

const (
	ifMatchHeader = "If-Match"
	maxIfMatch    = 512 // octets
	ifMatchRule   = `must be an entity tag such as "7", several of them, or *`
)

// etag writes the version of a record as a strong entity tag (RFC 9110, Section 8.8.3): two answers with
// the same one show the same record.
func etag(version uint64) string { return `"` + strconv.FormatUint(version, 10) + `"` }

// preconditions is what If-Match says: which versions of a record the caller has seen.
type preconditions struct {
	any      bool
	versions []uint64 // of the strong tags that can be ours, each once; perhaps none
}

// parseIfMatch reads the value of If-Match (RFC 9110, Section 13.1.1). ok is false when it is not
// well-formed. A tag that is weak never matches (Section 8.8.3.2), and neither does one that we cannot
// have written: `"07"` is not `"7"`.
func parseIfMatch(s string) (p preconditions, ok bool) {
	if len(s) > maxIfMatch {
		return p, false
	}
	s = strings.Trim(s, " \t")
	if s == "*" {
		return preconditions{any: true}, true
	}
	tags := 0
	for s != "" {
		if s[0] == ',' { // an empty element of the list (RFC 9110, Section 5.6.1.2)
			s = strings.TrimLeft(s[1:], " \t")
			continue
		}
		opaque, weak, rest, ok := cutTag(s)
		rest = strings.TrimLeft(rest, " \t")
		if !ok || rest != "" && rest[0] != ',' {
			return preconditions{}, false
		}
		tags++
		if v, ours := version(opaque); ours && !weak && !slices.Contains(p.versions, v) {
			p.versions = append(p.versions, v)
		}
		s = rest
	}
	return p, tags > 0
}

// cutTag takes one entity tag off the front of s.
func cutTag(s string) (opaque string, weak bool, rest string, ok bool) {
	s, weak = strings.CutPrefix(s, "W/")
	s, ok = strings.CutPrefix(s, `"`)
	if !ok {
		return "", false, "", false
	}
	opaque, rest, ok = strings.Cut(s, `"`)
	outside := func(c rune) bool { return c < 0x21 || c == 0x7f }
	return opaque, weak, rest, ok && strings.IndexFunc(opaque, outside) < 0
}

// version reads what etag wrote, without its quotation marks.
func version(opaque string) (uint64, bool) {
	v, err := strconv.ParseUint(opaque, 10, 64)
	return v, err == nil && strconv.FormatUint(v, 10) == opaque
}

// match turns what the caller has seen into the one version that the domain compares and swaps. Of
// several it is the one that is stored now, if that is among them; current is asked only then. Versions
// begin at 1, so 0 matches nothing.
func (p preconditions) match(current func() (uint64, error)) (authz.Match, error) {
	switch {
	case p.any:
		return authz.Match{Any: true}, nil
	case len(p.versions) == 0:
		return authz.Match{}, nil
	case len(p.versions) == 1:
		return authz.Match{Version: p.versions[0]}, nil
	}
	now, err := current()
	switch {
	case err == nil && slices.Contains(p.versions, now):
		return authz.Match{Version: now}, nil
	case err == nil || errors.Is(err, authz.ErrNotFound): // perhaps deleted already: the domain says
		return authz.Match{Version: p.versions[0]}, nil
	}
	return authz.Match{}, err
}

// seen returns what the caller of an operation that needs If-Match has seen; the gate has read it.
func seen(ctx context.Context) preconditions {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c.seen
	}
	return preconditions{}
}

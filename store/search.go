package store

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz"
)

// ClientSearch opens, of many stored clients, those that are wanted. It authenticates every record it
// is shown and decodes no more of the others than their beginning. Not safe for concurrent use.
type ClientSearch struct {
	env  *Envelope
	auth *authenticator
	text []byte // lower case
	fold []byte // scratch
}

// SearchClients returns a search for the clients that are not deleted and whose identifier or name
// contains text, whatever the case of ASCII letters. The empty text is in all.
func (e *Envelope) SearchClients(text string) *ClientSearch {
	return &ClientSearch{env: e, auth: e.authenticator(), text: appendLower(nil, text)}
}

// Open returns the client stored under id if it is one of those looked for. The error is a
// *RecordError, whether or not it is.
func (s *ClientSearch) Open(id, sealed []byte) (c authz.Client, found bool, err error) {
	version, body, err := s.env.openWith(s.auth, KindClient, id, sealed)
	if err != nil {
		return authz.Client{}, false, err
	}
	name, deleted, ok := clientHead(body)
	if ok && (deleted || !s.matches(id) && !s.matches(name)) {
		return authz.Client{}, false, nil
	}
	c, err = openClientBody(authz.ClientID(id), sealed[0], version, body)
	if err != nil {
		return authz.Client{}, false, err
	}
	found = ok || c.DeletedAt.IsZero() && (s.matches(id) || s.matches([]byte(c.Name)))
	return c, found, nil
}

func (s *ClientSearch) matches(text []byte) bool {
	s.fold = appendLower(s.fold[:0], text)
	return bytes.Contains(s.fold, s.text)
}

// appendLower appends text with its ASCII letters in lower case. Folding more would need rules that
// differ by language, and by version of Unicode.
func appendLower[T ~string | ~[]byte](to []byte, text T) []byte {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		to = append(to, c)
	}
	return to
}

// The members that a client's body begins with: see clientForm. Only these two are there to be found
// without reading on.
var (
	deletedHead = []byte(`{"deleted_at":`)
	nameHead    = []byte(`{"name":`)
)

// clientHead reads what the body of an authenticated client begins with. ok is false for a body that
// begins otherwise, which must be decoded to say anything of it.
func clientHead(body []byte) (name []byte, deleted, ok bool) {
	if bytes.HasPrefix(body, deletedHead) {
		return nil, true, true
	}
	rest, ok := bytes.CutPrefix(body, nameHead)
	if !ok || len(rest) == 0 || rest[0] != '"' {
		return nil, false, false
	}
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '"':
			return rest[1:i], false, true
		case '\\':
			return unquotedHead(rest)
		}
	}
	return nil, false, false
}

// unquotedHead is clientHead for a name with escapes.
func unquotedHead(rest []byte) (name []byte, deleted, ok bool) {
	quoted, err := jsontext.NewDecoder(bytes.NewBuffer(rest)).ReadValue()
	if err != nil {
		return nil, false, false
	}
	name, err = jsontext.AppendUnquote(nil, quoted)
	return name, false, err == nil
}

package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz"
)

// shape is what a JSON body must look like: the members of a generated struct. Whoever sends a member
// that is not in it, or null, or a wrong type, believes in something that will not happen, and is told.
type shape struct {
	members map[string]member
}

type member struct {
	typ      reflect.Type
	required bool
	empty    bool // an empty string is a value, or the domain says why not; elsewhere it is most often a variable that was not set
}

// shapeOf returns the shape of the generated struct T, whose fields are pointers, with omitempty, when
// the member is optional. The named members may be empty strings.
func shapeOf[T any](mayBeEmpty ...string) *shape {
	t := reflect.TypeFor[T]()
	s := &shape{members: make(map[string]member, t.NumField())}
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		s.members[name] = member{
			typ:      f.Type,
			required: !strings.Contains(options, "omitempty"),
			empty:    slices.Contains(mayBeEmpty, name),
		}
	}
	return s
}

// check returns everything that is wrong with the form of a body, in the order of the body, and the rest:
// an object of the members that can be read. Repeated members and invalid UTF-8 are syntax errors, and
// end the reading: nobody can say what the rest, nil then, would mean.
func (s *shape) check(body []byte) (rest []byte, wrong []authz.FieldError) {
	dec := jsontext.NewDecoder(bytes.NewReader(body)) // refuses both by default
	if dec.PeekKind() != '{' {
		return nil, []authz.FieldError{{Field: "body", Rule: "must be a JSON object"}}
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, []authz.FieldError{syntaxError(err)}
	}
	rest = []byte{'{'}
	seen := make(map[string]bool)
	for dec.PeekKind() == '"' {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, append(wrong, syntaxError(err))
		}
		name := token.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, append(wrong, syntaxError(err))
		}
		seen[name] = true
		if bad := s.checkMember(name, value); bad != nil {
			wrong = append(wrong, bad...)
		} else {
			rest = appendMember(rest, name, value)
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, append(wrong, syntaxError(err))
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, append(wrong, authz.FieldError{Field: "body", Rule: "must be one JSON object and nothing after it"})
	}
	return append(rest, '}'), append(wrong, s.missing(seen)...)
}

// appendMember adds a member of the document to an object that is not closed yet. The value stays as it
// was written: claims are counted in octets.
func appendMember(object []byte, name string, value jsontext.Value) []byte {
	if len(object) > 1 {
		object = append(object, ',')
	}
	object = append(strconv.AppendQuote(object, name), ':')
	return append(object, value...)
}

func (s *shape) checkMember(name string, value jsontext.Value) []authz.FieldError {
	m, known := s.members[name]
	if !known {
		return []authz.FieldError{{Field: label(name), Rule: "is no member of this body"}}
	}
	if place, rule := misfit(m.typ, value); rule != "" {
		return []authz.FieldError{{Field: name + place, Rule: rule}}
	}
	if string(value) == `""` && !m.empty {
		return []authz.FieldError{{Field: name, Rule: "must not be empty"}}
	}
	return nil
}

func (s *shape) missing(seen map[string]bool) []authz.FieldError {
	var wrong []authz.FieldError
	for _, name := range slices.Sorted(maps.Keys(s.members)) {
		if s.members[name].required && !seen[name] {
			wrong = append(wrong, authz.FieldError{Field: name, Rule: "is required"})
		}
	}
	return wrong
}

const timeRule = "must be a time as RFC 3339 writes it, such as 2026-01-02T15:04:05Z"

// misfit returns the rule that a value breaks when it does not fit a Go type, and the place inside the
// value, as a JSON pointer (RFC 6901). Both are empty when it fits.
func misfit(t reflect.Type, value jsontext.Value) (place, rule string) {
	if t.Kind() == reflect.Pointer {
		return misfit(t.Elem(), value)
	}
	switch {
	case t == reflect.TypeFor[json.RawMessage]():
		return "", "" // any value: the domain judges it
	case t == reflect.TypeFor[time.Time]():
		if new(time.Time).UnmarshalJSON(value) != nil || value.Kind() == 'n' {
			return "", timeRule
		}
	case t.Kind() == reflect.String:
		if value.Kind() != '"' {
			return "", "must be a string"
		}
	case t.Kind() == reflect.Int64:
		if _, err := strconv.ParseInt(string(value), 10, 64); err != nil {
			return "", "must be an integer"
		}
	case t.Kind() == reflect.Bool:
		if value.Kind() != 't' && value.Kind() != 'f' {
			return "", "must be true or false"
		}
	case t.Kind() == reflect.Slice:
		return misfitArray(t, value)
	case t.Kind() == reflect.Map:
		if value.Kind() != '{' {
			return "", "must be an object"
		}
	default:
		return "", "cannot be set" // a type that the document does not have today
	}
	return "", ""
}

func misfitArray(t reflect.Type, value jsontext.Value) (place, rule string) {
	if value.Kind() != '[' {
		return "", "must be an array"
	}
	var items []json.RawMessage
	if err := json.Unmarshal(value, &items); err != nil {
		return "", "must be an array"
	}
	for i, item := range items {
		if inner, rule := misfit(t.Elem(), jsontext.Value(item)); rule != "" {
			return "/" + strconv.Itoa(i) + inner, rule
		}
	}
	return "", ""
}

// syntaxError describes what is no JSON, or not the JSON that we read, without echoing it.
func syntaxError(err error) authz.FieldError {
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		return authz.FieldError{Field: "body", Rule: "ends too early"}
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return authz.FieldError{Field: label(strings.TrimPrefix(string(syntax.JSONPointer), "/")), Rule: "must not be repeated"}
	}
	return authz.FieldError{Field: "body", Rule: "is not JSON in UTF-8, at octet " + strconv.FormatInt(syntax.ByteOffset+1, 10)}
}

// maxLabel bounds what of a name that a stranger chose is repeated to them, in octets.
const maxLabel = 64

// label returns the name of a field that is not ours, so that it may be shown: a secret pasted in
// front of a colon is still a secret.
func label(name string) string {
	name = authz.Redact(name)
	if len(name) <= maxLabel {
		return name
	}
	cut := maxLabel
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut] + "…"
}

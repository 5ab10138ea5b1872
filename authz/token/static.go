package token

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of one static claim, in bytes and levels. A token has room for a few of them (MaxSize).
const (
	MaxStaticName  = 256
	MaxStaticValue = 1024
	maxStaticDepth = 8
)

// CheckStatic says whether a client may be configured with this claim, and if not, why, in a
// sentence for the admin.
//
// The name is not reserved (ReservedClaim), and is collision-resistant: an absolute URI (CLM-03), or
// one of roles, groups and entitlements, which keep their registered type (RFC 7643, Section 4.1.2;
// CLM-04): an array of strings, or of objects with a value. Other registered names are refused, for
// their types and meanings are not known here. The value is valid, compact JSON without duplicate
// members, not null, not empty, at most MaxStaticValue bytes (CLM-07).
func CheckStatic(name string, value jsontext.Value) error {
	switch {
	case len(name) > MaxStaticName:
		return fmt.Errorf("the name is longer than %d bytes", MaxStaticName)
	case ReservedClaim(name):
		return errors.New("the name is reserved, or looks like one that is")
	case strings.ContainsAny(name, `"\`):
		return errors.New("the name has a quote or a backslash")
	case len(value) > MaxStaticValue:
		return fmt.Errorf("the value is longer than %d bytes", MaxStaticValue)
	}
	if err := checkValue(value); err != nil {
		return err
	}
	switch name {
	case "roles", "groups", "entitlements":
		return checkSCIM(value)
	}
	if !absoluteURI(name) {
		return errors.New("the name is not an absolute URI, nor one of roles, groups, entitlements")
	}
	return nil
}

func absoluteURI(name string) bool {
	u, err := url.Parse(name)
	if err != nil || u.User != nil {
		return false
	}
	return len(u.Scheme) > 1 && (u.Host != "" || u.Opaque != "")
}

// checkValue walks the value once. Numbers that no float64 can hold are refused, since verifiers
// differ in what they read then; so are empty strings, arrays and objects at the top, which say
// nothing and mean different things to different readers.
func checkValue(value jsontext.Value) error {
	if !value.IsValid() {
		return errors.New("the value is not valid JSON, or has duplicate members")
	}
	compact := value.Clone()
	if err := compact.Compact(); err != nil || len(compact) != len(value) {
		return errors.New("the value is not compact JSON")
	}
	switch string(value) {
	case `null`, `""`, `[]`, `{}`:
		return errors.New("the value is null or empty")
	}
	d := jsontext.NewDecoder(strings.NewReader(string(value)))
	for {
		t, err := d.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errors.New("the value is not valid JSON")
		}
		if d.StackDepth() > maxStaticDepth {
			return fmt.Errorf("the value is nested deeper than %d levels", maxStaticDepth)
		}
		if t.Kind() == '0' && !finite(t.String()) {
			return errors.New("the value holds a number that is too large")
		}
	}
}

func finite(number string) bool {
	f, err := strconv.ParseFloat(number, 64)
	return err == nil && !math.IsInf(f, 0)
}

// checkSCIM wants an array of non-empty strings, or of objects with a non-empty string value and
// beside it only what RFC 7643, Section 2.4 knows.
func checkSCIM(value jsontext.Value) error {
	errForm := errors.New("the value is not an array of strings, or of objects with a value (RFC 7643, Section 4.1.2)")
	d := jsontext.NewDecoder(strings.NewReader(string(value)))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '[' {
		return errForm
	}
	for d.PeekKind() != ']' {
		t, err := d.ReadToken()
		switch {
		case err != nil:
			return errForm
		case t.Kind() == '"' && t.String() != "":
		case t.Kind() == '{':
			if !scimObject(d) {
				return errForm
			}
		default:
			return errForm
		}
	}
	return nil
}

// scimObject reads the members of an object whose brace was read, and the closing brace.
func scimObject(d *jsontext.Decoder) bool {
	hasValue := false
	for {
		t, err := d.ReadToken()
		if err != nil {
			return false
		}
		if t.Kind() == '}' {
			return hasValue
		}
		name := t.String()
		v, err := d.ReadToken()
		if err != nil {
			return false
		}
		switch name {
		case "value":
			hasValue = v.Kind() == '"' && v.String() != ""
			if !hasValue {
				return false
			}
		case "display", "type", "$ref":
			if v.Kind() != '"' {
				return false
			}
		case "primary":
			if v.Kind() != 't' && v.Kind() != 'f' {
				return false
			}
		default:
			return false
		}
	}
}

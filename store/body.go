package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// KindCredential is the kind of an entry of the credential index. No Change ever names it: the index
// changes only together with the client that it points to.
const KindCredential Kind = "credential"

// seal writes a stored form and seals it. Nothing is sealed that open would refuse: a record that
// cannot be read back must never reach the store.
func seal[T any](e *Envelope, kind Kind, key string, version uint64, form T) ([]byte, error) {
	if err := checkID(kind, key); err != nil {
		return nil, err
	}
	if version == 0 {
		return nil, fmt.Errorf("store: %s %q: a stored record's version is at least 1", kind, key)
	}
	body, err := marshal(form)
	if err != nil {
		return nil, fmt.Errorf("store: %s %q: %w", kind, key, err)
	}
	return e.Seal(kind, key, version, body), nil
}

// stored is a stored form: a pointer to T that says what the members of a format are read into, so
// that a body cannot have a member which its format did not have. nil: no record of that format ever
// had this form.
type stored[T any] interface {
	*T
	of(format byte) any
}

// open checks a sealed record and reads its stored form. The form shares nothing with sealed.
func open[T any, P stored[T]](e *Envelope, kind Kind, key string, sealed []byte) (form T, version uint64, err error) {
	version, body, err := e.Open(kind, key, sealed)
	if err != nil {
		return form, 0, err
	}
	form, err = openBody[T, P](kind, key, sealed[0], body)
	return form, version, err
}

// openBody reads the form from a body whose format, like itself, is authentic.
func openBody[T any, P stored[T]](kind Kind, key string, format byte, body []byte) (form T, err error) {
	into := P(&form).of(format)
	if into == nil {
		return form, damaged(kind, key, "its format had no records of this kind")
	}
	if err := unmarshal(body, into); err != nil {
		return form, damaged(kind, key, err.Error())
	}
	return form, nil
}

func marshal(form any) ([]byte, error) {
	// Raw strings are kept as they are: a static claim is to read back byte for byte.
	b, err := json.Marshal(form, jsontext.PreserveRawStrings(true))
	if err != nil {
		return nil, fmt.Errorf("has no JSON form%s", at(err))
	}
	return b, nil
}

// unmarshal is strict: a record of this format has no member that this program does not know, so an
// unknown one means that something else wrote it.
func unmarshal(b []byte, form any) error {
	if len(b) == 0 || b[0] != '{' { // null would pass for an object without members
		return errors.New("its body is not a JSON object")
	}
	if err := json.Unmarshal(b, form, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("its body is not what its format says%s", at(err))
	}
	return nil
}

// at says where JSON went wrong. The library's own message may quote what it found there, and that
// could be a digest or a sealed key.
func at(err error) string {
	var semantic *json.SemanticError
	if errors.As(err, &semantic) && semantic.JSONPointer != "" {
		return " (at " + string(semantic.JSONPointer) + ")"
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) && syntactic.JSONPointer != "" {
		return " (at " + string(syntactic.JSONPointer) + ")"
	}
	return ""
}

// maxSeconds bounds stored durations far above any setting and far below what time.Duration holds.
const maxSeconds = 1 << 31

// seconds is a duration as it is stored. Cutting off a fraction would change a setting behind its
// owner's back, so it is an error.
func seconds(d time.Duration) (int64, error) {
	s := int64(d / time.Second)
	if d%time.Second != 0 || s < 0 || s > maxSeconds {
		return 0, fmt.Errorf("duration %v: only whole seconds from 0 to %d can be stored", d, int64(maxSeconds))
	}
	return s, nil
}

func duration(s int64) (time.Duration, error) {
	if s < 0 || s > maxSeconds {
		return 0, errors.New("its body holds an impossible duration")
	}
	return time.Duration(s) * time.Second, nil
}

// retyped converts between a domain's string type and plain strings.
func retyped[To, From ~string](in []From) []To {
	if len(in) == 0 {
		return nil
	}
	out := make([]To, len(in))
	for i, s := range in {
		out[i] = To(s)
	}
	return out
}

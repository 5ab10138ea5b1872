package audit

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// View is a record as the log shows it: members of the management API and their values, which must
// marshal to JSON. Nil is the view of no record. Who makes a View names each member: what a record
// gains does not reach the log by itself.
type View map[string]any

// Diff returns what differs between two views of one record, for an Entry: each one compact JSON
// object with the names in order, nil for no record.
func Diff(before, after View) (b, a jsontext.Value, err error) {
	was, err := members(before)
	if err != nil {
		return nil, nil, err
	}
	is, err := members(after)
	if err != nil {
		return nil, nil, err
	}
	for name, value := range was {
		if other, ok := is[name]; ok && bytes.Equal(value, other) {
			delete(was, name)
			delete(is, name)
		}
	}
	return object(was), object(is), nil
}

// members returns the members of a view as JSON; nil for no record.
func members(v View) (map[string]jsontext.Value, error) {
	if v == nil {
		return nil, nil
	}
	out := make(map[string]jsontext.Value, len(v))
	for name, value := range v {
		encoded, err := json.Marshal(value, json.Deterministic(true))
		if err != nil {
			return nil, fmt.Errorf("audit: member %s: %w", name, err)
		}
		text := jsontext.Value(encoded)
		if err := text.Compact(); err != nil {
			return nil, fmt.Errorf("audit: member %s: %w", name, err)
		}
		out[name] = text
	}
	return out, nil
}

func object(members map[string]jsontext.Value) jsontext.Value {
	if members == nil {
		return nil
	}
	out := jsontext.Value{'{'}
	for i, name := range slices.Sorted(maps.Keys(members)) {
		if i > 0 {
			out = append(out, ',')
		}
		out, _ = jsontext.AppendQuote(out, name) // names are constants of this program
		out = append(append(out, ':'), members[name]...)
	}
	return append(out, '}')
}

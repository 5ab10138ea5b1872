package store

import "fmt"

// Reseal returns a record that comes from another store, where it was opened, as it is stored under this
// envelope: its format is the octet that it began with there. Whether its body is what its kind and format say
// is for OpenClient and its siblings to find: open what was sealed before it is used. A format that this program
// does not know is an ErrNewerFormat.
func (e *Envelope) Reseal(format byte, kind Kind, key string, version uint64, body []byte) ([]byte, error) {
	switch {
	case format > Format:
		return nil, newer(kind, key)
	case format < formatFirst:
		return nil, damaged(kind, key, "it has no format")
	case version == 0:
		return nil, damaged(kind, key, "its version is 0")
	}
	if err := checkID(kind, key); err != nil {
		return nil, fmt.Errorf("store: %s %q: %w", kind, key, err)
	}
	return e.sealAs(format, kind, key, version, body), nil
}

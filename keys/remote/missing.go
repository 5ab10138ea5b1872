package remote

import "time"

// Limits of what strangers can cause by naming keys that do not exist.
const (
	unknownInterval = 30 * time.Second // between fetches for unknown kids, per issuer
	namedInterval   = time.Second      // likewise, for those that the issuer named: see NamedKey
	missingTTL      = 2 * time.Minute  // how long a kid that was looked for stays missing
	maxMissing      = 64
)

// missing remembers kids that a fetch was made for and that it did not bring, so that one that keeps
// coming, such as a withdrawn key's, does not use up the fetches that a new key needs (RKY-05). The
// interval above keeps it at a handful of entries; maxMissing holds whatever becomes of that. The
// zero value is empty.
type missing struct{ until map[string]time.Time }

func (m *missing) has(kid string, now time.Time) bool {
	until, ok := m.until[kid]
	return ok && now.Before(until)
}

func (m *missing) add(kid string, now time.Time) {
	for k, until := range m.until {
		if !now.Before(until) {
			delete(m.until, k)
		}
	}
	if m.until == nil {
		m.until = make(map[string]time.Time)
	}
	if len(m.until) < maxMissing {
		m.until[kid] = now.Add(missingTTL)
	}
}

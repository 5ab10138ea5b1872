package store

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// MovedKinds returns the kinds that a Mover moves.
func MovedKinds() []Kind {
	return []Kind{KindResource, KindRing, KindClient, KindCredential, KindRevocation, KindAudit}
}

// CheckStored refuses records that Mover.Restore cannot put, whatever is there: of no such kind, without a usable key
// or content, one twice, or audit entries that do not follow each other. The error does not quote content.
func CheckStored(records []Stored) error {
	type place struct {
		kind Kind
		key  string
	}
	seen := make(map[place]struct{}, len(records))
	var last uint64 // audit entry
	for _, r := range records {
		at := place{r.Kind, r.Key}
		if _, twice := seen[at]; twice {
			return fmt.Errorf("store: %s %q comes twice", r.Kind, r.Key)
		}
		seen[at] = struct{}{}
		if err := r.check(); err != nil {
			return err
		}
		if r.Kind != KindAudit {
			continue
		}
		n, _ := AuditNumber(r.Key)
		if last != 0 && n != last+1 {
			return fmt.Errorf("store: audit entry %d does not follow %d", n, last)
		}
		last = n
	}
	return nil
}

func (r Stored) check() error {
	if !slices.Contains(MovedKinds(), r.Kind) {
		return fmt.Errorf("store: a %q cannot be moved", r.Kind)
	}
	if err := checkID(r.Kind, r.Key); err != nil {
		return err
	}
	if !r.Ends.IsZero() && (r.Kind != KindRevocation || r.Ends.Nanosecond() != 0) {
		return fmt.Errorf("store: %s %q: only a revocation ends, and that at a whole second", r.Kind, r.Key)
	}
	if r.Kind != KindAudit {
		version, err := PeekVersion(r.Kind, r.Key, r.Octets)
		return cmp.Or(err, CheckFloor(version))
	}
	if _, ok := AuditNumber(r.Key); !ok {
		return errAuditNumber
	}
	_, err := DecodeEntry(r.Key, r.Octets)
	return err
}

var errAuditNumber = errors.New("store: an audit entry is moved under its number")

// AuditNumber reads the key of an audit entry that is moved: a number from 1.
func AuditNumber(key string) (n uint64, ok bool) {
	n, err := strconv.ParseUint(key, 10, 64)
	return n, err == nil && n > 0 && strconv.FormatUint(n, 10) == key
}

// maxVersion bounds the versions of what is moved, far above any: versions count changes, and a script of Redis
// counts in numbers of 53 bits.
const maxVersion = 1e15 - 1

// CheckFloor refuses a version after which nothing could come.
func CheckFloor(version uint64) error {
	if version > maxVersion {
		return fmt.Errorf("store: version %d cannot be moved", version)
	}
	return nil
}

package redisstore

import (
	"strings"

	"github.com/marque-auth/marque/store"
)

// names builds every key of one namespace. The namespace is the hash tag: in a Cluster all of them lie
// in one slot, because what commits whole must lie together.
type names struct{ prefix string }

func newNames(namespace string) names { return names{"{" + namespace + "}:"} }

// The keys that stand alone. README.md says what each holds.
const (
	nameEpoch   = "epoch"
	nameGenesis = "installation"
	nameChanges = "changes"
	nameAudit   = "audit"
	nameFloor   = "revocation-floor"
	nameEnds    = "revocation-ends"
)

func (n names) of(name string) string { return n.prefix + name }

// record is the key of a record. An identifier comes last, so that no character of it means anything.
func (n names) record(kind store.Kind, id string) string { return n.prefix + string(kind) + ":" + id }

// index is the key of the ordered set that lists the identifiers of a kind.
func (n names) index(kind store.Kind) string { return n.prefix + string(kind) + "-index" }

// indexed are the kinds that have an index. Owners of credentials have none: nobody lists them.
func indexed() []store.Kind {
	return []store.Kind{store.KindClient, store.KindResource, store.KindRing, store.KindRevocation}
}

// kindOf reads a key of a record; ok is false for one that is not.
func (n names) kindOf(key string) (kind store.Kind, id string, ok bool) {
	rest, ours := strings.CutPrefix(key, n.prefix)
	name, id, cut := strings.Cut(rest, ":")
	if !ours || !cut {
		return "", "", false
	}
	for _, k := range append(indexed(), store.KindCredential) {
		if name == string(k) {
			return k, id, true
		}
	}
	return "", "", false
}

// alone reports whether a key is one of those that stand alone, or an index.
func (n names) alone(key string) bool {
	for _, name := range []string{nameEpoch, nameGenesis, nameChanges, nameAudit, nameFloor, nameEnds} {
		if key == n.of(name) {
			return true
		}
	}
	for _, k := range indexed() {
		if key == n.index(k) {
			return true
		}
	}
	return false
}

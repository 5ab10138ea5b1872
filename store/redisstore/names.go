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

// The types of Redis that our keys have.
const (
	typeString = "string"
	typeStream = "stream"
	typeSet    = "zset"
)

// standing are the keys that stand alone and the indexes, and what type each has.
func (n names) standing() map[string]string {
	all := map[string]string{
		n.of(nameEpoch):   typeString,
		n.of(nameGenesis): typeString,
		n.of(nameFloor):   typeString,
		n.of(nameChanges): typeStream,
		n.of(nameAudit):   typeStream,
		n.of(nameEnds):    typeSet,
	}
	for _, k := range indexed() {
		all[n.index(k)] = typeSet
	}
	return all
}

// typeOf is the type that a key of ours has.
func (n names) typeOf(key string) string {
	if t, ok := n.standing()[key]; ok {
		return t
	}
	return typeString // a record
}

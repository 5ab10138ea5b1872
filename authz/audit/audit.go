// Package audit holds the one form in which Marque remembers who changed what.
//
// It is a leaf: keys, authz and store import it, and it imports nothing of theirs. Entries are
// committed in the same transaction as the change they describe; chaining them comes later, the
// format is fixed now.
package audit

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// ActorKind says how an actor was recognised.
type ActorKind string

// The kinds of actor.
const (
	ActorUID    ActorKind = "uid"    // a local user, by the peer credentials of the admin socket
	ActorClient ActorKind = "client" // an admin client, by its access token
	ActorSystem ActorKind = "system" // the server itself, such as the key timeline
)

// Actor is who did something: a kind and the identifier that is unique within it.
type Actor struct {
	Kind ActorKind
	ID   string
}

// String returns kind:id.
func (a Actor) String() string { return string(a.Kind) + ":" + a.ID }

// System is the actor of what the server does by itself; part names the room, such as "keys".
func System(part string) Actor { return Actor{Kind: ActorSystem, ID: part} }

// Origin is where a change came from. A management operation takes one from its caller and copies
// it into the entry that is committed with the change.
type Origin struct {
	Actor     Actor
	Reason    string // free text of the caller; empty when none was given
	RequestID string // the X-Request-Id of the call; empty for the server's own acts
}

// Entry is one line of the audit log. It never holds a secret, a token or an assertion.
type Entry struct {
	ID   string    // its place in the log; set when it is read
	Time time.Time // UTC
	Origin
	Action string // a dotted verb, such as "client.create"
	Target string // the identifier of what was acted on
	Result string // ResultDone, or ResultRefused where a refused act is recorded

	// Before and After are the members of the record that the act changed, each one compact JSON object
	// in the management API's names; nil where there was, or is, no record. What would reveal a secret
	// is not among them.
	Before, After jsontext.Value
}

// The results of an act.
const (
	ResultDone    = "done"
	ResultRefused = "refused"
)

// Done returns the entry of an act that succeeds if and only if the entry is committed.
func (o Origin) Done(now time.Time, action, target string) Entry {
	return Entry{Time: now.UTC(), Origin: o, Action: action, Target: target, Result: ResultDone}
}

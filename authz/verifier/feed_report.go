package verifier

import (
	"maps"
	"time"

	"github.com/marque-auth/marque/authz/token"
)

// FeedMode is how calls are judged at the moment, for metrics.
type FeedMode string

// The modes.
const (
	ModeFollowing   FeedMode = "following"   // by what the feed said
	ModeOpen        FeedMode = "open"        // by what it said before it fell silent: SilentOpen
	ModeIntrospects FeedMode = "introspects" // by that, and the issuer is asked: SilentIntrospect
	ModeClosed      FeedMode = "closed"      // not at all: 503
)

// FeedCause says why a stream ended, or could not begin.
type FeedCause string

// The causes. Those after FeedTimeout say that what came was not believed.
const (
	FeedDiscovery FeedCause = "discovery" // the issuer's metadata cannot be had, or names no feed
	FeedConnect   FeedCause = "connect"   // the endpoint does not answer
	FeedRefused   FeedCause = "refused"   // it does not take this service's client
	FeedAnswer    FeedCause = "answer"    // it answered with another status than 200, or with no stream
	FeedEnded     FeedCause = "ended"     // the issuer ended the stream, as it does now and then
	FeedBroken    FeedCause = "broken"    // it broke off
	FeedTimeout   FeedCause = "timeout"   // nothing that counts came in time

	FeedFrame     FeedCause = "frame"     // longer than any of the feed
	FeedForm      FeedCause = "form"      // not a signed event of the feed
	FeedType      FeedCause = "type"      // another kind of JWT
	FeedKey       FeedCause = "key"       // the issuer has no such key, or it is revoked
	FeedKeysAway  FeedCause = "keys_away" // the issuer's keys cannot be had
	FeedSignature FeedCause = "signature" // does not verify
	FeedIssuer    FeedCause = "issuer"    // somebody else's
	FeedAudience  FeedCause = "audience"  // of another feed
	FeedClock     FeedCause = "clock"     // clocks differ by more than a minute, or it was kept back
	FeedGap       FeedCause = "gap"       // something before it is missing
	FeedReplay    FeedCause = "replay"    // it was there before
	FeedSnapshot  FeedCause = "snapshot"  // a part that does not follow the one before
	FeedLimit     FeedCause = "limit"     // more than MaxRevocations
)

// FeedWhat says what a FeedReport is about.
type FeedWhat string

// What is reported.
const (
	FeedConnected FeedWhat = "connected" // the issuer answered with a stream
	FeedInstalled FeedWhat = "snapshot"  // all that is revoked was put in place of what was known
	FeedRevoked   FeedWhat = "revoked"   // one revocation counts from now on
	FeedHeard     FeedWhat = "heartbeat" // nothing else happened
	FeedDropped   FeedWhat = "dropped"   // the stream ended, or did not begin: Cause and Err
)

// FeedReport is one step of following, for metrics.
type FeedReport struct {
	What        FeedWhat
	Kind        token.RevocationKind // of FeedRevoked
	Lag         time.Duration        // from when the event was issued until it counted, by both clocks; whole seconds at the issuer's
	Revocations int                  // held now
	Cause       FeedCause            // of FeedDropped
	Err         error                // of FeedDropped; holds nothing of what came
}

// FeedStatus is where following stands.
type FeedStatus struct {
	Mode      FeedMode
	Known     bool          // there was a snapshot; until then nothing is known
	Age       time.Duration // of the knowledge, if there is any; the longest there is after the clock was put back
	AsOf      time.Time     // up to when the issuer vouched
	Connected bool          // there is a stream; says nothing of what comes of it
	Lag       time.Duration // of the last event: see FeedReport

	Revocations int   // held now
	Err         error // why the last stream ended; nil after something was heard again

	Dropped map[FeedCause]uint64 // streams that ended, or did not begin, by cause
	Refused uint64               // calls that were refused because the feed revoked their token
	Closed  uint64               // calls that were not judged, because it is silent
	Open    uint64               // calls that were let through although it is silent: SilentOpen
	Asked   uint64               // calls that the issuer was asked about because it is silent
}

// FeedStatus reports for metrics, and for a page that an operator reads. It is the zero FeedStatus without
// Config.Follow.
func (v *Verifier) FeedStatus() FeedStatus {
	if v.follow == nil {
		return FeedStatus{}
	}
	return v.follow.status(v.now())
}

func (f *follower) status(now time.Time) FeedStatus {
	mode, age := f.mode(now)
	st := FeedStatus{
		Mode: mode, Revocations: f.Len(), Connected: f.connected.Load(), Lag: time.Duration(f.lag.Load()),
		Refused: f.refused.Load(), Closed: f.closed.Load(), Open: f.open.Load(), Asked: f.asked.Load(),
	}
	if k := f.knowledge.Load(); k != nil {
		st.Known, st.Age, st.AsOf = true, age, k.asOf
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	st.Err, st.Dropped = f.lastErr, maps.Clone(f.dropped)
	return st
}

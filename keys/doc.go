// Package keys holds the signing keys of one issuer: when each is published, when it signs, when it
// leaves, how it rests in the store, and the JWKS document that tells verifiers.
//
// The keys of one algorithm are a ring: one [RingRecord], changed as a whole by compare-and-swap. A
// key carries stamps, and its state follows from the stamps and the clock alone: next is published
// and does not sign yet, active signs, retiring is published because tokens that it signed still
// live, withdrawn is gone from the JWKS, and revoked is gone for ever, with all that it signed. Nobody
// flips a switch when a key takes over: every node compares the same stamps with the time. README.md
// draws the timeline.
//
// [Ring.Step] is called at start and once each refresh interval. It reads the rings from the store
// and does what is due: a first key for an algorithm that came into use, a next key where there is
// none, the end of the private part of a key that was withdrawn. [Ring.Rotate], [Ring.Withdraw],
// [Ring.Revoke] and [Ring.Ensure] are the acts of people. Each commit is one step of one ring with
// one audit entry, and whoever loses a race reads again and decides anew.
//
// The token path sees none of this. [Ring.Signer] and [Ring.JWKS] read one immutable snapshot behind
// an atomic pointer: no lock, no I/O, no allocation. When the store stops answering, the snapshot
// serves until Config.StoreOutage has passed, and then everything is an error rather than a guess.
//
// Private keys rest sealed under a key-encryption key ([ParseKEK], [ReadKEKFile]), bound to their
// identifier, algorithm, ring and installation. The [Installation] record, made once by [Found] and
// read at every start, makes a store belong to one issuer and holds the two [Secrets] that the rest
// of the server is built on.
package keys

package verifier_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

// ROT-05, RKY-04, SET-14: after an emergency the feed goes on in a new run, signed by a key that the service has
// never seen. It is understood at once, although strangers have just used up the fetches that they may cause,
// also with that very kid; and what the old key signed is refused, though nobody fetches keys for it.
func TestROT05_RKY04_SET14_AnEmergencyIsUnderstoodAtOnce(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, nil)
	old := is.token(t, nil)
	f.wantToken("before", old, "")
	fresh := newSigner(t, jose.ES256)
	// The kid is known to somebody before the key is published, and looked for in vain.
	is.set(func() { is.signers = []*jose.Signer{fresh, is.signers[0]} })
	early := is.token(t, map[string]any{"jti": "j2"})
	is.set(func() { is.signers = []*jose.Signer{is.signers[1]} })
	f.wantToken("early", early, token.ReasonUnknownKey)
	f.wantToken("early", early, token.ReasonUnknownKey)

	killed := is.signers[0]
	is.set(func() { is.signers = []*jose.Signer{fresh} })
	f.signer, f.run, f.seq = fresh, "next", 0
	f.snapshot(kid(killed.KeyID()))
	f.wait(verifier.FeedInstalled)
	f.wantToken("by the old key", old, token.ReasonUnknownKey)
	f.wantToken("by the new key", early, "")
	f.heard()
	f.knows(jti("j2"))
	f.wantToken("revoked in the new run", early, token.ReasonRevoked)
	if st := f.FeedStatus(); len(st.Dropped) != 0 {
		t.Errorf("%+v", st)
	}
}

// ROT-05: a token of a revoked key that is remembered is refused while the old set is still fresh.
func TestROT05_RSV38_AKeyThatIsStillPublished(t *testing.T) {
	is := newFeed(t, jose.ES256, jose.ES256)
	f := follow(t, is, nil)
	old := is.token(t, nil)
	for range 2 {
		f.wantToken("before", old, "")
	}
	f.signer = is.signers[1]
	f.knows(kid(is.signers[0].KeyID()))
	f.wantToken("after", old, token.ReasonRevoked)
}

// SET-15: who has stolen a key speaks for the issuer no longer than until it is revoked, though it is published
// still; and no event is signed by a key that it kills.
func TestSET15_ARevokedKeySignsNoEvent(t *testing.T) {
	is := newFeed(t, jose.ES256, jose.ES256)
	stolen, other := is.signers[0], is.signers[1]
	for name, send := range map[string]func(f *following){
		"after it was revoked": func(f *following) {
			f.signer = other
			f.knows(kid(stolen.KeyID()))
			f.signer = stolen
			f.send(f.beat())
		},
		"its own":            func(f *following) { f.revoke(kid(stolen.KeyID())) },
		"its own, in a list": func(f *following) { f.run = "x"; f.snapshot(jti("a"), kid(stolen.KeyID())) },
		"amid a snapshot that says so": func(f *following) {
			f.signer, f.run = other, "x"
			f.send(f.part(1, 2, kid(stolen.KeyID())))
			f.signer = stolen
			f.send(f.part(2, 2))
		},
	} {
		f := follow(t, is, nil)
		send(f)
		f.wantDropped(name, verifier.FeedKey, false)
		f.Close()
	}
}

// A server that does not publish its new key yet is asked again, and soon understood.
func TestROT05_TheKeyIsPublishedLate(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, nil)
	f.signer = newSigner(t, jose.ES256)
	f.send(f.beat())
	f.wantDropped("not published", verifier.FeedKey, false)
	is.set(func() { is.signers = append(is.signers, f.signer) })
	is.now.Add(1)
	signer := newSigner(t, jose.ES256)
	is.set(func() { is.signers = []*jose.Signer{signer, is.signers[0]} })
	f.signer = signer
	f.snapshot(jti("j1"))
	f.wait(verifier.FeedInstalled)
	f.wantToken("understood", is.token(t, nil), token.ReasonRevoked)
}

// ROT-05, RST-05: a revoked key is refused with the first part of the new run's snapshot, however long that is; what else is
// in a part counts when the snapshot is whole, and what was revoked before goes on to be.
func TestROT05_RST05_KeysCountBeforeASnapshotIsWhole(t *testing.T) {
	is := newFeed(t, jose.ES256, jose.ES256)
	killed, next := is.signers[0], is.signers[1]
	f := follow(t, is, nil)
	f.knows(jti("j0"))
	old, gone := is.token(t, nil), is.token(t, map[string]any{"jti": "j0"})
	is.set(func() { is.signers = []*jose.Signer{next, killed} })
	other := is.token(t, map[string]any{"jti": "j2"})
	for range 2 { // the second time it is remembered
		f.wantToken("before", old, "")
		f.wantToken("before", other, "")
	}
	f.signer, f.run, f.seq = next, "next", 0
	f.send(f.part(1, 3, kid(killed.KeyID()), jti("j2")))
	if r := f.wait(verifier.FeedRevoked); r.Kind != token.RevokedKey {
		t.Errorf("%+v", r)
	}
	f.wantToken("by the revoked key", old, token.ReasonRevoked)
	f.wantToken("revoked before", gone, token.ReasonRevoked)
	f.wantToken("half a snapshot", other, "")
	f.send(f.part(2, 3))
	f.send(f.part(3, 3))
	f.wait(verifier.FeedInstalled)
	f.wantToken("by the revoked key", old, token.ReasonRevoked)
	f.wantToken("whole", other, token.ReasonRevoked)
	if st := f.FeedStatus(); len(st.Dropped) != 0 || st.Revocations != 2 {
		t.Errorf("%+v", st)
	}
}

// ROT-05: first parts that are never followed by a second one, each with other keys, fill no memory.
func TestROT05_FirstPartsAgainAndAgain(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, nil, func(c *verifier.Config) { c.Follow.MaxRevocations = 10 })
	for i := range 5 {
		var all []token.Subject
		for k := range 4 {
			all = append(all, kid(fmt.Sprint(i, "-", k)))
		}
		f.run, f.seq = fmt.Sprint("run", i), 0
		f.send(f.part(1, 2, all...))
		f.send(f.beat())
		f.wantDropped("half a snapshot", verifier.FeedSnapshot, false)
	}
	if st := f.FeedStatus(); st.Revocations != 10 {
		t.Errorf("%d revocations are held, want 10", st.Revocations)
	}
}

// ROT-05: a part never makes a revoked key good again: not when the stream ends amid the snapshot, nor when that says less of
// the key than was known.
func TestROT05_AKeyThatAPartSaysLessOf(t *testing.T) {
	is := newFeed(t, jose.ES256, jose.ES256)
	killed, next := is.signers[0], is.signers[1]
	f := follow(t, is, nil)
	old := is.token(t, nil)
	f.wantToken("before", old, "")
	f.signer, f.run, f.seq = next, "next", 0
	f.send(f.part(1, 3, kid(killed.KeyID())))
	f.wait(verifier.FeedRevoked)
	f.send(f.part(3, 3)) // part 2 is missing
	f.wantDropped("a part is missing", verifier.FeedSnapshot, false)
	f.wantToken("by the revoked key", old, token.ReasonRevoked)
	f.signer = next
	e := f.part(1, 3, kid(killed.KeyID()), kid("another"))
	e.Revocations[0].Before = epoch.Add(-time.Hour)
	f.send(e)
	f.wait(verifier.FeedRevoked) // the other one
	f.wantToken("by the revoked key", old, token.ReasonRevoked)
}

// A key whose tokens of some time are void is trusted, and goes on to sign, also in the very second.
func TestROT05_AKeyWhoseOldTokensAreVoid(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, nil)
	e := f.revocation(kid(is.signers[0].KeyID()))
	e.Revocations[0].Before = epoch.Add(2 * time.Second)
	f.send(e)
	f.wait(verifier.FeedRevoked)
	f.wantToken("of then", is.token(t, nil), token.ReasonRevoked)
	f.heard()
	is.now.Add(4)
	f.heard()
	f.wantToken("of now", is.token(t, map[string]any{"iat": epoch.Unix() + 3, "jti": "j2"}), "")
}

// ROT-05: every key is revoked at once, each time with a new run in the same stream: what the server says there has
// all that it said before, and nothing is held twice.
func TestROT05_RST05_RunAfterRunInOneStream(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, nil)
	f.knows(jti("j1"))
	all := []token.Subject{jti("j1")}
	for i := range 10 {
		all = append(all, kid(fmt.Sprint("k", i)))
		f.run, f.seq = fmt.Sprint("run", i), 0
		f.snapshot(all...)
		if r := f.wait(verifier.FeedInstalled); r.Revocations != len(all) {
			t.Errorf("run %d: %+v", i, r)
		}
		f.wantToken("in each", is.token(t, nil), token.ReasonRevoked)
	}
	f.run, f.seq = "last", 0
	f.snapshot()
	f.wait(verifier.FeedInstalled)
	f.wantToken("not in the last", is.token(t, nil), "")
}

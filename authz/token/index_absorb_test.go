package token_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/marque-auth/marque/authz/token"
)

// Whatever one of two Indexes withdrew, that which absorbed the other withdraws: of each subject what Merge says, and
// nothing else.
func TestRVK14_AbsorbIsMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := token.NewIndex()
		x := old.Beside()
		want := &plain{entries: map[token.Subject]token.Indexed{}}
		for _, r := range rapid.SliceOfN(something, 0, 12).Draw(t, "x") {
			x.Set(r)
			want.set(r)
		}
		other := &plain{entries: map[token.Subject]token.Indexed{}}
		for _, r := range rapid.SliceOfN(something, 0, 12).Draw(t, "old") {
			old.Set(r)
			other.set(r)
		}
		for s, r := range other.entries {
			if there, both := want.entries[s]; both {
				there.Revocation = there.Merge(r.Revocation)
				r = there
			}
			want.entries[s] = r
		}
		before := x.Generation()
		x.Absorb(old)
		if x.Generation() == before {
			t.Fatal("nobody is told")
		}
		sameAs(t, x, want, false)
		sameAs(t, old, other, false)
	})
}

// A small one that absorbs a large one grows, and the other way round.
func TestAbsorb_GrowsAndLosesNothing(t *testing.T) {
	const n = 20_000
	large := token.NewIndex()
	for i := range n {
		large.Set(token.Indexed{Revocation: token.Revocation{Subject: token.Subject{Kind: token.RevokedJTI, Value: fmt.Sprint(i)}}})
	}
	small := large.Beside()
	small.Set(token.Indexed{Revocation: token.Revocation{Subject: token.Subject{Kind: token.RevokedClient, Value: "c"}}})
	both := large.Beside()
	both.Absorb(small)
	both.Absorb(large)
	large.Absorb(small)
	for name, x := range map[string]*token.Index{"both": both, "the large one": large} {
		if x.Len() != n+1 {
			t.Errorf("%s: %d", name, x.Len())
		}
		for i := range n {
			if _, ok := x.Revocation(token.Subject{Kind: token.RevokedJTI, Value: fmt.Sprint(i)}); !ok {
				t.Fatalf("%s: %d is gone", name, i)
			}
		}
		if _, ok := x.Revocation(token.Subject{Kind: token.RevokedClient, Value: "c"}); !ok {
			t.Errorf("%s: the client is gone", name)
		}
	}
}

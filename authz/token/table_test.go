package token

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

func numbered(i int) Indexed {
	return Indexed{
		Revocation: Revocation{Subject: Subject{Kind: RevokedJTI, Value: fmt.Sprint(i)}, Until: time.Unix(int64(i+1), 0).UTC()},
		Client:     fmt.Sprint("client", i%10), Version: uint64(i),
	}
}

// A table begins with few slots and gets all of them at once. Whoever asks meanwhile finds what is there, and
// whoever lists or sweeps meanwhile meets all of it once; also when it gets fewer slots again.
func TestIndex_GrowsOnceAndLosesNothing(t *testing.T) {
	x := NewListedIndex()
	size := func() int { return len(x.table.Load().slots) }
	for i := range fewEntries {
		x.Set(numbered(i))
	}
	if size() != fewSlots {
		t.Fatalf("%d entries have %d slots", x.Len(), size())
	}
	var asking sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		asking.Go(func() {
			for i := 0; ; i = (i + 1) % fewEntries {
				if got, ok := x.Stored(numbered(i).Subject); !ok || got != numbered(i).Revocation {
					t.Errorf("%d: %v, %v", i, got, ok)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	met, grown := map[string]int{}, 0
	for r := range x.All() {
		if met[r.Subject.Value]++; len(met) == 5000 {
			began := time.Now()
			x.Set(numbered(fewEntries))
			t.Logf("grown in %v", time.Since(began))
			grown = size()
		}
	}
	close(done)
	asking.Wait()
	if grown != slots {
		t.Errorf("grown to %d slots", grown)
	}
	for i := range fewEntries {
		if n := met[fmt.Sprint(i)]; n != 1 {
			t.Fatalf("%d was met %d times", i, n)
		}
	}
	for i := range fewEntries + 1 {
		want := numbered(i)
		if got, ok := x.Held(want.Subject); !ok || got != want {
			t.Fatalf("%d: held %+v, %v", i, got, ok)
		}
	}
	if x.Len() != fewEntries+1 || x.Tokens("client3") != (fewEntries+7)/10 {
		t.Errorf("%d entries, %d of client3", x.Len(), x.Tokens("client3"))
	}

	clear(met)
	few := []Indexed{numbered(1), numbered(2), numbered(3), numbered(1 << 20)}
	for r := range x.All() {
		if met[r.Subject.Value]++; len(met) == 5000 {
			x.Replace(few)
		}
	}
	for _, r := range few[:3] {
		if met[r.Subject.Value] != 1 {
			t.Errorf("%v was met %d times", r.Subject, met[r.Subject.Value])
		}
	}
	if x.Len() != len(few) || size() != fewSlots {
		t.Errorf("%d entries in %d slots", x.Len(), size())
	}
	x.Sweep(time.Unix(3, 0))
	if _, ok := x.Stored(numbered(3).Subject); !ok || x.Len() != 2 {
		t.Errorf("%d are left", x.Len())
	}
}

// As many as have room in few slots do not get more, and no more than those.
func TestIndex_ReplaceKnowsHowMany(t *testing.T) {
	all := make([]Indexed, fewEntries+1)
	for i := range all {
		all[i] = numbered(i)
	}
	x := NewIndex()
	for n, want := range map[int]int{0: fewSlots, fewEntries: fewSlots, fewEntries + 1: slots} {
		x.Replace(all[:n])
		if got := len(x.table.Load().slots); got != want || x.Len() != n {
			t.Errorf("%d entries: %d are there, in %d slots", n, x.Len(), got)
		}
	}
}

// Each kind is found from when it was set, in a table that grows and in one that takes the place of another; also one
// that is not known here.
func TestIndex_FindsEachKind(t *testing.T) {
	kinds := []RevocationKind{RevokedJTI, RevokedClient, RevokedCredential, RevokedKey, RevokedResource, RevokedAll, "another"}
	of := func(k RevocationKind) Indexed {
		return Indexed{Revocation: Revocation{Subject: Subject{Kind: k, Value: "x"}}}
	}
	x := NewIndex()
	want := func(when string, held func(i int) bool) {
		t.Helper()
		for i, k := range kinds {
			if _, ok := x.Revocation(of(k).Subject); ok != held(i) {
				t.Errorf("%s: %s: found %v", when, k, ok)
			}
		}
	}
	for n, k := range kinds {
		x.Set(of(k))
		want("set one by one", func(i int) bool { return i <= n })
	}
	for i := range fewEntries + 1 {
		x.Set(numbered(i))
	}
	if len(x.table.Load().slots) != slots {
		t.Fatal("it did not grow")
	}
	want("grown", func(int) bool { return true })
	for n, k := range kinds {
		x.Replace([]Indexed{of(k)})
		want("replaced", func(i int) bool { return i == n })
	}
	x.Replace(nil)
	want("replaced by nothing", func(int) bool { return false })
}

package token_test

import (
	"fmt"
	"maps"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/marque-auth/marque/authz/token"
)

// list collects what an Index says it holds.
func list(t interface{ Fatalf(string, ...any) }, x *token.Index) map[token.Subject]token.Indexed {
	all := map[token.Subject]token.Indexed{}
	for r := range x.All() {
		if _, twice := all[r.Subject]; twice {
			t.Fatalf("%v is listed twice", r.Subject)
		}
		all[r.Subject] = r
	}
	return all
}

// sameList wants an Index that is listed to list what p has, and every other one to list nothing.
func sameList(t *rapid.T, x *token.Index, p *plain, listed bool) {
	want := map[token.Subject]token.Indexed{}
	if listed {
		want = p.entries
	}
	if got := list(t, x); !maps.Equal(got, want) {
		t.Fatalf("listed %v, want %v", got, want)
	}
	for _, s := range []token.Subject{{Kind: token.RevokedAll}, {Kind: token.RevokedJTI, Value: "a"}, {Kind: token.RevokedClient, Value: "a"}} {
		want, known := p.entries[s]
		if !listed {
			want.Client, want.Version = "", 0
		}
		if got, ok := x.Held(s); got != want || ok != known {
			t.Fatalf("%v: held %+v, %v; want %+v, %v", s, got, ok, want, known)
		}
	}
}

// One subject that changes again and again does not fill the memory, and what stays is found after
// everything was moved.
func TestListedIndex_WhatIsDeadTakesNoRoom(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("measures memory: neither -short nor -race")
	}
	x := token.NewListedIndex()
	kept := token.Indexed{Revocation: token.Revocation{Subject: token.Subject{Kind: token.RevokedResource, Value: fmt.Sprintf("https://%04000d", 7)}}, Client: owner(1), Version: 1 << 40}
	x.Set(kept)
	for i := range 1000 {
		x.Set(revokedToken(i, 1))
	}
	before := heap()
	changing := token.Indexed{Revocation: token.Revocation{Subject: token.Subject{Kind: token.RevokedClient, Value: owner(7)}}}
	for i := range 500_000 {
		changing.Version = uint64(i)
		x.Set(changing)
		x.Set(revokedToken(2000+i, 1))
		x.Remove(revokedToken(2000+i, 1).Subject)
	}
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("%d KiB more than before", grown>>10)
	}
	all := list(t, x)
	if len(all) != 1002 || all[kept.Subject] != kept || all[changing.Subject].Version != 499_999 || all[jtiSubject(jti(5))].Client != owner(5) {
		t.Errorf("%d listed; %+v, %+v", len(all), all[kept.Subject], all[changing.Subject])
	}
	runtime.KeepAlive(x)
}

func jtiSubject(jti string) token.Subject {
	return token.Subject{Kind: token.RevokedJTI, Value: jti}
}

// What a million more to say than yes or no costs.
func TestListedIndex_AMillion(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("measures memory: neither -short nor -race")
	}
	const million = 1_000_000
	before := heap()
	x := token.NewListedIndex()
	began := time.Now()
	for i := range million {
		x.Set(revokedToken(i, 1000))
	}
	took := time.Since(began)
	grown := heap() - before
	t.Logf("%.1f MiB, set in %v each", float64(grown)/(1<<20), took/million)
	if grown > 224<<20 {
		t.Error("more than 224 MiB")
	}
	n := 0
	began = time.Now()
	for range x.All() {
		n++
	}
	t.Logf("listed in %v", time.Since(began))
	if n != million {
		t.Errorf("%d listed", n)
	}
	began = time.Now()
	x.Sweep(epoch.Add(time.Hour))
	t.Logf("all of them swept in %v", time.Since(began))
	if left := heap() - before; left > 96<<20 {
		t.Errorf("%d MiB are left", left>>20)
	}
	runtime.KeepAlive(x)
}

package token_test

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/marque-auth/marque/authz/token"
)

// plain is an Index as one would write it down: a map, and nothing kept beside it.
type plain struct {
	entries map[token.Subject]token.Indexed
	keys    []string
}

func (p *plain) set(r token.Indexed) { p.entries[r.Subject] = r }

func (p *plain) replace(all []token.Indexed) {
	clear(p.entries)
	for _, r := range all {
		p.set(r)
	}
}

func (p *plain) sweep(now time.Time) {
	maps.DeleteFunc(p.entries, func(_ token.Subject, r token.Indexed) bool {
		return !r.Until.IsZero() && !r.Until.After(now)
	})
}

func (p *plain) Revocation(s token.Subject) (token.Revocation, bool) {
	if s.Kind == token.RevokedKey && slices.Contains(p.keys, s.Value) {
		return token.Revocation{Subject: s}, true
	}
	r, ok := p.entries[s]
	return r.Revocation, ok
}

func (p *plain) tokens(client string) (n int) {
	for _, r := range p.entries {
		if r.Kind == token.RevokedJTI && client != "" && r.Client == client {
			n++
		}
	}
	return n
}

// What histories are made of: few of each, so that they meet, and some that look alike.
var (
	somewhere = rapid.SampledFrom([]token.Subject{
		{Kind: token.RevokedAll},
		{Kind: token.RevokedJTI, Value: "a"},
		{Kind: token.RevokedJTI, Value: "b"},
		{Kind: token.RevokedJTI, Value: "c"},
		{Kind: token.RevokedJTI, Value: "client:a"},
		{Kind: token.RevokedClient, Value: "a"},
		{Kind: token.RevokedClient, Value: "b"},
		{Kind: token.RevokedClient, Value: "jti:a"},
		{Kind: token.RevokedCredential, Value: "a"},
		{Kind: token.RevokedKey, Value: "a"},
		{Kind: token.RevokedKey, Value: "b"},
		{Kind: token.RevokedResource, Value: "a"},
		{Kind: token.RevokedResource, Value: fmt.Sprintf("https://%01000d", 1)},
		{Kind: token.RevokedResource, Value: fmt.Sprintf("https://%01000d", 2)},
	})
	someone  = rapid.SampledFrom([]string{"", "a", "b", "owner:a"})
	sometime = rapid.Custom(func(t *rapid.T) time.Time {
		switch rapid.IntRange(0, 9).Draw(t, "time") {
		case 0, 1, 2:
			return time.Time{}
		case 3:
			return time.Unix(rapid.Int64Range(-62135596799, 253402300799).Draw(t, "any second"), 0).UTC()
		}
		return epoch.Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, "second")) * time.Second)
	})
	something = rapid.Custom(func(t *rapid.T) token.Indexed {
		return token.Indexed{Revocation: token.Revocation{
			Subject: somewhere.Draw(t, "subject"), Since: sometime.Draw(t, "since"), Before: sometime.Draw(t, "before"), Until: sometime.Draw(t, "until"),
		}, Client: someone.Draw(t, "client"), Version: rapid.Uint64().Draw(t, "version")}
	})
)

// somebodys is a token that may carry any of the subjects.
var somebodys = rapid.Custom(func(t *rapid.T) token.Claims {
	value := rapid.SampledFrom([]string{"a", "b", "c", "jti:a", "client:a"})
	return token.Claims{
		JTI: value.Draw(t, "jti"), ClientID: value.Draw(t, "client_id"),
		CredentialID: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "credential_id"),
		Audience:     rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", fmt.Sprintf("https://%01000d", 1)}), 1, 3).Draw(t, "aud"),
		IssuedAt:     epoch.Add(time.Duration(rapid.IntRange(-6, 6).Draw(t, "iat")) * time.Second),
	}
})

// naiveVoid is the decision in other words: does any known revocation name something of the token,
// and its time?
func naiveVoid(c token.Claims, kid string, p *plain) bool {
	for _, s := range p.keys {
		if s == kid {
			return true
		}
	}
	for s, r := range p.entries {
		var names bool
		switch s.Kind {
		case token.RevokedJTI:
			if s.Value == c.JTI {
				return true
			}
		case token.RevokedClient:
			names = s.Value == c.ClientID
		case token.RevokedCredential:
			names = s.Value == c.CredentialID
		case token.RevokedKey:
			names = s.Value == kid
		case token.RevokedResource:
			names = slices.Contains(c.Audience, s.Value)
		case token.RevokedAll:
			names = true
		}
		iat := c.IssuedAt.Unix()
		if names && (r.Since.IsZero() || iat >= r.Since.Unix()) && (r.Before.IsZero() || iat <= r.Before.Unix()) {
			return true
		}
	}
	return false
}

// Whatever happens to an Index, it knows what a plain map does, counts alike, and Void decides by it
// as by reading the list.
func TestRVK14_RVK19_IndexAgainstAPlainMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, p := token.NewIndex(), &plain{entries: map[token.Subject]token.Indexed{}}
		listed := rapid.Bool().Draw(t, "listed")
		if listed {
			x = token.NewListedIndex()
		}
		loaded := false
		t.Repeat(map[string]func(*rapid.T){
			"Set": func(t *rapid.T) {
				r := something.Draw(t, "r")
				x.Set(r)
				p.set(r)
			},
			"Remove": func(t *rapid.T) {
				s := somewhere.Draw(t, "s")
				x.Remove(s)
				delete(p.entries, s)
			},
			"Replace": func(t *rapid.T) {
				all := rapid.SliceOfN(something, 0, 8).Draw(t, "all")
				x.Replace(all)
				p.replace(all)
				loaded = true
			},
			"Sweep": func(t *rapid.T) {
				now := epoch.Add(time.Duration(rapid.IntRange(-6000, 6000).Draw(t, "now")) * time.Millisecond)
				x.Sweep(now)
				p.sweep(now)
			},
			"SetKeys": func(t *rapid.T) {
				p.keys = rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 2).Draw(t, "kids")
				x.SetKeys(p.keys)
			},
			"Void": func(t *rapid.T) {
				c, kid := somebodys.Draw(t, "claims"), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "kid")
				_, got := token.Void(&c, kid, x)
				if want := naiveVoid(c, kid, p); got != want {
					t.Fatalf("%+v signed by %s: void %v, want %v", c, kid, got, want)
				}
			},
			"All": func(t *rapid.T) { sameList(t, x, p, listed) },
			"":    func(t *rapid.T) { sameAs(t, x, p, loaded) },
		})
	})
}

func sameAs(t *rapid.T, x *token.Index, p *plain, loaded bool) {
	if x.Len() != len(p.entries) || x.Loaded() != loaded {
		t.Fatalf("%d revocations, loaded %v; want %d, %v", x.Len(), x.Loaded(), len(p.entries), loaded)
	}
	for _, client := range []string{"", "a", "b", "owner:a"} {
		if got, want := x.Tokens(client), p.tokens(client); got != want {
			t.Fatalf("%d tokens of %q, want %d", got, client, want)
		}
	}
	for _, kind := range []token.RevocationKind{"jti", "client", "credential", "kid", "resource", "all"} {
		for _, value := range []string{"", "a", "b", "c", "jti:a", "client:a", fmt.Sprintf("https://%01000d", 1), fmt.Sprintf("https://%01000d", 2)} {
			s := token.Subject{Kind: kind, Value: value}
			got, ok := x.Revocation(s)
			want, known := p.Revocation(s)
			if got != want || ok != known { // of times, too, every field is the same
				t.Fatalf("%.40v: %+v, %v; want %+v, %v", s, got, ok, want, known)
			}
			stored, ok := x.Stored(s)
			if r, known := p.entries[s]; stored != r.Revocation || ok != known {
				t.Fatalf("%.40v: stored %+v, %v; want %+v, %v", s, stored, ok, r.Revocation, known)
			}
		}
	}
}

// What is no whole second never withdraws less.
func TestIndex_FractionsOfSeconds(t *testing.T) {
	x := token.NewIndex()
	s := token.Subject{Kind: token.RevokedClient, Value: "c1"}
	r := token.Revocation{Subject: s, Since: epoch.Add(1), Before: epoch.Add(time.Second + 1), Until: epoch.Add(time.Hour + 1)}
	x.Set(token.Indexed{Revocation: r})
	got, _ := x.Revocation(s)
	if want := (token.Revocation{Subject: s, Since: epoch, Before: epoch.Add(2 * time.Second), Until: epoch.Add(time.Hour + time.Second)}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// RVK-14: kept up to the second, and then gone.
func TestRVK14_SweepAtTheVerySecond(t *testing.T) {
	x := token.NewIndex()
	until := epoch.Add(token.RevocationKept)
	x.Set(token.Indexed{Revocation: token.Revocation{Subject: token.Subject{Kind: token.RevokedJTI, Value: "j"}, Until: until}, Client: "c1"})
	x.Set(token.Indexed{Revocation: token.Revocation{Subject: token.Subject{Kind: token.RevokedClient, Value: "c1"}}})
	for at, want := range map[time.Duration]int{-time.Nanosecond: 2, 0: 1} {
		y := token.NewIndex()
		y.Set(token.Indexed{Revocation: token.Revocation{Subject: token.Subject{Kind: token.RevokedJTI, Value: "j"}, Until: until}, Client: "c1"})
		y.Set(token.Indexed{Revocation: token.Revocation{Subject: token.Subject{Kind: token.RevokedClient, Value: "c1"}}})
		y.Sweep(until.Add(at))
		if y.Len() != want || y.Tokens("c1") != want-1 {
			t.Errorf("%v after: %d left, %d of the client", at, y.Len(), y.Tokens("c1"))
		}
	}
	x.Sweep(until.Add(1_000_000 * time.Hour))
	if x.Len() != 1 {
		t.Error("what is open-ended was forgotten")
	}
}

// A reader meets whole entries, and the states before or after a Replace, whatever goes on.
func TestIndex_ReadersAndWriters(t *testing.T) {
	x := token.NewIndex()
	c := goodClaims()
	torn := token.Subject{Kind: token.RevokedResource, Value: "https://torn.example"}
	one := token.Revocation{Subject: torn, Since: epoch, Before: epoch.Add(time.Second), Until: epoch.Add(time.Hour)}
	two := token.Revocation{Subject: torn, Since: epoch.Add(10 * time.Second), Before: epoch.Add(20 * time.Second), Until: epoch.Add(2 * time.Hour)}
	// The token is void in both states, by what Void asks for first and by what it asks for last.
	first := []token.Indexed{{Revocation: one}, {Revocation: token.Revocation{Subject: token.Subject{Kind: token.RevokedJTI, Value: c.JTI}}, Client: "c1"}}
	last := []token.Indexed{{Revocation: one}, {Revocation: token.Revocation{Subject: token.Subject{Kind: token.RevokedAll}}}}
	x.Replace(first)

	var stop atomic.Bool
	var readers, writers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !stop.Load() {
				if _, void := token.Void(&c, "k", x); !void {
					t.Error("a state that never was: the token is good")
					return
				}
				if r, ok := x.Revocation(torn); ok && r != one && r != two {
					t.Errorf("half of one and half of the other: %+v", r)
					return
				}
			}
		})
	}
	write := func(f func(i int)) {
		writers.Go(func() {
			for i := range 300 {
				f(i)
			}
		})
	}
	write(func(i int) { x.Replace([][]token.Indexed{last, first}[i%2]) })
	write(func(i int) { x.Set(token.Indexed{Revocation: []token.Revocation{two, one}[i%2]}) })
	write(func(i int) {
		s := token.Subject{Kind: token.RevokedJTI, Value: fmt.Sprint("x", i%50)}
		x.Set(token.Indexed{Revocation: token.Revocation{Subject: s, Until: epoch}, Client: "c1"})
		x.Remove(s)
		x.SetKeys([]string{fmt.Sprint(i)})
	})
	writers.Go(func() {
		for range 5 {
			x.Sweep(epoch)
			x.Tokens("c1")
			x.Len()
			x.Loaded()
		}
	})
	writers.Wait()
	stop.Store(true)
	readers.Wait()
}

// A Set that meets a Replace is either part of what goes or survives: as if one had come after the other.
func TestIndex_SetAfterReplaceBegan(t *testing.T) {
	x := token.NewIndex()
	big := make([]token.Indexed, 0, 20_000)
	for i := range cap(big) {
		big = append(big, revokedToken(i, 100))
	}
	var wg sync.WaitGroup
	wg.Go(func() { x.Replace(big) })
	for i := range 1000 {
		x.Set(revokedToken(1_000_000+i, 100))
	}
	wg.Wait()
	if n := x.Len(); n < len(big) || n > len(big)+1000 {
		t.Errorf("%d revocations", n)
	}
	n := 0
	for i := range 20_000 {
		n += x.Tokens(owner(i))
	}
	if n != x.Len() {
		t.Errorf("the clients have %d, the index %d", n, x.Len())
	}
}

// owner and jti are as the server makes them: 26 characters.
func owner(i int) string { return fmt.Sprintf("CLIENT%020d", i) }

func jti(i int) string { return fmt.Sprintf("%026X", uint64(i)*0x9E3779B97F4A7C15) }

// revokedToken is the i-th revoked token, of a client that has so many of them.
func revokedToken(i, perClient int) token.Indexed {
	return token.Indexed{
		Revocation: token.Revocation{
			Subject: token.Subject{Kind: token.RevokedJTI, Value: jti(i)},
			Before:  epoch, Until: epoch.Add(time.Duration(600+i%600) * time.Second),
		},
		Client: owner(i / perClient),
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A million revocations stay within 128 MiB, be it a thousand of each client or one of each of a million.
func TestIndex_AMillionWithin128MiB(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("measures memory: neither -short nor -race")
	}
	const million = 1_000_000
	for _, perClient := range []int{1000, 1} {
		before := heap()
		x := token.NewIndex()
		empty := heap() - before
		began := time.Now()
		for i := range million {
			x.Set(revokedToken(i, perClient))
		}
		took := time.Since(began)
		grown := heap() - before
		if x.Len() != million || x.Tokens(owner(0)) != perClient {
			t.Fatalf("%d revocations, %d of the first client", x.Len(), x.Tokens(owner(0)))
		}
		t.Logf("%d of each client: %.1f MiB (empty: %.1f), %d bytes each, set in %v each",
			perClient, float64(grown)/(1<<20), float64(empty)/(1<<20), grown/million, took/million)
		if grown > 128<<20 {
			t.Errorf("more than 128 MiB")
		}
		began = time.Now()
		x.Sweep(epoch.Add(time.Hour))
		t.Logf("all of them swept in %v", time.Since(began))
		if x.Len() != 0 || x.Tokens(owner(0)) != 0 {
			t.Errorf("%d are left, %d of the first client", x.Len(), x.Tokens(owner(0)))
		}
		t.Logf("left after that: %.1f MiB", float64(heap()-before)/(1<<20))
		runtime.KeepAlive(x)
	}
}

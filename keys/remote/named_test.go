package remote_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/keys/remote"
)

func (f *fixture) named(kid string) error {
	_, err := f.NamedKey(context.Background(), jose.Header{KeyID: kid, Algorithm: jose.Ed25519})
	return err
}

// RKY-04, RKY-05, ROT-05: a kid that the issuer named is found, although strangers have used up their fetches, and
// although it was looked for in vain, by them and by us.
func TestRKY04_RKY05_ANamedKeyWaitsForNoStranger(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	f := discover(t, is)
	f.want(t, "stranger", jose.ErrUnknownKey)
	f.want(t, "b", jose.ErrUnknownKey)
	if err := f.named("b"); !errors.Is(err, jose.ErrUnknownKey) {
		t.Fatalf("not published yet: %v", err)
	}
	is.set(func() { is.keys = append(is.keys, newKey(t, "b")) })
	f.clock.advance(time.Second)
	if err := f.named("b"); err != nil {
		t.Errorf("published: %v", err)
	}
	f.want(t, "b", nil)
	for _, want := range []remote.Cause{remote.CauseUnknownKey, remote.CauseNamedKey, remote.CauseNamedKey} {
		if e := f.next(t); e.Cause != want {
			t.Errorf("cause %q, want %q", e.Cause, want)
		}
	}
}

// RKY-04: what the issuer names costs one fetch in a second, and takes none from strangers.
func TestRKY04_NamedKeysAreLimited(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	f := discover(t, is)
	before := is.fetches.Load()
	for i := range 1000 {
		if err := f.named(fmt.Sprint(i)); !errors.Is(err, jose.ErrUnknownKey) {
			t.Fatal(err)
		}
		f.clock.advance(10 * time.Millisecond)
	}
	if n := is.fetches.Load() - before; n != 10 {
		t.Errorf("%d fetches in ten seconds", n)
	}
	f.want(t, "stranger", jose.ErrUnknownKey)
	if n := is.fetches.Load() - before; n != 11 {
		t.Errorf("%d fetches: the stranger's one is missing", n)
	}
}

// RKY-08: while the issuer does not answer, a named kid is not called unknown.
func TestRKY08_ANamedKeyInAnOutage(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	f := discover(t, is)
	is.set(func() { is.jwks = status(http.StatusBadGateway) })
	for range 2 {
		if err := f.named("b"); !errors.Is(err, remote.ErrUnavailable) || errors.Is(err, jose.ErrUnknownKey) {
			t.Errorf("%v", err)
		}
	}
	f.want(t, "a", nil)
}

// A cache on the way is told that its copy may be too old, when a key is missing and not before.
func TestRKY03_RKY06_UnknownKidsAskPastCaches(t *testing.T) {
	a := newKey(t, "a")
	is := newIssuer(t, true, a)
	said := make(chan string, 10)
	is.jwks = func(w http.ResponseWriter, r *http.Request) {
		said <- r.Header.Get("Cache-Control")
		io.WriteString(w, document(a))
	}
	f := discover(t, is)
	_ = f.ask("b")
	_ = f.named("c")
	f.clock.advance(6 * time.Minute)
	f.want(t, "a", nil)
	for i, want := range []string{"", "no-cache", "no-cache", ""} {
		if got := <-said; got != want {
			t.Errorf("fetch %d: Cache-Control %q, want %q", i, got, want)
		}
	}
}

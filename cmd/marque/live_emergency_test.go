//go:build linux || darwin

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/admin/client"
)

// busy is how late a validator may be because the machine is.
const busy = time.Second

// outcome is what a validator made of a key that was revoked, and of its successor, counted from the answer
// to the revocation.
type outcome struct {
	refused time.Duration // when it first refused the old key's token; negative: not while it was watched
	missed  time.Duration // when it last refused a token of the successor; zero: never
	misses  int
}

// String says how it is bounded, too.
func (o outcome) String() string {
	refused := "does not refuse the revoked key"
	if o.refused >= 0 {
		refused = fmt.Sprintf("refuses the revoked key after %v", o.refused)
	}
	if o.misses == 0 {
		return refused + ", no misses of its successor"
	}
	return fmt.Sprintf("%s, %d misses of its successor, the last one after %v", refused, o.misses, o.missed)
}

// in says whether the validator refused the old key within a bound. go-oidc has none: it fetches for an unknown kid
// only, and accepts what a thief signs until it meets one, see rotateAfter.
func (o outcome) in(v library, bound time.Duration) bool {
	return v.name == "go-oidc" && o.refused < 0 || o.refused >= 0 && o.refused <= bound
}

// revokeKnown revokes the key that signs, when its successor has been published for its lead (ROT-07). Its tokens
// are void on all servers within a second. Whoever keeps a set for max-age knows the successor, and drops the
// old key after max-age.
func (f *fleet) revokeKnown(t *testing.T) (old liveToken) {
	t.Helper()
	waitFor(t, func() bool {
		time.Sleep(10 * time.Millisecond)
		keys, err := f.nodes[0].keys(t.Context(), f.nodes[0].api(t))
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(keys, func(k client.Key) bool {
			return k.Algorithm == client.AlgorithmES256 && k.State == client.KeyStateNext && k.SignFrom == nil &&
				k.PublishedAt != nil && time.Since(*k.PublishedAt) > liveLead
		})
	})
	old = f.lasting(t, f.nodes[1])
	f.verify(t, old, "before it is revoked")
	for i, o := range f.revoke(t, f.nodes[0], old) {
		v := f.honest[i]
		t.Logf("emergency, the successor published for its lead: %s %s", v.name, o)
		if !o.in(v, liveMaxAge+v.stays+busy) || o.misses != 0 {
			t.Errorf("ROT-07: %s %s", v.name, o)
		}
	}
	return old
}

// revokeFresh revokes a key that has just begun to sign, so that nobody knows its successor: a second emergency,
// right after a rotation. All drop the old key, and stop refusing the new one, within max-age: none fetches sooner than
// that for an unknown kid here. The successor may be made in the emergency itself, and be in the set of another
// server a refresh interval later.
func (f *fleet) revokeFresh(t *testing.T) (old liveToken) {
	t.Helper()
	r, err := f.nodes[2].api(t).RotateKeysWithResponse(t.Context(), nil, client.RotateOptions{Algorithm: new(client.AlgorithmNameES256)})
	if err != nil || r.JSON200 == nil {
		t.Fatalf("%v, %d", err, statusOf(r, err))
	}
	waitFor(t, func() bool {
		time.Sleep(5 * time.Millisecond)
		old = f.lasting(t, f.nodes[1])
		return old.kid == r.JSON200.Keys[0].KID
	})
	f.verify(t, old, "right after the rotation")
	for i, o := range f.revoke(t, f.nodes[2], old) {
		v := f.honest[i]
		t.Logf("emergency right after a rotation: %s %s", v.name, o)
		if !o.in(v, liveMaxAge+v.stays+busy) || o.missed > liveRefresh+liveMaxAge+v.stays+busy {
			t.Errorf("ROT-07: %s %s", v.name, o)
		}
	}
	return old
}

// rotateAfter rotates once more. With the first token of a kid that it does not know, go-oidc, too, forgets the
// keys that were revoked before.
func (f *fleet) rotateAfter(t *testing.T, revoked ...liveToken) {
	t.Helper()
	r, err := f.nodes[1].api(t).RotateKeysWithResponse(t.Context(), nil, client.RotateOptions{Algorithm: new(client.AlgorithmNameES256)})
	if err != nil || r.JSON200 == nil {
		t.Fatalf("%v, %d", err, statusOf(r, err))
	}
	var token liveToken
	waitFor(t, func() bool {
		time.Sleep(5 * time.Millisecond)
		token = f.lasting(t, f.nodes[0])
		return token.kid == r.JSON200.Keys[0].KID
	})
	f.verify(t, token, "after the emergencies")
	for _, v := range f.honest {
		for _, old := range revoked {
			if err := v.verify(t.Context(), old.compact, old.audience); err == nil {
				t.Errorf("ROT-07: %s accepts a revoked key after a rotation", v.name)
			}
		}
	}
	t.Log("after the next rotation all of them refuse both revoked keys")
}

// lasting gets a token that outlives an emergency.
func (f *fleet) lasting(t *testing.T, n *liveNode) liveToken {
	t.Helper()
	token, err := f.get(n, "lab", f.nodes[0].secret, "https://a.example")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// revoke revokes the key of a token and watches the validators until every bound has passed. Meanwhile they
// are shown tokens of all servers.
func (f *fleet) revoke(t *testing.T, n *liveNode, old liveToken) []outcome {
	t.Helper()
	r, err := n.api(t).RevokeKeyWithResponse(t.Context(), old.kid, nil)
	if err != nil || r.JSON200 == nil || r.JSON200.Successor == nil {
		t.Fatalf("%v, %d", err, statusOf(r, err))
	}
	begun := time.Now()
	ctx, cancel := context.WithDeadline(t.Context(), begun.Add(liveRefresh+liveMaxAge+jwxWindow+busy+500*time.Millisecond))
	defer cancel()
	seen := make([]outcome, len(f.honest))
	var watchers sync.WaitGroup
	for i, v := range f.honest {
		watchers.Go(func() { seen[i] = f.watch(ctx, t, f.dice(uint64(100+i)), v, old, begun) })
	}
	for _, n := range f.nodes {
		for f.hears(t, n, old) {
			time.Sleep(5 * time.Millisecond)
			if time.Since(begun) > 2*propagation {
				break
			}
		}
		if took := time.Since(begun); took > propagation {
			t.Errorf("ROT-07: the token of a revoked key was active at %s for %v", n.listen, took)
		}
	}
	watchers.Wait()
	return seen
}

// watch shows one validator the old key's token and tokens of its successor in turn.
func (f *fleet) watch(ctx context.Context, t *testing.T, dice *rand.Rand, v library, old liveToken, begun time.Time) outcome {
	o := outcome{refused: -1}
	for wait(ctx, dice, 5*time.Millisecond, 15*time.Millisecond) {
		if err := v.verify(context.Background(), old.compact, old.audience); err == nil {
			o.refused = -1
		} else if o.refused < 0 {
			o.refused = time.Since(begun).Round(time.Millisecond)
		}
		n, _ := f.anyOf(dice)
		token, err := f.get(n, "live", f.secret, "https://a.example")
		switch {
		case err != nil:
			t.Errorf("%s: %v", n.listen, err)
		case token.kid == old.kid && time.Since(begun) > propagation:
			t.Errorf("ROT-07: %s signs with a revoked key", n.listen)
		case token.kid != old.kid && v.verify(context.Background(), token.compact, token.audience) != nil:
			o.missed = time.Since(begun).Round(time.Millisecond)
			o.misses++
		}
	}
	return o
}

// hears introspects a token.
func (f *fleet) hears(t *testing.T, n *liveNode, token liveToken) (active bool) {
	t.Helper()
	form := url.Values{"client_id": {"lab"}, "client_secret": {f.nodes[0].secret}, "token": {token.compact}}
	r, err := n.http.PostForm("http://"+n.listen+"/oauth2/introspect", form)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var answer struct{ Active bool }
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("introspection: %s, %v", r.Status, err)
	}
	return answer.Active
}

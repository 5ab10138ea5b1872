//go:build linux || darwin

package main

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store/redistest"
)

// page asks a server for a page of the feed as the API at the sample resource, and verifies what is in it.
func page(t *testing.T, s *server, p partner, after string) (status int, all []token.Event, next string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Address()+"/oauth2/revocations?after="+after, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(p.id, p.secret)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got struct {
		Sets []string
		Next string
		More bool
	}
	if err := json.NewDecoder(res.Body).Decode(&got); res.StatusCode == http.StatusOK && (err != nil || got.More) {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, set := range got.Sets {
		_, payload, err := jose.Verify(set, jose.VerifyOptions{
			Types: []string{token.TypeEvent}, Algorithms: []jose.Algorithm{jose.ES256},
			Key: func(h jose.Header) (*jose.PublicKey, error) { return s.ring.Lookup(h.KeyID) },
		})
		if err != nil {
			t.Fatal(err)
		}
		e, err := token.ParseEvent(payload)
		if err != nil || e.Issuer != s.Issuer() {
			t.Fatalf("%+v %v", e, err)
		}
		all = append(all, e)
	}
	return res.StatusCode, all, got.Next
}

// TestSET14_EVT14_WhatIsPolled: what one server revokes is in the next page of another, to which a cursor of the first one
// means nothing; a revoked key begins anew; and a server that is cut off from the store does not vouch for now.
func TestSET14_EVT14_WhatIsPolled(t *testing.T) {
	redis := redistest.Start(t)
	nodes := startNodes(t, 2, redis.Addr)
	defer http.DefaultClient.CloseIdleConnections()
	a, b := nodes[0], nodes[1]
	service := newAPI(t, a, "service")
	_, first, nextA := page(t, a, service, "")
	_, _, nextB := page(t, b, service, "")
	if len(first) != 2 || first[0].Kind != token.EventSnapshot || time.Since(first[1].AsOf) > 3*time.Second {
		t.Fatalf("%+v", first)
	}
	subject := token.Subject{Kind: token.RevokedJTI, Value: "stolen"}
	if _, err := a.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: subject}); err != nil {
		t.Fatal(err)
	}
	took := until(t, func() bool {
		time.Sleep(time.Millisecond)
		_, all, next := page(t, b, service, nextB)
		nextB = next
		return len(all) == 2 && all[0].Kind == token.EventRevoked && all[0].Revocations[0].Subject == subject
	})
	t.Logf("from the answer at one server until another one's page has it: %v", took.Round(time.Millisecond))
	if took > propagation+busy {
		t.Errorf("it took %v", took)
	}
	_, all, _ := page(t, b, service, nextA)
	told := all[0].Revocations
	if len(all) == 3 { // the snapshot is a shared one of a moment ago
		told = append(told, all[1].Revocations...)
	}
	if all[0].Kind != token.EventSnapshot || len(told) != 1 || told[0].Subject != subject {
		t.Errorf("a cursor of another server: %+v", all)
	}
	kid := activeKey(t, a)
	if _, err := a.adminConfig().Keys.Revoke(t.Context(), kid, byTest); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		time.Sleep(time.Millisecond)
		status, all, next := page(t, b, service, nextB)
		if status == http.StatusOK {
			nextB = next
		}
		return status == http.StatusOK && all[0].Kind == token.EventSnapshot && len(all[0].Revocations) == 2
	})
	if polled := b.feed.Stats().Polled; polled < 3 {
		t.Errorf("%d pages", polled)
	}
	redis.Pause()
	defer redis.Resume()
	var asOf time.Time
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		status, all, _ := page(t, b, service, nextB)
		if status != http.StatusOK {
			continue // its caller's record is to be read again
		}
		if last := all[len(all)-1].AsOf; asOf.IsZero() || !last.After(asOf.Add(time.Second)) { // what was on its way
			asOf = last
		} else {
			t.Fatalf("without the store: known until %v, then %v", asOf, last)
		}
	}
}

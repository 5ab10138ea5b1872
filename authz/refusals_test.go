package authz

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"
)

func TestRefusals_NewestFirstAndBounded(t *testing.T) {
	m := NewRefusals()
	for i := range 3 * RefusalsPerClient / 2 {
		m.Add(Refusal{RequestID: fmt.Sprint(i), Client: "acme", Cause: CauseWrongSecret})
	}
	m.Add(Refusal{RequestID: "later", Client: "acme", Cause: CauseScopeNotAllowed})
	got := m.Recent("acme")
	if len(got) != RefusalsPerClient || got[0].RequestID != "later" || got[1].RequestID != "74" || got[RefusalsPerClient-1].RequestID != "26" {
		t.Errorf("%d, %v", len(got), got)
	}
	for id, want := range map[string]bool{"later": true, "26": true, "25": false, "0": false, "": false, "none": false} {
		if _, ok := m.ByRequest(id); ok != want {
			t.Errorf("request %q: %t, want %t", id, ok, want)
		}
	}
	full := Refusal{
		Time: time.Unix(1, 0), RequestID: "full", Route: "token", Cause: CauseFailuresLimited, Detail: string(CauseWrongSecret), Client: "acme",
		Credential: "x", Address: netip.MustParseAddr("192.0.2.1"),
	}
	m.Add(full)
	if got, ok := m.ByRequest("full"); !ok || got != full || m.Recent("acme")[0] != full {
		t.Errorf("%+v", got)
	}
	if got := m.Recent("nobody"); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// Strangers fill their own memory, and push nobody's refusals out.
func TestRefusals_StrangersShareOneMemory(t *testing.T) {
	m := NewRefusals()
	m.Add(Refusal{RequestID: "kept", Client: "acme", Cause: CauseWrongSecret})
	n := 0
	for i := range 5_000 {
		for _, r := range []Refusal{
			{Client: "acme", Cause: CauseFailuresLimited, Detail: string(CauseUnknownClient)},
			{Client: ClientID(fmt.Sprint("stranger", i)), Cause: CauseUnknownClient},
			{Client: "acme", Cause: CauseMalformedCredentials},
			{Client: "acme", Cause: CauseBadRequest, Detail: "syntax"},
			{Client: "acme", Cause: CauseSecretInClientID},
			{Client: "acme", Cause: CauseNoCredentials},
			{Client: "acme", Cause: CauseStoreUnavailable},
			{Cause: CauseNoCredentials},
			{Cause: CauseWrongSecret},
		} {
			n++
			r.RequestID = fmt.Sprint("r", n)
			m.Add(r)
		}
	}
	if len(m.clients) != 1 || len(m.strangers.items) != strangerRefusals || len(m.requests) != strangerRefusals+1 {
		t.Errorf("%d clients, %d strangers', %d requests", len(m.clients), len(m.strangers.items), len(m.requests))
	}
	if _, ok := m.ByRequest("kept"); !ok {
		t.Error("pushed out")
	}
	if got := m.Recent("acme"); len(got) != RefusalsPerClient { // what was done in its name is shown as well
		t.Errorf("%d", len(got))
	}
	if got := m.Recent("stranger4999"); len(got) != 1 || got[0].Cause != CauseUnknownClient {
		t.Errorf("%v", got)
	}
}

func TestRefusals_TheClientRefusedLeastRecentlyGoes(t *testing.T) {
	m := NewRefusals()
	for i := range refusedClients {
		m.Add(Refusal{RequestID: fmt.Sprint(i), Client: ClientID(fmt.Sprint("c", i)), Cause: CauseDisabled})
	}
	m.Add(Refusal{RequestID: "again", Client: "c0", Cause: CauseDisabled})
	m.Add(Refusal{RequestID: "new", Client: "new", Cause: CauseDisabled})
	for id, want := range map[ClientID]int{"c0": 2, "c1": 0, "c2": 1, "new": 1} {
		if got := len(m.Recent(id)); got != want {
			t.Errorf("%s: %d, want %d", id, got, want)
		}
	}
	if _, ok := m.ByRequest("1"); ok || len(m.clients) != refusedClients || len(m.requests) != refusedClients+1 {
		t.Errorf("%d clients, %d requests", len(m.clients), len(m.requests))
	}
}

// One identifier of a request that comes again names the later refusal, also when the earlier one goes.
func TestRefusals_ARequestIDThatComesAgain(t *testing.T) {
	m := NewRefusals()
	m.Add(Refusal{RequestID: "x", Client: "acme", Cause: CauseDisabled})
	m.Add(Refusal{RequestID: "x", Client: "rival", Cause: CauseWrongSecret})
	for range RefusalsPerClient {
		m.Add(Refusal{Client: "acme", Cause: CauseDisabled})
	}
	if got, ok := m.ByRequest("x"); !ok || got.Client != "rival" {
		t.Errorf("%+v %t", got, ok)
	}
}

func TestRefusals_MayBeUsedConcurrently(t *testing.T) {
	m := NewRefusals()
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 2_000 {
				id := ClientID(fmt.Sprint("c", (g*2_000+i)%1_500))
				m.Add(Refusal{RequestID: fmt.Sprint(g, i), Client: id, Cause: CauseDisabled})
				m.Recent(id)
				m.ByRequest(fmt.Sprint(g, i))
			}
		})
	}
	all.Wait()
	held := 0
	for _, ring := range m.clients {
		held += len(ring.items)
	}
	if len(m.clients) > refusedClients || len(m.requests) != held {
		t.Errorf("%d clients, %d held, %d by request", len(m.clients), held, len(m.requests))
	}
}

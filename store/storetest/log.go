package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/store"
)

func auditLog(t *testing.T, f Fixture) {
	got, start, err := f.Store.Entries(t.Context(), "", 10)
	if err != nil || len(got) != 0 {
		t.Fatalf("empty log: got %v, %v", got, err)
	}
	var want []audit.Entry
	for i, s := range subjects() {
		id := fmt.Sprintf("id-%d", i)
		e := entry(id)
		e.Action = string(s.kind) + ".create"
		if _, err := s.put(t.Context(), f.Store, id, 0, "m", e); err != nil {
			t.Fatalf("put: %v", err)
		}
		want = append(want, e)
		if _, err := s.put(t.Context(), f.Store, id, 0, "m", e); !errors.Is(err, s.conflict) {
			t.Fatalf("put again: got error %v, want %v", err, s.conflict)
		}
	}
	for _, limit := range []int{1, 2, 3, 4} {
		for _, place := range []string{"", start} { // both are the beginning
			if d := Diff(unplaced(walkLog(t, f.Peer, place, limit)), want); d != "" {
				t.Errorf("limit %d (-want +got):\n%s", limit, d)
			}
		}
	}
	for _, place := range []string{"0", ".", "nonsense", start + "x", " "} {
		if got, _, err := f.Store.Entries(t.Context(), place, 10); !errors.Is(err, store.ErrCursor) {
			t.Errorf("cursor %q: got %v, %v, want ErrCursor", place, got, err)
		}
	}
}

// unplaced returns the entries without their IDs, which only the log knows.
func unplaced(entries []audit.Entry) []audit.Entry {
	out := slices.Clone(entries)
	for i := range out {
		out[i].ID = ""
	}
	return out
}

// walkLog reads page after page until one is empty.
func walkLog(t *testing.T, s store.Store, place string, limit int) []audit.Entry {
	t.Helper()
	var all []audit.Entry
	for {
		page, next, err := s.Entries(t.Context(), place, limit)
		if err != nil {
			t.Fatalf("Entries: %v", err)
		}
		if len(page) > limit || next == "" {
			t.Fatalf("Entries: got %d, limit %d, next %q", len(page), limit, next)
		}
		if len(page) == 0 {
			return all
		}
		all, place = append(all, page...), next
	}
}

func auditRoundTrip(t *testing.T, f Fixture) {
	want := audit.Entry{
		Time: time.Date(2026, 11, 5, 12, 30, 0, 123456789, time.FixedZone("", 3600)),
		Origin: audit.Origin{
			Actor:     audit.Actor{Kind: audit.ActorClient, ID: "a:b"},
			Reason:    "they said: \"nö\"\n\u2028",
			RequestID: "0af7651916cd43dd8448eb211c80319c",
		},
		Action: "client.disable",
		Target: "https://é.example/?x#y",
		Result: audit.ResultDone,
		Before: jsontext.Value(`{"disabled":false,"name":"a\u0041\"é"}`),
		After:  jsontext.Value(`{"disabled":true}`),
	}
	if _, err := subjects()[0].put(t.Context(), f.Store, "a", 0, "m", want); err != nil {
		t.Fatalf("put: %v", err)
	}
	_, entries := everything(t, f.Peer, mustHead(t, f.Store))
	want.Time = want.Time.UTC()
	if d := Diff(unplaced(entries), []audit.Entry{want}); d != "" {
		t.Errorf("entries (-want +got):\n%s", d)
	}
}

func mustHead(t *testing.T, s store.Store) store.Cursor {
	t.Helper()
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	return head
}

// kindsStandApart: the same identifier in every kind is as many records.
func kindsStandApart(t *testing.T, f Fixture) {
	for _, s := range subjects() {
		mustPut(t, f, s, "same", 0, string(s.kind))
	}
	for _, s := range subjects() {
		wantRecord(t, f, s, "same", 1, string(s.kind))
	}
}

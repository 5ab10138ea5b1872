package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz"
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

// auditLogBackwards: newest first, page by page, is the log in reverse, with the same IDs, each its own;
// what is written meanwhile moves nothing.
func auditLogBackwards(t *testing.T, f Fixture) {
	if got, next, err := f.Store.Latest(t.Context(), "", 10); err != nil || len(got) != 0 || next != "" {
		t.Errorf("empty log: got %v, %q, %v", got, next, err)
	}
	const written = 11
	for i := range written {
		mustPut(t, f, subjects()[0], fmt.Sprint(i), 0, "m")
	}
	want := walkLog(t, f.Peer, "", 100)
	slices.Reverse(want)
	ids := map[string]bool{}
	for _, e := range want {
		if e.ID == "" || ids[e.ID] {
			t.Errorf("entry of %s: ID %q is empty or another's", e.Target, e.ID)
		}
		ids[e.ID] = true
	}
	for i, limit := range []int{1, 3, written - 1, written, written + 1} {
		var got []audit.Entry
		place := ""
		for {
			page, next, err := f.Peer.Latest(t.Context(), place, limit)
			if err != nil {
				t.Fatalf("Latest: %v", err)
			}
			if len(page) > limit || len(page) < limit && next != "" {
				t.Fatalf("Latest: got %d, limit %d, next %q", len(page), limit, next)
			}
			if got = append(got, page...); next == "" {
				break
			}
			if len(got) == limit { // after the first page
				mustPut(t, f, subjects()[0], fmt.Sprint("meanwhile-", i), 0, "m")
			}
			place = next
		}
		if d := Diff(got, want); d != "" {
			t.Errorf("limit %d (-want +got):\n%s", limit, d)
		}
		want = walkLog(t, f.Peer, "", 100)
		slices.Reverse(want)
	}
	_, place, err := f.Store.Latest(t.Context(), "", 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"0", ".", "nonsense", place + "x", " " + place, strings.Repeat("9", 400)} {
		if got, _, err := f.Store.Latest(t.Context(), bad, 10); !errors.Is(err, store.ErrCursor) || !errors.Is(err, authz.ErrCursor) {
			t.Errorf("cursor %.20q: got %v, %v, want ErrCursor", bad, got, err)
		}
	}
}

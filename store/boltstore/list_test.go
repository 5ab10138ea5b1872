package boltstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz"
)

// withClients puts clients there directly, sealed but without change or audit entry: made by PutClient,
// each would be synced. Those whose number gone says are deleted.
func withClients(t testing.TB, s *Store, n int, gone func(i int) bool) {
	t.Helper()
	if err := s.db.bolt.Update(func(tx *bolt.Tx) error {
		for i := range n {
			c := authz.Client{ID: authz.ClientID(fmt.Sprintf("c%06d", i)), Name: fmt.Sprintf("Number %d.", i), Version: 1}
			if gone(i) {
				c.Name, c.DeletedAt = "", testTime
			}
			sealed, err := s.env.SealClient(c)
			if err != nil {
				return err
			}
			if err := tx.Bucket(s.db.name()).Bucket(bucketClients).Put([]byte(c.ID), sealed); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// A list that takes several transactions is the same list: nothing is left out or comes twice where one
// ends, and long stretches of deleted clients end no page.
func TestListClients_Long(t *testing.T) {
	const n = 3*scanned + 10
	s := newStore(t, openTemp(t, Config{}))
	gone := func(i int) bool {
		return i < scanned+7 || i == 2*scanned-1 || i == 2*scanned || i == n-1
	}
	withClients(t, s, n, gone)
	var want []authz.ClientID
	for i := range n {
		if !gone(i) {
			want = append(want, authz.ClientID(fmt.Sprintf("c%06d", i)))
		}
	}
	for _, limit := range []int{100, scanned - 1, scanned, scanned + 1, n, n + 1} {
		var got []authz.ClientID
		q := authz.ClientQuery{Limit: limit}
		for {
			page, err := s.ListClients(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range page {
				got = append(got, c.ID)
			}
			if len(page) < limit {
				break
			}
			q.After = page[len(page)-1].ID
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: got %d clients, want %d", limit, len(got), len(want))
		}
	}
	if page, err := s.ListClients(t.Context(), authz.ClientQuery{Text: fmt.Sprintf("NUMBER %d.", n-2), Limit: 1}); err != nil || len(page) != 1 || page[0].ID != want[len(want)-1] {
		t.Errorf("search for the last: got %v, %v", page, err)
	}
}

// endingContext ends once it was asked that often.
type endingContext struct {
	context.Context
	asks int
}

func (c *endingContext) Err() error {
	if c.asks--; c.asks < 0 {
		return context.Canceled
	}
	return nil
}

// Who no longer waits for a long search does not pay for it.
func TestListClients_ContextEndsMeanwhile(t *testing.T) {
	s := newStore(t, openTemp(t, Config{}))
	withClients(t, s, 3*scanned, func(int) bool { return false })
	for asks, want := range map[int]error{0: context.Canceled, 1: context.Canceled, 2: context.Canceled, 10: nil} {
		_, err := s.ListClients(&endingContext{t.Context(), asks}, authz.ClientQuery{Text: "nobody", Limit: 1})
		if !errors.Is(err, want) {
			t.Errorf("asked %d times: got error %v, want %v", asks, err, want)
		}
	}
}

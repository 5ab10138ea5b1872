package redisstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redistest"
)

// ends returns when Redis removes each key, in Unix milliseconds: of all keys that have an end.
func ends(t *testing.T, raw *redis.Client) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	names, err := raw.Keys(t.Context(), "*").Result()
	must(t, err)
	for _, name := range names {
		at, err := raw.Do(t.Context(), "PEXPIRETIME", name).Int64()
		must(t, err)
		if at >= 0 {
			all[name] = at
		}
	}
	return all
}

func wantEnds(t *testing.T, what string, raw *redis.Client, want map[string]int64) {
	t.Helper()
	got := ends(t, raw)
	for name, at := range got {
		if at != want[name] {
			t.Errorf("%s: %s ends at %d, want %d (0: never)", what, name, at, want[name])
		}
	}
	for name := range want {
		if _, has := got[name]; !has {
			t.Errorf("%s: %s never ends", what, name)
		}
	}
}

// order is the order of ends: which subjects have a place in it, and where.
func order(t *testing.T, raw *redis.Client, n names) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	list, err := raw.ZRangeWithScores(t.Context(), n.of(nameEnds), 0, -1).Result()
	must(t, err)
	for _, z := range list {
		all[n.record(store.KindRevocation, z.Member.(string))] = int64(z.Score)
	}
	return all
}

// TestEnds: a revocation goes an hour after its end, to the millisecond, and nothing else ever does.
func TestEnds(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	raw := server.Client()
	db := openTest(t, Config{Addrs: []string{server.Addr}})
	s := newStore(t, db)
	fill(t, s)
	key := func(jti string) string { return db.names.record(store.KindRevocation, "jti:"+jti) }
	want := ends(t, raw) // that of fill
	if len(want) != 1 {
		t.Errorf("after one of each: %v", want)
	}
	put := func(r authz.Revocation) authz.Revocation {
		t.Helper()
		r, err := s.PutRevocation(t.Context(), r, testEntry("x"))
		must(t, err)
		return r
	}
	check := func(what string) {
		t.Helper()
		wantEnds(t, what, raw, want)
		if got := order(t, raw, db.names); !maps.Equal(got, want) {
			t.Errorf("%s: the order is %v, want %v", what, got, want)
		}
	}
	for i, until := range []time.Time{
		inTwoHours(), inTwoHours().Add(time.Second), time.Now().Add(time.Second).Truncate(time.Second), time.Now().AddDate(100, 0, 0).Truncate(time.Second),
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), inTwoHours().In(time.FixedZone("", 3600)),
	} {
		put(revocation(fmt.Sprint(i), until))
		want[key(fmt.Sprint(i))] = until.Add(time.Hour).UnixMilli()
		check(fmt.Sprint("until ", until))
	}

	r := put(revocation("changes", inTwoHours()))
	want[key("changes")] = r.Until.Add(time.Hour).UnixMilli()
	check("ended")
	r.Until = time.Time{}
	r = put(r)
	delete(want, key("changes"))
	check("open-ended now")
	r.Until = inTwoHours().Add(time.Minute)
	r = put(r)
	want[key("changes")] = r.Until.Add(time.Hour).UnixMilli()
	check("ended again")
	r.Until = r.Until.Add(-time.Minute)
	r = put(r)
	want[key("changes")] = r.Until.Add(time.Hour).UnixMilli()
	check("ended earlier")
	with := revocation("with-b", inTwoHours())
	_, err := s.PutClient(t.Context(), authz.Client{ID: "b", Credentials: []authz.Credential{{ID: "k-b"}}}, testEntry("b"), with)
	must(t, err)
	want[key("with-b")] = with.Until.Add(time.Hour).UnixMilli()
	check("together with a client")
}

// expire lets the end of revocations come: Redis removes them, as it would by its clock.
func expire(t *testing.T, raw *redis.Client, n names, jtis ...string) {
	t.Helper()
	_, err := raw.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
		for _, jti := range jtis {
			p.ZAdd(t.Context(), n.of(nameEnds), redis.Z{Score: float64(time.Now().Add(-time.Second).UnixMilli()), Member: "jti:" + jti})
			p.PExpireAt(t.Context(), n.record(store.KindRevocation, "jti:"+jti), time.Now().Add(-time.Second))
		}
		return nil
	})
	must(t, err)
}

// TestEnds_Lists: what Redis has removed is in no list, is no damage, and leaves the keys of the lists a few at a
// time by what is written later.
func TestEnds_Lists(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	raw := server.Client()
	var told observed
	db := openTest(t, Config{Addrs: []string{server.Addr}, Observe: told.observe})
	s := newStore(t, db)
	var jtis []string
	var many []authz.Revocation
	for i := range 50 {
		jtis = append(jtis, fmt.Sprintf("j-%02d", i))
		many = append(many, revocation(jtis[i], inTwoHours()))
	}
	many = append(many, revocation("j-05-stays", inTwoHours()), revocation("j-99-open", time.Time{}))
	_, err := s.PutResource(t.Context(), authz.Resource{ID: "r", TokenLifetime: time.Minute}, testEntry("r"), many...)
	must(t, err)
	expire(t, raw, db.names, jtis...)

	wantListed := func(what string) {
		t.Helper()
		for _, limit := range []int{1, 2, 10, 100} {
			var got []string
			for after := ""; ; {
				page, err := s.ListRevocations(t.Context(), after, limit)
				must(t, err)
				if len(page) == 0 {
					break
				}
				for _, r := range page {
					got = append(got, r.Value)
				}
				after = page[len(page)-1].Subject.String()
			}
			if want := []string{"j-05-stays", "j-99-open"}; !slices.Equal(got, want) {
				t.Errorf("%s, pages of %d: got %q, want %q", what, limit, got, want)
			}
		}
		if _, err := s.Inspect(t.Context(), func(err error) { t.Errorf("%s: %v", what, err) }); err != nil {
			t.Error(err)
		}
	}
	wantListed("removed")
	told.take()
	if _, err := s.ListRevocations(t.Context(), "", 100); err != nil {
		t.Error(err)
	}
	if got := told.take(); len(got) > 4 {
		t.Errorf("a page of 50 that have ended asks Redis %v", got)
	}

	cards := func() [2]int64 {
		return [2]int64{raw.ZCard(t.Context(), db.names.index(store.KindRevocation)).Val(), raw.ZCard(t.Context(), db.names.of(nameEnds)).Val()}
	}
	for version, want := range [][2]int64{{52, 51}, {36, 35}, {20, 19}, {4, 3}, {2, 1}, {2, 1}} {
		if got := cards(); got != want {
			t.Errorf("after %d writes the lists have %v, want %v", version, got, want)
		}
		_, err := s.PutResource(t.Context(), authz.Resource{ID: "r", TokenLifetime: time.Minute, Version: uint64(version + 1)}, testEntry("r"))
		must(t, err)
		wantListed(fmt.Sprint("after ", version+1, " writes"))
	}
}

// TestEnds_VersionsNeverComeBack: who has read a revocation that has ended since cannot write over the one that
// was made in its place.
func TestEnds_VersionsNeverComeBack(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	raw := server.Client()
	db := openTest(t, Config{Addrs: []string{server.Addr}})
	s, peer := newStore(t, db), newStore(t, openTest(t, Config{Addrs: []string{server.Addr}}))
	had := map[uint64]bool{}
	note := func(r authz.Revocation) {
		t.Helper()
		if had[r.Version] {
			t.Errorf("version %d came back", r.Version)
		}
		had[r.Version] = true
	}
	put := func(s *Store, r authz.Revocation) authz.Revocation {
		t.Helper()
		r, err := s.PutRevocation(t.Context(), r, testEntry("x"))
		must(t, err)
		return r
	}
	for round := range 6 {
		r := revocation("x", inTwoHours())
		if round%3 == 2 {
			r.Until = time.Time{} // open-ended at first
		}
		r = put(s, r)
		note(r)
		for range round {
			r.Until = inTwoHours()
			r = put(peer, r)
			note(r)
		}
		if r.Until.IsZero() {
			r.Until = inTwoHours()
			r = put(s, r)
			note(r)
		}
		old := r
		expire(t, raw, db.names, "x")
		for range 3 { // others raise the floor as well
			put(peer, revocation(fmt.Sprint("other-", len(had), time.Now().UnixNano()), inTwoHours()))
		}
		if _, err := s.PutRevocation(t.Context(), old, testEntry("x")); !errors.Is(err, authz.ErrConflict) {
			t.Errorf("over one that has gone: got error %v, want ErrConflict", err)
		}
	}

	// Many at once, of one subject each, and of one subject together.
	var mu sync.Mutex
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 10 {
				subject := []string{"shared", fmt.Sprint("own-", w)}[i%2]
				r, err := s.PutRevocation(t.Context(), revocation(subject, inTwoHours()), testEntry("x"))
				if errors.Is(err, authz.ErrConflict) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if subject == "shared" {
					note(r)
				}
				mu.Unlock()
				expire(t, raw, db.names, subject)
			}
		})
	}
	writers.Wait()
}

// TestEnds_VersionsNeverComeBack_Interleaved: one is made and has gone while another is on its way. Who made it must
// not be able to write over the other.
func TestEnds_VersionsNeverComeBack_Interleaved(t *testing.T) {
	server := redistest.Start(t)
	w := newWire(t, server.Addr)
	slow := newStore(t, openTest(t, Config{Addrs: []string{w.addr}}))
	s := newStore(t, openTest(t, Config{Addrs: []string{server.Addr}}))
	fill(t, slow) // scripts are known
	ended := revocation("x", time.Unix(1_000_000_000, 0))
	var first authz.Revocation
	scripts := 0
	w.on("evalsha", func([]string) step {
		if scripts++; scripts == 2 { // it is prepared
			var err error
			if first, err = s.PutRevocation(context.Background(), ended, testEntry("x")); err != nil {
				t.Error(err)
			}
		}
		return step{}
	})
	second, err := slow.PutRevocation(t.Context(), revocation("x", inTwoHours()), testEntry("x"))
	if err != nil || second.Version == first.Version || first.Version == 0 {
		t.Errorf("versions %d and %d, %v", first.Version, second.Version, err)
	}
}

// TestEnds_Asked: one that has gone is no longer an answer, without a fault.
func TestEnds_Asked(t *testing.T) {
	server := redistest.Start(t)
	db := openTest(t, Config{Addrs: []string{server.Addr}})
	s := newStore(t, db)
	fill(t, s)
	expire(t, server.Client(), db.names, "ends")
	found, err := s.Revocations(t.Context(), []token.Subject{jtiOf("ends"), jtiOf("open")})
	if err != nil || len(found) != 1 || found[0].Value != "open" {
		t.Errorf("got %v, %v", found, err)
	}
	// One that somebody has removed before its end is told by lists.
	must(t, server.Client().Del(t.Context(), db.names.record(store.KindRevocation, "jti:open")).Err())
	_, err = s.ListRevocations(t.Context(), "", 10)
	wantRecordError(t, "ListRevocations", err, store.KindRevocation, "jti:open")
	inspectTells(t, s, store.KindRevocation, "jti:open")
	if !strings.Contains(err.Error(), "removed") {
		t.Errorf("%v does not say that it was removed", err)
	}
}

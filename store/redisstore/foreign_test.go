package redisstore

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redistest"
	"github.com/marque-auth/marque/store/storetest"
)

// TestForeign: a key of ours in which something else lies. Who touches it is told which key it is, nothing is
// written, neither there nor elsewhere, and it is no absence.
func TestForeign(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	raw := server.Client()
	for _, c := range []struct {
		key     string // without its namespace
		kind    store.Kind
		id      string   // "" is the whole key
		touched []string // the calls that meet it
	}{
		{"epoch", kindKey, "", slices.Collect(maps.Keys(calls))},
		{"installation", store.KindInstallation, "NAMESPACE", []string{"Installation", "PutInstallation", "ReplaceInstallation", "Inspect"}},
		{"changes", kindKey, "", []string{"Head", "Changes", "Wait", "change a", "change r", "change ring", "revoke", "Inspect"}},
		{"audit", kindKey, "", []string{"Entries", "Latest", "change a", "change r", "change ring", "revoke", "ReplaceInstallation", "Inspect"}},
		{"revocation-floor", kindKey, "", []string{"change a", "change r", "change ring", "revoke"}},
		{"revocation-ends", kindKey, "", []string{"change a", "change r", "change ring", "revoke"}},
		{"revocation-index", kindKey, "", []string{"ListRevocations", "change a", "change r", "change ring", "revoke", "Inspect"}},
		{"client-index", kindKey, "", []string{"ListClients", "change a", "Inspect"}},
		{"resource-index", kindKey, "", []string{"ListResources", "change r", "Inspect"}},
		{"ring-index", kindKey, "", []string{"Rings", "change ring", "Inspect"}},
		{"client:a", store.KindClient, "a", []string{"Client", "ClientVersion", "ListClients", "change a", "Inspect"}},
		{"credential:k-1", store.KindCredential, "k-1", []string{"ClientOf", "change a", "Inspect"}},
		{"resource:r", store.KindResource, "r", []string{"Resource", "ListResources", "change r", "Inspect"}},
		{"ring:ES256", store.KindRing, "ES256", []string{"Rings", "change ring", "Inspect"}},
		{"revocation:jti:open", store.KindRevocation, "jti:open", []string{"Revocations", "ListRevocations", "revoke", "Inspect"}},
	} {
		for name, put := range map[string]func(p redis.Pipeliner, key string){
			"hash":   func(p redis.Pipeliner, key string) { p.HSet(t.Context(), key, "a", "b") },
			"list":   func(p redis.Pipeliner, key string) { p.RPush(t.Context(), key, "a", "b") },
			"string": func(p redis.Pipeliner, key string) { p.Set(t.Context(), key, "not a record", redis.KeepTTL) },
		} {
			t.Run(c.key+" is a "+name, func(t *testing.T) {
				ns := newNamespace()
				db := openTest(t, Config{Addrs: []string{server.Addr}, Namespace: ns})
				s := newStore(t, db)
				fill(t, s)
				head, err := s.Head(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				key := db.names.of(c.key)
				if name == "string" && db.names.typeOf(key) == typeString && c.key != "revocation-floor" {
					t.Skip("that is damage of a record: see storetest, and of an epoch: see TestEmptied")
				}
				if _, err := raw.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
					p.Del(t.Context(), key)
					put(p, key)
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				before := dump(t, raw)
				kind, id := c.kind, c.id
				switch id {
				case "":
					id = key
				case "NAMESPACE":
					id = ns
				}
				for _, what := range c.touched {
					wantRecordError(t, what, touch(t, s, what, head), kind, id)
				}
				unchangedButFloor(t, raw, before, c.key == "revocation-floor")
			})
		}
	}
}

// unchangedButFloor is unchanged, but for numbers that were taken from the floor and not used.
func unchangedButFloor(t *testing.T, raw *redis.Client, before map[string]string, floorToo bool) {
	t.Helper()
	before = maps.Clone(before)
	for key := range before {
		if !floorToo && strings.HasSuffix(key, nameFloor) {
			before[key] = dump(t, raw, key)[key]
		}
	}
	unchanged(t, raw, before)
}

// touch calls one of the calls, or changes what is there.
func touch(t *testing.T, s *Store, what string, head store.Cursor) error {
	t.Helper()
	if c, ok := calls[what]; ok {
		return c.does(t.Context(), s, head)
	}
	ends := revocation("more", inTwoHours())
	switch what {
	case "change a":
		_, err := s.PutClient(t.Context(), authz.Client{ID: "a", Version: 1, Credentials: []authz.Credential{{ID: "k-1"}, {ID: "k-3"}}}, testEntry("a"), ends)
		return err
	case "change r":
		_, err := s.PutResource(t.Context(), authz.Resource{ID: "r", Version: 1, TokenLifetime: 1e9}, testEntry("r"), ends)
		return err
	case "change ring":
		ring := storetest.FullRing(jose.ES256)
		ring.Version = 1
		_, err := s.PutRing(t.Context(), ring, testEntry("ring"))
		return err
	case "revoke":
		r := revocation("open", inTwoHours())
		r.Version = 1
		_, err := s.PutRevocation(t.Context(), r, testEntry("open"))
		return err
	}
	t.Fatalf("no call of the name %q", what)
	return nil
}

// TestForeign_Logs: what something else wrote into the logs, or took from them, is told, and nothing is
// written over it, or beside it where it cannot follow.
func TestForeign_Logs(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	raw := server.Client()
	const last = "18446744073709551615-18446744073709551615"
	add := func(key, id string, values ...string) func(names) error {
		return func(n names) error {
			return raw.XAdd(t.Context(), &redis.XAddArgs{Stream: n.of(key), ID: id, Values: values}).Err()
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(n names) error
		kind  store.Kind
		id    string // "" is the key of the feed, FLOOR that of the floor
		reads []string
		stuck bool // nothing can be written
	}{
		{"an entry of the audit log by the clock", add("audit", "*", "a", "b"), store.KindAudit, "6", []string{"Entries"}, true},
		{"an entry of the audit log between two numbers", add("audit", "5-7", "a", "b"), store.KindAudit, "5-7", []string{"Entries", "Latest", "Inspect"}, true},
		{"the next entry of the audit log", add("audit", "6-0", "a", "b"), store.KindAudit, "6", []string{"Entries", "Latest", "Inspect"}, true},
		{"the last entry that there can be of the audit log", add("audit", last, "entry", "b"), store.KindAudit, last, []string{"Latest"}, true},
		{"the audit log has lost its end", func(n names) error { return raw.XDel(t.Context(), n.of(nameAudit), "5-0").Err() }, store.KindAudit, "5", nil, true},
		{"the audit log was emptied", func(n names) error { return raw.XTrimMaxLen(t.Context(), n.of(nameAudit), 0).Err() }, store.KindAudit, "5", nil, true},
		{"the audit log has gone", func(n names) error { return raw.Del(t.Context(), n.of(nameAudit)).Err() }, store.KindAudit, "1", []string{"Inspect"}, true},
		{"the audit log lacks an entry", func(n names) error { return raw.XDel(t.Context(), n.of(nameAudit), "3-0").Err() }, store.KindAudit, "3", []string{"Entries", "Inspect"}, false},
		{"the last entry that there can be of the feed", add("changes", last, "kind", "client", "id", "a"), kindKey, "", nil, true},
		{"an entry of the feed that is no change", add("changes", "*", "a", "b"), kindChange, "LAST", []string{"Changes", "Inspect"}, false},
		{"the feed has gone", func(n names) error { return raw.Del(t.Context(), n.of(nameChanges)).Err() }, kindChange, nameChanges, []string{"Head", "Inspect"}, false},
		{"the floor is a word", func(n names) error { return raw.Set(t.Context(), n.of(nameFloor), "high", 0).Err() }, kindKey, "FLOOR", nil, true},
		{"the floor is negative", func(n names) error { return raw.Set(t.Context(), n.of(nameFloor), "-5", 0).Err() }, kindKey, "FLOOR", nil, true},
		{"the floor is beyond counting", func(n names) error { return raw.Set(t.Context(), n.of(nameFloor), "9223372036854775807", 0).Err() }, kindKey, "FLOOR", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := openTest(t, Config{Addrs: []string{server.Addr}, Namespace: newNamespace()})
			s := newStore(t, db)
			fill(t, s)
			head, err := s.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(db.names); err != nil {
				t.Fatal(err)
			}
			id := c.id
			switch id {
			case "":
				id = db.names.of(nameChanges)
			case "FLOOR":
				id = db.names.of(nameFloor)
			case "LAST":
				id = raw.XRevRangeN(t.Context(), db.names.of(nameChanges), "+", "-", 1).Val()[0].ID
			}
			before := dump(t, raw)
			for _, what := range c.reads {
				if what == "Inspect" { // it may tell of more
					inspectTells(t, s, c.kind, id)
					continue
				}
				wantRecordError(t, what, touch(t, s, what, head), c.kind, id)
			}
			if c.stuck {
				writes := []string{"change a", "revoke"}
				if c.kind == store.KindAudit {
					writes = append(writes, "ReplaceInstallation")
				}
				for _, what := range writes {
					err := touch(t, s, what, head)
					if c.kind == store.KindAudit && c.id == "6" && errors.Is(err, store.ErrDamaged) {
						continue // it names what is there, and a reader what is not
					}
					wantRecordError(t, what, err, c.kind, id)
				}
				unchangedButFloor(t, raw, before, strings.Contains(c.name, "floor"))
				return
			}
			for _, what := range []string{"change a", "revoke"} {
				if err := touch(t, s, what, head); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

func inspectTells(t *testing.T, s *Store, kind store.Kind, id string) {
	t.Helper()
	var told []string
	if _, err := s.Inspect(t.Context(), func(err error) {
		var record *store.RecordError
		if errors.As(err, &record) {
			told = append(told, string(record.Kind)+" "+record.Key)
		}
	}); err != nil {
		t.Errorf("Inspect: %v", err)
	}
	if !slices.Contains(told, string(kind)+" "+id) {
		t.Errorf("Inspect tells of %q, and not of %s %s", told, kind, id)
	}
}

// TestForeign_Expiry: the order of ends is not believed. A live revocation stays in the list whatever the order
// says of it, one that has ended leaves it, and the order is mended.
func TestForeign_Expiry(t *testing.T) {
	server := redistest.Start(t)
	raw := server.Client()
	db := openTest(t, Config{Addrs: []string{server.Addr}})
	s := newStore(t, db)
	fill(t, s)
	ends := db.names.of(nameEnds)
	was := raw.ZScore(t.Context(), ends, "jti:ends").Val()
	for _, subject := range []string{"jti:ends", "jti:open", "jti:never was"} {
		if err := raw.ZAdd(t.Context(), ends, redis.Z{Score: 1, Member: subject}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.PutResource(t.Context(), authz.Resource{ID: "r", Version: 1, TokenLifetime: 1e9}, testEntry("r")); err != nil {
		t.Fatal(err)
	}
	all, err := s.ListRevocations(t.Context(), "", 10)
	if err != nil || len(all) != 2 {
		t.Errorf("got %v, %v; want both", all, err)
	}
	left, err := raw.ZRangeWithScores(t.Context(), ends, 0, -1).Result()
	if want := []redis.Z{{Score: was, Member: "jti:ends"}}; err != nil || !slices.Equal(left, want) {
		t.Errorf("the order is %v, %v; want %v", left, err, want)
	}
}

// TestFull: a Redis that takes nothing more takes half of nothing.
func TestFull(t *testing.T) {
	server := redistest.Start(t)
	raw := server.Client()
	db := openTest(t, Config{Addrs: []string{server.Addr}})
	s := newStore(t, db)
	fill(t, s)
	for name, set := range map[string]struct{ full, empty []any }{
		"memory": {full: []any{"CONFIG", "SET", "maxmemory", "1"}, empty: []any{"CONFIG", "SET", "maxmemory", "0"}},
		"replicas": {
			full:  []any{"CONFIG", "SET", "min-replicas-to-write", "1"},
			empty: []any{"CONFIG", "SET", "min-replicas-to-write", "0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := dump(t, raw)
			must(t, raw.Do(t.Context(), set.full...).Err())
			for what, c := range calls {
				if !c.writes || what == "PutInstallation" {
					continue
				}
				err := c.does(t.Context(), s, "")
				if err == nil || isAbsence(err) || errors.Is(err, authz.ErrConflict) || errors.Is(err, ErrEmptied) || errors.Is(err, store.ErrDamaged) {
					t.Errorf("%s: got error %v, want a fault", what, err)
				}
			}
			if _, err := s.Client(t.Context(), "a"); err != nil {
				t.Errorf("a read: %v", err)
			}
			must(t, raw.Do(t.Context(), set.empty...).Err())
			unchanged(t, raw, before)
		})
	}
	if err := touch(t, s, "change a", ""); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// TestFull_NewInstallation: of the making of one, too, there is all or nothing.
func TestFull_NewInstallation(t *testing.T) {
	server := redistest.Start(t)
	raw := server.Client()
	db := openTest(t, Config{Addrs: []string{server.Addr}})
	before := dump(t, raw)
	must(t, raw.ConfigSet(t.Context(), "maxmemory", "1").Err())
	if _, err := db.PutInstallation(t.Context(), keys.Installation{Format: keys.InstallationFormat}, testEntry("i")); err == nil {
		t.Error("a full Redis took it")
	}
	if err := tryOpen(t, Config{Addrs: []string{server.Addr}, Namespace: "another"}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a new namespace in a full Redis: %v", err)
	}
	must(t, raw.ConfigSet(t.Context(), "maxmemory", "0").Err())
	unchanged(t, raw, before)
}

// TestDisk: a Redis that cannot save takes no writes.
func TestDisk(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.NoPersistence(), redistest.Args("--save", "3600", "1", "--enable-protected-configs", "yes"))
	raw := server.Client()
	db := openTest(t, Config{Addrs: []string{server.Addr}})
	s := newStore(t, db)
	fill(t, s)
	must(t, raw.ConfigSet(t.Context(), "dbfilename", "is-a-folder").Err())
	mkdir(t, server.Dir()+"/is-a-folder")
	must(t, raw.Do(t.Context(), "BGSAVE").Err())
	waitFor(t, "the save to fail", func() bool {
		info, err := server.Info()
		return err == nil && info["rdb_last_bgsave_status"] == "err"
	})
	before := dump(t, raw)
	for what, c := range calls {
		if !c.writes || what == "PutInstallation" {
			continue
		}
		err := c.does(t.Context(), s, "")
		if !redis.HasErrorPrefix(err, "MISCONF") {
			t.Errorf("%s: got error %v, want a fault", what, err)
		}
	}
	unchanged(t, raw, before)
	if _, err := s.Client(t.Context(), "a"); err != nil {
		t.Errorf("a read: %v", err)
	}
}

// TestKilledScript: while somebody's script runs without end everything is a fault, and a commit that is ended
// in its middle is whole or nothing.
func TestKilledScript(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Args("--busy-reply-threshold", "1"))
	raw := server.Client()
	s := newStore(t, openTest(t, Config{Addrs: []string{server.Addr}}))
	fill(t, s)
	before := dump(t, raw)
	ended := make(chan error)
	go func() { ended <- server.Client().Eval(t.Context(), "while true do end", nil).Err() }()
	waitFor(t, "the server to be busy", func() bool { return redis.HasErrorPrefix(raw.Ping(t.Context()).Err(), "BUSY") })
	for what, c := range calls {
		if what == "Wait" || what == "Confirm" { // they wait longer, or say it otherwise
			continue
		}
		if err := c.does(t.Context(), s, "x.1-1"); !redis.HasErrorPrefix(err, "BUSY") && !errors.Is(err, store.ErrCursor) {
			t.Errorf("%s: got error %v, want BUSY", what, err)
		}
	}
	must(t, raw.ScriptKill(t.Context()).Err())
	<-ended
	unchanged(t, raw, before)

	s, killed, done := killScripts(t, server)
	t.Logf("killed %d, done %d", killed, done)
	if killed == 0 {
		t.Error("no script was killed")
	}
	if _, err := s.Inspect(t.Context(), func(err error) { t.Error(err) }); err != nil {
		t.Error(err)
	}
}

// killScripts makes large commits, and has each second one killed from its beginning, and the others once it is
// known what they replace.
func killScripts(t *testing.T, server *redistest.Server) (s *Store, killed, done int) {
	t.Helper()
	raw := server.Client()
	w := newWire(t, server.Addr)
	s = newStore(t, openTest(t, Config{Addrs: []string{w.addr}}))
	const size = 4000
	for i := range 8 {
		var many []authz.Revocation
		for j := range size {
			many = append(many, revocation(fmt.Sprint(i, "-", j), inTwoHours()))
		}
		began := w.seen("evalsha")
		before := dump(t, raw)
		ended := make(chan error, 1)
		go func() {
			_, err := s.PutResource(t.Context(), authz.Resource{ID: authz.ResourceID(fmt.Sprint("n-", i)), TokenLifetime: time.Minute}, testEntry("r"), many...)
			ended <- err
		}()
		waitFor(t, "the script", func() bool {
			if w.seen("evalsha") > began+i%2 || len(ended) > 0 {
				_ = raw.ScriptKill(t.Context()).Err() // nothing runs yet, or it has written, or it is killed
			}
			return len(ended) > 0
		})
		if err := <-ended; err != nil {
			killed++
			if isAbsence(err) || errors.Is(err, authz.ErrConflict) || errors.Is(err, ErrEmptied) {
				t.Errorf("got error %v, want a fault", err)
			}
			unchangedButFloor(t, raw, before, false)
			continue
		}
		done++
		if there, err := s.ListRevocations(t.Context(), fmt.Sprint("jti:", i, "-"), size); err != nil || len(there) < size {
			t.Errorf("it is done, and %d of %d are there: %v", len(there), size, err)
		}
	}
	return s, killed, done
}

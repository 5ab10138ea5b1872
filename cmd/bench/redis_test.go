package main

import (
	"bufio"
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store/redistest"
)

// testRedis is the Redis that the bench itself would start.
func testRedis(tb testing.TB) *redis {
	tb.Helper()
	redistest.Require(tb)
	r, err := startRedis(context.Background(), tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(r.stop)
	return r
}

func TestWire_ReadsWhatRedisAnswers(t *testing.T) {
	for answer, want := range map[string]any{
		"+OK\r\n":                                "OK",
		":-42\r\n":                               int64(-42),
		"$0\r\n\r\n":                             "",
		"$7\r\na\r\nb\r\nc\r\n":                  "a\r\nb\r\nc",
		"$-1\r\n":                                nil,
		"*-1\r\n":                                nil,
		"*0\r\n":                                 []any{},
		"*2\r\n*2\r\n$3\r\n7-0\r\n:1\r\n$-1\r\n": []any{[]any{"7-0", int64(1)}, nil},
	} {
		w := &wire{in: bufio.NewReader(strings.NewReader(answer))}
		got, err := w.receive()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %#v, %v; want %#v", answer, got, err, want)
		}
		if left := w.in.Buffered(); left > 0 {
			t.Errorf("%q: %d octets are left", answer, left)
		}
	}
}

func TestWire_RefusesEverythingElse(t *testing.T) {
	for _, answer := range []string{"", "\r\n", "+OK", "+OK\n", "OK\r\n", ":x\r\n", "$3\r\nab", "*2\r\n:1\r\n", "-ERR no\r\n", "*1\r\n-ERR no\r\n"} {
		w := &wire{in: bufio.NewReader(strings.NewReader(answer))}
		got, err := w.receive()
		if err == nil {
			t.Errorf("%q: %#v, want an error", answer, got)
		}
		if said := redisError(""); errors.As(err, &said) != strings.Contains(answer, "-ERR") {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

func TestCounters_LeaveOutTheLooks(t *testing.T) {
	at := time.Now()
	read := func(reads, gets, infos string, at time.Time) counters {
		t.Helper()
		c, err := countersIn(map[string]string{
			"total_reads_processed": reads,
			"cmdstat_get":           "calls=" + gets + ",usec=1,usec_per_call=1.00",
			"cmdstat_info":          "calls=" + infos + ",usec=1",
			"cmdstat_config|get":    "calls=1,usec=1",
			"uptime_in_seconds":     "3",
		}, at)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	got := read("151", "130", "9", at.Add(2*time.Second)).since(read("100", "30", "8", at))
	if want := (counted{calls: map[string]int64{"get": 100}, trips: 50, elapsed: 2 * time.Second}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	seen := tally{asked: 10, seen: got, idle: counted{calls: map[string]int64{"get": 25}, trips: 5, elapsed: time.Second}}
	if calls, trips := seen.callsEach(), seen.tripsEach(); calls != 5 || trips != 4 {
		t.Errorf("%v calls and %v round trips for each request; want 5 and 4", calls, trips)
	}
	for _, said := range []map[string]string{{}, {"total_reads_processed": "1", "cmdstat_get": "usec=1"}} {
		if _, err := countersIn(said, at); err == nil {
			t.Errorf("%v: no error", said)
		}
	}
}

// Redis' own counters tell round trips from calls: this is what the bench's figures rest on.
func TestRedis_CountsRoundTrips(t *testing.T) {
	r := testRedis(t)
	other, err := dialRedis(context.Background(), r.address, r.password)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	got, err := r.during(func() error {
		for range 2 {
			other.send("SET", "a", "1")
			other.send("GET", "a")
			other.send("GET", "a")
			if err := other.flush(); err != nil {
				return err
			}
			for range 3 {
				if _, err := other.receive(); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got.elapsed = 0
	if want := (counted{calls: map[string]int64{"set": 2, "get": 4}, trips: 2}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestRedis_WantsItsPassword(t *testing.T) {
	r := testRedis(t)
	said := redisError("")
	if w, err := dialRedis(context.Background(), r.address, "wrong"); !errors.As(err, &said) {
		t.Errorf("%v, %v; want a refusal", w, err)
	}
}

// What the filling writes is what the driver would have written: the driver finds no fault in it, lists
// it, and its clients get tokens.
func TestFilling_IsWhatTheDriverWrites(t *testing.T) {
	redis := testRedis(t)
	r := newRedisRig(t, 1, redis)
	ctx := t.Context()
	s := secrets("seed")
	if _, _, _, err := r.registry.CreateClient(ctx, audit.Origin{Actor: audit.System("test")}, authz.ClientSpec{
		ID: filledID(0), Name: filledName(0), Scopes: []string{scope}, Resources: []string{resourceOf(jose.ES256)}, Secret: authz.Secret(s.of(0)),
	}); err != nil {
		t.Fatal(err)
	}
	f, err := openFilling(redis, r.kekFile, s)
	if err != nil {
		t.Fatal(err)
	}
	before, err := r.records.Inspect(ctx, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	const n = 2*fillBatch + 7
	if took, err := f.run(ctx, n); err != nil || took.records <= 0 || took.entries <= 0 {
		t.Fatalf("%+v, %v", took, err)
	}
	after, err := r.records.Inspect(ctx, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	if records, entries := after.Records-before.Records, after.Entries-before.Entries; records != 2*(n-1) || entries != n-1 {
		t.Errorf("%d records and %d entries more, want two and one of each of %d clients", records, entries, n-1)
	}
	var listed int
	for after := authz.ClientID(filledID(0)); ; listed++ {
		page, err := r.records.ListClients(ctx, authz.ClientQuery{After: after, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 || string(page[0].ID) != filledID(listed+1) {
			break
		}
		after = page[0].ID
	}
	if listed != n-1 {
		t.Errorf("%d are listed, want %d", listed, n-1)
	}
	for _, i := range []int{0, 1, fillBatch, fillBatch + 1, n - 1} {
		issued, err := r.tokens.Token(ctx, authz.Request{
			GrantType: authz.GrantClientCredentials, Scope: scope, Resources: []string{resourceOf(jose.ES256)},
			Client: authz.Presented{Method: authz.PresentedPost, ID: authz.ClientID(filledID(i)), Secret: authz.Secret(s.of(i))},
		})
		if err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
		v, err := r.checker(t, jose.ES256).Verify(ctx, issued.AccessToken)
		if want := filledCredential(i); err != nil || v.ClientID != filledID(i) || i > 0 && v.CredentialID != want {
			t.Errorf("client %d: %q, by %q, want %q; %v", i, v.ClientID, v.CredentialID, want, err)
		}
	}
	entries, _, err := r.records.Latest(ctx, "", 1)
	if err != nil || len(entries) != 1 || entries[0].Target != filledID(n-1) || !strings.Contains(string(entries[0].After), filledCredential(n-1)) {
		t.Errorf("the last entry is %+v, %v", entries, err)
	}
}

func TestSettings_ThatMeasureNothing(t *testing.T) {
	good := settings{clients: 1, connections: 8, pairs: 1, window: 1, tokens: 1, starts: 1, withdrawn: 1, redis: true, filled: 16}
	if problem := good.problem(); problem != "" {
		t.Error(problem)
	}
	for name, change := range map[string]func(*settings){
		"filled with less than asks":  func(s *settings) { s.filled = 15 },
		"filled with less than none":  func(s *settings) { s.filled = -1 },
		"no pairs":                    func(s *settings) { s.pairs = 0 },
		"no window":                   func(s *settings) { s.window = 0 },
		"listed clients below nobody": func(s *settings) { s.listed = -1 },
	} {
		s := good
		change(&s)
		if s.problem() == "" {
			t.Errorf("%s: no problem", name)
		}
	}
}
